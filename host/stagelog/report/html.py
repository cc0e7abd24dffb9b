"""The report as one HTML file that opens offline: the answer first, then cards, tables, charts.

A page is made of plain facts (dicts of JSON types, see build.stage_facts); this module owns their
order on the page, not their content. All text is escaped; nothing is loaded from anywhere. Facts
are readable without JavaScript.
"""

import json
from collections.abc import Iterator
from html import escape
from importlib import resources
from typing import Any

from stagelog import __version__
from stagelog.report.html_cards import beside, cards
from stagelog.report.html_first import first_screen, has_work, prefix_of
from stagelog.report.html_tools import DIALOGS, NOTES, OVERVIEW
from stagelog.report.html_words import Names, fold, sign, table_html
from stagelog.report.tables import Facts
from stagelog.resources import uplot_path

# Apart for every kind of colour blindness and dark enough for the sun; a test holds both.
COLOURS = (
    "#0058a3",
    "#d86018",
    "#600030",
    "#9018f0",
    "#000048",
    "#c07860",
    "#900018",
    "#9078f0",
)
_LATER = ("back", "axis")  # hidden until there is one
_LINES = " Vertical lines are events, horizontal ones limits; grey is time without data."
SCRIPTS = ("first.js", "notes.js", "overview.js", "report.js", "find.js")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_DATA = ("charts", "aliases", "marks", "pauses", "distance", "utc")


def render(facts: Facts) -> str:
    """Return the page of a report's facts as text."""
    assets = resources.files(__package__) / "page"
    uplot = uplot_path()
    names = Names(facts["names"])
    data = {key: facts[key] for key in _DATA} | {"colours": COLOURS}
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>{escape(facts['title'])}: stage report</title>",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<style>{(uplot / 'uplot.css').read_text(encoding='utf-8')}</style>",
            *[
                f"<style>{(assets / sheet).read_text(encoding='utf-8')}</style>"
                for sheet in ("report.css", "first.css", "tools.css")
            ],
            "</head><body>",
            first_screen(facts, names),
            _nav(facts),
            "<main>",
            *_cards(facts["cars"]),
            NOTES,
            '<div class="sections">',
            *[_section(section, names) for section in facts["sections"]],
            "</div>",
            _charts(facts["charts"], names),
            f"<footer>stagelog {__version__}. {escape(facts['note'])}</footer></main>",
            DIALOGS,
            f'<script type="application/json" id="report">{_json(data)}</script>',
            f"<script>{(uplot / 'uplot.js').read_text(encoding='utf-8')}</script>",
            *[
                f"<script>{(assets / script).read_text(encoding='utf-8')}</script>"
                for script in SCRIPTS
            ],
            "</body></html>",
        ]
    )


def _json(value: Any) -> str:
    """Return JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _nav(facts: Facts) -> str:
    links = [("verdict", "Verdict"), ("work", "Work")][: 1 + has_work(facts)]
    if any(car["parts"] for car in facts["cars"]):
        links.append(("parts", "Parts"))
    if facts["charts"]:
        links.append(("charts", "Charts"))
    links += [(s["id"], s.get("short", s["title"])) for s in facts["sections"]]
    items = "".join(f'<a href="#{escape(name)}">{escape(title)}</a>' for name, title in links)
    return f'<nav aria-label="Sections">{items}</nav>'


def _cards(cars: list[Facts]) -> Iterator[str]:
    """Yield the cards of the cars whose parts the profile names, several cars side by side."""
    shown = [(number, car) for number, car in enumerate(cars) if car["parts"]]
    if len(shown) == 1:
        ((number, car),) = shown
        inside = cards(car["parts"], prefix_of(number))
        yield '<section id="parts"><h2>Parts of the car</h2>'
        yield f'<div class="cards">{inside}</div></section>'
    elif shown:
        yield '<section id="parts"><h2>Parts, side by side</h2>'
        yield f'<div class="beside" style="--n:{len(shown)}">'
        yield "".join(f"<h3>{escape(car['name'])}</h3>" for _, car in shown)
        yield beside([(car["parts"], prefix_of(number)) for number, car in shown])
        yield "</div></section>"


def _section(section: Facts, names: Names) -> str:
    parts = [f'<section id="{escape(section["id"])}"><h2>{escape(section["title"])}</h2>']
    if section.get("level"):
        mark = sign(section["level"])
        parts.append(f'<p class="say {section["level"]}">{mark}{escape(section["note"])}</p>')
    elif section.get("note"):
        parts.append(f'<p class="note">{escape(section["note"])}</p>')
    if section.get("lines"):
        lines = "".join(f"<li>{names.html(line)}</li>" for line in section["lines"])
        parts.append(f'<ul class="lines">{lines}</ul>')
    show = table_html if section.get("open") else _folded
    parts += [show(table, names) for table in section.get("tables", ())]
    details = section.get("details")
    if details:
        lines = "".join(f"<li>{escape(line)}</li>" for line in details)
        blocks = f"block{'s' * (len(details) != 1)}"
        parts.append(
            fold(f"{len(details):,} damaged or contradicting {blocks}", f"<ul>{lines}</ul>")
        )
    return "".join(parts) + "</section>"


def _folded(table: Facts, names: Names) -> str:
    """Return a table as a fold-out that says how many rows it has; an empty one says so."""
    n = len(table["rows"])
    if not n:
        return table_html(table, names)
    title = names.html(table["title"] or "Table")
    inside = table_html({**table, "title": ""}, names)
    return fold(f"{title}: {n:,} row{'s' * (n != 1)}", inside)


def _charts(charts: list[Facts], names: Names) -> str:
    if not charts:
        return ""
    buttons = (
        ("back", "Back to the table", "Escape"),
        ("earlier", "Earlier", "Arrow left"),
        ("later", "Later", "Arrow right"),
        ("closer", "Closer", "Plus"),
        ("wider", "Wider", "Minus"),
        ("whole", "Whole", "0"),
        ("axis", "Over distance", "x"),
        ("note", "Note", "n"),
    )
    bar = "".join(
        f'<button id="{name}" title="{key}"{" hidden" if name in _LATER else ""}>{text}</button>'
        for name, text, key in buttons
    )
    parts = [
        '<section id="charts"><h2>Charts</h2>',
        '<p class="note">Drag in a chart or in the line above them to zoom all charts, ',
        "double-click for the whole. Each pixel shows the lowest and the highest value in it.",
        f"{_LINES if charts[0]['x_unit'] == 's' else ''}</p>",
        "<noscript><p>Charts need JavaScript; the facts above do not.</p></noscript>",
        f'<div class="bar" role="toolbar" aria-label="Charts">{bar}',
        f'<output id="at"></output>{OVERVIEW}</div>',
        '<div id="strips" tabindex="0" aria-label="Strip charts">',
    ]
    for chart in charts:
        keys = "".join(
            f'<span><i style="background:{COLOURS[i % len(COLOURS)]}"></i>'
            f'{names.html(channel["name"])} <b data-i="{i}"></b></span>'
            for i, channel in enumerate(chart["channels"])
        )
        unit = f" <small>{escape(chart['unit'])}</small>" if chart["unit"] else ""
        name = escape(chart["id"])
        parts.append(
            f'<div class="chart" id="box-{name}"><h3>{names.html(chart["title"])}{unit}</h3>'
            f'<p class="keys">{keys}</p>'
            f'<div id="{name}" role="img" aria-label="{escape(chart["title"])}"></div></div>'
        )
    return "".join(parts) + "</div></section>"
