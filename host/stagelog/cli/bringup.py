"""stagelog bringup: measure a new board, and write a sheet that is signed."""

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from stagelog.cli._common import confirm, json_option
from stagelog.errors import OutputError


@click.command()
@click.argument("port", required=False)
@click.option("--quick", is_flag=True, help="Small counts: a minute instead of fifteen.")
@click.option(
    "--rows",
    metavar="NAME,NAME",
    help="Only these parts: wires, spi, release, crystal, interrupt, listen, stamp, capture, usb, "
    "clock, card, supply, power.",
)
@click.option("--frames", type=click.IntRange(1), help="Numbered frames to capture.")
@click.option("--pulls", type=click.IntRange(0), help="How often the power is pulled.")
@click.option(
    "--power",
    metavar="COMMAND",
    help="Switches the supply, called with off or on behind it.  [default: you are asked]",
)
@click.option("--operator", help="Name under the sheet.  [default: the user's]")
@click.option(
    "--out",
    default="bringup",
    show_default=True,
    type=click.Path(readable=False),
    help="Writes OUT.html and OUT.json.",
)
@click.option("--archive", default="archive", show_default=True, type=click.Path(readable=False))
@click.option(
    "--despite-sessions", is_flag=True, help="Even if the card holds frames not archived."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(
    port: str | None,
    quick: bool,
    rows: str | None,
    frames: int | None,
    pulls: int | None,
    power: str | None,
    operator: str | None,
    out: str,
    archive: str,
    despite_sessions: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Measure the board on PORT and write a sheet, with the emulated board's values beside.

    On the bench, with firmware and a prepared card: recording stops meanwhile. Nothing is sent to
    a bus. Exit 1 if a row failed.
    """
    from dataclasses import replace

    from stagelog.bringup import (
        FAIL,
        QUICK,
        SECTIONS,
        BringUp,
        Counts,
        SerialBench,
        load_reference,
        sheet_html,
        switch_by_command,
    )
    from stagelog.download import is_held
    from stagelog.platform.files import write_atomic
    from stagelog.ports import open_link, port_of

    counts = QUICK if quick else Counts()
    given = {"capture": frames, "pulls": pulls}
    counts = replace(counts, **{name: n for name, n in given.items() if n is not None})
    if port is None:
        link = open_link(None)
        port = link.name
        link.close()
    port = port_of(port)
    reference = load_reference()
    if not os.access(Path(out).absolute().parent, os.W_OK):
        raise OutputError(f"cannot write {out}.json", "name an existing folder with --out")
    confirm(f"Stop the logger on {port} and measure it? It must not be on a car's bus.", yes)
    bring_up = BringUp(
        SerialBench(port, switch_by_command(power) if power else _switch_by_hand()),
        counts,
        tuple(rows.split(",")) if rows else SECTIONS,
        say=lambda text: click.echo(text, err=True),
        is_held=lambda session: Path(archive).is_dir() and is_held(archive, session) is not None,
        despite_sessions=despite_sessions,
    )
    sheet = bring_up.run(operator or getpass.getuser())
    content = sheet.to_json()
    write_atomic(f"{out}.json", content)
    write_atomic(f"{out}.html", sheet_html(sheet, reference).encode())
    if as_json:
        click.echo(content.decode(), nl=False)
    else:
        failed = [row for row in sheet.rows if row.verdict == FAIL]
        for row in failed:
            click.echo(f"FAILED  {row.title}: {row.text} {row.note}; {row.action}")
        click.echo(f"{port}: {sheet.verdict}, {out}.html and {out}.json")
    raise SystemExit(1 if sheet.verdict == FAIL else 0)


def _switch_by_hand() -> Callable[[str], None] | None:
    """Return a switch that asks the user, None if nobody is there."""
    requests = {
        "off": "Pull the plug: all power off, the USB cable too.",
        "on": "Plug it in again.",
    }

    def switch(word: str) -> None:
        click.prompt(
            f"{requests[word]} Then press Enter", default="", show_default=False, err=True
        )

    return switch if sys.stdin.isatty() else None
