"""Events in words and physical units, for reports and people.

Owns the step from the four numbers of an event to named facts; units are in the names. An event
that this version does not know keeps its numbers.
"""

import operator
import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from slog import event_names as names
from slog import events as ev
from stagelog.events.compile import SignalTable
from stagelog.events.recompute import Detected

_CAR = {ev.CAR_UNKNOWN: None, ev.CAR_AGREES: True, ev.CAR_SILENT: False}
# Counters whose second value is a count, too; the others' are greatest values.
_SUMMED_EXTRA = {
    "engine_s",
    "air_ms",
    "alarm_warning_s",
    "alarm_critical_s",
    "diff_front_max",
    "diff_rear_max",
    "shifts",
}
_SEVERITIES = ("light", "medium", "hard", "severe")
Facts: TypeAlias = dict[str, Any]  # by names with units; which ones depends on the kind of event
Summary: TypeAlias = dict[str, tuple[int, int]]  # {counter: (value, extra)}


class Flight(NamedTuple):
    """A flight with its landing. None: not known. `confirmed_us` is when the car knew of it."""

    onset_us: int
    confirmed_us: int
    airtime_ms: int
    speed_kmh: int | None
    peak_g: float | None
    confidence_pct: int
    car_agrees: bool | None
    severity: str  # light, medium, hard, severe or unknown


def read_events(events: Iterable[Detected], table: SignalTable | None = None) -> list[Facts]:
    """Return for each event t_us, name, state, and the facts of that kind of event.

    events  Detected, in order
    table   SignalTable for names of alarms, signals and messages; without it they are numbers
    """
    read: list[Facts] = []
    mark: Facts = {}
    text, n_bytes = b"", 0
    for event in events:
        if event.code != ev.MARK_TEXT:
            read.append(read_event(event, table))
            if event.code == ev.MARK:
                mark, text, n_bytes = read[-1], b"", event.extra
            continue
        start = 8 * event.state  # a piece before it may be lost
        text = text[:start].ljust(start, b"?") + struct.pack("<iI", event.value, event.extra)
        words = text[:n_bytes].decode(errors="replace")
        mark["text"] = "".join(c if c.isprintable() else " " for c in words)
    return read


def read_event(event: Detected, table: SignalTable | None = None) -> Facts:
    """Return the facts of one event; see read_events."""
    name, number, _ = names.describe(event.code)
    read = {"t_us": event.t_us, "name": name, "state": names.state_name(event.code, event.state)}
    return read | _facts(event, name, number, table)


def summarise(events: Iterable[Detected]) -> Summary:
    """Return the newest complete summary among events, {} if there is none."""
    newest: Summary = {}
    count: Summary = {}
    for event in events:
        name, number, _ = names.describe(event.code)
        if name != "summary" or number >= len(names.SUMMARY_ITEMS):
            continue
        if number == 0:
            count = {}
        count[names.SUMMARY_ITEMS[number][0]] = (event.value, event.extra)
        if len(count) == len(names.SUMMARY_ITEMS):
            newest = dict(count)
    return newest


def add_lives(summaries: Iterable[Summary]) -> Summary:
    """Return one summary of several sessions: component lives.

    summaries  of summarise(): counters are added; of greatest values and volumes the greatest
               is kept
    """
    total: Summary = {}
    for summary in summaries:
        for item, (value, extra) in summary.items():
            before = total.get(item)
            if before is None:
                total[item] = (value, extra)
                continue
            first: Callable[[int, int], int] = max if item.endswith("_max") else operator.add
            second: Callable[[int, int], int] = operator.add if item in _SUMMED_EXTRA else max
            total[item] = (first(before[0], value), second(before[1], extra))
    return total


def _facts(event: Detected, name: str, number: int, table: SignalTable | None) -> Facts:
    value, extra = event.value, event.extra
    if name == "flight":
        return _flight(event)
    if name in ("alarm", "alarm_context"):
        facts: Facts = {"number": number, "value": value / 100, "speed_kmh": extra & 0x1FF}
        facts["engine_rpm"] = (extra >> ev.RPM_SHIFT) * 10
        if table and number in table.alarms:
            alarm, signal = table.alarms[number][:2]
            unit = table.units[table.signals.index(signal)]
            facts |= {"alarm": alarm, "signal": signal, "unit": unit}
        return facts
    if name == "sensor":
        return {"number": number, "raw": value} | (
            {"signal": table.signals[number]} if table and number < len(table.signals) else {}
        )
    if name == "message":
        return {"can_id": value} | (
            {"message": table.slots[number]} if table and number < len(table.slots) else {}
        )
    if name == "summary":
        known = number < len(names.SUMMARY_ITEMS)
        return {
            "item": names.SUMMARY_ITEMS[number][0] if known else number,
            "value": value,
            "extra": extra,
        }
    makers: dict[str, Callable[[], Facts]] = {
        "car_flight": lambda: {"airtime_ms": value},
        "roll_over": lambda: {"vertical_g": value / 1000},
        "stuck": lambda: {"wheel_speed_kmh": value / 100},
        "handbrake_abuse": lambda: {"speed_kmh": value / 100, "pressure_kPa": extra},
        "refuel": lambda: {"added_l": value / 100, "volume_l": extra / 100},
        "fuel_leak": lambda: {"lost_l": value / 100, "volume_l": extra / 100},
        "fuel": lambda: {"volume_l": value / 100, "used_l": extra / 100},
        "diff_model": lambda: {"residual_degC": value / 100, "axle": ("front", "rear")[extra & 1]},
        "resumed": lambda: {"pause_s": value},
        "skipped": lambda: {"blocks": value},
        "range": lambda: {"p50_km": value / 10, "p10_km": extra / 10},
        "mark": lambda: {"number": value, "text": ""},
        "table": lambda: {"n_signals": value, "n_alarms": extra},
        "flow_scale": lambda: {"scale": value / 1e6, "sigma": extra / 1e6},
    }
    return makers[name]() if name in makers else {"value": value, "extra": extra}


def _flight(event: Detected) -> Facts:
    value, extra = event.value, event.extra
    if event.state == ev.TAKEN_OFF:
        onset_us = event.t_us - ((event.t_us - extra) & 0xFFFFFFFF)
        speed_kmh = None if value >> 16 == ev.NO_SPEED else value >> 16
        return {"onset_us": onset_us, "speed_kmh": speed_kmh, "age_ms": value & 0xFFFF}
    if event.state != ev.LANDED:
        return {"airtime_ms": value}
    severity = extra >> ev.SEVERITY_SHIFT & 7
    known = severity != ev.NO_SEVERITY
    return {
        "airtime_ms": value,
        "peak_g": (extra & ev.PEAK_MASK) / 100 if known else None,
        "confidence_pct": extra >> ev.CONFIDENCE_SHIFT & 127,
        "car_agrees": _CAR.get(extra >> ev.CAR_SHIFT & 3),
        "severity": _SEVERITIES[min(severity, 3)] if known else "unknown",
    }


def flights_of(events: Iterable[Detected]) -> list[Flight]:
    """Return the flights among events, in order. Those without a landing are left out."""
    flights = []
    start: Detected | None = None
    for event in events:
        if event.code != ev.FLIGHT:
            continue
        if event.state == ev.LANDED and start:
            begun, ended = _flight(start), _flight(event)
            del begun["age_ms"]
            flights.append(Flight(confirmed_us=start.t_us, **begun, **ended))
        start = event if event.state == ev.TAKEN_OFF else None
    return flights
