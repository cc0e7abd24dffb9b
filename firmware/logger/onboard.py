"""On-car events of a running session: reads the ring behind the capture, writes what it finds.

Owns a tap of the ring, and the detectors if the board has a signal table. What they find goes into
the same ring. Capture and store never wait for it: blocks that were reused before they could be
watched are reported as an event, and so is a table that can't be used or that finds no memory: a
board sizes its ring at its start, beside the detectors if it has a table then, and discards them
if they leave too little for it.
"""

import gc
import struct
import sys

from logger.tap import Tap
from slog import events as ev
from slog.layout import META_EVENT, TIME_BITS, const
from slog.messages import CONFIG_SIGNALS

_MOST = const(64)  # records in one pass
_TICKS = const(1)  # in one pass: behind skipped blocks 100 may be due, and each takes 6 ms
_PERIOD_US = const(10_000)  # between two passes, unless more records wait than one takes
_LOW = (1 << TIME_BITS) - 1


_ready = []  # the detectors of the first session, or the error that there is instead of them


def prepare(settings):
    """Make the detectors of the first session before the ring takes what memory is left. Code that
    came for a table that can't be used is freed again.
    """
    loaded = list(sys.modules)
    try:
        _ready.append(_make(settings))
    except (ImportError, ValueError) as error:
        _ready.append(error)  # the session will say so
        _unload(loaded)
    except MemoryError:
        discard()


def discard():
    """Free the detectors of the first session and their code, for want of memory; the session
    will say so, unless there is no table or it can't be used.
    """
    is_said = _ready and (_ready[0] is None or isinstance(_ready[0], Exception))
    if not is_said:
        _ready[:] = [MemoryError()]
    _unload()


def _unload(kept=()):
    """Free the code of the detectors, but for modules whose names are kept."""
    for name in list(sys.modules):
        if name.startswith("detectors") and name not in kept:
            del sys.modules[name]


def _nothing(code, state, value, extra):
    pass


def _make(settings):
    """Return the detectors of the board's signal table, None if it has none.

    Raises   ValueError for a table that can't be used, MemoryError
    """
    found = settings.open(CONFIG_SIGNALS)
    if not found:
        return None
    with found[0] as file:
        from detectors.events import Events  # not in memory where there is no table
        from slog.signal_table import read

        return Events(read(file, found[1]), _nothing)


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
        if self._tap is not None:
            gc.collect()  # the place of the last session's is free now
        self._tap = Tap(self._ring)
        if not _ready:
            prepare(self._board.nv)
        events = _ready.pop()
        if isinstance(events, Exception):
            self._stop_for(events)
        elif events is not None:
            self.events = events
            events.emit = self._put
            self._put(ev.TABLE, ev.ON, events.watch.n_signals, events.alarms.n)

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
        """Watch some records of one block; return how many there were, _MOST if some are left."""
        tap = self._tap
        n = tap.next(_MOST)
        if tap.n_skipped:
            self._put(ev.SKIPPED, ev.ON, tap.n_skipped, 0)
            tap.n_skipped = 0
        if not n:
            return 0
        t0_lo, hi = tap.t0
        at = tap.offset
        block = tap.block
        lo = block[at] | block[at + 1] << 8 | block[at + 2] << 16 | (block[at + 3] & 15) << 24
        if lo < t0_lo and (lo - t0_lo) & _LOW < _LOW >> 1:
            hi += 1
        try:
            left = n - self.events.scan(block, at, n, hi, _TICKS)
            if left:
                tap.give_back(left)
                return _MOST
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
