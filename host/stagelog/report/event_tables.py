"""Exceedances, other events, sensor faults and the car's own events as sections."""

from stagelog.events import read_events
from stagelog.events.compare import Disagreement
from stagelog.profile.limits import Alarm
from stagelog.report import tables as t
from stagelog.report.events import AFTER_S, BEFORE_S, SINGLE, Episode, StageEvents, title_of
from stagelog.report.source import Health
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

FOLD = 25
FAULTS = {
    "implausible": "impossible value",
    "stuck": "stuck",
    "status": "reports itself as faulty",
    "stale": "silent",
}


def exceedances(stage: Stage, events: StageEvents) -> Facts:
    """Return the alarms: critical first, then in order of time."""
    columns = [
        t.words("what"),
        t.words("signal"),
        t.words("level", key="severity"),
        t.column("at", "km", 2),
        t.column("after", "min"),
        t.column("for", "s"),
        t.words("ended"),
        t.column(f"{BEFORE_S} s before", key="before"),
        t.column("worst", key="worst"),
        t.column(f"{AFTER_S} s after", key="after"),
        t.words("unit"),
        t.words("limit", only="page"),
        t.column("limit", key="limit", only="json"),
        t.words("limit unit", only="json"),
        t.words("limit kind", only="json"),
        t.column("speed", "km/h", 0),
        t.column("engine", "rpm", 0),
    ]
    ordered = sorted(events.alarms, key=lambda alarm: (alarm.level != "bad", alarm.t_us))
    rows = []
    for alarm in ordered:
        x_s = stage.seconds(alarm.t_us)
        cells = (
            alarm.key.replace("_", " "),
            alarm.signal,
            "critical" if alarm.level == "bad" else "warning",
            stage.km(alarm.t_us),
            x_s / 60,
            alarm.lasted_s,
            alarm.end_us is not None,
            alarm.before,
            alarm.peak,
            alarm.after,
            alarm.unit,
            limit_text(stage.profile.alarm.get(alarm.key), alarm.level),
            *limit_numbers(stage.profile.alarm.get(alarm.key), alarm.level),
            alarm.speed_kmh,
            alarm.engine_rpm,
        )
        rows.append(t.row(*cells, level=alarm.level, x_s=x_s, chart=f"c-alarm-{alarm.key}"))
    found = [t.table(columns, rows, empty="No limit was exceeded.", fold=FOLD)]
    if len(rows) > FOLD:
        found.insert(0, _by_alarm(stage, ordered))
    return {
        "id": "exceedances",
        "title": "Exceedances",
        "note": "Limits, debounce and gates are those of the car's profile; how long, worst, "
        "before and after are those of the raw signal. A click shows the moment in the charts.",
        "tables": found,
    }


def _by_alarm(stage: Stage, ordered: list[Episode]) -> Facts:
    """Return one row for each alarm and signal: how often, how long, from where."""
    groups: dict[tuple[str, str], list[Episode]] = {}
    for alarm in ordered:
        groups.setdefault((alarm.key, alarm.signal), []).append(alarm)
    rows = []
    for (key, signal), some in groups.items():
        level = "bad" if any(a.level == "bad" for a in some) else "warn"
        seconds = sum(a.lasted_s for a in some)
        first = min(some, key=lambda a: a.t_us)
        cells = (key.replace("_", " "), signal, len(some), seconds, stage.km(first.t_us))
        x_s = stage.seconds(first.t_us)
        rows.append(t.row(*cells, level=level, x_s=x_s, chart=f"c-alarm-{key}"))
    columns = [t.words("what"), t.words("signal"), t.column("times"), t.column("together", "s")]
    return t.table([*columns, t.column("first at", "km", 2)], rows, title="By limit")


def limit_numbers(alarm: Alarm | None, level: str) -> tuple[float | None, str | None, str | None]:
    """Return the limit of a level with its unit and what kind of limit it is."""
    if alarm is None:
        return None, None, None
    is_critical = level == "bad" and alarm.kind != "fan"  # two dead fans, each by the same limit
    unit = "%" if alarm.kind == "cooler" else alarm.unit  # of the best cooler
    return alarm.critical if is_critical else alarm.warning, unit, alarm.kind


def limit_text(alarm: Alarm | None, level: str) -> str | None:
    """Return the limit that a level of an alarm stands for, in a few words."""
    if alarm is None:
        return None
    limit = alarm.critical if level == "bad" else alarm.warning
    if alarm.kind == "fan":
        two = "two " if level == "bad" else ""
        return f"{two}< {alarm.warning:g} {alarm.unit} at > {alarm.x_limit:g} % duty"
    if limit is None:
        return None
    value = f"{limit:g} {alarm.unit}"
    return {
        "above": f"> {value}",
        "below": f"< {value}",
        "rate": f"> {value}",
        "time_to_limit": f"{alarm.limit or 0:g} degC within {value}",
        "below_table": f"{value} below table",
        "above_table": f"{value} above table",
        "drop": f"{value} lost",
        "difference": f"> {value} off {alarm.x_signal}",
        "cooler": f"< {limit:g} % of the best",
    }.get(alarm.kind, value)


def others(stage: Stage, events: StageEvents) -> Facts | None:
    """Return single events: roll-over, stuck, refuelling and so on."""
    rows = []
    for event in events.singles:
        _, level, key, unit = SINGLE[event["name"]]
        title = title_of(event)
        x_s = stage.seconds(event["t_us"])
        at_km = stage.km(event["t_us"])
        rows.append(t.row(title, at_km, x_s / 60, event.get(key), unit, level=level, x_s=x_s))
    if not rows:
        return None
    columns = [t.words("what"), t.column("at", "km", 2), t.column("after", "min")]
    columns += [t.column("value", "", 1, key="value"), t.words("unit")]
    found = t.table(columns, rows, fold=10)
    return {"id": "others", "title": "Other events", "short": "Other", "tables": [found]}


def sensors(stage: Stage, events: StageEvents) -> Facts | None:
    """Return the faults of sensors and messages."""
    if not events.faults:
        return None
    rows = []
    for fault in events.faults:
        x_s = stage.seconds(fault["t_us"])
        end_us = fault["end_us"]
        lasted_s = None if end_us is None else (end_us - fault["t_us"]) / 1e6
        lasted = "to the end" if lasted_s is None else lasted_s
        state = FAULTS.get(fault["state"], fault["state"])
        numbers = (lasted_s, lasted_s is not None)
        cells = (fault["what"], state, stage.km(fault["t_us"]), x_s / 60, lasted, *numbers)
        rows.append(t.row(*cells, level="warn", x_s=x_s))
    columns = [t.words("signal or message"), t.words("fault"), t.column("at", "km", 2)]
    columns += [t.column("after", "min"), t.column("for", "s", only="page")]
    columns += [t.column("for", "s", only="json"), t.column("ended", only="json")]
    return {
        "id": "sensors",
        "title": "Sensor faults",
        "short": "Sensors",
        "note": "A faulty signal is never compared with a limit.",
        "tables": [t.table(columns, rows, fold=FOLD)],
    }


def agreement(stage: Stage, disagreed: list[Disagreement] | None, health: Health) -> Facts:
    """Return how the events recorded on board compare with those of the raw log."""
    made = {"id": "agreement", "title": "Car and laptop", "lines": health.not_compared}
    if disagreed is None and health.not_compared:
        return made | {"note": "None of the car's events can be compared; the reasons are below."}
    if disagreed is None:
        return made | {
            "note": "The car recorded no events on board: it had no signal table, or the log is "
            "not this logger's. All events here are the laptop's."
        }
    if not disagreed:
        return made | {
            "note": f"All {health.n_compared:,} of {health.n_said:,} events of the car that can "
            "be compared are found again in the raw log, and no other."
        }
    table = (
        "" if health.same_table else "The car watched ANOTHER SIGNAL TABLE than this profile's. "
    )
    rows = []
    for one in disagreed:
        (event,) = read_events([event for event in (one.car or one.host,) if event])
        x_s = stage.seconds(event["t_us"])
        cells = (one.what, event["name"], event["state"], stage.km(event["t_us"]))
        rows.append(t.row(*cells, level="warn", x_s=x_s))
    columns = [t.words("who"), t.words("event"), t.words("state"), t.column("at", "km", 2)]
    return made | {
        "title": "Car and laptop disagree",
        "short": "Car and laptop",
        "note": f"{table}{len(disagreed):,} events differ; the car recorded {health.n_said:,} on "
        "board. All numbers of this report are the laptop's.",
        "tables": [t.table(columns, rows, fold=FOLD)],
    }
