"""The ring against a model of lists: words of its state, counters that wrap, drops reported."""

import random
import struct

import pytest

from logger import ring as r
from logger.ring import BlockRing
from slog.layout import BLOCK_HEADER, GAP_RING_FULL, META_GAP, offsets

AT = offsets(BLOCK_HEADER)
LOW = (1 << 28) - 1


class Model:
    """What the ring must do, in lists: blocks are (t0, [(t, dlc, w1, data)], counts)."""

    def __init__(self, n_blocks):
        self.n_blocks = n_blocks
        self.open = None
        self.waiting = []
        self.stored, self.dropped, self.at_least, self.pending = [0, 0], [0, 0], [0, 0], [0, 0]
        self.t_first = [0, 0]
        self.worst = 0

    def room(self, t):
        if self.open is None:
            if len(self.waiting) == self.n_blocks:
                return False
            self.open = (t, [])
            for bus in (0, 1):
                if self.pending[bus]:
                    data = struct.pack("<II", self.pending[bus], self.t_first[bus] & 0xFFFFFFFF)
                    w1 = META_GAP | GAP_RING_FULL << 8 | bus << 29
                    self.open[1].append((t, 15, w1, data))
                    self.pending[bus] = 0
        return True

    def put(self, t, dlc, w1, data, bus=None):
        if not self.room(t):
            if bus is not None:
                self.dropped[bus] += 1
                if not self.pending[bus]:
                    self.t_first[bus] = t
                self.pending[bus] += 1
            return False
        self.open[1].append((t, dlc, w1, data))
        if bus is not None:
            self.stored[bus] += 1
        if len(self.open[1]) == 252:
            self.close()
        return True

    def close(self):
        if self.open is not None:
            counts = (*self.stored, *self.dropped, *self.at_least)
            self.waiting.append((*self.open, counts))
            self.open = None
            self.worst = max(self.worst, len(self.waiting))


def content(block):
    """Return a ring's block as the model has it."""
    n = block[AT["n_records"]]
    lo, hi = struct.unpack_from("<II", block, AT["t0_lo"])
    records = []
    for i in range(n):
        w0, w1, data = struct.unpack_from("<II8s", block, 64 + 16 * i)
        records.append((w0 & LOW, w0 >> 28, w1, data))
    return hi << 28 | lo, records, struct.unpack_from("<IIIIHH", block, AT["stored0"])


def expected(block):
    t0, records, counts = block
    return t0, [(t & LOW, dlc, w1, data) for t, dlc, w1, data in records], counts


def act(ring, model, rng, t):
    """Do one random thing to both."""
    kind = rng.random()
    if kind < 0.78:
        bits, dlc, can_id = rng.randrange(8), rng.randrange(9), rng.getrandbits(29)
        data = rng.randbytes(dlc).ljust(8, b"\0")
        done = ring.put_frame(t & LOW, t >> 28, can_id, bits, dlc, data)
        assert done == model.put(t, dlc, can_id | bits << 29, data, bits & 1)
    elif kind < 0.93:
        meta, arg, bus, data = (
            1 + rng.randrange(8),
            rng.getrandbits(21),
            rng.randrange(2),
            b"metadata",
        )
        done = ring.put_meta(t & LOW, t >> 28, meta, arg, bus, data)
        assert done == model.put(t, 15, meta | arg << 8 | bus << 29, data)
    elif kind < 0.94:
        bus, n = rng.randrange(2), rng.choice((1, 3, 30_000))
        ring.count_lost(bus, n)
        model.at_least[bus] = min(65535, model.at_least[bus] + n)
    elif kind < 0.95:
        ring.close_block()
        model.close()


@pytest.mark.parametrize("n_blocks", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_ring_does_what_its_model_does(n_blocks, seed):
    rng = random.Random(seed)
    ring, model = BlockRing(n_blocks), Model(n_blocks)
    ring.start_session()
    t = rng.getrandbits(31)
    for _ in range(12_000):
        t += rng.randrange(300_000)
        act(ring, model, rng, t)
        assert ring.n_waiting() == len(model.waiting)
        first = ring.first_waiting()
        assert (first is None) == (not model.waiting)
        if first is not None and rng.random() < 0.002:
            assert content(first) == expected(model.waiting.pop(0))
            ring.release()
    assert min(model.dropped) > 100 and min(model.stored) > 500
    assert list(ring.state[4:12]) == [
        *model.stored,
        *model.dropped,
        *model.at_least,
        *model.pending,
    ]
    assert ring.state[r.WORST] == model.worst
    for block in model.waiting:
        assert content(ring.first_waiting()) == expected(block)
        ring.release()
    assert ring.first_waiting() is None


def test_words_of_state_lie_where_the_interrupt_expects_them():
    """rp2_hot.py writes them by number."""
    words = "HEAD COUNT DONE FREED STORED DROPPED AT_LEAST PENDING FIRST_LO FIRST_HI WORST N_WORDS"
    places = [0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 17]
    assert [getattr(r, word) for word in words.split()] == places
    assert list(BlockRing(2).state) == [0] * 17
    ring = BlockRing(3)
    assert len(ring.memory) == 3 * 4096
    ring.memory[4096] = 7
    assert [block[0] for block in ring.blocks] == [0, 7, 0]
    assert [len(block) for block in ring.blocks] == [4096] * 3


def test_a_session_starts_with_no_counts_and_blocks_that_wait_stay():
    ring = BlockRing(2)
    for i in range(300):
        ring.put_frame(i, 0, 1, i & 1, 0, bytes(8))
    ring.count_lost(1, 5)
    assert list(ring.state[:4]) == [1, 48, 1, 0]
    ring.start_session()
    assert list(ring.state) == [1, 48, 1, 0] + [0] * 13
    assert ring.n_waiting() == 1


@pytest.mark.parametrize("opened", [0, 5, 1000, 0xFFFF, 0x10000, LOW - 10, LOW])
def test_the_age_of_the_open_block_counts_across_the_wrap(opened):
    ring = BlockRing(2)
    assert ring.open_age_us(opened) == -1
    ring.put_frame(opened, 3, 1, 0, 0, bytes(8))
    for age in (0, 1, 250_000, (LOW >> 1) - 1):
        assert ring.open_age_us((opened + age) & LOW) == age
    assert ring.open_age_us((opened - 5) & LOW) == 0
    assert ring.open_age_us((opened + (LOW >> 1)) & LOW) == 0
    ring.close_block()
    assert ring.open_age_us(opened) == -1
    ring.close_block()
    assert ring.n_waiting() == 1


def test_counters_of_blocks_go_round_at_16_bits():
    ring = BlockRing(2)
    for i in range(65_536 + 3):
        ring.put_meta(i & LOW, 0, 1, 0, 0, bytes(8))
        ring.close_block()
        assert ring.n_waiting() == 1
        ring.release()
    assert list(ring.state[r.DONE : r.FREED + 1]) == [3, 3]


def test_the_first_drop_is_reported_with_its_time_in_32_bits():
    ring = BlockRing(1)
    t = 0x9_8765_4321
    for i in range(252 + 4):
        ring.put_frame(t + i & LOW, t + i >> 28, 1, 0, 0, bytes(8))
    ring.release()
    ring.put_meta(0, 40, 1, 0, 0, bytes(8))
    ring.close_block()
    _, records, _ = content(ring.first_waiting())
    assert records[0][3] == struct.pack("<II", 4, t + 252 & 0xFFFFFFFF)


def test_more_drops_than_16_bits_hold_are_told():
    ring = BlockRing(1)
    for i in range(252 + 70_000):
        ring.put_frame(i, 0, 1, 1, 0, bytes(8))
    ring.release()
    ring.put_meta(0, 40, 1, 0, 0, bytes(8))
    ring.close_block()
    _, records, counts = content(ring.first_waiting())
    assert records[0][1:] == (15, META_GAP | 1 << 8 | 1 << 29, struct.pack("<II", 70_000, 252))
    assert counts == (0, 252, 0, 70_000, 0, 0)
