"""stagelog query: SQL over the archive, offline."""

import csv
import sys
from pathlib import Path

import click

from stagelog.cli._common import json_option, print_json, print_table
from stagelog.cli._fleet import dbc_of_all, fleet_option
from stagelog.errors import UsageError


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
@fleet_option(
    "--dbc",
    dbc_of_all,
    type=click.Path(readable=False),
    help="Decode first what is not decoded with this DBC.",
)
@click.option("--view", help="Show the columns of this view.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
def command(sql, archive, dbc, view, as_csv, as_json):
    """Run SQL over the archive: one view per message of the DBC, and the view "sessions".

    A view has event, car, stage, session, time (UTC), t_us (since power-on), bus and the signals
    in their units. Without SQL the views are listed. Exit 1 if a session that was queried is not
    complete, if its file is missing or not what the manifest says, if one below the archive is
    not decoded, or if a session file there is in no manifest.
    """
    from stagelog.extras import need
    from stagelog.query import Archive
    from stagelog.verdict import worst

    if as_csv and as_json:
        raise UsageError("--csv and --json together", "choose one")
    if sql and view:
        raise UsageError("SQL and --view together", "choose one")
    need("duckdb", "query")  # before minutes of decoding
    n_failed = _decode(archive, dbc) if dbc else 0
    with Archive(archive) as opened:
        if sql:
            columns, rows = opened.rows(sql)
        elif view:
            columns = ["column", "unit"]
            rows = [(column.name, column.unit) for column in opened.columns(view)]
        else:
            columns = ["view", "files"]
            rows = [(name, len(paths)) for name, paths in sorted(opened.files.items())]
        verdicts = opened.verdicts | (opened.unlisted if dbc else {})
        undecoded = opened.undecoded
    for path, verdict in verdicts.items():
        if verdict.exit_code:
            click.echo(f"{path.stem}: {verdict.text}", err=True)
    for entry in undecoded:
        click.echo(f"{entry.path.stem} is not decoded and not counted: add --dbc", err=True)
    verdict = worst(verdicts.values()) if verdicts else None
    _print(columns, rows, as_csv, as_json, verdict)
    raise SystemExit(1 if n_failed or undecoded or (verdict and verdict.exit_code) else 0)


def _decode(archive, dbc):
    from stagelog.dbc import load_database
    from stagelog.query import decode_archive

    n_failed = 0
    for entry, n, problem in decode_archive(Path(archive), load_database(dbc)):
        n_failed += problem is not None
        what = f"NOT decoded: {problem}" if problem else f"decoded, {n} messages"
        click.echo(f"{entry.path.name} {what}", err=True)
    return n_failed


def _print(columns, rows, as_csv, as_json, verdict):
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


def _cell(value):
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
