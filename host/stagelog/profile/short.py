"""A short profile: only what a DBC and a log support. Roles, ranges and limits, each optional.

    schema = "stagelog.profile.short.v1"
    [car]            name, and dbc: beside the file
    [roles]          role = signal, or signals; those of a whole profile
    [[plausible]]    signals, min, max; max_step_per_s, stuck_s
    [alarm.NAME]     signals, kind ("above" or "below"), unit, warning, critical
    [mark.NAME]      as in a whole profile, but for `event`
    [names]          what people call a signal

A report with one shows health, traffic, channels, extremes, limits, marks and charts: no detector
runs, and a logger gets no signal table from it.
Raises ProfileError, an InputError, with file, line and entry.
"""

import dataclasses
import typing
from pathlib import Path
from typing import Any

from stagelog.dbc import Database
from stagelog.errors import InputError
from stagelog.profile.checks import find_short_contradictions
from stagelog.profile.reading import (
    ProfileError,
    dbc_file,
    find_file,
    load_profile,
    read_entries,
)
from stagelog.profile.schema import Profile, Roles, ShortCar, ShortProfile
from stagelog.profile.toml_reader import Reader

SHORT_SCHEMA = "stagelog.profile.short.v1"


def make_roles(given: dict[str, Any]) -> Roles:
    """Return Roles with the given ones, tuples or text, and all others empty."""
    return Roles(**{name: given.get(name, empty) for name, empty in _empty_roles().items()})


def no_profile(roles: Roles) -> ShortProfile:
    """Return the profile of a car of which nothing is known but which signal has which role."""
    return ShortProfile(schema=SHORT_SCHEMA, car=ShortCar(), roles=roles)


def is_short(path: str | Path) -> bool:
    """Return whether a profile (path, or name of one that ships) is a short one."""
    return read_entries(find_file(path))[0].get("schema") == SHORT_SCHEMA


def load_short_profile(path: str | Path, dbc: str | Path | Database | None = None) -> ShortProfile:
    """Read and check a short profile; `dbc` is the DBC to check it against, default its own."""
    file = find_file(path)
    data, sources = read_entries(file)
    reader = Reader(sources, "the profile")
    _fill(data)
    data["path"] = str(file)
    profile: ShortProfile = reader.build(ShortProfile, data, ())
    if not reader.defects:
        for where, text in find_short_contradictions(profile, dbc or short_dbc_file(profile)):
            reader.add(where, text)
    if reader.defects:
        raise ProfileError(reader.defects)
    return profile


def short_dbc_file(profile: ShortProfile) -> Path:
    """Return the path of the DBC that a short profile names; InputError if it names none."""
    if not profile.car.dbc:
        raise InputError(f"{profile.path} names no DBC", "add --dbc, or car.dbc to the profile")
    return Path(profile.path).parent / profile.car.dbc


def load_any_profile(
    path: str | Path, dbc: str | Path | Database | None = None
) -> Profile | ShortProfile:
    """Read and check a profile, whole or short; `dbc` as in load_profile."""
    return load_short_profile(path, dbc) if is_short(path) else load_profile(path, dbc)


def dbc_of_profile(profile: Profile | ShortProfile) -> Path:
    """Return the path of the DBC that a profile, whole or short, names."""
    return dbc_file(profile) if isinstance(profile, Profile) else short_dbc_file(profile)


def _fill(data: dict[str, Any]) -> None:
    """Add what a whole profile must say and a short one need not."""
    data.setdefault("car", {})
    roles = data.get("roles", {})
    if isinstance(roles, dict):
        data["roles"] = {k: [] if v == () else v for k, v in _empty_roles().items()} | roles
    for rule in data.get("plausible", ()):
        rule.setdefault("max_step_per_s", 0.0)
        rule.setdefault("stuck_s", 0.0)
    number = 1
    for alarm in data.get("alarm", {}).values():
        usual = {"id": number, "clear": 0.0, "debounce_s": [0.0, 0.0], "debounce_out_s": 0.0}
        for name, value in (usual | {"gates": [], "latch": False, "unit": ""}).items():
            alarm.setdefault(name, value)
        number += max(1, len(alarm.get("signals", ())))


def _empty_roles() -> dict[str, Any]:
    hints = typing.get_type_hints(Roles)
    return {each.name: "" if hints[each.name] is str else () for each in dataclasses.fields(Roles)}
