"""What the tyres of an ideal car carry by Newton's law, whatever its springs and dampers are.

The car and its signals are those of `hand_flight`. 1 g for n ticks of 10 ms moves a damper by
9.80665 / 2 x 0.01^2 x n^2 m = 49.03 n^2 of 0.01 mm; its second difference over 20 ms of 20 ms is
8 x 49.03 = 392.3. A wheel share of 0.14 makes 140 mg of that: 140 / 392.3 x 4096 = 1462.
"""

import math

import pytest
from hand_flight import AIR, GROUND, car_of, flights, go
from hand_table import MISSING

from slog import events as ev

G = 49.03  # of 0.01 mm: half of 1 g for a tick, squared
SHARE = 0.14
UNSPRUNG = 1462


def dampers(travel):
    return {f"s{i}": travel for i in range(3, 7)}


def test_the_force_shows_as_a_mean_of_five_ticks():
    """Frame 500 is seen at tick 501 and used at tick 502: weights 1 3 4 3 1 of 12."""
    car = car_of()
    seen = []
    for _ in range(8):
        go(car, 0.01, **AIR)
        seen.append(car.events.body.tyres)
    assert seen == [1000, 1000, 916, 666, 333, 83, 0, 0]


@pytest.mark.parametrize("gone", [(), (6,)])
def test_a_body_in_free_fall_above_wheels_that_roll_is_not_in_the_air(gone):
    """The wheels stay on flat ground, the body falls on them: the dampers compress by 1 g, and
    the tyres carry what wheels weigh, 140 of 1000. That is no flight, though no force is felt.
    """
    car = car_of(unsprung=UNSPRUNG)
    go(car, 3, **{f"s{i}": MISSING for i in gone})
    fall = dampers(lambda k: round(1000 + G * k * k))
    for i in gone:
        del fall[f"s{i}"]
    go(car, 0.25, s2=0, **fall)
    assert car.events.body.tyres == pytest.approx(140, abs=4)
    assert flights(car) == []


@pytest.mark.parametrize("tau_s", [0.09, 0.12, 0.16, 0.22, 0.4])
@pytest.mark.parametrize("preload_mm", [10, 30, 60])
def test_a_flight_is_one_whatever_springs_and_dampers_are(tau_s, preload_mm):
    """From 130 mm a spring pushes the wheel down against its damper: (130 + preload) exp(-t/tau)
    - preload, tau = damping / stiffness. That pulls the body down by share / (1 - share) of the
    wheel's acceleration against it, so that the tyres carry nothing.
    """

    def travel(k):
        x = (130 + preload_mm) * math.exp(-k / 100 / tau_s) - preload_mm
        return round(100 * max(0, x))

    def force(k):
        x_mm = (130 + preload_mm) * math.exp(-k / 100 / tau_s)
        if x_mm < preload_mm:
            return 0
        return round(-SHARE * x_mm / tau_s**2 / 9.80665)

    car = car_of(unsprung=round(UNSPRUNG * (1 - SHARE)), jump=5000)
    go(car, 1, s2=1000, **dampers(13000))
    go(car, 0.3, s2=force, **dampers(travel))
    go(car, 1, **GROUND | {"s2": 2500})
    off, landed = flights(car)
    assert off[1] == ev.TAKEN_OFF and landed[1] == ev.LANDED
    assert off[3] == pytest.approx(6_010_001, abs=30_000)
    assert landed[2] == pytest.approx(300, abs=40)


def test_short_flights_at_a_twentieth_of_g_with_slow_dampers():
    """50 mg for 0.3 s, three times, wheels that extend with tau = 1.35 x 0.12 s from 100 mm: their
    acceleration is up to 4.95 m/s^2, 70 mg, so the mean is found to be that of a flight later.
    A rate that never changes while the dampers move would be taken as stuck.
    """
    car = car_of(unsprung=UNSPRUNG, jump=5000)
    for _ in range(3):
        go(car, 0.01, s12=lambda k: 1 + k)
        go(car, 0.01, s12=0)
        go(car, 2, **GROUND | dampers(10000))
        go(car, 0.3, s2=50, **dampers(lambda k: round(13000 * math.exp(-k / 16.2) - 3000)))
        go(car, 0.3, s2=2500, **dampers(lambda k: min(10000, 2000 + 1000 * k)))
    go(car, 1)
    assert [f[1] for f in flights(car)] == [ev.TAKEN_OFF, ev.LANDED] * 3


def test_a_crest_that_leaves_a_tenth_is_none():
    """120 of 1000 for a second, with all wheels at full droop."""
    car = car_of(unsprung=UNSPRUNG)
    go(car, 1, **AIR | {"s2": 120})
    assert flights(car) == []


def test_positions_that_cannot_be_are_not_used():
    """One sample in ten is 600 mm of garbage, on all dampers: farther than 50 mm from where the
    damper was going, so it is taken to go on. Three in a row count: there it is.
    """
    car = car_of(unsprung=UNSPRUNG, jump=5000)
    go(car, 0.6, **AIR | dampers(lambda k: 60000 if k % 10 == 3 else 8000))
    assert [f[1] for f in flights(car)] == [ev.TAKEN_OFF]
    car = car_of(unsprung=UNSPRUNG, jump=5000)
    seen = []
    for _ in range(6):
        go(car, 0.01, **dampers(20000))
        seen.append(car.events.body._x[4])
    assert seen == [8000, 8000, 8000, 8000, 20000, 20000]
    assert car.events.body.tyres == 1000


@pytest.mark.parametrize(("step", "used"), [(5000, 13000), (5001, 8000)])
def test_a_damper_moves_by_50_mm_in_a_tick_at_most(step, used):
    car = car_of(jump=5000)
    go(car, 0.02, **dampers(8000 + step))
    assert car.events.body._x[4] == used


@pytest.mark.parametrize(("raw", "zero"), [(0, 150), (320, 170), (160, 160)])
def test_the_zero_of_a_damper_is_learned_in_the_air(raw, zero):
    """From 1.60 mm by a sixteenth of the distance, 160 >> 4, at the first tick in the air, 512."""
    car = car_of(drift=160)
    go(car, 0.13, s2=0, **dampers(raw))
    assert list(car.events.body.zero) == [zero] * 4


def test_turning_about_the_yaw_axis_is_taken_out():
    """1 m ahead of the centre (arm 1000 / 9.80665 = 102), 1 rad/s: 1 m/s^2 backwards, -102 mg."""
    car = car_of(arm_x=102)
    go(car, 0.5, s0=-102, s14=1024)
    assert car.events.body.force[0] == 0
    assert car.events.body.spin2 == 1024


def test_turning_faster_is_taken_out():
    """Pitch grows by 20 in 20 ms, 0.98 rad/s^2. 1 m ahead (1275) it pulls down by 20 x 1275 /
    256 = 99.6 mg, 1 m above it pushes forward by as much.
    """
    car = car_of(spin_x=1275)
    go(car, 0.02, s13=0)
    go(car, 0.01, s13=10)
    go(car, 0.01, s13=20)
    go(car, 0.01, s13=30)  # read a tick later
    assert car.events.body.force[2] == 1100
    car = car_of(spin_z=1275)
    for rate in (0, 10, 20, 30):
        go(car, 0.01, s13=rate)
    assert car.events.body.force[0] == -99


def cross(a, b):
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


@pytest.mark.parametrize("w", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 2, -1), (-2, 1, 3)])
def test_turning_about_any_axis_is_taken_out(w):
    """A point at r of a body that turns by w is accelerated by w x (w x r)."""
    r = (1.0, -0.5, 0.25)
    g = 9.80665
    felt = [1000 / g * x for x in cross(w, cross(w, r))]
    arm = dict(zip(("arm_x", "arm_y", "arm_z"), (round(1000 * x / g) for x in r), strict=True))
    car = car_of(**arm)
    rates = {f"s{12 + i}": 1024 * w[i] for i in range(3)}
    go(car, 0.5, **{f"s{i}": round(felt[i]) for i in range(3)}, **rates)
    assert list(car.events.body.force) == pytest.approx([0, 0, 0], abs=3)


@pytest.mark.parametrize("a", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (2, -1, 1)])
def test_angular_acceleration_about_any_axis_is_taken_out(a):
    """A point at r of a body whose rate grows by a is accelerated by a x r: 50 rad/s^2 here, as
    rates are differences over 20 ms; at a rate of about 0 nothing else is there.
    """
    r = (1.0, -0.5, 0.25)
    g = 9.80665
    felt = [1000 / g * x for x in cross([50 * x for x in a], r)]
    spin = {
        f"spin_{axis}": round(1000 * x / g / 0.02 / 1024 * 256)
        for axis, x in zip("xyz", r, strict=True)
    }
    car = car_of(**spin)
    go(car, 0.02, **{f"s{i}": round(felt[i]) for i in range(3)})
    body = car.events.body
    for i in range(3):
        body._rate[i] = -1024 * a[i]  # 20 ms ago
    body._forces()
    assert list(body.force) == pytest.approx([0, 0, 0], abs=12)


def test_a_force_beyond_20_g_counts_as_20_g():
    car = car_of()
    go(car, 0.1, s2=25000)
    assert car.events.body.force[2] == 20000


def test_a_force_beyond_20_g_the_other_way_counts_as_20_g():
    for axis in range(3):
        car = car_of()
        go(car, 0.1, **{f"s{axis}": -25000})
        assert car.events.body.force[axis] == -20000, axis


def test_the_filter_moves_by_its_share():
    """64 / 256: 1000, then towards 2000 by a quarter: 1250, 1437.5 down to 1437."""
    car = car_of(filter=64)
    go(car, 0.04, s2=2000)
    assert car.events.body.force[2] == 1437


def test_an_onset_is_where_the_force_had_come_to_rest():
    """A crest falls away slowly: 120 mg for 0.1 s, then 10: from tick 512 on 110 83 46 19 10. At
    tick 515 the newest four are 62 in the mean, 35 more are 97: tick 513 is the first below, and
    the mean since then, 49, is that of a flight. 3 ticks less: 510.
    """
    car = car_of()
    go(car, 0.1, **AIR | {"s2": 120})
    go(car, 0.4, s2=10)
    assert flights(car)[0][0] == 515 and flights(car)[0][3] == 5_100_001


@pytest.mark.parametrize(
    ("n_long", "long_mg", "short_mg", "n"),
    [
        (0, 0, 80, 0),
        (1, 50, 80, 1),
        (1, 50, 100, 1),
        (2, 50, 80, 1),
        (2, 50, 100, 0),
        (2, 0, 40, 1),
    ],
)
def test_the_error_of_the_force_is_learned_from_long_flights(n_long, long_mg, short_mg, n):
    """A short flight may differ by 70 from what long ones of 0.5 s carried, 0 if there was none;
    by 35, and 3 more for each tick, after two of them: 14 frames are 10 ticks, 44. It lands with
    10 g, so hard that no crest was light.
    """
    car = car_of(mean_end=70)
    for _ in range(n_long):
        go(car, 0.5, **AIR | {"s2": long_mg})
        go(car, 1, **GROUND | {"s2": 2000})
    assert car.events.flight.zero == pytest.approx(long_mg, abs=2)
    go(car, 0.14, **AIR | {"s2": short_mg})
    go(car, 1, **GROUND | {"s2": 10_000})
    landed = [f for f in flights(car) if f[1] == ev.LANDED]
    assert len(landed) == n_long + n


def test_an_error_that_moved_since_it_was_learned_is_learned_anew():
    """Two long flights at 0, then the IMU's zero drifts by 90 mg: 35 + 3 x 19 ticks is more than
    90, so a flight of 0.5 s is one. Of 60 at most: a third is learned, then a quarter of the rest:
    60 // 3 = 20, + 40 // 4 = 30, + 30 // 4 = 37, + 23 // 4 = 42.
    """
    car = car_of(mean_end=105)
    for level in (0, 0, 90, 90, 90, 90):
        go(car, 0.5, **AIR | {"s2": level})
        go(car, 1, **GROUND | {"s2": 2000})
    assert [f[1] for f in flights(car)] == [ev.TAKEN_OFF, ev.LANDED] * 6
    assert car.events.flight.zero == 42
