"""The report as one HTML file that opens offline: facts as tables, channels as zoomable strips.

A page is made of plain facts (dicts of JSON types, see `stage_facts`); this module owns how they
look, nothing of what they say. All text is escaped; nothing is loaded from anywhere.
"""

import html
import json
from importlib import resources

from .. import __version__


def render(facts):
    """Return the page of a report's facts as text."""
    assets = resources.files(__package__) / "page"
    charts = facts["charts"]
    body = [
        _header(facts),
        _nav(facts),
        "<main>",
        *[_section(section) for section in facts["sections"]],
        _charts(charts),
        f"<footer>stagelog {__version__}. {html.escape(facts.get('source', ''))}</footer></main>",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>{html.escape(facts['title'])}</title>",
            '<meta name="viewport" content="width=device-width">',
            f"<style>{(assets / 'uplot.css').read_text()}</style>",
            f"<style>{(assets / 'report.css').read_text()}</style>",
            "</head><body>",
            *body,
            f'<script type="application/json" id="report">{_json({"charts": charts})}</script>',
            f"<script>{(assets / 'uplot.js').read_text()}</script>",
            f"<script>{(assets / 'report.js').read_text()}</script>",
            "</body></html>",
        ]
    )


def _json(value):
    """Return JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _header(facts):
    tiles = "".join(
        f'<div class="tile {tile.get("level", "")}"><b>{html.escape(str(tile["value"]))}</b>'
        f"<span>{html.escape(tile['text'])}</span></div>"
        for tile in facts["tiles"]
    )
    return (
        f"<header><h1>{html.escape(facts['title'])}</h1>"
        f'<p class="where">{html.escape(facts["subtitle"])}</p>'
        f'<div class="verdict">{tiles}</div></header>'
    )


def _nav(facts):
    links = [(section["id"], section["title"]) for section in facts["sections"]]
    if facts["charts"]:
        links.append(("charts", "Charts"))
    items = "".join(f'<a href="#{name}">{html.escape(title)}</a>' for name, title in links)
    return f"<nav>{items}</nav>"


def _section(section):
    parts = [f'<section id="{section["id"]}"><h2>{html.escape(section["title"])}</h2>']
    if section.get("note"):
        parts.append(f'<p class="note">{html.escape(section["note"])}</p>')
    if section.get("lines"):
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in section["lines"])
        parts.append(f'<ul class="lines">{lines}</ul>')
    parts += [_table(table) for table in section.get("tables", ())]
    return "".join(parts) + "</section>"


def _table(table):
    """Return a table; a column is {name, unit, text?}, a row {cells, level?, x_s?}."""
    title = f"<h3>{html.escape(table['title'])}</h3>" if table.get("title") else ""
    if not table["rows"]:
        return f'{title}<p class="note">{html.escape(table.get("empty", "None."))}</p>'
    columns = table["columns"]
    head = "".join(
        f"<th{_text_class(column)}>{html.escape(column['name'])}"
        f"<small>{html.escape(column.get('unit', ''))}</small></th>"
        for column in columns
    )
    rows = "".join(_row(row, columns) for row in table["rows"])
    return (
        f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(row, columns):
    cells = []
    for i, (cell, column) in enumerate(zip(row["cells"], columns, strict=True)):
        text = html.escape("-" if cell is None else str(cell))
        if i == 0 and row.get("x_s") is not None:
            text = f'<button class="jump" data-x="{row["x_s"]:.3f}">{text}</button>'
        cells.append(f"<td{_text_class(column)}>{text}</td>")
    return f'<tr class="{row.get("level", "")}">{"".join(cells)}</tr>'


def _text_class(column):
    return ' class="text"' if column.get("text") else ""


def _charts(charts):
    if not charts:
        return ""
    parts = [
        '<section id="charts"><h2>Charts</h2>',
        '<p class="note">Drag to zoom all charts, double-click for the whole. ',
        "Each pixel shows the lowest and the highest value in it.</p>",
        '<div class="bar"><button id="whole">Whole stage</button></div>',
    ]
    for chart in charts:
        keys = "".join(
            f'<span><i style="background:{_COLOURS[i % len(_COLOURS)]}"></i>'
            f"{html.escape(channel['name'])}</span>"
            for i, channel in enumerate(chart["channels"])
        )
        unit = f" ({html.escape(chart['unit'])})" if chart["unit"] else ""
        parts.append(
            f'<div class="chart"><h3>{html.escape(chart["title"])}{unit}{keys}</h3>'
            f'<div id="{chart["id"]}"></div></div>'
        )
    return "".join(parts) + "</section>"


_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#000000",
    "#7a5195",
)
