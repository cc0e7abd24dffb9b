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
NAMES = {"DiffOilTempR": "Rear diff oil"}
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
            "names": NAMES,
            "cars": [],
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
        f'<p class="answer">{BAD}Yes.</p></section>' in found
    )
    assert (
        '<section class="work" id="work"><h2>Work before the start</h2><ul><li class="bad">'
        f'<div class="why">{BAD}<span>No oil</span></div>'
        '<label><input type="checkbox"> the sump</label></li></ul>'
        '<p class="signed"><label><input>Done by</label><label><input>Checked by</label>'
        "<label><input>Time</label></p>" in found
    )
    assert (
        f'<div class="tiles"><div class="tile warn">{WARN}<b>3</b><span>jumps</span></div>'
        '<div class="tile "><b>9 km</b><span>driven</span></div></div>' in found
    )


def test_a_verdict_without_a_reason_gives_no_work():
    found = page()
    assert f'<p class="answer">{GOOD}Yes.</p></section>' in found
    assert '<p class="note">This log gives no work.</p><p class="signed">' in found
    assert 'type="checkbox"' not in found


def test_what_needs_no_work_has_no_box():
    found = page(reasons=[("The log is of another recorder", None)])
    assert 'type="checkbox"' not in found
    assert '<li class="bad"><div class="why">' in found


def test_the_eighth_work_folds_out():
    found = page(reasons=[(f"reason {k}", f"work {k}") for k in range(9)])
    shown, _, hidden = found.partition("<details><summary>2 more</summary>")
    assert shown.count('type="checkbox"') == 7 and hidden.count('type="checkbox"') == 2


def test_a_signal_has_its_name_with_that_of_the_dbc_beside_it():
    """Wherever it stands: in a reason, a line, a cell, the head of a column; escaped as all."""
    named = 'Rear diff oil <small class="dbc">DiffOilTempR</small>'
    column = t.column("DiffOilTempR highest", "degC")
    table = t.table([t.words("signal"), column], [t.row("DiffOilTempR", 7)])
    found = page(
        [section(table, lines=["DiffOilTempR < 3, DiffOilTempRR"])],
        reasons=[("diff oil DiffOilTempR critical", "oil")],
    )
    assert f"<span>diff oil {named} critical</span>" in found
    assert f"<li>{named} &lt; 3, DiffOilTempRR</li>" in found
    assert f'<th scope="col">{named} highest<small>degC</small></th>' in found
    assert f'<div class="first"><span>{named}</span></div>' in found


def test_links_are_in_the_order_of_the_page():
    """The verdict first, then the charts if there are any, then the sections by short names."""
    links = '<nav aria-label="Sections"><a href="#verdict">Verdict</a><a href="#work">Work</a>'
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
        "<h2>Jumps and landings</h2><details><summary>Table: 3 rows</summary>"
        f"{HEAD}<tbody>"
        f'<tr class="warn"><td class="text"><div class="first">{WARN}<span>'
        '<button class="jump" data-x="0.000" data-chart="c-speed">&lt;a&gt;</button></span>'
        "</div></td>"
        '<td>1.24</td><td class="text long">long text</td></tr>'
        f'<tr class="good"><td class="text"><div class="first">{GOOD}<span>'
        '<button class="jump" data-x="12.346">b</button></span></div></td>'
        '<td>-</td><td class="text long">-</td></tr>'
        '<tr class=""><td class="text"><div class="first"><span>c</span></div></td>'
        '<td>7</td><td class="text long">x</td></tr></tbody></table></div></details>'
    )


def folded(n, fold):
    """Return (how the table is called, rows in it, summary of the rest or None, its rows)."""
    found = body(page([section(t.table(COLUMNS, rows(n), title="T", fold=fold))]))
    _, whole, *rest = found.split("<details><summary>")
    first = whole.partition("</summary>")[0]
    inner = rest[0] if rest else ""
    summary = inner.partition("</summary>")[0] or None
    return first, whole.count("<td>"), summary, inner.count("<td>")


def test_a_table_folds_out_and_its_rest_within_it():
    assert folded(1, None) == ("T: 1 row", 1, None, 0)
    assert folded(3, 3) == ("T: 3 rows", 3, None, 0)
    assert folded(4, 3) == ("T: 4 rows", 3, "1 more", 1)
    assert folded(1300, 3) == ("T: 1,300 rows", 3, "1,297 more", 1297)
    assert folded(2, 0) == ("T: 2 rows", 2, None, 0)


def test_a_section_that_is_open_shows_its_tables():
    found = body(page([section(t.table(COLUMNS, rows(2), title="T"), open=True)]))
    assert f"<h2>Jumps and landings</h2><h3>T</h3>{HEAD}" in found and "<details" not in found


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
    bar = page(charts=[km_chart()]).partition('role="toolbar"')[2]
    buttons = re.findall(r'<button id="(\w+)" title="[^"]*"( hidden)?>', bar)
    assert buttons == [
        ("back", " hidden"),
        *((name, "") for name in ("earlier", "later", "closer", "wider", "whole")),
        ("axis", " hidden"),
        ("note", ""),
    ]
