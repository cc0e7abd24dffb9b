"""Raspberry Pi Pico with an MCP2515 and an SD card; the wiring is drawn in firmware/WIRING.md.

The SPI of the controller runs at 8 MHz: its limit is 10, and the peripheral clock of 48 MHz has no
divisor between 8 and 12. The card comes first: it starts while the rest is loaded.
"""

from boards.pico_card import card  # isort: split

from boards.files import Settings
from boards.rp2_board import Rp2Board, run_board
from drivers.mcp2515 import Mcp2515
from drivers.rp2_hot import HotClock, HotPort, HotRing

NAME = "pico_mcp2515"
CRYSTAL_Hz = 16_000_000
LED = 25
VSYS_PIN = 29  # VSYS at a third; on a Pico W it belongs to the radio


def make_board(slot):
    """Make the board, nothing started. `slot`: 0 or 1 for A or B, 255 for none."""
    settings = Settings("/settings", slot)
    ring = HotRing()
    clock = HotClock()
    captures = [Mcp2515(make_port(), clock, CRYSTAL_Hz)]
    return Rp2Board(NAME, slot, LED, settings, clock, ring, card, captures)


def make_port():
    """Make the port of the controller."""
    return HotPort(0, 10_000_000, sck=2, mosi=3, miso=4, cs=5, interrupt=6, full0=7, full1=8)


def run(slot, memory, at, hole):
    """Run the logger until the host asks for the REPL.

    slot      0 or 1 for A or B, 255 for none
    memory    memory[at] counts the tries; set to 0 once the firmware has proven itself
    hole      list with a buffer at the bottom of the heap, to be freed when all is made
    """
    run_board(make_board, slot, memory, at, hole)
