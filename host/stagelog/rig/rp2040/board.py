"""A Raspberry Pi Pico wired as firmware/boards/pico_mcp2515.py says: MCP2515, SD card, LED, USB.

Owns the wiring and the ways in: files into flash, the serial port, the raw REPL. All else is the
emulator's and the devices'.

    board = PicoBoard(find_runtime("pico-1.25"), files={"main.py": source})
    board.can.play(tape)
    board.run_us(1_000_000)
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from stagelog.rig.rp2040.card_image import MemoryImage
from stagelog.rig.rp2040.emulator import Device, Emulator, read_uf2
from stagelog.rig.rp2040.flash_files import read_files, write_files
from stagelog.rig.rp2040.link import PtyLink, SerialPort
from stagelog.rig.rp2040.mcp2515 import Mcp2515
from stagelog.rig.rp2040.mcp2518fd import Mcp2518fd
from stagelog.rig.rp2040.pio_bus import PioBus
from stagelog.rig.rp2040.repl import RawRepl
from stagelog.rig.rp2040.sdcard import SdCard
from stagelog.rig.runtimes import ensure_runtime

Files: TypeAlias = Mapping[str, bytes | str]  # by their paths
LED = 25
SUPPLY_mV = 4_900  # VSYS: 5.2 V less a Schottky diode
_POWER_GOOD_PIN = 22  # WIRING.md, Pins
_CARD_SECTORS = 1 << 21  # 1 GiB


class PicoBoard(Emulator):
    """The board. Invariant: emulated time moves only in its run methods and while a link waits.

    image    path of a UF2, or a flash image; None: MicroPython 1.25, built if it is not there
    files    for the flash's file system, which is formatted if the image is a UF2
    can      None: one with the wiring of the board file
    card     None: an ordinary one of 1 GiB, blank
    options  as of Emulator

    led_changes  (t_us, level) since the board was made
    """

    def __init__(
        self,
        image: str | Path | bytes | bytearray | None = None,
        *,
        files: Files | None = None,
        can: Mcp2515 | Mcp2518fd | PioBus | None = None,
        card: SdCard | None = None,
        devices: Iterable[Device] = (),
        **options: Any,
    ) -> None:
        if isinstance(image, (bytes, bytearray)):
            flash = bytearray(image)
            if files:
                write_files(flash, _encoded(files))
        else:
            flash = read_uf2(image or ensure_runtime("pico-1.25"))
            write_files(flash, _encoded(files or {}), fresh=True)
        self.can = can or Mcp2515()
        self.card = card or SdCard(MemoryImage(_CARD_SECTORS))
        super().__init__(flash, (self.can, self.card, *devices), **options)
        self.repl = RawRepl(self)
        self.set_supply(SUPPLY_mV)
        self.set_power_good(True)
        self.led_changes: list[tuple[float, int]] = []
        self.chip.listen(LED, self._led_changed)

    @property
    def led(self) -> int:
        """Level of the LED's pin."""
        return self.chip.level(LED)

    def set_supply(self, mV: float) -> None:
        """Set the voltage at VSYS, which ADC 3 sees at a third (Pico data sheet, 2.1)."""
        self.chip.set_analog(3, mV / 3)

    def set_power_good(self, is_good: bool | None) -> None:
        """Set what the supply says at its "power good" output; None: the wire is open."""
        self.chip.engine.drive(_POWER_GOOD_PIN, is_good)

    def install(self, files: Files, fresh: bool = False) -> None:
        """Put files into the flash while the power is off, or before the board first ran.

        Raises   RuntimeError if the board is running.
        """
        if self.powered and self.t_us:
            raise RuntimeError(
                "files go into the flash of a board without power; call power_off first"
            )
        write_files(self.flash, _encoded(files), fresh)

    def files(self) -> dict[str, bytes]:
        """Return {path: bytes} of what the flash holds; right only while nothing writes to it."""
        return read_files(self.flash)

    def serial(
        self, timeout: float | None = None, write_timeout: float | None = None
    ) -> SerialPort:
        """Return the USB port for a program in this process; waiting lets emulated time pass."""
        return SerialPort(self, timeout, write_timeout)

    def serve_pty(self, pace: float | None = 1.0) -> PtyLink:
        """Return the USB port as a pseudo-terminal; see link.PtyLink."""
        return PtyLink(self, pace)

    def _led_changed(self, level: int) -> None:
        self.led_changes.append((self.t_us, level))


def _encoded(files: Files) -> dict[str, bytes]:
    return {
        path: content.encode() if isinstance(content, str) else content
        for path, content in files.items()
    }
