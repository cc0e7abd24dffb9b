"""What the detectors found beside what truly was, over many drives.

A found flight and a true one are the same, one to one, if they overlap by at least SAME of the
longer union of both; the best pairs first. A flight is false if it was reported with its landing
and no moment without contact force (KEEP_s and longer) lies within NEAR_s of it. It skims if all
the while the tyres carried less, in the mean, than the wheels themselves weigh: the body flew, the
wheels rolled.
"""

import functools
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from campaigns.engine.intervals import poisson_upper, wilson
from campaigns.engine.other_car import drives, faults, terrain, truth
from campaigns.engine.other_car.dynamics import STEP_s
from campaigns.engine.other_car.frames import START_us
from stagelog.events import SignalTable, compile_table, read_events, recompute
from stagelog.events.reading import flights_of
from stagelog.model import FrameTable
from stagelog.profile import dbc_file, load_profile

BANDS = {
    "0.1-0.2 s": (0.1, 0.2),
    "0.2-0.4 s": (0.2, 0.4),
    "0.4-0.8 s": (0.4, 0.8),
    "0.8-1.5 s": (0.8, 1.5),
    "> 1.5 s": (1.5, 99.0),
}
Rules: TypeAlias = dict[str, Callable] | tuple[()]
SAME = 0.3
WHEELS_pct = 13.0  # of the weight: the four wheels and hubs of the profile, 390 of 3,000 kg
_FLIGHT_SENSORS = ("Acc", "Rate", "Dmp", "Whl", "IMU_", "DMP_Pos", "WHL_")
NEAR_s = 0.1
END_s = 0.4  # before the end of a drive: a landing is reported when its peak is known, after 0.3 s
LATE_ms = 80.0  # errors of onset or landing beyond it are noted


@dataclass(slots=True)
class Score:
    """Sums over drives. Errors in s, found less true."""

    n_drives: int = 0
    km: float = 0.0
    hours: float = 0.0
    true: Counter = field(default_factory=Counter)
    found: Counter = field(default_factory=Counter)
    overlapped: Counter = field(default_factory=Counter)
    n_false: int = 0
    n_skims: int = 0  # of the false ones
    onset: list = field(default_factory=list)
    landing: list = field(default_factory=list)
    peak: list = field(default_factory=list)
    confidence: list = field(default_factory=list)
    false_confidence: list = field(default_factory=list)
    told: Counter = field(default_factory=Counter)
    notes: list = field(default_factory=list)

    def add(self, other: "Score") -> None:
        """Add the sums of another."""
        for name in self.__slots__:
            value = getattr(other, name)
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True, slots=True)
class Found:
    """A reported flight. Times in s since the start of the drive; peak None: not measured."""

    onset_s: float
    landing_s: float
    peak_g: float | None
    confidence_pct: int


@functools.cache
def signal_table(profile: str) -> SignalTable:
    """Return the profile's signal table without the alarms that flights do not need."""
    car = load_profile(profile)
    oils = set(car.roles.diff_temperature)  # the diff model asks for their limits
    needed = {key: alarm for key, alarm in car.alarm.items() if oils & set(alarm.signals)}
    return compile_table(replace(car, alarm=needed), dbc_file(car))


def detect(frames: FrameTable, profile: str = "d7xr") -> tuple[list[Found], list[dict]]:
    """Return ([Found], events in words) of frames: the host's recomputation, as in a report."""
    table = signal_table(profile)
    events = recompute(frames, table)
    found = []
    for flight in flights_of(events):
        onset = (flight.onset_us - START_us) / 1e6
        landing = onset + flight.airtime_ms / 1e3
        found.append(Found(onset, landing, flight.peak_g, flight.confidence_pct))
    return found, read_events(events, table)


def score_drive(
    true: list[truth.Flight],
    found: list[Found],
    km: float = 0.0,
    seconds: float = 1e9,
    stands: bool = False,
    carried: NDArray[np.uint8] | None = None,
) -> Score:
    """Return the Score of one drive.

    true    truth.Flight of all moments without force;  found  Found of a detector
    stands  the car does not drive: a fall from the jack is neither asked for nor false
    carried what holds the car up, as in drives.Drive
    """
    score = Score(n_drives=1, km=km, hours=seconds / 3600)
    asked = [f for f in true if f.airtime_s >= truth.MIN_FLIGHT_s]
    asked = [f for f in asked if f.landing_s < seconds - END_s and not stands]
    found = [f for f in found if f.landing_s < seconds - END_s]
    for flight in asked:
        score.true[band_of(flight)] += 1
        score.overlapped[band_of(flight)] += any(_overlap(flight, f) > 0 for f in found)
    pairs = [(_share(t, f), i, j) for i, t in enumerate(asked) for j, f in enumerate(found)]
    used_true, used_found = set(), set()
    for share, i, j in sorted(pairs, reverse=True):
        if share < SAME or i in used_true or j in used_found:
            continue
        used_true.add(i)
        used_found.add(j)
        t, f = asked[i], found[j]
        score.found[band_of(t)] += 1
        score.onset.append(f.onset_s - t.onset_s)
        score.landing.append(f.landing_s - t.landing_s)
        if f.peak_g is not None:
            score.peak.append(f.peak_g / t.peak_g)
        score.confidence.append(f.confidence_pct)
        errors = [1e3 * (f.onset_s - t.onset_s), 1e3 * (f.landing_s - t.landing_s)]
        if max(map(abs, errors)) > LATE_ms:
            score.notes.append(_note("off by {:.0f} and {:.0f} ms:".format(*errors), t))
    score.notes += [_note("lost:", t) for i, t in enumerate(asked) if i not in used_true]
    for j, f in enumerate(found):
        near = (
            t.onset_s - NEAR_s < f.landing_s and f.onset_s < t.landing_s + NEAR_s for t in true
        )
        if j not in used_found and not any(near):
            skims = carried is not None and _mean_carried(carried, f) < WHEELS_pct
            score.n_false += 1
            score.n_skims += skims
            score.notes.append(_note("skims:" if skims else "false:", f))
            score.false_confidence.append(f.confidence_pct)
    return score


def _mean_carried(carried, f):
    step_s = drives.CARRIED_STEPS * STEP_s
    part = carried[max(0, round(f.onset_s / step_s)) : round(f.landing_s / step_s)]
    return float(part.mean()) if len(part) else 100.0


def _note(what, flight):
    length_ms = 1e3 * (flight.landing_s - flight.onset_s)
    peak = "?" if flight.peak_g is None else f"{flight.peak_g:.1f}"
    return f"{what} {flight.onset_s:.3f} s, {length_ms:.0f} ms, {peak} g"


def band_of(flight: truth.Flight) -> str:
    """Return the name of the duration class of a true flight."""
    return next(name for name, (low, high) in BANDS.items() if low <= flight.airtime_s < high)


def _overlap(t, f):
    return min(t.landing_s, f.landing_s) - max(t.onset_s, f.onset_s)


def _share(t, f):
    both = _overlap(t, f)
    all_of = max(t.landing_s, f.landing_s) - min(t.onset_s, f.onset_s)
    return both / all_of if both > 0 else 0.0


def judge(
    name: drives.Name, profile: str = "d7xr", fault: str | None = None, rules: Rules = ()
) -> dict[str, Score]:
    """Return {detector: Score} of one drive, with a sensor fault if one is named.

    rules  {name: function of (t, acc)}: detectors of others, on the same accelerations
    """
    drive = drives.load_drive(name, profile)
    table, since_s = drive.frames, 0.0
    if fault:
        since_s = faults.SINCE_s
        table = faults.apply(fault, table, name.seed)
    found, events = detect(table, profile)
    true = [f for f in drive.flights if f.onset_s >= since_s]
    found = [f for f in found if f.onset_s >= since_s - NEAR_s]
    about = drive.km, drive.seconds, name.kind in terrain.STANDING, drive.carried
    scores = {"stagelog": score_drive(true, found, *about)}
    scores["stagelog"].told = told(events, since_s)
    scores["stagelog"].notes = [
        f"{name.kind} {name.distance} {name.number}: {note}" for note in scores["stagelog"].notes
    ]
    for rule, run in dict(rules).items():
        spans = run(*_accelerations(table))
        others = [Found(a, b, None, 0) for a, b, _ in spans]
        scores[rule] = score_drive(true, others, *about)
    return scores


def told(events: list[dict], since_s: float) -> Counter:
    """Return which sensors of flights and their messages were named as bad, each once a drive.

    Other messages are not sent by these cars, and their tank stands still.
    """
    names = {
        str(fact.get("signal") or fact.get("message"))
        for fact in events
        if fact["name"] in ("sensor", "message")
        and fact["state"] not in ("good", "back", "present")
        and fact["t_us"] >= START_us + since_s * 1e6
    }
    return Counter(name for name in names if name.startswith(_FLIGHT_SENSORS))


def _accelerations(table):
    """Return (t s, m/s^2 [n, 3]) at 100 Hz, as the rules of others take them."""
    rows = table[table["can_id"] == 0x80][::2]
    raw = rows["data"][:, :6].copy().view("<i2").reshape(-1, 3)
    return (rows["t_us"] - START_us) / 1e6, raw * 0.005


def judge_all(
    names: list[drives.Name],
    jobs: int = 1,
    profile: str = "d7xr",
    fault: str | None = None,
    rules: Rules = (),
) -> dict[tuple[str, str, str], Score]:
    """Return {(detector, kind, distance): Score}."""
    run = functools.partial(judge, profile=profile, fault=fault, rules=rules)
    if jobs == 1:
        results = map(run, names)
        return _sum(names, results)
    with ProcessPoolExecutor(jobs) as pool:
        return _sum(names, pool.map(run, names, chunksize=4))


def _sum(names, results):
    sums = {}
    for name, found in zip(names, results, strict=True):
        for detector, score in found.items():
            key = (detector, name.kind, name.distance)
            sums.setdefault(key, Score()).add(score)
    return sums


def total(
    scores: dict[tuple[str, str, str], Score], wanted: Callable[[str, str, str], bool]
) -> Score:
    """Return the sum of the scores whose key `wanted` accepts."""
    out = Score()
    for key, score in scores.items():
        if wanted(*key):
            out.add(score)
    return out


def row(score: Score) -> dict:
    """Return the figures of a Score; None where nothing was asked."""
    out = {"drives": score.n_drives, "km": round(score.km, 1), "hours": round(score.hours, 2)}
    for band in BANDS:
        n, hits = score.true[band], score.found[band]
        out[band] = {
            "true": n,
            "found": hits,
            "pct": round(100 * hits / n, 1) if n else None,
            "interval_pct": [round(x, 1) for x in wilson(hits, n)] if n else None,
            "overlapped": score.overlapped[band],
        }
    for name in ("onset", "landing"):
        errors = np.abs(getattr(score, name)) * 1e3
        for label, q in (("median", 50), ("p95", 95)):
            value = float(np.percentile(errors, q)) if len(errors) else None
            out[f"{name}_{label}_ms"] = None if value is None else round(value)
    ratio = np.array(score.peak)
    for label, q in (("p5", 5), ("p50", 50), ("p95", 95)):
        out[f"peak_{label}"] = round(float(np.percentile(ratio, q)), 2) if len(ratio) else None
    out["false"] = score.n_false
    out["skims"] = score.n_skims
    out["false_confidence_pct"] = sorted(score.false_confidence)
    out["false_per_100km"] = round(100 * score.n_false / score.km, 2) if score.km > 1 else None
    most = poisson_upper(score.n_false)
    out["false_at_most_per_100km"] = round(100 * most / score.km, 2) if score.km > 1 else None
    return out


def kinds_of(which: str) -> tuple[str, ...]:
    """Return the kinds of "tuning", "scoring" or "all"."""
    return {"tuning": terrain.TUNING, "scoring": terrain.SCORING, "all": terrain.KINDS}[which]
