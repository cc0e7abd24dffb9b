"""The page in a browser: charts drawn, events clicked, nothing loaded, pictures kept.

The pictures stand in out/report_pages of the checkout, for a person to look at. Skipped without a
Chromium: $CHROMIUM, an installed one, or the one that tools/browser keeps.
"""

import base64
import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from stagelog.blocks.placement import Identity
from stagelog.blocks.writer import pack_session
from stagelog.car import drive
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import compare_facts, stage_facts
from stagelog.report.html import render
from stagelog.report.source import read_source

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "out" / "report_pages"
NAMES = ("chromium", "chromium-browser", "google-chrome", ROOT / ".cache/chromium/chromium.sh")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
WORDS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --hide-scrollbars "
    "--disable-background-networking --remote-debugging-pipe"
).split()
SIZES = {"desk": (1440, 900), "tablet": (1024, 768), "phone": (390, 844)}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: see tools/browser")


class Browser:
    """Headless Chromium by its debugging pipe: JSON, ended by a zero byte, on descriptors 3, 4."""

    def __init__(self, folder):
        told, self._write = os.pipe()
        self._read, tells = os.pipe()
        inherited = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (told, tells)]
        os.close(told)
        os.close(tells)
        script = f'exec "$@" 3<&{inherited[0]} 4>&{inherited[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "-", CHROMIUM, *WORDS, f"--user-data-dir={folder}"],
            pass_fds=inherited,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in inherited:
            os.close(fd)
        self._rest, self._n, self._session, self.told = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = session["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self._n += 1
        message = {"id": self._n, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._n:
                assert "error" not in answer, answer
                return answer["result"]
            self.told.append(answer)

    def _message(self):
        while b"\0" not in self._rest:
            piece = os.read(self._read, 1 << 20)
            assert piece, "Chromium ended"
            self._rest += piece
        head, _, self._rest = self._rest.partition(b"\0")
        return json.loads(head)

    def value(self, script):
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script):
        for _ in range(600):
            if self.value(script):
                return
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}")

    def open(self, path, size, mark=""):
        """Open a file, or an address, and wait until the page says that it is ready."""
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 1200,
        )
        self.call("Page.navigate", url="about:blank")
        url = path if isinstance(path, str) else path.as_uri()
        self.call("Page.navigate", url=f"{url}{mark}")
        self.wait("document.body && !!document.body.dataset.ready")

    def press(self, key, code, **more):
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more
            )

    def picture(self, path, is_whole=True):
        given = {}
        if is_whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 16000)}
            given = {"captureBeyondViewport": True, "clip": {**clip, "scale": 1}}
        shot = self.call("Page.captureScreenshot", format="png", **given)
        path.write_bytes(base64.b64decode(shot["data"]))

    def paper(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF")["data"]))

    def complaints(self, own="file:"):
        """Return exceptions, console errors and requests to anywhere but `own`."""
        found = []
        for one in self.told:
            params = one.get("params", {})
            if one.get("method") == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith((own, "about:")):
                    found.append(url)
            elif one.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(json.dumps(params)[:300])
        return found

    def close(self):
        with contextlib.suppress(AssertionError, OSError):
            self._session = None
            self.call("Browser.close")
        self._process.wait(20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages of one car with a hole in its log, and of two cars."""
    profile, folder = load_profile("d7xr"), tmp_path_factory.mktemp("pages")
    sources = []
    for seed in (1, 2):
        frames = drive("stage", seed=seed, duration_s=43).frames
        anchors = [(1000, 1_769_000_000_000_000)]
        blocks = pack_session(frames, Identity("0b" * 8, 1, seed), anchors=anchors)
        keep = np.ones(len(blocks), bool)
        keep[60:70] = seed != 1
        log = folder / f"C0{seed}.slog"
        log.write_bytes(blocks[keep].tobytes())
        sources.append(read_source([log], profile, dbc_file(profile), f"C0{seed}, SS01"))
    made = {"stage": render(stage_facts(sources[0])), "cars": render(compare_facts(sources))}
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, page in made.items():
        (PICTURES / f"{name}.html").write_text(page, encoding="utf-8")
    print(f"pictures in {PICTURES}")
    return {name: PICTURES / f"{name}.html" for name in made}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["stage", "cars"])
def test_page_fits_and_draws(browser, pages, name, size):
    browser.told.clear()
    browser.open(pages[name], SIZES[size])
    n = browser.value("document.querySelectorAll('.chart').length")
    assert n >= 10 and browser.value("document.querySelectorAll('.chart canvas').length") == n
    wide = browser.value("document.documentElement.scrollWidth")
    browser.picture(PICTURES / f"{name}_{size}.png")
    assert wide <= SIZES[size][0], "the page is wider than the screen"
    inked = """[...document.querySelectorAll('.chart canvas')].every((canvas) => {
        const pixels = canvas.getContext('2d').getImageData(80, 0, canvas.width - 100, 130).data;
        return pixels.some((value, i) => i % 4 === 3 && value > 200);
    })"""
    assert browser.value(inked), "a chart without a line"
    assert browser.complaints() == []


def test_click_on_a_jump_shows_its_moment_and_escape_goes_back(browser, pages):
    browser.open(pages["stage"], SIZES["desk"])
    x_s = browser.value(
        """(() => { const button = document.querySelector('#jumps button.jump');
        button.scrollIntoView(); button.click(); return Number(button.dataset.x); })()"""
    )
    browser.wait("!!document.body.dataset.zoom")
    first, last = map(float, browser.value("document.body.dataset.zoom").split(".."))
    assert first == pytest.approx(max(0, x_s - 10), abs=0.01) and first < x_s < last
    shown = "document.querySelector('#box-c-damper').getBoundingClientRect().top"
    browser.wait(f"{shown} > 0 && {shown} < 300")
    drawn = browser.value("charts[0].plot.scales.x.min")
    assert drawn == pytest.approx(first, abs=0.01)
    browser.picture(PICTURES / "stage_jump.png", is_whole=False)
    browser.press("Escape", 27)
    assert browser.value("document.activeElement.closest('section').id") == "jumps"


def test_pointer_reads_values_and_place(browser, pages):
    browser.open(pages["stage"], SIZES["desk"])
    browser.value("document.getElementById('box-c-engine').scrollIntoView({block: 'center'})")
    place = browser.value(
        """(() => { const over = document.querySelector('#c-engine .u-over');
        const box = over.getBoundingClientRect();
        return [box.left + box.width / 2, box.top + box.height / 2]; })()"""
    )
    for step in range(3):
        x, y = place[0] + step, place[1]
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    shown = "document.querySelector('#box-c-engine .keys b').textContent"
    browser.wait(f"{shown} !== ''")
    assert float(browser.value(shown).split(" ")[0]) > 500
    where = browser.value("document.getElementById('at').textContent")
    assert " km " in where and where.endswith("UTC")
    browser.picture(PICTURES / "stage_pointer.png", is_whole=False)


def test_keys_move_and_zoom_the_charts(browser, pages):
    browser.open(pages["stage"], SIZES["desk"])
    browser.value("document.getElementById('strips').focus()")
    browser.press("+", 187)
    browser.wait("!!document.body.dataset.zoom")
    first, last = map(float, browser.value("document.body.dataset.zoom").split(".."))
    whole = browser.value("charts[0].x1")
    assert last - first == pytest.approx(whole / 2, rel=0.01)
    browser.press("0", 48)
    browser.wait(f"document.body.dataset.zoom.startsWith('0.000..{whole:.3f}')")


def test_a_moment_can_be_linked(browser, pages):
    browser.open(pages["stage"], SIZES["desk"], "#t=20.0")
    assert browser.value("document.body.dataset.zoom") == "10.000..40.000"


def pages_of(paper):
    """Return how many pages a PDF has."""
    return len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))


def test_a_car_prints_on_two_pages(browser, pages):
    browser.open(pages["stage"], SIZES["desk"])
    browser.paper(PICTURES / "stage.pdf")
    assert pages_of(PICTURES / "stage.pdf") == 2


def test_two_cars_print_on_four_pages_each_list_with_its_car(browser, pages):
    browser.open(pages["cars"], SIZES["desk"])
    browser.paper(PICTURES / "cars.pdf")
    assert pages_of(PICTURES / "cars.pdf") == 4


def test_a_tick_is_that_of_one_car(browser, pages):
    """The same work of both cars: a tick and a name of one is none of the other."""
    page = pages["cars"].read_text(encoding="utf-8")
    first, second = re.findall('<section class="work" id="(?:work|work-1)">(.*?)</section>', page)
    path = PICTURES / "same_work.html"
    path.write_text(page.replace(second, first), encoding="utf-8")
    cars = "[...document.querySelectorAll('.one-car')]"
    browser.open(path, SIZES["desk"])
    browser.value(f"{cars}[1].querySelector('li input').click()")
    browser.value(f"{cars}[1].querySelector('.signed input').focus()")
    browser.call("Input.insertText", text="M. Weber")
    browser.open(path, SIZES["desk"])
    checked = f"{cars}.map((car) => car.querySelector('li input').checked)"
    assert browser.value(checked) == [False, True]
    names = f"{cars}.map((car) => car.querySelector('.signed input').value)"
    assert browser.value(names) == ["", "M. Weber"]
    browser.value("localStorage.clear()")


def test_a_car_with_much_work_prints_all_of_it_on_two_pages(browser, pages, tmp_path):
    """The worst that the report knows is about 20 reasons; seven are open on the screen."""
    page = pages["stage"].read_text(encoding="utf-8")
    item = re.search('<li class="warn">.*?</li>', page)[0]
    rest = f"<details><summary>9 more</summary><ul>{item * 9}</ul></details>"
    path = tmp_path / "much.html"
    path.write_text(page.replace('<p class="signed">', f'{rest}<p class="signed">'), "utf-8")
    browser.open(path, SIZES["desk"])
    browser.value(
        """addEventListener("beforeprint", () => {
        window.seen = [...document.querySelectorAll("#work li")].every((li) => li.offsetHeight);
        })"""
    )
    browser.paper(PICTURES / "much.pdf")
    assert browser.value("window.seen") is True
    assert pages_of(PICTURES / "much.pdf") == 2
    assert browser.value("document.querySelector('#work details').open") is False


def test_first_screen_holds_the_answer_the_car_and_the_stage(browser, pages):
    browser.told.clear()
    browser.open(pages["stage"], (1280, 800))
    for what in ("#verdict", "svg.car", ".legend", ".strip", "#work li", ".signed"):
        script = f"(() => {{ const box = document.querySelector('{what}')"
        script += ".getBoundingClientRect(); return [box.top, box.bottom, box.height]; })()"
        top, bottom, height = browser.value(script)
        assert top >= 0 and bottom <= 800 and height > 15, what
    browser.picture(PICTURES / "stage_first.png", is_whole=False)
    assert browser.complaints() == []


def test_nothing_of_the_drawing_is_written_over_something_else(browser, pages):
    """Words stay in their box, or outside of the wheels and within the drawing."""
    browser.open(pages["stage"], (1280, 800))
    outside = browser.value(
        """[...document.querySelectorAll('svg.car .part')].filter((part) => {
        const inside = !part.querySelector('.outside');
        const frame = inside ? part.querySelector('rect') : part.closest('svg');
        const box = frame.getBoundingClientRect();
        return [...part.querySelectorAll('text')].some((text) => {
            const words = text.getBoundingClientRect();
            return words.left < box.left - 1 || words.right > box.right + 1;
        });
        }).map((part) => part.dataset.place)"""
    )
    assert outside == []
    for words in ("◐ partly", "? not seen", "◆ sensor", "■ critical"):
        wide = browser.value(
            f"""[...document.querySelectorAll('svg.car .part .state')].filter((text) => {{
            text.textContent = {json.dumps(words)};
            const box = text.closest('.part').querySelector('rect').getBoundingClientRect();
            return text.getBoundingClientRect().width > box.width - 4;
            }}).length"""
        )
        assert wide == 0, words


def test_a_part_leads_to_its_card_by_keyboard(browser, pages):
    browser.open(pages["stage"], SIZES["desk"])
    browser.value("document.querySelector('a[data-place=damper_rl]').focus()")
    browser.press("Enter", 13, text="\r")
    browser.wait("location.hash === '#card-damper_rl'")
    top = "document.querySelector('#card-damper_rl').getBoundingClientRect().top"
    browser.wait(f"{top} > 0 && {top} < 300")


def test_sun_and_dark_by_key_and_by_the_machine_s_wish(browser, pages):
    """Ink and paper keep a contrast of 7 and more (WCAG 2, 1.4.6)."""
    browser.open(pages["stage"], (1280, 800))
    ink = "getComputedStyle(document.body).color"
    paper = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for theme in ("sun", "dark"):
        seen[theme] = browser.value(ink), browser.value(paper)
        assert contrast(*seen[theme]) >= 7
        browser.press("d", 68)
    assert seen["sun"] != seen["dark"]
    browser.value("localStorage.clear()")
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", features=dark)
    browser.open(pages["stage"], (1280, 800))
    found = browser.value(ink), browser.value(paper)
    browser.picture(PICTURES / "stage_dark.png")
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert found == seen["dark"]


def contrast(one, other):
    """Return the contrast of two colours, rgb(r, g, b), as WCAG 2 defines it."""

    def luminance(colour):
        parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (
            x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_who_did_the_work_is_kept_and_stands_below_the_list_on_paper(browser, pages):
    box = "document.querySelectorAll('.signed input')[1]"
    browser.open(pages["stage"], SIZES["desk"])
    browser.value(f"{box}.focus()")
    browser.call("Input.insertText", text="A. Dupont")
    browser.press("d", 68)
    browser.open(pages["stage"], SIZES["desk"])
    assert browser.value(f"{box}.value") == "A. Dupont"
    top = "document.querySelector('{}').getBoundingClientRect().top"
    place = [top.format(what) for what in ("#work ul", ".signed")]
    work, signed = browser.value(f"[{', '.join(place)}]")
    assert signed < work
    browser.call("Emulation.setEmulatedMedia", media="print")
    work, signed = browser.value(f"[{', '.join(place)}]")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert signed > work
    browser.value("localStorage.clear()")


def test_no_number_along_the_strip_is_cut(browser, pages):
    """Also that of a mark that stands at the end of the stage."""
    page = pages["stage"].read_text(encoding="utf-8")
    ticks = '<span class="end" style="left:99.90%">14</span></div></section>'
    path = PICTURES / "ticks.html"
    path.write_text(page.replace("</div></section>", ticks, 1), encoding="utf-8")
    for size in SIZES.values():
        browser.open(path, size)
        cut = browser.value(
            """(() => { const right = document.querySelector('.lane.km').getBoundingClientRect()
            .right + 0.5; return [...document.querySelectorAll('.lane.km span')]
            .filter((tick) => tick.getBoundingClientRect().right > right).length; })()"""
        )
        assert cut == 0


def test_a_tick_of_the_work_list_is_kept(browser, pages):
    box = "document.querySelector('#work input')"
    browser.open(pages["stage"], SIZES["phone"])
    browser.value(f"{box}.click()")
    browser.open(pages["stage"], SIZES["phone"])
    assert browser.value(f"{box}.checked") is True
    browser.value("localStorage.clear()")


def test_a_mark_of_the_strip_shows_its_moment(browser, pages):
    browser.open(pages["stage"], SIZES["desk"])
    x_s = browser.value(
        """(() => { const mark = document.querySelector('.strip .mark');
        mark.click(); return Number(mark.dataset.x); })()"""
    )
    browser.wait("!!document.body.dataset.zoom")
    first, last = map(float, browser.value("document.body.dataset.zoom").split(".."))
    assert first < x_s < last


def test_a_signal_of_two_cars_leads_to_its_distance(browser, pages):
    """The worst of a car's signal, in the chart of that signal over distance."""
    browser.open(pages["cars"], SIZES["desk"])
    x_km = browser.value(
        """(() => { const row = document.querySelector(
        '[data-chart="k-DiffOilTempR"]'); row.click(); return Number(row.dataset.x); })()"""
    )
    browser.wait("!!document.body.dataset.zoom")
    first, last = map(float, browser.value("document.body.dataset.zoom").split(".."))
    assert first <= x_km <= last and 0 < last - first < 0.61
    assert browser.value("document.querySelector('.chart.shown').id") == "box-k-DiffOilTempR"


def test_no_line_of_a_chart_crosses_the_hole(browser, pages):
    """Ten blocks are missing: within the hole there is one colour, the grey of no data."""
    browser.open(pages["stage"], SIZES["desk"])
    for chart in ("c-speed", "c-damper", "c-level"):
        colours = browser.value(
            f"""(() => {{
            const chart = charts.find((one) => one.id === '{chart}').plot;
            const [a, b] = [REPORT.pauses[0].x0, REPORT.pauses[0].x1];
            const at = (share) => Math.round(chart.valToPos(a + share * (b - a), 'x', true));
            const {{ top, height }} = chart.bbox;
            const canvas = chart.ctx.canvas.getContext('2d');
            const data = canvas.getImageData(
                at(0.2), top + 2, at(0.8) - at(0.2), height - 4).data;
            const seen = new Set();
            for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 4).join());
            return seen.size;
            }})()"""
        )
        assert colours <= 3, f"{chart}: grey, and grid lines under it"
