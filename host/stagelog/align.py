"""Several logs of one car on one clock, by the frames that two loggers saw on the same bus.

Two loggers on a bus receive a frame at the same moment, so the difference of their stamps is the
difference of their clocks. Owns which frames are the same one, and the course of one clock against
another. Moves no frame, reads no file. Fails with InputError where the logs do not prove how their
clocks stand to each other: nothing in common, or several offsets that fit.

1. Two frames of an identifier in a row whose payloads are unique in either log each propose an
   offset. The line (offset, drift) that most of them share is the candidate; a line elsewhere with
   half as many makes it ambiguous.
2. Along it, every frame that does not come again within moments is looked up in the other log.
   Most of them must be there: frames that are equal by chance or a counter are few among all.
3. The course of the clock is the median of those differences in each minute, so that it follows a
   crystal that warms up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import InputError
from stagelog.model import ERR, EXT, RTR, FrameTable

NOTHING = "have nothing in common"
AMBIGUOUS = "share only frames that repeat, so that more than one offset fits"

MAX_DRIFT_ppm = 600  # two crystals, each as far off as a timeline.Timeline may be
GATE_us = 20_000  # from the course, within which equal frames are the same one
MIN_VOTES = 20  # pairs of frames that must agree on an offset
MIN_SHARE = 0.5  # of the frames that either log has, in the time of both, found in the other
RIVAL = 0.5  # as many votes elsewhere, of those for the best, make it ambiguous
_MAX_CANDIDATES = 20_000  # more do not change the vote
_MINUTE_us = 60_000_000
_MIN_IN_MINUTE = 30  # differences, before their median counts as a point of the course

_Floats: TypeAlias = NDArray[np.float64]
_Ints: TypeAlias = NDArray[np.int64]
_Keys: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Seen:
    """The data frames of one bus in one log, in the order of time: n rows each.

    ids   identifier, 29-bit ones with EXT in bit 31
    keys  a number for identifier and payload together
    """

    t_us: _Ints
    ids: NDArray[np.uint32]
    keys: _Keys


Log: TypeAlias = dict[int, Seen]  # by bus


@dataclass(frozen=True, slots=True)
class Course:
    """What to add to the times of one clock for those of another: straight between points."""

    at_us: _Floats
    add_us: _Floats

    def to_reference(self, t_us: Any) -> _Ints:
        """Return times (int or int64 array) on the clock of the reference, rounded."""
        t = np.asarray(t_us, np.int64)
        return t + np.rint(np.interp(t, self.at_us, self.add_us)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Aligned:
    """How one log stands to the first one.

    to          name of the log that it was compared with; None: this is the reference
    buses       (bus of that log, bus of this log) on which both saw the same frames
    course      from this log's times to those of the reference
    offset_us   what is added at the log's first frame
    drift_ppm   what its times need: the reference's time passes so much faster than its own
    n_matched   frames of the two logs that are the same one
    share       of the frames that the log with fewer has in the time of both
    residual_*  distance of the matched frames from the course: stamps and bus, not clocks
    """

    name: str
    to: str | None
    buses: tuple[int, int] | None
    course: Course
    offset_us: int = 0
    drift_ppm: float = 0.0
    n_matched: int = 0
    share: float = 1.0
    residual_median_us: float = 0.0
    residual_p95_us: float = 0.0
    residual_worst_us: float = 0.0


@dataclass(frozen=True, slots=True)
class _Line:
    """add_us = start + drift * t; `votes` pairs agree within `width_us`."""

    start_us: float
    drift: float
    votes: int
    width_us: float

    def at(self, t_us: _Floats) -> _Floats:
        return self.start_us + self.drift * t_us


def read_seen(tables: Iterable[FrameTable]) -> Log:
    """Read frame tables (one log on one clock) and return what align compares."""
    parts: dict[int, list[tuple[_Ints, NDArray[np.uint32], _Keys]]] = {}
    for table in tables:
        frames = table[(table["flags"] & (ERR | RTR)) == 0]
        ids = frames["can_id"] | (frames["flags"] & EXT).astype(np.uint32) << np.uint32(31)
        keys = _keys(frames, ids)
        for bus in np.unique(frames["bus"]).tolist():
            own = frames["bus"] == bus
            row = (frames["t_us"][own].astype(np.int64), ids[own], keys[own])
            parts.setdefault(bus, []).append(row)
    return {bus: _in_order(rows) for bus, rows in sorted(parts.items())}


def align(logs: Sequence[tuple[str, Log]]) -> list[Aligned]:
    """Return an Aligned for each (name, what it saw), the first being the reference.

    A log that shares nothing with the reference is compared with the others, so that a chain of
    loggers needs no common bus. Raises InputError if one cannot be placed.
    """
    names = [name for name, _ in logs]
    done = {0: Aligned(names[0], None, None, Course(np.zeros(1), np.zeros(1)))}
    placed = {0: logs[0][1]}
    while len(done) < len(logs):
        refused, found = "", None
        for k in (k for k in range(len(logs)) if k not in done):
            for j in placed:
                one, why = _compare(placed[j], logs[k][1])
                if one is None:
                    refused = refused or f"{names[j]} and {names[k]} {why}"
                elif found is None or one.n_matched > found[1].n_matched:
                    found = (k, replace(one, name=names[k], to=names[j]))
        if found is None:
            raise InputError(refused, "name logs of one drive that share a bus with values in it")
        k, done[k] = found
        placed[k] = {
            bus: replace(seen, t_us=done[k].course.to_reference(seen.t_us))
            for bus, seen in logs[k][1].items()
        }
    return [done[k] for k in range(len(logs))]


def _keys(frames: FrameTable, ids: NDArray[np.uint32]) -> _Keys:
    """Return a 64-bit number for identifier, length and payload, well mixed."""
    head = ids.astype(np.uint64) | frames["n_bytes"].astype(np.uint64) << np.uint64(32)
    words = np.ascontiguousarray(frames["data"]).view("<u8")
    keys = _mixed(_mixed(head) ^ words[:, 0])
    for k in range(1, words.shape[1]):
        longer = np.flatnonzero(words[:, k])  # a table for CAN FD gives short frames the same
        keys[longer] = _mixed(keys[longer] + words[longer, k] * np.uint64(2 * k + 1))
    return keys


def _mixed(numbers: _Keys) -> _Keys:
    """Return numbers with their bits spread (splitmix64, Steele et al. 2014)."""
    mixed = (numbers ^ numbers >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return mixed ^ mixed >> np.uint64(31)


def _in_order(rows: list[tuple[_Ints, NDArray[np.uint32], _Keys]]) -> Seen:
    """Join the rows of a bus by time; a frame that is there twice counts once."""
    t_us, ids, keys = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.lexsort((keys, t_us))
    t_us, ids, keys = t_us[order], ids[order], keys[order]
    new = np.ones(len(t_us), bool)
    new[1:] = (np.diff(t_us) != 0) | (keys[1:] != keys[:-1])
    return Seen(t_us[new], ids[new], keys[new])


def _compare(reference: Log, other: Log) -> tuple[Aligned | None, str]:
    """Return (Aligned without names, "") or (None, why not)."""
    best: tuple[_Line, int, int] | None = None
    why = NOTHING
    pairs = {bus: _unique_pairs(seen) for bus, seen in reference.items()}
    theirs = {bus: _unique_pairs(seen) for bus, seen in other.items()}
    for ours_bus, ours in pairs.items():
        for bus, (t_us, keys) in theirs.items():
            _, i, j = np.intersect1d(ours[1], keys, assume_unique=True, return_indices=True)
            found = _find_line(t_us[j], ours[0][i] - t_us[j])
            if isinstance(found, _Line):
                if best is None or found.votes > best[0].votes:
                    best = found, ours_bus, bus
            elif found == AMBIGUOUS or _only_repeats(reference[ours_bus], other[bus]):
                why = AMBIGUOUS
    if best is None:
        return None, why
    line, ours_bus, bus = best
    one = _along(line, reference[ours_bus], other[bus], (ours_bus, bus))
    return (one, "") if one.share >= MIN_SHARE else (None, NOTHING)


def _only_repeats(ours: Seen, theirs: Seen) -> bool:
    """Return whether both have the same frames, but nearly each of them again and again."""
    is_alike = np.intersect1d(ours.keys, theirs.keys).size > 0
    return is_alike and any(len(_unique_pairs(s)[0]) < len(s.keys) / 10 for s in (ours, theirs))


def _unique_pairs(seen: Seen) -> tuple[_Ints, _Keys]:
    """Return (time of the second, number) of each two frames in a row of an identifier whose
    payloads are there once only.
    """
    order = np.argsort(seen.ids, kind="stable")
    ids, keys = seen.ids[order], seen.keys[order]
    both = _mixed(keys[1:] ^ _mixed(keys[:-1]))
    is_pair = ids[1:] == ids[:-1]
    numbers, first, n = np.unique(both[is_pair], return_index=True, return_counts=True)
    return seen.t_us[order][1:][is_pair][first[n == 1]], numbers[n == 1]


def _find_line(t_us: _Ints, add_us: _Ints) -> _Line | str:
    """Return the line that most candidates lie on, AMBIGUOUS or NOTHING."""
    step = -(-len(t_us) // _MAX_CANDIDATES) or 1
    t, add = t_us[::step].astype(float), add_us[::step].astype(float)
    best = _vote(t, add)
    if best.votes < MIN_VOTES:
        return NOTHING
    is_far = np.abs(add - best.at(t)) > 4 * best.width_us
    rival = _vote(t[is_far], add[is_far])
    return AMBIGUOUS if rival.votes >= RIVAL * best.votes else best


def _vote(t: _Floats, add: _Floats) -> _Line:
    """Return the line through most points: first the offset as far as drift may smear it, then
    offset and drift together.
    """
    if not len(t):
        return _Line(0.0, 0.0, 0, 0.0)
    middle = (t.min() + t.max()) / 2
    span = float(t.max() - t.min())
    band = max(2e-6 * MAX_DRIFT_ppm * span, 2.0 * GATE_us)
    low, _ = _fullest(add, band)
    near = (add >= low) & (add < low + 2 * band)
    t, add = t[near] - middle, add[near] - low
    width = max(4_000.0, 2e-6 * span)
    best = (-1, 0.0, 0.0)
    for ppm in range(-MAX_DRIFT_ppm, MAX_DRIFT_ppm + 1):
        start, votes = _fullest(add - ppm * 1e-6 * t, width)
        best = max(best, (votes, ppm * 1e-6, start + width), key=lambda one: one[0])
    votes, drift, start = best
    return _Line(low + start - drift * middle, drift, votes, width)


def _fullest(values: _Floats, width: float) -> tuple[float, int]:
    """Return (start, number of values) of the two neighbouring bins that hold most."""
    low = float(values.min())
    bins, n = np.unique(((values - low) / width).astype(np.int64), return_counts=True)
    together = n.copy()
    together[:-1] += np.where(np.diff(bins) == 1, n[1:], 0)
    k = int(np.argmax(together))
    return low + float(bins[k]) * width, int(together[k])


def _along(line: _Line, ours: Seen, theirs: Seen, buses: tuple[int, int]) -> Aligned:
    """Return how `theirs` stands to `ours`, by all frames along the line."""
    ours, theirs = _apart(ours), _apart(theirs)
    ends = (float(theirs.t_us[0]), float(theirs.t_us[-1]))
    course = Course(np.array(ends), line.at(np.array(ends)))
    drift = line.drift
    for _ in range(3):  # the line is within milliseconds; the second round has all frames
        t, add = _matches(ours, theirs, course)
        course, drift = _fit(t.astype(float), add.astype(float), ends, drift)
    t, add = _matches(ours, theirs, course)
    mapped = course.to_reference(theirs.t_us)
    start, end = max(mapped[0], ours.t_us[0]), min(mapped[-1], ours.t_us[-1])
    n_both = min(
        int(np.count_nonzero((times >= start) & (times <= end))) for times in (mapped, ours.t_us)
    )
    off = np.abs(add - np.interp(t, course.at_us, course.add_us)) if len(t) else np.zeros(1)
    return Aligned(
        name="",
        to=None,
        buses=buses,
        course=course,
        offset_us=round(float(course.add_us[0])),
        drift_ppm=drift * 1e6,
        n_matched=len(t),
        share=len(t) / max(n_both, 1),
        residual_median_us=float(np.median(off)),
        residual_p95_us=float(np.percentile(off, 95)),
        residual_worst_us=float(off.max()),
    )


def _apart(seen: Seen) -> Seen:
    """Return the frames that are not there again within two gates: which is which is certain."""
    order = np.lexsort((seen.t_us, seen.keys))
    is_near = (np.diff(seen.keys[order]) == 0) & (np.diff(seen.t_us[order]) <= 2 * GATE_us)
    chosen = np.ones(len(order), bool)
    chosen[order[1:][is_near]] = False
    chosen[order[:-1][is_near]] = False
    return Seen(seen.t_us[chosen], seen.ids[chosen], seen.keys[chosen])


def _matches(ours: Seen, theirs: Seen, course: Course) -> tuple[_Ints, _Ints]:
    """Return (their time, what to add) of the frames that both have within a gate."""
    t_us = np.concatenate([ours.t_us, theirs.t_us])
    on_ours = np.concatenate([ours.t_us, course.to_reference(theirs.t_us)])
    keys = np.concatenate([ours.keys, theirs.keys])
    is_ours = np.arange(len(t_us)) < len(ours.t_us)
    order = np.lexsort((on_ours, keys))
    a, b = order[:-1], order[1:]
    same = (keys[a] == keys[b]) & (is_ours[a] != is_ours[b])
    same &= on_ours[b] - on_ours[a] <= GATE_us
    a, b = a[same], b[same]
    mine, other = np.where(is_ours[a], a, b), np.where(is_ours[a], b, a)
    in_time = np.argsort(t_us[other], kind="stable")
    return t_us[other][in_time], (t_us[mine] - t_us[other])[in_time]


def _fit(
    t: _Floats, add: _Floats, ends: tuple[float, float], drift: float
) -> tuple[Course, float]:
    """Return (Course through the median of each minute, overall drift) of matched frames."""
    if not len(t):
        return Course(np.array(ends), np.zeros(2)), drift
    minute = ((t - t[0]) / _MINUTE_us).astype(np.int64)
    starts = np.flatnonzero(np.diff(minute, prepend=-1))
    groups = [g for g in np.split(np.arange(len(t)), starts[1:]) if len(g) >= _MIN_IN_MINUTE]
    groups = groups or [np.arange(len(t))]
    at = np.array([t[g].mean() for g in groups])
    rest = add - drift * (t - t[0])  # without the slope, so that the median is of one moment
    points = np.array([np.median(rest[g]) for g in groups]) + drift * (at - t[0])
    off = add - np.interp(t, at, points) - drift * (t - np.clip(t, at[0], at[-1]))
    good = np.abs(off) <= max(5 * float(np.median(np.abs(off))), 50.0)
    if good.sum() >= MIN_VOTES and np.ptp(t[good]) > 0:
        drift = float(np.polyfit(t[good] - t[0], add[good] - add[0], 1)[0])
    slopes = np.diff(points) / np.diff(at) if len(at) > 1 else np.array([drift])
    first = points[0] - slopes[0] * (at[0] - ends[0])
    last = points[-1] + slopes[-1] * (ends[1] - at[-1])
    course_at = np.array([ends[0], *at, ends[1]])
    return Course(course_at, np.array([first, *points, last])), drift
