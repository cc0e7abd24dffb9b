"""What each stage took of the life of a car's parts, kept in the archive beside its sessions.

    archive/event=DAKAR26/car=C03/stage=SS03/
        53494d3913a54c5b.life.json    what one logger saw: hours, km, landings, minutes too hot

It is written with the report on all sessions of a logger in a folder, so that a sum over an event
reads small files only. It counts as long as the folder holds the same sessions, and as long as
profile, DBC and stagelog are the same. Fails with nothing: what cannot be read is made again.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import stagelog
from stagelog.archive import Entry, entry_of, of_logger
from stagelog.errors import InputError, OutputError
from stagelog.platform.files import write_atomic
from stagelog.report import tables as t
from stagelog.report.history import place_of
from stagelog.report.kept import digest_of
from stagelog.report.tables import Facts

SCHEMA = "stagelog.life.stage/1"
SUFFIX = ".life.json"
SEVERITIES = ("light", "medium", "hard", "severe")
_HOT = "Over-temperature"  # the title of that table in the section of life
_MINUTES = ("over_warning_min", "over_critical_min")


@dataclass(frozen=True, slots=True)
class PartLife:
    """Minutes of one part over the limits of its temperatures: those of its hottest sensor."""

    place: str
    name: str
    over_warning_min: float
    over_critical_min: float


@dataclass(frozen=True, slots=True)
class StageLife:
    """What one logger saw of a stage.

    t_unix_us      UTC of its start, None where not known
    complete       of the log; None where nobody knows
    level, answer  of the report's verdict on the car
    n_landings     of any severity; `landings` is {severity: number} of those that were measured
    sessions       {file: SHA-256} that it was made from
    made_with      see made_with()
    """

    event: str
    car: str
    stage: str
    logger: str
    t_unix_us: int | None
    complete: bool | None
    level: str
    answer: str
    engine_h: float
    power_h: float
    driven_km: float
    n_landings: int
    landings: dict[str, int]
    parts: tuple[PartLife, ...]
    sessions: dict[str, str]
    made_with: str

    def is_of(self, entries: Iterable[Entry]) -> bool:
        """Return whether it was made from these sessions."""
        return self.sessions == _digests(entries)


def made_with(profiles: Sequence[str], dbc: Sequence[str]) -> str:
    """Return a digest of the words of --profile and --dbc, of the files that they name, and of
    stagelog's version.
    """
    words = [*profiles, "", *(word.partition("=")[2] or word for word in dbc)]
    each = [(Path(word).name, digest_of(word) if word else "") for word in words]
    return hashlib.sha256(repr((stagelog.__version__, each)).encode()).hexdigest()


def whole_of_logger(paths: Iterable[Path]) -> list[Entry]:
    """Return the [Entry] of some session files if they are all that one logger has in one folder
    of the archive, copies that another folder holds left out; else [].
    """
    files = {path.absolute() for path in paths}
    known = [entry_of(path) for path in files]
    entries = [entry for entry in known if entry is not None]
    if len(entries) != len(files) or len({(e.folder, e.key[0]) for e in entries}) != 1:
        return []
    own = {entry.path for entry in of_logger(entries[0].folder, entries[0].key[0])}
    return entries if own == files and place_of(entries[0].folder) is not None else []


def life_of(facts: Facts, entries: Sequence[Entry], made: str) -> StageLife | None:
    """Return the StageLife of a report's facts, None if it has no section of life (no whole
    profile).

    entries  of whole_of_logger
    """
    section = next((each for each in facts["sections"] if each["id"] == "life"), None)
    place = place_of(entries[0].folder)
    if section is None or place is None or len(facts["cars"]) != 1:
        return None
    values, [car] = section.get("values", {}), facts["cars"]
    hot = [
        row for table in section["tables"] if table["title"] == _HOT for row in t.records(table)
    ]
    return StageLife(
        place.event,
        Path(place.car).name,
        place.stage,
        entries[0].key[0],
        car["t_unix_us"],
        facts["log"]["complete"],
        facts["verdict"]["level"],
        facts["verdict"]["answer"],
        values.get("engine_h", 0.0),
        values.get("power_h", 0.0),
        values.get("driven_km", 0.0),
        values.get("landings", 0),
        {severity: values.get(f"landings_{severity}", 0) for severity in SEVERITIES},
        tuple(_part_life(part, hot) for part in car["parts"]),
        _digests(entries),
        made,
    )


def _digests(entries: Iterable[Entry]) -> dict[str, str]:
    return {entry.path.name: entry.values["sha256"] for entry in entries}


def _part_life(part: Facts, hot: Sequence[Mapping[str, Any]]) -> PartLife:
    signals = {row["signal"] for row in part["rows"]}
    own = [row for row in hot if row["signal"] in signals]
    longest = (max((row[key] for row in own), default=0.0) for key in _MINUTES)
    return PartLife(part["place"], part["name"], *longest)


def keep_life(facts: Facts, paths: Iterable[Path], made: str) -> StageLife | None:
    """Keep what a report says of the life of a car's parts, if the report is on all sessions of
    one logger in one folder of the archive; return it, None if not.
    """
    try:
        entries = whole_of_logger(paths)
    except InputError:
        return None
    life = life_of(facts, entries, made) if entries else None
    if life is not None:
        path = entries[0].folder / f"{life.logger}{SUFFIX}"
        with contextlib.suppress(OSError, OutputError):  # an archive that may only be read
            content = {"schema": SCHEMA, **asdict(life)}
            write_atomic(path, json.dumps(content, indent=1, allow_nan=False).encode() + b"\n")
    return life


def load_life(entries: Sequence[Entry], made: str | None = None) -> StageLife | None:
    """Return what was kept of the sessions of one logger in one folder, None if nothing was, or
    if it is of other sessions or made with something else (`made`; None: with anything).
    """
    life = read_life(entries[0].folder / f"{entries[0].key[0]}{SUFFIX}")
    is_ours = life is not None and life.is_of(entries) and made in (None, life.made_with)
    return life if is_ours else None


def read_life(path: Path) -> StageLife | None:
    """Return what a file holds, of whatever sessions; None if it is none."""
    try:
        values = json.loads(path.read_bytes())
        if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
            return None
        parts = tuple(PartLife(**part) for part in values.pop("parts"))
        life = StageLife(**values, parts=parts)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return life if _is_sound(life) else None


def _is_sound(life: StageLife) -> bool:
    """Return whether what was read has the types that a StageLife has."""
    if not isinstance(life.landings, dict) or not isinstance(life.t_unix_us, int | None):
        return False
    numbers: list[object] = [life.engine_h, life.power_h, life.driven_km, life.n_landings]
    numbers += [life.landings.get(severity) for severity in SEVERITIES]
    numbers += [m for part in life.parts for m in (part.over_warning_min, part.over_critical_min)]
    names = [part.place for part in life.parts] + [part.name for part in life.parts]
    texts = [life.event, life.car, life.stage, life.logger, life.level, life.answer, *names]
    return all(type(number) in (int, float) for number in numbers) and all(
        isinstance(text, str) for text in texts
    )


def by_logger(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the entries of an archive in groups: those of one logger in one folder."""
    groups: dict[tuple[Path, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.folder, entry.key[0]), []).append(entry)
    return [groups[key] for key in sorted(groups)]
