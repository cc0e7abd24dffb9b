"""tools/campaign bus-cases and parser: any number of cases, resumable, and one case again.

Owns the options; what is run is in bus_campaign and parser_campaign.
"""

import sys
import time
from pathlib import Path

import click

from . import bus_campaign, parser_campaign
from .parser_targets import TARGETS
from .results import Row, Tally, format_table, load_tally, save_tally

SEED = 20261120
_SAVE_EVERY_s = 30
_PATH = click.Path(path_type=Path)
_seed = click.option("--seed", default=SEED, show_default=True)
_seconds = click.option("--seconds", type=float, help="stop after this time; --resume goes on")
_resume = click.option("--resume", type=_PATH, help="keep the tally here and go on with it")


def _open(seed, path):
    return load_tally(path) if path is not None and path.exists() else Tally(seed)


def _in_slices(tally, run, n, seconds, path):
    """Call run(tally, n, seconds) until done, keeping the tally on the way."""
    deadline = time.monotonic() + (seconds or 1e9)
    while tally.states.total() < n and time.monotonic() < deadline:
        run(tally, n, min(_SAVE_EVERY_s, max(0.1, deadline - time.monotonic())))
        if path is not None:
            save_tally(tally, path)


def _say(rows, findings, command, seed):
    click.echo(format_table(rows))
    for finding in findings:
        click.echo(f"violation: {finding}")
        click.echo(f'reproduce: tools/campaign {command} --seed {seed} --case "{finding.case}"')
    sys.exit(1 if findings or any(row.n_violations for row in rows) else 0)


def _say_again(findings, seed, case):
    click.echo("\n".join(map(str, findings)) or f"case {case} of seed {seed}: no violation")
    sys.exit(bool(findings))


@click.command("bus-cases")
@click.option("--cases", default=200, show_default=True)
@click.option("--case", help="run one case again: kind:number")
@_seed
@_seconds
@_resume
def bus(cases, case, seed, seconds, resume):
    """Every trouble of a CAN bus; the logger must store what a listener saw."""
    if case is not None:
        _say_again(bus_campaign.reproduce(seed, case), seed, case)
    tally = _open(seed, resume)
    _in_slices(tally, bus_campaign.run, cases, seconds, resume)
    _say(bus_campaign.rows(tally), tally.findings, "bus-cases", tally.seed)


@click.command("parser")
@click.option("--executions", default=20_000, show_default=True)
@click.option("--target", "names", multiple=True, type=click.Choice(list(TARGETS)))
@click.option("--case", help="run one case again: target:number")
@click.option("--file", type=_PATH, help="give this file to the one --target")
@click.option("--guided", type=_PATH, help="by coverage (atheris); corpora stay in this folder")
@_seed
@_seconds
@_resume
def parser(executions, names, case, file, guided, seed, seconds, resume):
    """Mutated and random bytes for everything that reads bytes."""
    if case is not None:
        _say_again(parser_campaign.reproduce(seed, case), seed, case)
    if file is not None:
        if len(names) != 1:
            raise click.UsageError("--file needs one --target")
        _say_again(parser_campaign.run_file(names[0], file), seed, file)
    if guided is not None:
        _run_guided(names or TARGETS, executions, seed, guided)
    tally = _open(seed, resume)

    def run(tally, n, seconds):
        parser_campaign.run(tally, n, seconds, names)

    _in_slices(tally, run, executions, seconds, resume)
    _say(parser_campaign.rows(tally), tally.findings, "parser", tally.seed)


def _run_guided(names, executions, seed, folder):
    rows = []
    for name in names:
        start = time.monotonic()
        code, said = parser_campaign.run_guided(name, executions, seed, folder / name)
        seconds = time.monotonic() - start
        rows.append(Row(f"guided: {name}", executions, int(code != 0), said[:90], seed, seconds))
    click.echo(format_table(rows))
    sys.exit(any(row.n_violations for row in rows))


COMMANDS = (bus, parser)
