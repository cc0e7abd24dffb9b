"""ESP32 with an MCP2518FD and an SD card; wiring and what is unproven: firmware/WIRING.md.

The card comes first: it starts while the rest is loaded.
"""

from boards.esp32_card import card  # isort: split

from boards.esp32_board import Esp32Board, can_port
from boards.polled_board import run_board

_LIGHT = 2
_SWITCH = 32


def make_board(slot):
    """Make the board, nothing started. `slot`: 0 or 1 for A or B, 255 for none."""
    port = can_port(sck=26, sdi=27, sdo=25, cs=33)
    return Esp32Board("esp32_mcp2518fd", slot, card, port, _LIGHT, _SWITCH, uart=True)


def run(slot, memory, at, hole):
    """Run the logger until the host asks for the REPL; arguments as in `pico_mcp2515`."""
    run_board(make_board, slot, memory, at, hole)
