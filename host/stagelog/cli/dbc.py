"""stagelog dbc: check a database, by itself and against a log; show what it holds; propose one
from a log.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import Facts, json_option, print_json, print_table
from stagelog.cli._dbc import (
    as_protocol,
    incomplete_text,
    j1939_option,
    missing_lines,
    missing_rows,
)
from stagelog.cli._logs import check_buses, on_buses
from stagelog.counts import count_text
from stagelog.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from stagelog.propose.dbc import Draft


@click.group()
def command() -> None:
    """Check and show a DBC, ARXML, KCD or SYM file; propose a DBC from a log."""


@command.command(short_help="List the defects of a DBC, each with its line.")
@click.argument("files", nargs=-1, required=True, metavar="FILE | BUS=FILE...")
@click.option(
    "--log", type=click.Path(readable=False), help="Also compare with this log, of any kind."
)
@click.option("--bus", "buses", type=int, multiple=True, help="Only this bus; may be repeated.")
@j1939_option
@json_option
def check(
    files: tuple[str, ...],
    log: str | None,
    buses: tuple[int, ...],
    j1939: bool | None,
    as_json: bool,
) -> None:
    """List the defects of FILE, each with its line and what was done about it; or of a file for
    each bus, as can0=a.dbc can1=b.dbc.

    --bus compares with the frames of that bus of the log only. Exit code 1 if there are any
    defects, or if the log contradicts FILE.
    """
    from stagelog.dbc import load_databases
    from stagelog.decode.doctor import check_database, check_log

    for given, option in ((buses, "--bus"), (j1939 is not None, "--j1939")):
        if given and not log:
            raise UsageError(f"{option} without --log", "add --log")
    database = load_databases(files)
    facts = check_database(database)
    if log:
        from stagelog.importers import stream_frames

        check_buses(log, buses, stream_frames(log) if buses else ())
        database = as_protocol(database, j1939, lambda: on_buses(stream_frames(log), buses))
        stream = stream_frames(log)
        facts["log"] = {"path": str(log), **check_log(database, on_buses(stream, buses))}
        facts["log"]["missing"] = missing_rows(facts["log"]["missing"])
        facts["log"]["damages"] = [str(damage) for damage in stream.diagnostics.damages]
    if as_json:
        print_json("stagelog.dbc.check/1", facts)
    else:
        _print_database(facts)
        if log:
            _print_log(facts["log"])
    is_good = not facts["defects"] and (not log or facts["log"]["ok"])
    raise SystemExit(0 if is_good else 1)


@command.command(short_help="Write a DBC to begin with from the traffic of a log.")
@click.option("--log", required=True, type=click.Path(readable=False), help="Log of any kind.")
@click.option("--bus", "buses", type=int, multiple=True, help="Only this bus; may be repeated.")
@click.option(
    "--out", "-o", default="-", show_default=True, type=click.Path(readable=False), help="File."
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
def new(log: str, buses: tuple[int, ...], out: str, force: bool, as_json: bool) -> None:
    """Write a DBC to begin with from the traffic of LOG: identifiers, lengths, rates, bytes that
    move, counters and checksums. Every signal in it is a guess, and its comment says why.
    """
    from stagelog.cli._logs import one_log
    from stagelog.importers import stream_frames
    from stagelog.platform.files import write_atomic, writing
    from stagelog.propose.dbc import dbc_text, draft_messages

    if out != "-" and os.path.exists(out) and not force:
        raise OutputError(f"{out} exists", "choose another name, or --force to replace it")
    path = one_log(log)
    check_buses(path, buses, stream_frames(path) if buses else ())
    drafts = draft_messages(on_buses(stream_frames(path), buses))
    if not drafts:
        raise InputError(f"{log} holds no data frame", "'stagelog info' shows what it holds")
    text = dbc_text(drafts, path.name)
    if out != "-":
        with writing(out):
            write_atomic(Path(out), text.encode())
    n_signals = sum(len(draft.message.signals) for draft in drafts)
    if as_json:
        rows = [_draft_row(draft) for draft in drafts]
        print_json("stagelog.dbc.new/1", {"out": out, "messages": rows})
    elif out == "-":
        click.echo(text, nl=False)
    else:
        held = f"{count_text(len(drafts), 'message')}, {count_text(n_signals, 'signal')}"
        click.echo(f"{out}: {held}, all of them guesses")


def _draft_row(draft: Draft) -> Facts:
    message = draft.message
    return {
        "message": message.name,
        "can_id": f"{message.can_id:08X}" if message.is_ext else f"{message.can_id:03X}",
        "n_frames": draft.n_frames,
        "n_bytes": message.n_bytes,
        "cycle_ms": message.cycle_ms,
        "signals": [{"signal": name, "why": why} for name, why in draft.notes.items()],
    }


@command.command(short_help="Show the messages and signals of a DBC.")
@click.argument("file", type=click.Path(readable=False))
@click.argument("pattern", required=False)
@json_option
def show(file: str, pattern: str | None, as_json: bool) -> None:
    """Show the messages and signals of FILE, or those that match PATTERN (such as "*Temp*")."""
    from stagelog.dbc import load_database
    from stagelog.decode import compile_plan

    database = load_database(file)
    plan = compile_plan(database, None if pattern is None else [pattern])
    rows = [
        {
            "message": p.message.name,
            "can_id": f"{p.message.can_id:08X}" if p.message.is_ext else f"{p.message.can_id:03X}",
            "cycle_ms": p.message.cycle_ms,
            "signal": name,
            "unit": p.message.signal(name).unit,
            "scale": p.message.signal(name).scale,
            "offset": p.message.signal(name).offset,
            "comment": p.message.signal(name).comment,
        }
        for p in plan.messages
        for name in p.columns
    ]
    if as_json:
        return print_json("stagelog.dbc.show/1", {"path": str(file), "signals": rows})
    lines = [
        (
            r["can_id"],
            r["message"],
            "" if r["cycle_ms"] is None else f"{r['cycle_ms']} ms",
            r["signal"],
            r["unit"],
            f"x {r['scale']:g}" + (f" {r['offset']:+g}" if r["offset"] else ""),
        )
        for r in rows
    ]
    print_table(lines, ["id", "message", "cycle", "signal", "unit", "conversion"])
    return None


def _print_database(facts: Facts) -> None:
    click.echo(
        f"{facts['path']}: {count_text(facts['n_messages'], 'message')}, "
        f"{count_text(facts['n_signals'], 'signal')}, "
        f"{facts['kind'].upper()}, {facts['encoding']}"
    )
    for defect in facts["defects"]:
        place = f"line {defect['line']}: " if defect["line"] else ""
        click.echo(f"  {place}{defect['what']}; {defect['done']}")
    for row in facts["not_decoded"]:
        click.echo(f"  {row['signal']} is not decoded: {row['why']}")
    n = len(facts["defects"])
    click.echo(f"  {count_text(n, 'defect')}" if n else "  no defects")


def _print_log(facts: Facts) -> None:
    for warning in facts["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{facts['path']}: {count_text(facts['n_frames'], 'frame')}")
    for row in facts["unknown_ids"]:
        click.echo(
            f"  {row['can_id']} is not in the database: {count_text(row['n_frames'], 'frame')}"
        )
    if facts["n_incomplete"]:
        click.echo(f"  {incomplete_text(facts['n_incomplete'])}")
    if facts["absent_messages"]:
        click.echo(f"  not in the log: {', '.join(facts['absent_messages'])}")
    for row in facts["lengths"]:
        parts = []
        if row["n_shorter"]:
            least = row["least_bytes"]
            what = "frame is" if row["n_shorter"] == 1 else "frames are"
            down = f"down to {count_text(least, 'byte')}"
            parts.append(f"{row['n_shorter']:,} {what} shorter, {down}")
        if row["n_longer"]:
            parts.append(f"{row['n_longer']:,} {'is' if row['n_longer'] == 1 else 'are'} longer")
        specified = count_text(row["specified_bytes"], "byte")
        click.echo(f"  {row['message']}, specified with {specified}: {', '.join(parts)}")
    for row in facts["cycles"]:
        if not row["kept"]:
            click.echo(
                f"  {row['message']}, specified every {row['specified_ms']} ms: "
                f"median {row['median_ms']:g} ms, longest {row['longest_ms']:g} ms, "
                f"{row['late_pct']:g} % late"
            )
    kept = sum(row["kept"] for row in facts["cycles"])
    if facts["cycles"]:
        click.echo(f"  {kept} of {len(facts['cycles'])} cycle times are kept")
    for row in facts["out_of_range"]:
        low, high = row["specified"]
        click.echo(
            f"  {row['signal']} is out of {low:g}..{high:g} {row['unit']} in "
            f"{row['n_outside']:,} of {count_text(row['n_values'], 'value')}: "
            f"{row['seen'][0]:g}..{row['seen'][1]:g}"
        )
    for row in facts["without_text"]:
        click.echo(
            f"  {row['signal']} has {count_text(row['n_values'], 'value')} "
            "that its table does not name"
        )
    for line in missing_lines(facts["missing"]):
        click.echo(f"  {line}")
    for row in facts["stuck"]:
        click.echo(
            f"  {row['signal']} is {row['value']:g} all the time, {row['n_values']:,} times"
        )
    for damage in facts["damages"]:
        click.echo(f"  {damage}")
