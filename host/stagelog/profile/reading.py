"""Read a car profile: TOML in, checked frozen classes out.

Owns the reading, the `extends` rule and the checks. A missing, unknown, mistyped, out-of-bounds or
contradictory entry raises ProfileError, an InputError that names file, line and entry; all defects
are in its `defects`.

    extends = "d7xr.toml"     the same folder's file first, then this one's entries over it
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stagelog.dbc import Database
from stagelog.profile.checks import (
    find_contradictions,
    find_dbc_contradictions,
    find_simulation_contradictions,
)
from stagelog.profile.schema import Profile
from stagelog.profile.simulation import Simulation
from stagelog.profile.toml_lines import Keys, line_of
from stagelog.profile.toml_reader import Reader, SchemaError, Source, place_in, read_toml
from stagelog.resources import dbc_path

__all__ = ["ProfileError", "dbc_file", "load_profile", "load_simulation", "place_of"]

SCHEMA = "stagelog.profile.v1"


class ProfileError(SchemaError):
    """A profile that must not be used. `defects` is a list of (file, line, text)."""

    remedy = "correct the profile"


def load_profile(
    path: str | Path | None = None, dbc: str | Path | Database | None = None
) -> Profile:
    """Read and check a profile, all but its [simulation]: see load_simulation.

    path   a file, the name of one in the shipped profiles ("d7xr"), or None for that one
    dbc    the DBC to check signal names and limits against; default: the one the profile names
    Raises ProfileError, or InputError if a file cannot be read.
    """
    file = find_file(path)
    data, sources = read_entries(file)
    reader = _reader(sources)
    if data.get("schema") != SCHEMA:
        reader.add(("schema",), f'schema is {data.get("schema")!r}; this version reads "{SCHEMA}"')
        raise ProfileError(reader.defects)
    data["path"] = str(file)
    data.pop("simulation", None)
    profile: Profile = reader.build(Profile, data, ())
    if not reader.defects:
        for where, text in find_contradictions(profile):
            reader.add(where, text)
    if not reader.defects:
        for where, text in find_dbc_contradictions(profile, dbc or dbc_file(profile)):
            reader.add(where, text)
    if reader.defects:
        raise ProfileError(reader.defects)
    return profile


def load_simulation(profile: Profile) -> Simulation:
    """Read and check the [simulation] that belongs to a profile, in its file or the files below.

    Raises ProfileError, or InputError if a file cannot be read.
    """
    data, sources = read_entries(Path(profile.path))
    reader = _reader(sources)
    where: Keys = ("simulation",)
    if "simulation" not in data:
        reader.add(where, "this profile has no [simulation], which the virtual car needs")
        raise ProfileError(reader.defects)
    simulation: Simulation = reader.build(Simulation, data["simulation"], where)
    if not reader.defects:
        for place, text in find_simulation_contradictions(profile, simulation):
            reader.add(place, text)
    if reader.defects:
        raise ProfileError(reader.defects)
    return simulation


def dbc_file(profile: Profile) -> Path:
    """Return the path of the DBC that the profile names: beside it, above it, or shipped."""
    folder = Path(profile.path).parent
    for path in (folder / profile.car.dbc, folder.parent / profile.car.dbc):
        if path.is_file():
            return path
    return dbc_path() / profile.car.dbc


def place_of(path: str | Path, entry: Iterable[str | int]) -> tuple[Path, int]:
    """Return (file, line) of an entry, a path of keys: in the file, or in one that it extends."""
    return place_in(read_entries(Path(path))[1], tuple(entry))


def find_file(path: str | Path | None) -> Path:
    """Return the file of a profile: a path, or the name of one that ships; None for the first."""
    if path is None:
        path = "d7xr"
    shipped = dbc_path() / "profiles" / f"{path}.toml"
    return shipped if not Path(path).is_file() and shipped.is_file() else Path(path)


def read_entries(path: Path) -> tuple[dict[str, Any], list[Source]]:
    """Return (entries, files with the line of each entry) of a profile and those it extends."""
    return _read(path, set())


def _read(path: Path, seen: set[Path]) -> tuple[dict[str, Any], list[Source]]:
    data, (_, lines) = read_toml(path, "profile")
    sources: list[Source] = []
    base = data.pop("extends", None)
    if base is not None:
        if path in seen:
            raise ProfileError([(path, line_of(lines, ("extends",)), "profile extends itself")])
        below, sources = _read(path.parent / base, seen | {path})
        data = _merge(below, data)
    return data, [(path, lines), *sources]


def _reader(sources: list[Source]) -> Reader:
    def advise(path: Keys) -> str:
        known = len(path) == 1 and path[0] in Simulation.__dataclass_fields__
        return f"; does it belong to [simulation.{path[0]}]?" if known else ""

    return Reader(sources, "the profile", advise)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
