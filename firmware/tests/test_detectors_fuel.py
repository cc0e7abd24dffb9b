"""Fuel against numbers worked out by hand. The car is that of `hand_fuel`."""

from array import array

import numpy as np
import pytest
from hand_fuel import HALF, ROLES, ROWS, car_of, level, standing
from hand_table import MISSING, Car

from slog import events as ev


def test_first_level_at_rest_is_the_volume():
    """Twenty steps at rest: before them what the tank starts with counts, 540 l."""
    car = car_of()
    car.drive(2, **level(HALF))
    assert car.events.fuel.volume() == 54000
    car.drive(0.1)
    assert car.events.fuel.volume() == 27500


def test_volume_is_the_mean_of_both_senders():
    """10000 is 137.5 l, 30000 is 412.5 l."""
    car = car_of()
    car.drive(3, s1=10000, s2=30000)
    assert car.events.fuel.volume() == 27500


def test_volume_lies_between_the_points_of_each_sender():
    """A: 0, 6000, 40000 for 0, 100, 550 l; B: 0, 10000, 40000. 3000 of A: 50 l. 25000 of B: 100 +
    450 / 2 = 325 l. The mean is 187.5 l.
    """
    car = Car(
        4,
        roles=ROLES,
        fuel=ROWS,
        tank=(0, 0, 0, 10000, 6000, 10000, 55000, 40000, 40000),
    )
    car.drive(3, s1=3000, s2=25000)
    assert car.events.fuel.volume() == 18750


@pytest.mark.parametrize("raw", [800, MISSING])
def test_a_sender_at_its_lower_end_or_missing_says_nothing(raw):
    car = car_of()
    car.drive(10, s1=HALF, s2=raw)
    assert car.events.fuel.volume() == 54000
    car.drive(10, s2=801)
    assert car.events.fuel.volume() < 20000


def test_a_sender_that_is_silent_says_nothing_though_it_has_said_something():
    """1 s is too short for a first level; then one sender's message ends."""
    car = car_of()
    car.drive(1, **level(HALF))
    car.drive(10, s2=None)
    assert car.events.fuel.volume() == 54000


def test_a_level_at_rest_is_followed_by_an_eighth_a_step():
    """Ten steps at 275.00 l, ten at 288.75 l: 1375 x (1 - (7/8)^10) = 1013 are followed, 60 of it
    in a step; rounding down costs up to 7.
    """
    car = car_of()
    car.drive(1, **level(HALF))
    car.drive(1.5, **level(HALF + 1000))
    assert car.events.fuel.volume() == pytest.approx(27500 + 1013, abs=68)


def test_a_full_tank_is_at_least_what_it_starts_with():
    """391.01 mm is within 1 mm of the end: 392.00 mm would be 539.0 l; 540 is the start."""
    for raw in (39101, 39200, 40000):  # beyond its end a sender may say anything
        assert standing(raw).events.fuel.volume() == 54000
    assert standing(40000, start=50000).events.fuel.volume() == 53900  # that of its end
    car = standing(39100)  # 391.00 mm still says what it holds
    assert car.events.fuel.volume() == 39100 * 55000 // 40000


def test_a_full_tank_is_known_half_as_well():
    """4 l of a level at rest, 8 l of one at the end of its sender."""
    assert standing().events.fuel._var_v == 400**2
    assert standing(39101).events.fuel._var_v == 800**2


def test_what_the_injectors_meter_is_taken_off():
    """1,234 ml are 123 cl. The first count is where it begins."""
    car = car_of()
    car.drive(3, s0=5000, **level(HALF))
    car.drive(1, s0=6234)
    fuel = car.events.fuel
    assert fuel.volume() == 27500 - 123
    assert (fuel.used_cl, fuel.metered_ml) == (123, 1234)


def test_a_counter_that_starts_again_burns_nothing():
    car = standing()
    for count, used in ((1000, 100), (0, 100), (500, 150), (20499, 2149), (40499, 2149)):
        car.drive(0.5, s0=count)
        assert car.events.fuel.used_cl == used, count


def test_a_counter_that_is_missing_burns_nothing_and_goes_on():
    car = standing()
    car.drive(0.5, s0=1000)
    car.drive(0.3, s0=MISSING)
    car.drive(0.5, s0=1500)
    assert car.events.fuel.used_cl == 150


def test_scale_is_applied_to_what_is_metered():
    """10,000 ml by a scale of 1.02 are 1,020 cl."""
    car = standing()
    car.events.fuel.scale = 1_020_000
    car.drive(0.5, s0=10_000)
    assert car.events.fuel.used_cl == 1020


@pytest.mark.parametrize(
    ("what", "values", "quiet"),
    [
        ("5 km/h", {"s3": 500}, False),
        ("just under", {"s3": 499}, True),
        ("no level", {"s1": MISSING}, False),
    ],
)
def test_a_level_counts_only_at_rest(what, values, quiet):
    car = car_of()
    car.drive(6, **{**level(HALF), **values})
    assert (car.events.fuel.volume() == 27500) == quiet, what


@pytest.mark.parametrize(
    ("force", "quiet"),
    [
        ((0, 0, 1000), True),
        ((119, 0, 1000), True),
        ((120, 0, 1000), False),
        ((-120, 0, 1000), False),
        ((0, 49, 1000), True),
        ((0, 50, 1000), False),
        ((0, -50, 1000), False),
        ((0, 0, 1050), False),
        ((0, 0, 1049), True),
        ((0, 0, 950), False),
    ],
)
def test_a_car_that_is_not_level_does_not_rest(force, quiet):
    """The mean of eight steps counts: held long enough it is the force itself."""
    car = car_of()
    car.events.body.force[:] = array("i", force)
    fuel = car.events.fuel
    fuel._force = [8 * x for x in force]
    car.drive(6, **level(HALF))
    assert (fuel.volume() == 27500) == quiet


def test_a_car_that_never_rests_takes_the_mean_level_after_300_m():
    """36 km/h: 1 m a step, 301 m at the 301st step."""
    car = car_of()
    car.drive(30, s3=3600, **level(HALF))
    assert car.events.fuel.volume() == 54000
    car.drive(0.5)
    assert car.events.fuel.volume() == 27500


def test_the_mean_level_of_a_car_that_never_rests_is_that_of_some_seconds():
    """A 64th a step: 36 km/h are 1 m a step, so 300 m are over after 31 steps with 13.75 l more:
    1375 x (1 - (63/64)^31) = 531.
    """
    car = car_of()
    car.drive(27, s3=3600, **level(HALF))
    car.drive(6, **level(HALF + 1000))
    assert car.events.fuel.volume() == pytest.approx(27500 + 531, abs=70)


def test_a_first_level_far_off_is_replaced_and_the_next_fall_is_a_leak():
    """27.5 l less is more than three sigmas of 4 l x sqrt(2), 17 l, twice. The first time nothing
    but one level is known; the second time the volume had been confirmed at a rest.
    """
    car = standing(seconds=19)
    for fall, n in ((2000, 0), (4000, 1)):
        car.drive(2, s3=2000)
        car.drive(30, s3=0, **level(HALF - fall))
        assert len(car.of(ev.LEAK)) == n
        assert car.events.fuel.volume() == pytest.approx(27500 - fall * 55000 // 40000, abs=8)


def test_a_fall_at_rest_is_a_leak():
    """11 l fall while nothing burns: 8.00 mm."""
    car = standing(seconds=25)
    car.drive(20, **level(HALF - 800))
    (leak,) = [e for e in car.said if e.code == ev.LEAK]
    assert leak.value == pytest.approx(1100, abs=8) and leak.state == ev.ON
    assert leak.extra == pytest.approx(26400, abs=8)
    assert car.events.fuel.leaking
    car.drive(60, **level(HALF - 4000))
    assert len(car.of(ev.LEAK)) == 1  # said once


def test_a_fall_of_less_than_10_l_or_by_the_flow_is_no_leak():
    car = standing(seconds=25)
    car.drive(60, **level(HALF - 720))  # 9.9 l
    assert car.of(ev.LEAK) == []
    car = standing(seconds=25)
    car.drive(1, s0=5000)
    car.drive(60, **level(HALF - 800))  # 11 l, 5 of them burned
    assert car.of(ev.LEAK) == []


def test_a_sender_at_its_end_corrects_nothing():
    """540 l full; 5 l are burned, and the senders still stand at their end: 535 l."""
    car = standing(40000, seconds=25)
    car.drive(5, s0=5000, s3=2000)
    car.drive(40, s3=0)
    assert car.events.fuel.volume() == 53500 and car.events.fuel.scale == 1_000_000


def test_a_fall_over_more_than_15_minutes_is_no_leak():
    """0.5 l a minute for half an hour, 15 l, but 7.5 in 15 minutes: 0.303 a step of 0.5 s. At 1 l
    a minute it is one, 10 l after ten minutes.
    """
    for fall, n in ((303, 0), (606, 1)):
        car = standing(seconds=25)
        sinking = {f"s{i}": lambda k, fall=fall: HALF - k * fall // 1000 for i in (1, 2)}
        car.drive(1800, every_ms=500, **sinking)
        assert len(car.of(ev.LEAK)) == n, fall


def test_an_anchor_weighs_level_and_volume_by_their_variances():
    """First level: variance 400^2. Driven off and back, 5.50 l higher at the next rest, nothing
    burned: both have 400^2, so half of 550 cl is taken over.
    """
    car = standing(seconds=19)
    car.drive(2, s3=2000)
    car.drive(30, s3=0, **level(HALF + 400))
    assert car.events.fuel.volume() == pytest.approx(27500 + 275, abs=4)


def test_a_level_within_three_sigmas_is_weighed_and_not_taken_whole():
    """Both have a variance of 400^2: 3 x sqrt(320,000) is 1,697 cl. 1,000 raw less are 1,375 cl:
    half of it, 687, is taken over.
    """
    car = standing(seconds=19)
    car.drive(2, s3=2000)
    car.drive(30, s3=0, **level(HALF - 1000))
    assert car.events.fuel.volume() == pytest.approx(27500 - 687, abs=8)


def test_an_anchor_learns_the_scale():
    """60 l metered, 57 l gone by the level (both sigmas as in ROWS). Flow 6000 cl, sigma of the
    scale 0.018: by scale 6000 x 0.000324 = 1.944, x 6000 = 11,664; with 160,000 of the first level
    171,664, with the noise 331,664. Error 300 cl: the scale falls by 1.944 x 300 / 331,664.
    """
    car = standing(seconds=19)
    for count in range(0, 60_001, 10_000):
        car.drive(1, s0=count, s3=2000)
    after = (27500 - 5700) * 40000 // 55000
    car.drive(30, s3=0, **level(after))
    fuel = car.events.fuel
    assert fuel.scale == pytest.approx(1_000_000 - 1.944e6 * 300 / 331_664, abs=20)
    assert fuel.volume() == pytest.approx(21500 + 300 * 171_664 / 331_664, abs=4)
    (scale,) = [e for e in car.said if e.code == ev.FLOW_SCALE]
    assert (scale.value, scale.state) == (fuel.scale, ev.ON)
    # variance 324e6 - 1.944^2 x 1e12 / 331,664 = 312.6e6: 17,680, reported in hundreds
    assert scale.extra == 17600


def test_two_legs_teach_what_least_squares_over_all_levels_say():
    """Twice 30 l metered and 28 l gone. Unknown: volume at the start and scale, known to 4 l and
    1.8 %; levels after 30 and 60 l, to 4 l each. Weighted least squares of all four at once; what
    was used is 60 l by the scale found, and with what is left it is the start.
    """
    car = standing(seconds=19)
    for leg in (1, 2):
        for count in range(30_000 * (leg - 1), 30_000 * leg + 1, 10_000):
            car.drive(1, s0=count, s3=2000)
        car.drive(30, s3=0, **level((27500 - 2800 * leg) * 40000 // 55000))
    fuel = car.events.fuel
    rows = np.array([[1, 0], [0, 1 / 0.018], [1, -30], [1, -60]]) / [[4], [1], [4], [4]]
    seen = np.array([275 / 4, 1 / 0.018, (275 - 28) / 4, (275 - 56) / 4])
    start, scale = np.linalg.lstsq(rows, seen, rcond=None)[0]
    assert fuel.scale == pytest.approx(1e6 * scale, abs=60)
    assert fuel.used_cl == pytest.approx(6000 * scale, abs=3)
    assert fuel.volume() + fuel.used_cl == pytest.approx(100 * start, abs=8)


@pytest.mark.parametrize(("burned_ml", "n"), [(5000, 0), (9990, 0), (10_010, 1)])
def test_the_scale_is_said_after_more_than_10_l(burned_ml, n):
    """Anchored before and after; a level of 1.375 cl per 0.01 mm that agrees."""
    car = standing(seconds=25)
    car.drive(5, s0=burned_ml, s3=2000)
    car.drive(30, s3=0, **level(HALF - burned_ml * 100 // 1375))
    assert len(car.of(ev.FLOW_SCALE)) == n


@pytest.mark.parametrize(("ml_per_km", "p50", "p10"), [(1000, 321.3, 222.8), (500, 362.1, 245.5)])
def test_every_km_the_volume_and_every_five_the_range_are_told(ml_per_km, p50, p10):
    """36 km/h, one ml a step or a half; plan 700, its sigma 262, V its square. One stretch of 5 km
    is known, like its neighbour by 0.8, so a mean of many has 9 V / n: it weighs 1 in 10. 1000:
    mean 730; over n = 64 stretches 730 + 270 x 4/64 = 747 ml/km. Of 275 l less 5 burned and 30 to
    keep 240 are left: 321.3 km. P10: over n = 44, 754.5 ml/km; ahead 9 V/44 x (1 - 8/44 + 1.78/44)
    = 0.1757 V, of the mean 0.9 V x (40/44)^2 = 0.7438 V: sigma 251, a third. Tank: 4 l, and 1.8 %
    of 245 l: 6 l of 240. 240 / 0.7545 / (1 + 1.281 x 0.334) = 222.8. 500: mean 680, 669.7 over 72
    and 665.3 over 49 stretches, 242.5 l: 0.919 V, sigma 251.2 of 665.3, 0.378.
    """
    car = standing()
    car.drive(505, s3=3600, s0=lambda k: k * ml_per_km // 1000)
    fuel = [(e.value, e.extra) for e in car.said if e.code == ev.FUEL]
    assert [used for _, used in fuel] == pytest.approx(
        [ml_per_km * km / 10 for km in (1, 2, 3, 4, 5)], abs=2
    )
    assert [v + u for v, u in fuel] == [27500] * 5
    (ranged,) = [e for e in car.said if e.code == ev.RANGE]
    assert ranged.value / 10 == pytest.approx(p50, rel=0.01)
    assert ranged.extra / 10 == pytest.approx(p10, rel=0.02)


def test_an_empty_tank_has_no_range():
    car = standing(2000)
    car.drive(505, s3=3600, s0=lambda k: k)
    (ranged,) = [e for e in car.said if e.code == ev.RANGE]
    assert (ranged.value, ranged.extra) == (0, 0)


def test_a_pause_keeps_the_volume_and_forgets_the_rest():
    car = standing(seconds=25)
    car.pause(5)
    fuel = car.events.fuel
    car.drive(0.1)
    assert fuel.volume() == 27500
    assert fuel._quiet == 0 and fuel._rest is None
