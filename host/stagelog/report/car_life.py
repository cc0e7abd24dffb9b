"""The life of a car's parts over all its stages: sums since each part was new or was replaced.

    archive/replaced.jsonl    a line for each replacement: car, part, from which stage or time on

Owns these lines and the sums; what one stage took is in lives. Two loggers of a car saw the same
drive: of each figure that of the logger that saw most counts, none is added twice. Fails with
OutputError (cannot write).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stagelog.archive.lines import add_line, load_lines
from stagelog.report.lives import SEVERITIES, StageLife

REPLACED = "replaced.jsonl"
SCHEMA = "stagelog.replaced/1"


@dataclass(frozen=True, slots=True)
class Replacement:
    """A part that was replaced by a new one: it counts from a stage on, or from a time.

    at_stage    (event, stage), None if a time is given
    at_unix_us  UTC; of a stage that was not driven yet, when it was recorded
    is_undone   takes the same replacement back
    """

    car: str
    place: str
    at_stage: tuple[str, str] | None
    at_unix_us: int
    by: str = ""
    note: str = ""
    is_undone: bool = False

    @property
    def text(self) -> str:
        """Return from when on it counts, in words."""
        if self.at_stage is not None:
            return " ".join(self.at_stage)
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(self.at_unix_us // 1_000_000))


@dataclass(frozen=True, slots=True)
class Driven:
    """A stage of a car: what its parts went through, and the minutes of each that was hot.

    loggers   that say so; complete is False if the log of one of them is not
    hot       {place: (minutes over warning, over critical)}
    """

    event: str
    stage: str
    t_unix_us: int | None
    complete: bool
    loggers: tuple[str, ...]
    engine_h: float
    power_h: float
    driven_km: float
    n_landings: int
    landings: dict[str, int]
    hot: dict[str, tuple[float, float]]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types, without the parts."""
        values = asdict(self)
        values.pop("hot")
        return values | _numbers([self])


@dataclass(frozen=True, slots=True)
class Component:
    """A part over the stages since it was new: `replaced` is None for the first one."""

    place: str
    name: str
    replaced: Replacement | None
    stages: tuple[Driven, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types, with the sums."""
        hot = [driven.hot.get(self.place, (0.0, 0.0)) for driven in self.stages]
        warning, critical = (sum(pair[k] for pair in hot) for k in (0, 1))
        return {
            "place": self.place,
            "name": self.name,
            "replaced": None if self.replaced is None else self.replaced.text,
            "note": "" if self.replaced is None else self.replaced.note,
            "n_stages": len(self.stages),
            **_numbers(self.stages),
            "over_warning_min": round(warning, 3),
            "over_critical_min": round(critical, 3),
        }


def _numbers(stages: Sequence[Driven]) -> dict[str, Any]:
    """Return the sums that are the same for all parts of a car."""
    found: dict[str, Any] = {
        key: round(sum(getattr(one, key) for one in stages), 3)
        for key in ("engine_h", "power_h", "driven_km", "n_landings")
    }
    landings = {each: sum(one.landings[each] for one in stages) for each in SEVERITIES}
    return found | {"landings": landings}


def driven_stages(lives: Iterable[StageLife]) -> list[Driven]:
    """Return the stages of one car in the order in which they were driven; one without a clock
    comes first.
    """
    groups: dict[tuple[str, str], list[StageLife]] = {}
    for life in lives:
        groups.setdefault((life.event, life.stage), []).append(life)
    found = [_driven(event, stage, same) for (event, stage), same in groups.items()]
    return sorted(found, key=lambda one: (one.t_unix_us or 0, one.event, one.stage))


def _driven(event: str, stage: str, same: Sequence[StageLife]) -> Driven:
    """Return one stage from what its loggers saw of it."""
    jumper = max(same, key=lambda life: life.n_landings)
    hot: dict[str, tuple[float, float]] = {}
    for part in (part for life in same for part in life.parts):
        warning, critical = hot.get(part.place, (0.0, 0.0))
        warning, critical = (
            max(warning, part.over_warning_min),
            max(critical, part.over_critical_min),
        )
        hot[part.place] = warning, critical
    return Driven(
        event,
        stage,
        min((life.t_unix_us for life in same if life.t_unix_us is not None), default=None),
        all(life.complete is not False for life in same),
        tuple(sorted(life.logger for life in same)),
        max(life.engine_h for life in same),
        max(life.power_h for life in same),
        max(life.driven_km for life in same),
        jumper.n_landings,
        {severity: jumper.landings[severity] for severity in SEVERITIES},
        hot,
    )


def components(
    lives: Sequence[StageLife], stages: Sequence[Driven], replaced: Iterable[Replacement]
) -> list[Component]:
    """Return the parts of a car, each with the stages since it was replaced last.

    stages  of driven_stages(lives)
    """
    names = {part.place: part.name for life in lives for part in life.parts}
    done: dict[str, list[Replacement]] = {}
    for one in replaced:
        same = [each for each in done.get(one.place, []) if not is_same(each, one)]
        done[one.place] = same if one.is_undone else [*same, one]
    found = []
    for place, name in names.items():
        last, counted = None, tuple(stages)
        for one in done.get(place, ()):
            since = stages_since(one, stages)
            if len(since) <= len(counted):
                last, counted = one, since
        found.append(Component(place, name, last, counted))
    return found


def is_same(one: Replacement, other: Replacement) -> bool:
    """Return whether both are of one part and count from the same stage or time on."""
    if one.place != other.place:
        return False
    if one.at_stage is not None or other.at_stage is not None:
        return one.at_stage == other.at_stage
    return one.at_unix_us == other.at_unix_us


def stages_since(replacement: Replacement, stages: Sequence[Driven]) -> tuple[Driven, ...]:
    """Return the stages that a new part saw: its stage and those after it, or those that began at
    its time or later. One without a clock counts, if no stage is given.
    """
    for number, one in enumerate(stages):
        if (one.event, one.stage) == replacement.at_stage:
            return tuple(stages[number:])
    at_us = replacement.at_unix_us
    return tuple(one for one in stages if one.t_unix_us is None or one.t_unix_us >= at_us)


def record(
    root: str | Path, replacement: Replacement, clock_ns: Callable[[], int] = time.time_ns
) -> Path:
    """Add a replacement to the archive; return the file."""
    path = Path(root) / REPLACED
    signed = {"schema": SCHEMA, "t_unix_us": clock_ns() // 1000}
    add_line(path, {**signed, **asdict(replacement)})
    return path


def load_replaced(root: str | Path, car: str) -> list[Replacement]:
    """Return the replacements of a car in the order in which they were recorded."""
    found = []
    for line in load_lines(Path(root) / REPLACED, SCHEMA):
        at, at_us, place = line.get("at_stage"), line.get("at_unix_us"), line.get("place")
        is_pair = isinstance(at, list) and len(at) == 2 and all(isinstance(x, str) for x in at)
        if line.get("car") != car or not isinstance(at_us, int) or not isinstance(place, str):
            continue
        stage = (at[0], at[1]) if is_pair and at is not None else None
        by, note = str(line.get("by", "")), str(line.get("note", ""))
        found.append(Replacement(car, place, stage, at_us, by, note, bool(line.get("is_undone"))))
    return found
