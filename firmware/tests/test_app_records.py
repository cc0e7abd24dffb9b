"""What the application writes of itself into a session: its start and end, anchors, health and the
states of the buses.
"""

import hashlib
import json

import pytest
from rig_play import SECOND_US, play

from slog import layout
from slog import messages as m
from stagelog.blocks import read_log
from stagelog.link import positions_of
from stagelog.rig.target import SimTarget


def session_of(target):
    """Stop the session and return it as the log's reader has it."""
    target.app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    entry = target.link.list_sessions()[0]
    path = target.card_path.with_suffix(".slog")
    blocks = target.link.read_blocks(positions_of(entry))
    path.write_bytes(b"".join(block for _, block in blocks))
    return read_log(path).sessions[0]


def test_a_session_says_what_it_is_at_its_start(tmp_path):
    settings = {"flush_ms": 123, "buses": [{"bitrate_bps": 500_000}] * 2}
    rig = SimTarget(tmp_path, card_blocks=64, settings=settings)
    play(rig, SECOND_US // 10)
    digest = hashlib.sha256(json.dumps(settings).encode()).digest()[:8]
    nothing = bytes.fromhex("e3b0c44298fc1c14")
    session = session_of(rig)
    first, *rest = session.decoded_meta()
    assert (first.kind, first.arg, first.bus) == (layout.META_SESSION, 1, 0)
    assert first.values == {
        "n_buses": 2,
        "listen_only": 1,
        "flush_ms": 123,
        "firmware": 0x000100,
    }
    hashes = [(x.arg, x.values["sha256_head"]) for x in rest if x.kind == layout.META_HASH]
    assert hashes == [(1, digest), (2, nothing)]
    rig.close()


def test_a_session_that_can_acknowledge_says_so(target):
    target.app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    target.app.board.captures[0].listen_only = False
    target.app.control(m.CONTROL_START)
    play(target, SECOND_US // 10)
    first = session_of(target).decoded_meta()[0]
    assert first.values["listen_only"] == 0


def test_a_session_acknowledges_if_one_of_its_buses_does(tmp_path):
    rig = SimTarget(tmp_path, card_blocks=64, settings={"buses": [{"bitrate_bps": 500_000}] * 2})
    rig.app.control(m.CONTROL_STOP)
    rig.run_for(SECOND_US)
    rig.app.board.captures[1].listen_only = False
    rig.app.control(m.CONTROL_START)
    play(rig, SECOND_US // 10)
    assert session_of(rig).decoded_meta()[0].values["listen_only"] == 0
    rig.close()


def test_errors_of_the_session_before_are_not_those_of_the_next(target):
    target.app.board.captures[0].n_errors = 10
    target.run_for(2 * SECOND_US)
    target.app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    target.app.control(m.CONTROL_START)
    target.app.board.captures[0].n_errors = 3
    target.run_for(3 * SECOND_US)
    assert sum(n for *_, n in bus_records(session_of(target))) == 3


@pytest.mark.parametrize("us", [1000, SECOND_US])
def test_the_end_counts_the_blocks_of_its_session(target, us):
    play(target, us)
    target.run_for(10_000)  # some blocks may wait
    session = session_of(target)
    (end,) = session.decoded_meta(layout.META_END)
    assert (end.arg, end.values["n_blocks"]) == (1, session.n_blocks)
    assert session.has_last


def test_an_anchor_has_the_wall_clock_at_its_own_time(target):
    target.run_for(SECOND_US)
    before = target.app.board.clock.t_us()
    target.app.anchor(1_700_000_000_123_456)
    (anchor,) = session_of(target).decoded_meta(layout.META_ANCHOR)
    assert anchor.values["t_unix_us"] == 1_700_000_000_123_456
    assert (anchor.t_us, anchor.arg) == (before, 1)


def test_health_is_written_every_ten_seconds(target):
    target.app.board.ring.state[16] = 7
    target.app.store.write.worst_us = 12_999
    target.run_for(31 * SECOND_US)
    health = session_of(target).decoded_meta(layout.META_HEALTH)
    assert [x.arg for x in health] == [1, 2] * 3
    assert [x.values["value"] for x in health[:2]] == [7, 12]
    assert [x.values["worst"] for x in health[:2]] == [7, 12]
    times = [x.t_us for x in health[::2]]
    assert times == pytest.approx([10e6, 20e6, 30e6], abs=3000)


def test_health_of_the_next_session_comes_ten_seconds_after_its_start(target):
    """The session before had its last at 10 s and ended at 17 s."""
    target.run_for(17 * SECOND_US)
    target.app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    target.app.control(m.CONTROL_START)
    t0_us = target.app.board.clock.t_us()
    target.run_for(12 * SECOND_US)
    health = session_of(target).decoded_meta(layout.META_HEALTH)
    assert [x.t_us - t0_us for x in health] == pytest.approx([10e6, 10e6], abs=3000)


def bus_records(session):
    return [
        (x.bus, x.arg, x.values["tec"], x.values["rec"], x.values["n_errors"])
        for x in session.decoded_meta(layout.META_BUS)
    ]


def test_every_change_of_a_bus_is_recorded(target):
    """Active from the start on; warning with 96 and 3; active again. State by state, once."""
    capture = target.app.board.captures[0]
    target.run_for(SECOND_US)
    capture._state = 2
    capture.counters[:2] = [96, 3]
    target.run_for(SECOND_US)
    capture._state = 1
    capture.counters[:2] = [0, 0]
    target.run_for(SECOND_US)
    found = session_of(target).decoded_meta(layout.META_BUS)
    rows = [(x.arg, x.values["tec"], x.values["rec"], x.values["bitrate_bps"]) for x in found]
    assert rows == [(1, 0, 0, 500_000), (2, 96, 3, 500_000), (1, 0, 0, 500_000)]
    assert [x.t_us for x in found] == pytest.approx([1e5, 1.1e6, 2.1e6], abs=1.01e5)


def test_the_state_of_a_bus_is_recorded_for_that_bus(tmp_path):
    rig = SimTarget(tmp_path, card_blocks=64, settings={"buses": [{"bitrate_bps": 500_000}] * 2})
    rig.run_for(SECOND_US)
    rig.app.board.captures[1]._state = 2
    rig.run_for(SECOND_US)
    rows = [(bus, state) for bus, state, *_ in bus_records(session_of(rig))]
    assert rows == [(0, 1), (1, 1), (1, 2)]
    rig.close()


def test_errors_that_go_on_are_recorded_once_a_second_and_none_is_left_out(target):
    capture = target.app.board.captures[0]
    target.run_for(SECOND_US // 2)
    for _ in range(35):
        capture.n_errors += 10
        target.run_for(SECOND_US // 10)
    capture.n_errors += 5
    rows = bus_records(session_of(target))
    counts = [n for *_, n in rows]
    assert sum(counts) == 355
    assert len([n for n in counts if n]) in (4, 5)  # in 3.5 s, and what was left at the end


def test_more_errors_than_a_record_holds(target):
    target.run_for(SECOND_US)
    target.app.board.captures[0].n_errors = 70_000
    target.run_for(2 * SECOND_US)
    assert max(n for *_, n in bus_records(session_of(target))) == 65_535


def test_a_block_is_closed_after_its_time(tmp_path):
    """flush_ms 500: one frame is on the card soon after, not before."""
    rig = SimTarget(tmp_path, card_blocks=64, settings={"flush_ms": 500})
    rig.run_for(490_000)
    assert rig.app.store.counts.blocks_written == 0
    rig.run_for(30_000)
    assert rig.app.store.counts.blocks_written == 1
    rig.close()
