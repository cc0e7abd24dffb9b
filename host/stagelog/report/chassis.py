"""Dampers, brakes, tyres and cooling as sections, from the raw log."""

from collections.abc import Iterator

import numpy as np

from stagelog.profile.limits import Alarm
from stagelog.report import tables as t
from stagelog.report.damper import Damper
from stagelog.report.events import StageEvents
from stagelog.report.limits import limit_table
from stagelog.report.series import Series, Values
from stagelog.report.stage import GRID_US, KMH_PER_MS, Stage
from stagelog.report.tables import Facts

_G = 9.80665
_BRAKING_KPA = 300.0
_SLOW_KMH = 20.0
_FULL_DUTY_PCT = 95.0


def dampers(stage: Stage, events: StageEvents, studied: dict[str, Damper]) -> Facts | None:
    """Return travel, speed and bottoming of each damper, and their temperatures.

    studied  damper.study_dampers
    """
    rows = [_damper_row(stage, one) for one in studied.values()]
    limits = limit_table(stage, "dampers", events)
    if not rows and limits is None:
        return None
    columns = [t.words("damper"), t.column("mean", "mm", 0), t.column("highest", "mm", 0)]
    columns += [t.column("travel used", "%", 0), t.column("compression, 99.9 %", "m/s", 2)]
    columns += [t.column("compression, highest", "m/s", 2), t.column("rebound, 99.9 %", "m/s", 2)]
    columns += [t.column("at full travel", "times"), t.column("at full droop", "s")]
    tables = [t.table(columns, rows)] + ([limits] if limits else [])
    note = "Position is 0 at full droop; full travel is that of the profile."
    return {"id": "dampers", "title": "Dampers", "note": note, "tables": tables}


def _damper_row(stage: Stage, one: Damper) -> Facts:
    used_pct = 100 * one.highest_mm / one.travel_mm
    speeds = (one.compression_m_per_s, one.fastest_m_per_s, one.rebound_m_per_s)
    cells = (one.name, one.mean_mm, one.highest_mm, used_pct, *speeds, one.hits, one.droop_s)
    x_s = stage.seconds(one.highest_us)
    return t.row(*cells, level="warn" if one.hits else "good", x_s=x_s, chart="c-damper")


def brakes(stage: Stage, events: StageEvents) -> Facts | None:
    """Return energy, hardest stops, balance, handbrake and disc temperatures."""
    roles = stage.profile.roles
    pressures = [stage.on_grid(name) for name in roles.brake_pressure]
    limits = limit_table(stage, "brakes", events)
    lines = _braking(stage, pressures[0], pressures[1:]) if pressures[0] is not None else []
    hand = stage.on_grid(roles.handbrake_pressure)
    if hand is not None:
        pulled = np.nan_to_num(hand) > _BRAKING_KPA
        starts = np.flatnonzero(np.diff(pulled.astype(np.int8), prepend=0) > 0)
        fastest = float(stage.speed_kmh[starts].max(initial=0))
        used = f"used {len(starts)} times, fastest at {fastest:.0f} km/h"
        text = f"handbrake {used if len(starts) else 'not used'}"
        lines.append(t.line(text, handbrake_uses=len(starts), handbrake_fastest_kmh=fastest))
    if not lines and limits is None:
        return None
    tables = [limits] if limits else []
    return {"id": "brakes", "title": "Brakes", "lines": lines, "tables": tables}


def _braking(stage: Stage, first: Values, others: list[Values | None]) -> list[str]:
    front = np.nan_to_num(first)
    braking = front > _BRAKING_KPA
    speed = stage.speed_kmh / KMH_PER_MS
    energy = -np.diff(0.5 * stage.profile.mass.without_fuel_kg * speed**2)
    energy_kJ = float(np.maximum(energy, 0)[braking[:-1]].sum() / 1000)
    per_km = energy_kJ / max(float(stage.distance_km[-1]), 0.1)
    decel = -np.gradient(speed, GRID_US / 1e6) / _G if len(speed) > 1 else np.zeros(len(speed))
    hardest = max(0.0, float(decel[braking].max(initial=0)))
    braked_pct = 100 * float(braking.mean())
    text = f"{energy_kJ / 1000:.1f} MJ taken out by braking, {per_km:.0f} kJ/km (car without fuel)"
    lines: list[str] = [
        t.line(text, energy_kJ=energy_kJ, energy_kJ_per_km=per_km),
        t.line(f"hardest braking {hardest:.2f} g", hardest_g=hardest),
        t.line(
            f"braked {braked_pct:.1f} % of the time (front above {_BRAKING_KPA:.0f} kPa)",
            braked_pct=braked_pct,
        ),
    ]
    second = others[0] if others else None
    if second is not None and braking.any():
        rear = np.nan_to_num(second)[braking].mean()
        share = 100 * front[braking].mean() / max(front[braking].mean() + rear, 1e-9)
        text = f"front share of the line pressure {share:.0f} %"
        lines.append(t.line(text, front_share_pct=share))
    return lines


def tyres(stage: Stage) -> Facts | None:
    """Return pressures and temperatures of the tyres: start, end, extremes."""
    names = [n for a in stage.profile.alarm.values() if a.kind == "drop" for n in a.signals]
    temperatures = stage.profile.report.tyre_temperature
    rows = []
    for number, name in enumerate(names):
        pressure = stage.find_valid(name)
        if pressure is None:
            continue
        hot = stage.find_valid(temperatures[number]) if number < len(temperatures) else None
        lowest = int(np.argmin(pressure.values))
        start, end = float(pressure.values[0]), float(pressure.values[-1])
        low, high = float(pressure.values[lowest]), float(pressure.values.max())
        hottest = None if hot is None else float(hot.values.max())
        at_km = stage.km(int(pressure.t_us[lowest]))
        cells = (name, start, end, low, high, at_km, hottest)
        x_s = stage.seconds(int(pressure.t_us[lowest]))
        rows.append(t.row(*cells, x_s=x_s, chart="c-alarm-tyre_pressure"))
    if not rows:
        return None
    columns = [t.words("tyre"), t.column("start", "kPa", 0), t.column("end", "kPa", 0)]
    columns += [t.column("lowest", "kPa", 0), t.column("highest", "kPa", 0)]
    columns += [t.column("lowest at", "km", 2), t.column("hottest", "degC", 0)]
    note = "Punctures and losses stand under exceedances."
    return {"id": "tyres", "title": "Tyres", "note": note, "tables": [t.table(columns, rows)]}


def cooling(stage: Stage, events: StageEvents) -> Facts | None:
    """Return fans, radiators and the temperatures they hold."""
    limits = limit_table(stage, "cooling", events)
    tables = [x for x in (_fans(stage), _radiators(stage), limits) if x]
    if not tables:
        return None
    return {"id": "cooling", "title": "Cooling", "lines": _fan_lines(stage), "tables": tables}


def _fan_pairs(stage: Stage) -> Iterator[tuple[str, Alarm, Series, Series]]:
    """Yield (alarm key, alarm, duty, current) of each fan that the log holds."""
    for key, alarm in stage.profile.alarm.items():
        if alarm.kind != "fan":
            continue
        for asked, drawn in zip(alarm.x_signals or (), alarm.signals, strict=True):
            duty, current = stage.find_valid(asked), stage.find_valid(drawn)
            if duty is not None and current is not None:
                yield key, alarm, duty, current


def _fans(stage: Stage) -> Facts | None:
    rows = []
    for key, alarm, duty, current in _fan_pairs(stage):
        held_s, drawn = duty.held_s(), current.at(duty.t_us)
        asked = duty.values > (alarm.x_limit or 0.0)
        dead = asked & (drawn < (alarm.warning or 0.0))
        asked_s, dead_s = float(held_s[asked].sum()), float(held_s[dead].sum())
        x_s = stage.seconds(int(duty.t_us[np.argmax(dead)])) if dead.any() else None
        cells = (current.name, float(duty.values.mean()), asked_s, float(current.values.max()))
        level = "warn" if dead_s > max(alarm.debounce_s) else "good"
        rows.append(t.row(*cells, dead_s, level=level, x_s=x_s, chart=f"c-alarm-{key}"))
    if not rows:
        return None
    limit = next(alarm for _, alarm, _, _ in _fan_pairs(stage))
    columns = [t.words("fan"), t.column("mean duty", "%", 0)]
    columns += [t.column(f"duty over {limit.x_limit:g} %", "s"), t.column("highest", "A")]
    columns.append(t.column(f"and below {limit.warning:g} A", "s"))
    return t.table(columns, rows, title="Fans")


def _fan_lines(stage: Stage) -> list[str]:
    duties = [duty.at(stage.grid_us) for _, _, duty, _ in _fan_pairs(stage)]
    if not duties:
        return []
    full = np.nanmin(np.nan_to_num(np.vstack(duties)), axis=0) > _FULL_DUTY_PCT
    slow = full & (stage.speed_kmh < _SLOW_KMH)
    minutes = [mask.sum() * GRID_US / 60e6 for mask in (full, slow)]
    slow_text = f"at full duty below {_SLOW_KMH:.0f} km/h {minutes[1]:.1f} min"
    return [
        t.line(f"all fans at full duty {minutes[0]:.1f} min", full_duty_min=minutes[0]),
        t.line(slow_text, full_duty_slow_min=minutes[1]),
    ]


def _radiators(stage: Stage) -> Facts | None:
    rows = []
    for name_in, name_out in stage.profile.report.radiators:
        hot, cold = stage.find_valid(name_in), stage.find_valid(name_out)
        if hot is None or cold is None:
            continue
        drop = hot.values - cold.at(hot.t_us)
        drop = drop[np.isfinite(drop)]
        mean = float(drop.mean()) if len(drop) else None
        cells = (f"{name_in} to {name_out}", float(hot.values.mean()), float(hot.values.max()))
        rows.append(t.row(*cells, float(cold.values.mean()), mean, chart="c-radiators"))
    if not rows:
        return None
    columns = [t.words("radiator"), t.column("in, mean", "degC"), t.column("in, highest", "degC")]
    columns += [t.column("out, mean", "degC"), t.column("mean drop", "K")]
    return t.table(columns, rows, title="Radiators")


def electrics(stage: Stage, events: StageEvents) -> Facts | None:
    """Return the limits of the electrics, or None."""
    limits = limit_table(stage, "electrics", events)
    return limits and {"id": "electrics", "title": "Electrics", "tables": [limits]}
