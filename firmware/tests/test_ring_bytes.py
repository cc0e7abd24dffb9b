"""The ring, the clock and the tap, byte by byte and number by number, worked out by hand from the
drawings in SPEC.md.
"""

import struct

import pytest

from drivers.polled_ring import PolledRing
from logger import ring as r
from logger.clock import Clock
from logger.ring import BlockRing
from logger.tap import Tap
from slog.layout import RECORDS_PER_BLOCK

DATA = bytes(range(1, 9))


def fill(ring, n=1, lo=0, bus=0):
    """Put `n` frames with times lo, lo + 1..; return how many were stored."""
    return sum(ring.put_frame(lo + i, 0, 0x100, bus, 8, DATA) for i in range(n))


def record(block, i):
    return bytes(block[64 + 16 * i : 80 + 16 * i])


@pytest.mark.parametrize(
    ("can_id", "kind", "w1"),
    [
        (0x123, 0, 0x00000123),
        (0x123, 1, 0x20000123),  # bus 1
        (0x7FF, 2, 0x400007FF),  # remote
        (0x1FFFFFFF, 4, 0x9FFFFFFF),  # extended
        (0x12345678, 7, 0xF2345678),
    ],
)
def test_a_frame_is_sixteen_bytes(can_id, kind, w1):
    ring = BlockRing(2)
    assert ring.put_frame(0xABCDEF1, 0x54321, can_id, kind, 5, DATA)
    block = ring.blocks[0]
    assert record(block, 0) == struct.pack("<II", 0x5ABCDEF1, w1) + DATA
    assert struct.unpack_from("<II", block, 28) == (0xABCDEF1, 0x54321)


def test_a_meta_record_has_its_kind_argument_and_bus():
    ring = BlockRing(2)
    assert ring.put_meta(7, 0, 5, 0x1ABCDE, 1, DATA)
    # dlc 15; kind | arg << 8 | bus << 29
    assert record(ring.blocks[0], 0) == struct.pack("<II", 0xF0000007, 0x3ABCDE05) + DATA
    assert ring.state[r.STORED] == ring.state[r.STORED + 1] == 0


def test_frames_are_counted_by_bus():
    ring = BlockRing(2)
    fill(ring, 3)
    fill(ring, 2, bus=1)
    assert list(ring.state[r.STORED : r.STORED + 2]) == [3, 2]


def test_a_block_is_closed_when_it_is_full():
    ring = BlockRing(3)
    fill(ring, 251)
    assert ring.n_waiting() == 0 and ring.state[r.COUNT] == 251
    fill(ring)
    assert ring.n_waiting() == 1 and ring.state[r.COUNT] == 0 and ring.state[r.HEAD] == 1
    assert ring.blocks[0][3] == 252 == RECORDS_PER_BLOCK
    fill(ring)
    assert ring.state[r.COUNT] == 1 and ring.n_waiting() == 1


def test_a_closed_block_has_the_counts_of_the_session_so_far():
    """Offsets 36 to 56: stored 0, 1, dropped 0, 1, at least 0, 1."""
    ring = BlockRing(3)
    ring.state[r.STORED] = 0x12345
    ring.state[r.STORED + 1] = 0x23456
    ring.state[r.DROPPED] = 0x34567
    ring.state[r.DROPPED + 1] = 0x45678
    ring.count_lost(0, 7)
    ring.count_lost(1, 9)
    ring.count_lost(1, 1)
    ring.put_meta(0, 0, 7, 0, 0, DATA)
    ring.close_block()
    found = struct.unpack_from("<IIIIHH", ring.blocks[0], 36)
    assert found == (0x12345, 0x23456, 0x34567, 0x45678, 7, 10)
    assert ring.blocks[0][3] == 1


def test_losses_in_hardware_stay_at_their_most():
    ring = BlockRing(2)
    ring.count_lost(0, 65_534)
    ring.count_lost(0, 1)
    assert ring.state[r.AT_LEAST] == 65_535
    ring.count_lost(0, 5)
    assert ring.state[r.AT_LEAST] == 65_535


def test_closing_nothing_does_nothing():
    ring = BlockRing(2)
    ring.close_block()
    assert ring.n_waiting() == 0 and ring.first_waiting() is None


def test_a_full_ring_drops_counts_and_tells_when_there_is_room():
    """Two blocks: 504 frames fit. Then 3 of bus 0 and 2 of bus 1 are dropped, the first at times
    0xFFF0001 with hi 0x1A (its low four bits are 0xA) and 0xFFF0005.
    """
    ring = BlockRing(2)
    assert fill(ring, 504) == 504
    for lo, bus in ((0xFFF0001, 0), (0xFFF0003, 0), (0xFFF0005, 1), (0xFFF0007, 1), (9, 0)):
        assert not ring.put_frame(lo, 0x1A, 0x100, bus, 8, DATA)
    assert not ring.put_meta(10, 0x1B, 7, 0, 0, DATA)
    assert list(ring.state[r.DROPPED : r.DROPPED + 2]) == [3, 2]
    assert ring.state[r.WORST] == 2 and ring.n_waiting() == 2
    ring.release()
    assert ring.put_frame(20, 0x1B, 0x555, 0, 1, DATA)
    block = ring.blocks[0]
    # arg 1: the ring was full; kind 3
    assert record(block, 0) == struct.pack("<IIII", 0xF0000014, 0x103, 3, 0xAFFF0001)
    assert record(block, 1) == struct.pack("<IIII", 0xF0000014, 0x20000103, 2, 0xAFFF0005)
    assert record(block, 2)[:8] == struct.pack("<II", 0x10000014, 0x555)
    assert list(ring.state[r.PENDING : r.PENDING + 2]) == [0, 0]
    assert list(ring.state[r.DROPPED : r.DROPPED + 2]) == [3, 2]


def test_the_next_gap_has_its_own_count_and_first_time():
    """96 of 600 find no room in 504 places, the first at 504. Later 250 places are left in block 0
    and 252 in block 1: of 507 from 2000 on 5 are dropped, the first at 2502.
    """
    ring = BlockRing(2)
    for n, lo, gap in ((600, 0, (96, 504)), (507, 2000, (5, 2502))):
        fill(ring, n, lo)
        ring.release()
        ring.release()
        fill(ring, 1, 9000)
        assert struct.unpack_from("<II", record(ring.blocks[0], 0), 8) == gap
    assert ring.state[r.DROPPED] == 101


def test_waiting_blocks_are_given_in_order_and_again_round_the_ring():
    ring = BlockRing(3)
    for n in range(10):
        fill(ring, 252, lo=n)
        block = ring.first_waiting()
        assert struct.unpack_from("<I", block, 28)[0] == n
        assert block is ring.blocks[n % 3]
        ring.release()
    assert ring.n_waiting() == 0 and ring.state[r.WORST] == 1


def test_numbers_of_blocks_go_on_over_16_bits():
    ring = BlockRing(3)
    ring.state[r.DONE] = ring.state[r.FREED] = 0xFFFF
    fill(ring, 2 * 252)
    assert ring.state[r.DONE] == 1 and ring.n_waiting() == 2
    ring.release()
    assert ring.state[r.FREED] == 0 and ring.n_waiting() == 1
    assert fill(ring, 3 * 252) == 2 * 252  # three blocks, one of them waits


def test_a_new_session_forgets_counts_and_not_where_it_is():
    ring = BlockRing(2)
    fill(ring, 252 + 300 + 300)
    assert ring.state[r.DROPPED] and ring.state[r.PENDING] and ring.state[r.FIRST_LO]
    ring.count_lost(1, 3)
    ring.release()
    ring.release()
    before = list(ring.state[: r.STORED])
    ring.start_session()
    assert list(ring.state[: r.STORED]) == before
    assert list(ring.state[r.STORED :]) == [0] * 13
    assert fill(ring) == 1 and record(ring.blocks[0], 0)[4:6] == b"\0\1"


@pytest.mark.parametrize(
    ("opened", "now", "age_us"),
    [
        (100, 100, 0),
        (100, 350, 250),
        (0xFFFFFF0, 0x10, 0x20),
        (100, 99, 0),
        (0, 0x7FFFFFE, 0x7FFFFFE),
    ],
)
def test_age_of_the_open_block(opened, now, age_us):
    ring = BlockRing(2)
    assert ring.open_age_us(now) == -1
    fill(ring, 1, opened)
    assert ring.open_age_us(now) == age_us


def test_polled_frames_never_go_back_in_time():
    ring = PolledRing(2)
    for lo, hi in ((100, 5), (90, 5), (100, 4), (101, 5), (3, 6)):
        ring.put_frame(lo, hi, 1, 0, 0, DATA)
    times = [struct.unpack_from("<I", record(ring.blocks[0], i))[0] for i in range(5)]
    assert times == [100, 100, 100, 101, 3]


def test_polled_frames_come_before_the_record_that_follows_them():
    ring = PolledRing(2)
    ring.fetch = lambda: ring.put_frame(50, 0, 0x111, 0, 0, DATA)
    ring.put_meta(60, 0, 7, 0, 0, DATA)
    assert [record(ring.blocks[0], i)[3] >> 4 for i in range(2)] == [0, 15]
    ring.put_meta(40, 0, 7, 0, 0, DATA)
    assert struct.unpack_from("<I", record(ring.blocks[0], 3))[0] & 0xFFFFFFF == 60


def test_the_clock_counts_from_its_making_over_every_wrap():
    """Ticks of 30 bits, from 1,000 before their wrap; the record's 28 bits fill in 268 s."""
    now = (1 << 30) - 1_000
    clock = Clock(lambda: now & 0x3FFFFFFF)
    assert clock.t_us() == 0
    now += 1_500
    assert (clock.t_us(), clock.lo, clock.hi) == (1_500, 1_500, 0)
    now += (1 << 28) - 1_501
    assert (clock.t_us(), clock.lo, clock.hi) == ((1 << 28) - 1, (1 << 28) - 1, 0)
    now += 1
    assert (clock.t_us(), clock.lo, clock.hi) == (1 << 28, 0, 1)
    now += (1 << 30) - 1  # the longest between two readings
    assert (clock.t_us(), clock.lo, clock.hi) == ((1 << 28) + (1 << 30) - 1, (1 << 28) - 1, 4)


def test_the_clock_of_other_ticks():
    now = 10
    clock = Clock(lambda: now & 0xFFFF, 1 << 16)
    now = (1 << 16) + 5
    assert clock.t_us() == (1 << 16) - 5


def test_a_tap_begins_with_what_comes_and_gives_each_record_once():
    ring = BlockRing(3)
    fill(ring, 10)
    tap = Tap(ring)
    assert tap.next(64) == 0
    fill(ring, 5, lo=100)
    assert tap.next(3) == 3
    assert (tap.first, tap.offset) == (10, 64 + 160) and tap.block is ring.blocks[0]
    assert tap.next(64) == 2 and tap.first == 13
    assert tap.next(64) == 0
    assert tap.n_skipped == 0


def test_a_tap_goes_on_in_the_next_block():
    ring = BlockRing(3)
    tap = Tap(ring)
    fill(ring, 252 + 10, lo=5)
    assert [tap.next(200) for _ in range(4)] == [200, 52, 10, 0]
    assert tap.block is ring.blocks[1] and tap.first == 0
    assert tap.t0 == (5 + 252, 0)


def test_a_tap_goes_round_the_ring():
    ring = BlockRing(3)
    tap = Tap(ring)
    for n in range(10):
        fill(ring, 252, lo=1000 * n)
        ring.release()
        assert tap.next(252) == 252 and tap.t0 == (1000 * n, 0)
        assert tap.block is ring.blocks[n % 3]
    assert tap.n_skipped == 0


def test_a_tap_of_a_block_that_was_closed_early_goes_on():
    ring = BlockRing(3)
    tap = Tap(ring)
    fill(ring, 3)
    assert tap.next(64) == 3
    ring.close_block()
    assert tap.next(64) == 0
    fill(ring, 2)
    assert tap.next(64) == 2 and tap.block is ring.blocks[1]


def test_a_tap_that_is_left_behind_skips_and_counts_whole_blocks():
    """Of three blocks the second behind is still whole; at three it may be written again."""
    for n_blocks, skipped, first in ((2, 0, 0), (3, 3, None)):
        ring = BlockRing(3)
        tap = Tap(ring)
        for n in range(n_blocks):
            fill(ring, 252, lo=1000 * n)
            ring.release()
        n = tap.next(64)
        assert tap.n_skipped == skipped
        assert (tap.t0[0] if n else None) == first
        fill(ring, 1, lo=7777)
        if not n:
            assert tap.next(64) == 1 and tap.t0 == (7777, 0)
