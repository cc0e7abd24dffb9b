"""Raspberry Pi Pico with two CAN transceivers and an SD card; the wiring is in firmware/WIRING.md.

As `pico_pio`, with two state machines on one clock.
"""

from boards.pico_card import card  # isort: split

from boards.pico_raws import raws  # isort: split

from boards.files import Settings
from boards.rp2_board import Rp2Board, run_board
from drivers.pio_can import PioCan, PioRing
from drivers.rp2_hot import HotClock

_RXD0 = 6
_RXD1 = 7


def make_board(slot):
    """Make the board, nothing started. `slot`: 0 or 1 for A or B, 255 for none."""
    settings = Settings("/settings", slot)
    ring = PioRing()
    clock = HotClock()
    first = PioCan(_RXD0, clock, raws[0])
    second = PioCan(_RXD1, clock, raws[1], bus=1, partner=first)
    board = Rp2Board("pico_pio_dual", slot, 25, settings, clock, ring, card, [first, second])
    board.background = ring.fetch = card.background = first.drain
    return board


def run(slot, memory, at, hole):
    """Run the logger until the host asks for the REPL; arguments as in `pico_mcp2515`."""
    del hole[1:]  # the bits have taken that memory: the ring of blocks needs it more
    run_board(make_board, slot, memory, at, hole)
