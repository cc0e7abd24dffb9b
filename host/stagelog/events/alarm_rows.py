"""Gates and alarms of a car profile as rows of the signal table, in raw units of their signals."""

import math
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from slog import signal_table as st
from stagelog.dbc.model import Signal
from stagelog.events.signal_rows import Row, SignalIndex, to_raw
from stagelog.profile.limits import Alarm, Gate
from stagelog.profile.schema import Profile
from stagelog.profile.toml_lines import Keys

T = TypeVar("T")

_NEVER = 0x3FFFFFFF
_KINDS = {
    "above": st.ABOVE,
    "below": st.BELOW,
    "rate": st.RATE,
    "time_to_limit": st.TIME_TO_LIMIT,
    "below_table": st.BELOW_TABLE,
    "above_table": st.ABOVE_TABLE,
    "fan": st.FAN,
    "drop": st.DROP,
    "difference": st.DIFFERENCE,
    "cooler": st.COOLER,
}
_DERIVED = {
    "vehicle_speed_kmh": (st.OF_SPEED, 100),
    "airborne": (st.OF_AIRBORNE, 1000),
    "engine_running": (st.OF_ENGINE, 1000),
}
_ALIKE = ("difference", "cooler")  # kinds that subtract one signal from another
AlarmNames: TypeAlias = dict[int, tuple[str, str, str]]  # {number: (key, signal, unit)}
_AGE = 8 / 7.5  # the oldest of eight intervals is seven to eight intervals old


def alarm_sections(
    profile: Profile, builder: SignalIndex, problem: Callable[[Profile, Keys, str], Exception]
) -> tuple[AlarmNames, dict[int, list[Row]]]:
    """Return the names of the alarms, and {tag: rows} of gates, alarms and their tables.

    problem   makes the exception for a defect from profile, entry and text
    """
    gates = {name: n for n, name in enumerate(profile.gate)}
    gate_rows = [_gate(name, gate, builder, profile) for name, gate in profile.gate.items()]
    names: AlarmNames = {}
    rows: list[Row] = []
    points: list[Row] = []
    for group, (key, alarm) in enumerate(profile.alarm.items()):
        for n, signal_name in enumerate(alarm.signals):
            if not builder.has(signal_name):
                continue
            entry = ("alarm", key, "signals")
            signal = builder.signal(signal_name, entry)
            names[alarm.id + n] = (key, signal_name, alarm.unit)
            x_name = alarm.x_signals[n] if alarm.x_signals else alarm.x_signal
            x = None if x_name is None else builder.signal(x_name, ("alarm", key, "x_signal"))
            scales = {(each.scale, each.offset) for each in (signal, x) if each}
            if alarm.kind in _ALIKE and len(scales) > 1:
                text = f"alarm {key}: {signal_name} and {x_name} differ in scale or offset"
                raise problem(profile, ("alarm", key, "signals"), text)
            limits = _limits(alarm, signal, x)
            first = len(points)
            points += _points(alarm, signal, x)
            rows.append(
                [
                    alarm.id + n,
                    _KINDS[alarm.kind],
                    builder.index(signal_name, entry),
                    -1 if x_name is None else builder.index(x_name, entry),
                    *limits,
                    *(_n_samples(s) for s in (*alarm.debounce_s, alarm.debounce_out_s)),
                    sum(1 << gates[gate] for gate in alarm.gates),
                    int(alarm.latch),
                    *_past(alarm, signal, x),
                    first,
                    len(points) - first,
                    group,
                ]
            )
    if len(gates) > 28:
        raise problem(profile, ("gate",), f"{len(gates)} gates, at most 28 fit")
    return names, {st.GATES: gate_rows, st.ALARMS: rows, st.POINTS: points}


def _needed(value: T | None) -> T:
    """Return an entry that profile.checks requires of this kind of alarm."""
    assert value is not None
    return value


def _n_samples(seconds: float) -> int:
    """Return the number of consecutive 10 Hz samples that span `seconds`."""
    return math.ceil(seconds * 10 - 1e-6) + 1


def _gate(name: str, gate: Gate, builder: SignalIndex, profile: Profile) -> Row:
    falls = gate.below is not None
    limit = _needed(gate.below if falls else gate.above)
    steps = round(gate.for_s * 10)
    if gate.signal in _DERIVED:
        source, per_unit = _DERIVED[gate.signal]
        factor = profile.engine.idle_rpm if source == st.OF_ENGINE else per_unit
        return [source, -1, round(limit * factor), int(falls), steps]
    signal = builder.signal(gate.signal, ("gate", name, "signal"))
    raw = to_raw(signal, limit)
    raw = math.ceil(raw - 1e-6) if falls else math.floor(raw + 1e-6)
    return [st.OF_SIGNAL, builder.index(gate.signal), raw, int(falls), steps]


def _limits(alarm: Alarm, signal: Signal, x: Signal | None) -> Row:
    """Return [warning, critical, clear] in the units in which the firmware compares."""
    kind, size = alarm.kind, abs(signal.scale)
    levels = (alarm.warning, alarm.critical)
    clear = max(round(alarm.clear / size), 1)
    if kind == "above":
        return [*(_above(signal, level) for level in levels), clear]
    if kind == "difference":
        return [*(_times(level, 1 / size) for level in levels), clear]
    if kind == "cooler":
        return [*(_times(level, -1) for level in levels), round(alarm.clear)]
    if kind in ("below", "fan"):
        return [*(_below(signal, level) for level in levels), clear]
    if kind == "rate":
        scale = _needed(alarm.window_s) / 60 / size
        return [*(_times(level, scale) for level in levels), max(round(alarm.clear * scale), 1)]
    if kind == "time_to_limit":
        return [*(_times(level, -10) for level in levels), round(alarm.clear * 10)]
    if kind == "drop":
        return [*(_times(level, 10) for level in levels), round(alarm.clear * 10)]
    if alarm.unit == "%":
        table_y = _needed(alarm.table_y)
        middle = sum(table_y) / len(table_y)
        clear = max(round(alarm.clear / 100 * middle / size), 1)
    return [0, 0, clear]


def _above(signal: Signal, level: float | None) -> int:
    return _NEVER if level is None else math.floor(to_raw(signal, level) + 1e-6)


def _below(signal: Signal, level: float | None) -> int:
    return _NEVER if level is None else -math.ceil(to_raw(signal, level) - 1e-6)


def _times(level: float | None, factor: float) -> int:
    return _NEVER if level is None else round(level * factor)


def _past(alarm: Alarm, signal: Signal, x: Signal | None) -> Row:
    """Return [window, floor, limit, drop]."""
    size = abs(signal.scale)
    if alarm.kind == "cooler":
        return [0, math.ceil(_needed(alarm.floor) / size), 0, 0]
    if alarm.kind == "fan":
        return [0, 0, math.floor(to_raw(_needed(x), _needed(alarm.x_limit)) + 1e-6), 0]
    if alarm.kind not in ("rate", "time_to_limit", "drop"):
        return [0, 0, 0, 0]
    window_s = _needed(alarm.window_s)
    if alarm.kind == "rate":
        return [round(window_s * 10 * _AGE), _above(signal, alarm.floor), 0, 0]
    if alarm.kind == "time_to_limit":
        floor = round(_needed(alarm.floor) * window_s / 60 / size)
        window = round(window_s * 10)
        return [round(window * _AGE), floor, _above(signal, alarm.limit), window]
    minutes = window_s / 60
    most = 0 if alarm.drop_per_min is None else round(alarm.drop_per_min * minutes / size)
    return [round(window_s * 10), 0, 0, most]


def _points(alarm: Alarm, signal: Signal, x: Signal | None) -> list[Row]:
    """Return rows of POINTS: x and the two limits there."""
    if alarm.kind not in ("below_table", "above_table"):
        return []
    falls = alarm.kind == "below_table"
    rows = []
    for at, y in zip(_needed(alarm.table_x), _needed(alarm.table_y), strict=True):
        row = [round(to_raw(_needed(x), at))]
        for level in (alarm.warning, alarm.critical):
            if level is None:
                row.append(_NEVER)
                continue
            off = level if alarm.unit != "%" else y * level / 100
            row.append(_below(signal, y - off) if falls else _above(signal, y + off))
        rows.append(row)
    return rows
