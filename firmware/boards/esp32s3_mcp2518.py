"""ESP32-S3 with an MCP2518FD and an SD card; wiring and what is unproven: firmware/WIRING.md.

Its native USB carries the download, its PSRAM a larger ring. The pins are free on modules with
PSRAM of either kind. The card comes first: it starts while the rest is loaded.
"""

from boards.esp32s3_card import card  # isort: split

from boards.esp32_board import Esp32Board, can_port
from boards.polled_board import run_board

_LIGHT = 2
_SWITCH = 15
_BLOCKS = 128  # 512 KB: 7.7 s of a full bus at 500 kbit/s


def make_board(slot):
    """Make the board, nothing started. `slot`: 0 or 1 for A or B, 255 for none."""
    port = can_port(sck=12, sdi=11, sdo=13, cs=10)
    return Esp32Board("esp32s3_mcp2518", slot, card, port, _LIGHT, _SWITCH, blocks=_BLOCKS)


def run(slot, memory, at, hole):
    """Run the logger until the host asks for the REPL; arguments as in `pico_mcp2515`."""
    run_board(make_board, slot, memory, at, hole)
