"""Raspberry Pi Pico with an MCP2515 and an SD card; the wiring is drawn in firmware/WIRING.md.

The SPI of the controller runs at 8 MHz: its limit is 10, and the peripheral clock of 48 MHz has
no divisor between 8 and 12. The card's runs at 12 MHz; 24 is the next, and too fast for loose
wires.
"""

import gc

from drivers.rp2_hot import HotClock, HotPort, HotRing

CRYSTAL_Hz = 16_000_000
MOST_BLOCKS = 24  # 0.6 s of a full bus at 1 Mbit/s
LEAST_BLOCKS = 8
HEAP_FOR_THE_REST = 90_000


def _make_ring():
    """Make the ring first, in one piece, as large as the heap allows."""
    gc.collect()
    n = min(MOST_BLOCKS, (gc.mem_free() - HEAP_FOR_THE_REST) // 4096)
    while n > LEAST_BLOCKS:
        try:
            return HotRing(n)
        except MemoryError:
            n -= 1
            gc.collect()
    return HotRing(LEAST_BLOCKS)


RING = _make_ring()


def make_board(slot):
    """Make the board, nothing started. `slot`: 0 or 1 for A or B, 255 for none."""
    from boards.rp2_board import Rp2Board
    from drivers.mcp2515 import Mcp2515
    from drivers.rp2_sd import SdPort
    from drivers.sdcard import SdCard

    clock = HotClock()
    port = HotPort(0, 10_000_000, sck=2, mosi=3, miso=4, cs=5, interrupt=6, full0=7, full1=8)
    card = SdCard(SdPort(1, sck=10, mosi=11, miso=12, cs=13), rate_Hz=12_000_000)
    captures = [Mcp2515(port, clock, CRYSTAL_Hz)]
    return Rp2Board("pico_mcp2515", slot, 25, clock, RING, card, captures)


def run(slot=255, confirm=lambda: None):
    """Run the logger until the host asks for the REPL."""
    from boards.rp2_board import run_board

    run_board(make_board(slot), confirm)
