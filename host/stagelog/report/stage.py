"""What the report knows of a stage: its signals, speed and distance, from the raw log alone.

A Stage is made once; sections and charts only read it. The car's profile says which signal plays
which part. Times are microseconds on one axis: key cycles follow each other, the time without
power between them cut short. Fails with InputError where a log holds nothing of the DBC.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stagelog.errors import InputError

GRID_US = 50_000
KMH_PER_MS = 3.6
_PIECE = 1 << 18  # samples, as a day of them is large
HOLD_US = 1_000_000  # a value older than this is not valid any more
_KEPT_BYTES = 16_000_000  # of series that may be asked for again


@dataclass(frozen=True, slots=True)
class Series:
    """One signal: t_us int64[n] ascending, values float64[n] in `unit`; n_out were left out."""

    name: str
    unit: str
    t_us: np.ndarray
    values: np.ndarray
    n_out: int = 0

    @property
    def n_bytes(self):
        """Return the memory that the arrays take."""
        return self.t_us.nbytes + self.values.nbytes

    def at(self, t_us):
        """Return the newest value at each of `t_us`, NaN before the first."""
        index = np.searchsorted(self.t_us, t_us, side="right") - 1
        found = self.values[np.maximum(index, 0)].astype(np.float64)
        found[index < 0] = np.nan
        return found

    def held_s(self, where=slice(None)):
        """Return how long each value held, s float64[n]; a gap counts one second at most.

        where  of these values only: a mask or indices
        """
        held_us = np.zeros(len(self.t_us), np.int64)
        np.subtract(self.t_us[1:], self.t_us[:-1], out=held_us[:-1])
        np.minimum(held_us, HOLD_US, out=held_us)
        return held_us[where] / 1e6

    def within(self, start_us, end_us):
        """Return the part between two times, or one value if none lies between."""
        first, last = np.searchsorted(self.t_us, (start_us, end_us + 1)).tolist()
        last = min(max(last, first + 1), len(self.t_us))
        first = min(first, last - 1)
        part = slice(first, last)
        return Series(self.name, self.unit, self.t_us[part], self.values[part])


@dataclass(frozen=True, slots=True)
class KeyCycle:
    """One key cycle on the axis of a stage. `t_unix_us` is UTC at its start, None if unknown;
    `off_us` how long there was no power before it, None if not known.
    """

    start_us: int
    end_us: int
    boot: int | None = None
    t_unix_us: int | None = None
    off_us: int | None = None


def leave_out_jumps(t_us, values, good, fastest_per_s):
    """Clear `good` where a value differs from the median of the five good ones around it by more
    than the signal can change in half their time. One or two wrong values among right ones are
    found; a step to a new level is none.

    fastest_per_s  in the unit of the values
    """
    at = np.arange(len(values)) if good.all() else np.flatnonzero(good)
    if len(at) < 5:
        return
    for start in range(0, len(at) - 4, _PIECE):
        part = at[start : start + _PIECE + 4]
        v, t_s = values[part], t_us[part] / 1e6
        fast = np.abs(np.diff(v)) > fastest_per_s * np.diff(t_s)
        near = np.flatnonzero(fast[1:-2] | fast[2:-1]) + 2  # middle of five
        if not len(near):
            continue
        five = near[:, None] + np.arange(-2, 3)
        away = np.abs(v[near] - np.median(v[five], axis=1))
        good[part[near[away > fastest_per_s * (t_s[near + 2] - t_s[near - 2]) / 2]]] = False


class Stage:
    """A decoded log with a clock and a distance. `key_cycles` cover it in order.

    stuck, flights   spans (start_us, end_us) in which the wheels do not give the speed: it is zero
                     in the first, in the second that of the take-off
    """

    def __init__(self, decoded, profile, name="", key_cycles=(), stuck=(), flights=()):
        self.decoded = decoded
        self.profile = profile
        self.name = name
        spans = [
            (int(t_us[0]), int(t_us[-1]))
            for t_us in (table.t_us for table in decoded.messages.values())
            if len(t_us)
        ]
        if not spans:
            raise InputError("the log holds no message of the DBC", "check --dbc and --profile")
        self.start_us = min(first for first, _ in spans)
        self.end_us = max(last for _, last in spans)
        self.key_cycles = tuple(key_cycles) or (KeyCycle(self.start_us, self.end_us),)
        self._stuck, self._flights = stuck, flights
        self._kept = {}  # (name, which values): Series or None, the last used last

    def find(self, name):
        """Return the Series of a signal, or None if the log does not hold it."""
        return self._keep((name, "all"), lambda: self._find(name))

    def _keep(self, key, make):
        """Return what `make` returns; what was used lately is not made again."""
        if key in self._kept:
            series = self._kept.pop(key)
        else:
            self._forget()
            series = make()
        self._kept[key] = series
        return series

    def _forget(self):
        """Let go of what was not used for longest, down to _KEPT_BYTES."""
        held = {key: one.n_bytes for key, one in self._kept.items() if one is not None}
        total = sum(held.values())
        for key, n_bytes in held.items():
            if total <= _KEPT_BYTES:
                return
            del self._kept[key]
            total -= n_bytes

    def _find(self, name):
        try:
            t_us, values = self.decoded.series(name)
        except KeyError:
            return None
        if not len(t_us):
            return None
        plain = name.rpartition(".")[2]
        return Series(plain, self._signal(plain).unit or "", t_us, values)

    def _signal(self, plain):
        tables = self.decoded.messages.values()
        return next(t.message.signal(plain) for t in tables if plain in t.signals)

    def find_valid(self, name):
        """Return the Series of plausible values: in the DBC's range and the profile's, and not
        out and back faster than the profile says that the signal can change.

        None if the log does not hold it or nothing of it is valid.
        """
        return self._keep((name, "valid"), lambda: self._find_valid(name))

    def _find_valid(self, name):
        series = self._kept.get((name, "all")) or self._find(name)
        if series is None:
            return None
        signal, values = self._signal(series.name), series.values
        lows = [signal.minimum] + [p.min for p in self.profile.plausible if name in p.signals]
        highs = [signal.maximum] + [p.max for p in self.profile.plausible if name in p.signals]
        low = max((x for x in lows if x is not None), default=-np.inf)
        high = min((x for x in highs if x is not None), default=np.inf)
        good = np.isfinite(values)
        if low < high:
            good &= (values >= low) & (values <= high)
        fastest_per_s = [p.max_step_per_s for p in self.profile.plausible if name in p.signals]
        if fastest_per_s and min(fastest_per_s) > 0:
            leave_out_jumps(series.t_us, values, good, min(fastest_per_s))
        if good.all():
            return series
        if not good.any():
            return None
        name, unit, t_us = series.name, series.unit, series.t_us
        del series  # of a day there is not room for all of them twice
        values = values[good]
        t_us = t_us[good]
        return Series(name, unit, t_us, values, int(len(good) - good.sum()))

    @cached_property
    def grid_us(self):
        """Times every 50 ms from the start to the end, int64[n]."""
        return np.arange(self.start_us, self.end_us + 1, GRID_US)

    @cached_property
    def speed_kmh(self):
        """Speed on the grid: median of the wheels, held in flight, zero where the car is stuck.

        float64[n]. Where wheels lock or flare, a step faster than a car can is cut: 15 m/s2 down,
        8 m/s2 up.
        """
        wheels = [self.find_valid(name) for name in self.profile.roles.wheel_speed]
        wheels = [wheel for wheel in wheels if wheel is not None]
        if not wheels:
            return np.zeros(len(self.grid_us))
        each = np.vstack([np.nan_to_num(wheel.at(self.grid_us)) for wheel in wheels])
        median = np.median(each, axis=0)
        median[self._silent(wheels[0])] = 0.0
        for span in self._flights:
            first, end = np.searchsorted(self.grid_us, span).tolist()
            median[first : end + 1] = median[max(first - 1, 0)]
        for span in self._stuck:
            median[slice(*np.searchsorted(self.grid_us, span).tolist())] = 0.0
        up = 8 * KMH_PER_MS * GRID_US / 1e6
        down = 15 * KMH_PER_MS * GRID_US / 1e6
        limited = median.tolist()
        for i in range(1, len(limited)):
            before = limited[i - 1]
            limited[i] = min(max(limited[i], before - down), before + up)
        return np.array(limited)

    def _silent(self, series):
        """Return where on the grid a series is silent: 2 s after its last value, or five times the
        usual time between two.
        """
        steps_us = np.diff(series.t_us)
        usual_us = float(np.median(steps_us)) if len(steps_us) else 0.0
        index = np.searchsorted(series.t_us, self.grid_us, side="right") - 1
        age_us = self.grid_us - series.t_us[np.maximum(index, 0)]
        return (index < 0) | (age_us > max(2 * HOLD_US, 5 * usual_us))

    @cached_property
    def distance_km(self):
        """Distance from the start on the grid, float64[n]: zero at the start, then each speed
        until the next moment.
        """
        driven = np.concatenate(([0.0], np.cumsum(self.speed_kmh[:-1])))
        return driven * (GRID_US / 1e6 / 3600)

    def km(self, t_us):
        """Return the distance at `t_us` (number or array)."""
        found = np.interp(t_us, self.grid_us, self.distance_km)
        return found if np.ndim(t_us) else float(found)

    def seconds(self, t_us):
        """Return seconds since the start of the log."""
        return (t_us - self.start_us) / 1e6

    def unix_us(self, t_us):
        """Return UTC of a moment, us since 1970, or None where the log does not know it."""
        for cycle in self.key_cycles:
            if cycle.start_us <= t_us <= cycle.end_us and cycle.t_unix_us is not None:
                return cycle.t_unix_us + int(t_us) - cycle.start_us
        return None

    def choices(self, name):
        """Return {value: text} of a signal's value table, empty if it has none."""
        for table in self.decoded.messages.values():
            if name in table.signals:
                return table.message.signal(name).choices or {}
        return {}

    def on_grid(self, name):
        """Return a signal's newest valid value on the grid, NaN where it is silent; None without
        any.
        """
        series = self.find_valid(name)
        if series is None:
            return None
        values = series.at(self.grid_us)
        values[self._silent(series)] = np.nan
        return values if np.isfinite(values).any() else None
