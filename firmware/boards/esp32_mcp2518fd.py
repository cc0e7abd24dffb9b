"""ESP32 with an MCP2518FD and an SD card; wiring and what is unproven: firmware/WIRING.md.

The controller's SPI must stay below 0.85 / 2 of its clock: 17 MHz, and 80 / 5 is the next.
Frames are fetched by the main loop, so the controller's FIFO must outlast its longest pass; while
a card is set up it may not, and the log says what was lost. MicroPython 1.29 or newer: `main.py`
counts its tries in `machine.mem_backup`, which older ones lack on this chip. The card comes first:
it starts while the rest is loaded.
"""

from boards.esp32_card import card  # isort: split

import gc
import os
import time

import machine

from boards.files import Settings
from boards.light import pattern_of
from drivers.mcp2518fd import Mcp2518fd
from drivers.polled_ring import PolledRing
from drivers.spi_ports import CanPort
from drivers.usb_link import UsbLink
from logger.app import App
from logger.clock import Clock
from slog.framing import FrameWriter, cobs_decode
from slog.messages import CONTROL_BOOTLOADER, CONTROL_RESET

CRYSTAL_Hz = 40_000_000
_RING_BLOCKS = 16  # 1.0 s of the car's bus, 0.9 s of a full one at 500 kbit/s
_LIGHT = 2
_WATCHDOG_MS = 8000
_PROMPT_MS = 3_600_000  # the watchdog can't be stopped: an hour at the prompt, then a reset
_PROVEN_US = 5_000_000
_LEAVE_US = 200_000


class Leave(Exception):
    """The main loop ends for the action in `args[0]`."""


class Esp32Board:
    """The board as `logger.app` wants it. `feed` also fetches frames and carries out `control`."""

    name = "esp32_mcp2518fd"
    frame_writer = FrameWriter
    cobs_decode = staticmethod(cobs_decode)

    def __init__(self, slot):
        self.slot = slot
        self.clock = Clock(time.ticks_us)
        self.ring = PolledRing(_RING_BLOCKS)
        self.nv = Settings("/settings")
        self.link = UsbLink()
        self.device_id = (machine.unique_id() + bytes(8))[:8]
        self.reset_cause = machine.reset_cause()
        spi = machine.SPI(1, 16_000_000, sck=_pin(26), mosi=_pin(27), miso=_pin(25))
        select = machine.Pin(33, machine.Pin.OUT, value=1)
        self.can = Mcp2518fd(CanPort(spi, select), self.clock, CRYSTAL_Hz)
        self.card = card
        card.background = self.can.drain
        self.ring.fetch = self.can.drain
        self.captures = [self.can]
        self._led = machine.Pin(_LIGHT, machine.Pin.OUT, value=1)
        self._pattern = 0
        self._watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        self._action = None
        self._t_action = 0

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

    def close(self):
        """Stop the controller and give the port back."""
        self.can.stop()
        self.link.close()
        machine.WDT(timeout=_PROMPT_MS)


def run(slot, memory, at, hole):
    """Run the logger until the host asks for the REPL; arguments as in `pico_mcp2515`."""
    board = Esp32Board(slot)
    app = App(board)
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
        board.close()
        if leave.args[0] == CONTROL_RESET:
            machine.reset()
        if leave.args[0] == CONTROL_BOOTLOADER:
            machine.bootloader()


def _pin(number):
    return machine.Pin(number)
