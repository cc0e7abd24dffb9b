"""The first screen: verdict, the stage as a strip, the car from above, the work list to sign."""

from collections.abc import Sequence
from html import escape

from stagelog.report.html_car import car_svg
from stagelog.report.html_cards import band
from stagelog.report.html_tools import TOP_BUTTONS
from stagelog.report.html_words import SIGNS, WORDS, Names, fold, jump, sign
from stagelog.report.tables import Facts

N_WORK = 7
_WIDTH, _HEIGHT = 1000, 60
_LAST_TICK = 0.96  # of the width; beyond it a number would be cut
_LEGEND = ("bad", "warn", "fault", "partly", "none", "good")
_NAMED = _LEGEND[:-1]
_ALL = {"damper": "all dampers", "brake": "all brakes", "tyre": "all tyres"}
_N_CORNERS = 4


def prefix_of(number: int) -> str:
    """Return what the ids of a car's cards begin with."""
    return f"card-{number}-" if number else "card-"


def has_work(facts: Facts) -> bool:
    """Return whether the page has a list of work: it has none where no car is judged."""
    return facts["verdict"].get("has_work", True)


def first_screen(facts: Facts, names: Names) -> str:
    """Return the page's header: of one car its answer, of several an answer each, side by side."""
    cars, verdict, has_list = facts["cars"], facts["verdict"], has_work(facts)
    top = (
        f'<header><div class="top"><div><h1>{escape(facts["title"])}</h1>'
        f'<p class="where">{escape(facts["subtitle"])}</p></div>{TOP_BUTTONS}</div>'
    )
    if len(cars) <= 1:  # a log without a whole profile has none
        car = cars[0] if cars else None
        shown = _answer(verdict, car) + (_strip(car) if car else "")
        shown += _car_and_work(0, car, verdict, names, has_list, facts["tiles"])
        return f"{top}{shown}</header>"
    each = "".join(
        f'<section class="one-car"><h2>{escape(car["name"])}</h2>'
        f"{_says(car['verdict'])}{_parts_named(car['parts'])}{_strip(car)}"
        f"{_car_and_work(number, car, car['verdict'], names, has_list)}</section>"
        for number, car in enumerate(cars)
    )
    abreast = f'<div class="abreast" style="--n:{len(cars)}">{each}</div>'
    return f"{top}{_answer(verdict)}{abreast}</header>"


def _answer(verdict: Facts, car: Facts | None = None) -> str:
    named = _parts_named(car["parts"]) if car else ""
    return (
        f'<section id="verdict" class="verdict {verdict["level"]}">'
        f"<h2>{escape(verdict['question'])}</h2>{_says(verdict)}{named}</section>"
    )


def _says(verdict: Facts) -> str:
    return f'<p class="answer">{sign(verdict["level"])}{escape(verdict["answer"])}</p>'


def _car_and_work(
    number: int,
    car: Facts | None,
    verdict: Facts,
    names: Names,
    has_list: bool,
    tiles: Sequence[Facts] = (),
) -> str:
    """Return the drawing with the list of work beside it; of one car that is the header's end."""
    drawing = work = ""
    if car and car["parts"]:
        svg = car_svg(car["parts"], car["name"], prefix_of(number))
        drawing = f'<div class="cars"><figure>{svg}</figure>{_legend()}</div>'
    if has_list:
        work = _work(verdict["reasons"]["rows"], names, number)
    side = work + (_tiles(tiles) if tiles else "")
    return f'<div class="first-screen">{drawing}<div class="side">{side}</div></div>'


def _legend() -> str:
    words = {**WORDS, "good": "good, as far as the log goes"}
    keys = "".join(f"<span>{sign(level)}{words[level]}</span>" for level in _LEGEND)
    return f'<p class="legend">{keys}</p>'


def _tiles(tiles: Sequence[Facts]) -> str:
    found = "".join(
        f'<div class="tile {tile["level"]}">{sign(tile["level"])}<b>{escape(tile["value"])}</b>'
        f"<span>{escape(tile['text'])}</span></div>"
        for tile in tiles
    )
    return f'<div class="tiles">{found}</div>'


def _work(rows: list[Facts], names: Names, number: int) -> str:
    """Return the reasons of the verdict as a list to tick off and to sign."""
    items = [_item(row, names) for row in rows]
    listed = f"<ul>{''.join(items[:N_WORK])}</ul>"
    if len(items) > N_WORK:
        listed += fold(f"{len(items) - N_WORK} more", f"<ul>{''.join(items[N_WORK:])}</ul>")
    if not items:
        listed = '<p class="note">This log gives no work.</p>'
    lines = "".join(f"<label><input>{word}</label>" for word in ("Done by", "Checked by", "Time"))
    return (
        f'<section class="work" id="work{f"-{number}" if number else ""}">'
        f"<h2>Work before the start</h2>{listed}"
        f'<p class="signed">{lines}</p></section>'
    )


def _parts_named(parts: list[Facts]) -> str:
    """Return which parts are not good, the worst state first; four corners as one."""
    found = []
    for state in _NAMED:
        places = {part["place"]: part["name"] for part in parts if part["state"] == state}
        for what, all_of_them in _ALL.items():
            corners = [place for place in places if place.startswith(f"{what}_")]
            if len(corners) == _N_CORNERS:
                places[corners[0]] = all_of_them
                for place in corners[1:]:
                    del places[place]
        if places:
            names = ", ".join(places.values())
            found.append(f"<span>{sign(state)}<b>{WORDS[state]}:</b> {escape(names)}</span>")
    return f'<p class="which">{" ".join(found)}</p>' if found else ""


def _item(row: Facts, names: Names) -> str:
    why, inspect = row["cells"]
    text = names.html(why)
    if row["x_s"] is not None:
        text = jump(text, row["x_s"], row["chart"])
    head = f"{sign(row['level'])}<span>{text}</span>"
    if not inspect:
        return f'<li class="{row["level"]}"><div class="why">{head}</div></li>'
    return (
        f'<li class="{row["level"]}"><div class="why">{head}</div>'
        f'<label><input type="checkbox"> {names.html(inspect)}</label></li>'
    )


def _strip(car: Facts) -> str:
    """Return the strip of one car's stage: speed, lanes of marks, holes, distance."""
    strip = car["strip"]
    top = max(strip["top_kmh"] or 0.0, 1.0)
    highest = "not measured" if strip["top_kmh"] is None else f"to {top:.0f} km/h"

    def y(value: float) -> float:
        return round(_HEIGHT * (1 - value / top), 1)

    shaded = "".join(map(_hole, strip["holes"]))
    areas = "".join(
        f'<path d="{band([[x, 0, high] for x, _, high in run], _WIDTH, y)}"/>'
        for run in strip["speed"]
    )
    speed = (
        f'<span class="name">Speed<small>{highest}</small></span>'
        '<div class="lane speed">'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Speed over the stage">{areas}</svg>{shaded}</div>'
    )
    rows = [speed, *(_lane(lane, shaded) for lane in strip["lanes"])]
    ticks = "".join(map(_tick, strip["km"]))
    total = "km" if strip["total_km"] is None else f"{strip['total_km']:.1f} km"
    rows.append(
        f'<span class="name">{total}<small>{escape(strip["said"])}</small></span>'
        f'<div class="lane km">{ticks}</div>'
    )
    return f'<section class="strip" aria-label="The stage">{"".join(rows)}</section>'


def _tick(tick: Facts) -> str:
    """Return a mark of the distance; at the right edge its number stands to the left of it."""
    side = ' class="end"' if tick["x"] > _LAST_TICK else ""
    return f'<span{side} style="left:{100 * tick["x"]:.2f}%">{escape(tick["text"])}</span>'


def _hole(hole: Facts) -> str:
    width = 100 * (hole["x1"] - hole["x0"])
    loss = " loss" if hole["is_loss"] else ""
    return (
        f'<span class="hole{loss}" title="{escape(hole["text"])}" '
        f'style="left:{100 * hole["x0"]:.2f}%;width:{width:.2f}%"></span>'
    )


def _lane(lane: Facts, shaded: str) -> str:
    n = sum(mark["n"] for mark in lane["marks"])
    buttons = "".join(
        f'<button class="jump mark {mark["level"]}" data-x="{mark["x_s"]:.3f}" '
        f'data-chart="{escape(mark["chart"])}" style="left:{100 * mark["x"]:.2f}%" '
        f'title="{escape(mark["text"])}" aria-label="{escape(mark["text"])}" '
        f'tabindex="{-1 if number else 0}">{SIGNS[mark["level"]]}</button>'
        for number, mark in enumerate(lane["marks"])
    )
    count = f"{n:,}" if n else lane["empty"]
    return (
        f'<span class="name">{lane["title"]}<small>{count}</small></span>'
        f'<div class="lane">{shaded}{buttons}</div>'
    )
