"""The target rp2040 of the rig: the shipped firmware on stock MicroPython on an emulated Pico.

The same questions as stagelog.rig.target.SimTarget; time is emulated and the run repeatable. The
card is an image file in the test's folder that outlives power cuts. Does not own the tests.
"""

from slog.messages import CONFIG_SETTINGS, STATE_BOOT
from stagelog.card import prepare_raw
from stagelog.link import Link
from stagelog.rig.rp2040.board import PicoBoard
from stagelog.rig.rp2040.card_image import FileImage
from stagelog.rig.rp2040.card_timing import ORDINARY
from stagelog.rig.rp2040.firmware import logger_files
from stagelog.rig.rp2040.mcp2515 import Mcp2515
from stagelog.rig.rp2040.mcp2515_registers import MODE_LISTEN_ONLY, MODE_NORMAL
from stagelog.rig.rp2040.sdcard import SdCard
from stagelog.rig.target import CAPABILITIES, LIGHT_STEPS, light_of

_SLICE_us = 500
_READ_us = 50_000
_BOOT_us = 20_000_000  # with a slowed core, and a card that has to be searched
_LIGHT_STEP_us = 1 << 17  # of boards.rp2_board


class EmulatedStream:
    """The board's serial port as stagelog.link.Link wants it, in emulated time."""

    def __init__(self, board):
        self._board = board

    def clock(self):
        """Return emulated seconds, for Link."""
        return self._board.t_us / 1e6

    def write(self, data):
        """Send bytes to the logger."""
        self._board.usb.write(bytes(data))

    def read(self, n):
        """Let the board run until it sends something, 50 ms at most; return what it sent."""
        received = self._board.usb.received
        end_us = self._board.t_us + _READ_us
        while not received and self._board.t_us < end_us:
            self._board.run_us(_SLICE_us)
        data = bytes(received[:n])
        del received[:n]
        return data

    def close(self):
        """Nothing to close."""


class Rp2040Target:
    """A rig in emulated time. Invariant: the board has power and has started, or is_on is False.

    folder       where card.img is, or is made with card_blocks
    card_image   instead of that file
    image        path of a UF2; None: MicroPython 1.25
    files        {path: bytes} of the flash; None: the shipped firmware in slot A
    timing       CardTiming; slow, miss_cycles, seed: of the board
    wiring       arguments of Mcp2515, to leave out a wire or fix a delay
    """

    name = "rp2040"
    capabilities = frozenset(CAPABILITIES)

    def __init__(
        self,
        folder,
        *,
        slow=1.0,
        miss_cycles=0,
        seed=1,
        bitrate_bps=500_000,
        crystal_Hz=16_000_000,
        card_blocks=4096,
        card_image=None,
        timing=ORDINARY,
        image=None,
        files=None,
        wiring=None,
    ):
        self.card_path = folder / "card.img"
        if card_image is None:
            if not self.card_path.exists():
                prepare_raw(self.card_path, card_blocks)
            card_image = FileImage(self.card_path)
        self.can = Mcp2515(
            bitrate_bps=bitrate_bps, crystal_Hz=crystal_Hz, seed=seed, **(wiring or {})
        )
        self.card = SdCard(card_image, timing, seed=seed)
        self.board = PicoBoard(
            image,
            files=logger_files() if files is None else files,
            can=self.can,
            card=self.card,
            slow=slow,
            miss_cycles=miss_cycles,
            seed=seed,
        )
        self._stream = EmulatedStream(self.board)
        self._start()

    @property
    def is_on(self):
        """True while the board has power."""
        return self.board.powered

    @property
    def now_us(self):
        """Emulated time since the rig was made."""
        return self.board.t_us

    def power_on(self):
        """Boot the board; the logger answers when this returns."""
        self.board.power_on()
        self._wait_for_start()

    def power_cut(self):
        """Take the power away: memory is gone, flash and card stay, writes under way are torn."""
        self.board.power_off()

    def play(self, tape):
        """Play a tape from now on, up to its last event."""
        self.can.play(tape)
        while not self.can.is_played_out:
            self.board.run_us(_SLICE_us)

    def send(self, data):
        """Send bytes to the logger's data port as they are."""
        self.board.usb.write(data)

    def card_stall(self, delay_us, duration_us):
        """Let the card finish nothing for a while, `delay_us` from now."""
        start_us = self.now_us + delay_us
        self.card.stall_between(start_us, start_us + duration_us)

    def card_remove(self):
        """Pull the card out."""
        self.card.remove()

    def card_insert(self):
        """Put the card back in."""
        self.card.insert()

    def card_swap(self, path):
        """Put another card in, an image at `path`."""
        self.card.remove()
        self.card.image.close()
        self.card_path = path
        self.card.image = FileImage(path)
        self.card.write_protected = False
        self.card.insert()

    def card_protect(self):
        """Let the card lock itself for ever, as worn ones do."""
        self.card.write_protected = True

    def controller_remove(self):
        """Take the controller off its socket."""
        self.can.unplug()

    def controller_insert(self):
        """Put the controller back."""
        self.can.plug()

    @property
    def drove_dominant(self):
        """True if the logger has ever touched its bus."""
        return self.can.n_dominant > 0

    def light(self, tape=()):
        """Sample the light for one round of it while the bus carries the tape; return what it
        shows, see light_of.
        """
        if len(tape):
            self.can.play(tape)
        start_us = self.board.t_us
        level = self.board.led
        n_before = len(self.board.led_changes)
        self.board.run_us(LIGHT_STEPS * _LIGHT_STEP_us)
        changes = self.board.led_changes[n_before:]
        if changes:
            start_us += (changes[0][0] - start_us) % _LIGHT_STEP_us
        steps = 0
        for n in range(LIGHT_STEPS):
            middle_us = start_us + (n + 0.5) * _LIGHT_STEP_us
            before = [changed for t_us, changed in changes if t_us < middle_us]
            steps |= bool(before[-1] if before else level) << n
        return light_of(steps)

    def repl(self, code):
        """Run code at the raw REPL; return what it prints."""
        return self.board.repl.exec(code)

    def run_for(self, us):
        """Let time pass on a silent bus."""
        self.board.run_us(us)

    def close(self):
        """Put everything away."""
        self.board.close()
        self.card.image.close()

    def _start(self):
        """Wait until the logger runs, at the bus's bit rate."""
        self._wait_for_start()
        if self.can.rate_bps != self.can.bitrate_bps:
            text = b'{"buses": [{"bitrate_bps": %d, "ids": null}]}' % self.can.bitrate_bps
            self.link.replace_config(CONFIG_SETTINGS, text)
            self._wait_for_start()

    def _wait_for_start(self):
        board = self.board
        self.link = Link(self._stream, "rp2040", self._stream.clock)
        board.run_until(lambda: board.usb.connected, _BOOT_us, what="USB")
        board.run_until(self._has_started, _BOOT_us, _READ_us, "the start of the logger")

    def _has_started(self):
        listens = self.can.mode in (MODE_NORMAL, MODE_LISTEN_ONLY)
        if self.can.present and not listens:
            return False
        return self.link.status().state != STATE_BOOT
