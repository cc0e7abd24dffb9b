"""A board at its MicroPython prompt, by the program mpremote in a process of its own.

mpremote is the tool that MicroPython's makers keep; it is not a library, so only its command line
is used. Fails with DeviceError: no board, no prompt, or code that raised on the board; with
UsageError without mpremote.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Protocol

from stagelog.errors import DeviceError
from stagelog.extras import need

_TIMEOUT_S = 120


class Board(Protocol):
    """A board at its MicroPython prompt. `Remote` is one; tests bring their own."""

    def exec(self, code: str) -> str:
        """Run code on the board; return what it prints."""

    def put(self, content: bytes, path: str) -> None:
        """Write a file on the board. Not atomic: write beside the old one, then rename."""

    def stop(self) -> None:
        """Stop the running program, clear all variables, and stay at the prompt."""

    def reset(self) -> None:
        """Restart the board, which starts main.py."""


class Remote:
    """A Board on a serial port. Every call is a whole run of mpremote."""

    def __init__(self, port: str) -> None:
        need("mpremote", "flash")
        self.port = str(port)

    def exec(self, code: str) -> str:
        """Run code on the board; return what it prints."""
        return self._run("resume", "exec", code)

    def start(self, code: str) -> None:
        """Run code on the board and leave it running."""
        self._run("resume", "exec", "--no-follow", code)

    def put(self, content: bytes, path: str) -> None:
        """Copy a file onto the board."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, "content")
            local.write_bytes(content)
            self._run("resume", "fs", "cp", str(local), f":{path}")

    def stop(self) -> None:
        """Reset MicroPython, not the chip: mpremote keeps main.py from starting."""
        self._run("soft-reset")

    def reset(self) -> None:
        """Reset the chip."""
        self.start("import machine; machine.reset()")

    def _run(self, *args: str) -> str:
        command = [sys.executable, "-m", "mpremote", "connect", self.port, *args]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"the board on {self.port} did not finish in {_TIMEOUT_S} s",
                "unplug it, plug it in and repeat the command",
            ) from None
        if done.returncode:
            text = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
            raise DeviceError(
                f"the board on {self.port}: {text[-1]}",
                "it must run MicroPython; 'stagelog flash --base' puts it onto a blank board",
            )
        return done.stdout
