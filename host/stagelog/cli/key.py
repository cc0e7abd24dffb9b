"""stagelog key: the key that signs on this computer, and the keys that it trusts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import Facts, json_option, print_json

if TYPE_CHECKING:
    from stagelog.proof import PublicKey


@click.group()
def command() -> None:
    """Make, show and trust keys. With a key, everything that enters the archive is signed."""


@command.command()
@click.argument("name")
@json_option
def new(name: str, as_json: bool) -> None:
    """Make the key of team NAME on this computer. It is kept in the user's folder of settings, or
    in the folder that STAGELOG_KEYS names, readable by you alone: keep a copy in a safe place.
    """
    from stagelog.proof import key_folder, new_key

    _print([(new_key(name), True)], "stagelog.key.new/1", as_json)
    click.echo(f"the private key is in {key_folder()}; it must never leave the team", err=True)


@command.command()
@json_option
def show(as_json: bool) -> None:
    """Show the public key of this computer and those that it trusts, as others are given them."""
    from stagelog.proof import own_key, trusted_keys

    own = own_key()
    keys = trusted_keys().values()
    rows = [(key, own is not None and key.raw == own.public.raw) for key in keys]
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


def _print(keys: list[tuple[PublicKey, bool]], schema: str, as_json: bool) -> None:
    rows: list[Facts] = [
        {"name": key.name, "key_id": key.key_id, "public": key.text.strip(), "own": is_own}
        for key, is_own in keys
    ]
    if as_json:
        print_json(schema, {"keys": rows})
        return
    for row in rows:
        click.echo(f"{row['public']}")
        click.echo(f"  key {row['key_id']}{', signs here' if row['own'] else ''}", err=True)
