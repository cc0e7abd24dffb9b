"""The facts of the wall page: from fleet file, archive and runs to one JSON object.

Reads the archive again at each call, but each file only if it has changed. What cannot be read is
a line in `problems`, never an error. Names and texts are those of people and devices: the page
shows them as text. A report is known by its place in the archive; no path is made of what a
browser asks for.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from stagelog.archive import Entry, hive_value, load_manifest
from stagelog.archive.manifest import MANIFEST, superseded
from stagelog.errors import StagelogError
from stagelog.park.fleet import Fleet, load_fleet
from stagelog.park.publish import LOST_S, load_runs
from stagelog.park.signoff import CHECKS, LIGHTS, load_checks
from stagelog.park.unit import BAD, GOOD, WARN
from stagelog.report.car_life import (
    REPLACED,
    Replacement,
    components,
    driven_stages,
    load_replaced,
)
from stagelog.report.history import place_of
from stagelog.report.lives import SUFFIX, StageLife, by_logger, read_life

SCHEMA = "stagelog.serve/1"
REPORTS = "report*.html"
Facts: TypeAlias = dict[str, Any]
ReportKey: TypeAlias = tuple[str, str, str, str]  # event, car, stage, file
T = TypeVar("T")
_LEVELS = (BAD, WARN, GOOD)


class StageFolder(NamedTuple):
    """A folder of a stage in the archive."""

    event: str
    car: str
    stage: str
    path: Path


class Wall:
    """The facts of an archive and of the fleet file beside it; `reports` are those read last."""

    def __init__(
        self,
        root: str | Path,
        fleet_path: Path | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.root = Path(root).resolve()
        self.reports: dict[ReportKey, Path] = {}
        self._fleet_path = fleet_path
        self._clock_ns = clock_ns
        self._kept: dict[tuple[str, Path], tuple[object, Any]] = {}
        self._problems: list[str] = []

    def read(self) -> Facts:
        """Return the facts as they are now."""
        self._problems = []
        reports: dict[ReportKey, Path] = {}
        fleet = self._fleet()
        folders = list(self._folders())
        entries = {folder.path: self._entries(folder.path) for folder in folders}
        copies = {e.path for e in superseded([e for some in entries.values() for e in some])}
        runs = load_runs(self.root)
        names = dict.fromkeys([] if fleet is None else [_plain_car(c.name) for c in fleet.car])
        named = {folder.car for folder in folders}
        named |= {_plain_car(one.get("car", "")) for run in runs for one in run["loggers"]}
        names |= dict.fromkeys(sorted(named))
        cars = []
        for name in names:
            own = [folder for folder in folders if folder.car == name]
            held = {f: [e for e in entries[f.path] if e.path not in copies] for f in own}
            lives = self._lives(held)
            found, pages = _pages(own, lives)
            reports |= pages
            checked = self._last_check(own)
            loggers = self._loggers(name, fleet, runs)
            car = {
                "name": name,
                "checked": checked,
                "loggers": loggers,
                "sessions": _sessions(held),
                "reports": found,
                "life": self._life(name, lives),
            }
            cars.append(car | {"red": _red(car)})
        self.reports = reports
        stage = fleet.stage_now() if fleet is not None else None
        return {
            "schema": SCHEMA,
            "event": "" if fleet is None else fleet.event.name,
            "stage": "" if stage is None else stage.name,
            "archive": self.root.name,
            "cars": cars,
            "problems": self._problems,
        }

    def _once(self, what: str, path: Path, load: Callable[[], T], empty: T) -> T:
        """Return what `load` returns, called again only if the file has changed; `empty` if there
        is no such file or it cannot be read.
        """
        try:
            stat = path.stat()
        except OSError:
            return empty
        state = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        before = self._kept.get((what, path))
        if before is None or before[0] != state:
            try:
                before = (state, (load(), None))
            except (StagelogError, OSError) as error:
                before = (state, (empty, " ".join(str(error).split())))
            self._kept[what, path] = before
        value, problem = before[1]
        if problem is not None:
            self._problems.append(problem)
        found: T = value
        return found

    def _fleet(self) -> Fleet | None:
        path = self._fleet_path
        return None if path is None else self._once("fleet", path, lambda: load_fleet(path), None)

    def _folders(self) -> Iterator[StageFolder]:
        """Yield the folders of stages; a link to elsewhere is none."""
        for path in sorted(self.root.glob("event=*/car=*/stage=*")):
            place = place_of(path)
            inside = path.is_dir() and path.resolve() == path
            if place is not None and inside:
                yield StageFolder(place.event, Path(place.car).name, place.stage, path)

    def _entries(self, folder: Path) -> list[Entry]:
        nothing: list[Entry] = []
        return self._once("manifest", folder / MANIFEST, lambda: load_manifest(folder), nothing)

    def _lives(self, held: Mapping[StageFolder, Sequence[Entry]]) -> dict[StageFolder, Any]:
        """Return {folder: [StageLife]} of what reports have left."""
        found: dict[StageFolder, list[StageLife]] = {}
        for folder, entries in held.items():
            for some in by_logger(entries):
                path = folder.path / f"{some[0].key[0]}{SUFFIX}"
                life = self._once("life", path, partial(read_life, path), None)
                if life is not None and life.is_of(some):
                    found.setdefault(folder, []).append(life)
        return found

    def _last_check(self, folders: Sequence[StageFolder]) -> Facts | None:
        """Return the newest check of a car that was signed, with what it found."""
        checks: list[Facts] = []
        for folder in folders:
            path, nothing = folder.path / CHECKS, list[Facts]()
            lines = self._once("check", path, partial(load_checks, folder.path), nothing)
            checks += [line for line in lines[-1:] if type(line.get("t_unix_us")) is int]
        last = max(checks, key=lambda line: int(line["t_unix_us"]), default=None)
        if last is None:
            return None
        light = last.get("light") if last.get("light") in LIGHTS.values() else "red"
        return {
            "light": light,
            "t_unix_us": last["t_unix_us"],
            "by": str(last.get("by", "")),
            "stage": str(last.get("stage", "")),
            "findings": _findings(last),
        }

    def _loggers(
        self, car: str, fleet: Fleet | None, runs: Sequence[Mapping[str, Any]]
    ) -> list[Facts]:
        """Return the loggers of a car: those of the fleet file, and what runs did with them."""
        found: dict[str, Facts] = {}
        for logger in () if fleet is None else fleet.logger:
            if _plain_car(logger.car) == car:
                found[logger.device_id] = {"logger": logger.device_id, "place": logger.place}
        for run in runs:
            for one in run["loggers"]:
                if _plain_car(one.get("car", "")) == car:
                    row = found.setdefault(one["logger"], {"logger": one["logger"], "place": ""})
                    row |= self._seen(run, one)
        blank = {"run": "", "is_live": False, "t_unix_us": None, "verdict": None, "text": ""}
        return [blank | row for row in found.values()]

    def _seen(self, run: Mapping[str, Any], one: Mapping[str, Any]) -> Facts:
        """Return what a run did with a logger."""
        age_s = (self._clock_ns() // 1000 - run["t_unix_us"]) / 1e6
        verdict = one.get("verdict")
        is_live = verdict is None and not run["is_over"] and age_s < LOST_S
        row = {key: one.get(key) for key in _OF_A_ROW}
        row |= {"run": run["title"], "is_live": is_live, "t_unix_us": run["t_unix_us"]}
        if verdict is None and not is_live:
            row |= {"verdict": WARN, "text": f"{run['title']} ended before this logger was done"}
        return row | ({"place": one["place"]} if one.get("place") else {})

    def _life(self, car: str, lives: Mapping[StageFolder, Sequence[StageLife]]) -> Facts:
        every = [life for some in lives.values() for life in some]
        stages = driven_stages(every)
        load, nothing = partial(load_replaced, self.root, car), list[Replacement]()
        replaced = self._once(f"replaced {car}", self.root / REPLACED, load, nothing)
        parts = [part.as_dict() for part in components(every, stages, replaced)]
        return {"n_stages": len(stages), "parts": parts}


_OF_A_ROW = (
    "step",
    "done",
    "total",
    "unit",
    "rate",
    "left_s",
    "n_lost",
    "note",
    "verdict",
    "text",
)


def _plain_car(name: object) -> str:
    return hive_value("car", name)


def _findings(check: Mapping[str, Any]) -> list[Facts]:
    """Return what speaks against a start in a line of checks.jsonl, the worst first."""
    found = []
    loggers = check.get("loggers")
    for logger in loggers if isinstance(loggers, list) else ():
        if not isinstance(logger, dict):
            continue
        name = str(logger.get("place") or logger.get("logger", "")[-8:])
        rows = logger.get("findings") or [
            {"level": logger.get("verdict"), "topic": "logger", "text": logger.get("text")}
        ]
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and row.get("level") in (BAD, WARN):
                words = {key: str(row.get(key) or "") for key in ("text", "remedy")}
                topic = f"{name}, {row.get('topic', '')}"
                found.append({"level": row["level"], "topic": topic, **words})
    confirmed = check.get("confirmed")
    for text, is_so in confirmed.items() if isinstance(confirmed, dict) else ():
        if not is_so:
            words = {"topic": "by hand", "text": f"not confirmed: {text}"}
            found.append({"level": WARN, **words, "remedy": "inspect the car"})
    return sorted(found, key=lambda row: _LEVELS.index(row["level"]))


def _sessions(held: Mapping[StageFolder, Sequence[Entry]]) -> Facts:
    """Return how many sessions of a car the archive holds, and which of them are not complete."""
    every = [(folder, entry) for folder, entries in held.items() for entry in entries]
    broken = [
        {"stage": folder.stage, "event": folder.event, "file": entry.path.name}
        for folder, entry in every
        if not entry.values["complete"] and not entry.values.get("running")
    ]
    n_bytes = sum(entry.values["n_bytes"] for _, entry in every)
    return {"n": len(every), "n_bytes": n_bytes, "incomplete": broken}


def _pages(
    folders: Sequence[StageFolder], lives: Mapping[StageFolder, Sequence[StageLife]]
) -> tuple[list[Facts], dict[ReportKey, Path]]:
    """Return the reports of a car, the newest first, and where they lie."""
    found, pages = [], {}
    for folder in folders:
        said = {life.logger: life for life in lives.get(folder, ())}
        answer = min(said.values(), key=lambda life: _order(life.level), default=None)
        for path in sorted(folder.path.glob(REPORTS)):
            if path.is_symlink() or not path.is_file():
                continue
            key = (folder.event, folder.car, folder.stage, path.name)
            pages[key] = path
            found.append(
                {
                    "event": folder.event,
                    "stage": folder.stage,
                    "file": path.name,
                    "t_unix_us": path.stat().st_mtime_ns // 1000,
                    "level": "" if answer is None else answer.level,
                    "answer": "" if answer is None else answer.answer,
                }
            )
    return sorted(found, key=lambda one: -one["t_unix_us"]), pages


def _order(level: str) -> int:
    order = ("bad", "warn", "good")
    return order.index(level) if level in order else len(order)


def _red(car: Mapping[str, Any]) -> list[Facts]:
    """Return what asks for somebody's work on a car, the worst first: findings of its last check,
    loggers that failed, logs that are not complete, the answer of its newest report.
    """
    found = []
    if car["checked"] is not None:
        found += [{"from": "check", **row} for row in car["checked"]["findings"]]
    for logger in car["loggers"]:
        if logger["verdict"] in (BAD, WARN):
            name = logger["place"] or logger["logger"][-8:]
            words = {"topic": name, "text": str(logger["text"] or ""), "remedy": ""}
            found.append({"from": logger["run"], "level": logger["verdict"], **words})
    for one in car["sessions"]["incomplete"]:
        words = {"topic": one["stage"], "text": f"{one['file']} is not complete"}
        remedy = "'stagelog verify' says what is missing"
        found.append({"from": "archive", "level": WARN, **words, "remedy": remedy})
    newest = car["reports"][:1]
    for report in newest:
        if report["level"] in ("bad", "warn"):
            level = BAD if report["level"] == "bad" else WARN
            words = {
                "topic": report["stage"],
                "text": report["answer"],
                "remedy": "see its report",
            }
            found.append({"from": "report", "level": level, **words})
    return sorted(found, key=lambda row: _LEVELS.index(row["level"]))
