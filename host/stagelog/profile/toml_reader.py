"""Build dataclasses from TOML values: each entry is checked, each defect has its file and line.

Owns the rules that any schema has: missing, unknown, mistyped and out-of-bounds entries. The
schema itself (bounds by `fields`) and what contradicts what belong to the caller. Defects are
collected, never raised here; `SchemaError` is what a caller raises with them.
"""

import copy
import dataclasses
import datetime
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from stagelog.errors import InputError
from stagelog.profile.toml_lines import Keys, line_of, map_lines

Defect: TypeAlias = tuple[Path, int, str]  # file, line, text
Source: TypeAlias = tuple[Path, dict[Keys, int]]  # a file, and the line of each entry


class SchemaError(InputError):
    """A TOML file that must not be used. `defects` is a list of (file, line, text)."""

    remedy = "correct the file"

    def __init__(self, defects: list[Defect]) -> None:
        file, line, text = defects[0]
        more = f" (and {len(defects) - 1} more)" if len(defects) > 1 else ""
        super().__init__(f"{file}, line {line}: {text}{more}", hint=self.remedy)
        self.defects = defects


def read_toml(path: Path, what: str) -> tuple[dict[str, Any], Source]:
    """Return the values of a TOML file and the line of each; InputError, with `what` it is, if it
    cannot be read.
    """
    try:
        values, lines = _parsed(path.read_text(encoding="utf-8"))
        return copy.deepcopy(values), (path, lines)
    except OSError as error:
        raise InputError(f"cannot read {what} {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{what} {path} is not TOML: {error}") from error


_hints: dict[type[Any], dict[str, Any]] = {}  # of each schema class that was built


@lru_cache(maxsize=16)  # a command reads its profile several times: with its [simulation], its DBC
def _parsed(text: str) -> tuple[dict[str, Any], dict[Keys, int]]:
    return tomllib.loads(text), map_lines(text)


class Reader:
    """Builds schema classes from TOML values and collects their defects."""

    def __init__(
        self, sources: Sequence[Source], whole: str, advise: Callable[[Keys], str] = lambda _: ""
    ) -> None:
        """Read from `sources`. `whole` is the name of the file's contents in messages; `advise`
        returns what to add to the message on an unknown entry.
        """
        self.sources = sources
        self.defects: list[Defect] = []
        self._whole = whole
        self._advise = advise

    def add(self, where: Keys, text: str) -> None:
        """Add a defect at an entry, a path of keys."""
        self.defects.append((*place_in(self.sources, where), text))

    def build(self, cls: type[Any], data: object, where: Keys) -> Any:
        """Return an object of a schema class; None if its values do not suffice."""
        if not isinstance(data, dict):
            self.add(where, f"{_dotted(where) or self._whole} must be a table")
            return None
        values: dict[str, Any] = {}
        hints = _hints.get(cls) or _hints.setdefault(cls, typing.get_type_hints(cls))
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name in data.keys() - known.keys():
            path = (*where, name)
            self.add(path, f"{_dotted(path)} is not a known entry{self._advise(path)}")
        for name, field in known.items():
            path = (*where, name)
            if name in data:
                values[name] = self.value(hints[name], field.metadata, data[name], path)
            elif field.default is not dataclasses.MISSING:
                values[name] = field.default
            elif field.default_factory is not dataclasses.MISSING:
                values[name] = field.default_factory()
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
        if kind in (str, bool, datetime.date) and type(data) is kind:
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


def place_in(sources: Sequence[Source], where: Keys) -> tuple[Path, int]:
    """Return (file, line) of an entry: in the first source that has it, or the nearest table."""
    for path, lines in sources:
        if where in lines:
            return path, lines[where]
    path, lines = max(sources, key=lambda source: _depth(source[1], where))
    return path, line_of(lines, where)


def _depth(lines: Mapping[Keys, int], where: Keys) -> int:
    return next(n for n in range(len(where), -1, -1) if where[:n] in lines)


def _dotted(path: Keys) -> str:
    return ".".join(str(part) for part in path)


def _words(kind: Any) -> str:
    words = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    words[datetime.date] = "a date as in 2026-01-06"
    return words.get(kind, "a list" if kind is tuple else "a table")
