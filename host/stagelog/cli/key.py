"""stagelog key: the key that signs on this computer, and the keys that it trusts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import Facts, json_option, print_json
from stagelog.errors import InputError, UsageError

if TYPE_CHECKING:
    from stagelog.proof import PublicKey


@click.group()
def command() -> None:
    """Make, show and trust keys. With a key, everything that enters the archive is signed."""


@command.command()
@click.argument("name")
@click.option("--passphrase", "wants_passphrase", is_flag=True, help="Ask for a passphrase.")
@json_option
def new(name: str, wants_passphrase: bool, as_json: bool) -> None:
    """Make the key of team NAME on this computer. It is kept in the user's folder of settings, or
    in the folder that STAGELOG_KEYS names, readable by you alone: keep a copy in a safe place.

    With a passphrase the file is encrypted; whoever signs is asked for it once in each command,
    or it stands in STAGELOG_PASSPHRASE.
    """
    from stagelog.proof import key_folder, new_key

    key = new_key(name, _ask_passphrase() if wants_passphrase else None)
    _print([(key, True)], "stagelog.key.new/1", as_json)
    click.echo(f"the private key is in {key_folder()}; it must never leave the team", err=True)


@command.command()
@json_option
def show(as_json: bool) -> None:
    """Show the public key of this computer and those that it trusts, as others are given them."""
    from stagelog.proof import own_public, trusted_keys

    own = own_public()
    keys = trusted_keys().values()
    rows = [(key, own is not None and key.raw == own.raw) for key in keys]
    _print(rows, "stagelog.key.show/1", as_json)
    if own is None:
        click.echo("this computer signs nothing: 'stagelog key new NAME' makes its key", err=True)


@command.command()
@click.argument("file", type=click.Path(readable=False))
@click.option("--name", help="What to call it.  [default: the name in it]")
@json_option
def trust(file: str, name: str | None, as_json: bool) -> None:
    """Trust the public key in FILE, a line as 'key show' prints it. Compare its id with its owner
    by telephone first.
    """
    from stagelog.proof import trust as trust_key

    _print([(trust_key(Path(file), name), False)], "stagelog.key.trust/1", as_json)


@command.command()
@click.option("--remove", is_flag=True, help="Keep the key without a passphrase from now on.")
@json_option
def passphrase(remove: bool, as_json: bool) -> None:
    """Encrypt the private key of this computer with a new passphrase. Copies of the file that
    were made before keep the old one.
    """
    from stagelog.proof import own_key, set_passphrase

    if own_key() is None:  # asks for the old one first
        raise InputError("this computer has no key", "make one: 'stagelog key new NAME'")
    key = set_passphrase(None if remove else _ask_passphrase())
    _print([(key, True)], "stagelog.key.passphrase/1", as_json)


@command.command()
@click.argument("key")
@json_option
def revoke(key: str, as_json: bool) -> None:
    """Believe nothing any more that KEY, a name, an id or a file, signs or has signed: nobody can
    know when a thief signed it. Do it on each of the team's computers.

    The key of this computer is put aside; make a new one with 'key new', and give the loggers
    theirs with 'provision'.
    """
    from stagelog.proof import own_public
    from stagelog.proof import revoke as revoke_key

    own = own_public()
    found = revoke_key(key)
    _print([(found, own is not None and own.raw == found.raw)], "stagelog.key.revoke/1", as_json)


def _ask_passphrase() -> str:
    """Return a new passphrase: of the environment, or typed twice."""
    from stagelog.proof.keys import PASSPHRASE, SHORTEST_PASSPHRASE

    text = None if sys.stdin.isatty() else os.environ.get(PASSPHRASE)
    if text is None:
        text = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
    if len(text) < SHORTEST_PASSPHRASE:
        problem = f"a passphrase of {len(text)} characters"
        raise UsageError(problem, f"take {SHORTEST_PASSPHRASE} or more: some random words")
    return text


def _print(keys: list[tuple[PublicKey, bool]], schema: str, as_json: bool) -> None:
    rows: list[Facts] = [
        {
            "name": key.name,
            "key_id": key.key_id,
            "public": key.text.strip(),
            "own": is_own,
            "revoked": key.is_revoked,
        }
        for key, is_own in keys
    ]
    if as_json:
        print_json(schema, {"keys": rows})
        return
    for row in rows:
        click.echo(f"{row['public']}")
        what = ", revoked" if row["revoked"] else ", signs here" if row["own"] else ""
        click.echo(f"  key {row['key_id']}{what}", err=True)
