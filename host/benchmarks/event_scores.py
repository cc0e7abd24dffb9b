"""Scores of flights and of scenarios: what was found beside what truly happened.

Flights: a found one matches a true one if they overlap by half (intersection by union) or begin
within 150 ms of each other, one to one. True flights below 0.2 s are neither asked for nor held
against anybody (domain notes 4.5).
"""

import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2] / "hil_tests"))

from campaigns.engine.intervals import poisson_upper, wilson
from stagelog.events import read_events
from stagelog.events.reading import flights_of

NEAR_s = 0.15
BANDS = {"0.2-0.4 s": (0.2, 0.4), "> 0.4 s": (0.4, 99.0)}


@dataclass
class Score:
    """Sums over drives. Times in s."""

    km: float = 0.0
    found: dict = field(default_factory=lambda: dict.fromkeys(BANDS, 0))
    true: dict = field(default_factory=lambda: dict.fromkeys(BANDS, 0))
    false: int = 0
    withdrawn: int = 0
    n: int = 0
    onset: list = field(default_factory=list)
    airtime: list = field(default_factory=list)
    latency: list = field(default_factory=list)

    def add(self, other):
        """Add the sums of another score."""
        self.km += other.km
        self.false += other.false
        self.withdrawn += other.withdrawn
        self.n += other.n
        for band in BANDS:
            self.found[band] += other.found[band]
            self.true[band] += other.true[band]
        for name in ("onset", "airtime", "latency"):
            getattr(self, name).extend(getattr(other, name))

    @classmethod
    def total(cls, scores):
        """Return the sum of scores."""
        total = cls()
        for score in list(scores):
            total.add(score)
        return total

    def row(self):
        """Return the figures as a dict; None where nothing was asked."""

        def share(band):
            return 100 * self.found[band] / self.true[band] if self.true[band] else None

        def interval(band):
            return wilson(self.found[band], self.true[band]) if self.true[band] else None

        most = poisson_upper(self.false)

        def part(values, q):
            return 1e3 * float(np.percentile(np.abs(values), q)) if values else None

        return {
            "drives": self.n,
            "km": self.km,
            "recall_short_pct": share("0.2-0.4 s"),
            "recall_long_pct": share("> 0.4 s"),
            "interval_short_pct": interval("0.2-0.4 s"),
            "interval_long_pct": interval("> 0.4 s"),
            "n_short": self.true["0.2-0.4 s"],
            "n_long": self.true["> 0.4 s"],
            "false": self.false,
            "withdrawn": self.withdrawn,
            "false_per_100km": 100 * self.false / self.km if self.km else None,
            "false_at_most_per_100km": 100 * most / self.km if self.km else None,
            "live_per_100km": 100 * (self.false + self.withdrawn) / self.km if self.km else None,
            "onset_median_ms": part(self.onset, 50),
            "onset_p95_ms": part(self.onset, 95),
            "airtime_median_ms": part(self.airtime, 50),
            "latency_p95_ms": part(self.latency, 95),
        }


def score_flights(truth, found, km):
    """Return the Score of one drive.

    truth  [(onset_s, end_s)] of all true flights
    found  [(onset_s, end_s, confirmed_s)]; end_s None: withdrawn before it was reported
    """
    score = Score(km=km, n=1)
    for a, b in truth:
        for band, (low, high) in BANDS.items():
            score.true[band] += low <= b - a < high
    free = set(range(len(truth)))
    for a, b, confirmed in found:
        at = None if b is None else _match(truth, free, a, b)
        if at is None:
            end = confirmed if b is None else b
            if not any(a - NEAR_s < y and x < end + NEAR_s for x, y in truth):
                score.false += b is not None
                score.withdrawn += b is None
            continue
        free.discard(at)
        x, y = truth[at]
        for band, (low, high) in BANDS.items():
            if low <= y - x < high:
                score.found[band] += 1
                score.onset.append(a - x)
                score.airtime.append((b - a) - (y - x))
                score.latency.append(confirmed - x)
    return score


def _match(truth, free, a, b):
    best, best_at = 0.0, None
    for at in free:
        x, y = truth[at]
        both, all_of = min(b, y) - max(a, x), max(b, y) - min(a, x)
        iou = both / all_of if both > 0 else 0.0
        if iou >= 0.5 or (abs(a - x) <= NEAR_s and y - x >= 0.2):
            rank = iou + (abs(a - x) <= NEAR_s)
            if rank > best:
                best, best_at = rank, at
    return best_at


def found_flights(events):
    """Return what the on-car detector found, for score_flights."""
    landed = {f.confirmed_us: f for f in flights_of(events)}
    found = []
    for fact in read_events(events):
        if fact["name"] == "flight" and fact["state"] == "taken_off":
            onset, flight = fact["onset_us"] / 1e6, landed.get(fact["t_us"])
            end = None if flight is None else onset + flight.airtime_ms / 1e3
            found.append((onset, end, fact["t_us"] / 1e6))
    return found


def detections(events, table):
    """Return [(t_s, name)] in the words of stagelog.car's expectations."""
    found, low = [], {}
    for fact in read_events(events, table):
        t_s, name, state = fact["t_us"] / 1e6, fact["name"], fact["state"]
        if name == "alarm":
            level = {"warning": 1, "critical": 2}.get(state, 0)
            before, low[fact["number"]] = low.get(fact["number"], 0), level
            if level and not before:
                found.append((t_s, f"alarm:{fact['alarm']}.{fact['signal']}"))
        elif name == "sensor" and state != "good":
            found.append((t_s, f"sensor_fault:{fact['signal']}"))
        elif name == "flight" and state == "landed":
            found.append((t_s, "airborne"))
        elif name in ("roll_over", "stuck", "handbrake_abuse", "refuel", "fuel_leak") and (
            state == "on"
        ):
            found.append((t_s, name))
    return found


def judge(drive, found):
    """Return ([(kept, text)] by expectation of the drive's scenario, how many are the rig's)."""
    verdicts, rig = [], 0
    scenario = drive.scenario
    for expect in (*scenario.must, *scenario.must_not):
        if expect.detection.startswith(("bus:", "log:", "not_logging")):
            rig += 1
            continue
        times = [t for t, name in found if _is(name, expect.detection)]
        if expect.at_most is not None:
            good = len(times) <= expect.at_most
            verdicts.append((good, f"{expect.detection} {len(times)} of {expect.at_most}"))
            continue
        for event in drive.truth.of(expect.on):
            if not _fits(event, expect.where):
                continue
            start, end = event.t_us / 1e6, event.t_us / 1e6 + (expect.within_s or 1e9)
            if expect.detection == "airborne":
                end = event.end_us / 1e6 + 1.0
            good = any(start - 0.3 <= t <= end for t in times)
            verdicts.append((good, f"{expect.detection} after {start:.1f} s"))
    return verdicts, rig


def _is(name, pattern):
    if pattern.startswith("alarm:") and "." not in pattern and "*" not in pattern:
        return name.startswith(pattern + ".")
    return fnmatch(name, pattern)


def _fits(event, where):
    facts = getattr(event, "facts", None)
    for key, bounds in where.items():
        value = getattr(event, key, None) if facts is None else facts.get(key)
        if value is None:
            return False
        if isinstance(bounds, tuple) and len(bounds) == 2:
            if not bounds[0] <= value <= bounds[1]:
                return False
        elif bounds != value and not (isinstance(value, tuple) and bounds in value):
            return False
    return True
