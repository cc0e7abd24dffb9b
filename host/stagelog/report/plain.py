"""The report of a log of whose car there is no whole profile: health, traffic, channels, extremes,
limits if a short profile has any, charts; and what a profile would add.

Judges no car: it says what the log holds. With a short profile, or none; with a DBC, or none.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stagelog.dbc import Database
from stagelog.decode import Plan, compile_plan
from stagelog.decode.protocol import protocol_of
from stagelog.events import read_events
from stagelog.model import ERR, EXT, RTR, FrameTable
from stagelog.report import tables as t
from stagelog.report.build import tile, when_text
from stagelog.report.charts import chart_over_time, kilometres, pauses
from stagelog.report.events import rule_marks, title_of
from stagelog.report.health import health, lost_text
from stagelog.report.series import Series, Spans
from stagelog.report.source import Health, Reading
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

MAX_CHARTED = 60  # signals; a page of more is too large to open
FOLD = 25

_ADDS = (
    (("wheel_speed",), "speed and distance, and everything by distance"),
    (("acceleration", "damper", "wheel_speed"), "jumps and landings"),
    (("engine_speed", "engine_torque"), "engine speeds and loads, over-revs"),
    (("gear", "output_torque"), "gear changes, abuse of the gearbox"),
    (("fuel_flow", "fuel_level"), "fuel used, range and leaks"),
    (("diff_temperature",), "heat of the differentials against a model"),
    (("brake_pressure",), "brake use"),
)


@dataclass
class PlainSource:
    """All of one log: see plain_stage_facts.

    traffic   {(bus, is_ext, can_id): (frames, most bytes)}
    missing   {"Message.Signal": {kind: values}} that the frames themselves say are none
    names     what people call signals
    marks     set by the board's button, by a host and by the profile's rules, in order of time
    """

    stage: "PlainStage"
    health: Health
    database: Database
    traffic: dict[tuple[int, bool, int], tuple[int, int]] = field(default_factory=dict)
    missing: dict[str, dict[str, int]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    marks: list[Facts] = field(default_factory=list)


class PlainStage(Stage):
    """A Stage that may have no signal, and no distance: km() is NaN then."""

    def spans_without_signals(self) -> Spans:
        """Return the key cycles: a log without a DBC has a length, too."""
        return [(cycle.start_us, cycle.end_us) for cycle in self.key_cycles] or [(0, 0)]

    @property
    def has_distance(self) -> bool:
        """Return whether wheel speeds give a distance."""
        names = self.profile.roles.wheel_speed
        return any(self.find_valid(name) is not None for name in names)

    def km(self, t_us: int) -> Any:
        """Return the distance at `t_us`, NaN where nothing gives one."""
        if self.has_distance:
            return super().km(t_us)
        return np.full(np.shape(t_us), np.nan) if np.ndim(t_us) else float("nan")


class _Traffic(Reading):
    """Counts identifiers on the way."""

    def __init__(self, database: Database, plan: Plan) -> None:
        super().__init__(database, plan, None, None, 0)
        self.traffic: Counter[int] = Counter()
        self.n_bytes: dict[int, int] = {}
        self.n_errors = 0

    def count(self, frames: FrameTable) -> None:
        """Count the frames of each identifier and bus."""
        is_data = (frames["flags"] & ERR) == 0
        self.n_errors += int(len(frames) - is_data.sum())
        frames = frames[is_data]
        keys = (
            frames["bus"].astype(np.int64) << 30 | (frames["flags"] & EXT).astype(np.int64) << 29
        )
        keys |= frames["can_id"]
        found, at, numbers = np.unique(keys, return_inverse=True, return_counts=True)
        longest = np.zeros(len(found), np.int64)
        held = np.where(frames["flags"] & RTR, 0, frames["n_bytes"])
        np.maximum.at(longest, at, held)
        for key, n, most in zip(found.tolist(), numbers.tolist(), longest.tolist(), strict=True):
            self.traffic[key] += n
            self.n_bytes[key] = max(self.n_bytes.get(key, 0), most)


def read_plain(
    paths: Any, profile: Any, database: Database, title: str = "", buses: Sequence[int] = ()
) -> PlainSource:
    """Return the PlainSource of the logs of one car; `profile` is a short one."""
    plan = compile_plan(database, None, list(buses) or None)
    reading = _Traffic(database, plan)
    reading.add(paths)
    stage = PlainStage(reading.columns, profile, title, reading.key_cycles)
    traffic = {
        (key >> 30, bool(key >> 29 & 1), key & 0x1FFFFFFF): (n, reading.n_bytes[key])
        for key, n in reading.traffic.items()
    }
    names = dict(profile.names)
    said = [event for event in read_events(reading.found) if event["name"] == "mark"]
    marks = sorted(said + rule_marks(stage, said), key=lambda mark: int(mark["t_us"]))
    return PlainSource(stage, reading.health, database, traffic, reading.missing, names, marks)


def no_database() -> Database:
    """Return a Database without a message, for a log of which there is no DBC."""
    return Database(Path("no DBC"), "dbc", "", "", ())


def plain_stage_facts(source: PlainSource, note: str = "") -> Facts:
    """Return the facts of a page, as build.stage_facts does for a car with a whole profile."""
    stage, logger = source.stage, source.health
    limits = _limits(source)
    channels = _channels(source)
    sections = [
        health(stage, logger),
        _traffic(source),
        channels,
        limits,
        _marks(source),
        _adds(source),
    ]
    charts, n_more = _charts(source)
    if n_more and channels:
        channels["lines"].append(f"{n_more} more signals have no chart here; plot draws them")
    return {
        "title": stage.name or "Log",
        "subtitle": f"{when_text(stage)}, {_who(source)}",
        "log": logger.verdict.as_dict(),
        "verdict": _verdict(source, limits, channels),
        "names": source.names,
        "cars": [],
        "tiles": _tiles(source),
        "sections": [section for section in sections if section],
        "charts": charts,
        "aliases": {},
        "marks": [
            {"x": round(stage.seconds(mark["t_us"]), 3), "level": "info", "text": title_of(mark)}
            for mark in source.marks
        ],
        "pauses": pauses(stage, logger),
        "distance": kilometres(stage) if stage.has_distance else None,
        "utc": [
            [stage.seconds(p.start_us), p.t_unix_us / 1e6]
            for p in stage.key_cycles
            if p.t_unix_us is not None
        ],
        "note": note,
    }


def _who(source: PlainSource) -> str:
    path = source.stage.profile.path
    named = source.database.path.name if source.database.messages else "no DBC"
    return f"{f'profile {Path(path).name}' if path else 'no profile'}, {named}"


def _verdict(source: PlainSource, limits: Facts | None, channels: Facts | None) -> Facts:
    rows = [row for table in (limits or {}).get("tables", ()) for row in table["rows"]]
    bad = [row for row in rows if row["level"]]
    worst = "bad" if any(row["level"] == "bad" for row in bad) else "warn" if bad else ""
    n = len(channels["tables"][0]["rows"]) if channels else 0
    said = "Traffic of which there is no DBC"
    if n:
        said = "1 channel" if n == 1 else f"{n} channels"
    elif source.database.messages:
        said = f"No message of {source.database.path.name} is in it"
    n_unknown = sum(row["cells"][4] is None for row in rows)  # its signal has no value
    if n_unknown < len(rows):
        said += f"; {len(bad)} of {len(rows)} limits are exceeded"
        said += f", {n_unknown} cannot be judged" if n_unknown else ""
    elif rows:
        said += f"; {n_unknown} of {len(rows)} limits cannot be judged"
    is_judged = not n_unknown and (n > 0 or not source.database.messages)
    reasons = [t.row(f"{row['cells'][0]} is beyond its limit", "", level=row["level"],
                     x_s=row["x_s"], chart=row["chart"]) for row in bad]  # fmt: skip
    columns = [t.words("why", long=True), t.words("inspect", long=True)]
    return {
        "level": worst or ("good" if source.health.complete is True and is_judged else "warn"),
        "question": "What is in this log?",
        "answer": f"{said}. The car is not judged: that needs a whole profile.",
        "reasons": t.table(columns, reasons, empty="", fold=12),
        "has_work": False,
    }


def _tiles(source: PlainSource) -> list[Facts]:
    logger = source.health
    level = {True: "good", False: "bad", None: "warn"}[logger.complete]
    n_buses = len({bus for bus, *_ in source.traffic})
    lost = lost_text(logger)
    return [
        tile(logger.verdict.kind, f"the log{': ' if lost else ''}{lost}", level),
        tile(f"{logger.n_frames:,}", "frames", frames=logger.n_frames),
        tile(n_buses, "buses", buses=n_buses),
        tile(len(source.traffic), "identifiers", identifiers=len(source.traffic)),
    ]


def _traffic(source: PlainSource) -> Facts | None:
    stage = source.stage
    span_s = sum(c.end_us - c.start_us for c in stage.key_cycles) / 1e6
    rows = []
    buses: dict[int, list[int]] = {}
    ids: dict[int, list[int]] = {}
    for (bus, is_ext, can_id), (n, n_bytes) in sorted(source.traffic.items()):
        shown = f"{can_id:08X}" if is_ext else f"{can_id:03X}"
        name = _message_of(source.database, can_id, is_ext)
        rows.append(t.row(bus, shown, name, n, n / span_s if span_s else None, n_bytes))
        buses.setdefault(bus, []).append(n)
        if is_ext:
            ids.setdefault(bus, []).append(can_id)
    columns = [t.column("bus"), t.words("identifier"), t.words("message")]
    columns += [t.column("frames"), t.column("rate", "Hz"), t.column("longest", "bytes")]
    lines = []
    for bus, numbers in buses.items():
        rate = f", {sum(numbers) / span_s:,.1f} a second" if span_s else ""
        lines.append(
            f"bus {bus}: {sum(numbers):,} frames{rate}, {len(numbers)} identifiers"
            + (f"; {protocol}" if (protocol := protocol_of(ids.get(bus, ()))) else "")
        )
    return {
        "id": "traffic",
        "title": "Traffic",
        "lines": lines,
        "tables": [t.table(columns, rows, title="Identifiers", fold=FOLD)],
    }


def _message_of(database: Database, can_id: int, is_ext: bool) -> str | None:
    for message in database.messages:
        if message.is_ext == is_ext:
            mask = 0x03FFFF00 if message.is_j1939 else 0x1FFFFFFF
            if (message.can_id ^ can_id) & mask == 0:
                return message.name
    return None


def _series(source: PlainSource) -> Iterator[Any]:
    """Yield (message, signal, Series of all values, Series of the valid ones or None)."""
    for name, column in source.stage.decoded.messages.items():
        for signal in column.signals:
            full = f"{name}.{signal}"
            series = source.stage.find(full)
            if series is not None:
                yield name, signal, series, source.stage.find_valid(full)


def _channels(source: PlainSource) -> Facts | None:
    stage = source.stage
    rows = []
    for message, signal, series, valid in _series(source):
        span_s = (series.t_us[-1] - series.t_us[0]) / 1e6
        rate = (len(series.t_us) - 1) / span_s if span_s else None
        cells = [message, signal, series.unit, len(series.t_us), rate]
        x_s = None
        if valid is None:
            cells += [None] * 4 + [len(series.t_us)]
        else:
            low, high = int(np.argmin(valid.values)), int(np.argmax(valid.values))
            x_s = stage.seconds(int(valid.t_us[high]))
            cells += [float(valid.values[low]), float(valid.values.mean())]
            cells += [float(valid.values[high]), x_s, valid.n_out]
        missing = source.missing.get(f"{message}.{signal}", {})
        cells.append(", ".join(f"{n:,} {kind}" for kind, n in missing.items()) or None)
        rows.append(t.row(*cells, x_s=x_s, chart=_chart_id(message, series.unit)))
    shown = {".".join(row["cells"][:2]) for row in rows}
    for name, missing in source.missing.items():
        if name not in shown:  # not one value, but its frames came
            message, signal = name.split(".", 1)
            said = ", ".join(f"{n:,} {kind}" for kind, n in missing.items())
            rows.append(t.row(message, signal, None, 0, *[None] * 6, said))
    if not rows:
        return None
    columns = [t.words("message"), t.words("signal"), t.words("unit"), t.column("values")]
    columns += [t.column("rate", "Hz"), t.column("lowest", digits=3), t.column("mean", digits=3)]
    columns += [t.column("highest", digits=3), t.column("highest after", "s")]
    columns += [t.column("out of range"), t.words("no value")]
    return {
        "id": "channels",
        "title": "Channels and extremes",
        "short": "Channels",
        "note": "Lowest, mean and highest are of the values within the range of DBC and profile.",
        "lines": [],
        "tables": [t.table(columns, rows, title="Channels", fold=FOLD)],
    }


def _limits(source: PlainSource) -> Facts | None:
    """Return the limits of a short profile and how often they were exceeded; None without any."""
    stage, rows = source.stage, []
    for key, alarm in stage.profile.alarm.items():
        for name in alarm.signals:
            series = stage.find_valid(name)
            pairs = (("critical", alarm.critical, "bad"), ("warning", alarm.warning, "warn"))
            for word, limit, level in pairs:
                if limit is None:
                    continue
                what = f"{key.replace('_', ' ')}: {name}"
                cells = [what, word, limit, alarm.unit]
                if series is None:
                    rows.append(t.row(*cells, None, None, None))
                    continue
                values = series.values if alarm.kind == "above" else -series.values
                beyond = values > (limit if alarm.kind == "above" else -limit)
                first = int(np.argmax(beyond)) if beyond.any() else None
                x_s = None if first is None else stage.seconds(int(series.t_us[first]))
                worst = float(series.values[int(np.argmax(values))])
                held_s = series.total_s(beyond)
                chart = _chart_id(_home(stage, name), series.unit)
                shown = level if first is not None else ""
                rows.append(t.row(*cells, worst, held_s, x_s, level=shown, x_s=x_s, chart=chart))
    if not rows:
        return None
    columns = [t.words("limit"), t.words("level"), t.column("at", digits=3), t.words("unit")]
    columns += [t.column("worst", digits=3), t.column("beyond for", "s")]
    columns += [t.column("first after", "s")]
    title = "Limits of the profile"
    return {"id": "limits", "title": title, "short": "Limits", "tables": [t.table(columns, rows)]}


def _marks(source: PlainSource) -> Facts | None:
    """Return the marks of the log, None without any."""
    stage, rows = source.stage, []
    for mark in source.marks:
        x_s = stage.seconds(mark["t_us"])
        at_km = stage.km(mark["t_us"]) if stage.has_distance else None
        rows.append(t.row(mark["text"], mark["state"], x_s, at_km, x_s=x_s))
    if not rows:
        return None
    columns = [t.words("mark"), t.words("set by"), t.column("after", "s"), t.column("at", "km", 2)]
    found = [t.table(columns, rows, fold=FOLD)]
    return {"id": "marks", "title": "Marks", "short": "Marks", "tables": found}


def _home(stage: Stage, signal: str) -> str:
    tables = stage.decoded.messages.items()
    return next(name for name, column in tables if signal in column.signals)


def _adds(source: PlainSource) -> Facts | None:
    """Return what a profile would add, and what for each the DBC lacks."""
    roles = source.stage.profile.roles
    held = {role for role in roles.__dataclass_fields__ if getattr(roles, role)}
    lines = []
    for needed, what in _ADDS:
        lacking = [role.replace("_", " ") for role in needed if role not in held]
        text = f": no signal was found for {', '.join(lacking)}" if lacking else ""
        lines.append(f"{what}{text}")
    lines.append("limits and marks of your own: [alarm.NAME] and [mark.NAME] of a short profile")
    if not source.database.messages:
        lines.insert(0, "first a DBC: 'stagelog dbc new --log LOG' writes one to begin with")
    return {
        "id": "adds",
        "title": "What a profile would add",
        "short": "Profile",
        "note": "'stagelog profile new --dbc DBC --log LOG' writes a short profile to begin with.",
        "lines": lines,
    }


def _chart_id(message: Any, unit: str) -> str:
    safe = "".join(c if c.isalnum() else "-" for c in f"{message}-{unit}")
    return f"c-{safe}"


def _charts(source: PlainSource) -> tuple[list[Facts], int]:
    """Return (charts, number of signals without one): a chart for each message and unit."""
    groups: dict[tuple[str, str], list[Series]] = {}
    n_charted = n_more = 0
    for message, _, series, valid in _series(source):
        if valid is None or not len(valid.values):
            continue
        if n_charted >= MAX_CHARTED:
            n_more += 1
            continue
        n_charted += 1
        groups.setdefault((message, series.unit), []).append(valid)
    stage = source.stage
    charts = [
        chart_over_time(_chart_id(message, unit), message, group, stage, _lines(stage, group))
        for (message, unit), group in groups.items()
    ]
    return charts, n_more


def _lines(stage: Stage, group: Any) -> list[tuple[float, str]]:
    """Return the limits of the signals in a chart."""
    names = {series.name for series in group}
    return [
        (limit, level)
        for alarm in stage.profile.alarm.values()
        if names.intersection(alarm.signals)
        for limit, level in ((alarm.warning, "warn"), (alarm.critical, "bad"))
        if limit is not None
    ]
