"""stagelog package: firmware, settings and signal table of one logger in one signed file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import Facts, json_option, print_json
from stagelog.errors import UsageError

if TYPE_CHECKING:
    from stagelog.flash.package import Package


@click.group()
def command() -> None:
    """Build and show packages: firmware, settings and signal table of one logger, signed."""


@command.command()
@click.option("--out", default="packages", show_default=True, type=click.Path(readable=False),
              help="Folder for the packages.")  # fmt: skip
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only this car, place or device id; may be repeated.",
)
@click.option("--board", default="pico_mcp2515", show_default=True, help="Kind of board.")
@click.option("--arch", default="armv6m", show_default=True, help="Its chip, for mpy-cross.")
@json_option
def build(out: str, only: tuple[str, ...], board: str, arch: str, as_json: bool) -> None:
    """Build a package for each logger of the fleet file, signed with the key of this computer.

    'stagelog flash --package' and 'provision --package' take it by cable, 'stagelog card update'
    puts it onto the logger's card.
    """
    from stagelog.cli._fleet import fleet_in_force
    from stagelog.cli._park import expected_units
    from stagelog.flash.build import ARCHES, build_app, mpy_of
    from stagelog.flash.package import Package, write_package
    from stagelog.park.wanted import wanted_of
    from stagelog.platform.files import writing
    from stagelog.platform.names import safe_name
    from stagelog.proof import own_key

    fleet, key = fleet_in_force(), own_key()
    if fleet is None:
        raise UsageError("there is no fleet file", "make one: 'stagelog fleet new'")
    if key is None:
        raise UsageError("this computer has no key", "make one: 'stagelog key new NAME'")
    if arch not in ARCHES.values():
        raise UsageError(f"--arch {arch} is none of {', '.join(ARCHES.values())}")
    rows: list[Facts] = []
    units = expected_units(fleet, only)
    app = build_app(board, arch)
    number = int(time.time())
    for unit in units:
        wanted = wanted_of(fleet, unit.device_id)
        package = Package(
            number,
            unit.device_id,
            wanted.car,
            board,
            mpy_of(arch),
            app.content,
            wanted.settings,
            wanted.signals,
        )
        path = Path(out) / f"{safe_name(f'{wanted.car}-{unit.name}')}.package"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_package(path, package, key)
        rows.append(_facts(path, package))
    if as_json:
        return print_json("stagelog.package.build/1", {"packages": rows})
    for row in rows:
        click.echo(_line(row))
    return None


@command.command()
@click.argument("file", type=click.Path(readable=False))
@json_option
def show(file: str, as_json: bool) -> None:
    """Show what the package FILE holds; it is refused unless a trusted key has signed it."""
    from stagelog.flash.package import read_package
    from stagelog.proof import trusted_keys

    row = _facts(Path(file), read_package(file, trusted_keys()))
    if as_json:
        return print_json("stagelog.package.show/1", row)
    click.echo(_line(row))
    return None


def _facts(path: Path, package: Package) -> Facts:
    return {
        "path": str(path),
        "number": package.number,
        "built": package.built,
        "device_id": package.device_id,
        "car": package.car,
        "board": package.board,
        "firmware_sha256": package.digest,
        "settings": package.settings is not None,
        "signals": package.signals is not None,
    }


def _line(row: Facts) -> str:
    held = [name for name in ("settings", "signals") if row[name]]
    return (
        f"{row['path']}: car {row['car']}, logger {row['device_id']}, {row['built']}: firmware "
        f"{row['firmware_sha256'][:16]} for {row['board']}" + "".join(f", {name}" for name in held)
    )
