"""The MCP2518FD's driver on its register model: set-up, filters, order, time, loss, death; and the
application on a board that polls it.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp2518fd_rig import Rig

from drivers.can_filters import FLAG_EXT_ID
from drivers.mcp2518fd import DEPTH, find_timing
from drivers.polled_ring import PolledRing
from logger.ring import AT_LEAST
from slog.layout import BUS_ACTIVE, BUS_STOPPED, BUS_WARNING
from stagelog.blocks import read_log
from stagelog.card import prepare_raw
from stagelog.ledger import account
from stagelog.resources import firmware_path
from stagelog.rig.play import same_frames, saturated_tape
from stagelog.rig.runtimes import find_runtime
from stagelog.rig.sim.polled import make_world
from stagelog.rig.tape import write_tape
from stagelog.rig.target import tape_events

HOST = Path(__file__).resolve().parents[2] / "host"
EXT, RTR = 4, 2
IDS = st.one_of(st.integers(0, 0x7FF), st.integers(0x800, 0x1FFFFFFF))


@pytest.mark.parametrize("crystal_Hz", [4_000_000, 20_000_000, 40_000_000])
@pytest.mark.parametrize("bitrate_bps", [125_000, 250_000, 500_000, 1_000_000])
def test_timing_is_exact(crystal_Hz, bitrate_bps):
    if crystal_Hz // bitrate_bps < 8:
        with pytest.raises(ValueError, match="4000000"):
            find_timing(crystal_Hz, bitrate_bps)
        return
    prescaler, sjw, tseg1, tseg2 = find_timing(crystal_Hz, bitrate_bps)
    quanta = 1 + tseg1 + tseg2
    assert crystal_Hz == prescaler * quanta * bitrate_bps
    assert tseg1 <= 256 and sjw <= tseg2 <= 128 and 0.79 <= (1 + tseg1) / quanta <= 0.88


def test_starts_silent_and_hears_what_is_sent():
    rig = Rig()
    assert rig.can.answers and rig.can.listen_only and rig.can.state() == BUS_ACTIVE
    t_us = rig.receive(0x1ABCDE5, EXT, 3, b"\1\2\3")
    assert rig.can.drain() == 1
    assert rig.ring.frames == [(t_us, 0x1ABCDE5, EXT, 3, b"\1\2\3\0\0\0\0\0")]
    assert not rig.chip.violations and not rig.chip.n_dominant


@pytest.mark.parametrize("head_errors", [0, 1, 10, 1024])
@pytest.mark.parametrize("per_drain", [1, 5, 29])
def test_a_head_that_reads_too_far_stores_nothing_twice(head_errors, per_drain):
    """DS80000789, item 6: FIFOCI may be read too large; behind the true head lie old objects. A
    healthy chip has that, so it is no doubt, which the light would show as a fault of the wires.
    """
    rig = Rig(head_errors=head_errors)
    sent = []
    for i in range(3000):
        data = i.to_bytes(8, "little")
        sent.append((rig.receive(0x100 + i % 64, data=data), 0x100 + i % 64, 0, 8, data))
        if i % per_drain == per_drain - 1:
            rig.t_us += 1
            rig.can.drain()
    for _ in range(DEPTH):
        rig.t_us += 1
        rig.can.drain()
    assert [frame[1:] for frame in rig.ring.frames] == [frame[1:] for frame in sent]
    times = np.array([frame[0] for frame in rig.ring.frames])
    assert (np.diff(times) > 0).all()
    rig.poll()
    assert rig.can.doubts == 0
    assert (rig.can.n_head_errors > 0) == (rig.chip.n_head_errors > 0)
    assert rig.chip.n_head_errors <= rig.can.n_head_errors <= 2 * rig.chip.n_head_errors
    assert not rig.chip.violations and not rig.can.counters[7]


def test_old_objects_are_not_taken_for_new_after_a_long_silence():
    """Half the range of the stamps, 134 s, is the furthest that "later" has a meaning."""
    rig = Rig(head_errors=0)
    for _ in range(40):
        rig.receive()
        rig.can.drain()
    for _ in range(20):
        rig.poll(10_000_000)
    rig.chip.head_errors = 1024
    for i in range(10):
        rig.receive(0x200 + i)
        rig.t_us += 1
        rig.can.drain()
    assert [frame[1] for frame in rig.ring.frames[40:]] == [*range(0x200, 0x20A)]


def test_a_stamp_read_wrong_stops_nothing():
    """The oldest object is there if the chip says so twice, whatever its stamp."""
    rig = Rig(head_errors=0)
    rig.receive()
    rig.can.drain()
    rig.can._newest += 1 << 26  # as after a wrong reading of the time base
    rig.receive(0x222)
    rig.can.drain()
    rig.can.drain()
    assert rig.ring.frames[-1][1] == 0x222 and rig.can.doubts == 1


def test_what_the_memory_held_before_a_reset_is_no_frame():
    """The message memory keeps its content; the time base begins anew."""
    rig = Rig(head_errors=1024)
    for i in range(32):
        rig.receive(0x100 + i)
        rig.t_us += 1
        rig.can.drain()
    rig.can.stop()
    rig.can.start(rig.ring)
    rig.t_us += 20_000
    for i in range(10):
        rig.receive(0x200 + i)
        rig.t_us += 1
        rig.can.drain()
    assert [frame[1] for frame in rig.ring.frames[32:]] == [*range(0x200, 0x20A)]
    assert not rig.chip.violations


@given(
    frames=st.lists(
        st.tuples(IDS, st.booleans(), st.integers(0, 8), st.binary(min_size=8, max_size=8)),
        max_size=100,
    ),
    per_poll=st.integers(1, DEPTH),
)
@settings(deadline=None)
def test_frames_come_in_order_with_their_times(frames, per_poll):
    rig = Rig(t0_us=(1 << 28) - 5000)
    sent = []
    for i, (can_id, remote, dlc, data) in enumerate(frames):
        kind = (EXT if can_id > 0x7FF else 0) | (RTR if remote else 0)
        t_us = rig.receive(can_id, kind, dlc, data)
        payload = b"" if remote else data[:dlc]
        sent.append((t_us - ((1 << 28) - 5000), can_id, kind, dlc, payload.ljust(8, b"\0")))
        if i % per_poll == per_poll - 1:
            rig.can.drain()
    rig.can.drain()
    start = rig.can._clock.t_us() - rig.t_us  # the clock counts from its first reading
    got = [(t - start - ((1 << 28) - 5000), *rest) for t, *rest in rig.ring.frames]
    assert got == sent
    assert not rig.chip.violations


@pytest.mark.parametrize(("bits", "chip_us"), [(28, 0), (30, 0), (30, (1 << 32) - 5_100)])
def test_times_go_on_where_a_counter_begins_anew(bits, chip_us):
    """The record's time has 28 bits, the ticks 30, the chip's own counter 32. Frames every 500 us,
    four at a time, across each wrap: the distances are those on the bus.
    """
    start_us = (1 << bits) - 5_100
    rig = Rig(t0_us=start_us)
    rig.chip._t_base -= chip_us  # so long ago the chip was set up
    sent = []
    for i in range(20):
        sent.append(rig.receive(after_us=500) - start_us)
        if i % 4 == 3:
            rig.can.drain()
    times = [t_us for t_us, *_ in rig.ring.frames]
    assert [t - times[0] for t in times] == pytest.approx([t - sent[0] for t in sent], abs=1)
    assert times[0] == pytest.approx(500, abs=2)  # since power-on


@pytest.mark.parametrize("drift_ppm", [-80, 80])
def test_times_follow_a_crystal_that_drifts(drift_ppm):
    rig = Rig(drift_ppm=drift_ppm)
    worst = 0
    for _ in range(20_000):
        t_us = rig.receive(after_us=5000)
        rig.can.drain()
        worst = max(worst, abs(rig.ring.frames[-1][0] - t_us))
    assert worst <= 2


def test_fifo_of_32_is_read_whole_and_one_more_is_lost_and_told():
    rig = Rig()
    for _ in range(DEPTH):
        rig.receive()
    assert rig.can.drain() == DEPTH and rig.ring.state[AT_LEAST] == 0
    for _ in range(DEPTH + 3):
        rig.receive()
    assert rig.can.drain() == DEPTH
    rig.poll()
    assert rig.ring.state[AT_LEAST] == 1 and rig.can.get_counters()[7] == 1
    assert rig.chip.n_lost == 3
    rig.poll()
    assert rig.ring.state[AT_LEAST] == 1, "reported twice"


@pytest.mark.parametrize("dlc", [9, 15])
def test_a_frame_with_a_code_above_8_has_8_bytes(dlc):
    """ISO 11898-1 allows the codes 9 to 15 in a classic frame; 15 in a record is not a frame."""
    rig = Rig()
    rig.receive(dlc=dlc)
    rig.can.drain()
    assert [frame[3:] for frame in rig.ring.frames] == [(8, b"\1\2\3\4\5\6\7\10")]


def test_nothing_is_taken_beyond_an_object_that_is_refused():
    """28 objects, then 8: 4 at the end of the memory and 4 at its start. The first is refused
    once; what lies behind it waits for it.
    """
    rig = Rig(head_errors=0)
    for _ in range(28):
        rig.receive()
    assert rig.can.drain() == 28
    rig.can._newest += 1 << 26  # as after a wrong reading of the time base
    for i in range(8):
        rig.receive(0x200 + i)
    assert rig.can.drain() == 0 and rig.can.doubts == 1
    rig.can.drain()
    assert [frame[1] for frame in rig.ring.frames[28:]] == [*range(0x200, 0x208)]


def test_error_counters_are_told_apart():
    """Register 5-18: CiTREC has REC in byte 0, TEC in byte 1."""
    rig = Rig()
    rig.chip._memory[0x034:0x036] = bytes((5, 9))
    rig.poll()
    assert rig.can.get_counters()[:2] == [9, 5]


@given(ids=st.sets(IDS, min_size=1, max_size=60), others=st.lists(IDS, max_size=20))
@settings(deadline=None, max_examples=50)
def test_filters_let_pass_what_is_wanted(ids, others):
    rig = Rig(sorted(ids))
    n_standard = sum(can_id <= 0x7FF for can_id in ids)
    fits = (
        len(ids) <= 32
        if n_standard in (0, len(ids))
        else max(n_standard, len(ids) - n_standard) <= 16
    )
    for can_id in [*ids, *others]:
        rig.receive(can_id, EXT if can_id > 0x7FF else 0)
        passed = rig.can.drain()
        assert passed or can_id not in ids
        assert not (passed and fits and can_id not in ids)


def test_filters_that_do_not_fit_are_refused():
    rig = Rig()
    with pytest.raises(ValueError, match="32"):
        rig.can.set_filters([(i, 0x7FF, 0) for i in range(33)])
    for wrong in ((0x800, 0, 0), (1 << 29, 0, FLAG_EXT_ID), (0, 0, 1)):
        with pytest.raises(ValueError, match="invalid id"):
            rig.can.set_filters([wrong])


def test_wrong_bit_rate_counts_errors_and_touches_nothing():
    rig = Rig(bitrate_bps=250_000)
    for _ in range(300):
        rig.receive()
    rig.poll()
    assert rig.can.state() == BUS_WARNING and rig.can.n_errors == 300 & 0xFF
    assert not rig.ring.frames and not rig.chip.n_dominant
    rig.poll()
    assert rig.can.state() == BUS_ACTIVE


def test_chip_that_is_away_is_tried_again_and_the_hole_is_reported():
    rig = Rig()
    rig.poll()
    rig.chip.present = False
    rig.poll()
    assert not rig.can.answers and rig.can.state() == BUS_STOPPED and rig.can.drain() == 0
    rig.chip.present = True
    rig.chip.reset()
    for _ in range(10):
        rig.poll()
    assert rig.can.answers and rig.can.state() == BUS_ACTIVE
    rig.receive()
    assert rig.can.drain() == 1
    gap = bytes(rig.ring.blocks[0][64:80])
    assert int.from_bytes(gap[12:16], "little") == 100_000, "not since the last good poll"


def test_meta_record_comes_after_the_frames_that_ended_before_it():
    ring = PolledRing(2)
    ring.fetch = lambda: ring.put_frame(90, 0, 0x123, 0, 0, bytes(8))
    ring.put_meta(100, 0, 1, 0, 0, bytes(8))
    ring.put_meta(80, 0, 1, 0, 0, bytes(8))
    words = [int.from_bytes(ring.blocks[0][at : at + 4], "little") for at in range(64, 128, 16)]
    assert [word & 0xFFFFFFF for word in words] == [90, 100, 100, 100]


def test_records_do_not_go_back_across_the_wrap_of_the_time():
    """28 bits of a time are in a record; the newest, with what is above them, is the least."""
    ring = PolledRing(2)
    ring.put_frame(0xFFFFFF0, 0, 1, 0, 0, bytes(8))
    ring.put_frame(5, 1, 2, 0, 0, bytes(8))  # 0.02 ms later
    ring.put_meta(0xFFFFFFE, 0, 1, 0, 0, bytes(8))  # before that
    ring.put_frame(4, 1, 3, 0, 0, bytes(8))
    ring.put_frame(6, 1, 4, 0, 0, bytes(8))
    ring.put_frame(1, 2, 5, 0, 0, bytes(8))
    ring.put_frame(9, 1, 6, 0, 0, bytes(8))
    words = [int.from_bytes(ring.blocks[0][at : at + 4], "little") for at in range(64, 176, 16)]
    assert [word & 0xFFFFFFF for word in words] == [0xFFFFFF0, 5, 5, 5, 6, 1, 1]


def recorded(tmp_path, loop_us, us=500_000, n_bytes=8, bitrate_bps=500_000):
    """Return (tape, model, session) of a full bus recorded with a main loop of `loop_us`."""
    card = tmp_path / "card.img"
    prepare_raw(card, 1024, force=True)
    tape = saturated_tape(bitrate_bps, us, n_bytes)
    world, chip = make_world(str(card), tape_events(tape), loop_us, bitrate_bps)
    world.run_tape()
    world.run_for(600_000)
    world.board.card.image.close()
    return tape, chip, read_log(card).sessions[0]


@pytest.mark.parametrize("loop_us", [1000, 6000])
def test_full_bus_is_stored_whole_while_the_loop_is_quick(tmp_path, loop_us):
    tape, chip, session = recorded(tmp_path, loop_us)
    frames = np.concatenate(list(session.iter_frames()))
    assert same_frames(tape, frames) and not chip.n_lost and not chip.violations
    assert abs(frames["t_us"] - tape["t_us"].astype(np.int64)).max() <= 1
    assert account(session).closes and not chip.n_dominant


def test_loop_that_is_too_slow_loses_and_says_so(tmp_path):
    tape, chip, session = recorded(tmp_path, 10_000)
    ledger = account(session).buses[0]
    assert chip.n_lost and ledger.n_stored == len(tape) - chip.n_lost
    assert 0 < ledger.n_at_least <= chip.n_lost


def test_longest_loop_without_loss_is_the_depth_of_the_fifo(tmp_path, show):
    """Print what the documents say: depth times the time of a frame."""
    lines = ["loop without loss, full bus: computed and, from the model, the longest that held"]
    for bitrate_bps in (500_000, 1_000_000):
        for n_bytes in (8, 0):
            tape = saturated_tape(bitrate_bps, 100_000, n_bytes)
            frame_us = 100_000 / len(tape)
            computed_us = DEPTH * frame_us
            held = [
                loop_us
                for loop_us in range(500, 9000, 500)
                if not recorded(tmp_path, loop_us, 100_000, n_bytes, bitrate_bps)[1].n_lost
            ]
            assert computed_us - 1000 <= max(held) <= computed_us
            bus = f"{bitrate_bps // 1000:>5} kbit/s, {n_bytes} bytes"
            times = f"{frame_us:4.0f} us a frame, {computed_us / 1000:.1f} ms"
            lines.append(f"  {bus}: {times}, {max(held) / 1000:.1f} ms")
    show("\n".join(lines))


def test_blocks_are_the_same_under_every_interpreter(tmp_path):
    tape = saturated_tape(500_000, 200_000)
    write_tape(tmp_path / "bus.tape", tape)
    cards = {}
    for name in ("cpython", "unix64", "unix32"):
        program = [sys.executable] if name == "cpython" else [find_runtime(name)]
        if program[0] is None:
            continue
        card = tmp_path / f"{name}.img"
        prepare_raw(card, 64, extent_id=b"the same")
        paths = f"{HOST}:{firmware_path()}"
        words = ["-m", "stagelog.rig.sim.polled", card, tmp_path / "bus.tape", "2000"]
        done = subprocess.run(
            [*program, *words],
            env=dict(os.environ, MICROPYPATH=paths, PYTHONPATH=paths),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.split() == [str(len(tape)), "0", "0", "0"]
        cards[name] = card.read_bytes()
    assert len(set(cards.values())) == 1
