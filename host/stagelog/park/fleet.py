"""The fleet file: event, cars, loggers and stages, read from TOML and checked.

    [event]      name, hours from UTC; the stage in hand, if the dates do not say it
    [[car]]      name, profile, a DBC for each bus, settings of its loggers
    [[logger]]   device_id (never a port), its car, its place in it, its address on a radio
    [[stage]]    name, date, hours with the power on, the order of the day
    [start]      what is confirmed by hand before a car starts

Paths in it are relative to its folder. Fails with FleetError, an InputError that names file, line
and entry, and with InputError for a file that cannot be read.
"""

import datetime
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagelog.errors import UsageError
from stagelog.park.place import FLEET, find_fleet
from stagelog.profile.fields import number, one_of, optional
from stagelog.profile.toml_reader import Reader, SchemaError, read_toml

SCHEMA = "stagelog.fleet.v1"
LEGS = ("liaison", "special", "neutral", "refuel", "service")


class FleetError(SchemaError):
    """A fleet file that must not be used. `defects` is a list of (file, line, text)."""

    remedy = "correct the fleet file ('stagelog fleet check' lists all defects)"


@dataclass(frozen=True, slots=True)
class Event:
    """The event. `stage` names the stage in hand; without it the dates of the stages do."""

    name: str
    utc_offset_h: float = number(-12, 14, 0.0)
    stage: str | None = None


@dataclass(frozen=True, slots=True)
class Car:
    """A car. `dbc` is {"can0": file}; without it the DBC of the profile counts for all buses."""

    name: str
    profile: str
    dbc: dict[str, str] | None = None
    settings: str | None = None


@dataclass(frozen=True, slots=True)
class FleetLogger:
    """A logger of a car, known by the id of its chip. Its own `dbc` and `settings` come before
    those of the car. `address` is where its radio answers in service mode: HOST or HOST:PORT.
    """

    device_id: str
    car: str
    place: str = ""
    dbc: dict[str, str] | None = None
    settings: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the day, in order; `fuel_l` is what is refuelled in it."""

    kind: str = one_of(*LEGS)
    km: float = number(0, 2000, 0.0)
    fuel_l: float | None = optional(0, 1000)


@dataclass(frozen=True, slots=True)
class RallyStage:
    """A stage: `hours` is how long a logger has power in it, `order` the order of the day."""

    name: str
    date: datetime.date | None = None
    hours: float | None = optional(0, 96)
    order: tuple[Leg, ...] = ()

    def km_of(self, kind: str) -> float:
        """Return the distance of all legs of a kind."""
        return sum(leg.km for leg in self.order if leg.kind == kind)


@dataclass(frozen=True, slots=True)
class Start:
    """What is confirmed by hand before a car starts, a sentence each."""

    confirm: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet file. Invariant: every name in it that refers to another entry finds it.

    path             the file; `firmware` is the version wanted, None for any
    firmware_sha256  the firmware wanted, as 'stagelog flash' names it; None for any
    """

    path: str
    schema: str
    event: Event
    car: tuple[Car, ...] = ()
    logger: tuple[FleetLogger, ...] = ()
    stage: tuple[RallyStage, ...] = ()
    start: Start = Start()
    archive: str = "archive"
    firmware: str | None = None
    firmware_sha256: str | None = None

    @property
    def folder(self) -> Path:
        """Return the folder that relative paths start from."""
        return Path(self.path).parent

    @property
    def archive_path(self) -> Path:
        """Return the Path of the archive."""
        return self.folder / self.archive

    def find_car(self, name: object) -> Car | None:
        """Return the car of that name as people or folders write it, or None."""
        from stagelog.archive import hive_value

        folded = hive_value("car", name).lower()
        return next((c for c in self.car if hive_value("car", c.name).lower() == folded), None)

    def find_logger(self, device_id: str) -> FleetLogger | None:
        """Return the logger with that id, 16 hex digits, or None."""
        return next((logger for logger in self.logger if logger.device_id == device_id), None)

    def find_stage(self, name: object) -> RallyStage | None:
        """Return the stage of that name as people or folders write it, or None."""
        from stagelog.archive import hive_value

        folded = hive_value("stage", name).lower()
        found = (s for s in self.stage if hive_value("stage", s.name).lower() == folded)
        return next(found, None)

    def stage_now(self, now_s: float | None = None) -> RallyStage | None:
        """Return the stage in hand: the one [event] names, else the last whose date has come
        where the event is; None if neither says it.
        """
        if self.event.stage is not None:
            return self.find_stage(self.event.stage)
        offset = datetime.timedelta(hours=self.event.utc_offset_h)
        now = time.time() if now_s is None else now_s
        today = (datetime.datetime.fromtimestamp(now, datetime.UTC) + offset).date()
        begun = [stage for stage in self.stage if stage.date is not None and stage.date <= today]
        return begun[-1] if begun else None

    def file_of(self, name: str) -> Path:
        """Return the Path of a file that an entry names: in the fleet's folder, or shipped."""
        from stagelog.resources import dbc_path

        path = self.folder / name
        shipped = dbc_path() / name
        return shipped if not path.is_file() and shipped.is_file() else path

    def profile_of(self, car: Car) -> str:
        """Return the profile of a car as load_any_profile takes it: a file or a shipped name."""
        path = self.folder / car.profile
        return str(path) if path.is_file() else car.profile

    def dbcs_of(self, car: Car, logger: FleetLogger | None = None) -> dict[str, Path]:
        """Return {"can0": Path} of a logger or of its car; empty if only the profile names one."""
        named = (logger and logger.dbc) or car.dbc or {}
        return {bus: self.file_of(name) for bus, name in named.items()}

    def dbc_of(self, car: Car) -> Path:
        """Return the one DBC of a car: that of its first bus, or the profile's."""
        from stagelog.profile.short import dbc_of_profile, load_any_profile

        dbcs = self.dbcs_of(car)
        if dbcs:
            return dbcs[min(dbcs)]
        return dbc_of_profile(load_any_profile(self.profile_of(car)))

    def settings_of(self, logger: FleetLogger) -> Path | None:
        """Return the file of a logger's settings, or None."""
        car = self.find_car(logger.car)
        name = logger.settings or (car and car.settings)
        return self.folder / name if name else None


def need_fleet(path: str | Path | None = None) -> Fleet:
    """Return the fleet of a file, or of the one in force; UsageError if there is none."""
    path = find_fleet() if path is None else Path(path)
    if path is None:
        raise UsageError(
            f"there is no {FLEET} here or in a folder above", "make one: 'stagelog fleet new'"
        )
    return load_fleet(path)


def load_fleet(path: str | Path) -> Fleet:
    """Read and check a fleet file. Profiles, DBCs and settings that it names are checked by
    `fleet check` and where they are used.

    Raises FleetError, or InputError if the file cannot be read.
    """
    from stagelog.park.fleet_checks import find_contradictions

    path = Path(path)
    data, source = read_toml(path, "fleet file")
    reader = Reader([source], "the fleet file")
    if data.get("schema") != SCHEMA:
        given = data.get("schema")
        missing = f'schema is missing; write schema = "{SCHEMA}"'
        other = f'schema is {given!r}; this version reads "{SCHEMA}"'
        reader.add(("schema",), missing if given is None else other)
        raise FleetError(reader.defects)
    values: dict[str, Any] = {**data, "path": str(path)}
    fleet: Fleet = reader.build(Fleet, values, ())
    if not reader.defects:
        for where, text in find_contradictions(fleet):
            reader.add(where, text)
    if reader.defects:
        raise FleetError(reader.defects)
    return fleet


def check_files(fleet: Fleet) -> None:
    """Check the files that a fleet names; FleetError with the line of each that cannot be used."""
    from stagelog.park.fleet_checks import find_file_defects

    _, source = read_toml(Path(fleet.path), "fleet file")
    reader = Reader([source], "the fleet file")
    for where, text in find_file_defects(fleet):
        reader.add(where, text)
    if reader.defects:
        raise FleetError(reader.defects)
