"""The force on an ideal car that turns, computed by hand: what its turning adds where the sensor
sits is taken out, 20 g is the most, and the filter moves by its share.

The car and its signals are those of `hand_flight`.
"""

import pytest
from hand_flight import car_of, go


def test_turning_about_the_yaw_axis_is_taken_out():
    """1 m ahead of the centre (arm 1000 / 9.80665 = 102), 1 rad/s: 1 m/s^2 backwards, -102 mg."""
    car = car_of(arm_x=102)
    go(car, 0.5, s0=-102, s14=1024)
    assert car.events.flight._f[0] == 0
    assert car.events.flight._spin2 == 1024


def test_turning_faster_is_taken_out():
    """Pitch grows by 20 in 20 ms, 0.98 rad/s^2. 1 m ahead (1275) it pulls down by 20 x 1275 /
    256 = 99.6 mg, 1 m above it pushes forward by as much.
    """
    car = car_of(spin_x=1275)
    go(car, 0.02, s13=0)
    go(car, 0.01, s13=10)
    go(car, 0.01, s13=20)
    go(car, 0.01, s13=30)  # read a tick later
    assert car.events.flight._f[2] == 1100
    car = car_of(spin_z=1275)
    for rate in (0, 10, 20, 30):
        go(car, 0.01, s13=rate)
    assert car.events.flight._f[0] == -99


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
    assert car.events.flight._f == pytest.approx([0, 0, 0], abs=3)


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
    flight = car.events.flight
    for i in range(3):
        flight._rate[i] = -1024 * a[i]  # 20 ms ago
    flight._acceleration()
    assert flight._f == pytest.approx([0, 0, 0], abs=12)


def test_a_force_beyond_20_g_counts_as_20_g():
    car = car_of()
    go(car, 0.1, s2=25000)
    assert car.events.flight.acc_z == 20000


def test_a_force_beyond_20_g_the_other_way_counts_as_20_g():
    for axis in range(3):
        car = car_of()
        go(car, 0.1, **{f"s{axis}": -25000})
        assert car.events.flight._f[axis] == -20000, axis


def test_the_filter_moves_by_its_share():
    """64 / 256: 1000, then towards 2000 by a quarter: 1250, 1437.5 down to 1437."""
    car = car_of(filter=64)
    go(car, 0.03, s2=2000)
    assert car.events.flight.acc_z == 1437
