"""Abuse of gearbox and converter that shortens their lives, from the raw log.

Owns the rules; their limits are the profile's [gearbox_abuse]. Rules whose signals the log does
not hold are skipped; nothing is raised.
"""

import numpy as np

STEP_us = 10_000
_WINDOW_us = 300_000


def find_gear_abuse(series, profile):
    """Return what was found as dicts in order of time: t_us, kind, value, unit, text.

    series   function from a signal's name to (t_us int64[n] ascending, values[n]), or None
    kinds    downshift_over_rev  engine speed in the lower gear at the output speed of the request
             shift_under_load    engine torque in the middle of a shift
             converter_slip      engine turns lost in the converter, rpm s, in one piece
             stall_torque        seconds at high torque while the car stands
             neutral_coasting    seconds out of gear at speed
    Source   domain notes, section 6.
    """
    columns = _Columns(series, profile)
    if columns.t_us is None:
        return []
    rules = (_downshifts, _loaded_shifts, _converter_slip, _stall, _coasting)
    found = [fact for rule in rules for fact in rule(columns, profile)]
    return sorted(found, key=lambda fact: fact["t_us"])


class _Columns:
    """Signals on one grid of 10 ms; None where the log does not hold them."""

    def __init__(self, series, profile):
        g, r = profile.gearbox_abuse, profile.roles
        names = {"gear": r.gear, "target": g.gear_target, "shifting": g.shifting}
        names |= {"rpm": r.engine_speed, "torque": r.engine_torque, "input_rpm": g.input_speed}
        names |= {"output_rpm": g.output_speed, "speed": r.wheel_speed[0]}
        spans = {key: _span(series(name)) for key, name in names.items()}
        known = [span for span in spans.values() if span is not None]
        self.t_us = None
        if known:
            start, end = min(first for first, _ in known), max(last for _, last in known)
            self.t_us = np.arange(start, end + 1, STEP_us)
        for key, name in names.items():  # one after the other: of a day each is large
            setattr(self, key, None if spans[key] is None else self._held(*series(name)))

    def _held(self, t_us, values):
        at = np.searchsorted(t_us, self.t_us, side="right") - 1
        held = np.asarray(values, np.float64)[np.maximum(at, 0)]
        held[at < 0] = np.nan
        return held

    def lack(self, *names):
        """Return whether one of these signals is missing."""
        return any(getattr(self, name) is None for name in names)


def _span(pair):
    """Return the first and the last time of (t_us, values); None if there is none."""
    return None if pair is None or not len(pair[0]) else (pair[0][0], pair[0][-1])


def _downshifts(c, profile):
    if c.lack("gear", "target", "output_rpm"):
        return
    ratios = np.array((np.nan, *profile.gearbox.ratios))
    n = len(ratios)
    gear, target = (np.nan_to_num(x).astype(int) for x in (c.gear, c.target))
    asked = (target >= 1) & (target < n) & (gear >= 1) & (gear < n) & (target < gear)
    limit = profile.gearbox_abuse.over_rev_rpm
    for a, b in _runs(asked):
        predicted = float(np.nanmax(c.output_rpm[a:b] * ratios[target[a:b]]))
        if predicted > limit:
            text = f"{gear[a]} to {target[a]} would turn the engine at {predicted:.0f} rpm"
            yield _fact(c, a, "downshift_over_rev", predicted, "rpm", text)


def _loaded_shifts(c, profile):
    if c.lack("shifting", "torque", "gear", "target"):
        return
    up = np.nan_to_num(c.target) > np.nan_to_num(c.gear)
    limit = profile.gearbox_abuse.shift_torque_Nm
    for a, b in _runs(np.nan_to_num(c.shifting) > 0):
        torque = float(np.nanmedian(c.torque[a:b]))
        if torque > limit:
            text = f"{'up' if up[a] else 'down'}shift at {torque:.0f} Nm"
            yield _fact(c, a, "shift_under_load", torque, "Nm", text)


def _converter_slip(c, profile):
    if c.lack("rpm", "input_rpm", "torque"):
        return
    slip = np.nan_to_num(c.rpm - c.input_rpm)
    loaded = (slip > profile.gearbox_abuse.slip_rpm) & (np.nan_to_num(c.torque) > 0)
    for a, b in _runs(loaded, _WINDOW_us):
        turned = float(slip[a:b].sum() * STEP_us / 1e6)
        if turned > profile.gearbox_abuse.slip_rpm_s:
            seconds = (b - a) * STEP_us / 1e6
            text = f"slip of {turned / seconds:.0f} rpm for {seconds:.1f} s"
            yield _fact(c, a, "converter_slip", turned, "rpm s", text)


def _stall(c, profile):
    if c.lack("torque", "output_rpm", "gear"):
        return
    g = profile.gearbox_abuse
    stands = np.nan_to_num(c.output_rpm, nan=np.inf) < g.stall_output_rpm
    in_gear = (np.nan_to_num(c.gear) >= 1) & (np.nan_to_num(c.gear) <= len(profile.gearbox.ratios))
    for a, b in _runs(stands & in_gear & (np.nan_to_num(c.torque) > g.stall_torque_Nm)):
        seconds = (b - a) * STEP_us / 1e6
        if seconds > g.stall_s:
            text = f"{float(np.nanmean(c.torque[a:b])):.0f} Nm against wheels that stand"
            yield _fact(c, a, "stall_torque", seconds, "s", text)


def _coasting(c, profile):
    if c.lack("gear", "speed"):
        return
    g = profile.gearbox_abuse
    for a, b in _runs((c.gear == g.neutral_gear) & (np.nan_to_num(c.speed) > g.neutral_kmh)):
        seconds = (b - a) * STEP_us / 1e6
        if seconds > g.neutral_s:
            text = f"out of gear at {float(np.nanmax(c.speed[a:b])):.0f} km/h"
            yield _fact(c, a, "neutral_coasting", seconds, "s", text)


def _fact(c, at, kind, value, unit, text):
    value = round(float(value), 1)
    return {"t_us": int(c.t_us[at]), "kind": kind, "value": value, "unit": unit, "text": text}


def _runs(mask, gap_us=0):
    """Return [(first, end)] of runs of True; gaps up to gap_us are closed."""
    edge = np.flatnonzero(np.diff(np.concatenate(([0], mask.view(np.int8), [0]))))
    runs = []
    for a, b in edge.reshape(-1, 2).tolist():
        if runs and (a - runs[-1][1]) * STEP_us <= gap_us:
            runs[-1] = (runs[-1][0], b)
        else:
            runs.append((a, b))
    return runs
