"""The tables of a report: columns with units, rows of plain values, and how both become text.

A column is {name, unit, digits, text, key}; a row {cells, level, x_s, chart}. Cells are numbers,
texts or None, never formatted, so the page and the JSON say the same. `level` is "good", "warn",
"bad" or ""; `x_s` the moment in the charts, `chart` the one to show it in.
"""

import math
import re
from typing import Any, TypeAlias

Facts: TypeAlias = dict[str, Any]  # a piece of a page, of JSON types

_UNITS = {"%": "pct", "km/h": "kmh", "l/100 km": "l_per_100km", "1/km": "per_km"}


class Line(str):
    """A sentence for people, with its numbers for programs, by names with units."""

    __slots__ = ("values",)
    values: dict[str, Any]


def line(text: str, **values: Any) -> Line:
    """Return a Line; floats become Python's, rounded as in records."""
    made = Line(text)
    made.values = plain_values(values)
    return made


def plain_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return numbers as JSON has them, also those of a dict within."""
    return {
        key: plain_values(value) if isinstance(value, dict) else _plain(value)
        for key, value in values.items()
    }


def with_values(section: Facts) -> Facts:
    """Return a section with the numbers of its lines, for --json."""
    values: Facts = {}
    for each in section.get("lines", ()):
        values |= getattr(each, "values", {})
    return section | {"values": values} if values else section


def column(
    name: str,
    unit: str = "",
    digits: int = 1,
    *,
    text: bool = False,
    signed: bool = False,
    key: str | None = None,
    only: str | None = None,
) -> Facts:
    """Return a column; `key` names it in the JSON, with its unit at the end.

    only  "page" or "json" if only one of them has it: words beside the number that they say
    """
    made = {"name": name, "unit": unit, "digits": digits, "text": text, "signed": signed}
    made |= {"long": False, "only": only}
    return made | {"key": key or _key(name, unit)}


def words(
    name: str, key: str | None = None, *, long: bool = False, only: str | None = None
) -> Facts:
    """Return a column of texts; `long` ones may break into lines."""
    return column(name, text=True, key=key, only=only) | {"long": long}


def row(*cells: Any, level: str = "", x_s: float | None = None, chart: str | None = None) -> Facts:
    """Return a row; see the module. What is not a number becomes None."""
    known = [
        None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in cells
    ]
    return {"cells": known, "level": level, "x_s": x_s, "chart": chart}


def table(
    columns: list[Facts],
    rows: list[Facts],
    *,
    title: str = "",
    empty: str = "None.",
    fold: int | None = None,
) -> Facts:
    """Return a table; rows beyond `fold` are folded away on the page."""
    return {"title": title, "columns": columns, "rows": rows, "empty": empty, "fold": fold}


def cell_text(value: Any, column: Facts) -> str:
    """Return a cell as text for people."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    sign = "+" if column["signed"] else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:{sign},}"
    return f"{value:{sign},.{column['digits']}f}"


def records(table: Facts) -> list[Facts]:
    """Return the rows as dicts by the columns' keys, for JSON."""
    found = []
    for one in table["rows"]:
        record = {
            column["key"]: _plain(cell)
            for column, cell in zip(table["columns"], one["cells"], strict=True)
            if column["only"] != "page"
        }
        extra = {"level": one["level"] or None, "t_s": one["x_s"]}
        found.append(record | {key: value for key, value in extra.items() if value is not None})
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; a float rounded, None for what is no number."""
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, float):
        return value
    return round(value, 6) if math.isfinite(value) else None


def _key(name: str, unit: str) -> str:
    suffix = _UNITS.get(unit) or unit.replace("/", "_per_").replace("^", "").replace(" ", "_")
    stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return f"{stem}_{suffix}" if suffix else stem
