"""What the report knows of a stage: its signals, speed and distance, from the raw log alone.

A Stage is made once; sections and charts only read it. The car's profile says which signal plays
which part. Times are microseconds on one axis: key cycles follow each other, the time without
power between them cut short. Fails with InputError where a log holds nothing of the DBC.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Signal
from stagelog.decode.tables import Decoded
from stagelog.errors import InputError
from stagelog.profile.schema import Profile
from stagelog.report.columns import Columns, Rows
from stagelog.report.series import Series, Spans, Times, Values, find_bad, silent_after_us

GRID_US = 50_000
KMH_PER_MS = 3.6
_KEPT_BYTES = 48_000_000  # of series that may be asked for again
_BYTES_OF_ONE = 16  # time and value


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


class Stage:
    """A decoded log with a clock and a distance. `key_cycles` cover it in order.

    stuck, flights   spans (start_us, end_us) in which the wheels do not give the speed: it is zero
                     in the first, in the second that of the take-off
    """

    def __init__(
        self,
        decoded: Decoded | Columns,
        profile: Profile,
        name: str = "",
        key_cycles: Iterable[KeyCycle] = (),
        stuck: Iterable[tuple[int, int]] = (),
        flights: Iterable[tuple[int, int]] = (),
    ) -> None:
        self.decoded = decoded
        self.profile = profile
        self.name = name
        spans = [
            (int(t_us[0]), int(t_us[-1]))
            for t_us in (table.t_us for table in decoded.messages.values())
            if len(t_us)
        ]
        self.key_cycles = tuple(key_cycles)
        spans = spans or self.spans_without_signals()
        self.start_us = min(first for first, _ in spans)
        self.end_us = max(last for _, last in spans)
        self.key_cycles = self.key_cycles or (KeyCycle(self.start_us, self.end_us),)
        self._stuck: Spans = list(stuck)
        self._flights: Spans = list(flights)
        self._kept: dict[tuple[str, str], Series | None] = {}  # the last used last
        self._n_kept_bytes = 0
        self._bad: dict[str, NDArray[np.intp]] = {}  # rows of a signal that are not plausible

    def spans_without_signals(self) -> Spans:
        """Return the spans of a log that holds no signal of the DBC; here that is an error."""
        raise InputError("the log holds no message of the DBC", "check --dbc and --profile")

    def find(self, name: str) -> Series | None:
        """Return the Series of a signal, or None if the log does not hold it."""
        return self._keep((name, "all"), lambda: self._find(name))

    def has(self, name: str) -> bool:
        """Return whether `find` returns a Series, without making it."""
        if isinstance(self.decoded, Columns):
            return self.decoded.count(name) > 0
        return self.find(name) is not None

    def has_valid(self, name: str) -> bool:
        """Return whether `find_valid` returns a Series; it is made only if it never was."""
        if name in self._bad and isinstance(self.decoded, Columns):
            return self.decoded.count(name) > len(self._bad[name])
        return self.find_valid(name) is not None

    def _keep(self, key: tuple[str, str], make: Callable[[], Series | None]) -> Series | None:
        """Return what `make` returns; what was used lately is not made again, unless it alone is
        larger than what may be kept.
        """
        if key in self._kept:
            series = self._kept.pop(key)
        else:
            packed = self.decoded if isinstance(self.decoded, Columns) else None
            self._forget(packed.count(key[0]) * _BYTES_OF_ONE if packed else 0)
            series = make()
            if series and series.n_bytes > _KEPT_BYTES:
                return series
            self._n_kept_bytes += series.n_bytes if series else 0
        self._kept[key] = series
        return series

    def _forget(self, room: int) -> None:
        """Let go of what was not used for longest, until there is room for so many bytes."""
        while self._kept and self._n_kept_bytes + room > _KEPT_BYTES:
            oldest = self._kept.pop(next(iter(self._kept)))
            self._n_kept_bytes -= oldest.n_bytes if oldest else 0

    def _find(self, name: str, without: Rows | None = None) -> Series | None:
        """Return the Series of a signal, without some of its rows."""
        packed = self.decoded if isinstance(self.decoded, Columns) else None
        try:
            t_us, values = packed.series(name, without) if packed else self.decoded.series(name)
        except KeyError:
            return None
        plain = name.rpartition(".")[2]
        series = Series(plain, self._signal(plain).unit or "", t_us, values)
        if without is not None:
            series = replace(series, n_out=len(without)) if packed else series.without(without)
        return series if len(series.t_us) else None

    def _signal(self, plain: str) -> Signal:
        tables = self.decoded.messages.values()
        return next(t.message.signal(plain) for t in tables if plain in t.signals)

    def find_valid(self, name: str) -> Series | None:
        """Return the Series of plausible values: in the DBC's range and the profile's, and not
        out and back faster than the profile says that the signal can change.

        None if the log does not hold it or nothing of it is valid.
        """
        return self._keep((name, "valid"), lambda: self._find_valid(name))

    def _find_valid(self, name: str) -> Series | None:
        if name not in self._bad:
            series = self._kept.get((name, "all")) or self._find(name)
            if series is None:
                return None
            self._bad[name] = self._find_bad(name, series)
            if not len(self._bad[name]):
                return series
            del series  # of a day there is not room for all of them twice
        bad = self._bad[name]
        return self._find(name, bad if len(bad) else None)

    def _find_bad(self, name: str, series: Series) -> NDArray[np.intp]:
        """Return the rows outside of the DBC's range or the profile's, or that are too fast."""
        signal = self._signal(series.name)
        believed = [one for one in self.profile.plausible if name in one.signals]
        lows = [signal.minimum, *(one.min for one in believed)]
        highs = [signal.maximum, *(one.max for one in believed)]
        low = max((x for x in lows if x is not None), default=-np.inf)
        high = min((x for x in highs if x is not None), default=np.inf)
        fastest_per_s = min((one.max_step_per_s for one in believed), default=0.0)
        return find_bad(series, low, high, fastest_per_s)

    @cached_property
    def grid_us(self) -> Times:
        """Times every 50 ms from the start to the end, int64[n]."""
        return np.arange(self.start_us, self.end_us + 1, GRID_US)

    @cached_property
    def speed_kmh(self) -> Values:
        """Speed on the grid: median of the wheels, held in flight, zero where the car is stuck.

        float64[n]. Where wheels lock or flare, a step faster than a car can is cut: 15 m/s2 down,
        8 m/s2 up.
        """
        named = (self.find_valid(name) for name in self.profile.roles.wheel_speed)
        wheels = [wheel for wheel in named if wheel is not None]
        if not wheels:
            return np.zeros(len(self.grid_us))
        each = np.vstack([np.nan_to_num(wheel.at(self.grid_us)) for wheel in wheels])
        median = np.median(each, axis=0)
        silent = self._silent(wheels[0])
        median[silent] = 0.0
        known = set((np.flatnonzero(silent[:-1] & ~silent[1:]) + 1).tolist())
        for span in self._flights:
            first, end = np.searchsorted(self.grid_us, span).tolist()
            median[first : end + 1] = median[max(first - 1, 0)]
        for span in self._stuck:
            median[slice(*np.searchsorted(self.grid_us, span).tolist())] = 0.0
        up = 8 * KMH_PER_MS * GRID_US / 1e6
        down = 15 * KMH_PER_MS * GRID_US / 1e6
        limited = median.tolist()
        for i in range(1, len(limited)):
            if i in known:  # after a silence the speed is what it is
                continue
            before = limited[i - 1]
            limited[i] = min(max(limited[i], before - down), before + up)
        return np.array(limited)

    def _silent(self, series: Series) -> NDArray[np.bool_]:
        """Return where on the grid a series is silent."""
        index = np.searchsorted(series.t_us, self.grid_us, side="right") - 1
        age_us = self.grid_us - series.t_us[np.maximum(index, 0)]
        return (index < 0) | (age_us > silent_after_us(series.t_us))

    @cached_property
    def distance_km(self) -> Values:
        """Distance from the start on the grid, float64[n]: zero at the start, then each speed
        until the next moment.
        """
        driven = np.concatenate(([0.0], np.cumsum(self.speed_kmh[:-1])))
        return driven * (GRID_US / 1e6 / 3600)

    def km(self, t_us: Any) -> Any:
        """Return the distance at `t_us` (number or array)."""
        found = np.interp(t_us, self.grid_us, self.distance_km)
        return found if np.ndim(t_us) else float(found)

    def seconds(self, t_us: int) -> float:
        """Return seconds since the start of the log."""
        return (t_us - self.start_us) / 1e6

    def unix_us(self, t_us: int) -> int | None:
        """Return UTC of a moment, us since 1970, or None where the log does not know it."""
        for cycle in self.key_cycles:
            if cycle.start_us <= t_us <= cycle.end_us and cycle.t_unix_us is not None:
                return cycle.t_unix_us + int(t_us) - cycle.start_us
        return None

    def choices(self, name: str) -> dict[int, str]:
        """Return {value: text} of a signal's value table, empty if it has none."""
        for table in self.decoded.messages.values():
            if name in table.signals:
                return table.message.signal(name).choices or {}
        return {}

    def on_grid(self, name: str) -> Values | None:
        """Return a signal's newest valid value on the grid, NaN where it is silent; None without
        any.
        """
        series = self.find_valid(name)
        if series is None:
            return None
        values = series.at(self.grid_us)
        values[self._silent(series)] = np.nan
        return values if np.isfinite(values).any() else None
