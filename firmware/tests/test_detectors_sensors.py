"""Which signals are believed, against numbers worked out by hand.

A bad sample costs 2, a good one gives 1 back; 10 is a fault, 20 is the most, 0 ends it. Frame k of
`drive` is sampled by signal 0 at tick 10 (k + 1), by signal i at 10 k + i.
"""

import pytest
from hand_table import MISSING, Car

from slog import events as ev
from slog import signal_table as st

SENSOR = ev.SENSOR
WHEELS = dict.fromkeys(range(st.WHEEL, st.WHEEL + 4), 1)


@pytest.mark.parametrize(
    ("raw", "valid"), [(99, 0), (100, 1), (5000, 1), (5001, 0), (0, 0), (MISSING, 0)]
)
def test_plausible_is_from_low_to_high_both_included(raw, valid):
    car = Car(1, signals={0: {"low": 100, "high": 5000}})
    car.drive(0.2, s0=raw)
    assert car.events.sensors.valid[0] == valid
    assert car.events.sensors.last[0] == raw


def test_limits_below_zero():
    car = Car(1, signals={0: {"kind": st.S16, "signed": 1, "low": -200, "high": -100}})
    for raw, valid in ((-201, 0), (-200, 1), (-100, 1), (-99, 0), (100, 0)):
        car.drive(0.2, s0=raw)
        assert car.events.sensors.valid[0] == valid, raw


def test_a_fault_is_five_bad_looks_and_ends_after_as_many_points():
    """Frames 10 to 14 are bad: the fifth sample is tick 150. Score 10, gone after ten good ones:
    frames 15 to 24, tick 250.
    """
    car = Car(1)
    car.drive(1, s0=500)
    car.drive(0.5, s0=MISSING)
    car.drive(5, s0=500)
    assert car.of(SENSOR) == [(150, ev.IMPLAUSIBLE, MISSING), (250, ev.GOOD, 500)]
    assert car.events.sensors.n_faults == 1


def test_four_bad_looks_are_no_fault_but_are_not_valid():
    car = Car(1)
    car.drive(1, s0=500)
    car.drive(0.5, s0=MISSING)  # the fifth is not sampled yet
    assert car.of(SENSOR) == [] and car.events.sensors.valid[0] == 0
    car = Car(1)
    car.drive(1, s0=500)
    car.drive(0.4, s0=MISSING)
    car.drive(0.2, s0=500)
    assert car.of(SENSOR) == [] and car.events.sensors.valid[0] == 1


def test_a_faulty_signal_is_not_valid_until_the_fault_ends():
    """20 is the most: 30 bad samples need 20 good ones, frames 40 to 59, tick 600."""
    car = Car(1)
    car.drive(1, s0=500)
    car.drive(3, s0=MISSING)
    car.drive(2, s0=500)
    assert car.events.sensors.valid[0] == 0  # the twentieth is not sampled yet
    car.drive(0.1)
    assert car.events.sensors.valid[0] == 1
    assert [(t, s) for t, s, _ in car.of(SENSOR)] == [(150, ev.IMPLAUSIBLE), (600, ev.GOOD)]


def test_one_bad_sample_in_three_is_reported():
    """+2 -1 -1: every third bad never becomes a fault; bad, bad, good gains 3 in 3."""
    car = Car(1)
    car.drive(60, s0=lambda k: MISSING if k % 3 == 0 else 500)
    assert car.of(SENSOR) == []
    car = Car(1)
    car.drive(60, s0=lambda k: 500 if k % 3 == 2 else MISSING)
    # scores 2 4 3 5 7 6 8 10: the eighth sample
    assert [(t, s) for t, s, _ in car.of(SENSOR)] == [(80, ev.IMPLAUSIBLE)]


@pytest.mark.parametrize(("step", "valid"), [(50, 1), (51, 0), (-50, 1), (-51, 0)])
def test_a_step_beyond_the_greatest_is_not_believed_once(step, valid):
    car = Car(1, signals={0: {"max_step": 50}})
    car.drive(1, s0=500)
    car.drive(0.1, s0=500 + step)
    car.drive(0.1)
    # two frames of the new value; the first has been sampled
    assert car.events.sensors.valid[0] == valid
    car.drive(0.1)
    assert car.events.sensors.valid[0] == 1  # it stayed there


def test_the_first_value_is_no_step():
    car = Car(1, signals={0: {"max_step": 50}})
    car.drive(0.2, s0=5000)
    assert car.events.sensors.valid[0] == 1


def stuck_car(**more):
    return Car(2, signals={0: {"stuck": 20, **more}}, roles=WHEELS)


def test_stuck_is_the_same_value_for_its_time_while_the_car_drives():
    """Sample 1 is new; samples 2 to 21 count 20; sample 22 is the first bad one, sample 26 the
    fifth.
    """
    car = stuck_car()
    car.drive(10, s0=500, s1=2000)  # 20 km/h: not below stuck_speed
    assert car.of(SENSOR) == [(260, ev.STUCK_VALUE, 500)]
    assert car.events.sensors.fault[0] == ev.STUCK_VALUE


def test_what_stands_still_in_a_slow_car_is_not_stuck():
    car = stuck_car()
    car.drive(20, s0=500, s1=1999)
    assert car.of(SENSOR) == []


def test_a_value_that_moves_once_in_its_time_is_not_stuck():
    car = stuck_car()
    car.drive(20, s0=lambda k: 500 + k // 20 % 2, s1=5000)
    assert car.of(SENSOR) == []


def test_a_sender_at_its_end_may_stand_still():
    for raw, n in ((80, 0), (81, 1), (3919, 1), (3920, 0)):
        car = stuck_car(still_low=80, still_high=3920)
        car.drive(10, s0=raw, s1=5000)
        assert len(car.of(SENSOR)) == n, raw


def test_a_signal_whose_status_is_bad_is_not_valid():
    car = Car(2, signals={0: {"status": 1, "status_good": 3}})
    car.drive(1, s0=500, s1=3)
    assert car.events.sensors.valid[0] == 1
    car.drive(1, s1=2)
    assert car.of(SENSOR) == [(150, ev.STATUS_BAD, 500)]


def test_a_status_counts_from_its_own_frame_on():
    """Signal 1 is sampled at ticks 101, 111.. after frames 10, 11..; its status, signal 0, comes
    in the same frames and has its own turn a tick before them. The fifth sample is tick 141.
    """
    car = Car(2, signals={1: {"status": 0, "status_good": 3}})
    car.drive(1, s0=3, s1=500)
    car.drive(1, s0=2)
    assert car.of(SENSOR, 2) == [(141, ev.STATUS_BAD, 500)]


def test_nothing_is_valid_after_a_pause_until_it_was_looked_at():
    """A frame of another message ends the pause; signal 0 has had no turn since."""
    car = Car(2)
    car.drive(1, s0=500, s1=500)
    assert list(car.events.sensors.valid[:2]) == [1, 1]
    car.pause(3)
    car.frame(car._t_us + 1, 0x7FF, b"")
    assert list(car.events.sensors.valid[:2]) == [0, 0]
    car.drive(0.2)
    assert list(car.events.sensors.valid[:2]) == [1, 1]


def test_a_pause_begins_the_time_of_a_stuck_value_anew():
    """19 samples are not yet stuck. After the pause sample 1 is new, 20 more count, then five are
    bad: the 26th of them.
    """
    car = stuck_car()
    car.drive(2, s0=500, s1=2000)
    car.pause(3)
    n = car.events.watch.tick
    car.drive(10)
    ((tick, state, _),) = car.of(SENSOR)
    assert state == ev.STUCK_VALUE and tick - n in (250, 260, 270)


def test_signals_that_fail_together_are_each_judged_once_in_ten_ticks():
    """All are bad from frame 10 on: signal i is sampled at ticks 100 + i, 110 + i..; signals 0
    and 10 at 110, 120.. The fifth bad sample is the fault.
    """
    car = Car(22)
    car.drive(1, **{f"s{i}": 500 for i in range(22)})
    car.drive(1, **{f"s{i}": MISSING for i in range(22)})
    ticks = {e.code - SENSOR: e.tick for e in car.said if SENSOR <= e.code < ev.MESSAGE}
    assert ticks == {i: 140 + (i % 10 or 10) for i in range(22)}


def test_an_old_value_is_not_valid_and_no_fault():
    """stale_ticks 50: the last frame came after tick 90; at 140 it is 50 old, at 150 stale."""
    car = Car(2)
    car.drive(1, s0=500, s1=1)
    car.drive(0.5, s0=None)
    assert car.events.watch.tick == 140 and car.events.sensors.valid[0] == 1
    car.drive(0.1)
    assert car.events.sensors.valid[0] == 0
    assert car.of(SENSOR, 2) == [] and car.events.sensors.last[0] == 500


def test_a_signal_that_never_came_is_not_valid():
    car = Car(2)
    car.drive(1, s0=None, s1=1)
    assert (car.events.sensors.valid[0], car.events.sensors.valid[1]) == (0, 1)


def test_a_message_that_ends_is_reported_with_its_identifier_and_so_is_its_return():
    """Grace 1 s: watched from tick 100 on. Last frame after tick 190: at 250 it is 60 old."""
    car = Car(2, watch={"grace_s": 1})
    car.drive(2, s0=1, s1=1)
    car.drive(2, s0=None)
    car.drive(1, s0=1)
    assert car.of(ev.MESSAGE, 2) == [(250, ev.STALE, 0x100), (410, ev.GOOD, 0x100)]


def test_a_message_that_never_came_is_reported_after_the_grace():
    car = Car(12, watch={"grace_s": 5})
    car.drive(8, s10=None, s11=None)
    assert car.of(ev.MESSAGE, 12) == [(500, ev.STALE, 0x10A), (501, ev.STALE, 0x10B)]


def test_a_slow_message_that_never_came_is_reported_after_the_grace_as_well():
    """It may be 30 s old; but it was not there at all within 5 s."""
    car = Car(2, watch={"grace_s": 5}, slots={1: {"stale_ticks": 3000}})
    car.drive(8, s1=None)
    assert car.of(ev.MESSAGE, 2) == [(501, ev.STALE, 0x101)]


def test_a_pause_of_the_bus_is_no_end_of_a_message():
    """After it the grace runs again, and nothing is valid before it was seen again."""
    car = Car(2, watch={"grace_s": 1})
    car.drive(3, s0=1, s1=1)
    car.pause(10)
    assert car.of(ev.MESSAGE, 2) == []
    car.drive(0.3, s0=None, s1=1)
    assert car.events.sensors.valid[0] == 0
    car.drive(0.3)
    assert car.of(ev.MESSAGE, 2) == []
    assert car.events.sensors.valid[1] == 1


def test_a_role_without_a_signal_is_not_the_last_signal():
    """No damper, no wheel, no acceleration: signal 1 has nothing to do with any of them."""
    car = Car(2)
    car.drive(5, s0=100, s1=30000)
    events = car.events
    assert events.motion.speed == 0 and events.body.tyres == 1000
    assert list(events.body.force) == [0, 0, 1000]
    assert not events.sensors.valid[-1]


def test_every_signal_has_its_turn_with_the_value_of_its_own():
    car = Car(23)
    car.drive(0.3, **{f"s{i}": 100 + i for i in range(23)})
    assert list(car.events.sensors.last) == [100 + i for i in range(23)]
    assert list(car.events.sensors.valid) == [1] * 23 + [0]


def test_value_of_a_role_has_its_factor_and_offset():
    """0.05 a bit and -60: 2100 x 5 - 6000 in hundredths."""
    car = Car(2, roles={st.AMBIENT: (0, 5, -6000)})
    car.drive(0.5, s0=2100)
    assert car.events.sensors.value(st.AMBIENT) == 4500
    assert car.events.sensors.value(st.GEAR, -7) == -7
