"""MicroPython's raw REPL over the emulated port: run code, see what it prints. For tests and for
installing by hand.

Fails with RigTimeout if the board doesn't answer and with GuestError if the code raises.
"""

from stagelog.errors import StagelogError
from stagelog.rig.rp2040.emulator import Emulator


class GuestError(StagelogError):
    """Code on the board raised; the message is its traceback."""


class RawRepl:
    """The raw REPL. Invariant: between calls the port is at its prompt, or a script runs."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._usb = emulator.usb

    def enter(self, timeout_us: float = 2_000_000) -> None:
        """Interrupt what runs and enter the raw REPL."""
        emulator = self._emulator
        emulator.run_until(lambda: self._usb.connected, timeout_us, what="USB")
        emulator.run_us(2000)
        self._usb.received.clear()
        self._usb.write(b"\r\x03\x03\x01")
        emulator.run_until(
            lambda: self._usb.received.endswith(b"raw REPL; CTRL-B to exit\r\n>"),
            timeout_us,
            what="REPL",
        )
        self._usb.received.clear()

    def start(self, code: str) -> None:
        """Start a script; returns once the board has taken it."""
        self.enter()
        self._usb.write(code.encode() + b"\x04")
        self._emulator.run_until(
            lambda: self._usb.received.startswith(b"OK"), 5_000_000, what="OK of the raw REPL"
        )
        del self._usb.received[:2]

    def wait(self, text: str, timeout_us: float = 10_000_000) -> str:
        """Let the script run until it has printed `text`; return all printed since the last call.

        Raises   GuestError if the script ends before.
        """
        received = self._usb.received
        wanted = text.encode()
        self._emulator.run_until(
            lambda: wanted in received or b"\x04" in received, timeout_us, what=repr(text)
        )
        if wanted not in received:
            self.finish()
            raise GuestError(f"the script ended without printing {text!r}")
        at = received.index(wanted) + len(wanted)
        data = bytes(received[:at])
        del received[:at]
        return data.decode(errors="replace")

    def finish(self, timeout_us: float = 10_000_000) -> str:
        """Let the script run to its end; return what it has printed since the last call.

        Raises   GuestError with the traceback if it raised.
        """
        received = self._usb.received
        self._emulator.run_until(
            lambda: received.count(b"\x04") >= 2, timeout_us, what="the end of the script"
        )
        output, error, _ = bytes(received).split(b"\x04", 2)
        received.clear()
        if error:
            raise GuestError(error.decode(errors="replace").strip())
        return output.decode(errors="replace").replace("\r\n", "\n")

    def exec(self, code: str, timeout_us: float = 10_000_000) -> str:
        """Run code and return what it prints."""
        self.start(code)
        return self.finish(timeout_us)
