"""stagelog query: SQL over the archive, offline."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stagelog.cli._common import json_option, print_json, print_table
from stagelog.cli._dbc import dbc_option, j1939_option
from stagelog.cli._fleet import dbcs_of_all, fleet_option
from stagelog.cli._lake import databases_of_cars
from stagelog.counts import count_text
from stagelog.errors import OutputError, UsageError

if TYPE_CHECKING:
    from stagelog.query import Archive
    from stagelog.verdict import Verdict


@click.command()
@click.argument("sql", required=False)
@fleet_option(
    "--archive",
    lambda fleet, _: str(fleet.archive_path),
    type=click.Path(readable=False),
    default="archive",
    show_default=True,
    help="The archive, or a folder of it.",
)
@dbc_option("Decode first what is not decoded with this DBC.", dbcs_of_all)
@click.option("--car", "cars", multiple=True, help="With --dbc: only this car; may be repeated.")
@j1939_option
@click.option("--view", help="Show the columns of this view.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
def command(
    sql: str | None,
    archive: str,
    dbc: tuple[str, ...],
    cars: tuple[str, ...],
    j1939: bool | None,
    view: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Run SQL over the archive: one view per message of the DBC, and the view "sessions".

    A view has event, car, stage, session, time (UTC), t_us (since power-on), bus and the signals
    in their units. Without SQL the views are listed. A car keeps the DBC that its sessions were
    decoded with, and --j1939: new ones are decoded so, and --dbc leaves those of other cars as
    they are.

    Exit 1 if a session that was queried is not complete, if its file is missing or not what the
    manifest says, if one below the archive is not decoded, or if a session file there is in no
    manifest.
    """
    from stagelog.extras import need
    from stagelog.query import Archive

    if as_csv and as_json:
        raise UsageError("--csv and --json together", "choose one")
    if sql and view:
        raise UsageError("SQL and --view together", "choose one")
    need("duckdb", "query")  # before minutes of decoding
    if cars and not dbc:
        raise UsageError("--car without --dbc", "it says whose sessions the DBC is for")
    if j1939 is not None and not dbc:
        raise UsageError("--j1939 or --no-j1939 without --dbc", "it says how the DBC is read")
    n_failed = decode_missing(archive, dbc, cars, j1939)
    with Archive(archive) as opened:
        if sql:
            columns, rows = opened.rows(sql)
        elif view:
            columns = ["column", "unit"]
            rows = [(column.name, column.unit) for column in opened.columns(view)]
        else:
            columns = ["view", "files"]
            rows = [(name, len(paths)) for name, paths in sorted(opened.files.items())]
        verdict, n_undecoded = report_gaps(opened, bool(dbc))
    _print(columns, rows, as_csv, as_json, verdict)
    raise SystemExit(1 if n_failed or n_undecoded or (verdict and verdict.exit_code) else 0)


def report_gaps(opened: Archive, with_unlisted: bool) -> tuple[Verdict | None, int]:
    """Print what the views that were asked lack; return the worst verdict on their sessions, None
    without any, and how many sessions are not decoded.

    with_unlisted  also of session files that no manifest names
    """
    from stagelog.verdict import worst

    verdicts = opened.verdicts | (opened.unlisted if with_unlisted else {})
    for path, judged in verdicts.items():
        if judged.exit_code:
            click.echo(f"{path.stem}: {judged.text}", err=True)
    for entry in opened.undecoded:
        click.echo(f"{entry.path.stem} is not decoded and not counted: add --dbc", err=True)
    return worst(verdicts.values()) if verdicts else None, len(opened.undecoded)


def decode_missing(
    archive: str, dbc: tuple[str, ...], cars: tuple[str, ...], j1939: bool | None = None
) -> int:
    """Decode what is not decoded, with --dbc, else with what the fleet file has for a car, or what
    it was decoded with before; return how many sessions could not be.
    """
    from stagelog.lake import decode_archive, undecoded_cars

    n_failed = 0
    wanted = None if dbc else undecoded_cars(archive)
    for database, own in databases_of_cars(archive, dbc, cars, wanted, j1939):
        try:
            for entry, n, problem in decode_archive(Path(archive), database, cars=own):
                n_failed += problem is not None
                what = (
                    f"NOT decoded: {problem}"
                    if problem
                    else f"decoded, {count_text(n, 'message')}"
                )
                click.echo(f"{entry.path.name} {what}", err=True)
        except OutputError as error:
            if dbc:
                raise
            click.echo(f"nothing more is decoded: {error}", err=True)
    return n_failed


def _print(
    columns: list[str],
    rows: list[tuple[Any, ...]],
    as_csv: bool,
    as_json: bool,
    verdict: Verdict | None,
) -> None:
    if as_json:
        facts = {
            "columns": columns,
            "rows": [dict(zip(columns, row, strict=True)) for row in rows],
        }
        if verdict:
            facts |= {"complete": verdict.complete, "verdict": verdict.as_dict()}
        print_json("stagelog.query/1", facts)
    elif as_csv:
        csv.writer(sys.stdout).writerows([columns, *rows])
    elif rows:
        print_table([[_cell(value) for value in row] for row in rows], columns)
    else:
        click.echo("no rows", err=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
