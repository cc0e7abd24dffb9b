"""What all RP2040 boards share: identity, settings, watchdog, light, and the way to the REPL.

The board file has made ring, clock, card and captures before; see `boards.pico_mcp2515`.
"""

import gc
import os

import machine

from boards.light import pattern_of
from drivers.rp2_cobs import FrameWriter, cobs_decode
from drivers.usb_link import UsbLink
from logger.app import App
from logger.onboard import discard, prepare
from slog.layout import BLOCK_BYTES, const
from slog.messages import CONFIG_SIGNALS, CONTROL_BOOTLOADER, CONTROL_RESET, CONTROL_UPDATE

_MOST_BLOCKS = const(32)  # 0.95 s of a full bus at 1 Mbit/s
_LEAST_BLOCKS = const(8)
_WATCHDOG_MS = const(8000)
_WATCHDOG_OFF = const(0x4005B000)  # atomic clear of the watchdog's control register
_WATCHDOG_ENABLE = const(1 << 30)
_PROVEN_US = const(5_000_000)  # after that time the firmware counts as good
_LEAVE_US = const(200_000)  # the answer to the request may take so long to the host
_LOW = const(0x0FFFFFFF)
_POWER_GOOD = const(22)  # open drain of the supply, low when it fails; not wired: always high
_BUTTON = const(21)  # to ground: sets a mark; not wired: always high


_button = machine.Pin(_BUTTON, machine.Pin.IN, machine.Pin.PULL_UP)
power_good = machine.Pin(_POWER_GOOD, machine.Pin.IN, machine.Pin.PULL_UP)


class Leave(Exception):
    """The main loop ends for the action in `args[0]`."""


def _do_nothing():
    pass


class Rp2Board:
    """The board as `logger.app` wants it. `feed` also carries out what `control` was asked for,
    and closes the open block when the supply fails.
    """

    frame_writer = FrameWriter
    cobs_decode = staticmethod(cobs_decode)

    def __init__(self, name, slot, led, settings, clock, ring, card, captures):
        self.name = name
        self.slot = slot
        self.clock = clock
        self.ring = ring
        self.card = card
        self.captures = captures
        self.device_id = machine.unique_id()
        self.reset_cause = machine.reset_cause()
        self.link = UsbLink()
        self.nv = settings
        self.button = _button
        self.background = _do_nothing  # called in each pass
        self._led = machine.Pin(led, machine.Pin.OUT, value=1)
        self._is_power_good = 1
        self._pattern = 0
        self._watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        self._action = None
        self._t_action = 0
        clock.read()

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
        self._t_action = self.clock.lo

    def feed(self):
        """Feed the watchdog, sample the supply, and drive the light."""
        self._watchdog.feed()
        self.background()
        is_good = power_good()
        if self._is_power_good and not is_good:
            self.ring.close_block()
        self._is_power_good = is_good
        lo = self.clock.lo
        lit = self._pattern >> (lo >> 17 & 15) & 1
        if lit != self._led():
            self._led(lit)
        if self._action is not None and (lo - self._t_action) & _LOW >= _LEAVE_US:
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
        """Stop captures and watchdog and give the port back."""
        for capture in self.captures:
            capture.stop()
        self.link.close()
        machine.mem32[_WATCHDOG_OFF] = _WATCHDOG_ENABLE


def fill_ring(ring):
    """Give the ring what memory is left, up to its most, once everything else is made: the rest
    works with the hole at the bottom of the heap from then on, and with what is left over.

    Recording comes first: the detectors are discarded for a ring of the least size.
    """
    gc.collect()
    n = min(_MOST_BLOCKS, gc.mem_free() // BLOCK_BYTES)
    while n >= _LEAST_BLOCKS:
        try:
            ring.take_memory(n)
            return
        except MemoryError:
            n -= 1
    discard()
    gc.collect()
    ring.take_memory(_LEAST_BLOCKS)


def run_board(make_board, slot, memory, at, hole):
    """Run the application until the host asks for the REPL; clear memory[at] once proven."""
    board = make_board(slot)
    if board.nv.open(CONFIG_SIGNALS):
        del hole[1:]  # the detectors need that memory more
    gc.threshold(8192)
    prepare(board.nv)
    gc.threshold(-1)
    app = App(board)
    fill_ring(board.ring)
    hole.clear()
    gc.collect()
    app.start()
    clock = board.clock
    t_start = clock.t_us()
    try:
        while clock.t_us() - t_start < _PROVEN_US:
            app.step()
        if memory is not None:
            memory[at] = 0
        while True:
            app.step()
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
