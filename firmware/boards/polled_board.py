"""What all boards share that work by MicroPython's `machine` alone: an MCP2518FD that the main
loop polls, settings, watchdog, light, and the way to the REPL. The board file has made the card
before; see `boards.esp32_mcp2518fd`, `boards.pico2_mcp2518fd`.

Frames are fetched by the main loop, so the controller's FIFO must outlast its longest pass; while
a card is set up it may not, and the log says what was lost.
"""

import gc
import os
import time

import machine

from boards.files import Settings
from boards.light import pattern_of
from drivers.fd_ring import FdRing
from drivers.mcp2518fd import Mcp2518fd
from drivers.usb_link import UsbLink
from logger.app import App
from logger.clock import Clock
from slog.framing import FrameWriter, cobs_decode
from slog.messages import CONTROL_BOOTLOADER, CONTROL_RESET, CONTROL_UPDATE

CRYSTAL_Hz = 40_000_000
LEAST_BLOCKS = 16  # 1.0 s of the car's bus, 0.9 s of a full one at 500 kbit/s
_WATCHDOG_MS = 8000
_PROVEN_US = 5_000_000
_LEAVE_US = 200_000


class Leave(Exception):
    """The main loop ends for the action in `args[0]`."""


class PolledBoard:
    """The board as `logger.app` wants it. `feed` also fetches frames and carries out `control`.

    port    of the controller, as `mcp2518fd` wants it
    light   pin of the light
    blocks  of the ring, if the heap has room for so many
    """

    frame_writer = FrameWriter
    cobs_decode = staticmethod(cobs_decode)

    def __init__(self, name, slot, card, port, light, blocks=LEAST_BLOCKS):
        self.name = name
        self.slot = slot
        self.clock = Clock(time.ticks_us)
        self.ring = _make_ring(blocks)
        self.nv = Settings("/settings", slot)
        self.link = UsbLink()
        self.device_id = (machine.unique_id() + bytes(8))[:8]
        self.reset_cause = machine.reset_cause()
        self.can = Mcp2518fd(port, self.clock, CRYSTAL_Hz)
        self.card = card
        card.background = self.can.drain
        self.ring.fetch = self.can.drain
        self.captures = [self.can]
        self.button = None
        self._led = machine.Pin(light, machine.Pin.OUT, value=1)
        self._pattern = 0
        self._watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        self._action = None
        self._t_action = 0

    def make_app(self):
        """Return the application on this board."""
        return App(self)

    def random_u32(self):
        """Return a random number."""
        return int.from_bytes(os.urandom(4), "little")

    def heap_free(self):
        """Return the bytes of free heap."""
        return gc.mem_free()

    def show(self, state, fault):
        """Choose what the light shows."""
        self._pattern = pattern_of(state, fault)

    def control(self, action):
        """Leave the main loop for `action` as soon as the answer is out."""
        self._action = action
        self._t_action = self.clock.t_us()

    def feed(self):
        """Feed the watchdog, fetch frames, work the light."""
        self._watchdog.feed()
        self.can.drain()
        self._led(self._pattern >> (self.clock.lo >> 17 & 15) & 1)
        if self._action is not None and self.clock.t_us() - self._t_action >= _LEAVE_US:
            raise Leave(self._action)

    def update(self, package):
        """Install a package from the card, or not, and restart."""
        from logger.card_update import update_from_card

        try:
            update_from_card(self, package, self._watchdog.feed)
        except Exception as error:  # the old program records on
            print(error)
        machine.reset()

    def close(self):
        """Stop the controller and give the port back; the watchdog is the chip's own matter."""
        self.can.stop()
        self.link.close()


def run_board(make_board, slot, memory, at, hole):
    """Run the application until the host asks for the REPL; clear memory[at] once proven."""
    board = make_board(slot)
    app = board.make_app()
    hole.clear()
    gc.collect()
    app.start()
    t_start = board.clock.t_us()
    try:
        while True:
            app.step()
            if memory is not None and board.clock.t_us() - t_start >= _PROVEN_US:
                memory[at] = 0
                memory = None
    except Leave as leave:
        if leave.args[0] == CONTROL_UPDATE:
            if memory is not None:
                memory[at] = 0  # the new program gets all of its tries
            board.update(app.package)
        board.close()
        if leave.args[0] == CONTROL_RESET:
            machine.reset()
        if leave.args[0] == CONTROL_BOOTLOADER:
            machine.bootloader()


def _make_ring(n_blocks):
    """Make the ring as large as the heap allows: one without PSRAM has no room for the largest."""
    while n_blocks > LEAST_BLOCKS:
        try:
            return FdRing(n_blocks)
        except MemoryError:
            n_blocks //= 2
    return FdRing(LEAST_BLOCKS)
