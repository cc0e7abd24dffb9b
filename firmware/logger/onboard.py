"""On-car events of a running session: reads the ring behind the capture, writes what it finds.

Owns a tap of the ring, and the detectors if the board has a signal table. What they find goes into
the same ring. Capture and store never wait for it: blocks that were reused before they could be
watched are reported as an event, and so is a table that can't be used or that finds no memory: a
board sizes its ring at its start, by whether it has a table then.
"""

import struct

from logger.tap import Tap
from slog import events as ev
from slog.layout import META_EVENT, TIME_BITS, const
from slog.messages import CONFIG_SIGNALS

KEPT_BYTES = const(4096)  # memory in one piece that the detectors leave to others
_MOST = const(64)  # records in one pass
_PERIOD_US = const(10_000)  # between two passes, unless more records wait than one takes
_LOW = (1 << TIME_BITS) - 1


class OnCarEvents:
    """Invariant: each record of a session is watched at most once, in order."""

    def __init__(self, board):
        self.events = None  # the detectors, while a session runs and there is a table
        self.n_unwritten = 0
        self._board = board
        self._ring = board.ring
        self._data = bytearray(8)
        self._tap = None
        self._t_step = 0

    def start(self):
        """Begin with what is recorded from now on."""
        self.events = None
        self._tap = Tap(self._ring)
        try:
            found = self._board.nv.open(CONFIG_SIGNALS)
            if found:
                kept = bytearray(KEPT_BYTES)
                from detectors.events import Events  # not in memory where there is no table
                from slog.signal_table import read

                with found[0] as file:
                    table = read(file, found[1])
                self.events = Events(table, self._put)
                del kept
        except (ImportError, MemoryError, ValueError) as error:
            self._stop_for(error)

    def stop(self):
        """Watch what is left, then rest."""
        while self.events is not None and self._watch():
            pass
        self.events = None

    def step(self):
        """Watch some records if it is time."""
        lo = self._board.clock.lo
        if self.events is not None and (lo - self._t_step) & _LOW >= _PERIOD_US:
            if self._watch() < _MOST:
                self._t_step = lo

    def _watch(self):
        """Watch some records of one block; return how many there were."""
        tap = self._tap
        n = tap.next(_MOST)
        if tap.n_skipped:
            self._put(ev.SKIPPED, ev.ON, tap.n_skipped, 0)
            tap.n_skipped = 0
        if not n:
            return 0
        t0_lo, hi = tap.t0
        at = tap.offset
        lo = struct.unpack_from("<I", tap.block, at)[0] & _LOW
        if lo < t0_lo and (lo - t0_lo) & _LOW < _LOW >> 1:
            hi += 1
        try:
            self.events.scan(tap.block, at, n, hi)
        except Exception as error:  # whatever a detector meets, recording goes on
            self._stop_for(error)
        return n

    def _stop_for(self, error):
        """Record without events from now on, and say so: 1 memory, 2 anything else."""
        self.events = None
        self._put(ev.TABLE, ev.OFF, 1 if isinstance(error, MemoryError) else 2, 0)

    def _put(self, code, state, value, extra):
        clock = self._board.clock
        clock.read()
        struct.pack_into("<iI", self._data, 0, value, extra)
        arg = code | state << 16
        if not self._ring.put_meta(clock.lo, clock.hi, META_EVENT, arg, 0, self._data):
            self.n_unwritten += 1
