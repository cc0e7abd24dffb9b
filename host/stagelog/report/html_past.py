"""What a part was like in earlier stages of its car, on its card: states, and values as columns.

Facts are those of stagelog.report.history; without them nothing is drawn.
"""

from html import escape
from typing import Any

from stagelog.report.html_words import sign


def states_html(part: dict[str, Any]) -> str:
    """Return the states that a part had in earlier stages, or nothing."""
    past = part.get("past")
    if not past:
        return ""
    marks = "".join(
        f'<span title="{_title(one)}">{sign(one["state"])}{escape(one["stage"])}</span>'
        for one in past
    )
    return f'<p class="states"><b>Before:</b> {marks}</p>'


def _title(one: dict[str, Any]) -> str:
    return escape(f"{one['event']} {one['stage']}".strip())


def values_html(row: dict[str, Any]) -> str:
    """Return the worst value of a signal in earlier stages and in this one, as columns."""
    past = row.get("past")
    if not past:
        return ""
    now = {"stage": "now", "event": "", "level": row["level"]}
    now["value"] = row["low"] if row["falls"] else row["high"]
    values = [*past, now]
    edges = [one["value"] for one in values] + [one["y"] for one in row["spark"]["limits"]]
    low, high = min(*edges, 0.0), max(*edges, 0.0)
    span = (high - low) or 1.0
    lines = "".join(
        f'<i class="line {one["level"]}" style="bottom:{100 * (one["y"] - low) / span:.1f}%"></i>'
        for one in row["spark"]["limits"]
    )
    columns = "".join(
        f'<span class="{one["level"]}" title="{_title(one)}">'
        f'<i style="height:{100 * (one["value"] - low) / span:.1f}%"></i></span>'
        for one in values
    )
    names = "".join(
        f"<span><b>{number(one['value'])}</b><small>{escape(one['stage'])}</small></span>"
        for one in values
    )
    what = "lowest" if row["falls"] else "highest"
    said = ", ".join(f"{one['stage']} {number(one['value'])}" for one in values)
    label = escape(f"{what} by stage: {said}")
    return (
        f'<div class="past" role="img" aria-label="{label}"><div class="bars">{lines}{columns}'
        f'</div><div class="stages">{names}</div></div>'
    )


def number(value: float) -> str:
    """Return a value with as many digits as its size needs."""
    size = abs(value)
    return f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2}f}"
