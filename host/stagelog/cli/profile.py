"""stagelog profile: propose a profile for a car of which there is a DBC; check one."""

import os
from pathlib import Path

import click

from stagelog.cli._common import json_option, print_json
from stagelog.counts import count_text
from stagelog.errors import InputError, OutputError


@click.group()
def command() -> None:
    """Propose or check the profile of a car."""


@command.command()
@click.option("--dbc", required=True, type=click.Path(readable=False), help="The car's DBC.")
@click.option("--log", type=click.Path(readable=False), help="A log of the car, of any kind.")
@click.option("--name", help="Of the car.  [default: the DBC's]")
@click.option(
    "--out", "-o", default="-", show_default=True, type=click.Path(readable=False), help="File."
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
def new(dbc: str, log: str | None, name: str | None, out: str, force: bool, as_json: bool) -> None:
    """Write a short profile: what the DBC and a log support, and no more.

    Roles are proposed by name and unit, with --log only of signals that the log holds; ranges are
    those of the log where the DBC gives none. Everything in it may be changed or removed.
    """
    from stagelog.dbc import load_database
    from stagelog.platform.files import write_atomic, writing
    from stagelog.propose.profile import profile_text, propose_roles, see_signals

    if out != "-" and os.path.exists(out) and not force:
        raise OutputError(f"{out} exists", "choose another name, or --force to replace it")
    database = load_database(dbc)
    seen = None
    if log:
        from stagelog.cli._dbc import as_protocol
        from stagelog.cli._logs import one_log
        from stagelog.importers import stream_frames

        path = one_log(log)
        database = as_protocol(database, None, lambda: stream_frames(path))
        seen = see_signals(database, stream_frames(path))
        if not seen:
            what_now = f"name the log's own DBC; 'stagelog dbc check {dbc} --log {log}' compares"
            raise InputError(f"{log} holds no signal of {dbc}", what_now)
    roles = propose_roles(database, seen)
    folder = Path(out).parent if out != "-" else Path()
    place = os.path.relpath(database.path, folder).replace(os.sep, "/")
    text = profile_text(name or database.path.stem, place, roles, database, seen or {})
    if out != "-":
        with writing(out):
            write_atomic(Path(out), text.encode())
    held = {each: getattr(roles, each) for each in roles.__dataclass_fields__}
    held = {role: value for role, value in held.items() if value}
    if as_json:
        print_json(
            "stagelog.profile.new/1",
            {"out": out, "roles": held, "n_signals_seen": None if seen is None else len(seen)},
        )
    elif out == "-":
        click.echo(text, nl=False)
    else:
        click.echo(f"{out}: {count_text(len(held), 'role')} proposed; read it before you trust it")


@command.command(short_help="Check a profile against its DBC.")
@click.argument("profile")
@click.option("--dbc", type=click.Path(readable=False), help="Database.  [default: the profile's]")
@json_option
def check(profile: str, dbc: str | None, as_json: bool) -> None:
    """Check PROFILE, a file or the name of one that ships, against itself and its DBC.

    Exit code 5 with file, line and entry if something does not fit.
    """
    from stagelog.profile.schema import ShortProfile
    from stagelog.profile.short import load_any_profile

    loaded = load_any_profile(profile, dbc)
    short = isinstance(loaded, ShortProfile)
    facts = {"path": loaded.path, "car": loaded.car.name, "is_short": short}
    if as_json:
        print_json("stagelog.profile.check/1", facts)
    else:
        kind = "a short profile" if short else "a whole profile"
        click.echo(f"{loaded.path}: {kind} of {loaded.car.name}; everything fits")
