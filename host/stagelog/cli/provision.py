"""stagelog provision: give the loggers what the fleet file says, and read it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import confirm, json_option
from stagelog.cli._fleet import archive_option
from stagelog.cli._park import finish, many_options, refuse_port, run_many, run_one, unlock
from stagelog.errors import UsageError

if TYPE_CHECKING:
    from stagelog.park.fleet import Fleet
    from stagelog.park.unit import Unit


@click.command()
@click.argument("port", required=False)
@archive_option
@many_options
@click.option("--all", "all_", is_flag=True, help="All loggers of the fleet; the default.")
@click.option(
    "--package",
    type=click.Path(readable=False),
    help="What this package holds, to PORT's logger.",
)
@click.option("--older", is_flag=True, help="Also a package that is older than the logger's.")
@click.option("--yes", is_flag=True, help="Do not ask before the recording pauses.")
@json_option
def command(
    port: str | None,
    archive: str,
    only: tuple[str, ...],
    wait_s: float,
    all_: bool,
    package: str | None,
    older: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Give each logger of the fleet, or the one on PORT, its car, settings, signal table and
    clock; read all back and compare.

    Refused while the card holds sessions that the archive does not, of another car or of another
    logger. What is as wanted already is not written. With --package, settings and signal table
    come from it, and the firmware is compared with its own. With a key on this computer, the
    logger gets its own key for packages from a card. Exit 1 if a logger is not as wanted.
    """
    from stagelog.park.provision import Provision
    from stagelog.park.wanted import wanted_in, wanted_of

    held = None
    if package is not None:
        from stagelog.flash.package import read_package
        from stagelog.proof import trusted_keys

        if port is None:
            raise UsageError("--package without a port", "name the logger's port")
        held = read_package(package, trusted_keys())
    elif older:
        raise UsageError("--older without --package", "add --package")

    def work(unit: Unit, fleet: Fleet | None) -> Provision:
        if held is not None:
            return Provision(unit, wanted_in(held), Path(archive), package=held, older=older)
        if fleet is None:
            raise UsageError("there is no fleet file", "make one: 'stagelog fleet new'")
        return Provision(unit, wanted_of(fleet, unit.device_id), Path(archive))

    refuse_port(port, all_, only, all_by_default=True)
    confirm(
        "Compare the loggers with the fleet file and write what differs? Recording pauses.", yes
    )
    unlock()
    if port is not None:
        units = run_one("provision", port, work, as_json, archive)
    else:
        units = run_many("provision", work, only, wait_s, as_json, archive=archive)
    raise SystemExit(finish(units, as_json))
