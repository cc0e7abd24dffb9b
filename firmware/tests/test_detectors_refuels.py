"""Refuels, seen by the senders or entered, against numbers worked out by hand. The car is that of
`hand_fuel`.
"""

import pytest
from hand_fuel import HALF, level, standing

from slog import events as ev


def test_what_was_burned_before_a_refuel_is_still_burned():
    """1,000 ml at rest, 27.5 l more in the tank, then 500 ml: 150 cl in all, but for what the rest
    has taught of the scale, below 1 %.
    """
    car = standing()
    car.drive(22, s0=1000)
    car.drive(20, **level(HALF + 2000))
    assert len(car.of(ev.REFUEL)) == 1 and car.events.fuel.used_cl == pytest.approx(100, abs=1)
    car.drive(0.5, s0=1500)
    assert car.events.fuel.used_cl == pytest.approx(150, abs=1)
    assert car.events.fuel.metered_ml == 1500
    assert car.events.fuel.volume() == pytest.approx(30250 - 50, abs=8)


def test_a_refuel_is_reported_when_it_stands_still_twice():
    """Rest at 200.00 mm; 20.00 mm more are 27.5 l. Anchored after 20 s, sampled each 10 s: it
    rose at 30 s, and at 40 s it is the same: refuelled. The level follows by an eighth a step, so
    that long after it has arrived but for the division's rest: at most 7 per 0.01 l.
    """
    car = standing(seconds=25)
    car.drive(20, **level(HALF + 2000))
    (refuel,) = [e for e in car.said if e.code == ev.REFUEL]
    assert refuel.tick == 4000 and refuel.state == ev.ON
    assert refuel.value == pytest.approx(2750, abs=8)
    assert refuel.extra == pytest.approx(30250, abs=8)
    assert car.events.fuel.added_cl == refuel.value
    assert car.events.fuel.volume() == refuel.extra


def test_a_rise_of_less_than_15_l_is_no_refuel():
    for more, n in ((1080, 0), (1110, 1)):  # 14.85 and 15.26 l
        car = standing(seconds=25)
        car.drive(60, **level(HALF + more))
        assert len(car.of(ev.REFUEL)) == n, more


def test_a_rise_that_goes_on_is_reported_once_at_its_end():
    """From 25 s on 0.40 mm a step for 40 s: 220 l."""
    car = standing(seconds=25)
    car.drive(40, **{f"s{i}": lambda k: HALF + 40 * k for i in (1, 2)})
    car.drive(40, **level(HALF + 16000))
    assert len(car.of(ev.REFUEL)) == 1
    assert car.of(ev.REFUEL)[0][2] == pytest.approx(22000, abs=8)


def test_a_rise_seen_before_the_car_drove_off_confirms_nothing():
    """27.5 l more: seen at 30 s, then driven off from 32 to 34 s. At rest from tick 3410 on, the
    200th step is at tick 5400 and sees it anew; the 300th, at 6400, confirms it.
    """
    car = standing(seconds=25)
    car.drive(7, **level(HALF + 2000))
    car.drive(2, s3=2000)
    car.drive(40, s3=0)
    assert [tick for tick, _, _ in car.of(ev.REFUEL)] == [6400]


def test_after_a_refuel_the_level_is_known_as_well_as_at_rest():
    """Variance 400^2 after it. Driven off and back, 5.50 l more: half of it is taken over."""
    car = standing(seconds=25)
    car.drive(20, **level(HALF + 2000))
    assert len(car.of(ev.REFUEL)) == 1
    car.drive(2, s3=2000)
    car.drive(30, s3=0, **level(HALF + 2400))
    assert car.events.fuel.volume() == pytest.approx(30250 + 275, abs=8)


def test_what_burns_while_it_is_refuelled_was_added_as_well():
    """The level rises by 27.5 l while 3 l are metered: 30.5 l."""
    car = standing(seconds=25)
    car.drive(20, s0=3000, **level(HALF + 2000))
    ((_, _, added),) = car.of(ev.REFUEL)
    assert added == pytest.approx(3050, abs=8) and car.events.fuel.added_cl == added


def test_a_tank_that_was_filled_to_the_senders_end_while_the_logger_slept_is_a_refuel():
    """275 l at rest; after a pause the senders stand at their end, 392.00 mm, 539 l: 264 l more.
    Beyond its end a sender says nothing, so it is known half as well. Nothing is a leak after it.
    """
    car = standing(seconds=25)
    car.pause(600)
    car.drive(60, **level(40000))
    ((_, _, added),) = car.of(ev.REFUEL)
    assert added == pytest.approx(26_400, abs=8)
    fuel = car.events.fuel
    assert fuel.volume() == pytest.approx(53_900, abs=8) and fuel._var_v == 800**2
    assert car.of(ev.LEAK) == []


def test_refuels_are_summed():
    """27.5 l, and 27.5 l more."""
    car = standing(seconds=25)
    for more in (2000, 4000):
        car.drive(20, **level(HALF + more))
        car.drive(10)
    assert len(car.of(ev.REFUEL)) == 2
    assert car.events.fuel.added_cl == pytest.approx(5500, abs=16)


def refuelled_after_60_l(*refuels):
    """275 l; 60 l metered, then 318 l in the tank: by the meter 103 l were added."""
    car = standing(seconds=19, refuels=refuels)
    for count in range(0, 60_001, 10_000):
        car.drive(1, s0=count, s3=2000)
    car.drive(40, s3=0, **level(31_800 * 40_000 // 55_000))
    return car


def test_an_entered_volume_adds_that_much_and_the_levels_before_it_teach_the_scale():
    """100 l were entered, so the level is 3 l above 275 - 60 + 100. Flow 6000 cl, sigma of the
    scale 0.018: 6000 x 0.000324 = 1.944 by the scale, 11,664 in all; with 160,000 of the first
    level and 50^2 of a bowser's 0.5 % 174,164, with the noise 334,164. The scale falls by 1.944 x
    300 / 334,164 = 0.001745, the volume rises by 300 x 174,164 / 334,164 = 156.
    """
    car = refuelled_after_60_l(10_000)
    assert [added for _, _, added in car.of(ev.REFUEL)] == [10_000]
    fuel = car.events.fuel
    assert fuel.added_cl == 10_000
    assert fuel.scale == pytest.approx(1_000_000 - 1745, abs=25)
    assert fuel.volume() == pytest.approx(31_500 + 156, abs=5)
    assert fuel.used_cl == pytest.approx(6000 - 10.5, abs=1)


@pytest.mark.parametrize("refuels", [(), (0,), (30_000,), (4_000,)])
def test_a_volume_that_is_not_known_or_that_the_senders_contradict_is_not_used(refuels):
    """103 l by the senders; three sigmas of that and of 300 l entered are 3 x sqrt(171,664 + 150^2
    + 160,000) = 1785 cl, of 40 l entered 1728. As without them: the level counts, nothing is
    learned, nothing leaks.
    """
    car = refuelled_after_60_l(*refuels)
    ((_, _, added),) = car.of(ev.REFUEL)
    assert added == pytest.approx(10_300, abs=8) and car.of(ev.LEAK) == []
    assert car.events.fuel.volume() == pytest.approx(31_800, abs=8)
    assert car.events.fuel.scale == 1_000_000


def test_entered_volumes_are_those_of_the_refuels_in_their_order():
    """27.5 l each time by the senders; the first volume is not known, the second is 26 l, the
    third was not entered.
    """
    car = standing(seconds=25, refuels=(0, 2600))
    for more in (2000, 4000, 6000):
        car.drive(20, **level(HALF + more))
        car.drive(10)
    added = [added for _, _, added in car.of(ev.REFUEL)]
    assert added[0] == pytest.approx(2750, abs=8) and added[1] == 2600
    assert added[2] > 2700 and car.events.fuel.added_cl == sum(added)


def test_a_tank_filled_beyond_the_senders_end_holds_what_was_entered():
    """275 l and 270 l are 545 l, though the senders show no more than 539."""
    car = standing(seconds=25, refuels=(27_000,))
    car.drive(60, **level(40_000))
    assert car.events.fuel.volume() == 54_500 and car.events.fuel.added_cl == 27_000
    assert len(car.of(ev.REFUEL)) == 1


def test_an_engine_that_idles_at_rest_is_neither_refuel_nor_leak():
    """2 l in 60 s by the injectors and by the senders, 1.45 mm."""
    car = standing(seconds=25)
    fall = {f"s{i}": lambda k: HALF - 145 * k // 600 for i in (1, 2)}
    car.drive(60, s0=lambda k: 2000 * k // 600, **fall)
    car.drive(60, s0=2000, **level(HALF - 145))
    assert car.of(ev.REFUEL) == [] and car.of(ev.LEAK) == []
    assert car.events.fuel.volume() == pytest.approx(27300, abs=60)
