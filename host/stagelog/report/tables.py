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


def column(
    name: str,
    unit: str = "",
    digits: int = 1,
    *,
    text: bool = False,
    signed: bool = False,
    key: str | None = None,
) -> Facts:
    """Return a column; `key` names it in the JSON, with its unit at the end."""
    made = {"name": name, "unit": unit, "digits": digits, "text": text, "signed": signed}
    made["long"] = False
    return made | {"key": key or _key(name, unit)}


def words(name: str, key: str | None = None, *, long: bool = False) -> Facts:
    """Return a column of texts; `long` ones may break into lines."""
    return column(name, text=True, key=key) | {"long": long}


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
            column["key"]: round(cell, 6) if isinstance(cell, float) else cell
            for column, cell in zip(table["columns"], one["cells"], strict=True)
        }
        extra = {"level": one["level"] or None, "t_s": one["x_s"]}
        found.append(record | {key: value for key, value in extra.items() if value is not None})
    return found


def _key(name: str, unit: str) -> str:
    suffix = _UNITS.get(unit) or unit.replace("/", "_per_").replace("^", "").replace(" ", "_")
    stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return f"{stem}_{suffix}" if suffix else stem
