"""On-car events of a running session: what goes into the ring, and when nothing can be watched."""

import struct
import types

import pytest
from hand_table import Car

from logger import onboard
from logger.clock import Clock
from logger.onboard import OnCarEvents
from logger.ring import BlockRing
from slog import events as ev
from slog.messages import CONFIG_SIGNALS
from stagelog.rig.sim.models import MemoryNv

TABLE = Car(2, alarms=[{"signal": 0, "warning": 100}]).data


class Board:
    """Ring, clock and settings of a board, and the detectors on it. Time is `now_us`."""

    def __init__(self, table=TABLE, n_blocks=8):
        self.now_us = 0
        self.ring = BlockRing(n_blocks)
        self.clock = Clock(lambda: self.now_us & 0x3FFFFFFF)
        self.nv = MemoryNv({} if table is None else {CONFIG_SIGNALS: table})
        self.onboard = OnCarEvents(self)
        self.n_read = 0

    def frame(self, raw, at_us, can_id=0x100):
        self.now_us = at_us
        self.clock.read()
        data = struct.pack("<H", raw) + bytes(6)
        self.ring.put_frame(self.clock.lo, self.clock.hi, can_id, 0, 2, data)

    def step(self, after_us=10_000):
        self.now_us += after_us
        self.clock.read()
        self.onboard.step()

    def said(self):
        """Return [(code, state, value, extra)] of all event records in the ring so far."""
        found = []
        for i, block in enumerate(self.ring.blocks):
            is_open = i == self.ring.state[0]
            n = self.ring.state[1] if is_open else block[3]
            for k in range(n):
                w0, w1, value, extra = struct.unpack_from("<IIiI", block, 64 + 16 * k)
                if w0 >> 28 == 15 and w1 & 0xFF == 5:
                    arg = w1 >> 8 & 0x1FFFFF
                    found.append((arg & 0xFFFF, arg >> 16, value, extra))
        return found


def test_a_table_is_reported_with_its_size_when_the_session_starts():
    board = Board()
    board.onboard.start()
    assert board.said() == [(ev.TABLE, ev.ON, 2, 1)]


@pytest.mark.parametrize("table", [TABLE, None])
def test_the_first_session_takes_the_detectors_that_were_made_at_the_start(monkeypatch, table):
    """They said that there is a table before there was a ring; the session says it again. The
    next session has detectors of its own.
    """
    monkeypatch.setattr(onboard, "_ready", [])
    board = Board(table)
    onboard.prepare(board.nv)
    (made,) = onboard._ready
    board.onboard.start()
    said = [(ev.TABLE, ev.ON, 2, 1)] * (table is not None)
    assert board.onboard.events is made and board.said() == said and not onboard._ready
    board.onboard.stop()
    board.onboard.start()
    assert made is None or board.onboard.events is not made
    assert board.said() == said * 2


def test_a_table_that_cannot_be_used_is_reported_by_the_session(monkeypatch):
    monkeypatch.setattr(onboard, "_ready", [])
    board = Board(TABLE[:-1])
    onboard.prepare(board.nv)
    board.onboard.start()
    assert board.said() == [(ev.TABLE, ev.OFF, 2, 0)]


def test_without_a_table_nothing_is_watched_and_nothing_said():
    board = Board(None)
    board.onboard.start()
    board.frame(200, 1000)
    board.step()
    board.onboard.stop()
    assert board.said() == [] and board.onboard.events is None


@pytest.mark.parametrize(
    "table", [b"SLST", TABLE[:-1], TABLE[:50] + b"?" + TABLE[51:], bytes(200)]
)
def test_a_table_that_cannot_be_used_is_reported(table):
    board = Board(table)
    board.onboard.start()
    assert board.said() == [(ev.TABLE, ev.OFF, 2, 0)] and board.onboard.events is None


def test_a_table_without_memory_is_reported(monkeypatch):
    monkeypatch.setattr(onboard, "sys", types.SimpleNamespace(modules={}))
    board = Board()

    def full(item):
        raise MemoryError

    board.nv = types.SimpleNamespace(open=full)
    board.onboard.start()
    assert board.said() == [(ev.TABLE, ev.OFF, 1, 0)]


def test_what_the_detectors_find_is_in_the_ring():
    """101 from the first frame on: judged at tick 10, which the frame at 100 ms brings."""
    board = Board()
    board.onboard.start()
    for k in range(3):
        board.frame(101, 1 + 100_000 * k)
        board.step()
        for _ in range(10):  # a tick in each pass
            board.step(0)
    said = board.said()
    assert (ev.ALARM + 1, ev.WARNING, 101, 0) in said
    assert (ev.CONTEXT + 1, ev.BEFORE, 0, 0) in said
    assert board.onboard.n_unwritten == 0


def test_records_are_watched_every_10_ms_and_sooner_while_many_wait():
    board = Board()
    board.onboard.start()
    passes = []
    board.onboard.events.watch.scan = lambda block, at, n, hi, most: passes.append(n) or n
    board.step()
    for k in range(150):
        board.frame(1, 10_001 + k)
    assert sum(passes) == 1  # the record of the table itself
    passes.clear()
    for _ in range(5):
        board.step(1)
    assert passes == []  # 10 ms are not over
    board.step(9_900)
    board.step(1)
    board.step(1)
    assert passes == [64, 64, 22]
    board.frame(1, board.now_us + 1)
    board.step(9_980)
    assert len(passes) == 3
    board.step(30)
    assert passes[3:] == [1]


def test_blocks_that_were_written_again_are_told():
    board = Board(n_blocks=3)
    board.onboard.start()
    for k in range(4 * 252):
        board.frame(1, 1000 + k)
        if board.ring.n_waiting():
            board.ring.release()
    board.step()
    assert (ev.SKIPPED, ev.ON, 4, 0) in board.said()
    board.step()
    assert len([x for x in board.said() if x[0] == ev.SKIPPED]) == 1


def test_the_ticks_of_a_time_without_frames_are_spread_over_passes():
    """50 ticks of 10 ms are due at the frame 0.5 s after the first; 50 at once would keep the card
    waiting for 0.3 s on an RP2040.
    """
    board = Board()
    board.onboard.start()
    board.frame(1, 1)
    board.step(0)
    board.frame(1, 500_001)
    ticks = []
    for _ in range(60):
        board.step(0 if ticks else 10_000)  # in the next pass, not 10 ms later
        ticks.append(board.onboard.events.watch.tick)
    assert ticks[:50] == list(range(1, 51)) and ticks[-1] == 50


def test_what_came_between_two_sessions_is_not_watched():
    board = Board(n_blocks=3)
    board.onboard.start()
    board.onboard.stop()
    for k in range(5 * 252):
        board.frame(200, 1000 + k)
        if board.ring.n_waiting():
            board.ring.release()
    board.onboard.start()
    board.step()
    assert not [x for x in board.said() if x[0] in (ev.SKIPPED, ev.ALARM + 1)]


def test_an_event_has_its_time_after_a_wrap_as_well():
    """It opens a block, whose header has the bits above 27 from byte 32 on."""
    board = Board()
    board.now_us = (3 << 28) + 77
    board.onboard.start()
    assert board.said() == [(ev.TABLE, ev.ON, 2, 1)]
    assert struct.unpack_from("<II", board.ring.blocks[0], 28) == (77, 3)


def test_the_end_of_a_session_watches_what_is_left():
    board = Board()
    board.onboard.start()
    for k in range(300):
        board.frame(101 if k == 0 else 102, 1 + 1000 * k)
    board.onboard.stop()
    assert [x[:2] for x in board.said() if x[0] == ev.ALARM + 1] == [(ev.ALARM + 1, ev.WARNING)]
    assert board.onboard.events is None


def test_a_detector_that_fails_ends_the_events_and_not_the_recording():
    board = Board()
    board.onboard.start()
    for error, reason in ((ZeroDivisionError, 2), (MemoryError, 1)):
        board.onboard.start()

        def fail(*args, error=error):
            raise error

        board.onboard.events.watch.scan = fail
        board.frame(1, board.now_us + 1000)
        board.step()
        assert board.said()[-1] == (ev.TABLE, ev.OFF, reason, 0)
        assert board.onboard.events is None
        board.step()


def test_times_beyond_the_28_bits_within_a_block():
    """A block opened 1 s before the wrap: a record after it is of the next turn."""
    board = Board()
    board.now_us = (1 << 28) - 1_000_000
    board.clock._tick = 0
    board.clock.read()
    board.onboard.start()
    board.frame(1, (1 << 28) - 500_000)
    board.step()
    for k in range(3):
        board.frame(1, (1 << 28) + 1000 + 10_000 * k)
        board.step(0)
    board.onboard.stop()
    board.onboard.start()
    watched = []
    board.onboard.events.watch.scan = lambda block, at, n, hi, most: watched.append(hi) or n
    board.frame(1, (1 << 28) + 500_000)
    board.step()
    assert watched == [1]


def test_an_event_that_finds_no_room_is_counted():
    board = Board(n_blocks=2)
    board.onboard.start()
    board.frame(101, 1)
    for k in range(600):
        board.frame(101, 100_001 + k)
    board.step()
    board.onboard.stop()
    assert board.onboard.n_unwritten > 0


def test_without_memory_for_the_detectors_their_code_is_freed_and_the_session_says_so(monkeypatch):
    """State 1 of TABLE OFF is memory. The next session tries again."""
    monkeypatch.setattr(onboard, "_ready", [])
    modules = {"detectors": 1, "detectors.events": 2, "logger.ring": 3}
    monkeypatch.setattr(onboard, "sys", types.SimpleNamespace(modules=modules))
    board = Board()
    onboard.prepare(board.nv)
    onboard.discard()
    assert modules == {"logger.ring": 3}
    board.onboard.start()
    assert board.said() == [(ev.TABLE, ev.OFF, 1, 0)] and board.onboard.events is None
    board.onboard.stop()
    board.onboard.start()
    assert board.said()[1:] == [(ev.TABLE, ev.ON, 2, 1)]


def test_code_that_came_for_a_damaged_table_is_freed_again(monkeypatch):
    """It took 11 KB of the RP2040's heap, so that CONFIG_GET found no memory until power-off. What
    was loaded before stays: the host has detectors of its own.
    """
    monkeypatch.setattr(onboard, "_ready", [])
    modules = {"detectors.watch": 1, "logger.ring": 3}
    monkeypatch.setattr(onboard, "sys", types.SimpleNamespace(modules=modules))

    def make(_):
        modules["detectors.events"] = 2
        raise ValueError("damaged")

    monkeypatch.setattr(onboard, "_make", make)
    board = Board()
    onboard.prepare(board.nv)
    assert modules == {"detectors.watch": 1, "logger.ring": 3}
    board.onboard.start()
    assert board.said() == [(ev.TABLE, ev.OFF, 2, 0)]


@pytest.mark.parametrize("error", [None, ImportError("no module"), ValueError("damaged")])
def test_a_ring_too_short_is_no_reason_where_there_are_no_detectors(monkeypatch, error):
    """Without a table there is nothing to discard and nothing to say; a table that can't be used
    keeps its own reason, 2. `discard` used to say 1, memory, in both cases.
    """
    monkeypatch.setattr(onboard, "_ready", [])
    modules = {"detectors.events": 2, "logger.ring": 3}
    monkeypatch.setattr(onboard, "sys", types.SimpleNamespace(modules=modules))
    board = Board(table=None)
    if error is not None:

        def make(_):
            raise error

        monkeypatch.setattr(onboard, "_make", make)
    onboard.prepare(board.nv)
    onboard.discard()
    assert modules == {"logger.ring": 3}
    board.onboard.start()
    assert board.said() == ([] if error is None else [(ev.TABLE, ev.OFF, 2, 0)])
