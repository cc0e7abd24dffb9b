"""What each damper did, from one pass over its positions: a day of them is large.

Owns the numbers that sections, parts and the verdict share; tables are in chassis and flights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stagelog.report.series import PIECE, Series, Times, Values
from stagelog.report.stage import Stage

FULL_SHARE = 0.97  # of the travel, from there on it is full travel
_DROOP_SHARE = 0.03
_TAIL = 0.001  # of the speeds lies beyond the 99.9 % that a table shows
_EARLY_US = 100_000  # a landing begins before the moment that the detector gives
_LANDING_US = 300_000


@dataclass(frozen=True, slots=True)
class Damper:
    """One damper over the stage; position is 0 at full droop.

    hits              times at full travel
    compression, rebound  speeds m/s: 99.9 % and highest, 99.9 %; None without two samples
    by_landing        fastest compression around each landing, m/s, or None
    """

    name: str
    travel_mm: float
    mean_mm: float
    highest_mm: float
    highest_us: int
    hits: int
    droop_s: float
    compression_m_per_s: float | None
    fastest_m_per_s: float | None
    rebound_m_per_s: float | None
    by_landing: tuple[float | None, ...] = ()


def study_dampers(stage: Stage, landings_us: Sequence[int] = ()) -> dict[str, Damper]:
    """Return {signal: Damper} of those that the log holds."""
    roles, travel_mm = stage.profile.roles, stage.profile.suspension.travel_mm
    found = {}
    for name, travel in zip(roles.damper, travel_mm, strict=False):
        series = stage.find_valid(name)
        if series is not None:
            found[name] = _study(series, travel, landings_us)
        del series  # of a day there is not room for two
    return found


def _study(series: Series, travel_mm: float, landings_us: Sequence[int]) -> Damper:
    values = series.values
    full = values >= FULL_SHARE * travel_mm
    hits = int(np.count_nonzero(full[1:] > full[:-1])) + bool(full[0])
    worst = int(np.argmax(values))
    compression, fastest, rebound = tails(speeds_m_per_s(series), len(values))
    return Damper(
        series.name,
        travel_mm,
        float(values.mean()),
        float(values[worst]),
        int(series.t_us[worst]),
        hits,
        series.total_s(values < _DROOP_SHARE * travel_mm),
        compression,
        fastest,
        rebound,
        tuple(_compression_m_per_s(series, t_us) for t_us in landings_us),
    )


def speeds_m_per_s(series: Series) -> Iterator[Values]:
    """Yield the finite speeds between any two samples, in pieces."""
    for at in range(0, len(series.t_us) - 1, PIECE):
        piece = slice(at, at + PIECE + 1)
        speed, steps_s = np.diff(series.values[piece]), np.diff(series.t_us[piece]) / 1e6
        speed /= 1000
        moved = steps_s > 0
        yield speed / steps_s if moved.all() else speed[moved] / steps_s[moved]


def tails(
    pieces: Iterator[Values], n_most: int
) -> tuple[float | None, float | None, float | None]:
    """Return the 99.9 % of the values, the highest, and minus the 0.1 %, as np.percentile does.

    n_most  values at most; only those beyond the two borders are held
    """
    n_tail = int(_TAIL * n_most) + 2
    n, lows, highs = 0, [np.empty(0)], [np.empty(0)]
    for values in pieces:
        n += len(values)
        ends = (n_tail - 1, len(values) - n_tail)
        if ends[1] > ends[0]:
            values.partition(ends)
            lows.append(values[:n_tail].copy())
            highs.append(values[-n_tail:].copy())
        else:
            lows.append(values)
            highs.append(values)
    if not n:
        return None, None, None
    low, high = np.sort(np.concatenate(lows)), np.sort(np.concatenate(highs))[::-1]
    place = _TAIL * (n - 1)
    at, share = int(place), place % 1
    more = min(at + 1, n - 1)
    slow, fast = (float(end[at] + (end[more] - end[at]) * share) for end in (low, high))
    return fast, float(high[0]), -slow


def _compression_m_per_s(series: Series, landing_us: int) -> float | None:
    """Return the fastest compression around a landing."""
    part = series.within(landing_us - _EARLY_US, landing_us + _LANDING_US)
    steps_us: Times = np.maximum(np.diff(part.t_us), 1)
    speeds = np.diff(part.values) / steps_us
    return float(speeds.max() * 1000) if len(speeds) else None
