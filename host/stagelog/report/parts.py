"""The parts of the car as the page draws them: the state of each, why, and what its signals did.

Owns the step from facts to one state for each part; the drawing is html_car, the cards html_cards.
A state is never better than what was measured: a part of which the log holds nothing is "none",
one that lacks a signal, or had a fault that passed, is "partly", and neither is ever "good".
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np

from stagelog.events.gearbox import GearAbuse
from stagelog.profile.limits import Alarm
from stagelog.profile.report_parts import Part
from stagelog.report.counted import counted
from stagelog.report.damper import FULL_SHARE
from stagelog.report.event_tables import FAULTS, limit_text
from stagelog.report.events import SEVERITIES, Episode, StageEvents
from stagelog.report.exceeded import main_limit, other_limits
from stagelog.report.source import Health
from stagelog.report.spark import spark
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

# Worst first. A limit that was exceeded counts more than a sensor that failed later.
STATES = {
    "bad": "critical",
    "warn": "check",
    "fault": "sensor fault",
    "partly": "partly measured",
    "none": "not measured",
    "good": "good",
}
Reason: TypeAlias = tuple[str, str]  # level, words
_FALLING = ("below", "below_table", "drop", "cooler")


def parts(
    stage: Stage, health: Health, events: StageEvents, hits: dict[str, int], abuse: list[GearAbuse]
) -> list[Facts]:
    """Return the parts of the profile in its order: dicts of what the page shows.

    health  source.Health, whose holes no line of a spark crosses
    hits    {damper signal: times at full travel}
    abuse   gear abuse, as events.find_gear_abuse
    """
    said = _said(stage, events, hits, abuse)
    return [
        _part(stage, health, events, place, part, said.get(place, []), hits)
        for place, part in (stage.profile.report.part or {}).items()
    ]


def _part(
    stage: Stage,
    health: Health,
    events: StageEvents,
    place: str,
    part: Part,
    said: list[Reason],
    hits: dict[str, int],
) -> Facts:
    why = [*said, *_alarms(stage, events, place, part), *_faults(stage, events, part)]
    rows = [_row(stage, health, events, name, bool(hits.get(name))) for name in part.signals]
    missing = [row["name"] for row in rows if row["low"] is None]
    if missing:
        level = "none" if len(missing) == len(rows) else "partly"
        why.append((level, f"not measured: {', '.join(missing)}"))
    order = list(STATES)
    why.sort(key=lambda one: order.index(one[0]))
    state = why[0][0] if why else "good"
    rows.sort(key=lambda row: (order.index(row["level"]), -row["share"]))
    return {
        "place": place,
        "name": part.name,
        "state": state,
        "word": STATES[state],
        "why": [text for _, text in why],
        "rows": rows,
    }


def _alarms(stage: Stage, events: StageEvents, place: str, part: Part) -> Iterator[Reason]:
    """Yield (level, words) of each signal of the part that exceeded a limit, at its worst."""
    known = stage.profile.report.part or {}
    claimed = {key: at for at, p in known.items() for key in p.own_alarms}
    groups: dict[str, list[Episode]] = {}
    for alarm in events.alarms:
        at = claimed.get(alarm.key)
        if at == place or (at is None and alarm.signal in part.signals):
            groups.setdefault(alarm.signal, []).append(alarm)
    for signal, same in groups.items():
        worst, n, limit = main_limit(stage, same)
        times = f", {n} times" if n > 1 else ""
        text = f"{name_of(stage, signal)} {worst.peak:.4g} {worst.unit}, limit {limit}{times}"
        yield worst.level, f"{text}, km {stage.km(same[0].t_us):.1f}"
        if others := other_limits(stage, same):
            yield worst.level, f"{name_of(stage, signal)}, too: {', '.join(others)}"


def _faults(stage: Stage, events: StageEvents, part: Part) -> Iterator[Reason]:
    """Yield (level, words) of faults of the part's sensors and of the messages that carry them."""
    messages = {
        name: table.message.name
        for table in stage.decoded.messages.values()
        for name in table.signals
    }
    status = {name: pair[0] for name, pair in stage.profile.status.items()}
    for name in part.signals:
        whats = (name, messages.get(name), status.get(name))
        for fault in events.faults:
            if fault["what"] in whats:
                what = FAULTS.get(fault["state"], fault["state"])
                lasts = fault["end_us"] is None
                until = "to the end" if lasts else "for a while"
                text = f"{name_of(stage, name)}: {what} {until}, km {stage.km(fault['t_us']):.1f}"
                yield "fault" if lasts else "partly", text


def _said(
    stage: Stage, events: StageEvents, hits: dict[str, int], abuse: list[GearAbuse]
) -> dict[str, list[Reason]]:
    """Return {place: [(level, words)]} of what is no alarm on a signal."""
    said: dict[str, list[Reason]] = {}
    found = stage.profile.report.part or {}
    for name, n in hits.items():
        for place, part in found.items():
            if n and name in part.signals:
                text = f"at full travel {n} time{'s' * (n != 1)}"
                said.setdefault(place, []).append(("warn", text))
    for severity in ("severe", "hard", "unknown"):
        n = sum(flight.severity == severity for flight in events.flights)
        for place in found:
            if n and place.startswith("damper_"):
                text = f"{n} landing{'s' * (n != 1)}: {severity}"
                said.setdefault(place, []).append((SEVERITIES[severity], text))
    for event in events.singles:
        where, level, text = {
            "fuel_leak": lambda e: ("tank", "bad", f"leak, {e['lost_l']:.0f} l"),
            "handbrake_abuse": lambda e: (
                "handbrake",
                "warn",
                f"pulled at {e['speed_kmh']:.0f} km/h",
            ),
            "diff_model": lambda e: (
                f"diff_{e['axle']}",
                "warn",
                f"{e['residual_degC']:.0f} degC hotter than its load explains",
            ),
        }.get(event["name"], lambda e: (None, "", ""))(event)
        if where:
            at_km = stage.km(event["t_us"])
            said.setdefault(where, []).append((level, f"{text}, km {at_km:.1f}"))
    if abuse:
        text = f"gear abuse, {len(abuse)} time{'s' * (len(abuse) != 1)}"
        said.setdefault("gearbox", []).append(("warn", text))
    return said


def name_of(stage: Stage, signal: str) -> str:
    """Return what people call a signal."""
    return (stage.profile.report.names or {}).get(signal, signal)


def _row(stage: Stage, health: Health, events: StageEvents, signal: str, is_full: bool) -> Facts:
    """Return what one signal did: extremes, limits, level, a spark. low is None if unmeasured.

    is_full    whether it is a damper that reached its full travel
    low, high  where the limits on its value count
    all        lowest and highest of all, where those are others
    share      how near the worst value came to its first limit, 1 is at it; for the order of rows
    """
    alarms = {key: a for key, a in stage.profile.alarm.items() if signal in a.signals}
    values = {key: a for key, a in alarms.items() if a.kind in ("above", "below")}
    levels = [events.level_of(key, signal) for key in alarms]
    series = stage.find_valid(signal)
    row: Facts = {"signal": signal, "name": name_of(stage, signal), "unit": "", "low": None}
    row |= {"high": None, "limits": [], "spark": None, "share": 0.0, "level": "none"}
    row["chart"] = f"c-alarm-{next(iter(alarms))}" if alarms else None
    if signal in stage.profile.roles.damper:
        row["chart"] = "c-damper"
    falls = any(alarm.kind in _FALLING for alarm in alarms.values())
    row["falls"] = falls
    if series is None:
        return row
    whole = float(series.values.min()), float(series.values.max())
    judged = counted(stage, series, list(values.values()))
    low, high = float(judged.values.min()), float(judged.values.max())
    texts = [(limit_text(a, level), level) for a in alarms.values() for level in ("warn", "bad")]
    limits = list(dict.fromkeys((t, level) for t, level in texts if t))
    lines: list[tuple[float, str]] = []
    for alarm in values.values():
        pairs = ((alarm.warning, "warn"), (alarm.critical, "bad"))
        lines += [(value, level) for value, level in pairs if value is not None]
    full_mm = _full_travel_mm(stage, signal)
    if full_mm is not None:
        lines.append((full_mm, "warn"))
        limits.append((f"full travel from {full_mm:.0f} mm", "warn"))
    worst = int(np.argmin(judged.values) if falls else np.argmax(judged.values))
    levels.append("warn" if is_full else "good")
    return row | {
        "unit": series.unit,
        "low": low,
        "high": high,
        "all": None if (low, high) == whole else whole,
        "km": stage.km(int(judged.t_us[worst])),
        "x_s": stage.seconds(int(judged.t_us[worst])),
        "limits": [{"text": text, "level": level} for text, level in limits],
        "spark": spark(stage, health, series, lines),
        "share": _share(low, high, values.values()),
        "level": next((x for x in ("bad", "warn") if x in levels), "good"),
    }


def _full_travel_mm(stage: Stage, signal: str) -> float | None:
    """Return from where on a damper is at full travel, None for another signal."""
    dampers = zip(stage.profile.roles.damper, stage.profile.suspension.travel_mm, strict=False)
    return next((FULL_SHARE * travel for name, travel in dampers if name == signal), None)


def _share(low: float, high: float, alarms: Iterable[Alarm]) -> float:
    shares = [0.0]
    for alarm in alarms:
        first = alarm.critical if alarm.warning is None else alarm.warning
        if first and alarm.kind == "above":
            shares.append(high / first)
        elif low > 0 and first and alarm.kind == "below":
            shares.append(first / low)
    return max(shares)
