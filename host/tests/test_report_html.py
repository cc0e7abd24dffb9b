"""The page, tag by tag, from facts of which every value is chosen here; no log is read.

What must come out is written as HTML by hand. The page in a browser: test_report_page.py.
"""

import re

from stagelog.report import tables as t
from stagelog.report.charts import chart_over_km
from stagelog.report.html import COLOURS, render

GOOD = '<i class="sign good" role="img" aria-label="good" title="good">●</i>'
WARN = '<i class="sign warn" role="img" aria-label="check" title="check">▲</i>'
BAD = '<i class="sign bad" role="img" aria-label="critical" title="critical">■</i>'
INFO = '<i class="sign info" role="img" aria-label="note" title="note">○</i>'
COLUMNS = [t.words("what"), t.column("at", "km", 2), t.words("why", long=True)]
HEAD = (
    '<div class="scroll" tabindex="0"><table><thead><tr>'
    '<th scope="col" class="text">what<small></small></th>'
    '<th scope="col">at<small>km</small></th>'
    '<th scope="col" class="text long">why<small></small></th></tr></thead>'
)


def page(sections=(), reasons=(), charts=(), tiles=(), level="good"):
    columns = [t.words("why", long=True), t.words("inspect", long=True)]
    return render(
        {
            "title": "C01",
            "subtitle": "no wall clock",
            "verdict": {
                "level": level,
                "question": "Can it start?",
                "answer": "Yes.",
                "reasons": t.table(columns, [t.row(*each, level="bad") for each in reasons]),
            },
            "tiles": tiles,
            "sections": sections,
            "charts": charts,
            "aliases": {},
            "marks": [],
            "pauses": [],
            "distance": None,
            "utc": [],
            "note": "From x.slog.",
        }
    )


def section(*tables, **more):
    return {"id": "jumps", "title": "Jumps and landings", "tables": tables, **more}


def rows(n, **more):
    return [t.row(f"row {k}", k / 4, None, **more) for k in range(n)]


def body(found):
    """Return the text of the one section of a page."""
    return re.search(r'<section id="jumps">(.*?)</section>', found, re.DOTALL)[1]


def test_the_head():
    found = page(
        reasons=[("No oil", "the sump")],
        tiles=[
            {"value": "3", "text": "jumps", "level": "warn"},
            {"value": "9 km", "text": "driven", "level": ""},
        ],
        level="bad",
    )
    assert "<title>C01: stage report</title>" in found
    assert (
        '<section id="verdict" class="verdict bad"><h2>Can it start?</h2>'
        f'<p class="answer">{BAD}Yes.</p><div class="scroll"' in found
    )
    assert f'<td class="text long"><div class="first">{BAD}No oil</div></td>' in found
    assert '<td class="text long">the sump</td>' in found
    assert (
        f'<div class="tiles"><div class="tile warn">{WARN}<b>3</b><span>jumps</span></div>'
        '<div class="tile "><b>9 km</b><span>driven</span></div></div>' in found
    )


def test_a_verdict_without_a_reason_has_no_table():
    found = page()
    assert f'<p class="answer">{GOOD}Yes.</p></section><div class="tiles"></div></header>' in found


def test_links_are_in_the_order_of_the_page():
    """The verdict first, then the charts if there are any, then the sections by short names."""
    links = '<nav aria-label="Sections"><a href="#verdict">Verdict</a>'
    first = '<a href="#jumps">Jumps</a>'
    assert links + first + '<a href="#b">Other</a></nav>' in page(
        [section(short="Jumps"), {"id": "b", "title": "Other"}]
    )
    found = page([section(short="Jumps")], charts=[km_chart()])
    assert f'{links}<a href="#charts">Charts</a>{first}</nav>' in found


def test_a_section_has_a_note_or_a_sentence_with_its_sign():
    assert body(page([section(note="As seen.")])) == (
        '<h2>Jumps and landings</h2><p class="note">As seen.</p>'
    )
    found = body(page([section(note="As seen.", level="info", lines=["a < b", "c"])]))
    assert found == (
        f'<h2>Jumps and landings</h2><p class="say info">{INFO}As seen.</p>'
        '<ul class="lines"><li>a &lt; b</li><li>c</li></ul>'
    )
    assert body(page([section()])) == "<h2>Jumps and landings</h2>"


def test_damaged_blocks_are_counted_and_folded():
    one = body(page([section(details=["block 7"])]))
    assert one.endswith(
        "<details><summary>1 damaged or contradicting block</summary>"
        "<ul><li>block 7</li></ul></details>"
    )
    many = body(page([section(details=["b"] * 1200)]))
    assert "<summary>1,200 damaged or contradicting blocks</summary>" in many


def test_a_table_without_rows_says_so():
    found = body(page([section(t.table(COLUMNS, [], title="Flights", empty="No flight."))]))
    assert found.endswith('<h3>Flights</h3><p class="note">No flight.</p>')


def test_a_row_of_a_table():
    """A moment of 0 s is one; the button carries it to the millisecond, and its chart."""
    given = [
        t.row("<a>", 1.239, "long text", level="warn", x_s=0.0, chart="c-speed"),
        t.row("b", None, None, level="good", x_s=12.3456),
        t.row("c", 7, "x"),
    ]
    found = body(page([section(t.table(COLUMNS, given))]))
    assert found == (
        f"<h2>Jumps and landings</h2>{HEAD}<tbody>"
        f'<tr class="warn"><td class="text"><div class="first">{WARN}'
        '<button class="jump" data-x="0.000" data-chart="c-speed">&lt;a&gt;</button></div></td>'
        '<td>1.24</td><td class="text long">long text</td></tr>'
        f'<tr class="good"><td class="text"><div class="first">{GOOD}'
        '<button class="jump" data-x="12.346">b</button></div></td>'
        '<td>-</td><td class="text long">-</td></tr>'
        '<tr class=""><td class="text"><div class="first">c</div></td>'
        '<td>7</td><td class="text long">x</td></tr></tbody></table></div>'
    )


def folded(n, fold):
    """Return (rows open, summary or None, rows folded) of a table of n rows."""
    found = body(page([section(t.table(COLUMNS, rows(n), title="T", fold=fold))]))
    shown, _, hidden = found.partition("<details>")
    summary = re.search("<summary>(.*?)</summary>", hidden)
    return shown.count("<td>"), summary and summary[1], hidden.count("<td>")


def test_rows_beyond_the_fold_are_folded_away():
    assert folded(3, None) == (3, None, 0)
    assert folded(3, 3) == (3, None, 0)
    assert folded(4, 3) == (3, "1 more", 1)
    assert folded(1300, 3) == (3, "1,297 more", 1297)
    assert folded(2, 0) == (0, "T", 2)


def km_chart(n=1, unit="km/h", **more):
    import numpy as np

    km = np.array([0.0, 0.5, 1.0])
    curves = [(f"car {k}", km, np.array([0.0, 10.0, 20.0])) for k in range(n)]
    return chart_over_km("k-speed", "Speed", unit, curves) | more


def test_a_chart_has_its_unit_and_a_key_for_each_channel():
    """The ninth channel has the first colour again."""
    found = page(charts=[km_chart(9)])
    assert '<div class="chart" id="box-k-speed"><h3>Speed <small>km/h</small></h3>' in found
    assert '<div id="k-speed" role="img" aria-label="Speed"></div></div>' in found
    keys = re.findall(r'<i style="background:(#\w+)"></i>(car \d) <b data-i="(\d)"></b>', found)
    assert keys == [(COLOURS[k % 8], f"car {k}", str(k)) for k in range(9)]
    assert "<h3>Speed</h3>" in page(charts=[km_chart(unit="")])


def test_only_charts_over_time_have_events_and_limits():
    lines = "Vertical lines are events, horizontal ones limits; grey is time without data."
    assert lines not in page(charts=[km_chart()])
    assert lines in page(charts=[km_chart(x_unit="s")])
    assert '<section id="charts">' not in page()


def test_the_way_back_is_hidden_until_there_is_one():
    buttons = re.findall(r'<button id="(\w+)" title="[^"]*"( hidden)?>', page(charts=[km_chart()]))
    assert buttons == [
        ("back", " hidden"),
        *((name, "") for name in ("earlier", "later", "closer", "wider", "whole")),
    ]
