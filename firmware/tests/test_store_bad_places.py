"""Stretches of bad places, and holes that a card leaves: nothing written behind them is lost.

A ring of 2,936 places in groups of 16 (64 KiB); places are counted from the start of the ring. A
logger that fails on four places in a row goes on in the next group, at its next search for the
card. After a power cut recovery reads no further than 1,088 places beyond the newest block that it
sees, so a logger must not write further on than that (960, with room for a group).
"""

import pytest

from logger.extent import Extent
from logger.sessions import Sessions
from logger.store import ERROR_REJECTED, WRITE_BUSY
from slog import faults, layout
from stagelog.blocks import read_log
from stagelog.card import prepare_raw

N_PLACES, FIRST = 3000, 64
PER_BLOCK = layout.RECORDS_PER_BLOCK


@pytest.fixture
def image(tmp_path):
    return prepared(tmp_path, b"01234567")


def prepared(folder, extent_id):
    path = folder / f"{extent_id.decode()}.img"
    prepare_raw(path, N_PLACES, extent_id=extent_id)
    return bytearray(path.read_bytes())


class Logger:
    """One power-on on a card some of whose places reject every write."""

    def __init__(self, make, image, bad=(), nonce=1):
        self.made = make.Recorder(image, nonce)
        self.store = self.made.store
        self.tried = []  # places, in the order of the writes
        sectors = {(FIRST + place) * 8 for place in bad}
        card = self.made.card
        real = card.write_poll

        def poll():
            sector = card._write[0] // layout.SECTOR_BYTES
            self.tried.append(sector // 8 - FIRST)
            return ERROR_REJECTED if sector in sectors else real()

        card.write_poll = poll
        self.n = 0
        assert self.store.mount()

    def record(self, n_blocks, most_looks=100):
        """Record blocks; return after `most_looks` mounts of the card at the latest."""
        for _ in range(n_blocks):
            for _ in range(PER_BLOCK):
                self.made.frame(self.n * 100, self.n & 0x7FF, 0, 2, b"\0\0")
                self.n += 1
            looks = 0
            while self.made.ring.n_waiting() or self.store.is_writing:
                if self.store.extent is None:
                    looks += 1
                    if looks > most_looks:
                        return self
                    clock = self.made.clock
                    clock.set(clock.t_us() + 1_000_000)
                self.store.step()
        return self

    def places(self):
        """Return the places that hold what was recorded, as a fresh mount finds them."""
        extent, store = Extent(self.made.card), self.store
        found = [extent.header(FIRST + place) for place in range(N_PLACES - FIRST)]
        mine = (store.boot, store.nonce)
        return [place for place, header in enumerate(found) if header and header[1:] == mine]


@pytest.mark.parametrize(
    ("n_good", "n_bad", "resumed"),
    [
        (12, 4, 16),  # the fourth bad place is the last of its group: the next one is tried
        (13, 4, 32),  # the fourth is the first of a group, which is left out
        (3, 5, 16),
        (3, 400, 403),  # of the group that begins with 400 three places are bad, not four
        (3, 940, 944),  # the group of 928 to 943 is bad up to 942
    ],
)
def test_a_bad_stretch_is_passed_and_what_lies_behind_it_is_found(
    make, image, tmp_path, n_good, n_bad, resumed
):
    bad = range(n_good, n_good + n_bad)
    logger = Logger(make, image, bad).record(n_good + 20)
    store = logger.store
    assert logger.places() == [*range(n_good), *range(resumed, resumed + 20)]
    assert store.fault == faults.NONE and store.places.n_used == resumed + 20
    # of each group that was tried four places three times, and nothing else was written to
    assert max(logger.tried.count(place) for place in bad) == 3
    failed = {place for place in logger.tried if place in bad}
    assert all(len(failed & set(range(k, k + 16))) <= 4 for k in range(0, resumed, 16))
    (session,) = read_log(write(tmp_path, image)).sessions
    assert session.n_frames == (n_good + 20) * PER_BLOCK
    listed = Sessions(store)
    position, n_places, first_seq, boot, nonce = listed.get(0)
    assert (position, n_places, first_seq, nonce) == (FIRST, resumed + 20, 1, 1)
    assert listed.get(1) is None
    again = Logger(make, image, bad, nonce=2)  # the power was cut
    assert (again.store.next_seq, again.store.boot) == (n_good + 21, boot + 1)
    assert again.store.places.next_position == FIRST + resumed + 20
    again.record(2)
    listed = Sessions(again.store)
    assert [listed.get(k)[1] for k in (0, 1)] == [2, resumed + 20]
    assert sum(s.n_frames for s in read_log(write(tmp_path, image)).sessions) == (
        (n_good + 22) * PER_BLOCK
    )


def write(folder, image):
    path = folder / "card.img"
    path.write_bytes(bytes(image))
    return path


def test_a_stretch_that_recovery_could_not_cross_is_not_crossed(make, image):
    """1,300 bad places: a block behind them would be found by nobody after a power cut, and its
    number given a second time. The logger keeps trying before them, and keeps what waits.
    """
    logger = Logger(make, image, range(3, 1303)).record(4, most_looks=150)
    assert logger.places() == [0, 1, 2] and logger.made.ring.n_waiting() == 1
    assert 900 < max(logger.tried) < 3 + 1088
    assert logger.store.fault == faults.CARD_WRITE
    assert Logger(make, image, nonce=2).store.next_seq == 4


def test_a_stretch_of_one_card_is_forgotten_with_the_next(make, image, tmp_path):
    """The card is exchanged amid its bad places: the new one is written from its start, and its
    fault is not that of the old one.
    """
    logger = Logger(make, image, range(3, 200)).record(4, most_looks=2)
    assert logger.store.extent is None and logger.store.fault == faults.CARD_WRITE
    other = prepared(tmp_path, b"abcdefgh")
    logger.made.card.image = other
    assert logger.store.mount()
    assert (logger.store.fault, logger.store.places.next_position) == (faults.NONE, FIRST)
    assert logger.store.next_seq == 4  # numbers never come twice


def test_a_write_of_more_than_a_second_is_a_stall_until_it_ends(make, image):
    """The SD specification allows 250 ms for a write, SDXC 500 ms."""
    logger = Logger(make, image)
    card, store, clock = logger.made.card, logger.store, logger.made.clock
    real, card.write_poll = card.write_poll, lambda: WRITE_BUSY
    for n in range(PER_BLOCK):
        logger.made.frame(n, n, 0, 2, b"\0\0")
    store.step()
    for t_us, fault in ((900_000, faults.NONE), (1_100_000, faults.CARD_STALL)):
        clock.set(t_us)
        store.step()
        assert store.fault == fault
    card.write_poll = real
    store.step()
    assert (store.fault, store.counts.blocks_written) == (faults.NONE, 1)
    assert store.write.worst_us == 1_100_000


@pytest.fixture(scope="module")
def image_of_1100(make, tmp_path_factory):
    """A card on which 1,100 blocks were recorded; to be copied."""
    image = prepared(tmp_path_factory.mktemp("card"), b"01234567")
    assert Logger(make, image).record(1100).store.next_seq == 1101
    return bytes(image)


@pytest.mark.parametrize("n_lost", [1, 8, 9, 40, 62, 200, 900, 1020])
def test_blocks_behind_a_hole_are_found_after_a_power_cut(make, image_of_1100, n_lost):
    """A card may lose blocks that it had reported as safe: up to a whole erase group of 4 MiB,
    1,024 places. 1,100 blocks are written, the ones before the last 20 are gone.
    """
    image = bytearray(image_of_1100)
    at = (FIRST + 1080 - n_lost) * layout.BLOCK_BYTES
    image[at : at + n_lost * layout.BLOCK_BYTES] = bytes(n_lost * layout.BLOCK_BYTES)
    again = Logger(make, image, nonce=2)
    assert again.store.next_seq == 1101 and again.store.places.next_position == FIRST + 1100
    assert (again.store.places.tail, again.store.places.n_used) == (FIRST, 1100)
    listed = Sessions(again.store)
    assert listed.get(0)[:3] == (FIRST, 1100, 1) and listed.get(1) is None
