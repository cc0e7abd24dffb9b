"""Places of the card, worked out by hand on a ring of ten places, positions 100 to 109."""

from types import SimpleNamespace

import pytest

from logger.places import OVERWRITE_OLDEST, STOP_WHEN_FULL, Places

FIRST, N = 100, 10


def places_of(tail, n_used, when_full=STOP_WHEN_FULL):
    places = Places(when_full)
    places.extent = SimpleNamespace(
        extent_id=b"01234567",
        first=FIRST,
        n=N,
        after=lambda position, n=1: FIRST + (position - FIRST + n) % N,
        distance=lambda start, end: (end - start) % N,
    )
    places.tail, places.n_used = tail, n_used
    places.next_position = places.extent.after(tail, n_used)
    return places


@pytest.mark.parametrize(
    ("when_full", "n_used", "n_free", "is_full"),
    [
        (STOP_WHEN_FULL, 0, 9, False),  # one is kept for the last block
        (STOP_WHEN_FULL, 8, 1, False),
        (STOP_WHEN_FULL, 9, 0, True),
        (STOP_WHEN_FULL, 10, 0, True),
        (OVERWRITE_OLDEST, 9, 1, False),
        (OVERWRITE_OLDEST, 10, 0, False),
    ],
)
def test_a_card_that_stops_keeps_a_place_for_the_last_block(when_full, n_used, n_free, is_full):
    places = places_of(103, n_used, when_full)
    assert (places.n_free, places.is_full) == (n_free, is_full)
    assert places.has_last == (n_used < 10)


def test_without_a_card_there_is_no_place():
    places = Places(STOP_WHEN_FULL)
    assert places.n_free == 0 and not places.is_full


def test_the_next_place_goes_round_the_ring():
    places = places_of(107, 2)
    places.advance()
    assert (places.tail, places.next_position, places.n_used) == (107, 100, 3)


def test_room_is_made_by_giving_the_oldest_up_and_only_on_a_full_card():
    places = places_of(109, 10, OVERWRITE_OLDEST)
    places.make_room()
    assert (places.tail, places.next_position, places.n_used) == (100, 109, 9)
    places.make_room()
    assert (places.tail, places.n_used) == (100, 9)


def test_what_is_erased_is_free():
    places = places_of(105, 8)  # 105 to 109, 100 to 102; next 103
    places.erase_to(101)
    assert (places.tail, places.n_used) == (101, 2)


def test_a_group_of_bad_places_is_left_out_after_the_next_mount():
    """Groups of 16 from the first place on: of a ring of 40 place 120 is in the second, so the
    third begins at 132. Twelve places ahead, all counted as used.
    """
    places = places_of(100, 20)
    places.extent.n = 40
    places.extent.after = lambda position, n=1: FIRST + (position - FIRST + n) % 40
    places.extent.distance = lambda start, end: (end - start) % 40
    places.next_position = 120
    places.give_up_group()
    assert places.leave_out_stretch()
    assert (places.next_position, places.n_used, places.tail) == (132, 32, 100)


def test_a_stretch_of_another_card_or_without_free_places_is_not_left_out():
    places = places_of(100, 8)  # next 108; the group of 16 ends beyond the ring: 108 + 8 is 106
    places.give_up_group()
    places.extent.extent_id = b"another1"
    assert not places.leave_out_stretch() and places.next_position == 108
    places.extent.extent_id = b"01234567"
    assert places.leave_out_stretch() and places.next_position == 108  # eight ahead, two free
    assert not places.leave_out_stretch()  # forgotten


def test_overwriting_gives_up_the_oldest_blocks_where_a_stretch_is_left_out():
    """Eight ahead and two free: the six oldest go, so the tail is at 106, and all ten are used."""
    places = places_of(100, 8, OVERWRITE_OLDEST)
    places.give_up_group()
    assert places.leave_out_stretch()
    assert (places.next_position, places.tail, places.n_used) == (106, 106, 10)
