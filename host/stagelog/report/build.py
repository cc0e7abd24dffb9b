"""Assemble a report: from the Source of one car or several to the facts of a page."""

from collections.abc import Sequence
from typing import Any

from stagelog.events import find_gear_abuse, fuel_by_terrain
from stagelog.events.consumption import TerrainFuel
from stagelog.events.gearbox import GearAbuse
from stagelog.report import chassis, driveline, event_tables, flights
from stagelog.report import tables as t
from stagelog.report.charts import kilometres, pauses, stage_charts
from stagelog.report.compare import (
    by_distance,
    chart_aliases,
    compare_charts,
    compare_tables,
    short_of,
)
from stagelog.report.damper import study_dampers
from stagelog.report.fuel import fuel
from stagelog.report.health import health, lost_text, utc_text
from stagelog.report.life import life
from stagelog.report.limits import other_limits
from stagelog.report.overview import overview
from stagelog.report.parts import parts
from stagelog.report.series import Times, Values
from stagelog.report.source import Source
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts
from stagelog.report.verdict import verdict
from stagelog.verdict import worst

SCHEMA = "stagelog.report/3"


def stage_facts(source: Source, note: str = "") -> Facts:
    """Return the facts of one car's stage; `source` is a source.Source, `note` the last line."""
    stage, logger = source.stage, source.health
    events = source.events
    landings_us = [f.onset_us + f.airtime_ms * 1000 for f in events.flights]
    studied, abuse = study_dampers(stage, landings_us), _abuse(stage)
    hits = {name: one.hits for name, one in studied.items()}
    found = [
        health(stage, logger),
        event_tables.exceedances(stage, events),
        driveline.engine(stage, events),
        driveline.gearbox(stage, events, abuse),
        driveline.diffs(stage),
        fuel(stage, events, _terrain(source), source.refuels),
        flights.jumps(stage, events, studied),
        chassis.dampers(stage, events, studied),
        chassis.brakes(stage, events),
        chassis.tyres(stage),
        chassis.cooling(stage, events),
        chassis.electrics(stage, events),
        other_limits(stage, events),
        event_tables.others(stage, events),
        event_tables.sensors(stage, events),
        event_tables.agreement(stage, source.disagreed, logger),
        life(stage, events),
    ]
    charts, aliases = stage_charts(stage)
    return {
        "title": stage.name or "Stage",
        "subtitle": _when(stage),
        "log": logger.verdict.as_dict(),
        "verdict": verdict(stage, logger, events, source.disagreed, hits),
        "names": stage.profile.report.names or {},
        "cars": [
            {
                "name": stage.name or "Stage",
                "parts": parts(stage, logger, events, hits, abuse),
                "strip": overview(stage, logger, events),
                "t_unix_us": stage.key_cycles[0].t_unix_us,
            }
        ],
        "tiles": _tiles(source),
        "sections": [t.with_values(section) for section in found if section],
        "charts": charts,
        "aliases": aliases,
        "marks": events.marks(stage),
        "pauses": pauses(stage, logger),
        "distance": kilometres(stage),
        "utc": [
            [stage.seconds(p.start_us), p.t_unix_us / 1e6]
            for p in stage.key_cycles
            if p.t_unix_us is not None
        ],
        "note": note,
    }


def compare_facts(sources: Sequence[Source], note: str = "", title: str = "") -> Facts:
    """Return the facts of several cars, drawn over each other by distance.

    title  what they have in common, before their names
    """
    cars = [(source, stage_facts(source)) for source in sources]
    levels = [facts["verdict"]["level"] for _, facts in cars]
    reasons = []
    for source, facts in cars:
        for row in facts["verdict"]["reasons"]["rows"]:
            why = f"{source.stage.name}: {row['cells'][0]}"
            reasons.append(t.row(why, row["cells"][1], level=row["level"]))
    answers: dict[str, list[str]] = {}
    for source, facts in cars:
        answers.setdefault(facts["verdict"]["answer"], []).append(source.stage.name)
    answer = " ".join(f"{', '.join(names)}: {text}" for text, names in answers.items())
    reasons.sort(key=lambda row: ("bad", "warn", "info").index(row["level"]))
    columns = [t.words("why", long=True), t.words("inspect", long=True)]
    names = " · ".join(source.stage.name for source in sources)
    shown = [by_distance(source.stage, facts) for source, facts in cars]
    worst_level = next((level for level in ("bad", "warn") if level in levels), "good")
    return {
        "log": worst(source.health.verdict for source in sources).as_dict(),
        "title": f"{title}: {names}" if title else names,
        "subtitle": f"Cars drawn over each other by distance. {short_of(shown)}".strip(),
        "verdict": {
            "level": worst_level,
            "question": "Can the cars start tomorrow?",
            "answer": answer,
            "reasons": t.table(columns, reasons, empty="", fold=12),
        },
        "names": {k: v for _, facts in cars for k, v in facts["names"].items()},
        "cars": shown,
        "tiles": [],
        "sections": compare_tables(cars),
        "charts": compare_charts(sources),
        "aliases": chart_aliases(sources[0].stage.profile),
        "marks": [],
        "pauses": [],
        "distance": None,
        "utc": [],
        "note": note,
    }


def plain_facts(facts: Facts) -> Facts:
    """Return the facts without the charts, tables as records: what --json prints."""
    verdict = dict(facts["verdict"])
    verdict["reasons"] = t.records(verdict["reasons"])
    verdict.pop("has_work", None)
    sections = {}
    for section in facts["sections"]:
        named = {
            key: section[key] for key in ("title", "note", "values", "lines") if section.get(key)
        }
        named["details"] = section.get("details") or []
        named["tables"] = [
            {"title": table["title"], "rows": t.records(table)}
            for table in section.get("tables", ())
        ]
        sections[section["id"]] = named
    return {
        "title": facts["title"],
        "subtitle": facts["subtitle"],
        "log": facts["log"],
        "verdict": verdict,
        "summary": summary_of(facts["tiles"]),
        "sections": sections,
        "source": facts["note"],
    }


def summary_of(tiles: list[Facts]) -> Facts:
    """Return the numbers of the tiles, by names with units."""
    return {key: value for tile in tiles for key, value in tile["values"].items()}


def _abuse(stage: Stage) -> list[GearAbuse]:
    def series(name: str) -> tuple[Times, Values] | None:
        found = stage.find(name)
        return None if found is None else (found.t_us, found.values)

    return find_gear_abuse(series, stage.profile)


def _terrain(source: Source) -> list[TerrainFuel]:
    stage = source.stage
    name = stage.profile.roles.drive_mode
    mode = stage.find(name)
    held = None if mode is None else (mode.t_us, mode.values, stage.choices(name))
    return fuel_by_terrain(source.found, held, stage.profile)


def _tiles(source: Source) -> list[Facts]:
    """Return the tiles of the header: the log, exceedances, flights, agreement, speed."""
    stage, logger = source.stage, source.health
    whole = logger.complete
    words = logger.verdict.kind if whole is not False else logger.verdict.kind.upper()
    level = {True: "good", False: "bad", None: "warn"}[whole]
    lost = lost_text(logger)
    tiles = [tile(words, f"the log{': ' if lost else ''}{lost}", level)]
    events = source.events
    critical = sum(alarm.level == "bad" for alarm in events.alarms)
    level = "bad" if critical else "warn" if events.alarms else "good"
    n = len(events.alarms)
    text = f"exceedance{'s' * (n != 1)}, {critical} critical"
    numbers = {"exceedances": n, "critical_exceedances": critical}
    tiles.append(tile(n, text, level, **numbers))
    hard = sum(f.severity in ("hard", "severe") for f in events.flights)
    n = len(events.flights)
    text = f"jump{'s' * (n != 1)}, {hard} landed hard or worse"
    tiles.append(tile(n, text, "warn" if hard else "good", jumps=n, hard_landings=hard))
    if source.disagreed is not None:
        n = len(source.disagreed)
        text = "events of car and laptop" if n else "the car and the laptop"
        text += "" if logger.same_table else ": other signal table"
        words = f"{n} differ" if n else "agree"
        tiles.append(tile(words, text, "warn" if n else "good", differing_events=n))
    speed = stage.speed_kmh
    driven = speed[speed > 1]
    mean = float(driven.mean()) if len(driven) else 0.0
    km, top = float(stage.distance_km[-1]), float(speed.max())
    tiles.append(tile(f"{km:.1f} km", "distance by the wheels", distance_km=km))
    tiles.append(tile(f"{mean:.0f} km/h", "mean while moving", mean_moving_kmh=mean))
    tiles.append(tile(f"{top:.0f} km/h", "highest speed", highest_kmh=top))
    return tiles


def tile(value: object, text: str, level: str = "", **values: Any) -> Facts:
    """Return a tile: a value and a text for people, its numbers for --json."""
    return {"value": str(value), "text": text, "level": level, "values": t.plain_values(values)}


def when_text(stage: Stage) -> str:
    """Return when a stage was recorded, and for how long."""
    minutes = sum(cycle.end_us - cycle.start_us for cycle in stage.key_cycles) / 60e6
    first = stage.key_cycles[0].t_unix_us
    when = "no wall clock" if first is None else f"{utc_text(first)} UTC"
    return f"{when}, {minutes:.1f} min recorded"


def _when(stage: Stage) -> str:
    car = stage.profile.car
    return f"{when_text(stage)}, profile {car.name} no. {car.number}"
