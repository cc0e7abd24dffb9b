"""Raspberry Pi Pico 2 (RP2350) with an MCP2518FD, polled, and an SD card; wiring and what is
unproven: firmware/WIRING.md.

All goes through `machine`: most registers that the RP2040's own drivers use are elsewhere on this
chip. The one that has no other way is the watchdog's. The controller's limit is 17 MHz; asked for
16, `machine.SPI` takes the next rate below. The card comes first: it starts while the rest is
loaded.
"""

from boards.pico2_card import card  # isort: split

import machine

from boards.polled_board import PolledBoard, run_board
from drivers.spi_ports import CanPort
from slog.layout import const

_BLOCKS = const(64)  # 256 KB: 3.8 s of a full bus at 500 kbit/s
_LIGHT = const(25)
_BUTTON = const(21)  # to ground: sets a mark; not wired: always high
_WATCHDOG_OFF = const(0x400DB000)  # RP2350: atomic clear of the watchdog's control register
_WATCHDOG_ENABLE = const(1 << 30)


class Pico2Board(PolledBoard):
    """As PolledBoard."""

    def close(self):
        """As PolledBoard; the watchdog is off."""
        super().close()
        machine.mem32[_WATCHDOG_OFF] = _WATCHDOG_ENABLE


def make_board(slot):
    """Make the board, nothing started. `slot`: 0 or 1 for A or B, 255 for none."""
    sck, sdi, sdo = machine.Pin(2), machine.Pin(3), machine.Pin(4)
    spi = machine.SPI(0, 16_000_000, sck=sck, mosi=sdi, miso=sdo)
    port = CanPort(spi, machine.Pin(5, machine.Pin.OUT, value=1))
    board = Pico2Board("pico2_mcp2518fd", slot, card, port, _LIGHT, _BLOCKS)
    board.button = machine.Pin(_BUTTON, machine.Pin.IN, machine.Pin.PULL_UP)
    return board


def run(slot, memory, at, hole):
    """Run the logger until the host asks for the REPL; arguments as in `pico_mcp2515`."""
    run_board(make_board, slot, memory, at, hole)
