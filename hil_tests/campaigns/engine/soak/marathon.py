"""One marathon stage in virtual time: two days, the key turned now and then, nobody downloads,
every frame accounted for.

The shipped ring fills and the shipped store writes every block; sessions, flags and counters come
from them. Frames arrive in bulk: records are laid into the block being filled by NumPy, up to its
last free place, and the block's last record goes through `put_frame`, which closes it. That the
bytes are those of `put_frame` alone is a test (`same_bytes`). The card stalls now and then; when
the ring is full, every frame goes through `put_frame`, which drops and counts it.
"""

import random
import time

import numpy as np

from campaigns.engine.bench import DEVICE_ID, lay_out
from campaigns.engine.reader import parse_block
from campaigns.engine.results import Finding, Row, Tally
from logger.clock import Clock
from logger.places import OVERWRITE_OLDEST
from logger.ring import COUNT, DROPPED, HEAD, STORED, BlockRing
from logger.store import Store
from slog.layout import HEADER_BYTES, RECORD_BYTES, RECORDS_PER_BLOCK, SECTOR_BYTES
from stagelog.errors import UsageError
from stagelog.rig.sim.models import SimClock

RATE_Hz = 1885
_RING_BLOCKS = 24
_FLUSH_US = 250_000
_US_PER_S = 1_000_000


class BulkRing(BlockRing):
    """A ring that also takes frames by the thousand; same algorithm, same bytes."""

    def __init__(self, n_blocks):
        super().__init__(n_blocks)
        self._records = [
            np.frombuffer(block, np.uint32)[HEADER_BYTES // 4 :].reshape(-1, 4)
            for block in self.blocks
        ]

    def put_frames(self, t_us, words, payload, buses):
        """Store frames; return how many, and count those dropped.

        t_us     int64[n], ascending        words   uint32[n], w1 of the record
        payload  uint32[n, 2], 8 data bytes  buses   uint8[n]; all have dlc 8
        """
        i = 0
        n = len(t_us)
        state = self.state
        while i < n:
            room = RECORDS_PER_BLOCK - 1 - state[COUNT]
            if not state[COUNT] or room <= 0:
                self.put_one(t_us, words, payload, i)
                i += 1
                continue
            stop = min(n, i + room)
            at = state[COUNT]
            records = self._records[state[HEAD]][at : at + stop - i]
            records[:, 0] = (t_us[i:stop] & 0xFFFFFFF) | 8 << 28
            records[:, 1] = words[i:stop]
            records[:, 2:] = payload[i:stop]
            state[COUNT] += stop - i
            n_first = int((buses[i:stop] == 0).sum())
            state[STORED] += n_first
            state[STORED + 1] += stop - i - n_first
            i = stop

    def put_one(self, t_us, words, payload, i):
        t, word = int(t_us[i]), int(words[i])
        data = payload[i].tobytes()
        self.put_frame(t & 0xFFFFFFF, t >> 28, word & 0x1FFFFFFF, word >> 29, 8, data)


class _Card:
    """A card that keeps nothing but the witness's account: each block is judged as it comes."""

    read_only = False

    def __init__(self, clock, layout, witness):
        self.clock = clock
        self.n_sectors = layout.sector(layout.n_blocks)
        self._sectors = {
            layout.sector(0): layout.signature(),
            layout.sector(layout.copy): layout.signature(),
        }
        self._layout = layout
        self._witness = witness
        self._due_us = 0
        self._last = (0, b"")
        self.write_us = 3000

    def init(self):
        """Nothing to do."""

    def read(self, sector, buf):
        """Fill `buf`: the signature, the last block, zeros elsewhere."""
        first, data = self._last
        at = (sector - first) * SECTOR_BYTES
        if 0 <= at < len(data):
            buf[:] = data[at : at + len(buf)]
        else:
            buf[:] = self._sectors.get(sector, b"")[: len(buf)].ljust(len(buf), b"\0")

    def write_start(self, sector, view):
        """Take a block."""
        self._due_us = self.clock.now_us + self.write_us
        self._last = (sector, bytes(view))

    def write_poll(self):
        """Return 1 while it takes its time, then 0."""
        if self.clock.now_us < self._due_us:
            return 1
        sector, data = self._last
        position = self._layout.position(sector)[0]
        self._witness.judge(data, position)
        return 0


class Witness:
    """Knows every frame that was offered, by a running sum; judges every block that comes to the
    card.
    """

    def __init__(self, tally, minutes):
        self.tally = tally
        self._minutes = minutes
        self.n_offered = self.n_stored = self.n_blocks = self.n_dropped = 0
        self.sum_offered = self.sum_stored = 0
        self._seq = 0
        self._session = None
        self._in_session = 0

    def offer(self, payload, buses):
        """Note frames that ended on the bus."""
        self.n_offered += len(payload)
        self.sum_offered += int(payload[:, 0].astype(np.uint64).sum())

    def judge(self, data, position):
        """Check one block that the store has written."""
        block = parse_block(data, position)
        case = f"{self._minutes}:{self.n_blocks}"
        if block is None:
            self.tally.add(Finding("L3", case, "soak", "a block that is not whole"))
            return
        if block.seq != self._seq + 1:
            text = f"block {block.seq} after {self._seq}"
            self.tally.add(Finding("L7", case, "soak", text))
        self._seq = block.seq
        if block.session != self._session:
            self._session = block.session
            self._in_session = 0
        end = HEADER_BYTES + block.n_records * RECORD_BYTES
        words = np.frombuffer(data[HEADER_BYTES:end], np.uint32).reshape(-1, 4)
        frames = words[words[:, 0] >> 28 <= 8]
        self._in_session += len(frames)
        self.n_stored += len(frames)
        self.sum_stored += int(frames[:, 2].astype(np.uint64).sum())
        self.n_blocks += 1
        if sum(block.stored) != self._in_session:
            text = f"{sum(block.stored)} counted, {self._in_session} seen"
            self.tally.add(Finding("L5", case, "soak", text))

    def judge_end(self):
        """Compare the sums of the whole stage."""
        case = f"{self._minutes}:end"
        if self.n_stored + self.n_dropped != self.n_offered:
            text = f"{self.n_stored} stored + {self.n_dropped} dropped of {self.n_offered}"
            self.tally.add(Finding("L5", case, "soak", text))
        if not self.n_dropped and self.sum_stored != self.sum_offered:
            self.tally.add(Finding("L3", case, "soak", "the payloads do not add up"))


def run(tally, minutes, seconds=None, keep=None, rate_Hz=RATE_Hz, stall_every_s=600, up_to=None):
    """Record `minutes` of driving, if the Tally holds none yet; `seconds` and `keep` are of no
    account. With `up_to` it ends behind the block of that number.
    """
    if tally.states["soak"]:
        return
    start = time.monotonic()
    rng = random.Random(tally.seed)
    numbers = np.random.default_rng(tally.seed)
    witness = Witness(tally, minutes)
    clock = SimClock()
    layout = lay_out(100_000)
    card = _Card(clock, layout, witness)
    left_s = round(minutes * 60)
    boot = 0
    seq = 1
    while left_s > 0 and (up_to is None or witness.n_blocks <= up_to):
        boot += 1
        drive_s = min(left_s, rng.randrange(600, 4 * 3600))
        left_s -= drive_s
        ring, store = _power_on(card, clock, boot, seq, rng)
        _drive(ring, store, clock, card, witness, rng, numbers, drive_s, rate_Hz, stall_every_s)
        tally.note_worst("blocks waited", ring.state[16])
        witness.n_dropped += ring.state[DROPPED] + ring.state[DROPPED + 1]
        seq = store.next_seq
    witness.judge_end()
    tally.states["soak"] = witness.n_offered
    tally.note_worst("minutes", minutes)
    tally.note_worst("key cycles", boot)
    tally.note_worst("dropped", witness.n_dropped)
    tally.add_seconds("soak", time.monotonic() - start)


def rows(tally):
    """Return the table of a Tally: one Row, whose cases are frames."""
    n = tally.states["soak"]
    if not n:
        return []
    worst = tally.worst
    text = (
        f"{worst['minutes'] / 60:g} h, {worst['key cycles']} key cycles, "
        f"{worst['dropped']:,} dropped and counted, {worst['blocks waited']} blocks waited"
    )
    seconds = tally.seconds_of("soak")
    return [Row("soak: marathon stage", n, tally.violations["soak"], text, tally.seed, seconds)]


def reproduce(seed, case):
    """Drive "minutes:block" again up to that block, or "minutes:end"; return its findings."""
    minutes, _, block = case.partition(":")
    if not minutes.isdecimal() or not (block.isdecimal() or block == "end"):
        raise UsageError(f"no case '{case}'", "minutes:block or minutes:end, such as 15:1200")
    tally = Tally(seed)
    run(tally, int(minutes), up_to=int(block) if block.isdecimal() else None)
    return [finding for finding in tally.findings if finding.case == case]


def _power_on(card, clock, boot, seq, rng):
    clock.now_us = 0
    ring = BulkRing(_RING_BLOCKS)
    store = Store(card, ring, Clock(clock.ticks_us), DEVICE_ID, OVERWRITE_OLDEST)
    store.mount()
    store.boot = boot
    store.next_seq = seq
    store.start_session(rng.getrandbits(32) or 1)
    return ring, store


def _drive(ring, store, clock, card, witness, rng, numbers, drive_s, rate_Hz, stall_every_s):
    """Offer `drive_s` seconds of frames in slices of 10 ms, the store stepping in between."""
    slice_us = 10_000
    per_slice = rate_Hz * slice_us / _US_PER_S
    next_stall = rng.randrange(stall_every_s)
    owed = 0.0
    busy_until = 0
    for second in range(drive_s):
        burst = 3.0 if rng.random() < 0.01 else 1.0
        n_second = int(per_slice * 100 * burst * 1.1) + 200
        words = numbers.integers(0, 1 << 30, n_second, np.uint32)
        payload = numbers.integers(0, 1 << 32, (n_second, 2), np.uint32)
        buses = (words >> 29 & 1).astype(np.uint8)
        at = 0
        if second == next_stall:
            card.write_us = rng.choice((250_000, 500_000, 2_000_000, 5_000_000))
            busy_until = clock.now_us + card.write_us
            next_stall += rng.randrange(1, 2 * stall_every_s)
        elif clock.now_us > busy_until:
            card.write_us = 3000
        for _ in range(100):
            owed += per_slice * burst
            n = min(int(owed), n_second - at)
            owed -= n
            t_us = clock.now_us + np.arange(1, n + 1, dtype=np.int64) * slice_us // (n + 1)
            piece = slice(at, at + n)
            ring.put_frames(t_us, words[piece], payload[piece], buses[piece])
            witness.offer(payload[piece], buses[piece])
            at += n
            clock.now_us += slice_us
            store.step()
            store.step()
            if ring.open_age_us(clock.now_us & 0xFFFFFFF) >= _FLUSH_US:
                ring.close_block()
    ring.close_block()
    store.close_session()
    card.write_us = 3000
    while ring.n_waiting() or store.is_writing:
        clock.now_us += 5000
        store.step()


def same_bytes(seed, n_frames=5000):
    """Return whether the bulk path leaves the same memory as `put_frame` for every frame."""
    numbers = np.random.default_rng(seed)
    words = numbers.integers(0, 1 << 32, n_frames, np.uint32)
    payload = numbers.integers(0, 1 << 32, (n_frames, 2), np.uint32)
    buses = (words >> 29 & 1).astype(np.uint8)
    t_us = np.cumsum(numbers.integers(1, 60_000, n_frames)).astype(np.int64)
    bulk, single = BulkRing(30), BlockRing(30)
    at = 0
    while at < n_frames:
        n = int(numbers.integers(1, 700))
        piece = slice(at, min(at + n, n_frames))
        bulk.put_frames(t_us[piece], words[piece], payload[piece], buses[piece])
        at += n
        if numbers.random() < 0.5:
            bulk.close_block()
            _put_singly(single, t_us[:at], words, payload)
            single.close_block()
    _put_singly(single, t_us, words, payload)
    return bytes(bulk.memory) == bytes(single.memory) and bulk.state == single.state


def _put_singly(ring, t_us, words, payload):
    start = sum(ring.state[STORED : STORED + 2]) + sum(ring.state[DROPPED : DROPPED + 2])
    for i in range(start, len(t_us)):
        BulkRing.put_one(ring, t_us, words, payload, i)
