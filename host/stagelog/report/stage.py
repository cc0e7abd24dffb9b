"""What the report knows of a stage: its signals, speed and distance, from the raw log alone.

A Stage is made once; sections and charts only read it. The car's profile says which signal plays
which part. Fails with InputError where a log lacks what a distance needs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import InputError

GRID_US = 50_000
KMH_PER_MS = 3.6


@dataclass(frozen=True, slots=True)
class Series:
    """One signal: t_us int64[n] ascending, values float64[n] in `unit`."""

    name: str
    unit: str
    t_us: np.ndarray
    values: np.ndarray

    def at(self, t_us):
        """Return the newest value at each of `t_us`, NaN before the first."""
        index = np.searchsorted(self.t_us, t_us, side="right") - 1
        found = self.values[np.maximum(index, 0)].astype(np.float64)
        found[index < 0] = np.nan
        return found


class Stage:
    """A decoded log with a clock and a distance. Invariant: all times are us since boot."""

    def __init__(self, decoded, profile, name="", timeline=None):
        self.decoded = decoded
        self.profile = profile
        self.name = name
        self.timeline = timeline
        if not decoded.messages:
            raise InputError("the log holds no message of the DBC", "check --dbc")
        tables = decoded.messages.values()
        self.start_us = min(int(table.t_us[0]) for table in tables if len(table.t_us))
        self.end_us = max(int(table.t_us[-1]) for table in tables if len(table.t_us))

    def find(self, name):
        """Return the Series of a signal, or None if the log does not hold it."""
        try:
            t_us, values = self.decoded.series(name)
        except KeyError:
            return None
        if not len(t_us):
            return None
        plain = name.rpartition(".")[2]
        unit = next(
            table.message.signal(plain).unit or ""
            for table in self.decoded.messages.values()
            if plain in table.signals
        )
        return Series(plain, unit, t_us, values)

    def find_all(self, names):
        """Return the Series of those signals that the log holds."""
        found = (self.find(name) for name in names)
        return [series for series in found if series is not None]

    @cached_property
    def grid_us(self):
        """Times every 50 ms from the start to the end, int64[n]."""
        return np.arange(self.start_us, self.end_us + 1, GRID_US)

    @cached_property
    def speed_kmh(self):
        """Speed on the grid: median of the wheels, held in flight and where wheels lock or flare.

        float64[n]. A step faster than a car can is cut: 15 m/s2 down, 8 m/s2 up.
        """
        wheels = self.find_all(self.profile.roles.wheel_speed)
        if not wheels:
            return np.zeros(len(self.grid_us))
        each = np.vstack([np.nan_to_num(wheel.at(self.grid_us)) for wheel in wheels])
        median = np.median(each, axis=0)
        up = 8 * KMH_PER_MS * GRID_US / 1e6
        down = 15 * KMH_PER_MS * GRID_US / 1e6
        limited = median.tolist()
        for i in range(1, len(limited)):
            before = limited[i - 1]
            limited[i] = min(max(limited[i], before - down), before + up)
        return np.array(limited)

    @cached_property
    def distance_km(self):
        """Distance from the start on the grid, float64[n]."""
        return np.cumsum(self.speed_kmh) * (GRID_US / 1e6 / 3600)

    def km(self, t_us):
        """Return the distance at `t_us` (number or array)."""
        return np.interp(t_us, self.grid_us, self.distance_km)

    def seconds(self, t_us):
        """Return seconds since the start of the log."""
        return (t_us - self.start_us) / 1e6

    def decoded_choices(self, name):
        """Return {value: text} of a signal's value table, empty if it has none."""
        for table in self.decoded.messages.values():
            if name in table.signals:
                return table.message.signal(name).choices or {}
        return {}

    def on_grid(self, name):
        """Return a signal's newest value on the grid, or None if the log does not hold it."""
        series = self.find(name)
        return None if series is None else series.at(self.grid_us)
