"""Component life: what this log adds to hours, km, landings and over-temperature of the car."""

from stagelog.events.reading import Summary
from stagelog.report import tables as t
from stagelog.report.events import StageEvents, beyond_s
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

_SEVERITIES = ("light", "medium", "hard", "severe")


def life(stage: Stage, events: StageEvents) -> Facts | None:
    """Return the section. Sums over several logs of a car are the life of its components."""
    lives = events.lives
    lines = _lines(stage, lives)
    tables = [x for x in (_over_temperature(stage), _counters(lives)) if x]
    if not lines and not tables:
        return None
    return {
        "id": "life",
        "title": "Component life",
        "short": "Life",
        "note": "What this log adds. Give a folder of several stages for their sum.",
        "lines": lines,
        "tables": tables,
    }


def _lines(stage: Stage, lives: Summary) -> list[str]:
    driven_km = float(stage.distance_km[-1])
    lines: list[str] = [t.line(f"{driven_km:.1f} km driven", driven_km=driven_km)]
    if not lives:
        return lines
    engine_s, power_s = lives.get("engine_s", (0, 0))
    text = f"engine {engine_s / 3600:.2f} h, power {power_s / 3600:.2f} h"
    lines.append(t.line(text, engine_h=engine_s / 3600, power_h=power_s / 3600))
    counts = {s: lives.get(f"landings_{s}", (0, 0))[0] for s in _SEVERITIES}
    landings = [f"{n} {severity}" for severity, n in counts.items()]
    peak_g = lives.get("landings_light", (0, 0))[1] / 100
    flights, longest_ms = lives.get("flights", (0, 0))
    if flights:
        text = f"{flights} landings: {', '.join(landings)}; highest peak {peak_g:.1f} g, "
        text += f"longest flight {longest_ms:,} ms"
        numbers: dict[str, float] = {f"landings_{severity}": n for severity, n in counts.items()}
        numbers |= {"landings": flights, "highest_peak_g": peak_g, "longest_flight_ms": longest_ms}
        lines.append(t.line(text, **numbers))
    else:
        lines.append(t.line("no landing", landings=0))
    shifts, abuses = lives.get("shifts", (0, 0))
    text = f"{shifts:,} gear changes, {abuses} handbrake abuses"
    lines.append(t.line(text, gear_changes=shifts, handbrake_abuses=abuses))
    return lines


def _over_temperature(stage: Stage) -> Facts | None:
    rows = []
    for component in stage.profile.report.component:
        for key in component.alarms:
            alarm = stage.profile.alarm[key]
            if alarm.kind != "above" or alarm.unit != "degC":
                continue
            for name in alarm.signals:
                series = stage.find_valid(name)
                if series is None:
                    continue
                warning, critical = (s / 60 for s in beyond_s(alarm, series))
                level = "bad" if critical else "warn" if warning else "good"
                cells = (component.name, name, alarm.warning, alarm.critical, warning, critical)
                rows.append(t.row(*cells, level=level, chart=f"c-alarm-{key}"))
    if not rows:
        return None
    rows.sort(key=lambda row: -row["cells"][4])
    columns = [t.words("component"), t.words("signal"), t.column("warning", "degC", 0)]
    columns += [t.column("critical", "degC", 0), t.column("over warning", "min", 2)]
    columns.append(t.column("over critical", "min", 2))
    return t.table(columns, rows, title="Over-temperature", fold=10)


def _counters(lives: Summary) -> Facts | None:
    """Return the counters as the car keeps them on board, for sums made elsewhere."""
    from slog.event_names import SUMMARY_ITEMS

    rows = [
        t.row(
            item,
            lives[item][0],
            unit or None,
            meaning,
            lives[item][1],
            ", ".join(filter(None, more)),
        )
        for item, unit, meaning, *more in SUMMARY_ITEMS
        if item in lives
    ]
    if not rows:
        return None
    columns = [t.words("counter"), t.column("value", "", key="value"), t.words("unit")]
    columns += [
        t.words("meaning", long=True),
        t.column("second value", key="extra"),
        t.words("its meaning", long=True),
    ]
    return t.table(columns, rows, title="Counters, as the car keeps them on board", fold=0)
