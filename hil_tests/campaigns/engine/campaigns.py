"""The campaigns of `tools/campaign`: one table, the same three verbs for each.

    run(tally, n_cases, seconds, keep)   continue a Tally until it holds n_cases or time is over
    rows(tally)                          its lines of the one table
    reproduce(seed, case)                run one case again: its findings

Owns the table, the sizes of the short and the long form, and which sources a kept tally belongs
to. The campaigns are in their own modules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from campaigns.engine import controls, tally_file
from campaigns.engine.bus import campaign as bus
from campaigns.engine.bus import edges, pins
from campaigns.engine.card import campaign as card
from campaigns.engine.card import nth_call
from campaigns.engine.link import campaign as link
from campaigns.engine.parsers import campaign as parsers
from campaigns.engine.parsers import guided, replay, state
from campaigns.engine.parsers.targets import TARGETS
from campaigns.engine.power_cut import cuts, updates
from campaigns.engine.results import Finding, Row, Tally
from campaigns.engine.soak import heaps, marathon
from stagelog.rig.runtimes import find_runtime

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign.

    help       what it does to what
    form       how a case is written
    sizes      cases of the short and of the long form; None: all that there are, or the plan's own
    options    click options of its own, passed to `run` by name
    load, save a tally in a file; by default it belongs to the firmware that writes to the card
    """

    help: str
    form: str
    sizes: tuple[int | None, int | None]
    run: Callable[..., None]
    rows: Callable[[Tally], list[Row]]
    reproduce: Callable[[int, str], list[Finding]]
    options: tuple[Callable, ...] = ()
    load: Callable[[Path], Tally] = partial(tally_file.load_of, tally_file.FIRMWARE)
    save: Callable[[Tally, Path], None] = partial(tally_file.save_of, tally_file.FIRMWARE)


def _run_cuts(tally, n_cases, seconds, keep, every=1):
    cuts.run(tally, n_cases, seconds, keep, every)


def _run_link(tally, n_cases, seconds, keep, kinds=()):
    counts = link.plan(n_cases)
    link.run(tally, {kind: counts[kind] for kind in kinds or counts}, seconds, keep)


def _run_parsers(tally, n_cases, seconds, keep, names=(), folder=None, again=False):
    """By chance, by coverage into `folder`, or `again` on MicroPython."""
    if again:
        found = {name: find_runtime(name) for name in ("unix64", "unix32")}
        runtimes = {name: path for name, path in found.items() if path}
        names = [name for name in replay.NAMES if name in (names or TARGETS)]
        replay.run(tally, n_cases, runtimes, folder, names, keep)
    elif folder is not None:
        guided.run(tally, n_cases, folder, seconds, names, keep)
    else:
        parsers.run(tally, n_cases, seconds, names, keep)


def _load_parsers(path):
    tally, changed = state.load(path)
    for name in changed:
        click.echo(f"{name}: its sources changed, what was counted is void", err=True)
    return tally


def _of_sources(*patterns):
    """Return (load, save) of tallies that belong to these sources (tally_file.digest_of)."""
    return partial(tally_file.load_of, patterns), partial(tally_file.save_of, patterns)


_FIRMWARE = _of_sources("slog/*.py", "logger/*.py", "boards/files.py", "main.py")

_PIO = _of_sources("drivers/pio_*.py", "drivers/raw_ring.py")

CAMPAIGNS = {
    "power-cut": Campaign(
        "Cut the power at and inside every write, in every way a card allows.",
        "scenario:write:variant, nested:chain:life or rot:what:number",
        (100_000, 10_000_000),
        _run_cuts,
        cuts.rows,
        cuts.reproduce,
        (click.option("--every", default=1, show_default=True, help="Cut one write in so many."),),
    ),
    "card": Campaign(
        "Cards that stall, reject, lie, rot, go away, wear out, fill up.",
        "fault:number",
        (4 * len(card.FAULTS), 200 * len(card.FAULTS)),
        card.run,
        card.rows,
        card.reproduce,
        (),
        *_FIRMWARE,
    ),
    "nth-call": Campaign(
        "Every call to card and settings memory fails once, and for good.",
        "scenario:call:once, scenario:call:for good or scenario:none",
        (145, None),
        nth_call.run,
        nth_call.rows,
        nth_call.reproduce,
        (),
        *_FIRMWARE,
    ),
    "link": Campaign(
        "Sessions fetched through every kind of fault of cable, logger and host.",
        "kind:number",
        (None, 100_000),
        _run_link,
        link.rows,
        link.reproduce,
        (click.option("--kind", "kinds", multiple=True, type=click.Choice(list(link.KINDS))),),
        *_of_sources(*link.SOURCES),
    ),
    "bus": Campaign(
        "Every kind of fault of a CAN bus; the logger must store what a listener saw.",
        "kind:number",
        (2 * len(bus.KINDS), 20_000),
        bus.run,
        bus.rows,
        bus.reproduce,
    ),
    "pins": Campaign(
        "The bus campaign bit by bit on an emulated pin, heard by a board without a controller.",
        "kind:number",
        (len(pins.KINDS), 2_000),
        pins.run,
        pins.rows,
        pins.reproduce,
        (),
        *_PIO,
    ),
    "edges": Campaign(
        "Edges out of place and wrong bits at 1 Mbit/s, heard by a board without a controller; "
        "cases are 5,000 frames.",
        "line:number",
        (len(edges.KINDS), 1_000),
        edges.run,
        edges.rows,
        edges.reproduce,
        (
            click.option(
                "--lines",
                "chosen",
                type=click.Choice(("all", "within", "bits", "map")),
                default="all",
                show_default=True,
                help="What is promised, wrong bits, or where it ends.",
            ),
        ),
        *_PIO,
    ),
    "parsers": Campaign(
        "Mutated and random bytes for everything that reads bytes: by chance, by coverage, "
        "replayed on MicroPython. All three count in one --resume file.",
        "target:number or target:FILE",
        (4000, 10_000_000),
        _run_parsers,
        parsers.rows,
        parsers.reproduce,
        (
            click.option("--target", "names", multiple=True, type=click.Choice(list(TARGETS))),
            click.option(
                "--guided", "folder", type=_PATH, help="By coverage (atheris); corpora stay here."
            ),
            click.option(
                "--replay", "again", is_flag=True, help="On MicroPython, what is the logger's own."
            ),
        ),
        _load_parsers,
        state.save,
    ),
    "soak": Campaign(
        "A marathon stage in virtual time; cases are minutes of driving.",
        "minutes:block or minutes:end",
        (15, 48 * 60),
        marathon.run,
        marathon.rows,
        marathon.reproduce,
        (),
        *_FIRMWARE,
    ),
    "flash": Campaign(
        "Settings and firmware slots cut at every operation, on littlefs under MicroPython.",
        "settings:turn:operation:tear or slot:turn:operation:tear",
        (None, None),
        updates.run,
        updates.rows,
        updates.reproduce,
        (),
        *_FIRMWARE,
    ),
    "heap": Campaign(
        "Less and less heap under MicroPython.",
        "bytes of heap",
        (10, 60),
        heaps.run,
        heaps.rows,
        heaps.reproduce,
        (),
        *_FIRMWARE,
    ),
    "controls": Campaign(
        "The logger broken on purpose: the campaigns must notice.",
        "name of the control",
        (None, None),
        controls.run,
        controls.rows,
        controls.reproduce,
        (),
        *_FIRMWARE,
    ),
}
