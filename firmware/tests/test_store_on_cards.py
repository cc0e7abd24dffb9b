"""Store and sessions on cards that fail, fill up, refuse and come back, through the whole app."""

import itertools
from types import SimpleNamespace

import pytest

from campaigns.engine.bench import Bench
from campaigns.engine.journal import Verdict
from campaigns.engine.power_cut import cuts
from campaigns.engine.power_cut.scenarios import erase_oldest
from campaigns.engine.reader import frames_of, parse_block
from campaigns.engine.results import Tally
from logger.card_write import is_aliased
from slog import faults
from slog import messages as m
from slog.layout import ERROR_TIMEOUT, FLAG_FIRST, FLAG_LAST, FLAG_PARTIAL


def test_a_small_power_cut_campaign_finds_nothing():
    """The campaign tests recovery; this is the piece of it that a mutant can be tried on."""
    tally = Tally(7)
    cuts.run(tally, 1500, every=9)
    assert tally.n_states >= 1500
    assert not tally.findings, "\n".join(map(str, tally.findings[:5]))


def test_a_new_session_counts_from_nothing_and_is_listed():
    bench = Bench(5, 200)
    first = bench.layout.sector(bench.layout.first)
    bench.card.judge = lambda write: Verdict(3000, -1, 0) if write.sector == first else None
    bench.power_on()
    bench.run_ms(2000)
    before = bench.link.status()
    assert before.slots_skipped == 1 and before.write_errors >= 1
    assert before.write_worst_ms >= 3 and 0 < before.boot_to_frame_ms < 1500
    assert len(bench.link.list_sessions()) == 1
    boot = bench.app.boot
    bench.link.control(m.CONTROL_STOP, boot)
    bench.link.control(m.CONTROL_START, boot)
    after = bench.link.status()
    names = ("slots_skipped", "verify_errors", "write_errors", "write_retries", "stored0")
    assert [getattr(after, name) for name in names] == [0] * 5 and after.blocks_written == 0
    bench.run_ms(1500)
    assert [session.boot for session in bench.link.list_sessions()] == [boot, boot]


def test_a_session_that_was_listed_before_its_first_block_is_listed_after_it():
    bench = Bench(5, 200)
    bench.power_on()
    bench.run_ms(2000)
    boot = bench.app.boot
    bench.app.control(m.CONTROL_STOP)
    while bench.app.is_busy:
        bench.run_ms(1)
    sessions = bench.app.sessions
    first = sessions.get(0)
    bench.app.control(m.CONTROL_START)
    assert sessions.get(0) == first and sessions.get(1) is None  # no block of the second yet
    bench.run_ms(1500)
    assert sessions.get(1) == first
    assert sessions.get(0)[3:] == (boot, bench.app.store.nonce)


def recording(n_places=200, run_ms=1500, **settings):
    bench = Bench(5, n_places, settings)
    bench.power_on()
    bench.run_ms(run_ms)
    return bench


def places_written(bench, start=0):
    layout = bench.layout
    return [
        layout.position(write.sector)[0] - layout.first for write in bench.card.journal[start:]
    ]


def test_a_card_that_is_away_is_set_up_once_a_second():
    bench = recording()
    n_calls = 0
    init = bench.card.init

    def count():
        nonlocal n_calls
        n_calls += 1
        init()

    bench.card.init = count
    bench.card.present = False
    bench.run_ms(10_000)
    assert 8 <= n_calls <= 11 and bench.app.fault == faults.CARD_ABSENT
    bench.card.present = True
    bench.run_ms(3000)
    store = bench.app.store
    assert store.extent is not None and n_calls <= 12
    assert (
        store.counts.write_errors <= 1
        and store.counts.write_retries == 0
        and store.counts.places_skipped == 0
    )


def test_a_card_that_is_switched_to_read_only_is_told():
    bench = recording()
    bench.card.read_only = True
    bench.run_ms(600)
    assert bench.app.fault == faults.CARD_READ_ONLY
    bench.run_ms(2000)
    assert bench.app.fault == faults.CARD_READ_ONLY and bench.app.store.counts.write_retries == 0


def test_a_card_full_to_the_last_place_is_not_written_to_again():
    bench = recording(20, 12_000)
    store = bench.app.store
    boot = bench.app.boot
    bench.link.control(m.CONTROL_STOP, boot)
    assert store.places.n_used == 20 and store.places.n_free == 0
    n = len(bench.card.journal)
    for _ in range(2):
        bench.link.control(m.CONTROL_START, boot)
        bench.run_ms(1500)
        bench.link.control(m.CONTROL_STOP, boot)
    assert len(bench.card.journal) == n and store.places.n_used == 20


def test_stored_is_what_lies_on_the_card_though_blocks_were_given_up():
    bench = recording(20, 100)
    store, ring, clock = bench.app.store, bench.app.board.ring, bench.app.board.clock
    while store.places.n_used < 18:
        bench.run_ms(10)
    for _ in range(600):
        clock.read()
        ring.put_frame(clock.lo, clock.hi, 0x10, 1, 8, bytes(8))
    bench.run_ms(1500)
    assert bench.app.fault == faults.CARD_FULL
    bench.link.control(m.CONTROL_STOP, bench.app.boot)
    frames = [
        frame
        for write in bench.card.journal
        for frame in frames_of(write.data, parse_block(write.data))
    ]
    counts = tuple(sum(frame[1] == bus for frame in frames) for bus in (0, 1))
    assert tuple(store.counts.stored) == counts and counts[0] and 0 < counts[1] < 600


def test_the_counts_of_a_session_change_in_place():
    """New ones for each block would split what is free of the RP2040's heap (DESIGN)."""
    bench = recording()
    counts = bench.app.store.counts
    before = counts.stored, counts.counted, counts.discarded, counts.blocks_written
    bench.run_ms(1000)
    assert counts.blocks_written > before[3]
    assert all(now is then for now, then in zip(vars(counts).values(), before[:3], strict=False))


def test_a_session_ends_though_its_card_is_gone():
    bench = recording()
    bench.card.present = False
    bench.run_ms(300)
    bench.link.control(m.CONTROL_STOP, bench.app.boot)
    assert not bench.app._stopping and not bench.app.board.ring.n_waiting()


def test_a_stopped_session_looks_five_times_for_its_card():
    """Once a second: what waits is kept for more than three seconds and less than six."""
    bench = recording()
    bench.card.present = False
    bench.run_ms(3000)
    mounts, mount = [], bench.app.store.mount
    bench.app.store.mount = lambda: mounts.append(bench.app.board.clock.t_us()) or mount()
    bench.app.control(m.CONTROL_STOP)
    t0_us = bench.app.board.clock.t_us()
    while bench.app.is_busy:
        bench.run_ms(10)
    assert len(mounts) == 5
    assert 3.9e6 < bench.app.board.clock.t_us() - t0_us < 5.2e6


def test_the_last_block_says_what_was_lost_after_it_was_full():
    """The card is gone; all blocks wait, and frames are dropped. The last of them has the counts
    of the end.
    """
    bench = recording(200, 1500)
    bench.card.present = False
    ring, clock = bench.app.board.ring, bench.app.board.clock
    bench.run_ms(500)
    for _ in range(30_000):
        clock.read()
        ring.put_frame(clock.lo, clock.hi, 0x10, 1, 8, bytes(8))
    n_dropped = ring.state[7]
    assert n_dropped > 10_000
    bench.card.present = True
    bench.app.control(m.CONTROL_STOP)
    bench.run_ms(3000)
    last = parse_block(bench.card.journal[-1].data)
    data = bytes(bench.card.journal[-1].data)
    assert last.flags & FLAG_LAST
    assert int.from_bytes(data[48:52], "little") == ring.state[7] >= n_dropped  # dropped1


def test_a_card_that_comes_back_after_the_stop_takes_what_waited():
    """Looks for a card while it recorded do not count: five after the stop, one a second, do."""
    bench = recording()
    bench.card.present = False
    bench.run_ms(10_000)
    n = len(bench.card.journal)
    bench.app.control(m.CONTROL_STOP)
    n_waiting = bench.app.board.ring.n_waiting()
    bench.run_ms(2500)
    assert bench.app.board.ring.n_waiting() == n_waiting > 0
    bench.card.present = True
    bench.run_ms(2500)
    blocks = [parse_block(write.data) for write in bench.card.journal[n:]]
    assert len(blocks) == n_waiting and blocks[-1].flags & FLAG_LAST


def test_a_card_that_lied_is_reported_as_lying_after_a_stretch_of_bad_places_too():
    """The first block does not land, the second try does. Then writes fail until the store gives
    the card up; what it reports when the card is set up again is still that blocks were lost.
    """
    bench = Bench(5, 200)
    verdicts = [Verdict(3000, 0, 0)]
    bench.card.judge = lambda write: verdicts.pop() if verdicts else None
    bench.power_on()
    bench.run_ms(1500)
    store = bench.app.store
    assert (store.counts.verify_errors, store.fault) == (1, faults.CARD_LIES)
    bench.card.judge = lambda write: Verdict(3000, -1, 0)
    while store.extent is not None:
        bench.run_ms(1)
    while store.extent is None:
        bench.run_ms(1)
    assert store.fault == faults.CARD_LIES


def test_a_card_that_never_took_a_block_is_no_usable_card():
    """STATE_CARD_FAULT is for a card that has stored something in this session."""
    bench = Bench(5, 200)
    bench.card.judge = lambda write: Verdict(3000, -1, 0)
    bench.power_on()
    while not bench.app.store.counts.places_skipped or bench.app.store.extent is not None:
        bench.run_ms(1)
    bench.run_ms(200)
    assert bench.app.store.extent is None and bench.app.state == m.STATE_NO_CARD


def test_a_new_session_does_not_take_over_that_the_card_lied():
    bench = Bench(5, 200)
    verdicts = [Verdict(3000, 0, 0)]
    bench.card.judge = lambda write: verdicts.pop() if verdicts else None
    bench.power_on()
    bench.run_ms(1500)
    assert bench.app.store.counts.verify_errors == 1
    bench.link.control(m.CONTROL_STOP, bench.app.boot)
    bench.link.control(m.CONTROL_START, bench.app.boot)
    bench.run_ms(1500)
    assert bench.app.store.counts.blocks_written and bench.app.store.counts.verify_errors == 0
    assert bench.app.store.fault == faults.NONE


def test_a_session_ends_though_its_card_refuses_every_write():
    """Five searches for the card, one a second, and four bad places each."""
    bench = recording()
    bench.card.judge = lambda write: Verdict(3000, -1, 0)
    bench.app.control(m.CONTROL_STOP)
    bench.run_ms(8000)
    assert not bench.app.is_busy and not bench.app.board.ring.n_waiting()


def test_a_card_that_refuses_to_begin_a_write_is_asked_again():
    bench = recording()
    start, refusals = bench.card.write_start, [True]

    def refuse(sector, view):
        if refusals:
            refusals.pop()
            raise OSError("busy")
        start(sector, view)

    bench.card.write_start = refuse
    before = bench.app.store.counts.blocks_written
    bench.run_ms(1500)
    store = bench.app.store
    assert (
        store.counts.write_errors,
        store.counts.write_retries,
        store.counts.places_skipped,
    ) == (
        1,
        1,
        0,
    )
    assert store.counts.blocks_written > before + 3


@pytest.mark.parametrize("power", range(13, 18))
def test_a_block_that_is_also_a_power_of_two_below_its_place_tells_a_fake_card(power):
    sector = 200_000
    read = []
    extent = SimpleNamespace(
        sector_of=lambda position: sector,
        starts_like=lambda at, view: read.append(at) or at == sector - (1 << power),
    )
    assert is_aliased(extent, 0, b"") and read[-1] == sector - (1 << power)


def test_a_block_at_a_power_of_two_that_is_also_at_the_start_tells_a_fake_card():
    extent = SimpleNamespace(
        sector_of=lambda position: 1 << 15, starts_like=lambda at, view: at == 0
    )
    assert is_aliased(extent, 0, b"")


def test_a_full_ring_stays_full_while_it_goes_round():
    bench = recording(24, 20_000, when_full="overwrite")
    store = bench.app.store
    assert store.counts.blocks_written > 60
    assert store.places.n_used == store.extent.n == 24 and store.places.n_free == 0
    bench.run_ms(1000)
    assert store.places.n_used == 24 and store.places.tail in (
        store.places.next_position,
        store.places.next_position + 1,
    )


def test_blocks_say_whether_they_are_the_first_and_whether_they_are_full():
    bench = Bench(5, 400, {"flush_ms": 400})
    bench.traffic.rate_Hz = 100
    bench.power_on()
    bench.run_ms(4000)
    blocks = [parse_block(write.data) for write in bench.card.journal]
    assert {block.n_records == 252 for block in blocks} == {True, False}
    for index, block in enumerate(blocks):
        assert bool(block.flags & FLAG_FIRST) == (index == 0)
        assert bool(block.flags & FLAG_PARTIAL) == (block.n_records < 252)
        assert not block.flags & FLAG_LAST


def test_a_write_that_does_not_end_is_aborted_and_tried_again():
    bench = recording()
    slow = [True]
    bench.card.judge = lambda write: Verdict(10**9) if slow and slow.pop() else None
    n = len(bench.card.journal)
    bench.run_ms(9000)
    assert bench.app.store.is_writing and bench.app.fault == faults.CARD_STALL
    bench.run_ms(3000)
    assert bench.card.journal[n].result == ERROR_TIMEOUT
    store = bench.app.store
    assert (
        store.counts.write_errors == 1
        and store.counts.write_retries == 1
        and store.counts.places_skipped == 0
    )
    assert places_written(bench, n)[0] == places_written(bench, n)[1]
    assert store.write.worst_us >= 10_000_000 and bench.app.fault != faults.CARD_STALL


def test_a_stretch_of_bad_places_is_left_behind_once():
    """The ring is full: what is stepped over is no longer in use, and the next search for the card
    goes on where the last block went.
    """
    bench = recording(60, 25_000, when_full="overwrite")
    store = bench.app.store
    failing = True
    bench.card.judge = lambda write: Verdict(3000, -1, 0) if failing else None
    while not store.counts.places_skipped:
        bench.run_ms(1)
    while store.extent is not None:
        bench.run_ms(1)
    assert store.counts.places_skipped == 4
    failing = False
    n = len(bench.card.journal)
    bench.run_ms(2500)
    assert places_written(bench, n)[0] % 16 == 0
    assert store.places.n_used == 60 and store.places.tail == store.places.next_position
    assert len(bench.link.list_sessions()) == 1
    bench.card.present = False
    bench.run_ms(500)
    bench.card.present = True
    bench.run_ms(3000)
    places = places_written(bench, n)
    assert all((b - a) % 60 <= 1 for a, b in itertools.pairwise(places))


def test_a_bad_stretch_before_the_oldest_block_costs_no_more_than_it_covers():
    bench = recording(60, 100, when_full="overwrite")
    store = bench.app.store
    while store.places.n_used < 57:
        bench.run_ms(10)
    failing = True
    bench.card.judge = lambda write: Verdict(3000, -1, 0) if failing else None
    while store.extent is not None:
        bench.run_ms(1)
    failing = False
    bench.run_ms(1500)
    assert store.places.n_used == 60 and store.places.tail == store.places.next_position


def test_a_bad_stretch_at_the_end_of_a_card_is_tried_again():
    """Nothing lies beyond it: the places before the end are all that is left."""
    bench = recording(40, 100)
    store = bench.app.store
    while store.places.n_used < 33:
        bench.run_ms(10)
    failing = True
    bench.card.judge = lambda write: Verdict(3000, -1, 0) if failing else None
    while store.extent is not None:
        bench.run_ms(1)
    failing = False
    before = store.counts.blocks_written
    bench.run_ms(2500)
    assert store.counts.blocks_written > before and store.places.n_used > 33


def test_a_release_mark_that_did_not_land_erases_nothing():
    bench = recording(100)
    bench.link.control(m.CONTROL_STOP, bench.app.boot)
    bench.link.control(m.CONTROL_START, bench.app.boot)
    bench.run_ms(1500)
    marks = {
        bench.layout.sector(bench.layout.release_a),
        bench.layout.sector(bench.layout.release_b),
    }
    bench.card.judge = lambda write: Verdict(3000, 0, 0) if write.sector in marks else None
    assert not erase_oldest(bench)
    store = bench.app.store
    assert store.counts.verify_errors == 3 and bench.app.fault
    bench.run_ms(3000)
    assert bench.app.fault == faults.CARD_LIES
    assert len(bench.link.list_sessions()) == 2 and store.extent.released_seq == 0
    bench.card.judge = None
    assert erase_oldest(bench)
    bench.run_ms(500)
    assert len(bench.link.list_sessions()) == 1 and store.extent.released_seq > 1
    assert store.places.n_used == store.extent.distance(
        store.places.tail, store.places.next_position
    )
