"""The stage as one strip: speed, jumps, exceedances and holes over its time, with the distance.

Owns which marks there are and where, as shares of the width; drawing is html_first. Marks that
would lie over each other are one mark that says how many they are.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from stagelog.report.events import SEVERITIES, StageEvents
from stagelog.report.series import Spans
from stagelog.report.source import Health
from stagelog.report.spark import holes, runs
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

N_MARKS = 150  # places for marks along the strip
N_BINS = 600
_STEPS_KM = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
Mark: TypeAlias = tuple[int, str, str, str]  # t_us, level, words, chart
_ORDER = ("bad", "warn", "good", "info")


def overview(stage: Stage, health: Health, events: StageEvents) -> Facts:
    """Return {speed, top_kmh, lanes, holes, said, km, total_km}; each x is 0 to 1 of the stage's
    time.
    """
    spans = holes(stage, health)
    shaded = _holes(stage, health, spans)
    return {
        "speed": _speed(stage, spans),
        "top_kmh": float(stage.speed_kmh.max(initial=0)) if _has(stage, "wheel_speed") else None,
        "lanes": [
            {
                "title": "Jumps",
                "empty": _none_found(stage),
                "marks": _merged(stage, _jumps(stage, events)),
            },
            {
                "title": "Over limit",
                "empty": "none found",
                "marks": _merged(stage, _alarms(stage, events)),
            },
        ],
        "holes": shaded,
        "said": _said(health, sum(hole["is_loss"] for hole in shaded)),
        "km": _ticks(stage),
        "total_km": float(stage.distance_km[-1]) if _has(stage, "wheel_speed") else None,
    }


def _said(health: Health, n_holes: int) -> str:
    """Return what the log says of its holes; that there is none only where that is known."""
    if n_holes:
        return f"{n_holes} hole{'s' * (n_holes != 1)} in the log"
    known = {True: "no hole in the log", False: "log not complete", None: "holes not known"}
    return known[health.complete]


def _has(stage: Stage, role: str) -> bool:
    return any(stage.has_valid(name) for name in getattr(stage.profile.roles, role))


def _none_found(stage: Stage) -> str:
    """Return what a strip without jumps says: nothing was found, and what was not there to see."""
    kinds = {"acceleration": "accelerations", "damper": "dampers", "wheel_speed": "wheel speeds"}
    missing = [words for role, words in kinds.items() if not _has(stage, role)]
    return f"none found, without {', '.join(missing)}" if missing else "none found"


def _speed(stage: Stage, spans: Spans) -> Any:
    if not _has(stage, "wheel_speed"):
        return []
    keep = np.ones(len(stage.grid_us), bool)
    for start_us, end_us in spans:
        keep &= (stage.grid_us <= start_us) | (stage.grid_us >= end_us)
    return runs(stage, stage.grid_us[keep], stage.speed_kmh[keep], spans, N_BINS)


def _jumps(stage: Stage, events: StageEvents) -> Iterator[Mark]:
    for flight in events.flights:
        peak = flight.severity
        if peak != "unknown":
            peak += f", {flight.peak_g:.1f} g"
        text = f"jump of {flight.airtime_ms:,} ms, landing {peak}"
        yield flight.onset_us, SEVERITIES[flight.severity], text, "c-damper"


def _alarms(stage: Stage, events: StageEvents) -> Iterator[Mark]:
    names = stage.profile.report.names or {}
    for alarm in events.alarms:
        what = f"{alarm.key.replace('_', ' ')}: {names.get(alarm.signal, alarm.signal)}"
        text = f"{what} {alarm.peak:.4g} {alarm.unit}"
        yield alarm.t_us, alarm.level, text, f"c-alarm-{alarm.key}"


def _merged(stage: Stage, found: Iterable[Mark]) -> list[Facts]:
    """Return marks in order of time, one for each place: the worst of those that fall there."""
    places: dict[int, list[Mark]] = {}
    for t_us, level, text, chart in found:
        places.setdefault(int(_x(stage, t_us) * N_MARKS), []).append((t_us, level, text, chart))
    marks = []
    for _, some in sorted(places.items()):
        t_us, level, text, chart = min(some, key=lambda mark: _ORDER.index(mark[1]))
        more = f", and {len(some) - 1} more here" if len(some) > 1 else ""
        marks.append(
            {
                "x": round(_x(stage, t_us), 4),
                "x_s": stage.seconds(t_us),
                "level": level,
                "n": len(some),
                "text": f"km {stage.km(t_us):.1f}: {text}{more}",
                "chart": chart,
            }
        )
    return marks


def _holes(stage: Stage, health: Health, spans: Spans) -> list[Facts]:
    """Return holes as {x0, x1, text, is_loss}; time without power is no loss."""
    texts = {(start, end): gap.cause for gap, _, start, end in health.gaps}
    found = []
    for start_us, end_us in spans:
        cause = texts.get((start_us, end_us))
        text = f"no data for {(end_us - start_us) / 1e6:.3g} s at km {stage.km(start_us):.1f}"
        found.append(
            {
                "x0": round(_x(stage, start_us), 4),
                "x1": round(_x(stage, end_us), 4),
                "text": f"{text}: {cause}" if cause else "power off",
                "is_loss": cause not in (None, "power cut"),
            }
        )
    return found


def _ticks(stage: Stage) -> list[Facts]:
    """Return [{x, text}]: where the stage passed round distances, eight at most."""
    total = float(stage.distance_km[-1])
    if not _has(stage, "wheel_speed"):
        return []
    step = next((s for s in _STEPS_KM if total / s <= 8), _STEPS_KM[-1])
    ticks = []
    for n in range(int(total / step) + 1):
        at = int(np.searchsorted(stage.distance_km, n * step))
        at = min(at, len(stage.grid_us) - 1)
        ticks.append({"x": round(_x(stage, stage.grid_us[at]), 4), "text": f"{n * step:g}"})
    return ticks


def _x(stage: Stage, t_us: Any) -> float:
    whole_us = max(1, stage.end_us - stage.start_us)
    return min(1.0, max(0.0, (int(t_us) - stage.start_us) / whole_us))
