"""What happened in a stage, ready for tables: alarms from coming to going, flights, single events.

The numbers are those of the host's recomputation from the raw log. Owns the step from events to
episodes with their extremes; tables are in event_tables, judgement is in verdict.
"""

from dataclasses import dataclass

from ..events import add_lives, read_events, summarise
from ..events.reading import flights_of

LEVELS = {"warning": "warn", "critical": "bad"}
SEVERITIES = {"light": "good", "medium": "good", "hard": "warn", "severe": "bad"}
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
    "car_flight": ("Only the car said airborne", "info", "airtime_ms", "ms"),
}
_FALLING = ("below", "below_table", "fan", "drop")


@dataclass(frozen=True, slots=True)
class Episode:
    """One alarm from its first message until it cleared; `end_us` is None if it never did.

    key, signal  as the profile has them; level "warn" or "bad"; peak in `unit`, `peak_us` when
    """

    key: str
    signal: str
    level: str
    t_us: int
    end_us: int | None
    peak: float
    peak_us: int
    unit: str
    speed_kmh: int
    engine_rpm: int


class Happened:
    """Events of a stage: `alarms` (Episode), `flights`, `singles`, `faults` (dicts), `lives`."""

    def __init__(self, stage, found, table):
        read = read_events(found, table)
        self.alarms = [_episode(stage, one) for one in _spans(read)]
        self.flights = flights_of(found)
        self.singles = [e for e in read if e["name"] in SINGLE and e["state"] != "off"]
        self.faults = _faults(read)
        self.fuel = [e for e in read if e["name"] == "fuel"]
        self.range = next((e for e in reversed(read) if e["name"] == "range"), None)
        self.flow_scale = next((e for e in reversed(read) if e["name"] == "flow_scale"), None)
        ends = [piece.end_us for piece in stage.pieces]
        starts = [-1, *ends[:-1]]
        self.lives = add_lives(
            summarise([e for e in found if start < e.t_us <= end])
            for start, end in zip(starts, ends, strict=True)
        )

    def level_of(self, key, signal):
        """Return the worst level of an alarm on a signal, "good" if it never came."""
        levels = {a.level for a in self.alarms if (a.key, a.signal) == (key, signal)}
        return "bad" if "bad" in levels else "warn" if levels else "good"

    def marks(self, stage):
        """Return marks for the charts: [{"x", "level", "text"}]."""
        marks = [(a.t_us, a.level, f"{a.key.replace('_', ' ')}, {a.signal}") for a in self.alarms]
        marks += [
            (f["onset_us"], SEVERITIES[f["severity"]], f"flight, {f['airtime_ms']} ms")
            for f in self.flights
        ]
        marks += [(e["t_us"], SINGLE[e["name"]][1], SINGLE[e["name"]][0]) for e in self.singles]
        return [
            {"x": round(stage.seconds(t_us), 3), "level": level, "text": text}
            for t_us, level, text in sorted(marks)
        ]


def _spans(read):
    """Return alarms from their first message until they clear, one dict each, in order."""
    open_ones, done = {}, []
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


def _episode(stage, alarm):
    """Return an Episode; its peak is that of the raw signal, from the debounce before it on."""
    key, name = alarm.get("alarm", f"alarm {alarm['number']}"), alarm.get("signal", "")
    limits = stage.profile.alarm.get(key)
    end_us = alarm["end_us"]
    peak, peak_us, unit = alarm["value"], alarm["t_us"], alarm.get("unit", "")
    series = stage.find_valid(name) if name else None
    if series is not None and limits is not None:
        before_us = int(max(limits.debounce_s) * 1e6)
        part = series.within(alarm["t_us"] - before_us, end_us or stage.end_us)
        falls = limits.kind in _FALLING
        at = int(part.values.argmin() if falls else part.values.argmax())
        peak, peak_us, unit = float(part.values[at]), int(part.t_us[at]), series.unit
    return Episode(
        key,
        name,
        alarm["level"],
        alarm["t_us"],
        end_us,
        peak,
        peak_us,
        unit,
        alarm["speed_kmh"],
        alarm["engine_rpm"],
    )


def _faults(read):
    """Return faults of sensors and messages: {what, state, t_us, end_us or None}, in order."""
    open_ones, done = {}, []
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
