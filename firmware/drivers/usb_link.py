"""The service link over the REPL's USB port: bytes in and out.

MicroPython's USB buffer holds four packets of 64 bytes, and is served only between two bytecodes:
code that stays in assembler for longer than a packet's 55 us costs its rate. A write of one packet
never waits; a longer one waits until all but its last four packets are gone, 80 us each while the
host reads. If the host stops reading meanwhile, it waits 500 ms, twice; the next do not.
"""

import select
import sys

import micropython

from slog.framing import PACKET_BYTES


class UsbLink:
    """stdin and stdout as a byte stream. Ctrl-C means nothing while it is open."""

    def __init__(self):
        self._read = sys.stdin.buffer.readinto
        self._write = sys.stdout.buffer.write
        self._readable = select.poll()
        self._readable.register(sys.stdin, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sys.stdout, select.POLLOUT)
        for poll in (self._readable, self._writable):
            poll.ipoll(0)  # makes its answer here, not where memory is free later
        self._byte = bytearray(1)
        self._is_read = False  # the host took all of the last write
        micropython.kbd_intr(-1)

    def close(self):
        """Give the port back to the REPL."""
        micropython.kbd_intr(3)

    def read(self, buf):
        """Put what has come into `buf`; return how many bytes."""
        n = 0
        while n < len(buf):
            for _ in self._readable.ipoll(0):
                self._read(self._byte)
                buf[n] = self._byte[0]
                n += 1
                break
            else:
                break
        return n

    def write(self, buf, at, n):
        """Send up to `n` bytes of `buf` from `at`; return how many went, 0 without room for one.

        The buffer's room is whole packets as long as what is written is.
        """
        if n <= PACKET_BYTES or not self._is_read:
            for _ in self._writable.ipoll(0):
                break
            else:
                return 0
        went = self._write(buf, at, n)
        self._is_read = went == n
        return went
