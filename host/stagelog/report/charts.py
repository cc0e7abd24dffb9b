"""The charts of a report: channels over time or over distance, as pyramids the page can zoom."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from stagelog.report.pyramid import build_channel
from stagelog.report.series import Series, Values, silences
from stagelog.report.source import Health
from stagelog.report.stage import GRID_US, Stage
from stagelog.report.tables import Facts

Limits: TypeAlias = Iterable[tuple[float, str]]  # value, "warn" or "bad"
Curve: TypeAlias = tuple[str, Values, Values]  # name, km rising, values
Span: TypeAlias = tuple[float, float]  # from km to km

MAX_BINS = 65536
KM_STEP = 0.01


def chart_over_time(
    chart_id: str, title: str, series: Iterable[Series], stage: Stage, limits: Limits = ()
) -> Facts:
    """Return a chart of Series with one unit over the seconds of a stage.

    series  at least one; taken one after the other, for memory
    limits  [(value, "warn" or "bad")] drawn as horizontal lines
    """
    channels = list(map(partial(_channel, stage), series))
    unit = [channel.pop("unit") for channel in channels][0]
    end_s = (stage.end_us - stage.start_us) / 1e6
    return _chart(chart_id, title, unit, "s", end_s, channels, limits)


def _channel(stage: Stage, one: Series) -> Facts:
    channel = build_channel(one.t_us, one.values, stage.start_us, stage.end_us, MAX_BINS)
    channel["bin"] = channel.pop("bin_us") / 1e6
    gaps = [[stage.seconds(a), stage.seconds(b)] for a, b in silences(one.t_us)]
    return {"name": one.name, "unit": one.unit, "gaps": gaps, **channel}


def chart_over_km(
    chart_id: str,
    title: str,
    unit: str,
    curves: Iterable[Curve],
    gaps: Sequence[Sequence[Span]] = (),
) -> Facts:
    """Return a chart over distance: `curves` are (name, km float64[n] rising, values float64[n]).

    Cars are drawn over each other by distance; a car that stands still shows the range it had
    there. `gaps` are those of each curve, from km to km, that its line does not cross.
    """
    end_km = max(float(km[-1]) for _, km, _ in curves)
    steps = max(1, int(end_km / KM_STEP))
    channels = []
    for number, (name, km, values) in enumerate(curves):
        at = np.minimum((km / KM_STEP).astype(np.int64), steps)
        channel = build_channel(at, values, 0, steps, MAX_BINS)
        channel["bin"] = channel.pop("bin_us") * KM_STEP
        own = [[a, b + KM_STEP] for a, b in gaps[number]] if gaps else []
        channels.append({"name": name, "gaps": own, **channel})
    return _chart(chart_id, title, unit, "km", max(end_km, KM_STEP), channels, ())


def _chart(
    chart_id: str,
    title: str,
    unit: str,
    x_unit: str,
    x1: float,
    channels: list[Facts],
    limits: Limits,
) -> Facts:
    return {
        "id": chart_id,
        "title": title,
        "unit": unit,
        "x_unit": x_unit,
        "x0": 0.0,
        "x1": x1,
        "limits": _lines(limits),
        "channels": channels,
    }


def stage_charts(stage: Stage) -> tuple[list[Facts], dict[str, str]]:
    """Return (charts, aliases): what moves the car first, then every alarm's signals.

    aliases  {id that a row of a table names: id of the chart that draws the signal}
    """
    roles = stage.profile.roles
    groups: list[tuple[str, str, Sequence[str], Sequence[tuple[float, str]]]] = [
        ("speed", "Wheel speed", roles.wheel_speed, ()),
        ("engine", "Engine speed", [roles.engine_speed], ()),
        ("damper", "Damper position, 0 is full droop", roles.damper, ()),
        ("acceleration", "Acceleration", roles.acceleration, ()),
        ("pedals", "Pedal and throttle", [roles.pedal, roles.throttle], ()),
        ("brakes", "Brake pressure", [*roles.brake_pressure, roles.handbrake_pressure], ()),
        ("gear", "Gear", [roles.gear], ()),
    ]
    for name, alarm in stage.profile.alarm.items():
        lines: list[tuple[float, str]] = []
        if alarm.kind in ("above", "below"):
            levels = ((alarm.warning, "warn"), (alarm.critical, "bad"))
            lines = [(value, level) for value, level in levels if value is not None]
        title = name.replace("_", " ").capitalize()
        if alarm.kind != "cooler":  # the radiators have a chart of their own
            groups.append((f"alarm-{name}", title, alarm.signals, lines))
        if alarm.kind == "fan":
            groups.append((f"x-{name}", f"{title}: what was asked for", alarm.x_signals or (), ()))
    pairs = stage.profile.report.radiators
    groups += [
        ("radiators", "Radiators", [name for pair in pairs for name in pair], ()),
        ("flow", "Fuel flow", [roles.fuel_flow], ()),
        ("level", "Fuel senders", roles.fuel_level, ()),
    ]
    charts: list[Facts] = []
    drawn: dict[str, Facts] = {}
    for name, title, signals, limits in groups:
        held = [signal for signal in signals if stage.has(signal)]
        fresh = [signal for signal in held if signal not in drawn]
        if fresh:
            series = filter(None, map(stage.find, fresh))  # holds none while it makes the next
            charts.append(chart_over_time(f"c-{name}", title, series, stage, limits))
            drawn.update(dict.fromkeys(fresh, charts[-1]))
        elif held:
            drawn[held[0]]["limits"] += _lines(limits)
    aliases = {
        f"c-alarm-{name}": drawn[alarm.signals[0]]["id"]
        for name, alarm in stage.profile.alarm.items()
        if alarm.signals[0] in drawn
    }
    return charts, aliases


def _lines(limits: Limits) -> list[Facts]:
    return [{"y": value, "level": level} for value, level in limits]


def kilometres(stage: Stage, n: int = 15_000) -> Facts:
    """Return {step: seconds, km: [...]}: the distance at some n regular times.

    Half a second apart at least: the page draws charts over distance by them.
    """
    step = max(10, len(stage.grid_us) // n)
    km = [round(value, 3) for value in stage.distance_km[::step].tolist()]
    return {"step": step * GRID_US / 1e6, "km": km}


def pauses(stage: Stage, health: Health) -> list[Facts]:
    """Return [{x0, x1, text}]: holes of the log and the time without power, to be shaded."""
    spans = []
    for before, after in zip(stage.key_cycles, stage.key_cycles[1:], strict=False):
        text = "power off"
        if after.off_us is not None:
            text += f" for {after.off_us / 60e6:.0f} min"
        spans.append((before.end_us, after.start_us, text))
    for gap, _, start_us, end_us in health.gaps:
        if start_us is not None and end_us is not None and end_us > start_us:
            spans.append((start_us, end_us, gap.cause))
    return [
        {"x0": round(stage.seconds(a), 3), "x1": round(stage.seconds(b), 3), "text": text}
        for a, b, text in spans
    ]
