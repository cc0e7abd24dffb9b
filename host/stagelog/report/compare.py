"""Two or more cars beside each other: their facts in columns, their channels over distance."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from stagelog.profile.schema import Profile
from stagelog.report import tables as t
from stagelog.report.charts import KM_STEP, Curve, Span, chart_over_km
from stagelog.report.parts import STATES
from stagelog.report.series import Spans, Times, Values
from stagelog.report.source import Source
from stagelog.report.spark import holes
from stagelog.report.stage import GRID_US, Stage
from stagelog.report.tables import Facts

Cars: TypeAlias = Sequence[tuple[Source, Facts]]


def compare_tables(cars: Cars) -> list[Facts]:
    """Return the sections of a comparison; `cars` are (source.Source, facts of build.stage_facts).

    One column a car, one row a fact.
    """
    names = [source.stage.name for source, _ in cars]
    overview = [
        t.row("verdict", None, *(facts["verdict"]["answer"] for _, facts in cars)),
        *_tile_rows(cars),
    ]
    head = [t.words("fact"), t.words("unit")]
    columns = head + [t.words(name, key=name) for name in names]
    highest = [t.column(name, key=name) for name in names]
    found = [
        {
            "id": "cars",
            "title": "Cars",
            "open": True,
            "tables": [
                t.table(columns, overview),
                t.table(head + highest, _driven(cars), title="Driven"),
                *_parts(cars),
            ],
        }
    ]
    rows = _highest(cars)
    if rows:
        note = "Highest, or lowest where the limit is a lower one; valid samples of the raw log."
        table = t.table([t.words("signal"), t.words("unit"), *highest], rows, fold=15)
        found.append({"id": "limits", "title": "Extremes", "note": note, "tables": [table]})
    return found


def _parts(cars: Cars) -> Iterator[Facts]:
    """Yield a table of the state of each part of each car, the worst first."""
    each = [
        {part["place"]: part for car in facts["cars"] for part in car["parts"]}
        for _, facts in cars
    ]
    order, rows = list(STATES), []
    for place in dict.fromkeys(place for parts in each for place in parts):
        found = [parts.get(place) for parts in each]
        worst = min((one for one in found if one), key=lambda one: order.index(one["state"]))
        cells = [one and one["word"] for one in found]
        rows.append(
            (order.index(worst["state"]), t.row(worst["name"], *cells, level=worst["state"]))
        )
    if rows:
        rows.sort(key=lambda row: row[0])
        columns = [
            t.words("part"),
            *(t.words(source.stage.name, key=source.stage.name) for source, _ in cars),
        ]
        yield t.table(columns, [row for _, row in rows], title="Parts", fold=12)


_COUNTED = {
    "exceedances": "exceedances",
    "critical_exceedances": "of them critical",
    "jumps": "jumps",
    "hard_landings": "landed hard or worse",
}


def _tile_rows(cars: Cars) -> list[Facts]:
    """Return what each log is worth, and the counts of its tiles."""
    found = [
        {k: v for tile in facts["tiles"] for k, v in tile["values"].items()} for _, facts in cars
    ]
    rows = [t.row("the log", None, *(facts["log"]["kind"] for _, facts in cars))]
    return rows + [
        t.row(words, None, *(values.get(key) for values in found))
        for key, words in _COUNTED.items()
    ]


def _driven(cars: Cars) -> list[Facts]:
    stages = [source.stage for source, _ in cars]
    moving = [s.speed_kmh[s.speed_kmh > 1] for s in stages]
    used = [s.on_grid(s.profile.roles.fuel_used) for s in stages]
    litres = [float(np.nanmax(u) - np.nanmin(u)) if u is not None else None for u in used]
    km = [float(s.distance_km[-1]) for s in stages]
    per_100 = [
        100 * used_l / way if used_l is not None and way > 0.05 else None
        for used_l, way in zip(litres, km, strict=True)
    ]
    return [
        t.row("distance", "km", *km),
        t.row("recorded", "min", *((s.end_us - s.start_us) / 60e6 for s in stages)),
        t.row("moving", "min", *(len(m) * GRID_US / 60e6 for m in moving)),
        t.row("mean while moving", "km/h", *(float(m.mean()) if len(m) else 0.0 for m in moving)),
        t.row("highest speed", "km/h", *(float(s.speed_kmh.max()) for s in stages)),
        t.row("fuel used", "l", *litres),
        t.row("consumption", "l/100 km", *per_100),
    ]


def _highest(cars: Cars) -> list[Facts]:
    stages = [source.stage for source, _ in cars]
    rows, seen = [], set()
    for key, alarm in stages[0].profile.alarm.items():
        falls = alarm.kind in ("below", "below_table", "drop")
        for name in alarm.signals:
            series = [stage.find_valid(name) for stage in stages]
            if name in seen or not any(series):
                continue
            seen.add(name)
            cells: list[float | None] = []
            found = [source.events for source, _ in cars]
            levels = [events.level_of(key, name) for events in found]
            for one in series:
                if one is None:
                    cells.append(None)
                else:
                    cells.append(float(one.values.min() if falls else one.values.max()))
            level = next((x for x in ("bad", "warn", "good") if x in levels), "")
            unit = next(one.unit for one in series if one is not None)
            rows.append(t.row(name, unit, *cells, level=level))
    order = ("bad", "warn", "good", "")
    return sorted(rows, key=lambda row: order.index(row["level"]))


def compare_charts(sources: Sequence[Source]) -> list[Facts]:
    """Return the charts: time behind the first car, speed, and channels over distance; none
    crosses a hole of a log.
    """
    stages = [source.stage for source in sources]
    spans = [holes(source.stage, source.health) for source in sources]
    gaps = [[(s.km(a), s.km(b)) for a, b in own] for s, own in zip(stages, spans, strict=True)]
    curves = [
        (s.name, s.distance_km, _outside(s, own, s.speed_kmh))
        for s, own in zip(stages, spans, strict=True)
    ]
    charts = [chart_over_km("k-speed", "Speed", "km/h", curves, gaps)]
    behind = _behind(stages)
    if behind:
        first = stages[0].name
        both = [[*gaps[0], *own] for own in gaps[1:]]
        behind = [_clear(curve, own) for curve, own in zip(behind, both, strict=True)]
        faster = [_clear(curve, own) for curve, own in zip(_faster(stages), both, strict=True)]
        charts.insert(0, chart_over_km("k-behind", f"Time behind {first}", "s", behind, both))
        title = f"Speed against {first}, more is faster"
        charts.insert(1, chart_over_km("k-faster", title, "km/h", faster, both))
    roles = stages[0].profile.roles
    names = [roles.engine_speed, *roles.damper, roles.fuel_used]
    alarms = [a for a in stages[0].profile.alarm.values() if a.kind in ("above", "below")]
    names += [name for alarm in alarms if alarm.unit == "degC" for name in alarm.signals]
    for name in dict.fromkeys(names):
        curves, drawn = [], []
        for stage, own, of_km in zip(stages, spans, gaps, strict=True):
            values = stage.on_grid(name)
            if values is None:
                continue
            if name == roles.fuel_used:
                values = values - values[np.isfinite(values)][0]
            curves.append((stage.name, stage.distance_km, _outside(stage, own, values)))
            drawn.append(of_km)
        if curves:
            unit = next(one.unit for one in (s.find(name) for s in stages) if one)
            title = "Fuel used" if name == roles.fuel_used else name
            charts.append(chart_over_km(f"k-{name}", title, unit, curves, drawn))
    return charts


def _outside(stage: Stage, spans: Spans, values: Values) -> Values:
    """Return values on the grid without those in holes of the log."""
    kept = np.array(values, np.float64)
    for start_us, end_us in spans:
        kept[(stage.grid_us > start_us) & (stage.grid_us < end_us)] = np.nan
    return kept


def _clear(curve: Curve, gaps: Sequence[Span]) -> Curve:
    """Return a curve without its values in `gaps`."""
    name, km, values = curve
    kept = np.array(values, np.float64)
    for start_km, end_km in gaps:
        kept[(km >= start_km) & (km <= end_km)] = np.nan
    return name, km, kept


def short_of(cars: Sequence[Facts]) -> str:
    """Return whose distance is too short after which hole, empty where there is none."""
    lost = [
        f"{car['name']} has {hole['text']}"
        for car in cars
        for hole in car["strip"]["holes"]
        if hole["is_loss"]
    ]
    more = f", and {len(lost) - 3} more" if len(lost) > 3 else ""
    found = f"After a hole a car's distance is too short: {', '.join(lost[:3])}{more}."
    return found if lost else ""


def by_distance(stage: Stage, facts: Facts) -> Facts:
    """Return the car of a stage's facts with its verdict; what leads to a moment of the stage
    leads to the distance where the car was then.
    """
    (car,), verdict = facts["cars"], facts["verdict"]

    def moved(one: Facts, **more: Any) -> Facts:
        x_s = one.get("x_s")
        return one if x_s is None else {**one, "x_s": _km_at(stage, x_s), **more}

    lanes = [
        {**lane, "marks": [moved(mark) for mark in lane["marks"]]}
        for lane in car["strip"]["lanes"]
    ]
    parts = [
        {**part, "rows": [moved(row, chart=f"k-{row['signal']}") for row in part["rows"]]}
        for part in car["parts"]
    ]
    reasons = verdict["reasons"]
    reasons = {**reasons, "rows": [moved(row) for row in reasons["rows"]]}
    return {
        **car,
        "strip": {**car["strip"], "lanes": lanes},
        "parts": parts,
        "verdict": {**verdict, "reasons": reasons},
    }


def chart_aliases(profile: Profile) -> dict[str, str]:
    """Return {chart over time: the one over distance that shows it}."""
    found = {f"c-alarm-{key}": f"k-{one.signals[0]}" for key, one in profile.alarm.items()}
    if profile.roles.damper:
        found["c-damper"] = f"k-{profile.roles.damper[0]}"
    return found


def _km_at(stage: Stage, x_s: float) -> float:
    return float(stage.km(stage.start_us + round(x_s * 1e6)))


def _way(stages: Sequence[Stage]) -> Values:
    """Return the distances that all cars drove, km."""
    return np.arange(KM_STEP, min(float(stage.distance_km[-1]) for stage in stages), KM_STEP)


def _behind(stages: Sequence[Stage]) -> list[Curve]:
    """Return how much later each car passed a distance than the first, time standing included."""
    km = _way(stages)
    if len(km) < 10:
        return []
    times = [_passing_s(stage, km) for stage in stages]
    return [
        (stage.name, km, passed - times[0])
        for stage, passed in zip(stages[1:], times[1:], strict=True)
    ]


def _faster(stages: Sequence[Stage]) -> list[Curve]:
    """Return by how much each car passed a distance faster than the first, km/h."""
    km = _way(stages)
    if len(km) < 10:
        return []
    speeds = [np.interp(_passing_s(stage, km), *_speed_by_time(stage)) for stage in stages]
    return [
        (stage.name, km, speed - speeds[0])
        for stage, speed in zip(stages[1:], speeds[1:], strict=True)
    ]


def _speed_by_time(stage: Stage) -> tuple[Values, Values]:
    """Return (seconds since the car began to move, km/h)."""
    return _moving_s(stage), stage.speed_kmh


def _moving_s(stage: Stage) -> Values:
    moving = int(np.argmax(stage.speed_kmh > 1))
    steps: Times = np.arange(len(stage.grid_us)) - moving
    return steps * np.float64(GRID_US / 1e6)


def _passing_s(stage: Stage, km: Any) -> Values:
    """Return when a stage first passed each distance, s since it began to move.

    Between two moments of the grid as if the speed were the same.
    """
    way = stage.distance_km
    after = np.clip(np.searchsorted(way, km), 1, len(way) - 1)
    step_km = way[after] - way[after - 1]
    share = np.divide(km - way[after - 1], step_km, out=np.ones(len(km)), where=step_km > 0)
    return _moving_s(stage)[after - 1] + np.clip(share, 0, 1) * (GRID_US / 1e6)
