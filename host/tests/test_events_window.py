"""Car and laptop are compared only where both saw the same frames."""

import pytest

from slog import events as ev
from stagelog.ending import STOPPED, End
from stagelog.events import Detected, Disagreement, compare_events, find_window
from stagelog.ledger import AWAY, BLOCK, BUS_IS_OFF, CARD, CONTROLLER, HEAD, RING_FULL, Gap, Ledger

S = 1_000_000


def ledger_with(*gaps, breaks=()):
    return Ledger("x", (), gaps, tuple(breaks), 9, 0, End(STOPPED), 250)


def event(t_s, value=0, code=ev.STUCK):
    return Detected(int(t_s * S), code, ev.ON, value, 0)


@pytest.mark.parametrize("cause", [BLOCK, CARD, RING_FULL])
def test_the_window_ends_at_the_first_hole(cause):
    holes = [Gap(0, 30 * S, 31 * S, 5, True, cause), Gap(0, 20 * S, 21 * S, 5, True, cause)]
    window = find_window(ledger_with(*holes), [])
    assert window.end_us == 20 * S and "20.000 s after power-on" in window.why


def test_nothing_can_be_compared_where_the_start_is_missing():
    window = find_window(ledger_with(Gap(0, None, 9 * S, 5, True, HEAD)), [])
    assert window.end_us == 0 and not window.holds(event(0))


@pytest.mark.parametrize("cause", [CONTROLLER, AWAY, BUS_IS_OFF])
def test_frames_that_neither_side_saw_end_no_window(cause):
    window = find_window(ledger_with(Gap(0, 20 * S, 21 * S, None, False, cause)), [])
    assert window.end_us is None and window.holds(event(99)) and not window.why


def test_a_window_ends_with_the_last_event_before_the_car_skipped_frames():
    said = [event(3), event(7), event(9, 40, ev.SKIPPED), event(11)]
    assert find_window(ledger_with(), said).end_us == 7 * S
    assert find_window(ledger_with(), said[2:]).end_us == 0


def test_counters_that_contradict_the_records_leave_nothing_to_compare():
    assert find_window(ledger_with(breaks=["block 3: no"]), [event(5)]).end_us == 0


def test_disagreements_count_inside_the_window_only():
    """The hole is at 20 s; what came in the last second before it may lie in it on one side."""
    window = find_window(ledger_with(Gap(0, 20 * S, 21 * S, 5, True, BLOCK)), [])
    early, late, border = event(10, 1), event(25, 2), event(19.5, 3)
    assert compare_events([late], [], window=window) == []
    assert compare_events([], [late], window=window) == []
    assert compare_events([border], [], window=window) == []
    assert compare_events([early], [], window=window) == [Disagreement("car only", early, None)]
    assert compare_events([], [early], window=window) == [Disagreement("host only", None, early)]
    assert len(compare_events([early, late], [], window=None)) == 2


@pytest.mark.parametrize(("lag_s", "n_late"), [(0, 0), (0.4, 0), (1, 0), (1.1, 1), (-0.4, 1)])
def test_the_car_lags_behind_the_host_and_never_leads(lag_s, n_late):
    """A record of the car may come up to 1 s after the frame that the host sees, not before it."""
    found = compare_events([event(30 + lag_s)], [event(30)])
    assert [one.what for one in found] == ["late"] * n_late


def test_what_the_host_finds_up_to_the_last_event_of_the_car_counts():
    """The car's log ends at 30 s: an event at 30 s counts, one at 31 s does not."""
    early, last, behind = event(10), event(30, 2), event(31, 3)
    found = compare_events([early], [early, last, behind], until_us=30 * S)
    assert found == [Disagreement("host only", None, last)]
