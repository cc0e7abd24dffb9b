"""Fuel used against the plan, by terrain and by distance, and the range that is left."""

from collections.abc import Sequence

import numpy as np

from stagelog.events.consumption import TerrainFuel
from stagelog.report import tables as t
from stagelog.report.driveline import km_rows
from stagelog.report.events import StageEvents
from stagelog.report.series import Values
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts


def fuel(
    stage: Stage,
    events: StageEvents,
    by_terrain: list[TerrainFuel],
    entered_cl: Sequence[int] = (),
) -> Facts | None:
    """Return the section, or None where the log does not hold what the injectors used.

    events    events.StageEvents
    by_terrain  rows of events.fuel_by_terrain
    entered_cl  entered volumes of the refuels, in order, 0 where one is not known
    """
    used = stage.on_grid(stage.profile.roles.fuel_used)
    if used is None:
        return None
    finite = used[np.isfinite(used)]
    total = float(finite[-1] - finite[0])
    km = float(stage.distance_km[-1])
    mean = f"{100 * total / km:.1f} l/100 km" if km > 0.05 else "not far enough for a mean"
    text = f"{total:.1f} l by the injectors over {km:.1f} km: {mean}"
    per_100 = 100 * total / km if km > 0.05 else None
    lines: list[str] = [t.line(text, used_l=total, driven_km=km, consumption_l_per_100km=per_100)]
    lines += _state(events)
    lines += _entered(events, entered_cl)
    tables = [_terrain(by_terrain)] if by_terrain else []
    tables.append(_by_km(stage, used))
    plan = stage.profile.fuel.plan_l_per_100km
    planned = ", ".join(f"{name} {litres:g}" for name, litres in plan.items())
    return {
        "id": "fuel",
        "title": "Fuel",
        "lines": [*lines, *_against_plan(stage, by_terrain)],
        "note": f"Plan, l/100 km: {planned}.",
        "tables": tables,
    }


def _state(events: StageEvents) -> list[str]:
    lines: list[str] = []
    if events.lives:
        used_cl, volume_cl = events.lives.get("fuel_used_cl", (0, 0))
        added_cl = events.lives.get("fuel_added_cl", (0, 0))[0]
        line = f"{used_cl / 100:.1f} l by the learned scale of the flow"
        line += f", {added_cl / 100:.0f} l refuelled" if added_cl else ""
        lines.append(t.line(line, used_by_scale_l=used_cl / 100, refuelled_l=added_cl / 100))
        if len(events.fuel) or volume_cl:
            last = events.fuel[-1]["volume_l"] if events.fuel else volume_cl / 100
            lines.append(t.line(f"{last:.0f} l in the tank at the end", tank_at_end_l=last))
    if events.range:
        p10_km, p50_km = events.range["p10_km"], events.range["p50_km"]
        text = f"range at the end: {p10_km:.0f} km in nine cases of ten (P10), "
        text += f"{p50_km:.0f} km in half of them (P50)"
        lines.append(t.line(text, range_p10_km=p10_km, range_p50_km=p50_km))
    if events.flow_scale:
        scale, sigma = events.flow_scale["scale"], events.flow_scale["sigma"]
        text = f"scale of the flow: {scale:.3f} ± {sigma:.3f}"
        lines.append(t.line(text, flow_scale=scale, flow_scale_sigma=sigma))
    return lines


def _entered(events: StageEvents, entered_cl: Sequence[int]) -> list[str]:
    """Return a line for each volume that was entered, and for what it was used."""
    found_l = [one["added_l"] for one in events.singles if one["name"] == "refuel"]
    lines: list[str] = []
    for n, litres in enumerate((cl / 100 for cl in entered_cl), 1):
        how = "used for the estimate"
        if n > len(found_l):
            how = f"NOT used: seen in this log: {len(found_l)}"
        elif found_l[n - 1] != litres:
            how = f"NOT used: the senders show {found_l[n - 1]:.0f} l"
        if litres:
            lines.append(t.line(f"refuel {n}: {litres:g} l entered, {how}"))
    return lines


def _against_plan(stage: Stage, by_terrain: list[TerrainFuel]) -> list[str]:
    """Return used against planned over the terrain that has a plan."""
    rows = [r for r in by_terrain if r.terrain != "all" and r.plan_l_per_100km]
    planned = sum(r.km * (r.plan_l_per_100km or 0.0) / 100 for r in rows)
    used = sum(r.used_l for r in rows)
    if planned < 0.5:
        return []
    over = 100 * (used / planned - 1)
    behind = stage.profile.fuel_estimate.behind_plan_pct
    words = "BEHIND PLAN" if over > behind else "within plan"
    text = f"{words}: {used:.1f} l used, {planned:.1f} l planned for this terrain ({over:+.1f} %)"
    return [t.line(text, planned_l=planned, over_plan_pct=over)]


def _terrain(by_terrain: list[TerrainFuel]) -> Facts:
    rows = []
    for one in by_terrain:
        per_100, plan = one.l_per_100km, one.plan_l_per_100km
        over = 100 * (per_100 / plan - 1) if plan and per_100 is not None else None
        cells = (one.terrain, one.km, one.used_l, per_100, plan, over)
        rows.append(t.row(*cells))
    columns = [t.words("terrain, by drive mode", key="terrain"), t.column("driven", "km")]
    columns += [t.column("used", "l"), t.column("consumption", "l/100 km")]
    columns += [t.column("plan", "l/100 km"), t.column("over plan", "%", signed=True)]
    return t.table(columns, rows, title="By terrain")


def _by_km(stage: Stage, used: Values) -> Facts:
    rows = []
    for start, end, inside in km_rows(stage):
        inside = inside[np.isfinite(used[inside])]
        if len(inside) < 2:
            continue
        litres = float(used[inside[-1]] - used[inside[0]])
        driven = float(stage.distance_km[inside[-1]] - stage.distance_km[inside[0]])
        per_100 = 100 * litres / driven if driven > 0.05 else None
        speed = float(stage.speed_kmh[inside].mean())
        x_s = stage.seconds(int(stage.grid_us[inside[0]]))
        rows.append(t.row(start, end, litres, per_100, speed, x_s=x_s, chart="c-flow"))
    columns = [t.column("from", "km"), t.column("to", "km"), t.column("used", "l", 2)]
    columns += [t.column("consumption", "l/100 km"), t.column("mean speed", "km/h", 0)]
    return t.table(columns, rows, title="By distance")
