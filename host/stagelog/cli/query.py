"""stagelog query: SQL over the archive, offline."""

import csv
import sys
from pathlib import Path

import click

from stagelog.cli._common import json_option, print_json, print_table
from stagelog.errors import UsageError


@click.command()
@click.argument("sql", required=False)
@click.option(
    "--archive",
    type=click.Path(),
    default="archive",
    show_default=True,
    help="The archive, or a folder of it.",
)
@click.option("--dbc", type=click.Path(), help="Decode first what is not decoded with this DBC.")
@click.option("--view", help="Show the columns of this view.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
def command(sql, archive, dbc, view, as_csv, as_json):
    """Run SQL over the archive: one view per message of the DBC, and the view "sessions".

    A view has event, car, stage, session, time (UTC), t_us (since power-on), bus and the signals
    in their units. Without SQL the views are listed.
    """
    from stagelog.extras import need
    from stagelog.query import Archive

    if as_csv and as_json:
        raise UsageError("--csv and --json together", "choose one")
    need("duckdb", "query")  # before minutes of decoding
    if dbc:
        _decode(archive, dbc)
    with Archive(archive) as opened:
        if sql:
            columns, rows = opened.rows(sql)
        elif view:
            columns = ["column", "unit"]
            rows = [(column.name, column.unit) for column in opened.columns(view)]
        else:
            columns = ["view", "files"]
            rows = [(name, len(paths)) for name, paths in sorted(opened.files.items())]
    _print(columns, rows, as_csv, as_json)


def _decode(archive, dbc):
    from stagelog.dbc import load_database
    from stagelog.query import decode_archive

    for entry, n, problem in decode_archive(Path(archive), load_database(dbc)):
        what = f"NOT decoded: {problem}" if problem else f"decoded, {n} messages"
        click.echo(f"{entry.path.name} {what}", err=True)


def _print(columns, rows, as_csv, as_json):
    if as_json:
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json("stagelog.query/1", {"columns": columns, "rows": named})
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
