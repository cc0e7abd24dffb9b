"""The wall page in a browser: drawn, live, hostile names as text, nothing loaded; pictures kept in
out/wall_pages. Skipped without a Chromium, as test_report_page.py.
"""

import time

import pytest
from test_report_page import CHROMIUM, ROOT, Browser, contrast
from test_serve import HOSTILE, Served
from wall_archive import device, publish_run, write_archive, write_check, write_stage

from stagelog.report.car_life import Replacement, record
from stagelog.serve.wall import Wall

PICTURES = ROOT / "out" / "wall_pages"
SIZES = {"desk": (1440, 900), "wall": (1920, 1080), "phone": (390, 844)}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: see tools/browser")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    PICTURES.mkdir(parents=True, exist_ok=True)
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture
def page(tmp_path, browser):
    """A server of the archive of three cars with a download in the middle: (address, archive,
    run).
    """
    root, fleet = write_archive(tmp_path)
    run, units = publish_run(root)
    server = Served(Wall(root, fleet))
    yield f"http://127.0.0.1:{server.port}/", root, (run, units)
    browser.call("Page.navigate", url="about:blank")
    server.close()


def text_of(browser, what):
    return browser.value(f"document.querySelector('{what}').innerText")


@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_and_says_what_is_red(browser, page, size):
    address, _, _ = page
    browser.told.clear()
    browser.open(address, SIZES[size])
    browser.picture(PICTURES / f"{size}.png", is_whole=size != "wall")
    assert browser.value("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert text_of(browser, "h1") == "DAKAR26 SS03" and text_of(browser, "#link") == "● live"
    lights = browser.value("[...document.querySelectorAll('.car h2')].map((one) => one.innerText)")
    assert [light.split() for light in lights] == [
        ["C01", "●", "GREEN"], ["C02", "●", "AMBER"], ["C03", "●", "RED"],
    ]  # fmt: skip
    first = browser.value("[...document.querySelectorAll('.todo li')].map((one) => one.className)")
    assert first == ["bad", "bad", "bad", "warn", "warn", "warn", "warn"]
    assert "signal table: it has 07ac276b" in text_of(browser, "#red")
    assert browser.value("document.querySelectorAll('progress').length") == 5
    row = browser.value("document.querySelectorAll('.logger')[2].innerText")
    assert "spare" in row and "2.5 MB of 41.0 MB, 520.0 kB/s, 1:14 left" in row
    assert browser.complaints(address) == []


def test_dark_follows_the_machine(browser, page):
    """Ink and paper keep a contrast of 7 and more (WCAG 2, 1.4.6)."""
    address, _, _ = page
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.call("Emulation.setEmulatedMedia", features=features)
        browser.open(address, SIZES["desk"])
        browser.picture(PICTURES / f"{scheme}.png", is_whole=False)
        style = "getComputedStyle(document.querySelector('{}')).{}"
        paper = browser.value(style.format("body", "backgroundColor"))
        assert contrast(browser.value(style.format("body", "color")), paper) >= 7
        for what in (".light.red", ".light.green", ".light.amber", ".say.good", ".what.bad"):
            assert contrast(browser.value(style.format(what, "color")), paper) >= 4.5, what
    browser.call("Emulation.setEmulatedMedia", features=[])


def test_what_changes_arrives_without_a_click(browser, page):
    """A logger gets on, then is done; a folded table that was opened stays open."""
    address, root, (run, units) = page
    browser.told.clear()
    browser.open(address, SIZES["desk"])
    browser.value("document.querySelector('#life details[data-car=C03] summary').click()")
    units[2].advance(20_500_000)
    time.sleep(0.5)
    run.show(units)
    browser.wait("document.body.innerText.includes('20.5 MB of 41.0 MB')")
    record(root, Replacement("C03", "damper_fl", ("DAKAR26", "SS03"), 1, note="bent rod"))
    browser.wait("document.querySelector('#life').innerText.includes('bent rod')")
    assert browser.value("document.querySelector('#life details[data-car=C03]').open") is True
    run.__exit__(None, None, None)
    browser.wait("!document.querySelector('progress')")
    assert browser.complaints(address) == []


def test_a_report_opens_and_can_reach_nothing(browser, page):
    """A page in the archive with a script of its own: it runs, but reads neither the facts nor
    the address of its opener.
    """
    address, root, _ = page
    hostile = """<!doctype html><body><p id="seen">nothing</p><script>
        const seen = [origin];
        const done = () => { document.getElementById("seen").textContent = seen.join(" ");
            document.body.dataset.ready = "1"; };
        try { seen.push(document.cookie); } catch { seen.push("no cookie"); }
        fetch("/events").then(() => seen.push("read"), () => seen.push("refused")).then(done);
    </script>"""
    stage = root / "event=DAKAR26/car=C01/stage=SS03"
    (stage / "report-chassis.html").write_text(hostile)
    browser.open(address, SIZES["desk"])
    link = "[...document.querySelectorAll('#reports a')].find((one) => one.href.includes"
    url = browser.value(f"{link}('C01/SS03/report-chassis')).href")
    assert url == f"{address}reports/DAKAR26/C01/SS03/report-chassis.html"
    browser.open(url, SIZES["desk"])
    assert text_of(browser, "#seen") == "null no cookie refused"


def test_hostile_names_are_text(browser, tmp_path):
    """In a note, a check, a run, the name of a car's folder, a report's answer, an event."""
    root, fleet = write_archive(tmp_path)
    fleet.write_text(fleet.read_text().replace('"DAKAR26"', f"'{HOSTILE}'"))
    write_check(root, "C01", "red", *[("bad", HOSTILE, HOSTILE, HOSTILE)])
    record(root, Replacement("C01", "gearbox", None, 1, note=f"{HOSTILE}</script>"))
    stage = write_stage(root, "C04", 1)
    stage.parent.rename(stage.parent.with_name(f"car={HOSTILE}"))
    run, units = publish_run(root)
    units[0].place = units[1].note = units[2].step = HOSTILE
    time.sleep(0.5)
    run.show(units)
    for life in root.rglob("car=C02/stage=SS03/*.life.json"):
        life.write_text(life.read_text().replace("Yes, after", f"{HOSTILE} Yes, after"))
    server = Served(Wall(root, fleet))
    address = f"http://127.0.0.1:{server.port}/"
    try:
        browser.told.clear()
        browser.open(address, SIZES["desk"])
        shown = browser.value("document.body.textContent.split('<img src=x').length - 1")
        assert shown >= 8
        assert browser.value("document.querySelectorAll('img, script:not([src])').length") == 0
        assert HOSTILE in text_of(browser, "h1")
        assert browser.complaints(address) == []
    finally:
        browser.call("Page.navigate", url="about:blank")
        server.close()


def test_a_lost_connection_is_said(browser, tmp_path):
    root, fleet = write_archive(tmp_path)
    server = Served(Wall(root, fleet))
    browser.open(f"http://127.0.0.1:{server.port}/", SIZES["phone"])
    server.close()
    browser.wait("document.querySelector('#link').textContent.includes('what you see is old')")
    assert device("C01", "spare")[-8:] in text_of(browser, "#cars")
