"""One pass of the main loop: how often each part has its turn, and the on-car events of a session
from its first record to its last.
"""

import struct
from types import SimpleNamespace

import pytest
from hand_table import Car
from rig_play import SECOND_US, play

from slog import events as ev
from slog import layout
from slog import messages as m
from stagelog.blocks import read_log
from stagelog.link import positions_of

TABLE = Car(1, alarms=[{"signal": 0, "warning": 100}]).data


def test_controllers_are_polled_ten_times_a_second(target):
    polls, capture = [], target.app.board.captures[0]
    real = capture.poll
    capture.poll = lambda ring: polls.append(target.app.board.clock.t_us()) or real(ring)
    target.run_for(3 * SECOND_US)
    assert len(polls) in (29, 30, 31)
    assert max(b - a for a, b in zip(polls, polls[1:], strict=False)) < 110_000


def test_the_longest_pass_is_right_across_the_wrap_of_the_time(target):
    """28 bits of microseconds begin anew after 268 s."""
    app = target.app
    target.run_for(SECOND_US)
    app.board.clock.lo = (1 << 28) - 50_000
    app._loop_worst_us, app._t_step = 0, None
    target.run_for(SECOND_US // 5)
    assert app.board.clock.hi == 1 and 0 < target.link.status().loop_worst_us < 50_000


@pytest.mark.parametrize(("n_waiting", "n_steps"), [(0, 1), (1, 2), (7, 8), (24, 25)])
def test_the_store_has_a_turn_for_each_block_that_waits(target, n_waiting, n_steps):
    """After a stall the card catches up within a few passes."""
    app, steps = target.app, []
    app.store.step = lambda: steps.append(1)
    app.board.ring.n_waiting = lambda: n_waiting
    app.step()
    assert len(steps) == n_steps


def test_only_the_last_block_of_a_session_says_that_it_is(target):
    """Flag 4, also in the session after one that was stopped."""
    app = target.app
    for _ in range(2):
        play(target, SECOND_US // 2)
        target.run_for(SECOND_US)
        running = target.link.list_sessions()[0]
        flags = [b[56] for _, b in target.link.read_blocks(positions_of(running))]
        assert len(flags) > 3 and not any(flag & 4 for flag in flags)
        app.control(m.CONTROL_STOP)
        target.run_for(SECOND_US)
        ended = target.link.list_sessions()[0]
        flags = [b[56] & 4 for _, b in target.link.read_blocks(positions_of(ended))]
        assert flags == [0] * (len(flags) - 1) + [4]
        app.control(m.CONTROL_START)


def test_a_session_is_never_numbered_0(target):
    """The nonce 0 says that none runs."""
    app, drawn = target.app, [0, 0, 7]
    app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    app.board.random_u32 = lambda: drawn.pop(0)
    app.control(m.CONTROL_START)
    assert target.link.hello().nonce == 7 and drawn == []


def give(app, t_us, raw):
    data = struct.pack("<H", raw) + bytes(6)
    app.board.ring.put_frame(t_us & 0xFFFFFFF, t_us >> 28, 0x100, 0, 2, data)


def test_events_are_found_from_the_first_record_to_the_last(target):
    """A session with a table: it is recorded at the start; the last 0.2 s, 20 frames, come in the
    pass in which it is stopped. The signal is above its limit there: a warning at the latest 10
    ticks after its first frame.
    """
    app = target.app
    app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    app.board.nv.save(m.CONFIG_SIGNALS, TABLE)
    app.control(m.CONTROL_START)
    t0_us = app.board.clock.t_us()
    for k in range(20):
        give(app, t0_us + 10_000 * k + 1, 50)
        target.run_for(10_000)
    t0_us = app.board.clock.t_us()
    for k in range(21):
        give(app, t0_us + 10_000 * k + 1, 101)
    app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    entry = target.link.list_sessions()[0]
    path = target.card_path.with_suffix(".slog")
    path.write_bytes(b"".join(b for _, b in target.link.read_blocks(positions_of(entry))))
    found = read_log(path).sessions[0].decoded_meta(layout.META_EVENT)
    said = [(x.arg & 0xFFFF, x.arg >> 16, x.values["value"]) for x in found]
    context = [row for row in said if row[0] >= ev.CONTEXT]
    assert [row for row in said if row not in context] == [
        (ev.TABLE, ev.ON, 1),
        (ev.ALARM + 1, ev.WARNING, 101),
    ]
    assert app.onboard.events is None


def test_a_session_without_a_table_records_no_event(target):
    play(target, SECOND_US // 10)
    assert target.app.onboard.events is None


@pytest.mark.parametrize(("n_waiting", "has_turn"), [(0, True), (5, True), (6, False)])
def test_the_detectors_wait_while_a_quarter_of_the_ring_waits(target, n_waiting, has_turn):
    """A ring of 24 blocks: their passes cost the store its turns when it needs them most."""
    app, turns = target.app, []
    app.store.step = lambda: None
    app.onboard = SimpleNamespace(events=True, step=lambda: turns.append(1))
    app.board.ring.n_waiting = lambda: n_waiting
    app.step()
    assert bool(turns) == has_turn
