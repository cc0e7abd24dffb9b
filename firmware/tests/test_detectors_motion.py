"""Speed, distance, engine, gears, flare and stuck: numbers worked out by hand.

Signals 0 to 3 are wheels (0.01 km/h), 4 engine speed, 5 gear, 7 pedal (0.1 %),
8 to 10 accelerations (mg, 10 is vertical), 11 to 14 dampers (0.01 mm). Steps are at ticks 10, 20..
"""

import pytest
from hand_table import MISSING, Car

from detectors import airborne
from slog import events as ev
from slog import signal_table as st

ROLES = {
    **{st.WHEEL + i: i for i in range(4)},
    st.RPM: 4,
    st.GEAR: 5,
    st.PEDAL: 7,
    **{st.ACC_X + i: 8 + i for i in range(3)},
    **{st.DAMPER + i: 11 + i for i in range(4)},
}
SIGNED = {i: {"kind": st.S16, "signed": 1, "low": -32000, "high": 32000} for i in (8, 9, 10)}
PARKED = {"s10": 1000, "s5": 3, **{f"s{i}": 5000 for i in range(11, 15)}}


def car_of(**more):
    car = Car(15, signals=SIGNED, roles=ROLES, **more)
    car.drive(1, **PARKED)
    return car


def wheels(*kmh):
    return {f"s{i}": round(100 * v) for i, v in enumerate(kmh)}


@pytest.mark.parametrize(
    ("speeds", "speed"),
    [
        ((50, 50, 50, 50), 50),
        ((10, 40, 60, 90), 50),
        ((90, 60, 40, 10), 50),
        ((0, 30, 30, 200), 30),
    ],
)
def test_speed_is_the_mean_of_the_middle_two_wheels(speeds, speed):
    car = car_of()
    car.drive(0.5, **wheels(*speeds))
    assert car.events.motion.speed == 100 * speed
    assert car.events.motion.fastest == 100 * max(speeds)


def test_speed_of_three_two_and_no_wheels():
    car = car_of()
    car.drive(0.5, **wheels(30, 40, 80), s3=MISSING)
    assert car.events.motion.speed == 4000  # the middle one
    car.drive(0.5, s2=MISSING)
    assert car.events.motion.speed == 3500  # their mean
    car.drive(0.5, s1=MISSING)
    assert car.events.motion.speed == 3000
    assert car.events.motion.known_speed == 3000
    car.drive(0.5, s0=MISSING)
    assert car.events.motion.speed == 3000  # stays
    assert car.events.motion.known_speed == -1


@pytest.mark.parametrize(
    ("state", "speed"),
    [
        (airborne.GROUND, 9000),
        (airborne.INHIBITED, 9000),
        (airborne.SUSPECT, 5000),
        (airborne.AIRBORNE, 5000),
        (airborne.LANDING, 5000),
    ],
)
def test_wheels_that_may_be_off_the_ground_do_not_change_the_speed(state, speed):
    car = car_of()
    car.drive(1, **wheels(50, 50, 50, 50))
    car.drive(0.3, **wheels(90, 90, 90, 90))
    car.events.motion.speed = 5000
    car.events.flight.state = state
    car.events.motion.step(car.events.flight.is_on_ground())
    assert car.events.motion.speed == speed and car.events.motion.fastest == 9000


def test_distance_is_speed_by_time_and_top_speed_the_highest():
    """36 km/h are 1 m in 0.1 s; wheels sampled at ticks 110.. 600: 50 steps."""
    car = car_of()
    car.drive(5, **wheels(36, 36, 36, 36))
    car.drive(0.1, **wheels(0, 0, 0, 0))
    assert car.events.motion.distance_m == 50
    car.drive(1)
    assert car.events.motion.distance_m == 50
    assert car.events.motion.top_speed == 3600


def test_the_top_speed_is_that_of_the_car_and_not_of_a_wheel():
    car = car_of()
    car.drive(1, **wheels(50, 50, 50, 90))
    assert (car.events.motion.top_speed, car.events.motion.fastest) == (5000, 9000)


def test_distance_below_a_metre_a_step_is_not_lost():
    """9 km/h: 0.25 m a step; 40 steps are 10 m."""
    car = car_of()
    car.drive(4.1, **wheels(9, 9, 9, 9))
    assert car.events.motion.distance_m == 10


def test_engine_and_power_seconds():
    """Power from tick 10 on, engine above 430 only: 430 is standing."""
    car = car_of()
    car.drive(3, s4=430)
    assert car.events.motion.engine_ds == 0
    car.drive(2, s4=431)
    car.drive(0.1)
    assert car.events.motion.engine_ds == 20 and car.events.motion.rpm == 431
    assert car.events.motion.power_ds == 60


def test_shifts_are_changes_between_forward_gears():
    car = car_of()
    for gear in (4, 5, 4, 0, 3):
        car.drive(1, s5=gear)
    car.drive(0.2, s5=MISSING)
    for gear in (4, 3):
        car.drive(1, s5=gear)
    # 3-4, 4-5, 5-4 and at the end 4-3; not to and from neutral, not over "not available"
    assert car.events.motion.n_shifts == 4


STUCK = {"s4": 2000, **wheels(7, 7, 7, 7)}


def test_stuck_is_wheels_that_turn_while_nothing_shakes():
    """7 km/h from frame 10 on, 150 steps from tick 110 on: tick 1600."""
    car = car_of()
    car.drive(20, **STUCK)
    assert car.of(ev.STUCK) == [(1600, ev.ON, 700)]
    assert car.events.motion.stuck
    before = car.events.motion.distance_m
    car.drive(5)
    assert car.events.motion.distance_m == before  # turning wheels are no way
    # 150 steps count down by 5: over at the 30th step without it
    car.drive(2.9, **wheels(0, 0, 0, 0))
    car.drive(0.1)
    assert car.events.motion.stuck
    car.drive(0.1)
    assert car.states(ev.STUCK) == [ev.ON, ev.OFF]


@pytest.mark.parametrize(
    "but",
    [
        wheels(6, 6, 6, 6),  # not faster than 6
        {"s4": 430},
        {"s11": lambda k: 5000 + 40 * (k % 2)},  # 40 a step of four dampers: the mean is 10
        {"s11": MISSING, "s12": lambda k: 5000 + 30 * (k % 2)},  # 30 a step of three: 10 each
        {"s11": MISSING, "s12": MISSING},
    ],
)
def test_what_is_not_stuck(but):
    car = car_of()
    car.drive(30, **{**STUCK, **but})
    assert car.of(ev.STUCK) == []


def test_three_dampers_are_enough_to_see_it():
    car = car_of()
    car.drive(30, **STUCK, s11=MISSING)
    assert car.states(ev.STUCK) == [ev.ON]


def test_dampers_that_move_a_little_do_not_hide_it():
    car = car_of()
    car.drive(30, **STUCK, s11=lambda k: 5000 + 39 * (k % 2))
    assert car.states(ev.STUCK) == [ev.ON]


def test_flare_is_wheels_that_race_ahead_of_the_speed_under_power():
    """Faster than the speed by more than 150 in a step with more than 20 % of pedal."""
    for rise, pedal, flare in ((151, 201, True), (150, 201, False), (151, 200, False)):
        car = Car(15, signals=SIGNED, roles=ROLES)
        car.drive(1, **PARKED, **wheels(30, 30, 30, 30), s7=pedal)
        car.drive(0.1, s3=3000 + rise)
        car.drive(0.1)
        assert car.events.motion.flare is flare, (rise, pedal)


def test_all_wheels_that_race_at_once_are_a_flare():
    """The speed follows them in the same step: they are compared with the one before."""
    car = Car(15, signals=SIGNED, roles=ROLES)
    car.drive(1, **PARKED, **wheels(30, 30, 30, 30), s7=500)
    car.drive(0.2, **wheels(31.6, 31.6, 31.6, 31.6))
    assert car.events.motion.speed == 3160 and car.events.motion.flare is True


def test_a_pause_forgets_what_was_counted():
    car = car_of()
    car.drive(14.5, **STUCK)
    car.pause(3)
    car.drive(10)
    assert car.of(ev.STUCK) == []
    car.drive(6)
    assert car.states(ev.STUCK) == [ev.ON]
