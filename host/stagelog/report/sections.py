"""Sections of the report that are computed from the raw log: each a dict of JSON types for `html`.

Every function takes a `stage.Stage` and returns a section, or None where the log holds nothing for
it. Units stand in the columns. Nothing here judges; limits come from the car's profile.
"""

import numpy as np

from .stage import GRID_US, KMH_PER_MS

KM_ROWS = 10.0
_G = 9.80665
_FULL_BRAKE_KPA = 300.0
_BUMP_SHARE = 0.97


def health(ledgers, gaps, damaged):
    """Return the section on the logger itself.

    ledgers  ledger.Ledger of the sessions; gaps  their gaps in words; damaged  bad blocks in words
    """
    columns = [
        {"name": "session", "text": True},
        {"name": "bus"},
        *({"name": name, "unit": "frames"} for name in ("seen", "stored", "held here")),
        *({"name": name, "unit": "frames"} for name in ("dropped", "lost, at least", "missing")),
    ]
    rows = []
    for ledger in ledgers:
        for bus in ledger.buses:
            if not bus.n_seen and bus.bus:
                continue
            lost = bus.n_dropped or bus.n_at_least or bus.n_missing
            counts = (bus.n_seen, bus.n_stored, bus.n_held)
            losses = (bus.n_dropped, bus.n_at_least, bus.n_missing)
            cells = [ledger.name, bus.bus, *(f"{n:,}" for n in counts + losses)]
            rows.append({"cells": cells, "level": "bad" if lost else "good"})
    lines = [*gaps, *damaged, *(line for ledger in ledgers for line in ledger.breaks)]
    complete = all(ledger.complete for ledger in ledgers) and not damaged
    return {
        "id": "health",
        "title": "Logger health",
        "note": "Every frame that was seen is here."
        if complete
        else "Frames are missing; every hole that is known is listed.",
        "lines": lines[:200],
        "tables": [{"columns": columns, "rows": rows}],
    }


def limits(stage):
    """Return what each signal with a limit did: extremes, where, and time beyond the limits."""
    columns = [
        {"name": "signal", "text": True},
        {"name": "unit", "text": True},
        {"name": "lowest"},
        {"name": "mean"},
        {"name": "highest"},
        {"name": "at", "unit": "km"},
        {"name": "warning"},
        {"name": "critical"},
        {"name": "beyond warning", "unit": "s"},
        {"name": "beyond critical", "unit": "s"},
    ]
    rows = []
    for alarm in stage.profile.alarm.values():
        if alarm.kind not in ("above", "below"):
            continue
        for series in stage.find_all(alarm.signals):
            rows.append(_limit_row(stage, alarm, series))
    if not rows:
        return None
    return {
        "id": "limits",
        "title": "Temperatures, pressures and other limits",
        "note": "Time beyond a limit counts samples of the raw log, without debounce or gates.",
        "tables": [{"columns": columns, "rows": rows}],
    }


def _limit_row(stage, alarm, series):
    above = alarm.kind == "above"
    values = series.values
    worst = int(np.argmax(values) if above else np.argmin(values))
    held_s = np.diff(series.t_us, append=series.t_us[-1]) / 1e6
    held_s = np.minimum(held_s, 5 * np.median(held_s) if len(held_s) > 1 else 0)
    beyond = []
    for limit in (alarm.warning, alarm.critical):
        over = None if limit is None else (values > limit if above else values < limit)
        beyond.append(0.0 if over is None else float(held_s[over].sum()))
    level = "bad" if beyond[1] else "warn" if beyond[0] else "good"
    return {
        "level": level,
        "x_s": stage.seconds(int(series.t_us[worst])),
        "cells": [
            series.name,
            series.unit,
            f"{values.min():.1f}",
            f"{values.mean():.1f}",
            f"{values.max():.1f}",
            f"{stage.km(int(series.t_us[worst])):.2f}",
            _limit(alarm.warning),
            _limit(alarm.critical),
            f"{beyond[0]:.1f}",
            f"{beyond[1]:.1f}",
        ],
    }


def _limit(value):
    return None if value is None else f"{value:g}"


def heat_by_km(stage):
    """Return the diff temperatures by distance: mean, highest and rate."""
    series = stage.find_all(stage.profile.roles.diff_temperature)
    if not series:
        return None
    km = stage.distance_km
    edges = _km_edges(km)
    columns = [{"name": "from", "unit": "km"}, {"name": "to", "unit": "km"}]
    for one in series:
        columns += [
            {"name": f"{one.name} highest", "unit": one.unit},
            {"name": f"{one.name} rate", "unit": f"{one.unit}/min"},
        ]
    grids = [one.at(stage.grid_us) for one in series]
    rows = []
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        inside = np.flatnonzero((km >= start) & (km <= end))
        if len(inside) < 2:
            continue
        cells = [f"{start:.1f}", f"{end:.1f}"]
        minutes = (inside[-1] - inside[0]) * GRID_US / 60e6
        for values in grids:
            part = values[inside]
            known = part[np.isfinite(part)]
            rate = (known[-1] - known[0]) / minutes if minutes and len(known) else 0.0
            cells += [f"{np.nanmax(part):.1f}", f"{rate:+.2f}"]
        rows.append({"cells": cells, "x_s": stage.seconds(int(stage.grid_us[inside[0]]))})
    return {
        "id": "heat",
        "title": "Diff temperatures by distance",
        "tables": [{"columns": columns, "rows": rows}],
    }


def _km_edges(km):
    total = float(km[-1])
    n = max(1, min(60, round(total / KM_ROWS)))
    return np.linspace(0.0, total, n + 1)


def fuel(stage):
    """Return consumption by distance from the injectors' total, beside the plan."""
    roles = stage.profile.roles
    used = stage.on_grid(roles.fuel_used)
    if used is None:
        return None
    km = stage.distance_km
    plan = stage.profile.fuel.plan_l_per_100km
    columns = [
        {"name": "from", "unit": "km"},
        {"name": "to", "unit": "km"},
        {"name": "used", "unit": "l"},
        {"name": "consumption", "unit": "l/100 km"},
        {"name": "mean speed", "unit": "km/h"},
    ]
    rows = []
    for start, end in zip(_km_edges(km)[:-1], _km_edges(km)[1:], strict=True):
        inside = np.flatnonzero((km >= start) & (km <= end) & np.isfinite(used))
        if len(inside) < 2:
            continue
        litres = used[inside[-1]] - used[inside[0]]
        driven = km[inside[-1]] - km[inside[0]]
        per_100 = f"{100 * litres / driven:.1f}" if driven > 0.05 else None
        speed = stage.speed_kmh[inside].mean()
        cells = [f"{start:.1f}", f"{end:.1f}", f"{litres:.2f}", per_100, f"{speed:.0f}"]
        rows.append({"cells": cells, "x_s": stage.seconds(int(stage.grid_us[inside[0]]))})
    finite = used[np.isfinite(used)]
    total = float(finite[-1] - finite[0]) if len(finite) else 0.0
    mean = 100 * total / km[-1] if km[-1] > 0.05 else 0.0
    planned = ", ".join(f"{name} {litres:g}" for name, litres in plan.items())
    return {
        "id": "fuel",
        "title": "Fuel",
        "lines": [
            f"{total:.1f} l used over {km[-1]:.1f} km: {mean:.1f} l/100 km by the injectors",
            f"plan, l/100 km by terrain: {planned}",
        ],
        "tables": [{"columns": columns, "rows": rows}],
    }


def dampers(stage):
    """Return travel, speed and bottoming of each damper position."""
    series = stage.find_all(stage.profile.roles.damper)
    if not series:
        return None
    columns = [
        {"name": "damper", "text": True},
        {"name": "mean", "unit": "mm"},
        {"name": "highest", "unit": "mm"},
        {"name": "travel used", "unit": "%"},
        {"name": "compression, 99.9 %", "unit": "m/s"},
        {"name": "compression, highest", "unit": "m/s"},
        {"name": "at full travel", "unit": "times"},
        {"name": "at full droop", "unit": "s"},
    ]
    rows = []
    for one, travel_mm in zip(series, stage.profile.suspension.travel_mm, strict=False):
        steps_s = np.diff(one.t_us) / 1e6
        speed = np.diff(one.values) / 1000 / np.where(steps_s > 0, steps_s, np.nan)
        full = one.values >= _BUMP_SHARE * travel_mm
        hits = int((np.diff(full.astype(np.int8)) > 0).sum() + bool(full[0]))
        droop_s = float(steps_s[one.values[:-1] < 0.03 * travel_mm].sum())
        highest = float(one.values.max())
        cells = [
            one.name,
            f"{one.values.mean():.0f}",
            f"{highest:.0f}",
            f"{100 * highest / travel_mm:.0f}",
            f"{np.nanpercentile(speed, 99.9):.2f}" if len(speed) else None,
            f"{np.nanmax(speed):.2f}" if len(speed) else None,
            hits,
            f"{droop_s:.1f}",
        ]
        x_s = stage.seconds(int(one.t_us[int(np.argmax(one.values))]))
        rows.append({"cells": cells, "level": "warn" if hits else "", "x_s": x_s})
    return {"id": "dampers", "title": "Dampers", "tables": [{"columns": columns, "rows": rows}]}


def brakes(stage):
    """Return braking: energy taken out of the car, hardest stops, handbrake uses."""
    front = stage.on_grid(stage.profile.roles.brake_pressure[0])
    if front is None:
        return None
    speed = stage.speed_kmh / KMH_PER_MS
    braking = np.nan_to_num(front) > _FULL_BRAKE_KPA
    mass = stage.profile.mass.without_fuel_kg
    energy = -np.diff(0.5 * mass * speed**2)
    energy_kJ = float(np.maximum(energy, 0)[braking[:-1]].sum() / 1000)
    decel = -np.gradient(speed, GRID_US / 1e6) / _G
    lines = [
        (
            f"{energy_kJ / 1000:.1f} MJ taken out by braking, "
            f"{energy_kJ / max(stage.distance_km[-1], 0.1):.0f} kJ/km (car without fuel)"
        ),
        (
            f"hardest braking {max(0.0, float(decel[braking].max(initial=0))):.2f} g, "
            f"{100 * braking.mean():.1f} % of the time above {_FULL_BRAKE_KPA:.0f} kPa"
        ),
    ]
    hand = stage.on_grid(stage.profile.roles.handbrake_pressure)
    if hand is not None:
        pulled = np.nan_to_num(hand) > _FULL_BRAKE_KPA
        starts = np.flatnonzero(np.diff(pulled.astype(np.int8), prepend=0) > 0)
        fastest = float(stage.speed_kmh[starts].max(initial=0))
        lines.append(f"handbrake used {len(starts)} times, fastest at {fastest:.0f} km/h")
    return {"id": "brakes", "title": "Brakes", "lines": lines}


def gearbox(stage):
    """Return time and shifts by gear, and engine speed in each."""
    gear = stage.find(stage.profile.roles.gear)
    if gear is None:
        return None
    engine = stage.find(stage.profile.roles.engine_speed)
    held = np.append(np.diff(gear.t_us), 0) / 1e6
    shifts = np.flatnonzero(np.diff(gear.values)) + 1
    columns = [
        {"name": "gear", "text": True},
        {"name": "time", "unit": "s"},
        {"name": "share", "unit": "%"},
        {"name": "shifts into"},
        {"name": "engine speed, highest", "unit": "rpm"},
    ]
    names = stage.decoded_choices(stage.profile.roles.gear)
    rpm = engine.at(gear.t_us) if engine is not None else None
    rows = []
    for value in np.unique(gear.values):
        inside = gear.values == value
        top = f"{np.nanmax(rpm[inside]):.0f}" if rpm is not None else None
        cells = [
            names.get(int(value), f"{value:g}"),
            f"{held[inside].sum():.1f}",
            f"{100 * held[inside].sum() / max(held.sum(), 1e-9):.1f}",
            int((gear.values[shifts] == value).sum()),
            top,
        ]
        rows.append({"cells": cells})
    per_km = len(shifts) / max(float(stage.distance_km[-1]), 0.1)
    return {
        "id": "gearbox",
        "title": "Gearbox",
        "lines": [f"{len(shifts)} shifts, {per_km:.1f} per km"],
        "tables": [{"columns": columns, "rows": rows}],
    }


def speed(stage):
    """Return distance, mean and highest speed as tiles of the header."""
    driven = stage.speed_kmh[stage.speed_kmh > 1]
    mean = float(driven.mean()) if len(driven) else 0.0
    return [
        {"value": f"{stage.distance_km[-1]:.1f} km", "text": "distance by the wheels"},
        {"value": f"{mean:.0f} km/h", "text": "mean while moving"},
        {"value": f"{stage.speed_kmh.max():.0f} km/h", "text": "highest speed"},
    ]
