"""stagelog summary: what the cars went through, seconds after they are plugged in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stagelog.cli._common import json_option
from stagelog.cli._fleet import archive_option
from stagelog.cli._park import finish, many_options, run_many, run_one

if TYPE_CHECKING:
    from stagelog.park.unit import Unit


@click.command()
@click.argument("port", required=False)
@archive_option
@many_options
@click.option("--all", "all_", is_flag=True, help="All loggers of the fleet; the default.")
@json_option
def command(
    port: str | None,
    archive: str,
    only: tuple[str, ...],
    wait_s: float,
    all_: bool,
    as_json: bool,
) -> None:
    """Show kilometres, jumps, maxima, alarms and the ledger of all loggers at once, or of the one
    on PORT, from the last blocks of their newest sessions.

    For a pit stop: nothing is stopped, nothing is erased. Exit 1 after a critical alarm or a
    severe landing.
    """
    from stagelog.park.summary import Summarise

    def work(unit: Unit, _: object) -> Summarise:
        return Summarise(unit)

    if port is not None:
        units = run_one("summary", port, work, as_json, archive)
    else:
        units = run_many("summary", work, only, wait_s, as_json, archive=archive)
    raise SystemExit(finish(units, as_json))
