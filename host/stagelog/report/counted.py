"""Where the limits of a signal count: at the starter a battery is below its limit, and it is good.

The gates are those of the profile, by the raw log; the detectors' own are in firmware/detectors.
"""

from collections.abc import Sequence

import numpy as np

from stagelog.profile.limits import Alarm
from stagelog.report.series import Mask, Series, Times, Values
from stagelog.report.stage import Stage


def counted(stage: Stage, series: Series, alarms: Sequence[Alarm]) -> Series:
    """Return the samples of a series at which one of its alarms counts, all where that is never.

    alarms   those with a limit on the value
    """
    if not alarms or any(not alarm.gates for alarm in alarms):
        return series
    keep = np.zeros(len(series.t_us), bool)
    for alarm in alarms:
        held = np.ones(len(series.t_us), bool)
        for gate in alarm.gates:
            held &= _holds(stage, gate, series.t_us)
        keep |= held
    if keep.all() or not keep.any():
        return series
    return Series(series.name, series.unit, series.t_us[keep], series.values[keep], series.n_out)


def _holds(stage: Stage, name: str, t_us: Times) -> Mask:
    """Return where a gate of the profile holds; one on what the logger alone knows always does."""
    gate = stage.profile.gate[name]
    found = _values(stage, gate.signal)
    if found is None:
        return np.ones(len(t_us), bool)
    at_us, values = found
    passes = np.ones(len(values), bool)
    if gate.above is not None:
        passes &= values > gate.above
    if gate.below is not None:
        passes &= values < gate.below
    # since when it has passed without a break, at each sample
    starts_us = np.where(passes & ~np.concatenate(([False], passes[:-1])), at_us, 0)
    since_us = np.maximum.accumulate(starts_us)
    row = np.searchsorted(at_us, t_us, side="right") - 1
    known = np.maximum(row, 0)
    long_enough = t_us - since_us[known] >= gate.for_s * 1e6
    return np.asarray((row >= 0) & passes[known] & long_enough)


def _values(stage: Stage, signal: str) -> tuple[Times, Values] | None:
    """Return times and values of a gate's signal, None where the log does not hold it."""
    if signal == "vehicle_speed_kmh":
        return stage.grid_us, stage.speed_kmh
    series = stage.find_valid(signal)
    return None if series is None else (series.t_us, series.values)
