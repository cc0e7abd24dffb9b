"""What happened in a stage, ready for tables: alarms from start to end, flights, single events.

The numbers are those of the host's recomputation from the raw log. Owns the step from events to
episodes with their extremes; tables are in event_tables, judgement is in verdict.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stagelog.events import SignalTable, add_lives, read_events, summarise
from stagelog.events.reading import flights_of
from stagelog.events.rules import find_rule_marks
from stagelog.report.series import Series
from stagelog.report.sight import find_blind_spots
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

LEVELS = {"warning": "warn", "critical": "bad"}
SEVERITIES = {
    "light": "good",
    "medium": "good",
    "hard": "warn",
    "severe": "bad",
    "unknown": "warn",  # nothing measured the landing
}
# name: (title, level, fact, unit)
SINGLE = {
    "roll_over": ("Roll-over", "bad", "vertical_g", "g"),
    "stuck": ("Stuck: wheels turn, the car does not move", "warn", "wheel_speed_kmh", "km/h"),
    "handbrake_abuse": ("Handbrake at speed", "warn", "speed_kmh", "km/h"),
    "refuel": ("Refuelled", "info", "added_l", "l"),
    "fuel_leak": ("Fuel leak", "bad", "lost_l", "l"),
    "diff_model": ("Diff hotter than its load explains", "warn", "residual_degC", "degC"),
    "resumed": ("Bus was silent", "info", "pause_s", "s"),
    "skipped": ("On-car detectors were too slow", "warn", "blocks", "blocks"),
    "mark": ("Mark", "info", "number", ""),
    "car_flight": ("Only the car reported airborne", "info", "airtime_ms", "ms"),
}
BEFORE_S, AFTER_S = 10, 20  # the context of an alarm, domain notes 6
_FALLING = ("below", "below_table", "fan", "drop")


@dataclass(frozen=True, slots=True)
class Episode:
    """One alarm from its first message until it cleared; `end_us` is None if it never did.

    key, signal    as the profile has them; level "warn" or "bad"
    lasted_s       beyond the limit by the raw signal; by the messages, one a minute at most, where
                   the limit is not one on the value itself
    peak           worst value of the raw signal meanwhile, in `unit`
    before, after  its value BEFORE_S earlier and AFTER_S later, None beyond the log
    """

    key: str
    signal: str
    level: str
    t_us: int
    end_us: int | None
    lasted_s: float
    peak: float
    before: float | None
    after: float | None
    unit: str
    speed_kmh: int
    engine_rpm: int


class StageEvents:
    """Events of a stage: `alarms` (Episode), `flights`, `singles`, `faults` (dicts), `lives`,
    `blind` (BlindSpot)."""

    def __init__(self, stage: Stage, found: Any, table: SignalTable | None) -> None:
        read = read_events(found, table)
        self.alarms = [_episode(stage, one) for one in _spans(read)]
        self.flights = flights_of(found)
        singles = [e for e in read if e["name"] in SINGLE and e["state"] != "off"]
        singles += rule_marks(stage, read)
        self.singles = sorted(singles, key=lambda event: event["t_us"])
        self.faults = _faults(read)
        self.blind = find_blind_spots(stage.profile, self.faults, table)
        self.fuel = [e for e in read if e["name"] == "fuel"]
        self.range = next((e for e in reversed(read) if e["name"] == "range"), None)
        self.flow_scale = next((e for e in reversed(read) if e["name"] == "flow_scale"), None)
        ends = [cycle.end_us for cycle in stage.key_cycles]
        starts = [-1, *ends[:-1]]
        self.lives = add_lives(
            summarise([e for e in found if start < e.t_us <= end])
            for start, end in zip(starts, ends, strict=True)
        )

    def level_of(self, key: str, signal: str) -> str:
        """Return the worst level of an alarm on a signal, "good" if it never came."""
        levels = {a.level for a in self.alarms if (a.key, a.signal) == (key, signal)}
        return "bad" if "bad" in levels else "warn" if levels else "good"

    def marks(self, stage: Stage) -> list[Facts]:
        """Return marks for the charts: [{"x", "level", "text"}]."""
        marks = [(a.t_us, a.level, f"{a.key.replace('_', ' ')}, {a.signal}") for a in self.alarms]
        marks += [
            (f.onset_us, SEVERITIES[f.severity], f"flight, {f.airtime_ms} ms")
            for f in self.flights
        ]
        marks += [(e["t_us"], SINGLE[e["name"]][1], title_of(e)) for e in self.singles]
        return [
            {"x": round(stage.seconds(t_us), 3), "level": level, "text": text}
            for t_us, level, text in sorted(marks)
        ]


def rule_marks(stage: Stage, read: list[Facts]) -> list[Facts]:
    """Return the marks that the rules of the profile set in a stage."""

    def series(name: str) -> Any:
        found = stage.find_valid(name)
        return None if found is None else (found.t_us, found.values)

    def message_times(name: str) -> Any:
        table = stage.decoded.messages.get(name)
        return None if table is None else table.t_us

    return find_rule_marks(stage.profile.mark, series, message_times, read)


def title_of(event: Facts) -> str:
    """Return the title of a single event, a mark with who set it and its text."""
    title = SINGLE[event["name"]][0]
    if "axle" in event:
        title += f", {event['axle']}"
    if event["name"] == "mark":
        title += f" ({event['state']})" + (f": {event['text']}" if event["text"] else "")
    return title


def _spans(read: list[Facts]) -> list[Facts]:
    """Return alarms from their first message until they clear, one dict each, in order."""
    open_ones: dict[Any, Facts] = {}
    done: list[Facts] = []
    for event in read:
        if event["name"] != "alarm":
            continue
        number, state = event["number"], event["state"]
        if state in LEVELS:
            one = open_ones.get(number)
            if one is None:
                one = open_ones[number] = dict(event, level=LEVELS[state], end_us=None)
                done.append(one)
            elif LEVELS[state] == "bad":
                one["level"] = "bad"
        elif state in ("clear", "latched") and number in open_ones:
            open_ones.pop(number)["end_us"] = event["t_us"]
    return done


def _episode(stage: Stage, alarm: Any) -> Episode:
    """Return an Episode of one of _spans."""
    key, name = alarm.get("alarm", f"alarm {alarm['number']}"), alarm.get("signal", "")
    limits = stage.profile.alarm.get(key)
    t_us, end_us = alarm["t_us"], alarm["end_us"]
    last_us = stage.end_us if end_us is None else end_us
    lasted_s, peak, unit = (last_us - t_us) / 1e6, alarm["value"], alarm.get("unit", "")
    before = after = None
    series = stage.find_valid(name) if name else None
    if series is not None and limits is not None:
        part = series.within(t_us - int(max(limits.debounce_s) * 1e6), last_us)
        falls = limits.kind in _FALLING
        peak, unit = float(part.values.min() if falls else part.values.max()), series.unit
        if limits.kind in ("above", "below"):
            lasted_s = max(beyond_s(limits, part))
        before = _value_at(series, t_us - BEFORE_S * 1_000_000)
        after = _value_at(series, t_us + AFTER_S * 1_000_000)
    return Episode(
        key,
        name,
        alarm["level"],
        t_us,
        end_us,
        lasted_s,
        peak,
        before,
        after,
        unit,
        alarm["speed_kmh"],
        alarm["engine_rpm"],
    )


def _value_at(series: Series, t_us: int) -> float | None:
    """Return the value at a moment, None beyond the ends of the series."""
    if not series.t_us[0] <= t_us <= series.t_us[-1]:
        return None
    return float(series.at(np.array([t_us]))[0])


def beyond_s(alarm: Any, series: Series) -> list[float]:
    """Return seconds beyond (warning, critical) of an "above" or "below" alarm, by the samples."""
    found = []
    for limit in (alarm.warning, alarm.critical):
        if limit is None:
            found.append(0.0)
            continue
        over = series.values > limit if alarm.kind == "above" else series.values < limit
        found.append(series.total_s(over))
    return found


def _faults(read: list[Facts]) -> list[Facts]:
    """Return faults of sensors and messages: {what, state, t_us, end_us or None}, in order."""
    open_ones: dict[Any, Facts] = {}
    done: list[Facts] = []
    for event in read:
        if event["name"] not in ("sensor", "message"):
            continue
        what = str(event.get("signal") or event.get("message") or event["number"])
        before = open_ones.pop(what, None)
        if before:
            before["end_us"] = event["t_us"]
        if event["state"] != "good":
            fault = {"what": what, "state": event["state"], "t_us": event["t_us"], "end_us": None}
            open_ones[what] = fault
            done.append(fault)
    return done
