"""The report as one HTML file that opens offline: facts as tables, channels as zoomable strips.

A page is made of plain facts (dicts of JSON types, see build.stage_facts); this module owns their
layout, not their content. All text is escaped; nothing is loaded from anywhere. Facts
are readable without JavaScript.
"""

import json
from html import escape
from importlib import resources

from stagelog import __version__
from stagelog.report.tables import cell_text
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
_WORDS = {"bad": "critical", "warn": "check", "good": "good", "info": "note", "": ""}
_SIGNS = {"bad": "■", "warn": "▲", "good": "●", "info": "○"}
_LINES = " Vertical lines are events, horizontal ones limits; grey is time without data."
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_DATA = ("charts", "aliases", "marks", "pauses", "distance", "utc")


def render(facts):
    """Return the page of a report's facts as text."""
    assets = resources.files(__package__) / "page"
    uplot = uplot_path()
    data = {key: facts[key] for key in _DATA} | {"colours": COLOURS}
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>{escape(facts['title'])}: stage report</title>",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<style>{(uplot / 'uplot.css').read_text(encoding='utf-8')}</style>",
            f"<style>{(assets / 'report.css').read_text(encoding='utf-8')}</style>",
            "</head><body>",
            _header(facts),
            _nav(facts),
            "<main>",
            *[_section(section) for section in facts["sections"]],
            _charts(facts["charts"]),
            f"<footer>stagelog {__version__}. {escape(facts['note'])}</footer></main>",
            f'<script type="application/json" id="report">{_json(data)}</script>',
            f"<script>{(uplot / 'uplot.js').read_text(encoding='utf-8')}</script>",
            f"<script>{(assets / 'report.js').read_text(encoding='utf-8')}</script>",
            "</body></html>",
        ]
    )


def _json(value):
    """Return JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _header(facts):
    verdict = facts["verdict"]
    level = verdict["level"]
    tiles = "".join(
        f'<div class="tile {tile["level"]}">{_sign(tile["level"])}<b>{escape(tile["value"])}</b>'
        f"<span>{escape(tile['text'])}</span></div>"
        for tile in facts["tiles"]
    )
    reasons = _table(verdict["reasons"]) if verdict["reasons"]["rows"] else ""
    return (
        f"<header><h1>{escape(facts['title'])}</h1>"
        f'<p class="where">{escape(facts["subtitle"])}</p>'
        f'<section id="verdict" class="verdict {level}"><h2>{escape(verdict["question"])}</h2>'
        f'<p class="answer">{_sign(level)}{escape(verdict["answer"])}</p>{reasons}</section>'
        f'<div class="tiles">{tiles}</div></header>'
    )


def _nav(facts):
    links = [("verdict", "Verdict")]
    links += [(s["id"], s.get("short", s["title"])) for s in facts["sections"]]
    if facts["charts"]:
        links.insert(1, ("charts", "Charts"))
    items = "".join(f'<a href="#{escape(name)}">{escape(title)}</a>' for name, title in links)
    return f'<nav aria-label="Sections">{items}</nav>'


def _section(section):
    parts = [f'<section id="{escape(section["id"])}"><h2>{escape(section["title"])}</h2>']
    if section.get("level"):
        sign = _sign(section["level"])
        parts.append(f'<p class="say {section["level"]}">{sign}{escape(section["note"])}</p>')
    elif section.get("note"):
        parts.append(f'<p class="note">{escape(section["note"])}</p>')
    if section.get("lines"):
        lines = "".join(f"<li>{escape(line)}</li>" for line in section["lines"])
        parts.append(f'<ul class="lines">{lines}</ul>')
    parts += [_table(table) for table in section.get("tables", ())]
    details = section.get("details")
    if details:
        lines = "".join(f"<li>{escape(line)}</li>" for line in details)
        blocks = f"block{'s' * (len(details) != 1)}"
        parts.append(
            _fold(f"{len(details):,} damaged or contradicting {blocks}", f"<ul>{lines}</ul>")
        )
    return "".join(parts) + "</section>"


def _table(table):
    title = f"<h3>{escape(table['title'])}</h3>" if table["title"] else ""
    rows, columns, fold = table["rows"], table["columns"], table["fold"]
    if not rows:
        return f'{title}<p class="note">{escape(table["empty"])}</p>'
    head = "".join(
        f'<th scope="col"{_text_class(c)}>{escape(c["name"])}'
        f"<small>{escape(c['unit'])}</small></th>"
        for c in columns
    )

    def body(part):
        lines = "".join(_row(row, columns) for row in part)
        return (
            f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{lines}</tbody></table></div>"
        )

    if fold is None or len(rows) <= fold:
        return title + body(rows)
    if not fold:
        return _fold(table["title"], body(rows))
    rest = rows[fold:]
    return title + body(rows[:fold]) + _fold(f"{len(rest):,} more", body(rest))


def _fold(summary, inside):
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>"


def _row(row, columns):
    cells = []
    for i, (cell, column) in enumerate(zip(row["cells"], columns, strict=True)):
        text = escape(cell_text(cell, column))
        if i == 0:
            if row["x_s"] is not None:
                chart = f' data-chart="{escape(row["chart"])}"' if row["chart"] else ""
                text = f'<button class="jump" data-x="{row["x_s"]:.3f}"{chart}>{text}</button>'
            text = f'<div class="first">{_sign(row["level"])}{text}</div>'
            cells.append(f"<td{_text_class(column)}>{text}</td>")
        else:
            cells.append(f"<td{_text_class(column)}>{text}</td>")
    return f'<tr class="{row["level"]}">{"".join(cells)}</tr>'


def _sign(level):
    """Return a sign beside the colour, for readers without colour vision and prints in grey."""
    if level not in _SIGNS:
        return ""
    word = f'aria-label="{_WORDS[level]}" title="{_WORDS[level]}"'
    return f'<i class="sign {level}" role="img" {word}>{_SIGNS[level]}</i>'


def _text_class(column):
    if not column["text"]:
        return ""
    return ' class="text long"' if column["long"] else ' class="text"'


def _charts(charts):
    if not charts:
        return ""
    buttons = (
        ("back", "Back to the table", "Escape"),
        ("earlier", "Earlier", "Arrow left"),
        ("later", "Later", "Arrow right"),
        ("closer", "Closer", "Plus"),
        ("wider", "Wider", "Minus"),
        ("whole", "Whole", "0"),
    )
    bar = "".join(
        f'<button id="{name}" title="{key}"{" hidden" if name == "back" else ""}>{text}</button>'
        for name, text, key in buttons
    )
    parts = [
        '<section id="charts"><h2>Charts</h2>',
        '<p class="note">Drag to zoom all charts, double-click for the whole. ',
        "Each pixel shows the lowest and the highest value in it.",
        f"{_LINES if charts[0]['x_unit'] == 's' else ''}</p>",
        "<noscript><p>Charts need JavaScript; the facts above do not.</p></noscript>",
        f'<div class="bar" role="toolbar" aria-label="Charts">{bar}',
        '<output id="at"></output></div>',
        '<div id="strips" tabindex="0" aria-label="Strip charts">',
    ]
    for chart in charts:
        keys = "".join(
            f'<span><i style="background:{COLOURS[i % len(COLOURS)]}"></i>'
            f'{escape(channel["name"])} <b data-i="{i}"></b></span>'
            for i, channel in enumerate(chart["channels"])
        )
        unit = f" <small>{escape(chart['unit'])}</small>" if chart["unit"] else ""
        name = escape(chart["id"])
        parts.append(
            f'<div class="chart" id="box-{name}"><h3>{escape(chart["title"])}{unit}</h3>'
            f'<p class="keys">{keys}</p>'
            f'<div id="{name}" role="img" aria-label="{escape(chart["title"])}"></div></div>'
        )
    return "".join(parts) + "</div></section>"
