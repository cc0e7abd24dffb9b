"""The second reader of the ring: each record once, in order; what was overwritten is counted."""

import struct

import pytest

from logger.ring import DONE, FREED, BlockRing
from logger.tap import Tap

FULL = 252  # records of a block


class Source:
    """A ring whose blocks are stored at once; frame number n has identifier n & 0x7FF."""

    def __init__(self, n_blocks=3, done=0):
        self.ring = BlockRing(n_blocks)
        self.ring.state[DONE] = self.ring.state[FREED] = done
        self.n = 0

    def put(self, n):
        for _ in range(n):
            hi, lo = divmod(100 * self.n, 1 << 28)
            assert self.ring.put_frame(lo, hi, self.n & 0x7FF, 0, 0, bytes(8))
            self.n += 1
            while self.ring.n_waiting():
                self.ring.release()


def numbers(tap, most=64):
    """Return the identifiers of one answer of the tap, None if there is nothing."""
    n = tap.next(most)
    assert n <= most
    at = tap.offset if n else 0
    ids = [struct.unpack_from("<I", tap.block, at + 16 * i + 4)[0] for i in range(n)]
    return ids or None


def all_numbers(tap, most=64):
    found = []
    while (ids := numbers(tap, most)) is not None:
        found += ids
    return found


@pytest.mark.parametrize("done", [0, 0xFFFE])
@pytest.mark.parametrize("per_turn", [1, 100, FULL, 300])
def test_every_record_comes_once_and_in_order(per_turn, done):
    """Also where the count of blocks, 16 bits, begins anew."""
    source = Source(3, done)
    tap, found = Tap(source.ring), []
    for _ in range(3000 // per_turn):
        source.put(per_turn)
        found += all_numbers(tap)
    assert found == [i & 0x7FF for i in range(source.n)] and tap.n_skipped == 0


def test_an_answer_lies_within_one_block():
    """252 records: 100, 100 and 52, then those of the next."""
    source = Source()
    tap = Tap(source.ring)
    source.put(300)
    assert [len(numbers(tap, 100)) for _ in range(4)] == [100, 100, 52, 48]
    assert tap.first == 0 and tap.offset == 64
    assert tap.t0 == (100 * FULL, 0)
    assert numbers(tap) is None


def test_a_block_that_was_closed_early_has_only_its_own_records():
    """300 records of an earlier round lie behind them."""
    source = Source(2)
    source.put(2 * FULL)
    tap = Tap(source.ring)
    source.put(5)
    source.ring.close_block()
    source.ring.release()
    source.put(3)
    assert all_numbers(tap) == [i & 0x7FF for i in range(2 * FULL, 2 * FULL + 8)]


def test_records_that_are_given_back_come_again():
    source = Source()
    tap = Tap(source.ring)
    source.put(FULL + 10)
    assert numbers(tap, 100) == list(range(100))
    tap.give_back(30)
    assert numbers(tap, 100) == list(range(70, 170))
    assert all_numbers(tap) == [i & 0x7FF for i in range(170, FULL + 10)]


def test_a_tap_begins_with_what_comes_after_it():
    source = Source()
    source.put(10)
    tap = Tap(source.ring)
    assert numbers(tap) is None
    source.put(2)
    assert numbers(tap) == [10, 11]


@pytest.mark.parametrize(("n_blocks", "n_skipped"), [(2, 0), (3, 3), (4, 4), (7, 7)])
def test_blocks_that_were_reused_are_skipped_and_counted(n_blocks, n_skipped):
    """A ring of 3: with 2 complete both can be read; with 3 the first is filled again."""
    source = Source(3)
    tap = Tap(source.ring)
    source.put(n_blocks * FULL + 20)
    first = n_skipped * FULL
    assert all_numbers(tap) == [i & 0x7FF for i in range(first, n_blocks * FULL + 20)]
    assert tap.n_skipped == n_skipped
    source.put(1)
    assert all_numbers(tap) == [n_blocks * FULL + 20 & 0x7FF] and tap.n_skipped == n_skipped


def test_skipped_blocks_are_summed():
    source = Source(2)
    tap = Tap(source.ring)
    for n in (3, 8):
        source.put(n // 2 * FULL + FULL)
        all_numbers(tap)
    assert tap.n_skipped == 2 + 5
