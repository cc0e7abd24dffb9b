"""What contradicts what in a fleet file, and which of the files that it names cannot be used.

Values in, (place, text) out; nothing is raised.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from stagelog.archive import hive_value
from stagelog.errors import InputError
from stagelog.platform.names import safe_name
from stagelog.profile.short import dbc_of_profile, load_any_profile
from stagelog.profile.toml_lines import Keys

if TYPE_CHECKING:
    from stagelog.park.fleet import Car, Fleet

Finding: TypeAlias = tuple[Keys, str]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_DEVICE_ID = re.compile(r"[0-9a-f]{16}")
_ADDRESS = re.compile(r"[\w.-]+(:\d{1,5})?")
_BUSES = ("can0", "can1")
_LONGEST_NAME = 40
_CAR_BYTES = 8  # of the name in the settings and in HELLO


def find_contradictions(fleet: "Fleet") -> Iterator[Finding]:
    """Yield what cannot be true at once, from the entries alone."""
    yield from _bad_names(fleet)
    yield from _duplicates("car", [hive_value("car", car.name) for car in fleet.car])
    yield from _duplicates("stage", [hive_value("stage", stage.name) for stage in fleet.stage])
    yield from _duplicates("logger", [logger.device_id for logger in fleet.logger])
    known = ", ".join(car.name for car in fleet.car) or "none"
    for n, logger in enumerate(fleet.logger):
        if not _DEVICE_ID.fullmatch(logger.device_id):
            text = f"device_id {logger.device_id!r} is not 16 digits of 0-9 a-f"
            yield ("logger", n, "device_id"), f"{text}; 'stagelog loggers' shows it"
        if fleet.find_car(logger.car) is None:
            yield ("logger", n, "car"), f"there is no car {logger.car!r}; the cars are {known}"
        if logger.address is not None and not _ADDRESS.fullmatch(logger.address):
            text = f"address {logger.address!r} is neither HOST nor HOST:PORT"
            yield ("logger", n, "address"), text
        yield from _unknown_buses(("logger", n, "dbc"), logger.dbc)
    yield from _shared_places(fleet)
    for n, car in enumerate(fleet.car):
        yield from _unknown_buses(("car", n, "dbc"), car.dbc)
        if len(car.name.encode()) > _CAR_BYTES:
            yield ("car", n, "name"), f"name {car.name!r} is longer than {_CAR_BYTES} bytes"
    if fleet.event.stage is not None and fleet.find_stage(fleet.event.stage) is None:
        yield ("event", "stage"), f"there is no stage {fleet.event.stage!r}"
    digest = fleet.firmware_sha256
    if digest is not None and not _DIGEST.fullmatch(digest):
        text = f"{digest!r} is not 64 digits of 0-9 a-f"
        yield ("firmware_sha256",), f"{text}; 'stagelog status --json' shows that of a logger"
    latest = None
    for n, stage in enumerate(fleet.stage):
        if stage.date is not None and latest is not None and stage.date < latest:
            text = f"{stage.name} is on {stage.date}, and a stage above it on {latest}"
            yield ("stage", n, "date"), f"{text}; give the stages in their order"
        latest = stage.date or latest


def find_file_defects(fleet: "Fleet") -> Iterator[Finding]:
    """Yield which profiles, DBCs and settings that the fleet names are missing or wrong."""
    for n, car in enumerate(fleet.car):
        try:
            dbc_of_profile(load_any_profile(fleet.profile_of(car)))
        except InputError as error:
            yield ("car", n, "profile"), str(error)
        yield from _missing_dbcs(fleet, ("car", n, "dbc"), car.dbc)
    for n, logger in enumerate(fleet.logger):
        yield from _missing_dbcs(fleet, ("logger", n, "dbc"), logger.dbc)
        car_of = fleet.find_car(logger.car)
        where: Keys = ("logger", n, "settings")
        if logger.settings is None and car_of is not None:
            where = ("car", fleet.car.index(car_of), "settings")
        path = fleet.settings_of(logger)
        if path is not None and car_of is not None:
            yield from ((where, text) for text in _settings_defects(path, car_of))


def _bad_names(fleet: "Fleet") -> Iterator[Finding]:
    named: list[tuple[Keys, str]] = [(("event", "name"), fleet.event.name)]
    named += [(("car", n, "name"), car.name) for n, car in enumerate(fleet.car)]
    named += [(("stage", n, "name"), stage.name) for n, stage in enumerate(fleet.stage)]
    named += [(("logger", n, "place"), e.place or "-") for n, e in enumerate(fleet.logger)]
    for where, name in named:
        if not name.isprintable() or not name.strip() or len(name) > _LONGEST_NAME:
            text = f"{name[:60]!r} is no name: 1 to {_LONGEST_NAME} printable characters"
            yield where, text


def _duplicates(kind: str, names: list[str]) -> Iterator[Finding]:
    """Yield what would be one folder or one board twice, upper and lower case being the same."""
    first: dict[str, int] = {}
    key = "device_id" if kind == "logger" else "name"
    for n, name in enumerate(names):
        before = first.setdefault(name.lower(), n)
        if before != n:
            yield (kind, n, key), f"{kind} {name} is there twice: it is number {before + 1}, too"


def _shared_places(fleet: "Fleet") -> Iterator[Finding]:
    """Yield loggers of one car at one place: their reports would be one file."""
    seen = set()
    for n, logger in enumerate(fleet.logger):
        key = (hive_value("car", logger.car).lower(), safe_name(logger.place or "").lower())
        if logger.place and key in seen:
            text = f"{logger.car} has two loggers at {logger.place!r}; give each its own place"
            yield ("logger", n, "place"), text
        seen.add(key)


def _unknown_buses(where: Keys, dbcs: dict[str, str] | None) -> Iterator[Finding]:
    for bus in dbcs or ():
        if bus not in _BUSES:
            yield where, f"{bus!r} is no bus of a logger: {' or '.join(_BUSES)}"


def _missing_dbcs(fleet: "Fleet", where: Keys, dbcs: dict[str, str] | None) -> Iterator[Finding]:
    from stagelog.dbc import load_database

    for bus, name in (dbcs or {}).items():
        try:
            load_database(fleet.file_of(name))
        except InputError as error:
            yield where, f"{bus}: {error}"


def _settings_defects(path: Path, car: "Car") -> Iterator[str]:
    from slog.settings import load
    from stagelog.config_items import checked_settings

    try:
        settings = load(checked_settings(path))
    except InputError as error:
        yield str(error)
        return
    if settings["car"] != car.name:
        yield f"{path} is for car {settings['car']!r}, not {car.name}"
