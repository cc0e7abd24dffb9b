"""Flights where sensors are missing, stuck or wrong: what is left finds them, and what is not
known is not told. By hand; the car and its signals are those of `hand_flight`.

A signal that is gone is not valid at its next look, within 100 ms, and a fault at its fifth.
"""

import pytest
from hand_flight import AIR, GROUND, car_of, flights, go
from hand_table import MISSING

from detectors import airborne
from slog import events as ev

FAULTY = 0x8000  # no acceleration, no rate: -32768
HIT = {**GROUND, "s2": 2500}
DAMPERS = [f"s{i}" for i in range(3, 7)]
NO_IMU = dict.fromkeys(("s0", "s1", "s2", "s12", "s13", "s14"), FAULTY)
NO_DAMPERS = dict.fromkeys(DAMPERS, MISSING)
NO_WHEELS = dict.fromkeys((f"s{i}" for i in range(7, 11)), MISSING)
HANG = dict.fromkeys(DAMPERS, 0)
STAND = dict.fromkeys(DAMPERS, 8000)


def shaking(k):
    """80 mm, 1 mm up and down: a road."""
    return 8000 + 100 * (k % 2)


def confidence(landed):
    return landed[3] >> ev.CONFIDENCE_SHIFT & 127


def severity(landed):
    return landed[3] >> ev.SEVERITY_SHIFT


def named(car, state=None):
    """Return the signals that were reported as bad, in order."""
    bad = [(code, s) for code in range(16) for _, s, _ in car.of(ev.SENSOR + code)]
    return [code for code, s in bad if (s != ev.GOOD if state is None else s == state)]


def test_without_dampers_the_force_alone_takes_180_ms_and_little_confidence():
    """18 ticks from tick 805 on. The onset: less than 35 since tick 806, 3 before."""
    car = car_of()
    go(car, 3, **NO_DAMPERS)
    go(car, 0.5, s2=0)
    go(car, 1, s2=2500)
    off, landed = flights(car)
    assert (off[0], off[3]) == (805 + 17, 8_030_001)
    assert landed[1:3] == (ev.LANDED, 460)
    assert confidence(landed) == 35 and landed[3] & ev.PEAK_MASK == 257


def test_without_two_dampers_a_flight_may_seem_to_carry_more():
    """The wheels' acceleration is not known: 90 mg for 26 ticks is less than 105, but more than 70
    and 3 for each of at most 8 ticks after the 18th, which is 94 at the last and 90 in the mean
    only if all 26 are below 140: the mean of five ticks takes four of them.
    """
    for gone, n in ((2, 2), (0, 0)):
        car = car_of(confirm=18)
        go(car, 3, **dict.fromkeys(DAMPERS[:gone], MISSING))
        go(car, 0.26, s2=90)
        go(car, 1, s2=2500)
        assert len(flights(car)) == n, gone


def test_without_rates_the_dampers_alone_decide():
    """The IMU's lever arm makes 600 mg of a turn that nothing measures: it is a flight all the
    same. A body that feels nothing above wheels at 80 mm is none. As without forces: 18 ticks from
    tick 801, no peak.
    """
    for air, n in (({"s2": 600, **HANG}, 2), ({"s2": 0}, 0)):
        car = car_of()
        go(car, 3, s12=FAULTY, s13=FAULTY, s14=FAULTY)
        go(car, 0.5, **air)
        go(car, 1, **HIT)
        assert len(flights(car)) == n
        if n:
            off, landed = flights(car)
            assert (off[0], off[3]) == (801 + 17, 8_010_001)
            assert landed[1:3] == (ev.LANDED, 500)
            assert confidence(landed) == 40
            assert severity(landed) == ev.NO_SEVERITY and landed[3] & ev.PEAK_MASK == 0


def test_without_forces_the_dampers_alone_take_180_ms_and_the_landing_has_no_peak():
    """A frame is seen a tick later, without any mean: ticks 801 to 851."""
    car = car_of()
    go(car, 3, **NO_IMU)
    go(car, 0.5, **HANG)
    go(car, 1, **STAND)
    off, landed = flights(car)
    assert (off[0], off[3]) == (801 + 17, 8_010_001)
    assert landed[1:3] == (ev.LANDED, 500)
    assert confidence(landed) == 40
    assert severity(landed) == ev.NO_SEVERITY and landed[3] & ev.PEAK_MASK == 0
    flight = car.events.flight
    assert flight.by_severity == [0] * 4 and flight.n_flights == 1 and flight.peak_cg == 0


def test_the_dampers_alone_have_a_lag_of_their_own():
    """18 ticks from tick 801 on, and 50 ms: 220 ms before tick 818."""
    car = car_of(only_back=50_000)
    go(car, 3, **NO_IMU)
    go(car, 0.5, **HANG)
    assert flights(car) == [(818, ev.TAKEN_OFF, 220 | 60 << 16, 7_960_001)]


@pytest.mark.parametrize(("rebound", "n"), [(4096, 0), (20480, 1)])
def test_without_forces_a_wheel_is_free_where_its_spring_can_only_push_its_damper(rebound, n):
    """From 80.00 mm by 1.00 mm a tick, 200 in two: the spring pushes 250 and 3.1 less each tick;
    a damper of 4096 takes 200 x 4096 >> 14 = 50 of it, one of 20480 takes 250.
    """
    car = car_of(only_confirm=5, **{f"rebound{i}": rebound for i in range(4)})
    go(car, 3, **NO_IMU)
    go(car, 0.2, **dict.fromkeys(DAMPERS, lambda k: 8000 - 100 * k))
    assert len(flights(car)) == n


def test_without_forces_all_wheels_must_hang_at_some_moment():
    """20.00 mm with all four at once; else the wheels have only been light."""
    for mm, state in ((1999, ev.LANDED), (2000, ev.CANCELLED)):
        car = car_of(**{f"rebound{i}": 1 << 20 for i in range(4)})
        go(car, 3, **NO_IMU)
        falling = {"s6": lambda k, mm=mm: mm + 40 - k}
        go(car, 0.41, **{**HANG, **falling})
        go(car, 1, **STAND)
        assert flights(car)[-1][1] == state, mm


def test_two_dampers_that_compress_fast_are_a_landing_without_forces():
    """Faster than 14.00 mm in two ticks on two wheels."""
    for step, state in ((1400, airborne.AIRBORNE), (1401, airborne.LANDING)):
        car = car_of(merge=15)
        go(car, 3, **NO_IMU)
        go(car, 0.3, **HANG)
        go(car, 0.02, s3=step, s4=step)
        assert car.events.flight.state == state, step


def test_a_fault_of_the_imu_in_the_air_leaves_the_peak_unknown():
    """The dampers see the landing; -32768 is neither 20 g nor the peak."""
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 0.3, **NO_IMU)
    go(car, 1, **STAND)
    landed = flights(car)[-1]
    assert landed[1] == ev.LANDED and severity(landed) == ev.NO_SEVERITY
    assert landed[2] == pytest.approx(600, abs=50)


def test_three_bad_forces_are_bridged():
    """The last one goes on; the fourth is a fault of this tick. The signal is not looked at in
    ticks 524 to 527.
    """
    for frames, lost in ((3, False), (4, True)):
        car = car_of()
        go(car, 0.23, **AIR)
        go(car, frames / 100, s2=FAULTY)
        go(car, 0.2, s2=0)
        go(car, 1, **HIT)
        landed = flights(car)[-1]
        assert landed[1] == ev.LANDED
        assert (severity(landed) == ev.NO_SEVERITY) is lost, frames


def test_without_both_nothing_is_found():
    car = car_of()
    go(car, 3, **NO_IMU, **NO_DAMPERS)
    assert car.events.flight.state == airborne.INHIBITED
    go(car, 1, s0=0)
    assert flights(car) == []


def test_a_landing_whose_dampers_go_beyond_their_range_is_not_lost():
    """Without forces, the dampers compress, and read 700 mm from the fourth frame on: landed."""
    car = car_of()
    go(car, 3, **NO_IMU)
    go(car, 0.5, **HANG)
    go(car, 0.03, **dict.fromkeys(DAMPERS, lambda k: 3000 * (k + 1)))
    go(car, 1, **NO_DAMPERS)
    off, landed = flights(car)
    assert landed[1:3] == (ev.LANDED, 500) and severity(landed) == ev.NO_SEVERITY


def test_a_flight_whose_landing_nothing_saw_is_withdrawn():
    car = car_of()
    go(car, 3, **NO_IMU)
    go(car, 0.3, **HANG)
    go(car, 1, **NO_DAMPERS)
    assert [f[1] for f in flights(car)] == [ev.TAKEN_OFF, ev.CANCELLED]
    assert car.events.flight.n_flights == 0


def test_a_force_that_stays_the_same_while_the_dampers_move_is_stuck():
    """50 ticks with 4 x 1 mm in each; the first that moves and is compared is 502: tick 551 is
    the fiftieth, 552 reports all three. Flights are found by the dampers then.
    """
    car = car_of()
    go(car, 1, **dict.fromkeys(DAMPERS, shaking))
    stuck = car.of(ev.SENSOR, 3)
    assert [(t, s) for t, s, _ in stuck] == [(552, ev.STUCK_VALUE)] * 3
    assert not car.events.sensors.valid[2]
    go(car, 0.5, **HANG)
    go(car, 1, **STAND)
    off, landed = flights(car)
    assert landed[1:3] == (ev.LANDED, 500) and severity(landed) == ev.NO_SEVERITY


def test_a_force_that_moves_again_is_believed_two_seconds_later():
    """20 good looks; signal 2 is looked at at ticks 10 k + 2."""
    car = car_of()
    go(car, 1, **dict.fromkeys(DAMPERS, shaking))
    go(car, 4, s2=lambda k: 1000 + k % 3, **dict.fromkeys(DAMPERS, shaking))
    (stuck, good) = car.of(ev.SENSOR + 2)
    assert good[:2] == (802, ev.GOOD)
    assert stuck[0] == 552 and car.events.sensors.valid[2]


def test_rates_that_stay_the_same_are_stuck():
    car = car_of()
    force = {"s2": lambda k: 1000 + k % 3}
    go(car, 1, **force, **dict.fromkeys(DAMPERS, shaking))
    assert named(car, ev.STUCK_VALUE) == [12, 13, 14]


def test_a_force_that_stays_the_same_in_a_long_flight_is_not_stuck():
    """The wheels move for 0.3 s only, then hang."""
    car = car_of()
    go(car, 1.5, s2=20, **dict.fromkeys(DAMPERS, lambda k: max(0, 8000 - 270 * k)))
    go(car, 1, **HIT)
    assert named(car) == []
    assert flights(car)[-1][1] == ev.LANDED


def test_a_flight_is_found_without_wheel_speeds_and_its_speed_is_not_known():
    car = car_of()
    go(car, 3, **NO_WHEELS)
    go(car, 0.5, **AIR)
    go(car, 1, **HIT)
    off, landed = flights(car)
    assert off[2] == 80 | ev.NO_SPEED << 16
    assert landed[1:3] == (ev.LANDED, 460)


def test_garbage_of_a_damper_is_named_and_flights_are_found_all_the_same():
    """Every 50th position is 600 mm: 100 of doubt, and 50 less until the next, so 500 are there
    after ten.
    """
    garbage = {"s5": lambda k: 60000 if k % 50 == 7 else 8000}
    car = car_of(jump=5000)
    go(car, 3, **garbage)
    assert named(car) == []
    go(car, 6, **garbage)
    assert named(car) == [5] and car.events.sensors.valid[5]
    go(car, 0.5, **{**AIR, "s5": lambda k: 60000 if k % 50 == 7 else 0})
    go(car, 1, **HIT)
    assert flights(car)[-1][1:3] == (ev.LANDED, 460)


def test_a_damper_whose_every_tenth_position_is_none_is_not_used():
    car = car_of(jump=5000)
    go(car, 5, s5=lambda k: 60000 if k % 10 == 7 else 8000)
    assert named(car) == [5]
    assert car.events.body.n_dampers == 3
    go(car, 20, s5=8000)
    assert car.of(ev.SENSOR + 5)[-1][1] == ev.GOOD
    assert car.events.body.n_dampers == 4
