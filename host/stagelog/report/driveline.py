"""Engine, gearbox, differentials and their abuse as sections, from the raw log."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stagelog.events.gearbox import GearAbuse
from stagelog.profile.limits import Alarm
from stagelog.report import tables as t
from stagelog.report.events import StageEvents
from stagelog.report.limits import NOTE, limit_table
from stagelog.report.series import Series, Values
from stagelog.report.stage import GRID_US, Stage
from stagelog.report.tables import Facts

KM_ROWS = 10.0
KM_LEAST = 0.5
N_BANDS = 6
MIN_ROWS, MAX_ROWS = 8, 60


def km_edges(stage: Stage) -> Values:
    """Return the edges of rows by distance: ten km each; less in a short log, more in a long."""
    total = float(stage.distance_km[-1])
    n = max(round(total / KM_ROWS), min(MIN_ROWS, int(total / KM_LEAST)), 1)
    return np.linspace(0.0, total, min(n, MAX_ROWS) + 1)


def km_rows(stage: Stage) -> Iterator[tuple[float, float, NDArray[np.intp]]]:
    """Yield (from km, to km, indices of the grid) by distance, without rows of nothing."""
    km, edges = stage.distance_km, km_edges(stage)
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        inside = np.flatnonzero((km >= start) & (km <= end))
        if len(inside) > 1:
            yield float(start), float(end), inside


def engine(stage: Stage, events: StageEvents) -> Facts | None:
    """Return hours, power, limiter and every limit of the engine."""
    roles = stage.profile.roles
    rpm, torque = stage.on_grid(roles.engine_speed), stage.on_grid(roles.engine_torque)
    lines: list[str] = []
    if rpm is not None:
        running = np.nan_to_num(rpm) > stage.profile.trouble.engine_rpm
        running_min = running.sum() * GRID_US / 60e6
        peak = float(np.nanmax(rpm))
        text = f"running {running_min:.1f} min, highest {peak:,.0f} rpm"
        lines.append(t.line(text, running_min=running_min, highest_rpm=peak))
        if torque is not None:
            lines += _power(stage, rpm * torque * (2 * np.pi / 60e3))
    lines += _limiter(stage)
    found = limit_table(stage, "engine", events)
    if not lines and not found:
        return None
    tables = [x for x in (*_by_table(stage), found) if x]
    return {"id": "engine", "title": "Engine", "lines": lines, "note": NOTE, "tables": tables}


def _by_table(stage: Stage) -> Iterator[Facts]:
    """Yield a table for each alarm whose limit goes by another signal: extremes in its bands."""
    for key, alarm in stage.profile.alarm.items():
        if alarm.kind not in ("below_table", "above_table"):
            continue
        x = stage.find_valid(alarm.x_signal or "")
        for name in alarm.signals:
            series = stage.find_valid(name)
            if x is not None and series is not None:
                yield _bands(stage, key, alarm, x, series)


def _bands(stage: Stage, key: str, alarm: Alarm, x: Series, series: Series) -> Facts:
    """Return a table over bands of x: the extreme beside what the table says there."""
    falls = alarm.kind == "below_table"
    at = x.at(series.t_us)
    table_x, table_y = alarm.table_x or (0.0,), alarm.table_y or (0.0,)
    edges = [*np.linspace(table_x[0], table_x[-1], N_BANDS), np.inf]
    rows = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = np.flatnonzero((at >= low) & (at < high))
        if not len(inside):
            continue
        values = series.values[inside]
        worst = int(inside[np.argmin(values) if falls else np.argmax(values)])
        wanted = float(np.interp(at[worst], table_x, table_y))
        upper = None if np.isinf(high) else float(high)
        cells = (float(low), upper, float(series.values[worst]), wanted, float(values.mean()))
        x_s = stage.seconds(int(series.t_us[worst]))
        rows.append(t.row(*cells, x_s=x_s, chart=f"c-alarm-{key}"))
    columns = [t.column("from", x.unit, 0), t.column("to", x.unit, 0)]
    columns.append(t.column("lowest" if falls else "highest", series.unit))
    columns += [t.column("table there", series.unit), t.column("mean", series.unit)]
    return t.table(
        columns, rows, title=f"{series.name} by {x.name}", fold=0 if not falls else None
    )


def _power(stage: Stage, kW: Values) -> list[str]:
    """Return the highest mean over half a second: shorter peaks are inertia, not power."""
    n = 500_000 // GRID_US
    mean = np.convolve(np.nan_to_num(kW), np.full(n, 1 / n), "valid")
    limit = stage.profile.engine.power_limit_kW
    if not len(mean):
        return []
    highest = float(mean.max())
    text = f"highest power over 0.5 s {highest:.0f} kW by the ECU's torque"
    if limit is None:
        return [t.line(text, highest_power_kW=highest)]
    text, near_pct = f"{text} (limit {limit:.0f} kW)", 100 * float((mean > 0.9 * limit).mean())
    return [
        t.line(text, highest_power_kW=highest, power_limit_kW=limit),
        t.line(
            f"{near_pct:.1f} % of the time above 90 % of the limit",
            above_90_pct_limit_pct=near_pct,
        ),
    ]


def _limiter(stage: Stage) -> list[str]:
    name = stage.profile.report.limiter
    series = stage.find_valid(name)
    if series is None:
        return []
    held_s, names = series.held_s(), stage.choices(name)
    active_s = {
        names.get(int(value), f"{value:g}"): float(held_s[series.values == value].sum())
        for value in np.unique(series.values[series.values != 0]).tolist()
    }
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in active_s.items())
    return [
        t.line(f"limiters: {parts}" if parts else "no limiter was active", limiters_s=active_s)
    ]


def gearbox(stage: Stage, events: StageEvents, abuse: list[GearAbuse]) -> Facts | None:
    """Return time and shifts by gear, the converter, limits and abuse."""
    roles = stage.profile.roles
    gear = stage.find_valid(roles.gear)
    limits = limit_table(stage, "driveline", events)
    if gear is None and limits is None:
        return None
    lines: list[str] = []
    tables = [limits] if limits else []
    if gear is not None:
        shifts = np.flatnonzero(np.diff(gear.values)) + 1
        per_km = len(shifts) / max(float(stage.distance_km[-1]), 0.1)
        text = f"{len(shifts):,} shifts, {per_km:.1f} per km"
        lines.append(t.line(text, shifts=len(shifts), shifts_per_km=per_km))
        tables.insert(0, _gears(stage, gear, shifts))
    lines += _converter(stage)
    tables.append(_abuse(stage, abuse))
    return {
        "id": "gearbox",
        "title": "Gearbox and differentials",
        "short": "Gearbox",
        "lines": lines,
        "tables": tables,
    }


def _gears(stage: Stage, gear: Series, shifts: NDArray[np.intp]) -> Facts:
    engine = stage.find_valid(stage.profile.roles.engine_speed)
    held = gear.held_s()
    names = stage.choices(stage.profile.roles.gear)
    rpm = engine.at(gear.t_us) if engine is not None else None
    rows = []
    for value in np.unique(gear.values):
        inside = gear.values == value
        known = rpm[inside][np.isfinite(rpm[inside])] if rpm is not None else ()
        top = float(np.max(known)) if len(known) else None
        seconds = float(held[inside].sum())
        share = 100 * seconds / max(float(held.sum()), 1e-9)
        into = int((gear.values[shifts] == value).sum())
        rows.append(t.row(names.get(int(value), f"{value:g}"), seconds, share, into, top))
    columns = [t.words("gear"), t.column("time", "s"), t.column("share", "%")]
    columns += [t.column("shifts into"), t.column("highest engine speed", "rpm", 0)]
    return t.table(columns, rows, title="Gears")


def _converter(stage: Stage) -> list[str]:
    name = stage.profile.report.converter
    series = stage.find_valid(name)
    if series is None:
        return []
    held_s, names = series.held_s(), stage.choices(name)
    total = max(float(held_s.sum()), 1e-9)
    shares_pct = {
        names.get(int(value), f"{value:g}").lower(): float(
            100 * held_s[series.values == value].sum() / total
        )
        for value in np.unique(series.values).tolist()
    }
    parts = ", ".join(f"{name} {share:.0f} %" for name, share in shares_pct.items())
    return [t.line(f"converter: {parts} of the time", converter_pct=shares_pct)]


def _abuse(stage: Stage, abuse: list[GearAbuse]) -> Facts:
    rows = []
    for one in abuse:
        x_s = stage.seconds(one.t_us)
        cells = (one.text, stage.km(one.t_us), x_s / 60, one.value, one.unit)
        rows.append(t.row(*cells, level="warn", x_s=x_s))
    columns = [t.words("abuse", long=True), t.column("at", "km", 2), t.column("after", "min")]
    columns += [t.column("value", "", 1, key="value"), t.words("unit")]
    return t.table(columns, rows, title="Gear abuse", empty="No gear abuse was found.", fold=15)


def diffs(stage: Stage) -> Facts | None:
    """Return the diff temperatures by distance: highest and rate."""
    names = stage.profile.roles.diff_temperature
    series = [one for one in map(stage.find_valid, names) if one is not None]
    if not series:
        return None
    columns = [t.column("from", "km"), t.column("to", "km")]
    for one in series:
        columns.append(t.column(f"{one.name} highest", one.unit))
        columns.append(t.column(f"{one.name} rate", f"{one.unit}/min", 2, signed=True))
    columns.append(t.column("mean speed", "km/h", 0))
    grids = [one.at(stage.grid_us) for one in series]
    rows = []
    for start, end, inside in km_rows(stage):
        cells: list[float | None] = [start, end]
        minutes = (inside[-1] - inside[0]) * GRID_US / 60e6
        for values in grids:
            known = values[inside][np.isfinite(values[inside])]
            rate = float(known[-1] - known[0]) / minutes if minutes and len(known) else None
            cells += [float(known.max()) if len(known) else None, rate]
        cells.append(float(stage.speed_kmh[inside].mean()))
        x_s = stage.seconds(int(stage.grid_us[inside[0]]))
        rows.append(t.row(*cells, x_s=x_s, chart="c-alarm-diff_oil"))
    return {
        "id": "diffs",
        "title": "Diff temperatures by distance",
        "short": "Diffs",
        "tables": [t.table(columns, rows)],
    }
