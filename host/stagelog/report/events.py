"""Events of a stage as sections, tiles and marks of a report.

The numbers are those of the host's recomputation from the raw log; what the car said on board is
compared with it and every disagreement is shown. Owns words and tables only.
"""

from ..events import read_events, summarise
from ..events.reading import flights_of

_LEVELS = {"warning": "warn", "critical": "bad"}
_SEVERITY_LEVEL = {"light": "good", "medium": "good", "hard": "warn", "severe": "bad"}
_SINGLE = {
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


class EventFacts:
    """What was detected. Made from the host's events, and the car's where it said any.

    found      events.Detected by the host, in order
    table      events.SignalTable they were found with
    disagreed  events.Disagreement, or None if the car said nothing to compare
    """

    def __init__(self, found, table, disagreed=None):
        self._read = read_events(found, table)
        self._flights = flights_of(found)
        self._summary = summarise(found)
        self._disagreed = disagreed
        self._alarms = _episodes(self._read)

    def marks(self, stage):
        """Return marks for the charts: alarms, flights, and what happens once."""
        marks = [{"x": stage.seconds(a["t_us"]), "level": a["level"]} for a in self._alarms]
        marks += [
            {"x": stage.seconds(f["onset_us"]), "level": _SEVERITY_LEVEL[f["severity"]]}
            for f in self._flights
        ]
        marks += [
            {"x": stage.seconds(e["t_us"]), "level": _SINGLE[e["name"]][1]}
            for e in self._read
            if e["name"] in _SINGLE and e["state"] != "off"
        ]
        return marks

    def tiles(self):
        """Return the tiles of the header: exceedances, flights, agreement."""
        critical = sum(alarm["level"] == "bad" for alarm in self._alarms)
        hard = sum(f["severity"] in ("hard", "severe") for f in self._flights)
        level = "bad" if critical else "warn" if self._alarms else "good"
        tiles = [
            {
                "value": len(self._alarms),
                "text": f"exceedances, {critical} critical",
                "level": level,
            },
            {
                "value": len(self._flights),
                "text": f"flights, {hard} hard landings",
                "level": "warn" if hard else "good",
            },
        ]
        if self._disagreed is not None:
            n = len(self._disagreed)
            tiles.append(
                {
                    "value": "equal" if not n else f"{n} differ",
                    "text": "car and laptop agree" if not n else "events of car and laptop",
                    "level": "warn" if n else "good",
                }
            )
        return tiles

    def sections(self, stage):
        """Return the sections: exceedances, flights, other events, sensors, agreement."""
        found = [self._exceedances(stage), self._jumps(stage), self._others(stage)]
        found += [self._sensors(stage), self._agreement(stage), self._life()]
        return [section for section in found if section]

    def _exceedances(self, stage):
        columns = [
            {"name": "what", "text": True},
            {"name": "signal", "text": True},
            {"name": "level", "text": True},
            {"name": "at", "unit": "km"},
            {"name": "after", "unit": "min"},
            {"name": "for", "unit": "s"},
            {"name": "worst"},
            {"name": "unit", "text": True},
            {"name": "speed", "unit": "km/h"},
            {"name": "engine", "unit": "rpm"},
        ]
        rows = [_alarm_row(stage, alarm) for alarm in self._alarms]
        table = {"columns": columns, "rows": rows, "empty": "No limit was exceeded."}
        return {
            "id": "exceedances",
            "title": "Exceedances",
            "note": "Limits, debounce and gates are those of the car's profile. Click to see it.",
            "tables": [table],
        }

    def _jumps(self, stage):
        columns = [
            {"name": "flight", "text": True},
            {"name": "at", "unit": "km"},
            {"name": "take-off", "unit": "km/h"},
            {"name": "airtime", "unit": "ms"},
            {"name": "landing peak", "unit": "g"},
            {"name": "severity", "text": True},
            {"name": "flight mode", "text": True},
            {"name": "confidence", "unit": "%"},
        ]
        agreed = {True: "reacted", False: "did not react", None: "not on the bus"}
        rows = []
        for number, flight in enumerate(self._flights, 1):
            cells = [
                f"{number}",
                f"{stage.km(flight['onset_us']):.2f}",
                flight["speed_kmh"],
                flight["airtime_ms"],
                f"{flight['peak_g']:.1f}",
                flight["severity"],
                agreed[flight["car_agrees"]],
                flight["confidence_pct"],
            ]
            x_s = stage.seconds(flight["onset_us"])
            rows.append({"cells": cells, "level": _SEVERITY_LEVEL[flight["severity"]], "x_s": x_s})
        table = {"columns": columns, "rows": rows, "empty": "The car did not leave the ground."}
        return {"id": "jumps", "title": "Jumps", "tables": [table]}

    def _others(self, stage):
        rows = []
        for event in self._read:
            if event["name"] not in _SINGLE or event["state"] == "off":
                continue
            title, level, key, unit = _SINGLE[event["name"]]
            value = event.get(key)
            text = f"{value:g}" if isinstance(value, int | float) else value
            at = f"{stage.km(event['t_us']):.2f}"
            x_s = stage.seconds(event["t_us"])
            rows.append({"cells": [title, at, text, unit], "level": level, "x_s": x_s})
        if not rows:
            return None
        columns = [{"name": "what", "text": True}, {"name": "at", "unit": "km"}]
        columns += [{"name": "value"}, {"name": "unit", "text": True}]
        table = {"columns": columns, "rows": rows}
        return {"id": "others", "title": "Other events", "tables": [table]}

    def _sensors(self, stage):
        rows = []
        for event in self._read:
            if event["name"] not in ("sensor", "message") or event["state"] == "good":
                continue
            what = event.get("signal") or event.get("message") or event["number"]
            at = f"{stage.km(event['t_us']):.2f}"
            x_s = stage.seconds(event["t_us"])
            rows.append({"cells": [what, event["state"], at], "level": "warn", "x_s": x_s})
        if not rows:
            return None
        columns = [{"name": "signal or message", "text": True}, {"name": "fault", "text": True}]
        columns.append({"name": "at", "unit": "km"})
        return {
            "id": "sensors",
            "title": "Sensor faults",
            "note": "A faulty signal is never compared with a limit.",
            "tables": [{"columns": columns, "rows": rows}],
        }

    def _agreement(self, stage):
        if self._disagreed is None:
            text = "The car said no events on board: it had no signal table, or an older one."
            return {"id": "agreement", "title": "Car and laptop", "note": text}
        if not self._disagreed:
            text = "Every event that the car said on board is found again in the raw log."
            return {"id": "agreement", "title": "Car and laptop", "note": text}
        rows = []
        for one in self._disagreed[:200]:
            event = read_events([one.car or one.host])[0]
            cells = [one.what, event["name"], event["state"], f"{stage.km(event['t_us']):.2f}"]
            rows.append({"cells": cells, "level": "warn", "x_s": stage.seconds(event["t_us"])})
        columns = [{"name": name, "text": True} for name in ("who", "event", "state")]
        columns.append({"name": "at", "unit": "km"})
        return {
            "id": "agreement",
            "title": "Car and laptop disagree",
            "tables": [{"columns": columns, "rows": rows}],
        }

    def _life(self):
        if not self._summary:
            return None
        rows = [{"cells": [name, *pair]} for name, pair in self._summary.items()]
        columns = [{"name": "counter", "text": True}, {"name": "value"}, {"name": "beside it"}]
        return {
            "id": "life",
            "title": "Life counters of this stage",
            "note": "What the car keeps on board; units as in firmware/slog/events.py.",
            "tables": [{"columns": columns, "rows": rows}],
        }


def _episodes(read):
    """Return alarms from their first message until they clear, one dict each, in order."""
    open_ones, done = {}, []
    for event in read:
        if event["name"] != "alarm":
            continue
        number, state = event["number"], event["state"]
        if state in _LEVELS:
            one = open_ones.get(number)
            if one is None:
                one = open_ones[number] = dict(event, level=_LEVELS[state], end_us=None)
                done.append(one)
            elif _LEVELS[state] == "bad":
                one.update(level="bad", value=event["value"])
        elif state in ("clear", "latched") and number in open_ones:
            open_ones.pop(number)["end_us"] = event["t_us"]
    return done


def _alarm_row(stage, alarm):
    end_us = alarm["end_us"]
    x_s = stage.seconds(alarm["t_us"])
    cells = [
        str(alarm.get("alarm", alarm["number"])).replace("_", " "),
        alarm.get("signal"),
        "critical" if alarm["level"] == "bad" else "warning",
        f"{stage.km(alarm['t_us']):.2f}",
        f"{x_s / 60:.1f}",
        "to the end" if end_us is None else f"{(end_us - alarm['t_us']) / 1e6:.1f}",
        f"{alarm['value']:g}",
        alarm.get("unit", ""),
        alarm["speed_kmh"],
        alarm["engine_rpm"],
    ]
    return {"cells": cells, "level": alarm["level"], "x_s": x_s}
