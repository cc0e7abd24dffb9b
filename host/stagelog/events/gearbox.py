"""Abuse of gearbox and converter that shortens their lives, from the raw log.

Owns the rules; their limits are the profile's [gearbox_abuse]. Rules whose signals the log does
not hold are skipped; nothing is raised.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.profile.limits import GearboxAbuse
from stagelog.profile.schema import Profile

STEP_us = 10_000
_WINDOW_us = 300_000
Series: TypeAlias = tuple[NDArray[np.int64], NDArray[Any]]  # t_us ascending, values
FindSeries: TypeAlias = Callable[[str], Series | None]


class GearAbuse(NamedTuple):
    """One case. `kind` as find_gear_abuse lists them; `text` says it in words, with numbers."""

    t_us: int
    kind: str
    value: float
    unit: str
    text: str


def find_gear_abuse(series: FindSeries, profile: Profile) -> list[GearAbuse]:
    """Return the cases in order of time.

    series   returns a signal by its name, None if the log does not hold it
    kinds    downshift_over_rev  engine speed in the lower gear at the output speed of the request
             shift_under_load    engine torque in the middle of a shift
             converter_slip      engine speed lost in the converter, added up: rpm s; pauses of
                                 at most 0.3 s do not end a case
             stall_torque        seconds at high torque while the car stands
             neutral_coasting    seconds out of gear at speed
    Source   domain notes, section 6.
    """
    if profile.gearbox_abuse is None:
        return []
    columns = _Columns(series, profile, profile.gearbox_abuse)
    rules = (_downshifts, _loaded_shifts, _converter_slip, _stall, _coasting)
    found = [case for rule in rules for case in rule(columns, profile)]
    return sorted(found, key=lambda case: case.t_us)


class _Columns:
    """Signals on one grid of 10 ms, each value held until the next; NaN before the first."""

    def __init__(self, series: FindSeries, profile: Profile, g: GearboxAbuse) -> None:
        self.limits, r = g, profile.roles
        names = {"gear": r.gear, "target": g.gear_target, "shifting": g.shifting}
        names |= {"rpm": r.engine_speed, "torque": r.engine_torque, "input_rpm": g.input_speed}
        names |= {"output_rpm": g.output_speed, "speed": r.wheel_speed[0]}
        # Each is asked for twice, for its span and for its values: of a day all at once are too
        # large, and `series` keeps what was used lately.
        spans = {key: _span(series(name)) for key, name in names.items()}
        known = [span for span in spans.values() if span is not None]
        start = min((first for first, _ in known), default=0)
        end = max((last for _, last in known), default=-1)
        self.t_us = np.arange(start, end + 1, STEP_us)
        self._held = {}
        for key, name in names.items():
            found = series(name)
            if found is not None and len(found[0]):
                self._held[key] = self._hold(*found)

    def _hold(self, t_us: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.float64]:
        at = np.searchsorted(t_us, self.t_us, side="right") - 1
        held = np.asarray(values, np.float64)[np.maximum(at, 0)]
        held[at < 0] = np.nan
        return held

    def get(self, *names: str) -> list[NDArray[np.float64]] | None:
        """Return these signals; None if one of them is missing."""
        found = [self._held[name] for name in names if name in self._held]
        return found if len(found) == len(names) else None


def _span(pair: Series | None) -> tuple[int, int] | None:
    """Return the first and the last time of a series; None if there is none."""
    return None if pair is None or not len(pair[0]) else (int(pair[0][0]), int(pair[0][-1]))


def _downshifts(c: _Columns, profile: Profile) -> Iterator[GearAbuse]:
    if (found := c.get("gear", "target", "output_rpm")) is None:
        return
    gear, target = (np.nan_to_num(x).astype(int) for x in found[:2])
    output_rpm = found[2]
    ratios = np.array((np.nan, *profile.gearbox.ratios))
    n = len(ratios)
    asked = (target >= 1) & (target < n) & (gear >= 1) & (gear < n) & (target < gear)
    limit = c.limits.over_rev_rpm
    for a, b in _runs(asked):
        predicted = float(np.nanmax(output_rpm[a:b] * ratios[target[a:b]]))
        if predicted > limit:
            text = f"{gear[a]} to {target[a]} would turn the engine at {predicted:.0f} rpm"
            yield _case(c, a, "downshift_over_rev", predicted, "rpm", text)


def _loaded_shifts(c: _Columns, profile: Profile) -> Iterator[GearAbuse]:
    if (found := c.get("shifting", "torque", "gear", "target")) is None:
        return
    shifting, torque, gear, target = found
    up = np.nan_to_num(target) > np.nan_to_num(gear)
    limit = c.limits.shift_torque_Nm
    for a, b in _runs(np.nan_to_num(shifting) > 0):
        middle = float(np.nanmedian(torque[a:b]))
        if middle > limit:
            text = f"{'up' if up[a] else 'down'}shift at {middle:.0f} Nm"
            yield _case(c, a, "shift_under_load", middle, "Nm", text)


def _converter_slip(c: _Columns, profile: Profile) -> Iterator[GearAbuse]:
    if (found := c.get("rpm", "input_rpm", "torque")) is None:
        return
    rpm, input_rpm, torque = found
    slip = np.nan_to_num(rpm - input_rpm)
    loaded = (slip > c.limits.slip_rpm) & (np.nan_to_num(torque) > 0)
    for a, b in _runs(loaded, _WINDOW_us):
        turned = float(slip[a:b].sum() * STEP_us / 1e6)
        if turned > c.limits.slip_rpm_s:
            seconds = (b - a) * STEP_us / 1e6
            text = f"slip of {turned / seconds:.0f} rpm for {seconds:.1f} s"
            yield _case(c, a, "converter_slip", turned, "rpm s", text)


def _stall(c: _Columns, profile: Profile) -> Iterator[GearAbuse]:
    if (found := c.get("torque", "output_rpm", "gear")) is None:
        return
    torque, output_rpm, gear = found
    g = c.limits
    stands = np.nan_to_num(output_rpm, nan=np.inf) < g.stall_output_rpm
    in_gear = (np.nan_to_num(gear) >= 1) & (np.nan_to_num(gear) <= len(profile.gearbox.ratios))
    for a, b in _runs(stands & in_gear & (np.nan_to_num(torque) > g.stall_torque_Nm)):
        seconds = (b - a) * STEP_us / 1e6
        if seconds > g.stall_s:
            text = f"{float(np.nanmean(torque[a:b])):.0f} Nm against wheels that stand"
            yield _case(c, a, "stall_torque", seconds, "s", text)


def _coasting(c: _Columns, profile: Profile) -> Iterator[GearAbuse]:
    if (found := c.get("gear", "speed")) is None:
        return
    gear, speed = found
    g = c.limits
    for a, b in _runs((gear == g.neutral_gear) & (np.nan_to_num(speed) > g.neutral_kmh)):
        seconds = (b - a) * STEP_us / 1e6
        if seconds > g.neutral_s:
            text = f"out of gear at {float(np.nanmax(speed[a:b])):.0f} km/h"
            yield _case(c, a, "neutral_coasting", seconds, "s", text)


def _case(c: _Columns, at: int, kind: str, value: float, unit: str, text: str) -> GearAbuse:
    return GearAbuse(int(c.t_us[at]), kind, round(value, 1), unit, text)


def _runs(mask: NDArray[np.bool_], gap_us: int = 0) -> list[tuple[int, int]]:
    """Return [(first, end)] of runs of True; gaps up to gap_us are closed."""
    edge = np.flatnonzero(np.diff(np.concatenate(([0], mask.view(np.int8), [0]))))
    runs: list[tuple[int, int]] = []
    for a, b in edge.reshape(-1, 2).tolist():
        if runs and (a - runs[-1][1]) * STEP_us <= gap_us:
            runs[-1] = (runs[-1][0], b)
        else:
            runs.append((a, b))
    return runs
