"""Marks: somebody says "here" by the board's button, or from a host, and the log keeps it.

A mark is a META_EVENT record, its text more of them behind it (slog.events). Recording goes on as
before: a mark that finds no place in the ring is not written. The button is sampled in each pass
of the main loop and debounced: one press is one mark however its contact bounces.
"""

import struct

from slog import events as ev
from slog.layout import META_EVENT, TIME_BITS, const

_STANDS_US = const(20_000)  # contacts bounce for some milliseconds
_LOW = (1 << TIME_BITS) - 1


class Marks:
    """Invariant: `_stable` is the last level of the button that stood for _STANDS_US; 1: open."""

    def __init__(self, board):
        self._board = board
        self._data = bytearray(8)
        self._stable = 1
        self._t = 0  # when the level was last the stable one
        self.n = 0  # of this session
        self._token = 0

    def start(self):
        """Begin to count with a session."""
        self.n = 0
        self._token = 0

    def step(self):
        """Sample the button, if the board has one."""
        board = self._board
        if board.button is None:
            return
        level = board.button()
        lo = board.clock.lo
        if level == self._stable:
            self._t = lo
        elif (lo - self._t) & _LOW >= _STANDS_US:
            self._stable = level
            self._t = lo
            if not level:
                self._put(ev.BUTTON, b"")

    def ask(self, token, text):
        """Set a mark for a host; return its number, 0 if the ring has no place for it. The same
        token again is the same mark: a request may come twice.
        """
        if token != self._token:
            if not self._put(ev.HOST, text):
                return 0
            self._token = token
        return self.n

    def _put(self, source, text):
        self._board.clock.read()
        struct.pack_into("<iI", self._data, 0, self.n + 1, len(text))
        if not self._write(ev.MARK | source << 16):
            return False
        self.n += 1
        n = len(self._data)
        for at in range(0, len(text), n):
            struct.pack_into("<8s", self._data, 0, text[at : at + n])
            self._write(ev.MARK_TEXT | at // n << 16)
        return True

    def _write(self, arg):
        board = self._board
        clock = board.clock
        return board.ring.put_meta(clock.lo, clock.hi, META_EVENT, arg, 0, self._data)
