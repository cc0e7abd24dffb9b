"""What a reader does with the page: part of a stage, time or distance, notes, search, keys, print.

In a browser, as test_report_page, whose pages these are.
"""

import json

import pytest
from test_report_page import PICTURES, SIZES, Browser, browser, pages, pages_of, pytestmark

__all__ = ["Browser", "browser", "pages", "pytestmark"]


@pytest.fixture(autouse=True)
def forget(browser, pages):
    """Nothing is kept from one test to the next."""
    yield
    browser.value("localStorage.clear()")
    assert browser.complaints() == []
    browser.told.clear()


def zoom_of(browser):
    return tuple(map(float, browser.value("document.body.dataset.zoom").split("..")))


def box_of(browser, what):
    script = f"(() => {{ const box = document.querySelector('{what}').getBoundingClientRect();"
    return browser.value(f"{script} return [box.left, box.top, box.width, box.height]; }})()")


def drag(browser, start, end):
    """Press at one place, move, and release at another."""
    steps = [("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)]
    for kind, (x, y) in steps:
        given = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1, "buttons": 1}
        browser.call("Input.dispatchMouseEvent", **given)


def test_a_part_of_the_line_above_the_charts_is_what_they_show(browser, pages):
    """From a quarter to a half of the stage; dragged to the right by a quarter; then pulled."""
    browser.open(pages["stage"], SIZES["desk"])
    browser.value("document.getElementById('charts').scrollIntoView()")
    left, top, width, height = box_of(browser, "#overview")
    whole, y = browser.value("charts[0].x1"), top + height / 2
    drag(browser, (left + width / 4, y), (left + width / 2, y))
    browser.wait("!!document.body.dataset.zoom")
    assert zoom_of(browser) == pytest.approx((whole / 4, whole / 2), abs=whole / 200)
    browser.value("document.body.dataset.zoom = ''")
    drag(browser, (left + width * 0.375, y), (left + width * 0.625, y))
    browser.wait("!!document.body.dataset.zoom")
    assert zoom_of(browser) == pytest.approx((whole / 2, whole * 0.75), abs=whole / 100)
    browser.value("document.body.dataset.zoom = ''")
    drag(browser, (left + width * 0.75 - 2, y), (left + width * 0.9, y))
    browser.wait("!!document.body.dataset.zoom")
    assert zoom_of(browser) == pytest.approx((whole / 2, whole * 0.9), abs=whole / 100)
    shown = box_of(browser, "#window")
    assert shown[0] == pytest.approx(left + width / 2, abs=width / 50)
    browser.picture(PICTURES / "stage_overview.png", is_whole=False)


def test_an_edge_of_the_window_moves_by_arrow_keys(browser, pages):
    """A tenth of what is shown each time; the slider says where it is."""
    browser.open(pages["stage"], SIZES["desk"])
    browser.value("document.getElementById('edge-from').focus()")
    browser.press("ArrowRight", 39)
    browser.wait("!!document.body.dataset.zoom")
    whole = browser.value("charts[0].x1")
    assert zoom_of(browser) == pytest.approx((whole / 10, whole), abs=0.01)
    edge = "document.getElementById('edge-from').getAttribute('aria-value{}')"
    assert float(browser.value(edge.format("now"))) == pytest.approx(10, abs=0.2)
    assert " km " in browser.value(edge.format("text"))


def test_the_axis_is_time_or_distance_and_that_is_remembered(browser, pages):
    """The km of the axis are those of the stage; the part that is shown stays."""
    browser.open(pages["stage"], SIZES["desk"])
    whole = browser.value("charts[0].x1")
    browser.value("zoom(10, 20)")
    browser.value("switchAxis()")
    low, high = browser.value("[charts[0].plot.scales.x.min, charts[0].plot.scales.x.max]")
    step, km = browser.value("[REPORT.distance.step, REPORT.distance.km]")
    wanted = [km[round(at / step)] for at in (10, 20)]
    assert [low, high] == pytest.approx(wanted, abs=0.002) and high > low
    assert zoom_of(browser) == (10.0, 20.0)
    assert browser.value("charts[0].plot.axes[0]._values.every((text) => text.endsWith(' km'))")
    browser.picture(PICTURES / "stage_km.png", is_whole=False)
    browser.open(pages["stage"], SIZES["desk"])
    assert browser.value("charts[0].plot.scales.x.max") == pytest.approx(km[-1], abs=0.002)
    assert browser.value("byId('axis').textContent") == "Over time"
    there = browser.value(f"[0, 7.5, {whole / 2}].map((s) => secondsAt(kmAt(s)))")
    assert there[1:] == pytest.approx([7.5, whole / 2], abs=step)
    browser.value("document.getElementById('strips').focus()")
    browser.press("x", 88)
    browser.wait(f"Math.abs(charts[0].plot.scales.x.max - {whole}) < 0.01")


def test_over_distance_all_that_was_while_the_car_stood_is_one_range(browser, pages):
    """The car stands for some seconds at first, its engine starts: lowest and highest of that."""
    browser.open(pages["stage"], SIZES["desk"])
    engine = "charts.find((one) => one.id === 'c-engine').plot.data"
    there = "data[k].filter((value, i) => value != null && kmAt(data[0][i]) === 0)"
    script = f"((data) => [1, 2].map((k) => {there}))({engine})"
    lows, highs = browser.value(script)
    assert len(lows) > 20 and max(lows) > min(lows) + 100
    browser.value("switchAxis()")
    found = browser.value(f"[{engine}[0][0], {engine}[1][0], {engine}[2][0]]")
    assert found == pytest.approx([0.0, min(lows), max(highs)], abs=1e-6)


def test_a_comparison_has_no_other_axis(browser, pages):
    browser.open(pages["cars"], SIZES["desk"])
    assert browser.value("byId('axis').hidden") is True


def test_notes_are_kept_shown_saved_and_printed(browser, pages):
    """One at a moment by key, one at a part by its button; both there after the page is opened
    again, in the file with km and UTC, and on paper without a third page.
    """
    browser.open(pages["stage"], SIZES["desk"])
    browser.value("zoom(10, 20)")
    browser.press("n", 78)
    browser.call("Input.insertText", text="Knocks <here> & there")
    browser.value("document.querySelector('#card-damper_rl .write').click()")
    browser.call("Input.insertText", text="New seals")
    browser.open(pages["stage"], SIZES["desk"])
    kept = browser.value("[...document.querySelectorAll('#notes textarea')].map((x) => x.value)")
    assert kept == ["Knocks <here> & there", "New seals"]
    where = browser.value(
        "[...document.querySelectorAll('#notes .jump')].map((x) => x.textContent)"
    )
    assert where[0].startswith("0:15.00 · km ") and where[1] == "Rear left damper"
    saved = json.loads(browser.value("JSON.stringify(saveNotes())"))
    moment, part = saved["notes"]
    assert saved["schema"] == "stagelog.notes/1"
    assert (moment["at"], moment["unit"]) == (15.0, "s") and moment["km"] > 0
    # the first frame of the drive is at 0 s of the logger, which was 0.001 s before the anchor
    assert moment["utc"].startswith("2026-01-21T12:53:3")
    assert (part["text"], part["place"]) == ("New seals", "card-damper_rl")
    browser.value("document.querySelector('#notes').scrollIntoView()")
    browser.picture(PICTURES / "stage_notes.png", is_whole=False)
    browser.paper(PICTURES / "stage_notes.pdf")
    assert pages_of(PICTURES / "stage_notes.pdf") == 2
    browser.value("document.querySelector('#notes .away').click()")
    assert browser.value("notes.map((note) => note.text)") == ["New seals"]
    load(browser, json.dumps(saved))
    assert browser.value("notes.length") == 3


def load(browser, text):
    """Give the page a file of notes; hold on to the promise, which may be collected otherwise."""
    file = f"new File([{json.dumps(text)}], 'a')"
    browser.value(f"window.loading = loadNotes({{ target: {{ files: [{file}] }} }})")


def test_a_file_of_notes_that_is_none_changes_nothing(browser, pages):
    browser.open(pages["stage"], SIZES["desk"])
    for text in ("{", "7", "[1, null, {}]", '{"notes": {}}', '[{"text": 5, "at": 1}]'):
        load(browser, text)
    assert browser.value("notes.length") == 0


def test_search_by_key_finds_parts_signals_and_charts(browser, pages):
    """By the name for people and by that of the DBC; Enter goes to the first."""
    browser.open(pages["stage"], SIZES["desk"])
    browser.press("/", 191)
    browser.call("Input.insertText", text="diffoiltempr")
    found = "[...document.querySelectorAll('#find-list li')].map((li) => li.textContent)"
    browser.wait(f"{found}.length > 0")
    assert browser.value(found)[0].startswith("Rear diff, ")
    browser.picture(PICTURES / "stage_find.png", is_whole=False)
    browser.press("Enter", 13, text="\r")
    browser.wait("document.activeElement.id === 'card-diff_rear'")
    browser.press("/", 191)
    browser.call("Input.insertText", text="no such thing")
    browser.wait("!byId('find-none').hidden")
    browser.press("Escape", 27)
    browser.wait("!byId('find').open")


def test_keys_are_listed_and_are_no_commands_while_one_writes(browser, pages):
    browser.open(pages["stage"], SIZES["desk"])
    browser.press("?", 191)
    browser.wait("byId('help').open")
    browser.picture(PICTURES / "stage_help.png", is_whole=False)
    browser.press("Escape", 27)
    browser.wait("!byId('help').open")
    browser.value("addNote({ at: 1 })")
    theme = browser.value("isDark()")
    for key, code in (("d", 68), ("/", 191), ("?", 191), ("n", 78)):
        browser.press(key, code)
    assert browser.value("isDark()") == theme and browser.value("notes.length") == 1
    assert browser.value("byId('find').open || byId('help').open") is False


def test_tab_leads_through_the_whole_page_and_out_of_it(browser, pages):
    """No element keeps it: buttons, marks, parts, work, names to sign, links, charts."""
    browser.open(pages["stage"], SIZES["desk"])
    script = """(() => { const at = document.activeElement;
        window.seen = window.seen || new Map();
        if (at === document.body) return null;
        if (!seen.has(at)) seen.set(at, seen.size);
        return [seen.get(at), at.id, at.tagName]; })()"""
    found = []
    for _ in range(400):
        browser.press("Tab", 9)
        one = browser.value(script)
        if one is None:
            break
        found.append(one)
    assert one is None, "the last element keeps the focus"
    assert [n for n, *_ in found] == list(range(len(found))), "an element came twice"
    ids = [name for _, name, _ in found]
    for name in ("find-open", "theme", "note-save", "axis", "edge-from", "edge-to", "strips"):
        assert name in ids
    inputs = "document.querySelectorAll('header input').length"
    assert sum(tag == "INPUT" for *_, tag in found[: ids.index("note-save")]) == browser.value(
        inputs
    )


CONTRASTS = """(() => {
    const light = (c) => { const [r, g, b] = c.map((v) => v / 255)
        .map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const hasWords = (one) => [...one.childNodes]
        .some((node) => node.nodeType === 3 && node.textContent.trim());
    return [...document.querySelectorAll('body *')]
        .filter((one) => hasWords(one) && one.getClientRects().length && !one.closest('svg'))
        .map((one) => {
            let at = one, back = [0, 0, 0, 0];
            for (; at && back[3] === 0; at = at.parentElement) {
                back = rgb(getComputedStyle(at).backgroundColor);
            }
            const ink = rgb(getComputedStyle(one).color);
            const [a, b] = [light(ink), light(back)].sort((x, y) => x - y);
            const size = parseFloat(getComputedStyle(one).fontSize);
            return [one.textContent.slice(0, 30), (b + 0.05) / (a + 0.05), size];
        }); })()"""


@pytest.mark.parametrize("theme", ["sun", "dark"])
@pytest.mark.parametrize("name", ["stage", "cars"])
def test_all_words_can_be_read_in_sun_and_dark(browser, pages, name, theme):
    """WCAG 2, 1.4.3: 4.5 and more against what lies behind; no letters under 12 pixels."""
    browser.open(pages[name], SIZES["desk"])
    browser.value(f"setTheme('{theme}')")
    found = browser.value(CONTRASTS)
    assert len(found) > 200
    assert [one for one in found if one[1] < 4.5 or one[2] < 11.9] == []
