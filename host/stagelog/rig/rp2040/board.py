"""A Raspberry Pi Pico wired as firmware/boards/pico_mcp2515.py says: MCP2515, SD card, LED, USB.

Owns the wiring and the ways in: files into flash, the serial port, the raw REPL. All else is the
emulator's and the devices'.

    board = PicoBoard(find_runtime("pico-1.25"), files={"main.py": source})
    board.can.play(tape)
    board.run_us(1_000_000)
"""

from stagelog.rig.rp2040.card_image import MemoryImage
from stagelog.rig.rp2040.emulator import Emulator, read_uf2
from stagelog.rig.rp2040.flash_files import read_files, write_files
from stagelog.rig.rp2040.link import PtyLink, SerialPort
from stagelog.rig.rp2040.mcp2515 import Mcp2515
from stagelog.rig.rp2040.repl import RawRepl
from stagelog.rig.rp2040.sdcard import SdCard
from stagelog.rig.runtimes import ensure_runtime

LED = 25
_CARD_SECTORS = 1 << 21  # 1 GiB


class PicoBoard(Emulator):
    """The board. Invariant: emulated time moves only in its run methods and while a link waits.

    image    path of a UF2 or flash image; None: MicroPython 1.25, built if it is not there
    files    {path: bytes or str} for the flash's file system, which is formatted in any case
    can      Mcp2515, or None for the wiring of the board file
    card     SdCard, or None for one of 1 GiB, blank and ordinary
    others   as of Emulator

    led_changes  list of (t_us, level) since the board was made
    """

    def __init__(self, image=None, *, files=None, can=None, card=None, devices=(), **options):
        flash = image if isinstance(image, (bytes, bytearray)) else None
        if flash is None:
            flash = read_uf2(image or ensure_runtime("pico-1.25"))
            write_files(flash, _encoded(files or {}), fresh=True)
        elif files:
            flash = bytearray(flash)
            write_files(flash, _encoded(files))
        self.can = can or Mcp2515()
        self.card = card or SdCard(MemoryImage(_CARD_SECTORS))
        super().__init__(flash, (self.can, self.card, *devices), **options)
        self.repl = RawRepl(self)
        self.led_changes = []
        self.chip.listen(LED, self._led_changed)

    @property
    def led(self):
        """Level of the LED's pin."""
        return self.chip.level(LED)

    def install(self, files, fresh=False):
        """Put files into the flash while the power is off, or before the board first ran.

        Raises   RuntimeError if the board is running.
        """
        if self.powered and self.t_us:
            raise RuntimeError(
                "files go into the flash of a board without power; call power_off first"
            )
        write_files(self.flash, _encoded(files), fresh)

    def files(self):
        """Return {path: bytes} of what the flash holds; right only while nothing writes to it."""
        return read_files(self.flash)

    def serial(self, timeout=None, write_timeout=None):
        """Return the USB port for a program in this process; waiting lets emulated time pass."""
        return SerialPort(self, timeout, write_timeout)

    def serve_pty(self, pace=1.0):
        """Return the USB port as a pseudo-terminal; see link.PtyLink."""
        return PtyLink(self, pace)

    def _led_changed(self, level):
        self.led_changes.append((self.t_us, level))


def _encoded(files):
    return {
        path: content.encode() if isinstance(content, str) else content
        for path, content in files.items()
    }
