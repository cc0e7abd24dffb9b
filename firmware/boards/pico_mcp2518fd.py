"""Raspberry Pi Pico with an MCP2518FD, polled, and an SD card; wiring: firmware/WIRING.md.

The driver is that of the ESP32 boards, without an interrupt; its SPI is the chip's own. The limit
is 17 MHz: the peripheral clock of 48 MHz gives 12. The card comes first: it starts while the rest
is loaded.
"""

from boards.pico_card import card  # isort: split

from boards.files import Settings
from boards.rp2_board import Rp2Board, run_board
from drivers.fd_ring import FdRing
from drivers.mcp2518fd import Mcp2518fd
from drivers.rp2_can import CanPort
from drivers.rp2_hot import HotClock

CRYSTAL_Hz = 40_000_000


def make_board(slot):
    """Make the board, nothing started. `slot`: 0 or 1 for A or B, 255 for none."""
    settings = Settings("/settings")
    ring = FdRing()
    clock = HotClock()
    port = CanPort(0, 16_000_000, sck=2, mosi=3, miso=4, cs=5)
    can = Mcp2518fd(port, clock, CRYSTAL_Hz)
    board = Rp2Board("pico_mcp2518fd", slot, 25, settings, clock, ring, card, [can])
    board.background = ring.fetch = card.background = can.drain
    return board


def run(slot, memory, at, hole):
    """Run the logger until the host asks for the REPL; arguments as in `pico_mcp2515`."""
    run_board(make_board, slot, memory, at, hole)
