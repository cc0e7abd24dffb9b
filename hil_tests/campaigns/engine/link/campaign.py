"""The link campaign as a whole: how many transfers of each kind, one tally, one table, one case.

Owns the plan, the state in a file and the words of the table. The kinds are in links, kills and
loggers; a kind of fault is one name, and "name:number" with the seed is one transfer.
"""

import contextlib
import time
from functools import partial
from unittest import mock

from campaigns.engine.link import kills, links, loggers
from campaigns.engine.results import Row, findings_of, rows_of
from stagelog.archive import facts
from stagelog.archive.manifest import sha256_of

_SLICE = 250
SOURCES = (
    "logger/service.py",
    "slog/framing.py",
    "slog/messages.py",
    "stagelog/link.py",
    "stagelog/download.py",
    "stagelog/archive/*.py",
)


def _twice(tally):
    return f"at most {max(0, tally.worst['unplug: twice']):,} bytes sent twice"


def _slowest(tally):
    return f"longest {tally.worst['truncation: ms'] / 1000:.2f} s for 16 KiB"


def _flood(tally):
    return f"{tally.worst['garbage: flood'] >> 10:,} KiB of noise at once, then in step at once"


def _calls(kind, tally):
    return f"{tally.worst[f'{kind}: calls']} calls in one fetch, each in turn"


def _refused(tally):
    return f"{tally.states['overwritten: refused']:,} refused, the others kept with their holes"


def _waited(tally):
    return f"{tally.worst['asleep: blocks']} blocks waited at most"


# kind: (function, words, transfers of the short form, of 100,000)
KINDS = {
    **{
        name: (links.rated(name), partial(links.rated_text, name=name), 2, 150)
        for name in links.RATED
    },
    "all at once, drawn": (
        links.rated("all at once, drawn"),
        partial(links.rated_text, name="all at once, drawn"),
        6,
        8000,
    ),
    "unplug": (links.unplug, _twice, 20, 67_000),
    "truncation": (links.truncation, _slowest, 24, 20_000),
    "garbage": (links.garbage, _flood, 12, 4000),
    "reset": (loggers.device_reset, None, 3, 500),
    "two loggers": (loggers.two_loggers, None, 2, 300),
    "hostile": (loggers.hostile, None, 2000, 0),
    "kill": (kills.killed, partial(_calls, "kill"), 33, 3000),
    "disk full": (kills.disk_full, partial(_calls, "disk full"), 23, 1000),
    "overwritten": (loggers.overwritten, _refused, 3, 300),
    "asleep": (loggers.asleep, _waited, 1, 20),
}
_TITLES = {
    "unplug": "unplugged at every byte, plugged in again",
    "truncation": "bytes missing at every place",
    "garbage": "garbage, modem probes",
    "reset": "logger reset in mid-transfer",
    "two loggers": "two loggers, one folder",
    "hostile": "hostile commands",
    "kill": "host killed at any system call",
    "disk full": "host's disk full at any call",
    "overwritten": "session overwritten meanwhile",
    "asleep": "host asleep ten minutes",
}


def plan(n_transfers=None):
    """Return {kind: transfers}: the short form, or about `n_transfers` in all."""
    if n_transfers is None:
        return {kind: entry[2] for kind, entry in KINDS.items()}
    counts = {kind: max(1, entry[3] * n_transfers // 100_000) for kind, entry in KINDS.items()}
    counts["hostile"] = 3 * n_transfers
    return counts


@contextlib.contextmanager
def remembered_facts():
    """What a file's blocks say of themselves is computed once for the same bytes: a third of the
    time of a transfer, and no fault of a cable can change it.
    """
    compute, known = facts.facts_of_blocks, {}

    def remembered(path, values):
        fixed = {name: value for name, value in values.items() if name != "archived_unix_us"}
        key = sha256_of(path), repr(sorted(fixed.items()))
        if key not in known:
            known[key] = compute(path, values)
        return known[key]

    with mock.patch.object(facts, "facts_of_blocks", remembered):
        yield


@remembered_facts()
def run(tally, counts, seconds=None, keep=lambda: None):
    """Continue a Tally until it holds the transfers of `counts`; `keep` may save it."""
    deadline = time.monotonic() + (1e9 if seconds is None else seconds)
    for kind, n in counts.items():
        while tally.states[kind] < n and time.monotonic() < deadline:
            first = tally.states[kind]
            numbers = range(first, min(n, first + (_SLICE if kind != "hostile" else 100_000)))
            start = time.monotonic()
            KINDS[kind][0](tally, numbers)
            tally.states[kind] += len(numbers)
            tally.add_seconds(kind, time.monotonic() - start)
            keep()


def rows(tally):
    """Return the table of a Tally: one Row for each kind."""
    n_faulted = sum(tally.states[f"{kind}: faulted"] for kind in KINDS)
    n_all = sum(tally.states[kind] for kind in KINDS)
    text = f"{n_faulted:,} of them with a fault"
    found = [Row("link, all", n_all, tally.n_violations, text, tally.seed)]

    def words(kind):
        words_of_kind = KINDS[kind][1]
        return words_of_kind(tally) if words_of_kind else ""

    return found + rows_of(
        tally, {kind: f"link: {_TITLES.get(kind, kind)}" for kind in KINDS}, words
    )


def reproduce(seed, case):
    """Run one transfer, "kind:number", again; return its findings."""

    def run_one(tally, kind, number):
        KINDS[kind][0](tally, range(number, number + 1))

    return findings_of(seed, case, KINDS, run_one)
