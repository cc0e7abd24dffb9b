"""The service link over the REPL's USB port: bytes in and out, never waiting for the host.

What is written goes into a queue that `pump` empties; whoever has to wait for something else may
call it. MicroPython's USB buffer holds four packets of 64 bytes. A piece of four is written when
at least one packet fits, so a write waits for three packets at most, 250 us, while the host
reads. If the host stops reading within these, it waits 500 ms, once, and the piece is lost: the
host asks again.
"""

import select
import sys

import micropython

from slog.framing import MAX_WIRE

_PIECE = micropython.const(256)


class UsbLink:
    """stdin and stdout as a byte stream. Ctrl-C means nothing while it is open."""

    def __init__(self):
        n_pieces = MAX_WIRE // _PIECE + 1
        self._queue = memoryview(bytearray(n_pieces * _PIECE))
        self._pieces = [self._queue[i * _PIECE : (i + 1) * _PIECE] for i in range(n_pieces)]
        self._piece = 0
        self._n_pieces = 0
        self._last = None
        self._read = sys.stdin.buffer.readinto
        self._write = sys.stdout.buffer.write
        self._readable = select.poll()
        self._readable.register(sys.stdin, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sys.stdout, select.POLLOUT)
        self._byte = bytearray(1)
        self.background = None  # called by `pump`, to use the time that USB needs
        micropython.kbd_intr(-1)

    def close(self):
        """Give the port back to the REPL."""
        micropython.kbd_intr(3)

    @property
    def is_empty(self):
        """True when nothing is left to send."""
        return self._piece == self._n_pieces

    def read(self, buf):
        """Put what has come into `buf`; return how many bytes."""
        if self._piece < self._n_pieces:
            self.pump()
        byte = self._byte
        n = 0
        while n < len(buf):
            for _ in self._readable.ipoll(0):
                self._read(byte)
                buf[n] = byte[0]
                n += 1
                break
            else:
                break
        return n

    def write(self, view):
        """Take all of `view`, up to MAX_WIRE bytes, or nothing of it; return how many bytes."""
        self.pump()
        if self._piece < self._n_pieces:
            return 0
        n = len(view)
        self._queue[:n] = view
        self._piece = 0
        self._n_pieces = n_pieces = (n + _PIECE - 1) // _PIECE
        self._last = self._queue[(n_pieces - 1) * _PIECE : n]
        self.pump()
        return n

    def pump(self):
        """Send what the USB buffer has room for."""
        background = self.background
        while True:
            if background is not None:
                background()
            if self._piece == self._n_pieces:
                return
            for _ in self._writable.ipoll(0):
                break
            else:
                return
            piece = self._piece
            self._piece = piece + 1
            self._write(self._last if piece + 1 == self._n_pieces else self._pieces[piece])
