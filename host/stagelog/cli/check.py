"""stagelog check: may the cars start? Green, amber or red, why, and what to do."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import json_option
from stagelog.cli._fleet import archive_options, fleet_in_force
from stagelog.cli._park import (
    expected_units,
    finish,
    many_options,
    refuse_port,
    run_many,
    run_one,
)
from stagelog.errors import UsageError

if TYPE_CHECKING:
    from stagelog.park.fleet import Fleet
    from stagelog.park.unit import Unit


@click.command()
@click.argument("port", required=False)
@archive_options
@many_options
@click.option("--all", "all_", is_flag=True, help="All loggers of the fleet; the default.")
@click.option("--listen-s", type=click.FloatRange(0, 60), default=3.0, show_default=True,
              help="How long to listen to the buses.")  # fmt: skip
@click.option("--by", help="Who signs.  [default: the user of this computer]")
@click.option("--confirmed", multiple=True, metavar="CAR",
              help="What is confirmed by hand is so on this car, 'all': on all.")  # fmt: skip
@click.option("--no-sign", is_flag=True, help="Add no line to the archive.")
@json_option
def command(
    port: str | None,
    archive: str,
    event: str,
    stage: str,
    only: tuple[str, ...],
    wait_s: float,
    all_: bool,
    listen_s: float,
    by: str | None,
    confirmed: tuple[str, ...],
    no_sign: bool,
    as_json: bool,
) -> None:
    """Check the loggers of all cars of the fleet at once, or the one on PORT: recording, buses,
    messages and their rates, errors, clock, card, sessions, settings, signal table, firmware, the
    last stage.

    On a terminal it asks for what the fleet file wants confirmed by hand. A line for each car goes
    into the archive: checks.jsonl of the stage. Exit 1 unless all are green or amber.
    """
    from stagelog.park.check import Check
    from stagelog.park.signoff import CarCheck, sign_off

    def work(unit: Unit, fleet: Fleet | None) -> Check:
        from stagelog.park.wanted import wanted_of

        wanted = wanted_of(fleet, unit.device_id) if fleet is not None else None
        return Check(unit, wanted, Path(archive), listen_s)

    refuse_port(port, all_, only, all_by_default=True)
    fleet = fleet_in_force()
    for car in confirmed:
        if car != "all" and fleet is not None and fleet.find_car(car) is None:
            known = ", ".join(each.name for each in fleet.car)
            what_now = f"name one of {known}, or 'all'"
            raise UsageError(f"--confirmed {car}: there is no such car", what_now)
    if port is not None:
        units = run_one("check", port, work, as_json, archive)
    else:
        units = run_many("check", work, only, wait_s, as_json, archive=archive)
    to_confirm = fleet.start.confirm if fleet is not None else ()
    by = by or getpass.getuser()
    chosen = expected_units(fleet, only) if only else units
    for car in sorted({unit.car for unit in chosen}):  # no line for a car that was left out
        hand = {text: _is_confirmed(car, text, confirmed) for text in to_confirm}
        check = CarCheck(car, [unit for unit in units if unit.car == car], hand)
        if not as_json:
            click.echo(f"{car}  {check.light.upper()}")
            for finding in check.findings:
                click.echo(f"  {finding}")
        if not no_sign:
            path = sign_off(Path(archive), event, stage, check, by)
            click.echo(f"  signed by {by}: {path}", err=True)
    raise SystemExit(finish(units, as_json))


def _is_confirmed(car: str, text: str, confirmed: tuple[str, ...]) -> bool:
    if car.lower() in [each.lower() for each in confirmed] or "all" in confirmed:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(f"{car}: {text}?", err=True)
