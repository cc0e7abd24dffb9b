"""ESP32-C3 with an MCP2518FD and an SD card on one SPI; wiring and what is unproven:
firmware/WIRING.md.

The cable is the chip's own USB serial/JTAG, GPIO 18 and 19. The card comes first: it starts while
the rest is loaded.
"""

from boards.esp32c3_card import card, controller_select, port, spi  # isort: split

from boards.esp32_board import Esp32Board
from boards.polled_board import run_board
from drivers.shared_spi import SharedCanPort

_LIGHT = 3
_SWITCH = 1


def make_board(slot):
    """Make the board, nothing started. `slot`: 0 or 1 for A or B, 255 for none."""
    can_port = SharedCanPort(spi, controller_select, port)
    return Esp32Board("esp32c3_mcp2518", slot, card, can_port, _LIGHT, _SWITCH)


def run(slot, memory, at, hole):
    """Run the logger until the host asks for the REPL; arguments as in `pico_mcp2515`."""
    run_board(make_board, slot, memory, at, hole)
