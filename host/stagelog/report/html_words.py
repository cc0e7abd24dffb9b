"""Small pieces of the page: signs beside colours, names beside signals, tables, fold-outs.

All text is escaped here, once.
"""

import re
from html import escape
from typing import Any

from stagelog.report.parts import STATES
from stagelog.report.tables import Facts, cell_text

WORDS = {**STATES, "info": "note"}
SIGNS = {
    "bad": "■",
    "warn": "▲",
    "fault": "◆",
    "partly": "◐",
    "none": "?",
    "good": "●",
    "info": "○",
}
_NAME = re.compile(r"\b[A-Z][A-Za-z0-9_]+\b")


class Names:
    """What people call signals: `names` is {name in the DBC: name for people}."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def html(self, text: str) -> str:
        """Return text as HTML in which each signal has its name, the DBC's beside it."""
        return _NAME.sub(self._one, escape(text))

    def _one(self, found: re.Match[str]) -> str:
        signal = found[0]
        if signal not in self._names:
            return signal
        return f'{escape(self._names[signal])} <small class="dbc">{signal}</small>'


def sign(level: str) -> str:
    """Return a sign beside the colour, for readers without colour vision and prints in grey."""
    if level not in SIGNS:
        return ""
    word = f'aria-label="{WORDS[level]}" title="{WORDS[level]}"'
    return f'<i class="sign {level}" role="img" {word}>{SIGNS[level]}</i>'


def jump(inside: str, x_s: float, chart: str | None, more: str = "") -> str:
    """Return a button that shows a moment in the charts."""
    at = f' data-chart="{escape(chart)}"' if chart else ""
    return f'<button class="jump{more}" data-x="{x_s:.3f}"{at}>{inside}</button>'


def fold(summary: str, inside: str) -> str:
    """Return a fold-out; `summary` is HTML."""
    return f"<details><summary>{summary}</summary>{inside}</details>"


def table_html(table: Facts, names: Names) -> str:
    """Return one of stagelog.report.tables; rows beyond its fold are folded away."""
    title = f"<h3>{names.html(table['title'])}</h3>" if table["title"] else ""
    rows, n_open = table["rows"], table["fold"]
    shown = [i for i, column in enumerate(table["columns"]) if column["only"] != "json"]
    columns = [table["columns"][i] for i in shown]
    if not rows:
        return f'{title}<p class="note">{escape(table["empty"])}</p>'
    head = "".join(
        f'<th scope="col"{_text_class(c)}>{names.html(c["name"])}'
        f"<small>{escape(c['unit'])}</small></th>"
        for c in columns
    )

    def body(part: list[Facts]) -> str:
        lines = "".join(
            _row(row, [row["cells"][i] for i in shown], columns, names) for row in part
        )
        return (
            f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{lines}</tbody></table></div>"
        )

    if not n_open or len(rows) <= n_open:
        return title + body(rows)
    rest = rows[n_open:]
    return title + body(rows[:n_open]) + fold(f"{len(rest):,} more", body(rest))


def _row(row: Facts, values: list[Any], columns: list[Facts], names: Names) -> str:
    cells = []
    for i, (cell, column) in enumerate(zip(values, columns, strict=True)):
        text = cell_text(cell, column)
        text = names.html(text) if isinstance(cell, str) else escape(text)
        if i == 0:
            if row["x_s"] is not None:
                text = jump(text, row["x_s"], row["chart"])
            text = f'<div class="first">{sign(row["level"])}<span>{text}</span></div>'
        cells.append(f"<td{_text_class(column)}>{text}</td>")
    return f'<tr class="{row["level"]}">{"".join(cells)}</tr>'


def _text_class(column: Facts) -> str:
    if not column["text"]:
        return ""
    return ' class="text long"' if column["long"] else ' class="text"'
