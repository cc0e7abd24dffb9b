"""Put a report together: from a stage, its ledgers and its events to the facts of a page."""

import time

import numpy as np

from . import sections
from .charts import chart_over_km, chart_over_time

SCHEMA = "stagelog.report/1"


def stage_facts(stage, ledgers, gaps, damaged, events=None, source=""):
    """Return the facts of one car's stage.

    ledgers, gaps, damaged  see sections.health
    events                  report.events.EventFacts, or None where no events were computed
    """
    marks = events.marks(stage) if events else []
    found = [
        sections.health(ledgers, gaps, damaged),
        *(events.sections(stage) if events else ()),
        sections.limits(stage),
        sections.heat_by_km(stage),
        sections.fuel(stage),
        sections.dampers(stage),
        sections.brakes(stage),
        sections.gearbox(stage),
    ]
    whole = all(ledger.complete for ledger in ledgers) and not damaged
    tiles = [
        {
            "value": "complete" if whole else "NOT COMPLETE",
            "text": "the log",
            "level": "good" if whole else "bad",
        },
        *(events.tiles() if events else ()),
        *sections.speed(stage),
    ]
    return {
        "schema": SCHEMA,
        "title": stage.name or "Stage",
        "subtitle": _when(stage),
        "tiles": tiles,
        "sections": [section for section in found if section],
        "charts": _charts(stage, marks),
        "source": source,
    }


def compare_facts(stages, source=""):
    """Return the facts of several cars laid over each other by distance."""
    rows = []
    for stage in stages:
        tiles = sections.speed(stage)
        minutes = (stage.end_us - stage.start_us) / 60e6
        rows.append({"cells": [stage.name, *(t["value"] for t in tiles), f"{minutes:.1f}"]})
    columns = [
        {"name": "car", "text": True},
        {"name": "distance"},
        {"name": "mean while moving"},
        {"name": "highest speed"},
        {"name": "recorded", "unit": "min"},
    ]
    return {
        "schema": SCHEMA,
        "title": " · ".join(stage.name for stage in stages),
        "subtitle": "Cars laid over each other by distance",
        "tiles": [],
        "sections": [
            {"id": "cars", "title": "Cars", "tables": [{"columns": columns, "rows": rows}]}
        ],
        "charts": _charts_by_km(stages),
        "source": source,
    }


def _charts(stage, marks):
    roles = stage.profile.roles
    groups = [
        ("speed", "Speed", roles.wheel_speed),
        ("engine", "Engine speed", [roles.engine_speed]),
        ("damper", "Damper position, 0 is full droop", roles.damper),
        ("acceleration", "Acceleration", roles.acceleration),
        ("pedals", "Pedal and throttle", [roles.pedal, roles.throttle]),
        ("brakes", "Brake pressure", [*roles.brake_pressure, roles.handbrake_pressure]),
        ("level", "Fuel senders", roles.fuel_level),
        ("flow", "Fuel flow", [roles.fuel_flow]),
    ]
    for name, alarm in stage.profile.alarm.items():
        if alarm.kind in ("above", "below", "fan"):
            groups.append((f"alarm-{name}", name.replace("_", " ").capitalize(), alarm.signals))
    charts, drawn = [], set()
    for name, title, signals in groups:
        series = [s for s in stage.find_all(signals) if s.name not in drawn]
        if series:
            drawn.update(s.name for s in series)
            charts.append(chart_over_time(f"c-{name}", title, series, stage, marks))
    return charts


def _charts_by_km(stages):
    charts = []
    curves = [(stage.name, stage.distance_km, stage.speed_kmh) for stage in stages]
    charts.append(chart_over_km("k-speed", "Speed", "km/h", curves))
    roles = stages[0].profile.roles
    for name in (*roles.diff_temperature, roles.engine_speed, *roles.damper):
        curves = []
        for stage in stages:
            values = stage.on_grid(name)
            if values is not None and np.isfinite(values).any():
                curves.append((stage.name, stage.distance_km, values))
        if curves:
            unit = next(s.find(name).unit for s in stages if s.find(name))
            charts.append(chart_over_km(f"k-{name}", name, unit, curves))
    return charts


def _when(stage):
    minutes = (stage.end_us - stage.start_us) / 60e6
    when = "no wall clock"
    if stage.timeline is not None:
        when = _utc(stage.timeline.to_unix_us(stage.start_us))
    return f"{when}, {minutes:.1f} min recorded"


def _utc(t_unix_us):
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(t_unix_us // 1_000_000))
