"""The card campaign: cards that stall, reject, lie, rot, go away, wear out or fill up, under the
whole application.

Each fault is a function (bench, rng) that sets the card up and lets the logger record. Afterwards
the witness compares what was offered, what is on the card and what the logger says of itself:

    L5    stored + dropped = offered, to the frame, as far as the card did not lie
    L11   a card that loses a write is noticed within NOTICE_BLOCKS blocks, counted and shown
    L12   a full or protected card is shown; nothing in use is overwritten
    L13   a stall within the ring's room costs nothing; a longer one drops, counted exactly
"""

import random
from dataclasses import dataclass

from campaigns.engine.bench import Bench
from campaigns.engine.journal import Verdict
from campaigns.engine.reader import frames_of, parse_block
from campaigns.engine.results import Finding, findings_of, in_turn, rows_of
from campaigns.engine.witness import check_frames
from logger.store import VERIFY_EVERY
from slog import faults
from slog import messages as m

NOTICE_BLOCKS = VERIFY_EVERY + 1
RING_BLOCKS = 24
_BLOCK_RECORDS = 252
_FAKE_SECTORS = 65_536


@dataclass(slots=True)
class Outcome:
    """What one case is judged by.

    silent    the card said "done" and did not store: stored frames may be missing on it
    expected  fault codes of which one must have been shown while the fault lasted, or () for none
    n_drops   "none", "some" or "any" drops in the ring
    worst     a figure for the table
    """

    expected: tuple = ()
    silent: bool = False
    n_drops: str = "any"
    worst: float = 0.0


class Watch:
    """Lets a bench run and keeps which faults its LED has shown."""

    def __init__(self, bench):
        self.bench = bench
        self.shown = set()
        show = bench.app.board.show

        def keep(state, fault):
            self.shown.add(fault)
            show(state, fault)

        bench.app.board.show = keep

    def run_ms(self, ms):
        """Let time pass; faults between two polls of the application are seen too."""
        for _ in range(max(1, int(ms) // 10)):
            self.bench.run_ms(10)
            self.shown.add(self.bench.app.fault)


def _boot(rng, rate_Hz=400, **settings):
    bench = Bench(rng.getrandbits(32), 3000, settings, ring_blocks=RING_BLOCKS)
    bench.traffic.rate_Hz = rate_Hz
    bench.traffic.burst = 0
    bench.prepared = dict(bench.card.sectors)
    bench.power_on()
    return bench, Watch(bench)


def stall(rng, ms=None):
    """One write takes so long; the ring has room for RING_BLOCKS blocks."""
    ms = ms or rng.choice((8, 40, 100, 250, 500, 1000, 2000, 5000))
    rate_Hz = rng.choice((400, 2000, 9000))
    bench, watch = _boot(rng, rate_Hz)
    watch.run_ms(300)
    at = len(bench.card.journal) + rng.randrange(5)
    bench.card.judge = lambda write: Verdict(ms * 1000 if write.index == at else 3000)
    watch.run_ms(ms + 2500)
    fits = (RING_BLOCKS - 2) * _BLOCK_RECORDS / rate_Hz * 1000 > ms + 300
    flushed = (RING_BLOCKS - 2) * 250 > ms
    long = (faults.CARD_STALL,) if ms > 1100 else ()
    drops = "none" if fits and flushed else "any"
    return bench, watch, Outcome(long, False, drops, ms)


def rejected(rng):
    """The card answers some writes with an error; nothing of them, part or all has landed."""
    share = rng.choice((0.01, 0.1, 0.3))
    bench, watch = _boot(rng)
    bench.card.judge = lambda write: (
        Verdict(3000, -1, rng.choice((0, 0xFF, rng.getrandbits(8))))
        if rng.random() < share
        else None
    )
    watch.run_ms(4000)
    bench.card.judge = None
    watch.run_ms(2500)
    return bench, watch, Outcome()


def timed_out(rng):
    """A write is never finished; the store gives it up after ten seconds."""
    bench, watch = _boot(rng, 100)
    watch.run_ms(500)
    at = len(bench.card.journal)
    mask = rng.choice((0, 0xFF))
    bench.card.judge = lambda write: Verdict(10**9, 0, mask) if write.index == at else None
    watch.run_ms(12_000)
    bench.card.judge = None
    watch.run_ms(3000)
    return bench, watch, Outcome((faults.CARD_STALL,))


def swallowed(rng):
    """From some block on the card says done and stores nothing, for good."""
    bench, watch = _boot(rng)
    watch.run_ms(rng.randrange(100, 3000))
    first = len(bench.card.journal)
    bench.card.judge = lambda write: Verdict(3000, 0, 0)
    watch.run_ms(12_000)
    return bench, watch, Outcome((faults.CARD_LIES,), True, worst=_noticed_after(bench, first))


def swallowed_now_and_then(rng):
    """One write in so many is swallowed; read-back is a sample, the reader sees every hole."""
    share = rng.choice((0.02, 0.2))
    bench, watch = _boot(rng)
    bench.card.judge = lambda write: Verdict(3000, 0, 0) if rng.random() < share else None
    watch.run_ms(6000)
    bench.card.judge = None
    watch.run_ms(2500)
    return bench, watch, Outcome((), True)


def wraps(rng):
    """A fake card: it holds 32 MiB; what is written beyond lands at its start again."""
    bench = Bench(rng.getrandbits(32), 9000, ring_blocks=RING_BLOCKS)
    bench.prepared = dict(bench.card.sectors)
    bench.power_on()
    watch = Watch(bench)
    layout = bench.layout
    beyond = layout.position(_FAKE_SECTORS)[0]
    store = bench.app.store
    store.places.next_position = beyond - rng.randrange(1, 40)
    store.places.tail, store.places.n_used = store.places.next_position, 0

    def fold(sector):
        return sector % _FAKE_SECTORS if sector < layout.sector(layout.end) else sector

    bench.card.judge = lambda write: Verdict(3000, 0, 0xFF, fold(write.sector))
    sectors = bench.card.sectors
    bench.card.on_read = lambda sector, data: sectors.get(fold(sector), data)
    first = None
    for _ in range(3000):
        watch.run_ms(10)
        if (
            first is None
            and bench.card.journal[-1:]
            and bench.card.journal[-1].sector >= _FAKE_SECTORS
        ):
            first = bench.card.journal[-1].index
        if faults.CARD_LIES in watch.shown:
            break
    bench.card.on_read = None
    return bench, watch, Outcome((faults.CARD_LIES,), True, worst=_noticed_after(bench, first))


def bit_errors(rng):
    """Bits flip on the way to the card and back; the card's CRC-16 finds most, read errors are
    errors.
    """
    share = rng.choice((0.001, 0.01, 0.05))
    bench, watch = _boot(rng)

    def read(sector, data):
        if rng.random() < share:
            raise OSError("CRC")
        return data

    bench.card.on_read = read
    bench.card.judge = lambda write: Verdict(3000, -1, 0) if rng.random() < share else None
    watch.run_ms(6000)
    bench.card.on_read = bench.card.judge = None
    watch.run_ms(3000)
    return bench, watch, Outcome()


def removed(rng):
    """The card is pulled in the middle and put back later."""
    bench, watch = _boot(rng)
    watch.run_ms(rng.randrange(200, 2000))
    bench.card.present = False
    away_ms = rng.choice((20, 500, 3000, 20_000))
    watch.run_ms(away_ms)
    bench.card.present = True
    watch.run_ms(4000)
    expected = (faults.CARD_ABSENT,) if away_ms >= 500 else ()
    return bench, watch, Outcome(expected, worst=away_ms)


def worn(rng):
    """Single places and whole erase groups reject every write."""
    bench, watch = _boot(rng)
    layout = bench.layout
    start = rng.randrange(4, 20)
    bad = set(range(start, start + rng.choice((1, 3, 16, 40))))
    bad |= {rng.randrange(60) for _ in range(3)}

    def judge(write):
        place = layout.position(write.sector)[0] - layout.first
        return Verdict(3000, -1, rng.choice((0, 0x03))) if place in bad else None

    bench.card.judge = judge
    watch.run_ms(12_000)
    return bench, watch, Outcome()


def full(rng):
    """A small card that fills up while it records; the settings say stop."""
    bench = Bench(rng.getrandbits(32), rng.randrange(18, 40), {"when_full": "stop"})
    bench.traffic.rate_Hz = 400
    bench.prepared = dict(bench.card.sectors)
    bench.power_on()
    watch = Watch(bench)
    watch.run_ms(20_000)
    return bench, watch, Outcome((faults.CARD_FULL,))


def read_only(rng):
    """The card is write-protected from the start, or becomes so."""
    bench, watch = _boot(rng)
    if rng.random() < 0.5:
        watch.run_ms(rng.randrange(100, 1500))
    bench.card.read_only = True
    watch.run_ms(3000)
    bench.card.read_only = False
    watch.run_ms(4000)
    return bench, watch, Outcome((faults.CARD_READ_ONLY,))


FAULTS = (
    stall,
    rejected,
    timed_out,
    swallowed,
    swallowed_now_and_then,
    wraps,
    bit_errors,
    removed,
    worn,
    full,
    read_only,
)
_BY_NAME = {fault.__name__: fault for fault in FAULTS}


def _noticed_after(bench, first):
    """Return how many blocks the card lost before the first read-back that failed, or infinity."""
    if first is None:
        return 0
    if not bench.app.store.counts.verify_errors:
        return float("inf")
    sent = {}
    for write in bench.card.journal[first:]:
        block = parse_block(write.data)
        key = (block.session, block.seq) if block else write.sector
        sent[key] = sent.get(key, 0) + 1
        if sent[key] > 1:
            break
    return len(sent)


def check(bench, watch, outcome):
    """Yield the findings on one case."""
    status = bench.link.status()
    for code in outcome.expected:
        if code not in watch.shown:
            yield "L11", f"no alarm: {faults.TEXT[code]}"
    if outcome.silent and outcome.worst > NOTICE_BLOCKS:
        yield "L11", f"noticed after {outcome.worst} blocks"
    if outcome.n_drops == "none" and status.dropped0:
        yield "L13", f"{status.dropped0} frames dropped although the ring had room"
    offered = bench.lives[-1].offered
    now_us = bench.clock.now_us
    bench.card.judge = None
    watch.run_ms(300)
    bench.link.control(m.CONTROL_STOP, bench.app.boot)
    status = bench.link.status()
    stored = frames_on(bench)
    if stored is None:
        yield "L3", "the card holds a frame twice"
        return
    if not outcome.silent and len(stored) != status.stored0:
        yield "L5", f"{status.stored0} frames counted as stored, {len(stored)} are on the card"
    if not set(stored) <= set(offered):
        yield "L3", "the card holds a frame that was not sent"
    n_before = sum(frame[0] <= now_us for frame in offered)
    n_discarded = bench.app.store.counts.counted[0] - status.stored0
    n_counted = status.stored0 + n_discarded + status.dropped0
    if not n_before <= n_counted <= len(offered):
        yield "L5", f"{n_counted} frames accounted for, {n_before} to {len(offered)} were offered"
    yield from check_frames(bench)


def frames_on(bench):
    """Return the frames in the whole blocks on the card, each session's numbers once; None if one
    is there twice.
    """
    blocks = {}
    layout = bench.layout
    for position in range(layout.first, layout.end):
        at = layout.sector(position)
        if at not in bench.card.sectors:
            continue
        data = b"".join(bench.card.sectors.get(at + i, bytes(512)) for i in range(8))
        block = parse_block(data, position)
        if block is not None:
            blocks[block.session, block.seq] = frames_of(data, block)
    frames = [frame for found in blocks.values() for frame in found]
    return frames if len(frames) == len(set(frames)) else None


def run(tally, n_cases, seconds=None, keep=lambda: None):
    """Continue a Tally until it holds n_cases, fault by fault in turn."""
    in_turn(tally, _BY_NAME, n_cases, _run_one, seconds, keep)


def _run_one(tally, name, number):
    tally.note_worst(name, run_case(tally, _BY_NAME[name], number))


def rows(tally):
    """Return the table of a Tally: one Row for each fault."""

    def words(name):
        unit = {"stall": "ms", "removed": "ms away"}.get(name, "blocks until noticed")
        worst = tally.worst.get(name, 0)
        return f"{worst:.0f} {unit}" if worst else ""

    return rows_of(tally, {name: f"card: {name.replace('_', ' ')}" for name in _BY_NAME}, words)


def reproduce(seed, case):
    """Run one case, "fault:number", again; return its findings."""
    return findings_of(seed, case, _BY_NAME, _run_one)


def run_case(tally, fault, number):
    """Run one case of a fault; return its figure."""
    rng = random.Random(f"{tally.seed} {fault.__name__} {number}")
    case = f"{fault.__name__}:{number}"
    try:
        bench, watch, outcome = fault(rng)
        findings = list(check(bench, watch, outcome))
    except Exception as error:
        tally.add(Finding("L11", case, fault.__name__, f"{type(error).__name__}: {error}"))
        return 0
    for invariant, text in findings:
        tally.add(Finding(invariant, case, fault.__name__, text))
    return outcome.worst
