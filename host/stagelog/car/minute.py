"""One minute of the car's truth, and columns that can be read at any time in it.

Owns the shapes that the signal modules share: no physics.
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.car.build import Build
from stagelog.car.incidents import Incidents
from stagelog.car.motion import Motion
from stagelog.car.noise import Array, Columns, generator
from stagelog.car.nominal import NominalCar

SECONDS = 60


@dataclass(slots=True)
class Column:
    """A quantity on its own regular grid from the minute's start.

    hold    take the last value instead of interpolating (states, counters)
    noise   standard deviation of white noise added at each reading: a float or a Column
    clip    (low, high) of the sensor itself
    """

    dt_s: float
    values: NDArray[Any]
    hold: bool = False
    noise: "float | Column" = 0.0
    clip: tuple[float, float] | None = None


SignalColumns: TypeAlias = dict[str, Column]  # by the name of the signal
# states of filters between minutes: number, complex or float64[n]
Lags: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class Minute:
    """The truth of `seconds` (60, fewer at the end) from t0_s on, as the signal modules see it.

    slow    the driver's columns at 20 Hz     wheels, flight   at 100 Hz
    heat    columns at 2 Hz                   fuel             at 20 Hz
    """

    number: int
    seconds: int
    t0_s: float
    profile: NominalCar
    build: Build
    incidents: Incidents
    seed: int
    slow: Columns
    motion: Motion
    wheels: Columns = field(default_factory=dict)
    flight: Columns = field(default_factory=dict)
    heat: Columns = field(default_factory=dict)
    senders_mm: Array = field(default_factory=lambda: np.empty((0, 2)))
    fuel: Columns = field(default_factory=dict)
    cg_m: float = 0.0
    ambient_degC: float = 0.0

    def slow_column(self, values: NDArray[Any], **how: Any) -> Column:
        """Wrap a 20 Hz column."""
        return Column(0.05, np.asarray(values, np.float64), **how)

    def during(self, kind: str, dt_s: float, n: int) -> Array:
        """Return float[n], 1 while an incident of a kind lasts, on a grid of dt_s."""
        t = self.t0_s + np.arange(n) * dt_s
        out = np.zeros(n)
        for i in self.incidents.of(kind):
            end = np.inf if i.duration_s is None else i.at_s + i.duration_s
            out[(t >= i.at_s) & (t < end)] = 1.0
        return out


class Sampler:
    """Reads columns at the due times of one message; finds its indices in each grid once."""

    def __init__(self, t_s: Array, seed: int, message: int, minute: int) -> None:
        self.t_s = t_s
        self._rng = generator(seed, "noise", message, minute)
        self._grids: dict[tuple[float, int], tuple[NDArray[np.int64], Array]] = {}

    def read(self, column: Column) -> Array:
        """Return the column at all due times, with noise and clipping."""
        values = column.values
        i, f = self._grid(column.dt_s, len(values), column.hold)
        if column.hold:
            out = values[i].astype(np.float64)
        else:
            low = values[i]
            out = low + (values[np.minimum(i + 1, len(values) - 1)] - low) * f
        noise = column.noise
        if isinstance(noise, Column):
            out = out + self.read(noise) * self._rng.standard_normal(len(out))
        elif noise:
            out = out + noise * self._rng.standard_normal(len(out))
        return np.clip(out, *column.clip) if column.clip else out

    def _grid(self, dt_s: float, n: int, hold: bool) -> tuple[NDArray[np.int64], Array]:
        found = self._grids.get((dt_s, n))
        if found is None:
            u = self.t_s / dt_s + 1e-9
            i = np.minimum(u.astype(np.int64), n - 1)
            found = self._grids[dt_s, n] = (i, np.minimum(u - i, 1.0))
        return found
