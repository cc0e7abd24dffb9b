"""stagelog plot: strip charts of signals as a picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import json_option, print_json
from stagelog.cli._dbc import as_protocol, dbc_option, j1939_option
from stagelog.cli._fleet import dbcs_of_log
from stagelog.cli._logs import check_buses, one_log
from stagelog.counts import count_text
from stagelog.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from stagelog.decode import Decoded
    from stagelog.report.strips import Trace


@click.command()
@click.argument("log", type=click.Path(readable=False))
@dbc_option("Database to decode with.", dbcs_of_log, required=True)
@click.option(
    "--out",
    "-o",
    required=True,
    type=click.Path(readable=False),
    help="Picture: .png, .svg or .pdf.",
)
@click.option(
    "--strip",
    "strips",
    multiple=True,
    required=True,
    metavar="SIGNAL[,SIGNAL...]",
    help="Signals of one strip; may be repeated.",
)
@click.option("--bus", "buses", type=int, multiple=True, help="Only this bus; may be repeated.")
@j1939_option
@click.option("--title", default="")
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@json_option
def command(
    log: str,
    dbc: str,
    out: str,
    strips: tuple[str, ...],
    buses: tuple[int, ...],
    j1939: bool | None,
    title: str,
    force: bool,
    as_json: bool,
) -> None:
    """Draw signals of LOG over time, one strip for each --strip.

    A signal that comes on two buses, or from two J1939 sources, is a line for each.
    """
    from stagelog.dbc import load_databases
    from stagelog.decode import compile_plan, decode, find_origins, split
    from stagelog.importers import load_frames
    from stagelog.report.strips import save_strips

    if out == "-":
        raise UsageError("a picture cannot go to standard output", "name a file")
    if os.path.exists(out) and not force:
        raise OutputError(f"{out} exists", "choose another name, or --force to replace it")
    names = [[name.strip() for name in strip.split(",") if name.strip()] for strip in strips]
    if not all(names):
        raise UsageError("an empty --strip", "give at least one signal")
    database = load_databases(dbc)
    wanted = [name for strip in names for name in strip]
    frames = load_frames(one_log(log)).frames
    check_buses(log, buses, [frames])
    database = as_protocol(database, j1939, lambda: [frames])
    decoded = decode(frames, compile_plan(database, wanted, list(buses) or None))
    origins = find_origins([decoded])
    decoded = split(decoded, origins.names())
    drawn = [[trace for name in strip for trace in _traces(decoded, name)] for strip in names]
    if not any(drawn):
        raise InputError(f"{log} holds none of the signals", "'stagelog info' lists what it holds")
    save_strips(out, drawn, title)
    warnings = origins.warnings("a line for each")
    n_samples = sum(len(trace.t_us) for strip in drawn for trace in strip)
    if as_json:
        facts = {"out": str(out), "n_samples": n_samples, "warnings": warnings}
        return print_json("stagelog.plot/1", facts)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(
        f"{out}: {count_text(sum(map(len, drawn)), 'signal')}, {count_text(n_samples, 'sample')}"
    )
    return None


def _traces(decoded: Decoded, name: str) -> list[Trace]:
    """Return the [Trace] of a signal: none if it does not occur, several if it has origins."""
    from stagelog.report.strips import Trace

    message, _, signal = name.rpartition(".")
    found = []
    for table in decoded.messages.values():
        plain, at, origin = table.name.partition("@")
        if signal in table.signals and message in ("", plain):
            unit = table.message.signal(signal).unit or ""
            t_us, values = table.series(signal)
            if len(values):
                found.append(Trace(f"{signal}{at}{origin}", unit, t_us, values))
    return found
