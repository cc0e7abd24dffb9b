"""Litres per 100 km by terrain, from the on-car fuel events of each kilometre.

The terrain is that of the driver's mode switch: nothing else on the bus knows it. The profile maps
modes to plans. Kilometres driven without a mode are "unknown".
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slog import events as ev
from stagelog.events.recompute import Detected
from stagelog.profile.schema import Profile

UNKNOWN = "unknown"
ALL = "all"
# t_us int64[n] ascending, values[n], {value: text} of the signal that roles.drive_mode names
DriveMode: TypeAlias = tuple[NDArray[np.int64], NDArray[Any], Mapping[int, str]]


class TerrainFuel(NamedTuple):
    """Litres on one terrain; plan_l_per_100km is None where the profile has no plan."""

    terrain: str
    km: float
    used_l: float
    l_per_100km: float
    plan_l_per_100km: float | None


def fuel_by_terrain(
    events: Iterable[Detected], mode: DriveMode | None, profile: Profile
) -> list[TerrainFuel]:
    """Return a TerrainFuel for each terrain, most km first, then one for "all".

    events  Detected, of the car or of the host
    mode    None if the log does not hold the signal
    Each kilometre counts for the mode that was active longest in it; the last, incomplete one is
    left out.
    """
    sums: dict[str, tuple[float, float]] = {}
    for start_us, end_us, litres in _kilometres(events):
        name = _mode_between(mode, start_us, end_us)
        km, used_l = sums.get(name, (0.0, 0.0))
        sums[name] = (km + 1.0, used_l + litres)
    rows = [_row(name, *sums[name], profile) for name in sorted(sums, key=lambda n: -sums[n][0])]
    if rows:
        km, used_l = sum(row.km for row in rows), sum(row.used_l for row in rows)
        rows.append(_row(ALL, km, used_l, profile))
    return rows


def _kilometres(events: Iterable[Detected]) -> list[tuple[int, int, float]]:
    """Return [(start_us, end_us, litres)]: all km of a session by the last scale of its flow, so
    that a scale that is learned at a stop does not count for the km around it.
    """
    found: list[tuple[int, int, float]] = []
    session: list[tuple[int, int, float]] = []
    before, scale = None, 1.0
    for event in events:
        if event.code == ev.TABLE:
            found += [(start, end, metered * scale) for start, end, metered in session]
            session, before, scale = [], None, 1.0
        elif event.code == ev.FLOW_SCALE:
            scale = event.value / 1e6
        elif event.code == ev.RESUMED:
            before = None
        elif event.code == ev.FUEL:
            now = (event.t_us, event.extra / 100 / scale)
            if before is not None and now[1] >= before[1]:
                session.append((before[0], now[0], now[1] - before[1]))
            before = now
    return found + [(start, end, metered * scale) for start, end, metered in session]


def _mode_between(mode: DriveMode | None, start_us: int, end_us: int) -> str:
    if mode is None:
        return UNKNOWN
    t_us, values, texts = mode
    first = max(int(np.searchsorted(t_us, start_us, side="right")) - 1, 0)
    end = int(np.searchsorted(t_us, end_us, side="right"))
    if first >= end:
        return UNKNOWN
    edges = np.append(np.maximum(t_us[first:end], start_us), end_us)
    held = np.asarray(values[first:end])
    kinds = np.unique(held[np.isfinite(held)])
    if not len(kinds):
        return UNKNOWN
    spent = [np.diff(edges)[held == kind].sum() for kind in kinds]
    value = int(kinds[int(np.argmax(spent))])
    return str(texts.get(value, value))


def _row(name: str, km: float, used_l: float, profile: Profile) -> TerrainFuel:
    plan = profile.fuel.plan_l_per_100km.get(profile.fuel.plan_of_mode.get(name, ""))
    return TerrainFuel(name, km, round(used_l, 2), round(100 * used_l / km, 1), plan)
