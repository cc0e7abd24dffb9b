"""Differentials by their losses, against numbers worked out by hand.

Signal 0 and 1 are the oils (0.01 degC), 2 and 3 the slips (0.01 km/h), 4 the output torque (Nm), 5
the air (0.01 degC), 6 every wheel (0.01 km/h). The model moves once a second, at ticks 95, 195..
Its losses change with its own temperature by less than 500 micro-degrees in these seconds.
"""

import pytest
from hand_table import MISSING, Car

from slog import events as ev
from slog import signal_table as st

ROLES = {
    st.DIFF: 0,
    st.DIFF + 1: 1,
    st.SLIP: 2,
    st.SLIP + 1: 3,
    st.OUT_TORQUE: 4,
    st.AMBIENT: 5,
    **dict.fromkeys(range(st.WHEEL, st.WHEEL + 4), 6),
}
SIGNED = {2: {"kind": st.S16, "signed": 1, "low": -32000, "high": 32000}}
SIGNED[4] = SIGNED[3] = SIGNED[2]
HEAT = {
    "mesh": 0,
    "churn": 0,
    "radius_mm": 500,
    "residual": 1000,
    "hold_s": 30,
    "settle_s": 1 << 30,  # the model does not follow
    "capacity0": 20000,
    "capacity1": 20000,
    "still0": 10000,
    "still1": 10000,
    "warning0": 12000,
    "warning1": 12000,
    "share0": 1024,
    "share1": 512,
}
AIR = tuple(range(0, 61_000, 1000))  # v^0.8 made v: by whole m/s, in 1/1000


def car_of(oil=5000, ambient=5000, **rows):
    """Model set from the oil; the first second is over at tick 95."""
    car = Car(7, roles=ROLES, signals=SIGNED, heat={**HEAT, **rows}, air=AIR)
    car.drive(1.1, s0=oil, s1=oil, s5=ambient)
    return car


def degC(car, axle=0):
    """Return the model's temperature in micro-degrees."""
    return car.events.diffs._micro[axle]


def about(micro_degC):
    return pytest.approx(micro_degC, abs=500)


def test_the_model_begins_with_what_is_measured():
    assert degC(car_of(oil=5123)) == 51_230_000


def test_a_hot_oil_in_cold_air_cools_by_its_losses():
    """10 W/K x (90 - 40) K = 500 W; by 20 kJ/K: 0.025 K a second."""
    car = car_of(oil=9000, ambient=4000)
    car.drive(2)
    assert degC(car) == about(90_000_000 - 2 * 25_000)


def test_air_is_25_degC_where_nothing_says_it():
    """10 W/K x 65 K / 20 kJ/K."""
    car = car_of(oil=9000, ambient=MISSING)
    car.drive(1)
    assert degC(car) == about(90_000_000 - 32_500)


def test_losses_grow_with_the_speed():
    """36 km/h are 10 m/s: (10 + 2 x 10) W/K x 50 K = 1,500 W, 0.075 K/s. The speed is the mean of
    the ten steps before.
    """
    car = car_of(oil=9000, ambient=4000, moving0=2000)
    car.drive(1, s6=3600)
    before = degC(car)
    car.drive(1)
    assert degC(car) == about(before - 75_000)


def test_speed_beyond_the_table_is_its_end():
    car = car_of(oil=9000, ambient=4000, moving0=2000)
    car.drive(1, s6=30000)  # 83 m/s; 60 is the last: 130 W/K x 50 K / 20 kJ/K, then 49.675 K
    car.drive(1)
    assert degC(car) == about(90_000_000 - 325_000 - 322_888)


def test_mesh_losses_are_a_share_of_the_axles_power():
    """1,000 Nm, 36 km/h at 0.5 m: 20 rad/s. Front: 1,000 x 20 x 2 % = 400 W, 0.02 K/s; the rear
    has half of the torque. omega in whole 0.01 rad/s: 3600 x 2778 // 5000 = 2000.
    """
    car = car_of(mesh=20)
    car.drive(1, s4=1000, s6=3600)
    before = degC(car), degC(car, 1)
    car.drive(1)
    assert (degC(car) - before[0], degC(car, 1) - before[1]) == (about(20_000), about(10_000))


def test_torque_backwards_heats_as_well():
    car = car_of(mesh=20)
    car.drive(1, s4=-1000, s6=3600)
    before = degC(car)
    car.drive(1)
    assert degC(car) == about(before + 20_000)


def test_churning_grows_with_the_square_of_the_speed():
    """20 rad/s: 200 tenths; 200^2 x churn >> 20 with churn 26,214 (0.025): 999 W, 0.04995 K/s."""
    car = car_of(churn=26_214)
    car.drive(1, s6=3600)
    before = degC(car)
    car.drive(1)
    assert degC(car) == about(before + 999 * 1000 // 20)
    before = degC(car)
    car.drive(1, s6=7200)
    before = degC(car)
    car.drive(1)  # 400^2: 3,999 W
    assert degC(car) == about(before + 3999 * 1000 // 20)


@pytest.mark.parametrize("slip", [3600, -3600])
def test_a_locking_differential_heats_by_half_of_its_slip(slip):
    """Preload 100 Nm and 30 % of 1,000 Nm: 400 Nm. 36 km/h of slip are 20 rad/s: 400 x 20 / 2."""
    car = car_of(preload0=100, lock0=300, preload1=50, lock1=200)
    car.drive(1, s2=slip, s3=0, s4=1000)
    before = degC(car), degC(car, 1)
    car.drive(1)
    assert degC(car) == about(before[0] + 4000 * 1000 // 20)
    assert degC(car, 1) == about(before[1])
    car.drive(1, s2=0, s3=slip)  # rear: 50 + 20 % of 500 = 150 Nm
    before = degC(car), degC(car, 1)
    car.drive(1)
    assert degC(car) == about(before[0])
    assert degC(car, 1) == about(before[1] + 1500 * 1000 // 20)


def test_the_model_follows_what_is_measured_slowly():
    """10 K apart, settle_s 100: 0.1 K in the first second."""
    car = car_of(settle_s=100)
    car.drive(1, s0=6000)
    before = degC(car)
    car.drive(1)
    assert degC(car) == about(before + (60_000_000 - before) // 100)


def test_more_than_10_K_above_the_model_for_30_s_is_reported_and_so_is_its_end():
    """10.01 K above from frame 11 on is read by the second that ends at tick 195; the thirtieth
    ends at 3095. It is over under half of it, 4.99 K, for 30 s.
    """
    car = car_of()
    car.drive(60, s1=6001)
    assert [(e.tick, e.state, e.value, e.extra) for e in car.said if e.code == ev.DIFF_MODEL] == [
        (3095, ev.ON, 1001, 1)
    ]
    assert car.events.diffs.residual == [0, 1001]
    car.drive(60, s1=5500)
    assert len(car.of(ev.DIFF_MODEL)) == 1
    car.drive(40, s1=5499)
    said = [(e.state, e.value, e.extra) for e in car.said if e.code == ev.DIFF_MODEL]
    assert said == [(ev.ON, 1001, 1), (ev.OFF, 499, 1)]


def test_a_residual_of_just_30_s_is_over_30_s_later():
    """Frames 11 to 310: the thirtieth second ends at tick 3095, the first without at 3195."""
    car = car_of()
    car.drive(30, s1=6001)
    car.drive(40, s1=5000)
    assert [(tick, state) for tick, state, _ in car.of(ev.DIFF_MODEL)] == [
        (3095, ev.ON),
        (3095 + 30 * 100, ev.OFF),
    ]


def test_10_K_are_not_more_than_10_K_and_a_moment_is_no_residual():
    car = car_of()
    car.drive(60, s0=6000)
    assert car.of(ev.DIFF_MODEL) == []
    for _ in range(4):
        car.drive(29, s0=6100)
        car.drive(2, s0=5000)
    assert car.of(ev.DIFF_MODEL) == []


def test_a_sensor_that_is_missing_starts_the_model_again():
    car = car_of()
    car.drive(20, s0=6100)
    car.drive(2, s0=MISSING)
    car.drive(60, s0=6100)
    assert car.of(ev.DIFF_MODEL) == [] and degC(car) > 60_000_000


def test_seconds_below_the_limit_begin_anew_after_a_gap_of_the_sensor():
    """The residual is on from 30 s of 10.01 K. Then 20 s at nothing, a gap of 5 s that starts the
    model again, and 25 s: each is less than hold_s, the sum is not. 10 s later 30 s are over.
    """
    car = car_of()
    car.drive(40, s0=6001)
    car.drive(20, s0=5000)
    car.drive(5, s0=MISSING)
    car.drive(25, s0=5000)
    assert car.states(ev.DIFF_MODEL) == [ev.ON]
    car.drive(10)
    assert car.states(ev.DIFF_MODEL) == [ev.ON, ev.OFF]


def test_highest_and_seconds_above_the_warning():
    car = car_of()
    car.drive(3, s0=12000, s1=12001)
    car.drive(2, s0=7000, s1=7000)
    diffs = car.events.diffs
    assert diffs.max == [12000, 12001] and diffs.over_s == [0, 3]


def test_a_pause_starts_the_model_from_what_is_measured():
    car = car_of()
    car.pause(3600)
    car.drive(2.2, s0=9000, s1=9000)
    assert degC(car) == about(90_000_000 - 20_000)  # 10 W/K x 40 K / 20 kJ/K: one second since
