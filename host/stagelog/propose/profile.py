"""Proposes a short profile from a DBC and a log: roles by name and unit, ranges from the log.

What is proposed is a guess, and marked as one in the text; nothing here judges a car.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from stagelog.dbc import Database, Signal
from stagelog.decode import compile_plan, iter_decode
from stagelog.model import FrameTable
from stagelog.profile.schema import Roles
from stagelog.profile.short import SHORT_SCHEMA, make_roles

_SPEEDS = ("km/h", "kph", "kmh", "mph", "m/s")
_PRESSURES = ("kPa", "bar", "psi", "MPa")
_CORNERS = ("FL|LF|VL", "FR|RF|VR", "RL|LR|HL", "RR|HR")  # VL: vorne links, HL: hinten links
_FRONT_REAR = ("F|Front|VA", "R|Rear|HA")

# role: (pattern of the name, units, what distinguishes its elements)
_ONE = {
    "engine_speed": (r"eng(ine)?_?(speed|spd|rpm)|^rpm$|motor_?(speed|rpm)", ("rpm", "1/min")),
    "engine_torque": (r"eng(ine)?.*(torque|tq|trq)", ("Nm", "N·m", "%")),
    "throttle": (r"^thr(ottle)?_?(pos|position|valve)?|throttle", ("%",)),
    "pedal": (r"acc(el\w*)?_?ped|^pedal|ped(al)?_?pos", ("%",)),
    "gear": (r"^gear$|(current|actual|act)_?gear|gear_?(act|pos|cur)", ("",)),
    "fuel_flow": (r"fuel_?(flow|rate)", ("l/h", "L/h")),
    "fuel_used": (r"(fuel|trip).*used|fuel_?consumed", ("l", "L")),
    "output_torque": (r"(output|out|shaft).*(torque|tq|trq)", ("Nm",)),
    "ambient_temperature": (r"amb(ient)?.*(temp|air)|outside.*temp", ("degC", "°C", "C")),
    "handbrake_pressure": (r"(hand|park).*brake.*pres", _PRESSURES),
    "steering": (r"steer(ing)?.*(angle|ang|pos)", ("deg", "°", "rad")),
}
_SEVERAL = {
    "wheel_speed": (r"wh(ee)?l.*(speed|spd)|(speed|spd).*wh(ee)?l", _SPEEDS, _CORNERS),
    "damper": (r"(dmp|damper|shock|susp).*(pos|travel|disp)", ("mm", "cm"), _CORNERS),
    "brake_pressure": (r"br(a?k)e?.*pres", _PRESSURES, _FRONT_REAR),
    "acceleration": (
        r"acc|long|lat|vert",
        ("m/s^2", "m/s2", "m/s²", "g"),
        ("X|Long\\w*", "Y|Lat\\w*", "Z|Vert\\w*"),
    ),
    "rates": (
        r"rate|gyro|yaw|pitch|roll",
        ("deg/s", "°/s", "rad/s"),
        ("X|Roll\\w*", "Y|Pitch\\w*", "Z|Yaw\\w*"),
    ),
    "diff_temperature": (r"diff.*temp", ("degC", "°C"), _FRONT_REAR),
}


class Seen(NamedTuple):
    """What a log holds of a signal: its number of values, the lowest and the highest."""

    n: int
    low: float
    high: float


def see_signals(database: Database, tables: Iterable[FrameTable]) -> dict[str, Seen]:
    """Return {"Message.Signal": Seen} of the signals of which a log has finite values."""
    found: dict[str, Seen] = {}
    for decoded in iter_decode(tables, compile_plan(database)):
        for table in decoded.messages.values():
            for name, values in table.signals.items():
                finite = values[np.isfinite(values)]
                if not len(finite):
                    continue
                key, now = f"{table.name}.{name}", (float(finite.min()), float(finite.max()))
                last = found.get(key, Seen(0, *now))
                low, high = min(last.low, now[0]), max(last.high, now[1])
                found[key] = Seen(last.n + len(finite), low, high)
    return found


def propose_roles(database: Database, seen: Mapping[str, Seen] | None = None) -> Roles:
    """Return the Roles that names and units of signals speak for, of those that were seen.

    A role of four wheels or three axes is proposed only if all of them are there.
    """
    signals = [
        signal
        for message in database.messages
        for signal in message.signals
        if seen is None or f"{message.name}.{signal.name}" in seen
    ]
    names = [signal.name for signal in signals]
    signals = [signal for signal in signals if names.count(signal.name) == 1]
    given: dict[str, str | tuple[str, ...]] = {}
    for role, (pattern, units) in _ONE.items():
        found = [s.name for s in signals if _fits(s, pattern, units)]
        if found:
            given[role] = min(found, key=len)
    for role, (pattern, units, parts) in _SEVERAL.items():
        fitting = [s.name for s in signals if _fits(s, pattern, units)]
        chosen = [_part(fitting, part) for part in parts]
        if all(chosen) and len(set(chosen)) == len(chosen):
            given[role] = tuple(name for name in chosen if name)
    return make_roles(given)


def profile_text(
    name: str, dbc: str, roles: Roles, database: Database, seen: Mapping[str, Seen]
) -> str:
    """Return a short profile as TOML.

    dbc   path of the DBC as it shall stand there
    seen  of the log; its ranges stand in as plausible where the DBC gives none
    """
    lines = [
        "# A short profile, proposed by 'stagelog profile new': every entry is a guess by name",
        "# and unit, and may be changed or removed. 'stagelog profile check' says if it fits.",
        "",
        f"schema = {_quoted(SHORT_SCHEMA)}",
        "",
        "[car]",
        f"name = {_quoted(name)}",
        f"dbc = {_quoted(dbc)}",
        "",
        "[roles]",
    ]
    held = {each: getattr(roles, each) for each in roles.__dataclass_fields__}
    lines += [f"{role} = {_toml(value)}" for role, value in held.items() if value]
    missing = [role for role, value in held.items() if not value]
    lines += [f"# no signal fits: {', '.join(missing)}"] if missing else []
    for message in database.messages:
        for signal in message.signals:
            found = seen.get(f"{message.name}.{signal.name}")
            if found is not None and not _is_bounded(signal) and found.low < found.high:
                span = found.high - found.low
                lines += ["", "[[plausible]]", f"signals = [{_quoted(signal.name)}]"]
                lines += [f"min = {found.low - span:.6g}", f"max = {found.high + span:.6g}"]
                unit = "".join(c if c.isprintable() else " " for c in signal.unit or "")
                unit = f" {unit}" if unit else ""
                lines[-1] += f"  # the log has {found.low:g} to {found.high:g}{unit}"
    example = next((s for m in database.messages for s in m.signals if s.unit == "degC"), None)
    example = example or next((s for m in database.messages for s in m.signals), None)
    if example is not None:
        lines += ["", "# A limit that the report shall hold the log to:", "# [alarm.too_much]"]
        lines += [f"# signals = [{_quoted(example.name)}]", '# kind = "above"']
        lines += [f"# unit = {_quoted(example.unit)}", "# warning = 100", "# critical = 110"]
    return "\n".join(lines) + "\n"


def _fits(signal: Signal, pattern: str, units: tuple[str, ...]) -> bool:
    return signal.unit in units and re.search(pattern, signal.name, re.IGNORECASE) is not None


def _part(names: list[str], part: str) -> str | None:
    """Return the name that says `part`, as a word of its own or at its end; None without one."""
    word = re.compile(rf"(?:^|[_\W]|(?<=[a-z0-9]))(?:{part})(?:$|[_\W\d]|(?=[A-Z]))")
    found = [name for name in names if word.search(name)]
    return min(found, key=len) if found else None


def _is_bounded(signal: Signal) -> bool:
    low, high = signal.minimum, signal.maximum
    return low is not None and high is not None and low < high


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # not in TOML


def _toml(value: str | tuple[str, ...]) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return f"[{', '.join(map(_quoted, value))}]"
