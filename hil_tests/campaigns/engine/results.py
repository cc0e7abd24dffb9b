"""What campaigns bring home: findings, tallies that can be resumed, and the one table of all."""

import time
from collections import Counter
from dataclasses import dataclass, field

from stagelog.errors import UsageError

_KEPT = 12


@dataclass(slots=True)
class Finding:
    """A violation: which invariant, where, what. `case` reproduces it with the seed."""

    invariant: str
    case: str
    kind: str
    text: str

    def __str__(self):
        return f"{self.invariant} {self.case} ({self.kind}): {self.text}"


@dataclass(slots=True)
class Tally:
    """What a campaign has seen so far.

    states, violations   per kind of fault
    n_mounted            states that the shipped code has mounted; others look the same to it
    worst                figure -> largest value
    """

    seed: int
    next_scenario: int = 0
    next_chain: int = 0
    n_mounted: int = 0
    seconds: float = 0.0
    states: Counter = field(default_factory=Counter)
    violations: Counter = field(default_factory=Counter)
    worst: dict = field(default_factory=dict)
    findings: list = field(default_factory=list)

    @property
    def n_states(self):
        """States after a cut that were checked."""
        return self.states.total() - self.states["host reader"] - self.states["rot"]

    @property
    def n_violations(self):
        """Violations found."""
        return self.violations.total()

    def note_worst(self, name, value):
        """Keep the largest value of a figure."""
        if value > self.worst.get(name, -1):
            self.worst[name] = value

    def add_seconds(self, kind, seconds):
        """Add to the time that cases of a kind took."""
        name = f"{kind}: total_us"
        self.worst[name] = self.worst.get(name, 0) + round(seconds * 1e6)

    def seconds_of(self, kind):
        """Return the time that cases of a kind took."""
        return self.worst.get(f"{kind}: total_us", 0) / 1e6

    def add(self, finding):
        """Count a violation; the first few of each kind are kept."""
        self.violations[finding.kind] += 1
        if self.violations[finding.kind] <= _KEPT:
            self.findings.append(finding)


@dataclass(slots=True)
class Row:
    """One line of the table: a kind of fault, how often it was tried, what came of it."""

    fault: str
    n_cases: int
    n_violations: int
    worst: str
    seed: int
    seconds: float | None = None


def in_turn(tally, kinds, n_cases, run_one, seconds=None, keep=lambda: None):
    """Continue a Tally until it holds n_cases, kind by kind in turn.

    run_one   called with (tally, kind, number within the kind)
    seconds   stop after this time
    keep      called after each case: the tally may be saved
    """
    kinds = list(kinds)
    start = time.monotonic()
    while tally.states.total() < n_cases:
        if seconds is not None and time.monotonic() - start > seconds:
            break
        turn, at = divmod(tally.states.total(), len(kinds))
        began = time.monotonic()
        run_one(tally, kinds[at], turn)
        tally.states[kinds[at]] += 1
        tally.add_seconds(kinds[at], time.monotonic() - began)
        keep()
    tally.seconds += time.monotonic() - start


def split_case(case, kinds):
    """Return (kind, number) of a case "kind:number"; UsageError if there is none such."""
    kind, _, number = case.rpartition(":")
    if kind not in kinds or not number.isdecimal():
        raise UsageError(f"no case '{case}'", f"kind:number, kinds are {', '.join(kinds)}")
    return kind, int(number)


def rows_of(tally, titles, words):
    """Return a Row for each kind that has cases.

    titles   kind -> first column of the table
    words    kind -> its worst figure in words
    """
    return [
        Row(title, n, tally.violations[kind], words(kind), tally.seed, tally.seconds_of(kind))
        for kind, title in titles.items()
        if (n := tally.states[kind])
    ]


def findings_of(seed, case, kinds, run_one):
    """Run one case, "kind:number", again; return its findings."""
    tally = Tally(seed)
    run_one(tally, *split_case(case, kinds))
    return tally.findings


def format_table(rows):
    """Return the table of all campaigns as text, one Row a line."""
    head = ("fault", "cases", "violations", "worst figure", "seed", "s")
    lines = [head]
    for row in rows:
        seconds = "" if row.seconds is None else f"{row.seconds:,.0f}"
        cells = (row.fault, f"{row.n_cases:,}", f"{row.n_violations:,}", row.worst)
        lines.append((*cells, str(row.seed), seconds))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    right = (False, True, True, False, True, True)
    text = []
    for line in lines:
        cells = [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)
