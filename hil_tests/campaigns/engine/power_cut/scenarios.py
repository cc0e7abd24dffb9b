"""What loggers live through before the power goes: short histories of one card, run through the
shipped application.

Each is a function (bench) that drives a Bench; which one and its numbers follow from seed and
number alone. Fault-free cards make clean journals to cut; some cards have worn places, stalls or
loose contacts, so that recovery meets their marks too.
"""

import random

from campaigns.engine.bench import Bench
from campaigns.engine.journal import Verdict
from campaigns.engine.reader import parse_block
from logger.places import OVERWRITE_OLDEST, STOP_WHEN_FULL
from slog import messages as m
from stagelog.link import RequestError

_HEADER_BYTES = 64


def run_scenario(seed, number):
    """Run scenario `number` of a seed; return (its name, the Bench afterwards)."""
    make = SCENARIOS[number % len(SCENARIOS)]
    rng = random.Random(seed * 7919 + number)
    bench = make(rng, seed * 100_003 + number)
    bench.power_cut()
    return make.__name__, bench


def _bench(rng, seed, n_places, policy, **more):
    flush_ms = rng.choice((100, 250, 250, 400))
    bench = Bench(seed, n_places, {"when_full": policy, "flush_ms": flush_ms}, **more)
    bench.prepared = dict(bench.card.sectors)
    bench.when_full = STOP_WHEN_FULL if policy == "stop" else OVERWRITE_OLDEST
    bench.flush_ms = flush_ms
    bench.tail_ms = flush_ms + 2 * bench.card.write_us / 1000 + 20
    bench.is_slow = False
    bench.traffic.rate_Hz = rng.choice((20, 60, 200))
    return bench


def fresh(rng, seed):
    """A new card, some boots, never full."""
    bench = _bench(rng, seed, rng.choice((96, 200, 3000)), "stop")
    for _ in range(rng.randrange(3, 9)):
        bench.power_on()
        bench.run_ms(rng.choice((300, 900, 4000)))
        bench.power_cut()
    bench.power_on()
    bench.run_ms(3000)
    return bench


def wrap(rng, seed):
    """A small ring that is overwritten again and again."""
    bench = _bench(rng, seed, rng.randrange(20, 40), "overwrite")
    for _ in range(5):
        bench.power_on()
        bench.run_ms(rng.randrange(500, 6000))
        bench.power_cut()
    bench.power_on()
    bench.run_ms(2000)
    return bench


def full(rng, seed):
    """A card that fills up, stops, is erased session by session and continues."""
    bench = _bench(rng, seed, rng.randrange(20, 32), "stop")
    for _ in range(3):
        bench.power_on()
        for _ in range(rng.randrange(1, 4)):
            bench.run_ms(rng.randrange(1000, 4000))
            _stop_start(bench)
        for _ in range(rng.randrange(0, 4)):
            erase_oldest(bench)
            bench.run_ms(rng.randrange(500))
        bench.run_ms(1000)
        bench.power_cut()
    bench.power_on()
    bench.run_ms(1500)
    return bench


def erase(rng, seed):
    """Many short sessions, the oldest erased while the newest runs."""
    bench = _bench(rng, seed, rng.randrange(40, 130), rng.choice(("stop", "overwrite")))
    for _ in range(6):
        bench.power_on()
        bench.run_ms(rng.randrange(600, 2500))
        if rng.random() < 0.7:
            _stop_start(bench)
        for _ in range(rng.randrange(3)):
            erase_oldest(bench)
        bench.run_ms(rng.randrange(800))
        bench.power_cut()
    bench.power_on()
    return bench


def worn(rng, seed):
    """A card with bad places: writes rejected, timed out though landed, or read back wrong."""
    bench = _bench(rng, seed, rng.randrange(40, 90), rng.choice(("stop", "overwrite")))
    bad = {}
    for _ in range(rng.randrange(3, 9)):
        bad[rng.randrange(bench.layout.n)] = rng.choice(("reject", "late", "half"))

    def judge(write):
        position, _ = bench.layout.position(write.sector)
        kind = bad.get(position - bench.layout.first)
        if kind == "reject":
            return Verdict(3000, -1, 0)
        if kind == "late":
            return Verdict(20_000, -2, 0xFF)
        if kind == "half":
            return Verdict(3000, -1, rng.getrandbits(8))
        return None

    bench.card.judge = judge
    bench.is_slow = True
    bench.tail_ms += 12 * 20 + 100
    for _ in range(4):
        bench.power_on()
        bench.run_ms(rng.randrange(1000, 5000))
        bench.power_cut()
    bench.power_on()
    return bench


def stalls(rng, seed):
    """A card that takes its time: up to 500 ms for a write now and then."""
    bench = _bench(rng, seed, rng.randrange(30, 60), rng.choice(("stop", "overwrite")))

    def judge(write):
        slow = rng.random()
        return Verdict(500_000 if slow < 0.03 else 90_000 if slow < 0.1 else 3000)

    bench.card.judge = judge
    bench.is_slow = True
    bench.tail_ms += 1000
    for _ in range(3):
        bench.power_on()
        bench.run_ms(rng.randrange(2000, 6000))
        bench.power_cut()
    bench.power_on()
    bench.run_ms(1000)
    return bench


def bounce(rng, seed):
    """A card whose contact opens for a moment now and then; the write under way may have
    landed.
    """
    bench = _bench(rng, seed, rng.randrange(40, 90), rng.choice(("stop", "overwrite")))
    bench.is_slow = True
    bench.tail_ms += 6000
    for _ in range(3):
        bench.power_on()
        for _ in range(3):
            bench.run_ms(rng.randrange(500, 2500))
            for _ in range(1000):
                if bench.app.store.is_writing:
                    break
                bench.run_ms(1)
            _bounce(bench, rng)
        bench.run_ms(2000)
        bench.power_cut()
    bench.power_on()
    return bench


def big(rng, seed):
    """A ring with room for erase groups of 4 MiB, filled by several boots."""
    bench = _bench(rng, seed, rng.randrange(2200, 2600), "overwrite", loop_us=2000)
    fill(bench, rng.randrange(1500, 4000))
    for _ in range(3):
        bench.power_on()
        bench.run_ms(rng.randrange(500, 4000))
        bench.power_cut()
    bench.power_on()
    return bench


def begin(rng, seed):
    """Sessions that begin, and store their first blocks, while the digest of the oldest one is
    checked; now and then the host asks so late that the ring has come round to that session.
    """
    policy = rng.choice(("stop", "overwrite"))
    bench = _bench(rng, seed, rng.randrange(60, 130), policy)
    for _ in range(3):
        bench.power_on()
        for _ in range(3):
            bench.run_ms(rng.randrange(600, 2500))
            boot = bench.app.boot
            bench.link.control(m.CONTROL_STOP, boot)
            bench.run_ms(20)

            def begin_next(boot=boot):
                bench.link.control(m.CONTROL_START, boot)
                bench.run_ms(rng.choice((300, 700, 1500, 1500 if policy == "stop" else 20_000)))

            if not erase_oldest(bench, 1, begin_next):
                bench.link.control(m.CONTROL_START, boot)
        bench.power_cut()
    bench.power_on()
    bench.run_ms(1000)
    return bench


def can_fd(rng, seed):
    """A bus of CAN FD: frames of one to six records, blocks that end before they are full."""
    policy = rng.choice(("stop", "overwrite"))
    bench = _bench(rng, seed, rng.randrange(24, 90), policy, can_fd=True)
    bench.traffic.rate_Hz = rng.choice((60, 200, 600))
    bench.traffic.burst = 0.1
    for _ in range(4):
        bench.power_on()
        bench.run_ms(rng.randrange(500, 4000))
        if rng.random() < 0.5:
            _stop_start(bench)
        bench.run_ms(rng.randrange(1000))
        bench.power_cut()
    bench.power_on()
    bench.run_ms(1500)
    return bench


SCENARIOS = (fresh, wrap, full, erase, worn, stalls, bounce, big, begin, can_fd)


def _stop_start(bench):
    boot = bench.app.boot
    bench.link.control(m.CONTROL_STOP, boot)
    bench.run_ms(20)
    bench.link.control(m.CONTROL_START, boot)


def erase_oldest(bench, least=2, meanwhile=lambda: None):
    """Erase the oldest session as the host does: with the digest of its headers. False if there
    are fewer than `least` sessions, or if the logger refuses.

    meanwhile   called once, when the logger has begun to check the digest
    """
    import hashlib

    sessions = bench.link.list_sessions()
    if len(sessions) < least:
        return False
    oldest = sessions[-1]
    bench.erasable.add((oldest.device_id, oldest.boot, oldest.nonce))
    digest = hashlib.sha256()
    layout = bench.layout
    for step in range(oldest.n_blocks):
        position = layout.first + (oldest.position - layout.first + step) % layout.n
        sector = bench.card.sectors.get(layout.sector(position), bytes(512))
        digest.update(sector[:_HEADER_BYTES])
    try:
        for n_answers, _ in enumerate(bench.link.erase(oldest, digest.digest())):
            if n_answers == 0:
                meanwhile()
    except RequestError:
        return False
    return True


def _bounce(bench, rng):
    card = bench.card
    card.present = False
    bench.run_ms(rng.choice((1, 50, 1500)))
    card.present = True
    write = card.journal[-1]
    if not write.landed:
        mask = rng.choice((0, 0xFF, 0x0F, 0x01))
        for index in range(8):
            if mask >> index & 1:
                write.landed[write.sector + index] = write.data[512 * index : 512 * index + 512]
        card.sectors.update(write.landed)


def fill(bench, n_blocks):
    """Put `n_blocks` blocks on the card by the shipped store alone, as one earlier boot did; not
    part of the journal.
    """
    bench.power_on()
    store, ring = bench.app.store, bench.app.board.ring
    offered = bench.lives[-1].offered = []
    for _ in range(n_blocks):
        bench.clock.now_us += 250_000
        bench.app.board.clock.read()
        now = bench.clock.now_us
        ring.put_frame(now & 0xFFFFFFF, now >> 28, 0x123, 0, 8, bytes(8))
        offered.append((now, 0, 0x123, 0, 8, bytes(8)))
        ring.close_block()
        while ring.n_waiting():
            store.step()
            bench.clock.now_us += 5000
    bench.n_filled = len(bench.card.journal)
    bench.power_cut()
    position = bench.layout.position(bench.card.journal[-1].sector)[0]
    assert parse_block(bench.card.journal[-1].data, position) is not None
