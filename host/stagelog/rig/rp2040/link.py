"""The board's USB serial port for host programs: in this process, or as a pseudo-terminal for any
program.

SerialPort has the part of pyserial's interface that stagelog uses; waiting in it lets emulated
time pass, so that a program that talks to the board is as repeatable as the board. PtyLink serves
the same port in real time. Neither owns the protocol that runs over it.
"""

import errno
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Self

from stagelog.rig.rp2040.emulator import Emulator

_STEP_us = 250


class SerialPort:
    """A serial port to the emulated board.

    timeout, write_timeout  emulated seconds; None waits for ever
    """

    def __init__(
        self,
        emulator: Emulator,
        timeout: float | None = None,
        write_timeout: float | None = None,
        port: str = "emulated",
    ) -> None:
        self._emulator = emulator
        self._usb = emulator.usb
        self.port = self.name = port
        self.timeout = timeout
        self.write_timeout = write_timeout
        self.is_open = True
        self.baudrate = 115200

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read without waiting."""
        return len(self._usb.received)

    def inWaiting(self) -> int:
        """Return in_waiting; mpremote uses this name of older pyserial."""
        return self.in_waiting

    def isOpen(self) -> bool:
        """Return is_open; mpremote uses this name of older pyserial."""
        return self.is_open

    @property
    def out_waiting(self) -> int:
        """Bytes written that the firmware has not taken."""
        return self._usb.n_waiting

    def read(self, size: int = 1) -> bytes:
        """Return up to `size` bytes; fewer if the timeout ends first."""
        self._wait(lambda: len(self._usb.received) >= size, self.timeout)
        data = bytes(self._usb.received[:size])
        del self._usb.received[: len(data)]
        return data

    def read_until(self, expected: bytes = b"\n", size: int | None = None) -> bytes:
        """Return all bytes up to and with `expected`, or `size`, or what the timeout leaves."""
        received = self._usb.received
        self._wait(lambda: expected in received or (size and len(received) >= size), self.timeout)
        at = received.find(expected)
        return self._take(
            min(at + len(expected) if at >= 0 else len(received), size or len(received))
        )

    def write(self, data: bytes) -> int:
        """Hand over bytes; they wait until the firmware takes them. Returns how many."""
        self._usb.write(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Wait until the firmware has taken all that was written."""
        self._wait(lambda: not self._usb.n_waiting, self.write_timeout)

    def reset_input_buffer(self) -> None:
        """Drop what was received."""
        self._usb.received.clear()

    def reset_output_buffer(self) -> None:
        """Drop what the firmware has not taken."""
        self._usb.discard_output()

    def close(self) -> None:
        """Close the port; the firmware sees DTR fall."""
        if self.is_open:
            self.is_open = False
            self._usb.set_open(False)

    def open(self) -> None:
        """Open the port again."""
        if not self.is_open:
            self.is_open = True
            self._usb.set_open(True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, size: int) -> bytes:
        data = bytes(self._usb.received[:size])
        del self._usb.received[:size]
        return data

    def _wait(self, ready: Callable[[], object], timeout_s: float | None) -> None:
        emulator = self._emulator
        end_us = None if timeout_s is None else emulator.t_us + timeout_s * 1e6
        while not ready() and (end_us is None or emulator.t_us < end_us):
            emulator.run_us(_STEP_us)


class PtyLink:
    """The board's port as a pseudo-terminal. While it serves, nobody else may run the emulator.

    path    of the terminal
    pace    emulated seconds in a real second at most; None runs as fast as it goes
    """

    def __init__(self, emulator: Emulator, pace: float | None = 1.0) -> None:
        self._emulator = emulator
        self._usb = emulator.usb
        self._pace = pace
        import tty  # not on Windows, where the rest of this module works

        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._is_open = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def start(self) -> Self:
        """Serve in a thread of its own until stop()."""
        self._thread = threading.Thread(target=self._run, name=f"pty {self.path}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End serving and close the terminal. Raises what the emulator raised meanwhile."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        if self._error:
            raise self._error

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve(self, until: Callable[[], bool] = lambda: False) -> None:
        """Serve in this thread until until() is true or stop() is called."""
        begin_s = time.monotonic()
        begin_us = self._emulator.t_us
        while not self._stop.is_set() and not until():
            self._emulator.run_us(_STEP_us)
            self._pass_bytes()
            if self._pace:
                ahead_s = (self._emulator.t_us - begin_us) / 1e6 / self._pace - (
                    time.monotonic() - begin_s
                )
                if ahead_s > 0.002:
                    select.select([self._master] if self._is_open else [], [], [], ahead_s)
                elif ahead_s < -1:
                    begin_s = time.monotonic()
                    begin_us = self._emulator.t_us

    def _run(self) -> None:
        try:
            self.serve()
        except Exception as error:  # raised again by stop()
            self._error = error

    def _pass_bytes(self) -> None:
        try:
            data = os.read(self._master, 4096) if self._usb.n_waiting < 4096 else b""
            self._set_open(True)
            if data:
                self._usb.write(data)
        except BlockingIOError:
            self._set_open(True)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._set_open(False)
            return
        received = self._usb.received
        if received:
            try:
                sent = os.write(self._master, received[:16384])
            except BlockingIOError:
                sent = 0
            del received[:sent]
        self._usb.reading = self._is_open and len(received) < 65536

    def _set_open(self, is_open: bool) -> None:
        if is_open != self._is_open and self._usb.connected:
            self._is_open = is_open
            self._usb.set_open(is_open)
