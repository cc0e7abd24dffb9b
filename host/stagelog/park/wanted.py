"""What a logger shall have, by the fleet file: settings, signal table, firmware, DBCs.

Owns the step from the fleet file to bytes that can be compared. Fails with InputError for a file
that cannot be read.
"""

import functools
import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path

from slog.messages import CONFIG_SETTINGS, CONFIG_SIGNALS
from slog.settings import SettingsError, load
from stagelog.config_items import checked_settings, signal_table
from stagelog.flash.package import Package
from stagelog.park.fleet import Fleet

ITEM_NAMES = {CONFIG_SETTINGS: "settings", CONFIG_SIGNALS: "signal table"}
_COMPILE = threading.Lock()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one logger shall have.

    settings   bytes, None: any that name the car
    signals    bytes of the signal table, None: any
    dbcs       {bus number: Path}; {None: Path} if one is for all buses
    hours      that the card must last; None if the stage does not say it
    not_fitted names of messages that this car does not send
    """

    car: str
    settings: bytes | None
    signals: bytes | None
    firmware: str | None
    dbcs: dict[int | None, Path]
    hours: float | None = None
    stage: str | None = None
    not_fitted: tuple[str, ...] = ()
    firmware_sha256: str | None = None

    def settings_for(self, found: bytes) -> bytes:
        """Return the settings to write to a logger that has `found`: the file's, or its own with
        the name of the car.
        """
        if self.settings is not None:
            return self.settings
        try:
            settings = load(found or None)
        except SettingsError:
            found, settings = b"", load(None)
        if settings["car"] == self.car:
            return found
        own = json.loads(found) if found else {}
        return json.dumps({**own, "car": self.car}).encode()


def wanted_of(fleet: Fleet, device_id: str) -> Wanted:
    """Return what the logger with an id shall have; it must be in the fleet."""
    from stagelog.profile.schema import Profile
    from stagelog.profile.short import load_any_profile

    logger = fleet.find_logger(device_id)
    car = fleet.find_car(logger.car) if logger is not None else None
    if logger is None or car is None:
        raise ValueError(f"{device_id} is not in the fleet")
    path = fleet.settings_of(logger)
    named = fleet.dbcs_of(car, logger)
    dbcs: dict[int | None, Path] = {int(bus[-1]): path for bus, path in named.items()}
    stage = fleet.stage_now()
    first = named[min(named)] if named else None
    profile = load_any_profile(fleet.profile_of(car), first)
    is_whole = isinstance(profile, Profile)
    return Wanted(
        car.name,
        None if path is None else checked_settings(path),
        _table_of(fleet.profile_of(car), first) if is_whole else None,
        fleet.firmware,
        dbcs or {None: fleet.dbc_of(car)},
        None if stage is None else stage.hours,
        None if stage is None else stage.name,
        profile.car.not_fitted,
        fleet.firmware_sha256,
    )


def wanted_in(package: Package) -> Wanted:
    """Return what a package wants of its logger; a logger keeps what is not in it."""
    return Wanted(
        package.car,
        package.settings,
        package.signals,
        None,
        {},
        firmware_sha256=package.digest,
    )


def _table_of(profile: str, dbc: Path | None) -> bytes:
    with _COMPILE:  # loggers of one car ask at the same time
        return _compiled(profile, dbc)


@functools.lru_cache
def _compiled(profile: str, dbc: Path | None) -> bytes:
    return signal_table(profile, dbc)


def head_of(content: bytes) -> str:
    """Return the first 8 bytes of the SHA-256, as the log's hash records have it."""
    return hashlib.sha256(content).hexdigest()[:16]
