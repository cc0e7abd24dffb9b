"""Read a car profile: TOML in, checked frozen classes out.

Owns the reading, the `extends` rule and the checks. A missing, unknown, mistyped, out-of-bounds or
contradictory entry raises ProfileError, an InputError that names file, line and entry; all defects
are in its `defects`.

    extends = "d7xr.toml"     the same folder's file first, then this one's entries over it
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from stagelog.dbc import Database
from stagelog.errors import InputError
from stagelog.profile.checks import (
    find_contradictions,
    find_dbc_contradictions,
    find_simulation_contradictions,
)
from stagelog.profile.schema import Profile
from stagelog.profile.simulation import Simulation
from stagelog.profile.toml_lines import Keys, line_of, map_lines
from stagelog.resources import dbc_path

__all__ = ["ProfileError", "dbc_file", "load_profile", "load_simulation", "place_of"]

SCHEMA = "stagelog.profile.v1"

Defect: TypeAlias = tuple[Path, int, str]  # file, line, text
Source: TypeAlias = tuple[Path, dict[Keys, int]]  # a file, and the line of each entry


class ProfileError(InputError):
    """A profile that must not be used. `defects` is a list of (file, line, text)."""

    def __init__(self, defects: list[Defect]) -> None:
        file, line, text = defects[0]
        more = f" (and {len(defects) - 1} more)" if len(defects) > 1 else ""
        super().__init__(f"{file}, line {line}: {text}{more}", hint="correct the profile")
        self.defects = defects


def load_profile(
    path: str | Path | None = None, dbc: str | Path | Database | None = None
) -> Profile:
    """Read and check a profile, all but its [simulation]: see load_simulation.

    path   a file, the name of one in the shipped profiles ("d7xr"), or None for that one
    dbc    the DBC to check signal names and limits against; default: the one the profile names
    Raises ProfileError, or InputError if a file cannot be read.
    """
    file = _find(path)
    data, sources = _read(file, set())
    reader = _Reader(sources)
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
    data, sources = _read(Path(profile.path), set())
    reader = _Reader(sources)
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
    return _place(_read(Path(path), set())[1], tuple(entry))


def _find(path: str | Path | None) -> Path:
    if path is None:
        path = "d7xr"
    shipped = dbc_path() / "profiles" / f"{path}.toml"
    return shipped if not Path(path).is_file() and shipped.is_file() else Path(path)


def _read(path: Path, seen: set[Path]) -> tuple[dict[str, Any], list[Source]]:
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read profile {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"profile {path} is not TOML: {error}") from error
    lines = map_lines(text)
    sources: list[Source] = []
    base = data.pop("extends", None)
    if base is not None:
        if path in seen:
            raise ProfileError([(path, line_of(lines, ("extends",)), "profile extends itself")])
        below, sources = _read(path.parent / base, seen | {path})
        data = _merge(below, data)
    return data, [(path, lines), *sources]


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


class _Reader:
    """Builds schema classes from TOML values and collects their defects."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self.defects: list[Defect] = []

    def add(self, where: Keys, text: str) -> None:
        self.defects.append((*_place(self.sources, where), text))

    def build(self, cls: type[Any], data: object, where: Keys) -> Any:
        if not isinstance(data, dict):
            self.add(where, f"{_dotted(where)} must be a table")
            return None
        values: dict[str, Any] = {}
        hints = typing.get_type_hints(cls)
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name in data.keys() - known.keys():
            text = f"{_dotted((*where, name))} is not a known entry"
            if not where and name in Simulation.__dataclass_fields__:
                text += f"; does it belong to [simulation.{name}]?"
            self.add((*where, name), text)
        for name, field in known.items():
            path = (*where, name)
            if name in data:
                values[name] = self.value(hints[name], field.metadata, data[name], path)
            elif field.default is not dataclasses.MISSING:
                values[name] = field.default
            else:
                self.add(path, f"{_dotted(path)} is missing")
        return None if len(values) < len(known) else cls(**values)

    def value(self, kind: Any, rule: Mapping[str, Any], data: Any, path: Keys) -> Any:
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):
            kind = next(arg for arg in args if arg is not types.NoneType)
            return self.value(kind, rule, data, path)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return self.build(kind, data, path)
        if origin is dict and isinstance(data, dict):
            return {k: self.value(args[1], {}, v, (*path, k)) for k, v in data.items()}
        if (origin or kind) is tuple and isinstance(data, list):
            return self.items(args, rule, data, path)
        if kind is float and not isinstance(data, bool) and isinstance(data, int | float):
            return self.bounded(float(data), rule, path)
        if kind is int and type(data) is int:
            return self.bounded(data, rule, path)
        if kind in (str, bool) and type(data) is kind:
            choices = rule.get("choices")
            if choices and data not in choices:
                self.add(path, f"{_dotted(path)} is {data!r}, not one of {', '.join(choices)}")
            return data
        self.add(path, f"{_dotted(path)} is {data!r}; expected {_words(origin or kind)}")
        return None

    def items(
        self, args: tuple[Any, ...], rule: Mapping[str, Any], data: list[Any], path: Keys
    ) -> tuple[Any, ...]:
        if args and args[-1] is not ...:
            if len(args) != len(data):
                self.add(path, f"{_dotted(path)} needs {len(args)} elements")
                return ()
            pairs = zip(args, data, strict=True)
            return tuple(self.value(arg, {}, item, path) for arg, item in pairs)
        if rule.get("n") not in (None, len(data)):
            self.add(path, f"{_dotted(path)} has {len(data)} elements, needs {rule['n']}")
        kind = args[0] if args else float
        indexed = dataclasses.is_dataclass(kind)
        items = tuple(
            self.value(kind, rule, item, (*path, n) if indexed else path)
            for n, item in enumerate(data)
        )
        rising = rule.get("rising") and None not in items
        if rising and any(a >= b for a, b in zip(items, items[1:], strict=False)):
            self.add(path, f"{_dotted(path)} must rise from element to element")
        return items

    def bounded(self, value: float, rule: Mapping[str, Any], path: Keys) -> float:
        low, high = rule.get("low", value), rule.get("high", value)
        if not low <= value <= high:
            self.add(path, f"{_dotted(path)} is {value:g}, outside {low:g} to {high:g}")
        return value


def _place(sources: Sequence[Source], where: Keys) -> tuple[Path, int]:
    for path, lines in sources:
        if where in lines:
            return path, lines[where]
    path, lines = max(sources, key=lambda source: _depth(source[1], where))
    return path, line_of(lines, where)


def _depth(lines: Mapping[Keys, int], where: Keys) -> int:
    return next(n for n in range(len(where), -1, -1) if where[:n] in lines)


def _dotted(path: Keys) -> str:
    return ".".join(str(part) for part in path) or "the profile"


def _words(kind: Any) -> str:
    return {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}.get(
        kind, "a list" if kind is tuple else "a table"
    )
