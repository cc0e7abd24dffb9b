"""The page in a browser: charts drawn, events clicked, nothing loaded, pictures kept.

The pictures stand in out/report_pages of the checkout, for a person to look at. Skipped without a
Chromium: $CHROMIUM, an installed one, or the one that tools/browser keeps.
"""

import base64
import contextlib
import fcntl
import json
import os
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
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 1200,
        )
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=f"{path.as_uri()}{mark}")
        self.wait("document.body && !!document.body.dataset.ready")

    def press(self, key, code):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

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

    def complaints(self):
        """Return exceptions, console errors and requests to anywhere but files."""
        found = []
        for one in self.told:
            params = one.get("params", {})
            if one.get("method") == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "about:")):
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


def test_page_prints(browser, pages):
    browser.open(pages["stage"], SIZES["desk"])
    browser.paper(PICTURES / "stage.pdf")
    paper = (PICTURES / "stage.pdf").read_bytes()
    assert paper.startswith(b"%PDF") and len(paper) > 50_000
