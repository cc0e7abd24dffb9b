"""Store and recovery on a card in memory: round the ring, after power cuts, over bad places."""

import pytest

from logger.extent import Extent, ExtentError
from logger.places import OVERWRITE_OLDEST
from logger.sessions import Sessions
from slog import faults, layout
from slog.layout import ERROR_ABSENT, ERROR_REJECTED, WRITE_BUSY
from stagelog.blocks import read_log
from stagelog.card import prepare_raw
from stagelog.ledger import account


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "prepared.img"
    prepare_raw(path, 40, extent_id=b"01234567")
    return bytearray(path.read_bytes())


@pytest.fixture
def read(tmp_path):
    def call(image, **options):
        path = tmp_path / "card.img"
        path.write_bytes(bytes(image))
        return read_log(path, **options)

    return call


class Logger:
    """One power-on on an image: records blocks of 252 frames, one after the other."""

    def __init__(self, make, image, nonce=1, when_full=None):
        self.made = make.Recorder(image, nonce)
        self.store, self.ring, self.card = self.made.store, self.made.ring, self.made.card
        if when_full is not None:
            self.store.places.when_full = when_full
        self.n = 0

    def mount(self):
        assert self.store.mount(), self.store.fault
        return self

    def record(self, n_blocks, store=True):
        for _ in range(n_blocks):
            for _ in range(layout.RECORDS_PER_BLOCK):
                self.made.frame(self.n * 100, self.n & 0x7FF, 0, 2, (self.n & 0xFFFF).to_bytes(2))
                self.n += 1
            if store:
                self.made.store_all()
        return self


def ids_in(session):
    return session.read_frames()["can_id"].tolist()


def expected_ids(first_block, n_blocks):
    n = layout.RECORDS_PER_BLOCK
    return [i & 0x7FF for i in range(first_block * n, (first_block + n_blocks) * n)]


def test_what_is_stored_is_read(make, image, read):
    logger = Logger(make, image).mount().record(5)
    log = read(image)
    (session,) = log.sessions
    assert ids_in(session) == expected_ids(0, 5) and not log.damaged
    assert (session.boot, session.first_seq, session.nonce) == (1, 1, 1)
    assert logger.store.counts.blocks_written == 5 and logger.store.places.n_used == 5


@pytest.mark.parametrize("n_blocks", [*range(1, 12), 34, 35])
def test_the_next_boot_goes_on_where_the_last_one_ended(make, image, read, n_blocks):
    Logger(make, image, 1).mount().record(n_blocks)
    again = Logger(make, image, 2).mount()
    assert (again.store.boot, again.store.next_seq) == (2, n_blocks + 1)
    assert again.store.places.n_used == n_blocks
    if n_blocks < 34:
        again.record(1)
        first, second = read(image).sessions
        assert ids_in(first) == expected_ids(0, n_blocks)
        assert ids_in(second) == expected_ids(0, 1)
        assert second.first_seq == n_blocks + 1


@pytest.mark.parametrize("n_sectors", range(9))
@pytest.mark.parametrize("n_blocks", [1, 5, 20])
def test_a_write_that_is_cut_short_costs_that_block_only(make, image, read, n_blocks, n_sectors):
    logger = Logger(make, image, 1).mount().record(n_blocks - 1)
    before = bytes(image)
    logger.record(1)
    place = logger.store.extent.after(logger.store.places.next_position, -1)
    at = place * layout.BLOCK_BYTES + n_sectors * layout.SECTOR_BYTES
    end = (place + 1) * layout.BLOCK_BYTES
    image[at:end] = before[at:end]
    n_whole = n_blocks if n_sectors == 8 else n_blocks - 1
    again = Logger(make, image, 2).mount()
    seqs = {session.last_seq for session in read(image).sessions} if n_whole else {0}
    assert again.store.next_seq > max(seqs)
    again.record(2)
    sessions = read(image).sessions
    if n_whole:
        assert ids_in(sessions[0]) == expected_ids(0, n_whole)
        assert account(sessions[0]).complete
    assert ids_in(sessions[-1]) == expected_ids(0, 2) and sessions[-1].nonce == 2


def test_recovery_writes_nothing_and_gives_the_same_twice(make, image):
    Logger(make, image, 1).mount().record(7)
    before = bytes(image)
    found = []
    for _ in range(2):
        store = Logger(make, image, 9).mount().store
        found.append(
            (
                store.places.next_position,
                store.next_seq,
                store.places.tail,
                store.places.n_used,
                store.boot,
            )
        )
    assert found[0] == found[1] and image == before


def test_a_full_card_stops_and_overwrites_nothing(make, image, read):
    logger = Logger(make, image, 1).mount()
    n = logger.store.extent.n
    logger.record(n - 1)
    assert logger.store.places.is_full and logger.store.places.n_free == 0
    before = bytes(image)
    logger.record(2, store=False)
    for _ in range(50):
        logger.store.step()
    assert logger.store.fault == faults.CARD_FULL and image == before
    assert logger.ring.n_waiting() == 2, "blocks were discarded that a host may make room for"
    assert ids_in(read(image).sessions[0]) == expected_ids(0, n - 1)


def test_overwriting_keeps_the_newest(make, image, read):
    logger = Logger(make, image, 1, OVERWRITE_OLDEST).mount()
    n = logger.store.extent.n
    logger.record(n + 10)
    (session,) = read(image).sessions
    assert session.last_seq == n + 10 and session.n_blocks == n
    assert ids_in(session) == expected_ids(10, n)
    ledger = account(session)
    assert ledger.closes and ledger.buses[0].n_missing == 10 * layout.RECORDS_PER_BLOCK
    again = Logger(make, image, 2, OVERWRITE_OLDEST).mount()
    assert (again.store.next_seq, again.store.places.n_used) == (n + 11, n)


def test_an_erase_is_one_write_and_frees_the_places(make, image, read):
    logger = Logger(make, image, 1).mount().record(6)
    store = logger.store
    store.request_release(store.next_seq, store.places.next_position)
    while store.release_waits:
        store.step()
    assert store.places.n_used == 0
    log = read(image)
    assert not log.sessions and log.n_erased == 6
    assert read(image, include_erased=True).sessions[0].n_blocks == 6
    again = Logger(make, image, 2).mount()
    assert again.store.next_seq == 7 and again.store.places.n_used == 0
    again.record(3)
    (session,) = read(image).sessions
    assert session.first_seq == 7 and ids_in(session) == expected_ids(0, 3)


def test_a_torn_release_mark_leaves_everything_as_it_was(make, image, read):
    logger = Logger(make, image, 1).mount().record(6)
    sector, mark = logger.store.extent.make_release(7, logger.store.places.next_position)
    at = sector * layout.SECTOR_BYTES
    image[at : at + 30] = mark[:30]
    assert read(image).sessions[0].n_blocks == 6
    assert Logger(make, image, 2).mount().store.places.n_used == 6


def test_a_place_that_rejects_writes_is_stepped_over(make, image, read):
    logger = Logger(make, image, 1).mount().record(3)
    bad = logger.store.extent.sector_of(logger.store.places.next_position)
    real = logger.card.write_poll

    def poll():
        sector = logger.card._write[0] // layout.SECTOR_BYTES
        return ERROR_REJECTED if sector == bad else real()

    logger.card.write_poll = poll
    logger.record(3)
    store = logger.store
    assert (
        store.counts.places_skipped,
        store.counts.write_errors,
        store.counts.write_retries,
    ) == (
        1,
        3,
        2,
    )
    log = read(image)
    assert ids_in(log.sessions[0]) == expected_ids(0, 6) and not log.damaged
    assert [note.kind for note in log.diagnostics] == ["skipped"]
    assert account(log.sessions[0], log.damaged).closes
    again = Logger(make, image, 2).mount()
    assert again.store.next_seq == 7


def test_a_place_that_cannot_be_read_back_is_stepped_over(make, image, read):
    """The first block of a session is read back: three tries, then the next place."""
    logger = Logger(make, image, 1).mount()
    store, real = logger.store, logger.card.read
    bad = store.extent.sector_of(store.places.next_position)

    def fail(sector, buf):
        if sector == bad:
            raise OSError("a bad sector")
        real(sector, buf)

    logger.card.read = fail
    logger.record(2)
    assert (
        store.counts.places_skipped,
        store.counts.write_errors,
        store.counts.blocks_written,
    ) == (1, 3, 2)
    logger.card.read = real
    assert sum(len(ids_in(x)) for x in read(image).sessions) == 2 * layout.RECORDS_PER_BLOCK


def test_a_write_that_the_card_swallows_is_noticed(make, image):
    logger = Logger(make, image, 1).mount()
    logger.card.write_poll = lambda: 0
    logger.record(1, store=False)
    for _ in range(10):
        logger.store.step()
    assert logger.store.counts.verify_errors and logger.store.counts.blocks_written == 0
    assert logger.store.fault == faults.CARD_LIES


def test_sessions_are_listed_newest_first(make, image, read):
    for nonce, n_blocks in ((1, 4), (2, 1), (3, 9)):
        Logger(make, image, nonce).mount().record(n_blocks)
    logger = Logger(make, image, 4).mount()
    sessions = Sessions(logger.store)
    listed = []
    while (found := sessions.get(len(listed))) is not None:
        listed.append(found)
    assert [(n, seq, nonce) for _, n, seq, _, nonce in listed] == [(9, 6, 3), (1, 5, 2), (4, 1, 1)]
    for (position, n, seq, boot, nonce), session in zip(
        listed, reversed(read(image).sessions), strict=True
    ):
        assert (session.rows[0], session.n_blocks) == (position, n)
        assert (session.first_seq, session.boot, session.nonce) == (seq, boot, nonce)


def test_sessions_that_are_known_are_not_read_again(make, image):
    for nonce, n_blocks in ((1, 4), (2, 9)):
        logger = Logger(make, image, nonce).mount().record(n_blocks)
    sessions = Sessions(logger.store)
    listed = [sessions.get(index) for index in range(3)]
    assert listed[2] is None and [session[3] for session in listed[:2]] == [2, 1]
    logger.card.read = None  # a read would be a TypeError
    assert [sessions.get(index) for index in range(3)] == listed


def test_a_session_that_is_being_overwritten_is_listed_by_what_is_left_of_it(make, image):
    """A ring of n places with 10 blocks of session 1; session 2 grows over them, asked in between
    and anew.
    """
    Logger(make, image, 1, OVERWRITE_OLDEST).mount().record(10)
    logger = Logger(make, image, 2, OVERWRITE_OLDEST).mount()
    n = logger.store.extent.n
    logger.record(n - 15)
    known = Sessions(logger.store)
    for n_left in (10, 7, 1, 0, 0):
        for sessions in (known, Sessions(logger.store)):
            listed = [sessions.get(0), sessions.get(1)]
            rows = [(x[1], x[2], x[4]) for x in listed if x is not None]
            n_second = logger.n // layout.RECORDS_PER_BLOCK
            second = (min(n_second, n), 11 + max(n_second - n, 0), 2)
            assert rows == [second] + [(n_left, 11 - n_left, 1)] * (n_left > 0)
            assert sessions.get(2) is None
        logger.record({10: 8, 7: 6, 1: 1, 0: 3}[n_left])


def test_a_card_that_was_not_prepared_is_refused(make):
    logger = Logger(make, bytearray(40 * layout.BLOCK_BYTES))
    assert not logger.store.mount() and logger.store.fault == faults.CARD_UNPREPARED
    with pytest.raises(ExtentError, match="no signature"):
        Extent(logger.card)


def test_a_write_protected_card_is_told(make, image):
    logger = Logger(make, image)
    logger.card.read_only = True
    assert not logger.store.mount() and logger.store.fault == faults.CARD_READ_ONLY


def until_absent(logger, *results):
    """Let the next writes end with `results` after they landed, the last being ERROR_ABSENT."""
    results, real = list(results), logger.card.write_poll

    def poll():
        landed = real()
        return landed if landed == WRITE_BUSY or not results else results.pop(0)

    logger.card.write_poll = poll
    while logger.store.extent is not None:
        logger.store.step()
    logger.card.write_poll = real


def test_numbers_begin_above_what_was_erased(make, image, read):
    """The mark says 100, as after an erase on another card: lower numbers would be erased ones."""
    store = Logger(make, image, 1).mount().record(6).store
    store.request_release(100, store.places.next_position)
    while store.release_waits:
        store.step()
    again = Logger(make, image, 2).mount()
    assert (again.store.next_seq, again.store.places.n_used) == (100, 0)
    again.record(3)
    (session,) = read(image).sessions
    assert session.first_seq == 100 and ids_in(session) == expected_ids(0, 3)


def test_a_block_that_landed_though_its_card_was_pulled_is_written_again(make, image, read):
    """Its number and its place are used once; three blocks are in use, then four."""
    logger = Logger(make, image, 1).mount().record(3).record(1, store=False)
    store, place = logger.store, logger.store.places.next_position
    until_absent(logger, ERROR_ABSENT)
    logger.mount()
    assert (store.places.next_position, store.next_seq, store.places.n_used) == (place, 4, 3)
    logger.made.store_all()
    assert (store.places.n_used, store.counts.blocks_written, store.next_seq) == (4, 4, 5)
    log = read(image)
    assert ids_in(log.sessions[0]) == expected_ids(0, 4) and not log.damaged
    assert account(log.sessions[0]).closes


def test_a_place_has_its_three_tries_after_the_card_comes_back(make, image):
    logger = Logger(make, image, 1).mount().record(3).record(1, store=False)
    until_absent(logger, ERROR_REJECTED, ERROR_REJECTED, ERROR_ABSENT)
    logger.mount()
    for n_rejected, n_skipped in ((1, 0), (2, 0), (3, 1)):
        n = logger.store.counts.write_errors
        logger.card.write_poll, real = (lambda: ERROR_REJECTED), logger.card.write_poll
        while logger.store.counts.write_errors == n:
            logger.store.step()
        logger.card.write_poll = real
        assert logger.store.counts.places_skipped == n_skipped, n_rejected


@pytest.mark.parametrize("bad", [0, 3, 11, 17, 26, 33])
def test_a_block_left_over_from_an_earlier_round_is_no_session(make, image, bad):
    """A ring that was filled by one session and overwritten by the next, but for a place that can
    no longer be written: a block of the first lies amid the second.
    """
    n = Logger(make, image, 1, OVERWRITE_OLDEST).mount().record(35).store.extent.n
    logger = Logger(make, image, 2, OVERWRITE_OLDEST).mount()
    store, real = logger.store, logger.card.write_poll
    place = store.extent.sector_of(store.extent.first + bad) * layout.SECTOR_BYTES

    def poll():
        return ERROR_REJECTED if logger.card._write[0] == place else real()

    logger.card.write_poll = poll
    logger.record(n + 9)
    assert store.places.n_used == n and store.counts.places_skipped in (1, 2)
    for found in (Sessions(store), Sessions(Logger(make, image, 3, 1).mount().store)):
        assert found.get(0)[3:] == (store.boot, 2) and found.get(1) is None
        assert found.get(0)[1] == n


def test_a_card_whose_signature_is_gone_is_noticed_within_32_blocks(make, image):
    """Formatted or exchanged while the logger ran: the next block that is read back shows it."""
    logger = Logger(make, image, 1).mount().record(30)
    image[: layout.SECTOR_BYTES] = bytes(layout.SECTOR_BYTES)
    logger.record(2)
    assert logger.store.fault == faults.NONE
    logger.record(1, store=False)
    for _ in range(6):
        logger.store.step()
    assert logger.store.fault == faults.CARD_LIES and logger.store.counts.blocks_written == 32
