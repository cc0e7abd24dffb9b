"""The target rv32 of the rig: the application on MicroPython on a 32-bit RISC-V.

The same models and the same virtual time as `SimTarget`, on the instruction set of an ESP32-C3;
the interpreter, its integers, floats and memory are what is tried. The service link goes over the
machine's serial port, a pseudo-terminal.
"""

import json
from pathlib import Path
from typing import Any

from stagelog.card import prepare_raw
from stagelog.link import Link
from stagelog.rig.build.toolchain import Program
from stagelog.rig.rv32 import layout
from stagelog.rig.rv32.machine import Machine
from stagelog.rig.tape import Tape
from stagelog.rig.target import ModelTarget, fd_args, lacking_of

_SECTOR_BYTES = 512
_READ_PASSES = 50
_CARD = "logger.board.card"


class _Stream:
    """The machine's serial port as stagelog.link.Link wants it, in virtual time."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def clock(self) -> float:
        """Return virtual seconds, for Link."""
        return int(self._machine.call("answer = logger.world.clock.now_us")) / 1e6

    def write(self, data: bytes) -> None:
        """Send bytes to the logger."""
        self._machine.send(bytes(data))

    def read(self, n: int) -> bytes:
        """Let the logger run until it sends something, 50 passes at most."""
        data = self._machine.take(n)
        if not data:
            self._machine.call(f"logger.answer({_READ_PASSES})")
            data = self._machine.take(n)
        return data

    def close(self) -> None:
        """Nothing to close."""


class Rv32Target(ModelTarget):
    """A rig in virtual time. The card is an image in `folder` and outlives power cuts.

    image, qemu  MicroPython for the machine, and the emulator: see `rig.runtimes`
    args         of rig.sim.assemble.DEFAULTS; card_blocks; bitrate_bps of the buses that are wired
                 to it, None for those of its settings at power-on; data_bitrate_bps: as SimTarget
    """

    name = "rv32"
    capabilities = ModelTarget.capabilities | {"can_fd"}

    def __init__(self, folder: Path, *, image: Path, qemu: Program, **args: Any) -> None:
        self._bitrate_bps = args.pop("bitrate_bps", None)
        if "data_bitrate_bps" in args:
            args = fd_args(self._bitrate_bps or 500_000, **args)
        self.capabilities = self.capabilities - lacking_of(args.get("board"))
        self.card_path = folder / "card.img"
        if not self.card_path.exists():
            prepare_raw(self.card_path, args.pop("card_blocks", 2048))
        super().__init__(args)
        self._is_on = False
        self.machine = Machine(folder, image, qemu)
        self.power_on()

    @property
    def is_on(self) -> bool:
        """True while the logger has power."""
        return self._is_on

    @property
    def now_us(self) -> int:
        """Time since power-on."""
        return int(self.machine.call("answer = logger.world.clock.now_us"))

    def power_on(self) -> None:
        """Boot the logger."""
        args = json.dumps(self._boot_args())
        self.machine.start()
        self._is_on = True
        n_sectors = self._load_card()
        self.machine.call(f"logger = Logger({args!r}, {n_sectors})")
        self._set_captures("wire_bps", f"{self._bitrate_bps} or capture.bitrate_bps")
        self._set_captures("present", self._controllers)
        self.link = Link(_Stream(self.machine), "rv32", _Stream(self.machine).clock)

    def power_cut(self) -> None:
        """Cut the power: memory and the write in progress are lost, the card stays."""
        self._save_card()
        self.machine.stop()
        self._is_on = False

    def play(self, tape: Tape) -> None:
        """Play a tape from now on, up to its last event."""
        content = tape.tobytes()
        room = layout.CARD - layout.TAPE
        if len(content) > room:
            raise ValueError(f"the tape has {len(content)} bytes, there is room for {room}")
        self.machine.write(layout.TAPE, content)
        self.machine.call(f"logger.play({len(content)}, {tape.dtype.itemsize})")

    def send(self, data: bytes) -> None:
        """Send bytes to the logger's data port as they are."""
        self.machine.send(data)

    def card_stall(self, delay_us: int, duration_us: int) -> None:
        """Let the card finish nothing for a while, `delay_us` from now."""
        start = self.now_us + delay_us
        self.machine.call(f"{_CARD}.stalls.append(({start}, {start + duration_us}))")

    def card_swap(self, path: Path) -> None:
        """Put another card in, an image at `path`."""
        self._save_card()
        self.card_path = path
        n_sectors = self._load_card()
        self.machine.call(f"{_CARD}.image.n_sectors = {n_sectors}\n{_CARD}.swap({_CARD}.image)")

    def run_for(self, us: int) -> None:
        """Let time pass on a silent bus."""
        self.machine.call(f"logger.world.run_for({us})")

    def close(self) -> None:
        """Release everything; the card's image keeps what the logger wrote."""
        if self.is_on:
            self.power_cut()
        self.machine.close()

    def _load_card(self) -> int:
        """Put the image into the machine's memory; return its sectors."""
        content = self.card_path.read_bytes()
        room = layout.RAM + layout.RAM_BYTES - layout.CARD
        if len(content) > room:
            raise ValueError(
                f"{self.card_path} has {len(content)} bytes, there is room for {room}"
            )
        self.machine.write(layout.CARD, content)
        return len(content) // _SECTOR_BYTES

    def _save_card(self) -> None:
        n_bytes = self.card_path.stat().st_size
        self.card_path.write_bytes(self.machine.read(layout.CARD, n_bytes))

    def _set_card(self, name: str, value: bool) -> None:
        self.machine.call(f"{_CARD}.{name} = {value}")

    def _set_captures(self, name: str, value: bool | str) -> None:
        self.machine.call(f"for capture in logger.board.captures:\n    capture.{name} = {value}")

    def _shown_pattern(self) -> int:
        code = "from boards.light import pattern_of\nanswer = pattern_of(*logger.board.shown)"
        return int(self.machine.call(code))
