"""What earlier stages of a car in the archive were like, from the reports that were made of them.

With each report of a stage a small file is kept beside the facts: the state of each part and the
extremes of its signals. A later report of the same car shows them. Owns these files; a report
never fails because of them.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stagelog.archive import split_stage
from stagelog.errors import OutputError
from stagelog.platform.files import write_atomic
from stagelog.report.kept import facts_folder

SCHEMA = "stagelog.past/1"
N_SHOWN = 8
N_KEPT = 2000  # files; the oldest beyond that are removed
_SUFFIX = ".past"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an archive a log lies: `car` is the car's folder name with that of the archive."""

    car: str
    event: str
    stage: str


@dataclass(frozen=True, slots=True)
class Past:
    """One stage of a car.

    t_unix_us  UTC of its start, None where not known
    states     {place of a part: its state}
    signals    {signal: (lowest, highest, level)}
    """

    car: str
    event: str
    stage: str
    t_unix_us: int | None
    states: dict[str, str]
    signals: dict[str, tuple[float, float, str]]

    def is_before(self, other: "Past") -> bool:
        """Whether this stage was driven first; by its name where a clock was not set."""
        if self.t_unix_us is not None and other.t_unix_us is not None:
            return self.t_unix_us < other.t_unix_us
        return self.event == other.event and self.stage < other.stage


def place_of(log: str | Path) -> Place | None:
    """Return the Place of a log or folder by its folders car=, stage= and event=, or None."""
    root, named = split_stage(log)
    if "car" not in named or "stage" not in named:
        return None
    return Place(f"{root}/{named['car']}", named.get("event", ""), named["stage"])


def past_of(place: Place, car: dict[str, Any]) -> Past:
    """Return the Past of one of the cars of a report's facts."""
    rows = [row for part in car["parts"] for row in part["rows"] if row["low"] is not None]
    return Past(
        place.car,
        place.event,
        place.stage,
        car["t_unix_us"],
        {part["place"]: part["state"] for part in car["parts"]},
        {row["signal"]: (row["low"], row["high"], row["level"]) for row in rows},
    )


def add_history(facts: dict[str, Any], logs: Sequence[str | Path]) -> None:
    """Keep the stages of a report, and put the earlier ones of its cars into its facts.

    logs  of the cars, in their order; facts without a car have no history
    """
    for log, car in zip(logs, facts["cars"], strict=False):
        place = place_of(log)
        if place is None or not car["parts"]:
            continue
        now = past_of(place, car)
        save(now)
        earlier = find_earlier(now)
        for part in car["parts"]:
            part["past"] = [
                {"stage": one.stage, "event": one.event, "state": one.states[part["place"]]}
                for one in earlier
                if part["place"] in one.states
            ]
            for row in part["rows"]:
                row["past"] = [_value(one, row) for one in earlier if row["signal"] in one.signals]


def _value(past: Past, row: dict[str, Any]) -> dict[str, Any]:
    low, high, level = past.signals[row["signal"]]
    value = low if row["falls"] else high
    return {"stage": past.stage, "event": past.event, "value": value, "level": level}


def save(past: Past) -> None:
    """Keep a stage; a later report of the same stage replaces it."""
    folder = facts_folder()
    if folder is None:
        return
    name = hashlib.sha256(repr((past.car, past.event, past.stage)).encode()).hexdigest()
    with contextlib.suppress(OSError, OutputError):
        folder.mkdir(parents=True, exist_ok=True)
        values = {"schema": SCHEMA, **asdict(past)}
        write_atomic(folder / f"{name}{_SUFFIX}", json.dumps(values).encode())
        found = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: -path.stat().st_mtime)
        for path in found[N_KEPT:]:
            path.unlink(missing_ok=True)


def find_earlier(now: Past) -> list[Past]:
    """Return the last N_SHOWN stages of the same car before `now`, in order."""
    found = [one for one in _read_all() if one.car == now.car and one.is_before(now)]
    found.sort(key=lambda one: (one.t_unix_us or 0, one.event, one.stage))
    return found[-N_SHOWN:]


def _read_all() -> Iterable[Past]:
    folder = facts_folder()
    for path in folder.glob(f"*{_SUFFIX}") if folder else ():
        with contextlib.suppress(OSError, ValueError, TypeError):
            values = json.loads(path.read_bytes())
            if isinstance(values, dict) and values.pop("schema", None) == SCHEMA:
                yield Past(**values)
