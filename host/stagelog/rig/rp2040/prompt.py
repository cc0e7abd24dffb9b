"""The emulated board at MicroPython's prompt, as `stagelog.flash.remote.Remote` is for a real one,
and as the bench of a bring-up.

What mpremote does by a process of its own happens here in emulated time, so it is repeatable.
Fails with DeviceError, as Remote does.
"""

import binascii

from stagelog.errors import DeviceError
from stagelog.rig.rp2040.board import PicoBoard
from stagelog.rig.rp2040.repl import GuestError

_PATIENCE_us = 600_000_000
_PIECE = 1024


class EmulatedPrompt:
    """One board. Invariant: its caller alone runs the emulator."""

    def __init__(self, board: PicoBoard, port: str = "emulated") -> None:
        self.port = port
        self._board = board

    def exec(self, code: str) -> str:
        """Run code on the board; return what it prints."""
        try:
            return str(self._board.repl.exec(code, _PATIENCE_us))
        except GuestError as error:
            raise DeviceError(f"the board on {self.port}: {error}") from None

    def start(self, code: str) -> None:
        """Run code on the board and leave it running."""
        self._board.repl.start(code)

    def put(self, content: bytes, path: str) -> None:
        """Write a file on the board."""
        self.exec(f"import binascii\nf = open({path!r}, 'wb')")
        for at in range(0, len(content), _PIECE):
            piece = binascii.b2a_base64(content[at : at + _PIECE], newline=False)
            self.exec(f"f.write(binascii.a2b_base64({piece!r}))")
        self.exec("f.close()")

    def stop(self) -> None:
        """End what runs, forget all variables, and stay at the prompt: main.py is not started."""
        self._board.repl.enter()
        self._board.usb.write(b"\x04")
        self._board.run_until(
            lambda: b"raw REPL; CTRL-B to exit" in self._board.usb.received,
            what="the prompt after a soft reset",
        )

    def reset(self) -> None:
        """Restart the board, main.py included."""
        self.start("import machine; machine.reset()")
        self._board.run_us(100_000)
