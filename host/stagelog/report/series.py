"""One signal of a stage as times and values, and what follows from these alone.

A day of a fast signal is millions of samples: what can be asked for at a few moments is looked up
there, the rest is done in pieces, so that no second array of that length is made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 18  # samples
HOLD_US = 1_000_000  # a value older than this is not valid any more
SILENT_US = 2_000_000  # at least; or SILENT_STEPS times the usual step
SILENT_STEPS = 5

Times: TypeAlias = NDArray[np.int64]
Values: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Spans: TypeAlias = list[tuple[int, int]]  # (start_us, end_us)


@dataclass(frozen=True, slots=True)
class Series:
    """One signal: t_us int64[n] ascending, values float64[n] in `unit`; n_out were left out."""

    name: str
    unit: str
    t_us: Times
    values: Values
    n_out: int = 0

    @property
    def n_bytes(self) -> int:
        """Return the memory that the arrays take."""
        return self.t_us.nbytes + self.values.nbytes

    def at(self, t_us: Times) -> Values:
        """Return the newest value at each of `t_us`, NaN before the first."""
        index = np.searchsorted(self.t_us, t_us, side="right") - 1
        found = self.values[np.maximum(index, 0)].astype(np.float64)
        found[index < 0] = np.nan
        return found

    def held_s(self) -> Values:
        """Return how long each value held, s float64[n]; a gap counts one second at most."""
        held = np.zeros(len(self.t_us))
        np.subtract(self.t_us[1:], self.t_us[:-1], out=held[:-1])
        np.minimum(held, HOLD_US, out=held)
        held /= 1e6
        return held

    def total_s(self, where: Mask) -> float:
        """Return how long the values of a mask held, as held_s."""
        if not where.any():
            return 0.0
        us = 0
        for at, steps in _steps(self.t_us):
            us += int(np.minimum(steps, HOLD_US) @ where[at : at + len(steps)])
        return us / 1e6

    def within(self, start_us: int, end_us: int) -> "Series":
        """Return the part between two times, or one value if none lies between."""
        first, last = np.searchsorted(self.t_us, (start_us, end_us + 1)).tolist()
        last = min(max(last, first + 1), len(self.t_us))
        first = min(first, last - 1)
        part = slice(first, last)
        return Series(self.name, self.unit, self.t_us[part], self.values[part])

    def without(self, rows: NDArray[np.intp]) -> "Series":
        """Return the series without some of its rows, which count as left out."""
        good = np.ones(len(self.t_us), bool)
        good[rows] = False
        t_us, values = self.t_us[good], self.values[good]
        return Series(self.name, self.unit, t_us, values, self.n_out + len(rows))


def silent_after_us(t_us: Times) -> float:
    """Return after how long without a sample a signal is silent: two seconds at least, or five
    times its usual step, which is the median.
    """
    n_steps = max(len(t_us) - 1, 0)
    quick_us = SILENT_US // SILENT_STEPS
    n_quick = sum(int(np.count_nonzero(steps <= quick_us)) for _, steps in _steps(t_us))
    if 2 * n_quick > n_steps or not n_steps:
        return SILENT_US  # more than half of the steps: so is their median
    return max(SILENT_US, SILENT_STEPS * float(np.median(np.diff(t_us))))


def silences(t_us: Times) -> Spans:
    """Return the spans between two samples farther apart than silent_after_us."""
    pieces = [(at, np.flatnonzero(steps > SILENT_US)) for at, steps in _steps(t_us)]
    if not any(len(rows) for _, rows in pieces):
        return []
    least_us = silent_after_us(t_us)
    long = [int(row) + at for at, rows in pieces for row in rows]
    spans = [(int(t_us[row]), int(t_us[row + 1])) for row in long]
    return [(start_us, end_us) for start_us, end_us in spans if end_us - start_us > least_us]


def _steps(t_us: Times) -> Iterator[tuple[int, Times]]:
    """Yield (first row, steps from each row to the next) in pieces."""
    for at in range(0, len(t_us) - 1, PIECE):
        yield at, np.diff(t_us[at : at + PIECE + 1])


def leave_out_jumps(t_us: Times, values: Values, good: Mask, fastest_per_s: float) -> None:
    """Clear `good` where a value differs from the median of the five good ones around it by more
    than the signal can change in half their time. One or two wrong values among right ones are
    found; a step to a new level is none.

    fastest_per_s  in the unit of the values
    """
    is_whole = bool(good.all())
    before = np.empty(0, np.intp)  # the last four good rows
    for start in range(0, len(values), PIECE):
        part: Any = slice(max(start - 4, 0), start + PIECE)
        if not is_whole:
            part = np.append(before, np.flatnonzero(good[start : start + PIECE]) + start)
            before = part[-4:]
        v, t_s = values[part], t_us[part] / 1e6
        fast = np.abs(np.diff(v)) > fastest_per_s * np.diff(t_s)
        near = np.flatnonzero(fast[1:-2] | fast[2:-1]) + 2  # middle of five
        if not len(near):
            continue
        five = near[:, None] + np.arange(-2, 3)
        away = np.abs(v[near] - np.median(v[five], axis=1))
        wrong = near[away > fastest_per_s * (t_s[near + 2] - t_s[near - 2]) / 2]
        good[wrong + part.start if is_whole else part[wrong]] = False


def find_bad(series: Series, low: float, high: float, fastest_per_s: float) -> NDArray[np.intp]:
    """Return the rows that are not plausible: outside of low to high, or out and back faster than
    the signal can change (0: no such limit).
    """
    good = np.isfinite(series.values)
    if low < high:
        good &= series.values >= low
        good &= series.values <= high
    if fastest_per_s > 0:
        leave_out_jumps(series.t_us, series.values, good, fastest_per_s)
    return np.flatnonzero(~good)
