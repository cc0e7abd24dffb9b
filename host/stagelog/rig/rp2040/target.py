"""The target rp2040 of the rig: the shipped firmware on stock MicroPython on an emulated Pico.

The same interface as stagelog.rig.target.SimTarget; time is emulated and the run repeatable. The
card is an image file in the test's folder that outlives power cuts. Does not own the tests.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slog.messages import CONFIG_SETTINGS, STATE_BOOT
from stagelog.card import prepare_raw
from stagelog.link import TRIES, Link
from stagelog.rig.bus.wave import Line
from stagelog.rig.rp2040.board import Files, PicoBoard
from stagelog.rig.rp2040.card_image import CardImage, FileImage
from stagelog.rig.rp2040.card_timing import ORDINARY, CardTiming
from stagelog.rig.rp2040.firmware import logger_files
from stagelog.rig.rp2040.mcp2515 import Mcp2515
from stagelog.rig.rp2040.mcp2515_registers import MODE_LISTEN_ONLY, MODE_NORMAL
from stagelog.rig.rp2040.mcp2518fd import Mcp2518fd
from stagelog.rig.rp2040.pio_bus import PioBus
from stagelog.rig.rp2040.prompt import EmulatedPrompt
from stagelog.rig.rp2040.sdcard import SdCard
from stagelog.rig.tape import Tape
from stagelog.rig.target import CAPABILITIES, LIGHT_STEPS, light_of

_BUTTON_PIN = 21  # of boards.rp2_board
_SLICE_us = 500
_READ_us = 50_000
_BOOT_us = 20_000_000  # with a slowed core, and a card that has to be searched
_LIGHT_STEP_us = 1 << 17  # of boards.rp2_board


class EmulatedStream:
    """The board's serial port as stagelog.link.Link wants it, in emulated time."""

    def __init__(self, board: PicoBoard) -> None:
        self._board = board

    def clock(self) -> float:
        """Return emulated seconds, for Link."""
        return self._board.t_us / 1e6

    def write(self, data: bytes) -> None:
        """Send bytes to the logger."""
        self._board.usb.write(bytes(data))

    def read(self, n: int) -> bytes:
        """Let the board run until it sends something, 50 ms at most; return what it sent."""
        received = self._board.usb.received
        end_us = self._board.t_us + _READ_us
        while not received and self._board.t_us < end_us:
            self._board.run_us(_SLICE_us)
        data = bytes(received[:n])
        del received[:n]
        return data

    def close(self) -> None:
        """Nothing to close."""


class EmulatedBench:
    """A target for `stagelog.bringup`, see `bringup.bench.Bench`; time is emulated."""

    can_pull = True

    def __init__(self, target: "Rp2040Target") -> None:
        self._target = target
        self.prompt = EmulatedPrompt(target.board)

    def open_link(self, tries: int = TRIES) -> Link:
        """Open the service link."""
        stream = EmulatedStream(self._target.board)
        return Link(stream, self.prompt.port, stream.clock, tries)

    def clock(self) -> float:
        """Return emulated seconds."""
        return self._target.now_us / 1e6

    def sleep(self, seconds: float) -> None:
        """Let emulated time pass."""
        self._target.run_for(int(seconds * 1e6))

    def take_power(self) -> None:
        """Cut the power."""
        self._target.power_cut()

    def give_power(self) -> None:
        """Give the power back; does not wait for the logger."""
        self._target.board.power_on()


class Rp2040Target:
    """A rig in emulated time. Invariant: the board has power and has started, or is_on is False.

    folder       where card.img is, or is made with card_blocks
    card_image   instead of that file
    image        path of a UF2; None: MicroPython 1.25
    files        {path: bytes} of the flash; None: the shipped firmware in slot A
    timing       CardTiming; slow, miss_cycles, seed: of the board
    wiring       arguments of Mcp2515, to leave out a wire or fix a delay
    card_wiring  arguments of SdCard, to leave out a wire
    board        the board file: pico_mcp2515, pico_mcp2518fd, or pico_pio or pico_pio_dual without
                 a controller
    data_bitrate_bps  of CAN FD on the bus; pico_mcp2518fd is set up for it
    line         stagelog.rig.bus.wave.Line of these two: what bends the edges of a bus

    can, second  the bus, and bus 1 of pico_pio_dual
    """

    name = "rp2040"

    def __init__(
        self,
        folder: Path,
        *,
        slow: float = 1.0,
        miss_cycles: int = 0,
        seed: int = 1,
        bitrate_bps: int = 500_000,
        crystal_Hz: int = 16_000_000,
        card_blocks: int = 4096,
        card_image: CardImage | None = None,
        timing: CardTiming = ORDINARY,
        image: str | Path | None = None,
        files: Files | None = None,
        wiring: dict[str, Any] | None = None,
        card_wiring: dict[str, Any] | None = None,
        board: str = "pico_mcp2515",
        line: Line | None = None,
        data_bitrate_bps: int | None = None,
    ) -> None:
        is_pio = board in ("pico_pio", "pico_pio_dual")
        lacking = {"bench", "controller"} if is_pio else set()
        lacking.add("bench" if board == "pico_mcp2518fd" else "can_fd")
        self.capabilities = frozenset(CAPABILITIES) - lacking
        self._data_bitrate_bps = None if "can_fd" in lacking else data_bitrate_bps
        self.card_path = folder / "card.img"
        if card_image is None:
            if not self.card_path.exists():
                prepare_raw(self.card_path, card_blocks)
            card_image = FileImage(self.card_path)
        self.can: Mcp2515 | Mcp2518fd | PioBus
        if is_pio:
            rate_bps = data_bitrate_bps or 2_000_000
            self.can = PioBus(bitrate_bps, line=line, seed=seed, data_bitrate_bps=rate_bps)
        elif board == "pico_mcp2518fd":
            self.can = Mcp2518fd(bitrate_bps, data_bitrate_bps=data_bitrate_bps or 2_000_000)
        else:
            self.can = Mcp2515(
                bitrate_bps=bitrate_bps, crystal_Hz=crystal_Hz, seed=seed, **(wiring or {})
            )
        self.second = None
        if board == "pico_pio_dual":
            self.second = PioBus(bitrate_bps, pin=7, bus=1, line=line, seed=seed + 1)
        self.card = SdCard(card_image, timing, seed=seed, **(card_wiring or {}))
        self.board = PicoBoard(
            image,
            files=logger_files(board) if files is None else files,
            can=self.can,
            card=self.card,
            devices=[self.second] if self.second else (),
            slow=slow,
            miss_cycles=miss_cycles,
            seed=seed,
        )
        self._stream = EmulatedStream(self.board)
        self._start()

    @property
    def is_on(self) -> bool:
        """True while the board has power."""
        return self.board.powered

    @property
    def now_us(self) -> int:
        """Emulated time since the rig was made."""
        return int(self.board.t_us)

    def power_on(self) -> None:
        """Boot the board; the logger answers when this returns."""
        self.board.power_on()
        self.wait_for_start()

    def power_cut(self) -> None:
        """Take the power away: memory is gone, flash and card stay, writes under way are torn."""
        self.board.power_off()

    def play(self, tape: Tape) -> None:
        """Play a tape from now on, up to its last event."""
        self.offer(tape)
        while not all(bus.is_played_out for bus in self._buses):
            self.board.run_us(_SLICE_us)

    def offer(self, tape: Tape) -> None:
        """Put a tape on its buses from now on, and return at once."""
        for bus in self._buses:
            bus.play(tape)

    @property
    def _buses(self) -> list[Mcp2515 | Mcp2518fd | PioBus]:
        return [self.can, self.second] if self.second else [self.can]

    def send(self, data: bytes) -> None:
        """Send bytes to the logger's data port as they are."""
        self.board.usb.write(data)

    def card_stall(self, delay_us: int, duration_us: int) -> None:
        """Let the card finish nothing for a while, `delay_us` from now."""
        start_us = self.now_us + delay_us
        self.card.stall_between(start_us, start_us + duration_us)

    def card_remove(self) -> None:
        """Pull the card out."""
        self.card.remove()

    def card_insert(self) -> None:
        """Put the card back in."""
        self.card.insert()

    def card_swap(self, path: Path) -> None:
        """Put another card in, an image at `path`."""
        self.card.remove()
        self.card.image.close()
        self.card_path = path
        self.card.image = FileImage(path)
        self.card.write_protected = False
        self.card.insert()

    def card_protect(self) -> None:
        """Lock the card for ever, as worn ones do."""
        self.card.write_protected = True

    def controller_remove(self) -> None:
        """Take the controller off its socket."""
        self.can.unplug()

    def controller_insert(self) -> None:
        """Put the controller back."""
        self.can.plug()

    @property
    def drove_dominant(self) -> bool:
        """True if the logger has ever driven its bus."""
        return any(bus.n_dominant for bus in self._buses)

    def light(self, tape: Tape | None = None) -> int:
        """Sample the light for one round of it while the bus carries the tape; return what it
        shows, see light_of.
        """
        if tape is not None:
            self.offer(tape)
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

    def button(self, is_pressed: bool) -> None:
        """Press the board's button, or let it go: the pin's own pull-up holds it high then."""
        self.board.chip.engine.drive(_BUTTON_PIN, False if is_pressed else None)

    def repl(self, code: str) -> str:
        """Run code at the raw REPL; return what it prints."""
        return self.board.repl.exec(code)

    @contextlib.contextmanager
    def bench(self) -> Iterator[EmulatedBench]:
        """Yield the board as a bring-up wants it."""
        yield EmulatedBench(self)
        self.wait_for_start()

    def run_for(self, us: int) -> None:
        """Let time pass on a silent bus."""
        self.board.run_us(us)

    def close(self) -> None:
        """Release everything."""
        self.board.close()
        self.card.image.close()

    def _start(self) -> None:
        """Wait until the logger runs, at the bus's bit rate."""
        self.wait_for_start()
        is_other = self.can.rate_bps != self.can.bitrate_bps or self._data_bitrate_bps
        if self.can.can_be_reached and is_other:
            bus = {"bitrate_bps": self.can.bitrate_bps, "data_bitrate_bps": self._data_bitrate_bps}
            text = json.dumps({"buses": [bus]}).encode()
            self.link.replace_config(CONFIG_SETTINGS, text)
            self.wait_for_start()

    def wait_for_start(self) -> None:
        """Run the board until its logger answers; open the service link."""
        board = self.board
        self.link = Link(self._stream, "rp2040", self._stream.clock)
        board.run_until(lambda: board.usb.connected, _BOOT_us, what="USB")
        board.run_until(self._has_started, _BOOT_us, _READ_us, "the start of the logger")

    def _has_started(self) -> bool:
        listens = self.can.mode in (MODE_NORMAL, MODE_LISTEN_ONLY)
        if self.can.can_be_reached and not listens:
            return False
        return self.link.status().state != STATE_BOOT
