"""stagelog evidence: one signed file with all that proves what a car did in a stage."""

from __future__ import annotations

from pathlib import Path

import click

from stagelog.cli._common import json_option, print_json
from stagelog.cli._fleet import archive_options
from stagelog.errors import UsageError


@click.group()
def command() -> None:
    """Pack what proves what a car did in a stage, and verify such a pack."""


@command.command()
@archive_options
@click.option("--car", required=True, help="The car, as its folder car=... names it.")
@click.option("--out", type=click.Path(readable=False), help="[default: EVENT-CAR-STAGE.tar]")
@json_option
def pack(archive: str, event: str, stage: str, car: str, out: str | None, as_json: bool) -> None:
    """Write one file with the raw logs, manifest, ledger, sign-off lines of 'check' and reports of
    a car and a stage, signed with the key of this computer.

    Exit 1 if the logs are not complete: the pack says so, too.
    """
    from stagelog.park.evidence import pack_evidence
    from stagelog.platform.names import safe_name
    from stagelog.proof import own_key

    key = own_key()
    if key is None:
        raise UsageError("this computer has no key", "make one: 'stagelog key new NAME'")
    path = Path(out or f"{safe_name(f'{event}-{car}-{stage}')}.tar")
    done = pack_evidence(Path(archive), event, car, stage, key, path)
    if as_json:
        print_json(
            "stagelog.evidence.pack/1",
            {
                "path": str(done.path),
                "members": list(done.members),
                "missing": list(done.missing),
                "verdict": done.verdict.as_dict(),
                "key_id": key.public.key_id,
            },
        )
    else:
        click.echo(f"{done.path}: {len(done.members)} members, signed by {key.public.name}")
        for text in done.missing:
            click.echo(f"  not in it: {text}")
        click.echo(f"  {done.verdict.text}")
    raise SystemExit(done.verdict.exit_code)


@command.command()
@click.argument("file", type=click.Path(readable=False))
@click.option(
    "--key",
    type=click.Path(readable=False),
    help="File with the team's public key.  [default: the keys trusted here]",
)
@json_option
def verify(file: str, key: str | None, as_json: bool) -> None:
    """Compare every byte of the pack FILE with what its team has signed. Needs nothing else but
    the public key. Exit 1 if anything was altered, added or left out, or if the key is another.
    """
    from stagelog.park.evidence import verify_evidence
    from stagelog.proof import load_public, trusted_keys

    if key is not None:
        named = load_public(key)
        trusted = {named.raw: trusted_keys().get(named.raw, named)}
    else:
        trusted = trusted_keys()
    if not trusted:
        raise UsageError("no key is trusted here", "name the team's: --key FILE")
    found = verify_evidence(Path(file), trusted)
    is_valid = not found.findings
    if as_json:
        print_json(
            "stagelog.evidence.verify/1",
            {
                "path": str(found.path),
                "valid": is_valid,
                **found.about,
                "signature": {"state": found.signature.state, "text": found.signature.text},
                "findings": list(found.findings),
                "sessions": [
                    {"file": name, "signature": text} for name, text in found.sessions.items()
                ],
            },
        )
        raise SystemExit(0 if is_valid else 1)
    what = "{event}, {car}, {stage}".format(**found.about)
    if is_valid:
        click.echo(f"VALID: {what}: {found.signature.text}")
    else:
        click.echo(f"NOT VALID: {what}")
    for text in found.findings:
        click.echo(f"  {text}")
    for name, text in found.sessions.items():
        click.echo(f"  {name}: entry of the archive {text}")
    raise SystemExit(0 if is_valid else 1)
