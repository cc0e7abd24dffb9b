"""Events in words and physical units, for reports and people.

Owns the step from the four numbers of an event to named facts; units are in the names. An event
that this version does not know keeps its numbers.
"""

import operator

from slog import event_names as names
from slog import events as ev
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


def read_events(events, table=None):
    """Return a list of dicts: t_us, name, state, and the facts of that kind of event.

    events  Detected, in order
    table   SignalTable for names of alarms, signals and messages; without it they are numbers
    """
    return [read_event(event, table) for event in events]


def read_event(event, table=None):
    """Return one event as a dict; see read_events."""
    name, number, _ = names.describe(event.code)
    read = {"t_us": event.t_us, "name": name, "state": names.state_name(event.code, event.state)}
    return read | _facts(event, name, number, table)


def summarise(events):
    """Return {counter: (value, extra)} of the newest complete summary among events, {} if none."""
    newest, count = {}, {}
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


def add_lives(summaries):
    """Return one summary of several sessions: component lives.

    summaries  of summarise(); counters are summed, greatest values and volumes are the greatest
    """
    total = {}
    for summary in summaries:
        for item, (value, extra) in summary.items():
            before = total.get(item)
            if before is None:
                total[item] = (value, extra)
                continue
            first = max if item.endswith("_max") else operator.add
            second = operator.add if item in _SUMMED_EXTRA else max
            total[item] = (first(before[0], value), second(before[1], extra))
    return total


def _facts(event, name, number, table):
    value, extra = event.value, event.extra
    if name == "flight":
        return _flight(event)
    if name in ("alarm", "alarm_context"):
        facts = {"number": number, "value": value / 100, "speed_kmh": extra & 0x1FF}
        facts["engine_rpm"] = (extra >> ev.RPM_SHIFT) * 10
        known = table.alarms.get(number) if table else None
        if known:
            facts |= {"alarm": known[0], "signal": known[1]}
            facts["unit"] = table.units[table.signals.index(known[1])]
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
    makers = {
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
        "table": lambda: {"n_signals": value, "n_alarms": extra},
        "flow_scale": lambda: {"scale": value / 1e6, "sigma": extra / 1e6},
    }
    return makers[name]() if name in makers else {"value": value, "extra": extra}


def _flight(event):
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


def flights_of(events):
    """Return flights as dicts: onset_us, airtime_ms, peak_g, confidence_pct, car_agrees, severity,
    speed_kmh, confirmed_us; in order. Cancelled ones are left out.
    """
    flights, open_one = [], None
    for event in events:
        if not isinstance(event, Detected) or event.code != ev.FLIGHT:
            continue
        read = _flight(event)
        if event.state == ev.TAKEN_OFF:
            open_one = read | {"confirmed_us": event.t_us}
        elif event.state == ev.LANDED and open_one:
            flights.append(open_one | read)
            open_one = None
        else:
            open_one = None
    return flights
