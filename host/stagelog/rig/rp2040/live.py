"""A live process around the emulated board: its USB is a pseudo-terminal, as if on a cable."""

from collections.abc import Callable
from pathlib import Path

from stagelog.rig.rp2040.board import PicoBoard
from stagelog.rig.rp2040.card_image import FileImage
from stagelog.rig.rp2040.emulator import UNIQUE_ID
from stagelog.rig.rp2040.firmware import logger_files
from stagelog.rig.rp2040.mcp2515 import Mcp2515
from stagelog.rig.rp2040.sdcard import SdCard
from stagelog.rig.tape import Tape


class EmulatedLogger:
    """An emulated Pico that ordinary commands reach at `port`.

    card   path of a card image; tape  what its bus carries from power-on, or None
    blank  True: stock MicroPython with an empty file system, to be flashed
    seed   each is a chip of its own, with an id of its own
    """

    def __init__(
        self,
        card: str | Path,
        tape: Tape | None = None,
        bitrate_bps: int = 500_000,
        seed: int = 1,
        blank: bool = False,
    ) -> None:
        self._image = FileImage(card)
        self._can = Mcp2515(bitrate_bps=bitrate_bps)
        self._board = PicoBoard(
            files=None if blank else logger_files(),
            can=self._can,
            card=SdCard(self._image, seed=seed),
            seed=seed,
            unique_id=(int.from_bytes(UNIQUE_ID) + seed - 1).to_bytes(8),
        )
        if tape is not None:
            self._can.play(tape)
        self._cable = self._board.serve_pty()

    @property
    def port(self) -> str:
        """Name of the port to open."""
        return self._cable.path

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Run at the pace of the wall clock until `until()` is true, or as fast as this machine
        can.
        """
        self._cable.serve(until)

    def close(self) -> None:
        """Unplug and close the card."""
        self._cable.stop()
        self._board.close()
        self._image.close()
