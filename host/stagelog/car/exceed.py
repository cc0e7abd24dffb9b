"""True exceedances: when a quantity itself, not its sensor, was beyond an alarm's limit.

Owns the ground truth for alarms of kind "above" and "below": the limit and the gate's condition,
without debounce, hysteresis or sensor faults, sampled twice a second. Gaps under ten seconds are
closed. Detectors never see it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stagelog.car.minute import Column, Minute, SignalColumns
from stagelog.car.noise import Array
from stagelog.car.nominal import NominalCar
from stagelog.car.truth import Event
from stagelog.profile.limits import Gate

STEP_s = 0.5
_CLOSE_s = 10.0


@dataclass(slots=True)
class _Excess:
    """An exceedance that may still go on; `peak` is the greatest value, with the limit's sign."""

    first_s: float
    last_s: float
    km: float
    peak: float


class Exceedances:
    """Follows all limits of a profile through a drive."""

    def __init__(self, profile: NominalCar) -> None:
        self.gates = profile.gate
        self.limits = [
            (key, name, level, getattr(alarm, level), alarm)
            for key, alarm in profile.alarm.items()
            if alarm.kind in ("above", "below")
            for name in alarm.signals
            for level in ("warning", "critical")
            if getattr(alarm, level) is not None
        ]
        self._open: dict[int, _Excess] = {}

    def feed(self, minute: Minute, columns: SignalColumns, last: bool) -> list[Event]:
        """Return the exceedances that are over by the end of a minute."""
        n = minute.seconds * 2
        t_s = minute.t0_s + np.arange(n) * STEP_s
        km = np.interp(np.arange(n) * STEP_s, np.arange(len(minute.slow["s_m"])) * 0.05,
                       minute.slow["s_m"]) * 1e-3  # fmt: skip
        read = {name: _read(columns[name], n) for _, name, *_ in self.limits if name in columns}
        gates = {key: self._gate(gate, minute, columns, n) for key, gate in self.gates.items()}
        done: list[Event] = []
        for number, (_, name, _, limit, alarm) in enumerate(self.limits):
            if name not in read:
                continue
            sign = 1.0 if alarm.kind == "above" else -1.0
            over = sign * (read[name] - limit) > 0.0
            for gate in alarm.gates:
                over &= gates[gate]
            done += self._follow(number, over, sign * read[name], t_s, km)
        if last:
            done += [self._event(number, self._open.pop(number)) for number in sorted(self._open)]
        return done

    def _follow(
        self, number: int, over: NDArray[np.bool_], value: Array, t_s: Array, km: Array
    ) -> list[Event]:
        done, now = [], self._open.get(number)
        for i in np.flatnonzero(over):
            if now is not None and t_s[i] - now.last_s > _CLOSE_s:
                done.append(self._event(number, now))
                now = None
            if now is None:
                now = _Excess(t_s[i], t_s[i], km[i], value[i])
            now.last_s, now.peak = t_s[i], max(now.peak, value[i])
        if now is not None and t_s[-1] - now.last_s > _CLOSE_s:
            done.append(self._event(number, now))
            now = None
        self._open.pop(number, None)
        if now is not None:
            self._open[number] = now
        return done

    def _event(self, number: int, found: _Excess) -> Event:
        key, name, level, limit, alarm = self.limits[number]
        facts = {"alarm": key, "signal": name, "level": level, "limit": limit, "unit": alarm.unit}
        facts["peak"] = round(float(found.peak) * (1.0 if alarm.kind == "above" else -1.0), 2)
        start_us = round(float(found.first_s) * 1e6)
        end_us = round(float(found.last_s + STEP_s) * 1e6)
        return Event("exceedance", start_us, end_us, round(float(found.km), 4), facts)

    def _gate(
        self, gate: Gate, minute: Minute, columns: SignalColumns, n: int
    ) -> NDArray[np.bool_]:
        if gate.signal == "vehicle_speed_kmh":
            value = minute.motion.v_ms[::250] * 3.6
        elif gate.signal == "airborne":
            value = (minute.motion.load[::250] < 0.05).astype(float)
        elif gate.signal in columns:
            value = _read(columns[gate.signal], n)
        else:
            return np.ones(n, bool)
        if gate.above is not None:
            return value > gate.above
        assert gate.below is not None  # a profile has exactly one of the two
        return value < gate.below


def _read(column: Column, n: int) -> Array:
    at = np.arange(n) * STEP_s / column.dt_s + 1e-9
    return column.values[np.minimum(at.astype(np.int64), len(column.values) - 1)]
