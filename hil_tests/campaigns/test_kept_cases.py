"""Every violation that a campaign found, kept as the smallest case that shows it. Each is fixed in
the firmware.
"""

from campaigns.engine.bench import DEVICE_ID, Bench
from campaigns.engine.journal import BAD, Verdict
from campaigns.engine.power_cut.scenarios import erase_oldest, fill
from campaigns.engine.reader import frames_of, parse_block
from slog import faults
from slog import messages as m


def booted(n_places=200, run_ms=2000, **settings):
    bench = Bench(5, n_places, settings)
    bench.power_on()
    bench.run_ms(run_ms)
    return bench


def blocks_on(bench):
    """Return {place in the ring: Block} of all whole blocks on the card."""
    layout = bench.layout
    found = {}
    for position in range(layout.first, layout.end):
        at = layout.sector(position)
        sectors = [bench.card.sectors.get(at + i, bytes(512)) for i in range(8)]
        if BAD not in sectors:
            block = parse_block(b"".join(sectors), position)
            if block is not None:
                found[position - layout.first] = block
    return found


def damage(bench, place, content=b"\xff" * 512, n_sectors=8):
    at = bench.layout.sector(bench.layout.first + place)
    bench.card.sectors.update(dict.fromkeys(range(at, at + n_sectors), content))


def all_frames(bench):
    return [
        frame
        for write in bench.card.journal
        if write.landed and (block := parse_block(write.data))
        for frame in frames_of(write.data, block)
    ]


def test_one_unreadable_sector_does_not_cost_the_card():
    """L14: mounting failed with 'no card' for ever when any sector that recovery reads could
    not be read.
    """
    bench = booted()
    bench.power_cut()
    damage(bench, 3, BAD, 1)
    bench.power_on()
    assert bench.app.store.extent is not None
    assert bench.app.store.next_seq == max(b.seq for b in blocks_on(bench).values()) + 1


def test_a_card_pulled_while_mounting_is_not_an_empty_card():
    """L1: if unreadable places counted as empty without a check of the signature, a loose card
    would be overwritten.
    """
    bench = booted()
    bench.power_cut()
    n_reads = 0

    def loosen(sector, data):
        nonlocal n_reads
        n_reads += 1
        if n_reads > 20:
            raise OSError("no contact")
        return data

    bench.card.on_read = loosen
    bench.power_on()
    assert bench.app.store.extent is None
    assert bench.app.store.fault == faults.CARD_ABSENT


def test_second_signature_serves_when_the_first_is_lost():
    """L14: the copy of the signature was never read."""
    bench = booted()
    bench.power_cut()
    bench.card.sectors[bench.layout.sector(0)] = bytes(512)
    bench.power_on()
    assert bench.app.store.extent is not None


def test_damaged_first_block_does_not_hide_a_short_log():
    """L1: on a large ring only sampled places were read; a short first session behind a bad
    block was overwritten.
    """
    bench = booted(3000, 3000)
    bench.power_cut()
    kept = blocks_on(bench)
    damage(bench, 0)
    bench.power_on()
    bench.run_ms(3000)
    assert all(blocks_on(bench).get(place) == kept[place] for place in kept if place)


def test_last_places_of_a_fresh_ring_are_used():
    """L12: with the head within 64 places of the end of a ring never filled, the card counted as
    full.
    """
    bench = booted(60, 3000, when_full="stop")
    bench.power_cut()
    bench.power_on()
    assert bench.app.store.places.n_used == len(blocks_on(bench)) < 30


def test_hole_of_64_places_after_the_head_does_not_hide_older_sessions():
    """L6: where the ring had gone round, an erase group lost behind the head made all older blocks
    free places.
    """
    bench = Bench(5, 400, {"when_full": "overwrite"})
    bench.prepared = {}
    fill(bench, 500)
    for place in range(96, 96 + 80):
        damage(bench, place)
    bench.power_on()
    assert bench.app.store.places.n_used == 400


def test_garbage_in_the_boot_counter_of_a_torn_block_is_not_believed():
    """L7: the counter was taken from the newest header without its CRC; 0xFFFFFFFF stopped the
    logger for good.
    """
    bench = booted()
    bench.power_cut()
    place = max(blocks_on(bench))
    at = bench.layout.sector(bench.layout.first + place)
    sector = bytearray(bench.card.sectors[at])
    sector[12:16] = b"\xff\xff\xff\xff"
    bench.card.sectors[at] = bytes(sector)
    bench.power_on()
    bench.run_ms(2000)
    assert max(block.boot for block in blocks_on(bench).values()) == 2


def test_a_block_that_landed_before_the_card_was_gone_is_not_stored_twice():
    """L3: after a loose contact the block in flight got a new number, and its frames were there
    twice.
    """
    bench = booted()
    while not bench.app.store.is_writing:
        bench.run_ms(1)
    write = bench.card.journal[-1]
    bench.card.present = False
    bench.run_ms(50)
    for index in range(8):
        bench.card.sectors[write.sector + index] = write.data[512 * index : 512 * index + 512]
    bench.card.present = True
    bench.run_ms(3000)
    numbers = [block.seq for block in blocks_on(bench).values()]
    assert len(numbers) == max(numbers)
    stored = [block.stored for block in blocks_on(bench).values()]
    assert len(stored) == len(set(stored))


def test_block_behind_a_skipped_place_is_not_overwritten():
    """L1: a block written again behind a bad place has the number of the first try; recovery
    stopped at the first.
    """
    bench = booted(60)
    bad = bench.app.store.places.next_position
    bench.card.judge = lambda write: (
        Verdict(3000, -1, 0xFF) if write.sector == bench.layout.sector(bad) else None
    )
    while bad + 1 - bench.layout.first not in blocks_on(bench):
        bench.run_ms(1)
    bench.run_ms(1)
    bench.power_cut()
    bench.power_on()
    assert bench.app.store.places.next_position == bad + 2


def test_a_worn_erase_group_does_not_end_the_recording():
    """L11: after four bad places in a row the store came back to the same four places for ever."""
    bench = booted(400)
    start = bench.layout.first + 16 * (1 + len(blocks_on(bench)) // 16)
    bad = range(bench.layout.sector(start), bench.layout.sector(start + 40))
    bench.card.judge = lambda write: Verdict(3000, -1, 0) if write.sector in bad else None
    bench.run_ms(20_000)
    assert max(blocks_on(bench)) > start + 40 - bench.layout.first
    assert bench.link.status().slots_skipped >= 8
    bench.power_cut()
    bench.power_on()
    assert bench.app.store.next_seq == max(b.seq for b in blocks_on(bench).values()) + 1


def test_release_mark_never_goes_to_another_card():
    """L9: a mark that waited while the card was changed was written to that sector of the new
    card.
    """
    bench = booted(run_ms=1000)
    boot = bench.app.boot
    bench.link.control(m.CONTROL_STOP, boot)
    bench.link.control(m.CONTROL_START, boot)
    bench.run_ms(1000)
    store = bench.app.store
    store.request_release(3, bench.layout.first + 2)
    bench.run_ms(2)
    assert store.is_writing
    bench.card.present = False
    bench.run_ms(100)
    bench.card.sectors.clear()
    other = bytearray(bench.layout.signature())
    bench.card.present = True
    n_writes = len(bench.card.journal)
    bench.card.sectors[bench.layout.sector(0)] = bytes(other)
    bench.run_ms(3000)
    marks = (bench.layout.release_a, bench.layout.release_b)
    sent = {bench.layout.position(write.sector)[0] for write in bench.card.journal[n_writes:]}
    assert not sent.intersection(marks)


def test_log_goes_on_where_the_erased_one_ended_though_its_last_blocks_were_lost():
    """L12: blocks lost before the mark put the tail ahead of the head; after three blocks the card
    counted as full.
    """
    bench = booted(60, 3000, when_full="stop")
    boot = bench.app.boot
    bench.link.control(m.CONTROL_STOP, boot)
    lost = sorted(blocks_on(bench))[-3:]
    newest = bench.app.store.next_seq
    bench.app.store.request_release(newest, bench.app.store.places.next_position)
    bench.run_ms(20)
    bench.power_cut()
    for place in lost:
        damage(bench, place)
    for _ in range(2):
        bench.power_on()
        bench.run_ms(2000)
        n_stored = sum(block.seq >= newest for block in blocks_on(bench).values())
        assert bench.app.store.places.n_used == n_stored
        assert not bench.app.store.places.is_full
        bench.power_cut()


def test_a_read_error_in_verification_costs_a_retry_not_the_card():
    """L11: one bit error while reading back counted as a card that is gone, a second without
    storing.
    """
    bench = Bench(5, 200)
    failed = []

    def fail_once(sector, data):
        if bench.card.journal and not failed:
            failed.append(sector)
            raise OSError("bit error")
        return data

    bench.card.on_read = fail_once
    bench.power_on()
    bench.run_ms(1000)
    status = bench.link.status()
    assert failed and status.write_errors == status.write_retries == 1
    assert status.fault == faults.NONE
    assert status.blocks_written >= 3


def test_a_full_card_lets_the_session_end():
    """L12, L5: blocks that no longer fit waited for ever, so the card could not be erased; its
    drops were in no block.
    """
    bench = booted(20, 12_000, when_full="stop")
    status = bench.link.status()
    assert status.fault == faults.CARD_FULL
    boot = bench.app.boot
    assert bench.link.control(m.CONTROL_STOP, boot) == m.STATE_IDLE
    offered = len([frame for frame in bench.lives[0].offered if frame[0] <= 12_000_000])
    last = max(blocks_on(bench).values(), key=lambda block: block.seq)
    assert last.flags & 4
    assert offered <= last.stored[0] + last.dropped[0] <= offered + 60
    assert bench.link.status().stored0 == len(all_frames(bench))
    bench.link.control(m.CONTROL_START, boot)
    assert erase_oldest(bench) or len(bench.link.list_sessions()) == 1


def test_sessions_behind_bad_first_places_are_listed():
    """L6: the first number of such a session came out below zero, and LIST raised in the main
    loop; the id was zeros.
    """
    bench = Bench(5, 60)
    first = bench.layout.sector(bench.layout.first)
    bench.card.judge = lambda write: Verdict(3000, -1, 0) if write.sector < first + 24 else None
    bench.power_on()
    bench.run_ms(2000)
    (session,) = bench.link.list_sessions()
    assert (session.first_seq, session.device_id) == (1, DEVICE_ID)
    assert session.position == bench.layout.first + 3


def test_an_erased_session_leaves_no_block_behind():
    """L17: when the next session begins with a bad place, the mark stopped one block short of the
    erased one's end.
    """
    bench = booted(100, 1500)
    store = bench.app.store
    boot = bench.app.boot
    bench.link.control(m.CONTROL_STOP, boot)
    last = store.next_seq - 1
    bad = bench.layout.sector(store.places.next_position)
    bench.card.judge = lambda write: Verdict(3000, -1, 0) if write.sector == bad else None
    bench.link.control(m.CONTROL_START, boot)
    bench.run_ms(1500)
    assert erase_oldest(bench)
    assert store.extent.released_seq == last + 1


def test_stale_blocks_of_an_earlier_round_do_not_split_the_session_list():
    """L6: a place that fell back to its content of a round ago ended the newest session's entry
    too early.
    """
    bench = Bench(5, 40, {"when_full": "overwrite"})
    fill(bench, 30)
    older = {place: dict(bench.card.sectors) for place in range(2, 18, 2)}
    bench.power_on()
    bench.run_ms(8000)
    bench.power_cut()
    for place, sectors in older.items():
        at = bench.layout.sector(bench.layout.first + place)
        for sector in range(at, at + 8):
            bench.card.sectors[sector] = sectors[sector]
    bench.power_on()
    listed = {session.boot: session for session in bench.link.list_sessions()}
    newest = {place: block for place, block in blocks_on(bench).items() if block.boot == 2}
    session = listed[2]
    places = {
        (session.position - bench.layout.first + step) % 40 for step in range(session.n_blocks)
    }
    assert set(newest) <= places


def test_fake_card_that_writes_over_its_own_signature_is_noticed():
    """L11: a card smaller than it says wrote over its signature and was believed until it met its
    own blocks.
    """
    bench = booted(2000, 500)
    n_before = len(bench.card.journal)
    signature = bench.layout.sector(0)
    bench.card.judge = lambda write: Verdict(
        3000, 0, 0xFF, signature if write.index == n_before else None
    )
    bench.run_ms(30_000)
    assert bench.app.store.counts.verify_errors
    assert bench.link.status().fault == faults.CARD_LIES


def test_a_garbled_number_in_a_torn_header_does_not_move_the_head():
    """L1: a torn header was believed at any distance; a wrong number there led recovery past live
    blocks, which were then overwritten.
    """
    bench = booted(24, 3000)
    bench.power_cut()
    newest = max(blocks_on(bench))
    at = bench.layout.sector(bench.layout.first + newest - 2)
    sector = bytearray(bench.card.sectors[at])
    sector[20:24] = (newest + 20).to_bytes(4, "little")
    bench.card.sectors[at] = bytes(sector)
    bench.power_on()
    assert bench.app.store.places.next_position == bench.layout.first + newest + 1


def test_a_torn_header_is_no_session_of_its_own():
    """L17: a torn header with a garbled identity counted as a session, and the mark that erased
    the one before it stopped a block short.
    """
    bench = booted(100, 1500)
    bench.power_cut()
    newest = max(blocks_on(bench))
    at = bench.layout.sector(bench.layout.first + newest)
    sector = bytearray(bench.card.sectors[at])
    sector[17] ^= 0x55
    bench.card.sectors[at] = bytes(sector)
    bench.power_on()
    bench.run_ms(1000)
    assert [session.boot for session in bench.link.list_sessions()] == [2, 1]


def test_blocks_that_survive_between_two_holes_stay_with_their_session():
    """L6: the search for the start of a session stepped over a short one between lost erase
    groups.
    """
    bench = Bench(5, 3000)
    for _ in range(2):
        bench.power_on()
        bench.run_ms(17_000 if bench.app.boot == 1 else 1500)
        bench.power_cut()
    kept = blocks_on(bench)
    last = max(kept)
    for place in range(64):
        damage(bench, place)
    bench.power_on()
    listed = bench.link.list_sessions()
    for place, block in blocks_on(bench).items():
        if place <= last:
            owner = [
                session.boot
                for session in listed
                if 0 <= place + bench.layout.first - session.position < session.n_blocks
            ]
            assert owner == [block.boot]


def test_a_stale_place_before_a_torn_head_does_not_take_the_boot_counter_back():
    """L7: the last whole place before a torn head may hold a block of the round before, whose boot
    counter was given again.
    """
    bench = Bench(5, 1300, {"when_full": "overwrite"})
    fill(bench, 1300 + 43)
    before = dict(bench.card.sectors)
    for _ in range(2):
        bench.power_on()
        bench.run_ms(1200)
        bench.power_cut()
    head = bench.layout.position(bench.card.journal[-1].sector)[0] - bench.layout.first
    newest = max(block.boot for block in blocks_on(bench).values())
    at = bench.layout.sector(bench.layout.first + head - 1)
    bench.card.sectors.update({sector: before[sector] for sector in range(at, at + 8)})
    torn = bench.layout.sector(bench.layout.first + head)
    sector = bytearray(bench.card.sectors[torn])
    sector[12:16] = b"\xee\xee\xee\xee"
    bench.card.sectors[torn] = bytes(sector)
    bench.power_on()
    assert newest == 3 and bench.app.boot == newest + 1


def test_numbers_that_jump_do_not_hide_the_newest_blocks():
    """L1: a logger that comes from another card numbers on from there; recovery took a number that
    rose by more than the places for none, and the blocks were overwritten after the next boot.
    """
    bench = booted(3000, 2000)
    bench.app.store.next_seq += 1000
    bench.run_ms(1200)
    bench.power_cut()
    kept = blocks_on(bench)
    bench.power_on()
    bench.run_ms(2500)
    assert {place: blocks_on(bench).get(place) for place in kept} == kept


def test_a_card_that_takes_no_write_is_reported_without_a_break_and_lets_the_session_end():
    """L11 nth:new_settings:211: each search for the card cleared the alarm until the next write
    had failed, and a stopped session waited for ever.
    """
    bench = booted(3000)
    bench.card.judge = lambda write: Verdict(1000, -1, 0)
    bench.run_ms(1000)
    bench.link.control(m.CONTROL_STOP, bench.app.boot)
    assert not bench.app._recording and not bench.app._stopping
    reported = set()
    bench.link.control(m.CONTROL_START, bench.app.boot)
    bench.run_ms(1000)
    for _ in range(2000):
        bench.run_ms(1)
        reported.add(bench.app.fault)
    assert reported == {faults.CARD_WRITE}
    bench.card.judge = None
    bench.run_ms(2000)
    assert bench.app.fault == 0 and bench.app.store.counts.blocks_written


def test_a_session_overwritten_after_its_check_takes_no_other_with_it():
    """L17: the host falls silent between the check of the oldest session's digest and the question
    that ends it. A ring of 24 places at ten blocks a second comes round in 2.4 s: after 4 s that
    session is gone. The release mark then erased the session behind it, which was being recorded.
    """
    bench = booted(24, 1000, when_full="overwrite", flush_ms=100)
    boot = bench.app.boot
    bench.link.control(m.CONTROL_STOP, boot)
    bench.run_ms(20)
    bench.link.control(m.CONTROL_START, boot)
    bench.run_ms(300)
    assert len(bench.link.list_sessions()) == 2
    assert not erase_oldest(bench, meanwhile=lambda: bench.run_ms(4000))
    bench.run_ms(300)
    (running,) = bench.link.list_sessions()
    assert running.running and running.n_blocks > 20
