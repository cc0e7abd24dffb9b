"""tools/campaign bus, parsers, link: run any number of cases, resume, reproduce one.

Owns the options, the same for each of them, and the sizes of the short and the long form; the
campaigns are in engine/bus, engine/parsers and engine/link.
"""

import sys
import time
from pathlib import Path

import click

from campaigns.engine.bus import campaign as bus_campaign
from campaigns.engine.link import campaign as transfers
from campaigns.engine.parsers import campaign as parser_campaign
from campaigns.engine.parsers import guided as parser_guided
from campaigns.engine.parsers import replay as parser_replay
from campaigns.engine.parsers import state as parser_state
from campaigns.engine.parsers.targets import TARGETS
from campaigns.engine.results import Tally, format_table, load_tally, save_tally
from stagelog.rig.runtimes import find_runtime

SEED = 20261120
_SAVE_EVERY_s = 30
_PATH = click.Path(path_type=Path)
SIZES = {  # cases of the short and of the long form; None: the plan's own
    "bus": (2 * len(bus_campaign.KINDS), 20_000),
    "parsers": (4000, 10_000_000),
    "link": (None, 100_000),
    "power-cut": (100_000, 10_000_000),
}


def with_case_options(what):
    """Return a decorator that adds the options of a campaign of single cases to a command.

    what  how a case is written, for --case
    """
    options = (
        click.option("--long", is_flag=True, help="The long form."),
        click.option("--cases", type=int, help="About so many instead."),
        click.option("--case", help=f"Reproduce one: {what}."),
        click.option("--seed", default=SEED, show_default=True),
        click.option("--seconds", type=float, help="Stop after this time; --resume continues."),
        click.option("--resume", type=_PATH, help="Keep the tally here and continue it."),
    )

    def add(command):
        for option in reversed(options):
            command = option(command)
        return command

    return add


def size_of(campaign, long, cases):
    """Return the number of cases to run: as asked for, else that of the form."""
    return SIZES[campaign][long] if cases is None else cases


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


@click.command("bus")
@with_case_options("kind:number")
def bus(long, cases, case, seed, seconds, resume):
    """Every kind of fault of a CAN bus; the logger must store what a listener saw."""
    if case is not None:
        _say_again(bus_campaign.reproduce(seed, case), seed, case)
    tally = _open(seed, resume)
    _in_slices(tally, bus_campaign.run, size_of("bus", long, cases), seconds, resume)
    _say(bus_campaign.rows(tally), tally.findings, "bus", tally.seed)


@click.command("parsers")
@click.option("--target", "names", multiple=True, type=click.Choice(list(TARGETS)))
@click.option("--guided", type=_PATH, help="by coverage (atheris); corpora stay in this folder")
@click.option("--replay", is_flag=True, help="on MicroPython, what is the logger's own")
@click.option("--file", type=_PATH, help="run this file on the one --target")
@with_case_options("target:number")
def parsers(names, guided, replay, file, long, cases, case, seed, seconds, resume):
    """Mutated and random bytes for everything that reads bytes: by chance, by coverage, replayed.

    All three count in one --resume file; executions of a target whose sources changed are void.
    """
    if case is not None:
        _say_again(parser_campaign.reproduce(seed, case), seed, case)
    if file is not None:
        if len(names) != 1:
            raise click.UsageError("--file needs one --target")
        _say_again(parser_campaign.run_file(names[0], file), seed, file)
    executions = size_of("parsers", long, cases)
    tally, changed = Tally(seed), []
    if resume is not None and resume.exists():
        tally, changed = parser_state.load(resume)
    for name in changed:
        click.echo(f"{name}: its sources changed, what was counted is void", err=True)

    def keep():
        if resume is not None:
            parser_state.save(tally, resume)

    if replay:
        found = {name: find_runtime(name) for name in ("unix64", "unix32")}
        runtimes = {name: path for name, path in found.items() if path}
        names = [name for name in parser_replay.NAMES if name in (names or TARGETS)]
        parser_replay.run(tally, executions, runtimes, guided, names, keep)
    elif guided is not None:
        parser_guided.run(tally, executions, guided, seconds, names, keep)
    else:
        parser_campaign.run(tally, executions, seconds, names, keep)
    keep()
    _say(parser_campaign.rows(tally), tally.findings, "parsers", tally.seed)


@click.command("link")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(transfers.KINDS)))
@with_case_options("kind:number")
def link(kinds, long, cases, case, seed, seconds, resume):
    """Sessions fetched through every kind of fault of cable, logger and host."""
    if case is not None:
        _say_again(transfers.reproduce(seed, case), seed, case)
    tally = transfers.load(resume) if resume is not None and resume.exists() else Tally(seed)

    def keep():
        if resume is not None:
            transfers.save(tally, resume)

    counts = transfers.plan(size_of("link", long, cases))
    transfers.run(tally, {kind: counts[kind] for kind in kinds or counts}, seconds, keep)
    click.echo(f"{transfers.n_faulted(tally):,} transfers with a fault")
    _say(transfers.rows(tally), tally.findings, "link", tally.seed)


COMMANDS = (bus, parsers, link)
