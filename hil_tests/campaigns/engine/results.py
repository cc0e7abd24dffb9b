"""What campaigns bring home: findings, tallies that can be resumed, and the one table of all."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from stagelog.errors import InputError
from stagelog.resources import firmware_path

_KEPT = 12
_UNDER_TEST = (
    "slog/layout",
    "slog/block",
    "logger/ring",
    "logger/store",
    "logger/extent",
    "logger/sessions",
)


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


@cache
def firmware_digest():
    """Return 12 hex digits that name the sources that write to the card and recover from it."""
    digest = hashlib.sha256()
    for name in _UNDER_TEST:
        digest.update((firmware_path() / f"{name}.py").read_bytes())
    return digest.hexdigest()[:12]


def save_tally(tally, path):
    """Write a tally so that `load_tally` continues it."""
    values = {name: getattr(tally, name) for name in Tally.__slots__}
    values["findings"] = [asdict(finding) for finding in tally.findings]
    values["firmware"] = firmware_digest()
    text = json.dumps(values, indent=1)
    temporary = Path(f"{path}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def load_tally(path):
    """Return the Tally of a file; InputError if it is of another firmware."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        firmware = values.pop("firmware")
        values["states"] = Counter(values["states"])
        values["violations"] = Counter(values["violations"])
        values["findings"] = [Finding(**finding) for finding in values["findings"]]
        tally = Tally(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no state of a campaign: {error}") from None
    if firmware != firmware_digest():
        raise InputError(
            f"{path} was made with firmware {firmware}, this is {firmware_digest()}",
            "begin a new file: counts of two firmwares do not add up",
        )
    return tally


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
