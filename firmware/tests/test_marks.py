"""Marks: what a press of the button and a request of the host put into the ring, by hand."""

from types import SimpleNamespace

import pytest

from logger.marks import Marks
from slog import events as ev
from slog.layout import META_EVENT


class Ring:
    """Takes what is put; has place for `n_places` records."""

    def __init__(self, n_places=99):
        self.n_places = n_places
        self.put = []

    def put_meta(self, lo, hi, kind, arg, bus, data):
        if len(self.put) == self.n_places:
            return False
        self.put.append((lo, kind, arg & 0xFFFF, arg >> 16, bytes(data)))
        return True


def board_of(n_places=99, button=True):
    clock = SimpleNamespace(lo=0, hi=0, read=lambda: None)
    board = SimpleNamespace(clock=clock, ring=Ring(n_places), level=1)
    board.button = (lambda: board.level) if button else None
    return board


def pressed_at(levels):
    """Return the times in ms of the marks, when the button has these levels each millisecond."""
    board = board_of()
    marks = Marks(board)
    for ms, level in enumerate(levels):
        board.clock.lo, board.level = 1000 * ms, level
        marks.step()
    return [lo // 1000 for lo, *_ in board.ring.put]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([1] * 50, []),
        # Open until 9 ms, 20 ms later the level has stood long enough: at 29 ms.
        ([1] * 10 + [0] * 100, [29]),
        ([1] * 10 + [0] * 19 + [1] * 50, []),  # 19 ms are a disturbance
        # It bounces at 12 and 15 ms: the 20 ms count from the last time it was open.
        ([1] * 10 + [0, 0, 1, 0, 0, 1] + [0] * 50, [35]),
        # Released at 60 ms for 10 ms only: it bounces, no second press.
        ([1] * 10 + [0] * 50 + [1] * 10 + [0] * 50, [29]),
        # Released for 30 ms, pressed again at 90: open until 89.
        ([1] * 10 + [0] * 50 + [1] * 30 + [0] * 30, [29, 109]),
    ],
)
def test_one_press_is_one_mark_however_it_bounces(levels, expected):
    assert pressed_at(levels) == expected


def test_a_press_before_the_time_wraps_counts():
    """Bits 27..0 of the time go from 268,435,455 us to 0."""
    board = board_of()
    marks = Marks(board)
    for t_us in range(268_435_456 - 5_000, 268_435_456 + 30_000, 1000):
        board.clock.lo = t_us & 0xFFFFFFF
        board.level = int(t_us < 268_435_456 - 2_000)
        marks.step()
    assert len(board.ring.put) == 1


def test_a_board_without_a_button_sets_no_mark():
    board = board_of(button=False)
    Marks(board).step()
    assert board.ring.put == []


def test_a_mark_and_its_text_are_records_one_behind_the_other():
    """ "Big hit, km 40" has 14 bytes: a piece of 8 and one of 6."""
    board = board_of()
    marks = Marks(board)
    assert marks.ask(7, b"Big hit, km 40") == 1
    kinds = [(kind, code, state) for _, kind, code, state, _ in board.ring.put]
    assert kinds == [(META_EVENT, 15, 2), (META_EVENT, 16, 0), (META_EVENT, 16, 1)]
    data = [each[-1] for each in board.ring.put]
    assert data == [bytes([1, 0, 0, 0, 14, 0, 0, 0]), b"Big hit,", b" km 40\0\0"]
    assert (ev.MARK, ev.MARK_TEXT, ev.HOST) == (15, 16, 2)


def test_a_request_that_comes_twice_sets_one_mark():
    board = board_of()
    marks = Marks(board)
    assert [marks.ask(token, b"") for token in (7, 7, 8)] == [1, 1, 2]
    assert len(board.ring.put) == 2
    marks.start()
    assert marks.ask(8, b"") == 1  # of another session


def test_a_mark_that_finds_no_place_is_refused_and_can_be_set_later():
    board = board_of(n_places=0)
    marks = Marks(board)
    assert marks.ask(7, b"") == 0
    board.ring.n_places = 1
    assert marks.ask(7, b"") == 1
