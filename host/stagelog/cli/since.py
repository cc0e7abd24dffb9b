"""stagelog since: when did it start? One condition over all stages and cars of the archive."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import duration_text, json_option, print_json, print_table, time_text
from stagelog.cli._dbc import dbc_option
from stagelog.cli._fleet import archive_option, dbcs_of_all
from stagelog.errors import OutputError, UsageError

if TYPE_CHECKING:
    from stagelog.since import Condition, Seen


@click.command()
@click.argument("condition")
@archive_option
@dbc_option("Decode first what is not decoded with this DBC.", dbcs_of_all)
@click.option("--out", "-o", type=click.Path(readable=False), help="Picture: .png, .svg or .pdf.")
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@json_option
def command(
    condition: str, archive: str, dbc: tuple[str, ...], out: str | None, force: bool, as_json: bool
) -> None:
    """Show when CONDITION came true, over all stages and cars of the archive.

    CONDITION is a signal, a comparison and a number, if you like with the unit and how long it
    must last: "DiffOilTempR > 120", "DRV_Temp.DiffOilTempR >= 120 degC for 5 s". The answer for
    each car comes first, then a line for each stage: the first moment, how often, how long
    together, the worst value. --out draws the signal over all stages. What is not decoded yet is
    decoded as 'stagelog query' does it.

    Exit 1 if a session that was searched is not complete, or if one is not decoded.
    """
    from stagelog.cli.query import decode_missing, report_gaps
    from stagelog.extras import need
    from stagelog.query import Archive
    from stagelog.since import answers, find_since, parse, resolve, strips_of

    need("duckdb", "query")  # before minutes of decoding
    asked = parse(condition)
    if out == "-":
        raise UsageError("a picture cannot go to standard output", "name a file")
    if out is not None and os.path.exists(out) and not force:
        raise OutputError(f"{out} exists", "choose another name, or --force to replace it")
    if out is not None:
        need("matplotlib", "report")
    n_failed = decode_missing(archive, dbc, ()) if Path(archive).is_dir() else 0
    with Archive(archive) as opened:
        known = resolve(opened, asked)
        rows = find_since(opened, known)
        said = answers(known, rows)
        if out is not None and rows:
            from stagelog.report.strips import save_strips

            strips, marks = strips_of(opened, known, rows)
            save_strips(out, strips, known.text, known.limit, marks)
        verdict, n_undecoded = report_gaps(opened, bool(dbc))
    if as_json:
        facts = {
            "condition": known.text,
            "message": known.message,
            "signal": known.signal,
            "unit": known.unit,
            "answers": [{"car": car, "text": text} for car, text in said.items()],
            "rows": [one.as_dict() for one in rows],
            "out": out,
            "complete": None if verdict is None else verdict.complete,
        }
        print_json("stagelog.since/1", facts)
    else:
        click.echo(known.text)
        for car, text in said.items():
            click.echo(f"{car}: {text}")
        _print(known, rows)
        if out is not None and rows:
            click.echo(out, err=True)
    raise SystemExit(1 if n_failed or n_undecoded or (verdict and verdict.exit_code) else 0)


def _print(condition: Condition, rows: Sequence[Seen]) -> None:
    """Print a line for each stage and logger."""
    if not rows:
        click.echo(f"no value of {condition.signal} in any stage", err=True)
        return
    several = len({one.key[:3] for one in rows}) < len(rows)
    header = ["car", "event", "stage", *(["logger", "bus"] if several else [])]
    header += ["first (UTC)", "times", "together", f"worst {condition.unit}".rstrip()]
    table = []
    for one in rows:
        key = one.key
        where = [key.car, key.event, key.stage]
        where += [key.logger, str(key.bus)] if several else []
        lasted = duration_text(one.lasted_s * 1e6) if one.n_times else "-"
        table.append([*where, _when(one), one.n_times, lasted, f"{one.worst:.6g}"])
    print_table(table, header)


def _when(one: Seen) -> str:
    if one.first_us is None:
        return "-"
    if one.first_unix_us is None:
        return f"{one.first_us / 1e6:,.1f} s after power-on"
    return time_text(one.first_unix_us)
