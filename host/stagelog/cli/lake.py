"""stagelog lake: the decoded tables of a whole archive."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import duration_text, json_option, print_json
from stagelog.cli._dbc import dbc_option, j1939_option
from stagelog.cli._fleet import archive_option, dbcs_of_all
from stagelog.cli._lake import databases_of_cars
from stagelog.counts import count_text
from stagelog.errors import InputError

if TYPE_CHECKING:
    from stagelog.archive import Entry
    from stagelog.dbc import Database
    from stagelog.lake.build import Workers


@click.group()
def command() -> None:
    """Keep the decoded tables of the archive, which 'stagelog query' asks."""


@command.command()
@archive_option
@dbc_option("Database to decode with.  [default: each car's own]", dbcs_of_all)
@click.option("--car", "cars", multiple=True, help="Only this car; may be repeated.")
@j1939_option
@click.option("--force", is_flag=True, help="Decode what is up to date, too.")
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 256),
    help="Processes, 1: none beside this.  [default: one per processor; none for little]",
)
@click.option(
    "--cluster",
    metavar="dask[:ADDRESS]",
    help="Decode on Dask: on this machine, or by the scheduler at ADDRESS.",
)
@json_option
def build(
    archive: str,
    dbc: tuple[str, ...],
    cars: tuple[str, ...],
    j1939: bool | None,
    force: bool,
    jobs: int | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """Decode all sessions of the archive whose tables are not what log, DBC and decoder make now.

    Each session's tables appear whole or not at all, in Parquet, in the archive's own folders:
    event=, car=, stage=, session=, as Spark, Trino, Polars and DuckDB read them. A killed worker
    costs its file only: another worker takes it. Workers on other machines must see archive and
    DBC under the same paths.

    Exit 1 if a session could not be decoded, or if nobody knows the DBC of its car.
    """
    from stagelog.extras import need
    from stagelog.lake import build as build_lake
    from stagelog.lake.workers import PROCESSES_FROM_BYTES, workers_of
    from stagelog.platform.processes import processors

    need("pyarrow.parquet", "parquet")  # before minutes of decoding
    n_workers = jobs or processors()
    workers: Workers | None = workers_of(cluster, n_workers)
    started_s = time.monotonic()
    stale, n_sessions, unknown = _stale(archive, dbc, cars, j1939, force)
    n_bytes = sum(entry.values["n_bytes"] for entry, _ in stale)
    is_little = jobs is None and n_bytes < PROCESSES_FROM_BYTES
    if not cluster and (is_little or min(n_workers, len(stale)) < 2):
        workers = None  # processes would take longer to start than they save
    for entry in unknown:
        click.echo(f"{_words(entry)} NOT decoded: the DBC of its car is not known", err=True)
    rows = []
    for entry, n_messages, problem in build_lake(archive, stale, workers):
        what = (
            f"NOT decoded: {problem}"
            if problem
            else f"decoded, {count_text(n_messages, 'message')}"
        )
        click.echo(f"{_words(entry)} {what}", err=problem is not None or as_json)
        rows.append({"path": str(entry.path), "n_messages": n_messages, "problem": problem})
    n_failed = sum(row["problem"] is not None for row in rows) + len(unknown)
    facts = {
        "n_sessions": n_sessions,
        "n_decoded": sum(row["problem"] is None for row in rows),
        "n_up_to_date": n_sessions - len(rows) - len(unknown),
        "n_failed": n_failed,
        "elapsed_s": round(time.monotonic() - started_s, 3),
    }
    if as_json:
        print_json("stagelog.lake.build/1", {**facts, "sessions": rows})
    else:
        click.echo(
            f"{archive}: {facts['n_decoded']:,} of {count_text(n_sessions, 'session')} decoded, "
            f"{facts['n_up_to_date']:,} up to date, {n_failed:,} not decoded, "
            f"{duration_text(facts['elapsed_s'] * 1e6)}"
        )
    raise SystemExit(1 if n_failed else 0)


def _stale(
    archive: str,
    dbc: tuple[str, ...],
    cars: tuple[str, ...],
    j1939: bool | None,
    force: bool,
) -> tuple[list[tuple[Entry, Database]], int, list[Entry]]:
    """Return (what is to be decoded, number of sessions of these cars, those of cars without a
    DBC).
    """
    from stagelog.archive import counted, find_sessions
    from stagelog.lake import cars_of, stale_sessions
    from stagelog.lake.tables import car_of

    chosen = set(cars) or cars_of(archive)
    entries = [entry for entry in counted(find_sessions(archive)) if car_of(entry) in chosen]
    if not entries:
        raise InputError(f"{archive} holds no session", "name the archive with --archive")
    stale: list[tuple[Entry, Database]] = []
    known: set[str] = set()
    for database, own in databases_of_cars(archive, dbc, cars, chosen, j1939):
        known |= set(own)
        stale += stale_sessions(archive, database, own, force)
    return stale, len(entries), [entry for entry in entries if car_of(entry) not in known]


def _words(entry: Entry) -> str:
    """Return car, stage and session for people."""
    values = [part.partition("=")[2] for part in entry.folder.parts if "=" in part]
    return " ".join([*values, entry.path.stem])
