"""One card for each part of the car: its state and why, and what each of its signals did.

A card shows the signals that exceeded a limit, else the one that came nearest to one, each as a
small line; the rest folds out. A line has its limits in view and crosses no hole.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from stagelog.report.html_past import number, states_html, values_html
from stagelog.report.html_tools import WRITE
from stagelog.report.html_words import SIGNS, fold, jump, sign
from stagelog.report.tables import Facts

N_OPEN = 3
_WIDTH, _HEIGHT = 240, 56


def cards(parts: list[Facts], prefix: str) -> str:
    """Return the cards, worst first, else in the order of the profile."""
    order = list(SIGNS)
    ordered = sorted(parts, key=lambda part: order.index(part["state"]))
    return "".join(_card(part, prefix) for part in ordered)


def beside(cars: Sequence[tuple[list[Facts], str]]) -> str:
    """Return the cards of several cars, [(parts, prefix)], a row for each part; the worst first.

    A car whose profile lacks a part has an empty place there.
    """
    order = list(SIGNS)
    each = [{part["place"]: part for part in parts} for parts, _ in cars]
    places = list(dict.fromkeys(place for parts in each for place in parts))
    worst = {
        place: min(order.index(parts[place]["state"]) for parts in each if place in parts)
        for place in places
    }
    found = []
    for place in sorted(places, key=worst.__getitem__):
        for parts, (_, prefix) in zip(each, cars, strict=True):
            found.append(_card(parts[place], prefix) if place in parts else "<div></div>")
    return "".join(found)


def _card(part: Facts, prefix: str) -> str:
    state = part["state"]
    why = "".join(f"<li>{escape(text)}</li>" for text in part["why"][:4])
    if len(part["why"]) > 4:
        why += f"<li>and {len(part['why']) - 4} more</li>"
    rows = [row for row in part["rows"] if row["low"] is not None]
    n_open = sum(row["level"] in ("bad", "warn") for row in rows)  # they are the first
    n_open = max(1, min(n_open, N_OPEN))
    shown, rest = rows[:n_open], rows[n_open:]
    body = _list(shown, True)
    if rest:
        body += fold(f"{len(rest)} more signal{'s' * (len(rest) != 1)}", _list(rest))
    return (
        f'<article class="card {state}" id="{prefix}{part["place"]}" tabindex="-1">'
        f"<h3>{escape(part['name'])} <b>{sign(state)}{part['word']}</b></h3>"
        f"{f'<ul>{why}</ul>' if why else ''}{body}"
        f'<div class="foot">{states_html(part)}{WRITE}</div></article>'
    )


def _list(rows: list[Facts], has_past: bool = False) -> str:
    """Return rows; the first of a card has its history over the stages."""
    return "".join(_row(row, has_past and row is rows[0]) for row in rows)


def _row(row: Facts, has_past: bool) -> str:
    head = f'{escape(row["name"])} <small class="dbc">{escape(row["signal"])}</small>'
    head = jump(head, row["x_s"], row["chart"])
    unit = escape(row["unit"])
    limits = "".join(
        f"<span>{SIGNS[one['level']]} {escape(one['text'])}</span> " for one in row["limits"]
    )
    mark = sign(row["level"]) if row["level"] in ("bad", "warn") else ""
    return (
        f'<div class="signal"><p class="head">{mark}{head}</p>{spark_svg(row["spark"])}'
        f'<p class="range">{number(row["low"])} … {number(row["high"])} {unit}'
        f"<small> {'worst' if limits else 'highest'} at km {row['km']:.1f}{_all(row)}</small></p>"
        f'<p class="limits">{limits or "no limit on its value"}</p>'
        f"{values_html(row) if has_past else ''}</div>"
    )


def _all(row: Facts) -> str:
    """Return the extremes of all samples where the limits count for some only."""
    if not row.get("all"):
        return ""
    low, high = row["all"]
    return f"; {number(low)} … {number(high)} where no limit counts, too"


def spark_svg(spark: Facts, width: int = _WIDTH, height: int = _HEIGHT) -> str:
    """Return a small band over the whole stage; limits are dashed lines, a hole stays empty."""
    low, high = spark["low"], spark["high"]
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return round(height - 3 - (value - low) / span * (height - 6), 1)

    box = f'viewBox="0 0 {width} {height}" preserveAspectRatio="none"'
    found = [f'<svg class="spark" {box} aria-hidden="true">']
    for limit in spark["limits"]:
        at = y(limit["y"])
        found.append(f'<path class="limit {limit["level"]}" d="M0 {at}H{width}"/>')
    found += [f'<path class="run" d="{band(run, width, y)}"/>' for run in spark["runs"]]
    return "".join(found) + "</svg>"


def band(run: Any, width: int, y: Callable[[float], float]) -> str:
    """Return the path of a run of [x, low, high]: along the highest, back along the lowest."""
    up = [f"{x * width:.1f} {y(high)}" for x, _, high in run]
    down = [f"{x * width:.1f} {y(low)}" for x, low, _ in reversed(run)]
    return f"M{'L'.join(up + down)}Z"
