"""tools/campaign flights, flight-faults, flight-changes: detectors on drives of the second car.

Owns the options; the drives are made once and kept in the cache.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

import click

from campaigns.engine.other_car import changes, drives, faults, scores, tables, terrain
from campaigns.engine.other_car.cars import DISTANCES

_PEERS_FILE = Path(__file__).resolve().parents[4] / "host" / "benchmarks" / "event_peers.py"
_kinds = click.option(
    "--kinds",
    default="scoring",
    show_default=True,
    help="tuning, scoring, all, or names with commas. Whoever tunes takes tuning only.",
)
_count = click.option("--drives", "n_drives", default=40, show_default=True, help="of a kind")
_jobs = click.option("--jobs", default=2, show_default=True, help="processes")
_as_json = click.option("--json", "as_json", is_flag=True, help="figures for a program")


def _peers():
    """Return the rules of others that host/benchmarks has."""
    spec = importlib.util.spec_from_file_location("event_peers", _PEERS_FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["event_peers"] = module  # processes find its functions by this name
    spec.loader.exec_module(module)
    return module.PEERS


def _chosen(kinds):
    if kinds in ("tuning", "scoring", "all"):
        return scores.kinds_of(kinds)
    names = tuple(kinds.split(","))
    unknown = set(names) - set(terrain.KINDS)
    if unknown:
        known = ", ".join(terrain.KINDS)
        raise click.UsageError(f"no kind of terrain: {', '.join(sorted(unknown))}; of {known}")
    return names


def _made(names, jobs):
    start = time.monotonic()

    def progress(done, of):
        click.echo(f"made {done} of {of} batches, {time.monotonic() - start:.0f} s", err=True)

    drives.make_drives(names, jobs, progress=progress)


@click.command("flights")
@_kinds
@_count
@click.option("--distance", type=click.Choice((*DISTANCES, "both")), default="both")
@click.option("--peers", is_flag=True, help="also free fall, PX4, ArduPilot, a jump app")
@click.option("--markdown", type=click.Path(path_type=Path), help="write the table to this file")
@click.option("--list", "listed", is_flag=True, help="name what was lost, false or late")
@click.option("--make-only", is_flag=True, help="make the drives, judge nothing")
@_jobs
@_as_json
def flights(kinds, n_drives, distance, peers, markdown, listed, make_only, jobs, as_json):
    """Score flights on drives of another author's car, per kind and distance from the profile."""
    distances = DISTANCES if distance == "both" else (distance,)
    names = drives.names_of(_chosen(kinds), distances, n_drives)
    _made(names, jobs)
    if make_only:
        return
    found = scores.judge_all(names, jobs, rules=_peers() if peers else ())
    rows = tables.rows_of(found)
    if listed:
        ours = (score for key, score in found.items() if key[0] == tables.OURS)
        click.echo("\n".join(note for score in ours for note in score.notes), err=True)
    if markdown:
        markdown.write_text(tables.markdown(rows) + "\n", encoding="utf-8")
    click.echo(json.dumps(rows, indent=1) if as_json else tables.plain(rows))


@click.command("flight-faults")
@click.option(
    "--fault", "names", multiple=True, type=click.Choice(faults.FAULTS), help="only this"
)
@click.option("--kind", default="table_top", show_default=True, type=click.Choice(terrain.KINDS))
@click.option("--drives", "n_drives", default=20, show_default=True)
@_jobs
@_as_json
def flight_faults(names, kind, n_drives, jobs, as_json):
    """Score flights while a sensor is gone, stuck, frozen or noisy; near cars only."""
    asked = drives.names_of((kind,), ("near",), n_drives)
    _made(asked, jobs)
    found = {}
    for fault in (None, *(names or faults.FAULTS)):
        sums = scores.judge_all(asked, jobs, fault=fault)
        found[fault or "none"] = scores.total(sums, lambda *_: True)
    if as_json:
        click.echo(json.dumps({name: scores.row(s) for name, s in found.items()}, indent=1))
    else:
        click.echo(tables.faults_markdown(found))


@click.command("flight-changes")
@click.option("--kind", default="table_top", show_default=True, type=click.Choice(terrain.KINDS))
@click.option("--drives", "n_drives", default=12, show_default=True)
@_jobs
@_as_json
def flight_changes(kind, n_drives, jobs, as_json):
    """Score flights of near cars with one setting changed at a time."""
    names = drives.names_of((kind,), tuple(changes.CHANGES), n_drives)
    _made(names, jobs)
    sums = scores.judge_all(names, jobs)
    rows = {label: scores.row(sums[tables.OURS, kind, label]) for label in changes.CHANGES}
    click.echo(json.dumps(rows, indent=1) if as_json else tables.plain(rows))


COMMANDS = (flights, flight_faults, flight_changes)
