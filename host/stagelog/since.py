"""Since when does a signal exceed a value? Over all stages and cars of a decoded archive.

    "DiffOilTempR > 120"    "DRV_Temp.DiffOilTempR >= 120 degC for 5 s"    "BattVolt < 12.5 V"

Owns the expression and its spans. A value holds until the next sample; where the signal falls
silent (see report.series), a span ends with its last sample. The values are those of `query`.
Fails with UsageError (an expression or a signal that cannot be) and with what query.Archive fails
with.
"""

import difflib
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from stagelog.errors import UsageError
from stagelog.query import Archive, literal, quoted
from stagelog.report.series import Mask, Series, Spans, silent_after_us
from stagelog.report.strips import Trace

_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_FORM = re.compile(
    rf"\s*(?P<name>\w+(?:\.\w+)?)\s*(?P<compare>>=|<=|==|!=|>|<)\s*(?P<limit>{_NUMBER})"
    rf"\s*(?P<unit>[^\s\d]\S*)??(?:\s+for\s+(?P<lasts>{_NUMBER})\s*(?P<time>ms|s|min|h))?\s*"
)
_TIMES_US = {"ms": 1e3, "s": 1e6, "min": 60e6, "h": 3600e6}
_UNIT_WORDS = {"c": "degc", "°c": "degc", "kph": "km/h", "kmh": "km/h", "percent": "%", "pct": "%"}
_BINS = 800  # of the longest session in the picture


@dataclass(frozen=True, slots=True)
class Condition:
    """A signal beyond a limit, for at least `lasts_us`; `message` is "" if none is named."""

    message: str
    signal: str
    compare: str
    limit: float
    unit: str = ""
    lasts_us: int = 0

    @property
    def text(self) -> str:
        """Return the condition as it is written."""
        name = f"{self.message}.{self.signal}" if self.message else self.signal
        text = f"{name} {self.compare} {self.limit:g} {self.unit}".rstrip()
        return text + (f" for {self.lasts_us / 1e6:g} s" if self.lasts_us else "")

    @property
    def falls(self) -> bool:
        """Return whether the lowest value is the worst one."""
        return self.compare in ("<", "<=")

    def holds(self, values: Any) -> Any:
        """Return where some values fulfil it."""
        return _COMPARE[self.compare](values, self.limit)


class Key(NamedTuple):
    """Whose values: those of one signal from one bus of one logger in one stage; `source` is the
    J1939 address that sent it, None for other messages.
    """

    event: str
    car: str
    stage: str
    logger: str
    bus: int
    source: int | None


Mark: TypeAlias = tuple[int, str]  # t_us, text


@dataclass(frozen=True, slots=True)
class Seen:
    """What one logger saw of the condition in a stage.

    t_unix_us    UTC of the stage's first value, None where no clock was set
    first_us     first moment of the condition since power-on; `first_unix_us` in UTC
    n_times, lasted_s   how often it came true, and for how long in all
    worst        lowest or highest value of the stage, whichever is nearer to the condition
    """

    key: Key
    t_unix_us: int | None
    first_us: int | None
    first_unix_us: int | None
    n_times: int
    lasted_s: float
    worst: float

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        values = asdict(self)
        values.pop("key")
        return {**self.key._asdict(), **values}


def parse(text: str) -> Condition:
    """Return the Condition of a text; UsageError if it is none."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(
            f'"{text}" is no condition',
            'write a signal, a comparison and a number: "DiffOilTempR > 120 degC for 5 s"',
        )
    message, _, signal = match["name"].rpartition(".")
    lasts_us = float(match["lasts"]) * _TIMES_US[match["time"]] if match["lasts"] else 0.0
    limit = float(match["limit"])
    if lasts_us < 0 or not np.isfinite(limit) or not np.isfinite(lasts_us):
        raise UsageError(f'"{text}" has a number that cannot be', "write another one")
    return Condition(
        message, signal, match["compare"], limit, match["unit"] or "", round(lasts_us)
    )


def resolve(opened: Archive, wanted: Condition) -> Condition:
    """Return the condition with the message and the unit of its signal; UsageError with what is
    there if the archive has no such signal, if several have its name, or in another unit.
    """
    units = _units(opened)
    found = sorted(
        name for name in units if name[1] == wanted.signal and wanted.message in ("", name[0])
    )
    if not found:
        known = [f"{message}.{signal}" for message, signal in units]
        plain = {signal: signal for _, signal in units} | {name: name for name in known}
        folded = {name.lower(): name for name in plain}
        asked = wanted.signal if not wanted.message else f"{wanted.message}.{wanted.signal}"
        near = difflib.get_close_matches(asked.lower(), folded, 3, 0.6)
        hint = " or ".join(folded[name] for name in near)
        hint = f"did you mean {hint}?" if near else "'stagelog query --view' lists them"
        if not units:
            hint = "nothing is decoded here yet: add --dbc"
        raise UsageError(f'no signal "{asked}" is decoded in {opened.root}', hint)
    if len(found) > 1:
        listed = " or ".join(".".join(name) for name in found)
        raise UsageError(f'"{wanted.signal}" stands in several messages', f"name one: {listed}")
    [(message, signal)] = found
    unit = _one_unit(wanted, units[message, signal])
    return Condition(message, signal, wanted.compare, wanted.limit, unit, wanted.lasts_us)


def _units(opened: Archive) -> dict[tuple[str, str], set[str]]:
    """Return {(message, signal): units} of what is decoded."""
    found: dict[tuple[str, str], set[str]] = {}
    for message in opened.files:
        for column in opened.signals(message):
            found.setdefault((message, column.name), set()).add(column.unit)
    return found


def _one_unit(wanted: Condition, units: set[str]) -> str:
    if len(units) > 1:
        listed = " and ".join(sorted(unit or "none" for unit in units))
        raise UsageError(
            f"{wanted.signal} has the units {listed} in the DBCs of these cars",
            "name a folder of one car with --archive",
        )
    [unit] = units
    if wanted.unit and _plain_unit(wanted.unit) != _plain_unit(unit):
        raise UsageError(
            f"{wanted.signal} is in {unit or 'no unit'}, not in {wanted.unit}",
            f"write the number in {unit}" if unit else "leave the unit out",
        )
    return unit


def _plain_unit(unit: str) -> str:
    return _UNIT_WORDS.get(unit.lower(), unit.lower())


def find_since(opened: Archive, condition: Condition) -> list[Seen]:
    """Return what each logger saw of the condition in each stage, in the order in which they were
    driven; of a stage without a clock by its name.

    condition  of resolve()
    """
    found: dict[Key, list[Seen]] = {}
    for key, session, t_unix_us, low, high in _sessions(opened, condition):
        worst = low if condition.falls else high
        nothing = Seen(key, t_unix_us, None, None, 0, 0.0, worst)
        may_hold = condition.compare in ("==", "!=") or bool(condition.holds(worst))
        seen = _seen(opened, condition, nothing, session) if may_hold else nothing
        found.setdefault(key, []).append(seen)
    rows = [_joined(condition, some) for some in found.values()]
    return sorted(rows, key=lambda one: (one.t_unix_us or 0, one.key[:5]))


def _sessions(
    opened: Archive, condition: Condition
) -> Iterator[tuple[Key, str, int | None, float, float]]:
    """Yield (Key, session, UTC of its first value, lowest, highest value) of each session."""
    signal = quoted(condition.signal)
    _, rows = opened.rows(
        f"select {_keys(opened, condition)}, epoch_us(min(time)), min({signal}), max({signal}) "
        f"from {quoted(condition.message)} where {signal} is not null "
        "group by all order by min(t_us), session"
    )
    for *key, t_unix_us, low, high in rows:
        yield _key(key), key[3], t_unix_us, low, high


def _keys(opened: Archive, condition: Condition) -> str:
    """Return the columns of a Key as SQL, the session in the place of the logger."""
    there = opened.sql(f"select * from {quoted(condition.message)} limit 0").columns
    names = ("event", "car", "stage", "session", "bus", "source")
    return ", ".join(name if name in there else f"null as {name}" for name in names)


def _key(columns: Sequence[Any]) -> Key:
    event, car, stage, session, bus, source = columns
    return Key(event or "", car or "", stage or "", session.partition("-")[0], bus, source)


def _seen(opened: Archive, condition: Condition, nothing: Seen, session: str) -> Seen:
    """Return what one session holds of the condition."""
    signal, key = quoted(condition.signal), nothing.key
    source = "" if key.source is None else f"and source = {int(key.source)} "
    columns = opened.sql(
        f"select t_us, {signal}::DOUBLE as value, epoch_us(time) as t_unix_us "
        f"from {quoted(condition.message)} where session = {literal(session)} "
        f"and bus = {int(key.bus)} {source}and {signal} is not null order by t_us"
    ).fetchnumpy()
    series = Series(condition.signal, condition.unit, columns["t_us"], columns["value"])
    spans = find_spans(series, condition.holds(series.values), condition.lasts_us)
    if not spans:
        return nothing
    first = int(np.searchsorted(series.t_us, spans[0][0]))
    has_clock = nothing.t_unix_us is not None
    return Seen(
        key,
        nothing.t_unix_us,
        spans[0][0],
        int(columns["t_unix_us"][first]) if has_clock else None,
        len(spans),
        sum(end_us - start_us for start_us, end_us in spans) / 1e6,
        nothing.worst,
    )


def find_spans(series: Series, holds: Mask, lasts_us: int = 0) -> Spans:
    """Return the spans (start_us, end_us) in which a mask is true without a break, each at least
    `lasts_us` long.
    """
    t_us = series.t_us
    if not len(t_us):
        return []
    steps_us = np.diff(t_us)
    is_next = steps_us <= silent_after_us(t_us)
    held_us = np.append(np.where(is_next, steps_us, 0), 0)
    goes_on = holds[:-1] & holds[1:] & is_next
    starts = np.flatnonzero(holds & ~np.append([False], goes_on))
    ends = np.flatnonzero(holds & ~np.append(goes_on, [False]))
    spans = zip(t_us[starts].tolist(), (t_us[ends] + held_us[ends]).tolist(), strict=True)
    return [(start_us, end_us) for start_us, end_us in spans if end_us - start_us >= lasts_us]


def _joined(condition: Condition, some: Sequence[Seen]) -> Seen:
    """Return the sessions of one stage as one."""
    ordered = sorted(some, key=lambda one: one.t_unix_us or 0)
    hit = next((one for one in ordered if one.n_times), None)
    worst = (min if condition.falls else max)(one.worst for one in some)
    return Seen(
        ordered[0].key,
        min((one.t_unix_us for one in some if one.t_unix_us is not None), default=None),
        None if hit is None else hit.first_us,
        None if hit is None else hit.first_unix_us,
        sum(one.n_times for one in some),
        round(sum(one.lasted_s for one in some), 3),
        worst,
    )


def strips_of(
    opened: Archive, condition: Condition, rows: Sequence[Seen]
) -> tuple[list[list[Trace]], list[Mark]]:
    """Return a strip for each car, and where each stage begins: what was recorded stands one stage
    after the other, those of several cars above each other.

    rows  of find_since()
    """
    found = _binned(opened, condition)
    stages = dict.fromkeys(
        (one.key.event, one.key.stage) for one in rows
    )  # (event, stage), in order
    strips: dict[str, list[Trace]] = {}
    marks, start_us = [], 0
    for event, stage in stages:
        longest_us = 0
        for one in rows:
            key = one.key
            if (key.event, key.stage) != (event, stage):
                continue
            at_us = 0
            for series in found.get(key, ()):
                t_us = series.t_us - series.t_us[0] + start_us + at_us
                trace = Trace(_label(key, rows), condition.unit, t_us, series.values)
                strips.setdefault(key.car, []).append(trace)
                at_us += int(series.t_us[-1] - series.t_us[0])
            longest_us = max(longest_us, at_us)
        marks.append((start_us, stage))
        start_us += longest_us
    return [strips[car] for car in sorted(strips)], marks


def _label(key: Key, rows: Sequence[Seen]) -> str:
    """Return the name of a line: its car, with the logger and the bus where it has several."""
    own = [one.key for one in rows if one.key.car == key.car]
    words = [key.car]
    if len({each.logger for each in own}) > 1:
        words.append(key.logger)
    if len({(each.bus, each.source) for each in own}) > 1:
        words.append(f"can{key.bus}" + (f" from {key.source}" if key.source is not None else ""))
    return " ".join(words)


def _binned(opened: Archive, condition: Condition) -> dict[Key, list[Series]]:
    """Return the lowest and the highest values of each logger's sessions, at most 2 * _BINS points
    of each session.
    """
    signal, message = quoted(condition.signal), quoted(condition.message)
    _, [(longest_us,)] = opened.rows(
        f"select max(span) from (select max(t_us) - min(t_us) as span from {message} "
        f"where {signal} is not null group by session, bus)"
    )
    step_us = max(1, int(longest_us or 0) // _BINS)
    _, rows = opened.rows(
        f"select {_keys(opened, condition)}, min(time) as start, t_us // {step_us} as bin, "
        f"arg_min(t_us, {signal}), min({signal}), arg_max(t_us, {signal}), max({signal}) "
        f"from {message} where {signal} is not null group by all order by start, session, bin"
    )
    points: dict[tuple[Key, str], list[tuple[int, float]]] = {}
    for *key, _, _, low_us, low, high_us, high in rows:
        own = points.setdefault((_key(key), key[3]), [])
        own += sorted({(low_us, low), (high_us, high)})
    found: dict[Key, list[Series]] = {}
    for (whose, _), some in points.items():
        t_us = np.array([each[0] for each in some], np.int64)
        values = np.array([each[1] for each in some], np.float64)
        series = Series(condition.signal, condition.unit, t_us, values)
        found.setdefault(whose, []).append(series)
    return found


def answers(condition: Condition, rows: Sequence[Seen]) -> dict[str, str]:
    """Return {car: since when, in words}."""
    found: dict[str, str] = {}
    unit = f" {condition.unit}" if condition.unit else ""
    side = "lowest" if condition.falls else "highest"
    for car in sorted({one.key.car for one in rows}):
        own = [one for one in rows if one.key.car == car]
        hits = [number for number, one in enumerate(own) if one.n_times]
        extreme = min if condition.falls else max
        if not hits:
            worst = extreme(one.worst for one in own)
            found[car] = f"never, {side} {worst:.6g}{unit}"
            continue
        first, before = own[hits[0]], own[: hits[0]]
        text = f"since {first.key.event} {first.key.stage}, {side} there {first.worst:.6g}{unit}"
        if before:
            worst = extreme(one.worst for one in before)
            n = len({one.key[:3] for one in before})
            text += f"; before, in {n} stage{'s' * (n != 1)}, {worst:.6g}{unit}"
        found[car] = text
    return found
