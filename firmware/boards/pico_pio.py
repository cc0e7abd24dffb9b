"""Raspberry Pi Pico with a CAN transceiver and an SD card; the wiring is in firmware/WIRING.md.

The programmable I/O receives CAN: there is no controller. The card comes first, as it starts while
the rest is loaded.
"""

from boards.pico_card import card  # isort: split

from boards.pico_raw import raw  # isort: split

from boards.files import Settings
from boards.rp2_board import Rp2Board, run_board
from drivers.pio_can import PioCan, PioRing
from drivers.rp2_hot import HotClock

_RXD = 6


def make_board(slot):
    """Make the board, nothing started. `slot`: 0 or 1 for A or B, 255 for none."""
    settings = Settings("/settings", slot)
    ring = PioRing()
    clock = HotClock()
    can = PioCan(_RXD, clock, raw)
    board = Rp2Board("pico_pio", slot, 25, settings, clock, ring, card, [can])
    board.background = ring.fetch = card.background = can.drain
    return board


def run(slot, memory, at, hole):
    """Run the logger until the host asks for the REPL; arguments as in `pico_mcp2515`."""
    del hole[1:]  # the bits have taken that memory: the ring of blocks needs it more
    run_board(make_board, slot, memory, at, hole)
