"""What each signal with a limit did, grouped by the sections of the profile's components.

Time beyond a limit counts samples of the raw log without debounce or gates; impossible samples
are left out and counted.
"""

from typing import Any

import numpy as np

from stagelog.profile.limits import Alarm
from stagelog.report import tables as t
from stagelog.report.event_tables import limit_numbers, limit_text
from stagelog.report.events import StageEvents, beyond_s
from stagelog.report.series import Series
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

_TABLES = ("above", "below", "below_table", "above_table", "cooler")
NOTE = "Time beyond a limit counts samples of the raw log, without debounce or gates."


def limit_table(stage: Stage, section: str, events: StageEvents) -> Facts | None:
    """Return the table of a section's signals, None if the log holds none of them.

    events  events.StageEvents, whose alarms give the levels
    """
    rows: list[Facts] = []
    done: set[tuple[str, str]] = set()
    for component in stage.profile.report.component:
        if component.section != section:
            continue
        for key in component.alarms:
            rows += _rows(stage, key, done, events)
    return _table(rows) if rows else None


def other_limits(stage: Stage, events: StageEvents) -> Facts | None:
    """Return the section of signals whose alarms belong to no component, or None."""
    known = {key for c in stage.profile.report.component for key in c.alarms}
    others = [key for key in stage.profile.alarm if key not in known]
    rows = [row for key in others for row in _rows(stage, key, set(), events)]
    if not rows:
        return None
    return {
        "id": "limits",
        "title": "Other limits",
        "short": "Limits",
        "note": NOTE,
        "tables": [_table(rows)],
    }


def _rows(stage: Stage, key: str, done: set[tuple[str, str]], events: StageEvents) -> list[Facts]:
    alarm = stage.profile.alarm[key]
    if alarm.kind not in _TABLES:
        return []
    rows = []
    for name in alarm.signals:
        series = stage.find_valid(name)
        if series is not None and (name, alarm.kind) not in done:
            done.add((name, alarm.kind))
            rows.append(_row(stage, key, alarm, series, events))
    return rows


def _row(stage: Stage, key: str, alarm: Alarm, series: Series, events: StageEvents) -> Facts:
    values = series.values
    worst = int(np.argmin(values) if alarm.kind.startswith("below") else np.argmax(values))
    beyond: list[float | None] = [None, None]
    if alarm.kind in ("above", "below"):
        beyond = list(beyond_s(alarm, series))
    level = events.level_of(key, series.name)
    at_us = int(series.t_us[worst])
    limits: list[Any] = [limit_text(alarm, one) for one in ("warn", "bad")]
    critical, *unit_and_kind = limit_numbers(alarm, "bad")
    limits += [limit_numbers(alarm, "warn")[0], critical, *unit_and_kind]
    cells: list[Any] = [series.name, series.unit, float(values.min()), float(values.mean())]
    cells += [float(values.max()), stage.km(at_us), *limits, *beyond, series.n_out or None]
    return t.row(*cells, level=level, x_s=stage.seconds(at_us), chart=f"c-alarm-{key}")


def _table(rows: list[Facts]) -> Facts:
    columns = [t.words("signal"), t.words("unit"), t.column("lowest"), t.column("mean")]
    columns += [t.column("highest"), t.column("worst at", "km", 2)]
    columns += [t.words("warning", only="page"), t.words("critical", only="page")]
    columns += [t.column("warning", only="json"), t.column("critical", only="json")]
    columns += [t.words("limit unit", only="json"), t.words("limit kind", only="json")]
    columns.append(t.column("beyond warning", "s"))
    columns += [t.column("beyond critical", "s"), t.column("left out", "samples")]
    if not any(row["cells"][-1] for row in rows):
        columns.pop()
        for row in rows:
            row["cells"].pop()
    order = ("bad", "warn", "good", "")
    rows.sort(key=lambda row: order.index(row["level"]))
    return t.table(columns, rows, title="Limits", fold=10)
