"""What each kind of alarm judges, against numbers worked out by hand: a rate, the time to a limit,
a drop, limits from a table, a fan, a difference, a cooler.

Ticks and judgements are counted as in test_detectors_alarms.py.
"""

import pytest
from hand_alarms import ABOVE, ALARM, car_of
from hand_table import MISSING, Car

from slog import events as ev
from slog import signal_table as st

RATE = {"kind": st.RATE, "window": 80, "floor": 0}


def test_rate_is_the_rise_over_seven_to_eight_eighths_of_the_window():
    """A window of 80 samples keeps a value every 10 samples; from sample 70 on there are eight. A
    rise of 1 a sample is 70 then, 79 at sample 79, and 70 again at sample 80. Limit 74: sample 75,
    tick 760.
    """
    car = car_of({**RATE, "warning": 74})
    car.drive(12, s0=lambda k: 1000 + k)
    assert [(t, s) for t, s, _ in car.of(ALARM)][:1] == [(760, ev.WARNING)]
    car = car_of({**RATE, "warning": 69, "critical": 78})
    car.drive(12, s0=lambda k: 1000 + k)
    assert [(t, s) for t, s, _ in car.of(ALARM)][:2] == [(710, ev.WARNING), (800, ev.CRITICAL)]
    car = car_of({**RATE, "warning": 79})
    car.drive(30, s0=lambda k: 1000 + k)
    assert car.of(ALARM) == []


def test_a_fall_and_a_rise_below_the_floor_are_no_rate():
    car = car_of({**RATE, "warning": 10})
    car.drive(30, s0=lambda k: 5000 - k)
    assert car.of(ALARM) == []
    car = car_of({**RATE, "warning": 10, "floor": 1090})  # above it from sample 91 on
    car.drive(30, s0=lambda k: 1000 + k)
    assert car.of(ALARM)[0][:2] == (920, ev.WARNING)


def test_a_rate_with_missing_values_is_that_of_the_time_that_passed():
    """Every 16th value is missing. 1 a sample stays 70 to 80 in a window; stretched by the gaps it
    would be 16/15 of that, beyond 83.
    """
    car = car_of({**RATE, "warning": 82})
    car.drive(120, s0=lambda k: MISSING if k % 16 == 15 else 1000 + k)
    assert car.of(ALARM) == []
    car = car_of({**RATE, "warning": 68})
    car.drive(120, s0=lambda k: MISSING if k % 16 == 15 else 1000 + k)
    assert car.states(ALARM) == [ev.WARNING]


def test_a_hole_longer_than_an_eighth_of_the_window_forgets_the_past():
    """A piece is 10 samples. Stale after 15 ticks: the last frame is good for one more sample, and
    the next is seen a sample later: a hole of 11 frames is one of 11 samples.
    """
    for hole, states in ((11, []), (10, [ev.WARNING])):
        car = car_of({**RATE, "warning": 50}, n_signals=2, slots={0: {"stale_ticks": 15}})
        car.drive(20, s0=1000)
        car.drive(hole / 10, s0=None)
        car.drive(20, s0=1100)
        assert car.states(ALARM)[:1] == states, hole


def test_time_to_limit_is_the_way_left_by_the_rise():
    """Rise 71 in 80 samples (8 s) at sample 71, 5,249 left of 5,320: 5249 / 71 x 8 s = 591 s =
    9.86 minutes, under 10 for the first time: at sample 70 it is 5250 / 70 x 8 s = 600 s. Tick
    720.
    """
    car = car_of({"kind": st.TIME_TO_LIMIT, "window": 80, "limit": 5320, "warning": -100})
    car.drive(8, s0=lambda k: k)
    assert car.of(ALARM) == [(720, ev.WARNING, 71)]


def test_time_to_limit_needs_a_rise_above_its_floor():
    for floor, n in ((79, 0), (78, 1)):
        car = car_of(
            {
                "kind": st.TIME_TO_LIMIT,
                "window": 80,
                "limit": 5320,
                "warning": -100,
                "floor": floor,
            }
        )
        car.drive(20, s0=lambda k: k)
        assert len(car.of(ALARM)) == n, floor


def test_time_to_limit_is_nothing_beyond_the_limit():
    """0 minutes are left, which is under 0.4 (-4): critical."""
    car = car_of(
        {"kind": st.TIME_TO_LIMIT, "window": 80, "limit": 1000, "warning": -100, "critical": -4}
    )
    car.drive(10, s0=lambda k: 2000 + k)
    assert [(t, s) for t, s, _ in car.of(ALARM)] == [(710, ev.CRITICAL)]


def test_drop_is_in_per_mille_of_the_mean_of_the_first_window():
    """Mean of 10 samples at 198 and 202 is 200; 170 is 15.0 % under it, 169 is 15.5 %."""
    car = car_of({"kind": st.DROP, "window": 10, "warning": 150, "critical": 300})
    car.drive(1, s0=lambda k: (198, 202)[k % 2])
    car.drive(5, s0=170)
    assert car.events.alarms.level[0] == 0
    car.drive(1, s0=169)
    assert car.events.alarms.level[0] == 1
    car.drive(1, s0=140)
    assert car.events.alarms.level[0] == 1  # 30.0 % is not above 30 %
    car.drive(1, s0=139)
    assert car.events.alarms.level[0] == 2
    assert car.of(ALARM)[0][:2] == (610, ev.WARNING)


@pytest.mark.parametrize(
    ("kind", "raws"), [(st.ABOVE, (140, 141)), (st.BELOW, (60, 59))], ids=["above", "below"]
)
def test_an_alarm_with_a_critical_limit_alone_comes_at_it(kind, raws):
    """Without a warning: 140 is not above 140, nor 60 below 60."""
    car = car_of({"kind": kind, "critical": 140 if kind == st.ABOVE else -60})
    car.drive(2, s0=raws[0])
    assert car.of(ALARM) == []
    car.drive(1, s0=raws[1])
    assert car.states(ALARM) == [ev.CRITICAL]


def test_the_reference_of_a_drop_weighs_all_looks_of_its_window_alike():
    """1000 three times, then 1200: 1050. 924 is 12 % under it."""
    car = car_of({"kind": st.DROP, "window": 4, "warning": 119, "critical": 121})
    car.drive(0.4, s0=lambda k: (1000, 1000, 1000, 1200)[k])
    car.drive(2, s0=924)
    assert car.states(ALARM) == [ev.WARNING]


def test_a_rise_by_a_quarter_is_a_new_reference():
    """200, then pumped up to 251: 25.5 % more. 15 % under 251 is 213.35."""
    for pumped, level in ((250, 0), (251, 1)):
        car = car_of({"kind": st.DROP, "window": 10, "warning": 150})
        car.drive(2, s0=200)
        car.drive(2, s0=pumped)
        car.drive(2, s0=213)
        assert car.events.alarms.level[0] == level, pumped


def test_a_fast_drop_is_critical_whatever_the_reference():
    """80 samples of window, a value every 10 of them; 21 lost within it is more than 20."""
    for lost, level in ((20, 0), (21, 2)):
        car = car_of({"kind": st.DROP, "window": 80, "warning": 500, "critical": 700, "drop": 20})
        car.drive(20, s0=2000)
        car.drive(3, s0=2000 - lost)
        assert car.events.alarms.level[0] == level, lost


TABLE = [(1000, -100, -80), (2000, -200, -160)]


@pytest.mark.parametrize(
    ("x", "warning", "critical"),
    [
        (0, 100, 80),
        (1000, 100, 80),
        (1500, 150, 120),
        (1999, 200, 160),
        (2000, 200, 160),
        (9000, 200, 160),
    ],
)
def test_below_table_has_its_limits_between_the_points(x, warning, critical):
    """At 1999: -100 - 100 x 999 // 1000 rounds down to -200 and -160."""
    alarm = {"kind": st.BELOW_TABLE, "x": 1, "points": 1, "n_points": 2}
    car = car_of(alarm, n_signals=2, points=[(7, 7, 7), *TABLE, (8, 8, 8)])
    for raw, level in ((warning, 0), (warning - 1, 1), (critical, 1), (critical - 1, 2)):
        car.drive(1, s0=raw, s1=x)
        assert car.events.alarms.level[0] == level, (raw, level)


@pytest.mark.parametrize(("x", "warning"), [(700, 120), (1250, 170), (1800, 220), (5000, 220)])
def test_above_table_has_its_limits_between_the_points(x, warning):
    alarm = {"kind": st.ABOVE_TABLE, "x": 1, "n_points": 2}
    car = car_of(alarm, n_signals=2, points=[(700, 120, 130), (1800, 220, 230)])
    for raw, level in ((warning, 0), (warning + 1, 1), (warning + 11, 2)):
        car.drive(1, s0=raw, s1=x)
        assert car.events.alarms.level[0] == level, (raw, level)


FAN = {"kind": st.FAN, "limit": 50, "warning": -20, "clear": 10, "out": 3, "group": 4}


def test_fan_is_judged_only_while_it_is_asked_for():
    car = car_of({**FAN, "x": 1}, n_signals=2)
    car.drive(10, s0=0, s1=50)
    assert car.events.alarms.level[0] == 0
    car.drive(1, s0=20, s1=51)
    assert car.events.alarms.level[0] == 0
    car.drive(1, s0=19)
    assert car.events.alarms.level[0] == 1
    car.drive(10, s0=90, s1=50)  # not asked for: nobody knows
    assert car.events.alarms.level[0] == 1
    car.drive(1, s1=51)
    assert car.events.alarms.level[0] == 0


def test_a_fan_that_was_not_asked_for_in_between_is_not_counted_on():
    """2 s without current, not asked for 4 s, 2 s again: never 5 s."""
    car = car_of({**FAN, "x": 1, "in_warning": 51}, n_signals=2)
    for _ in range(5):
        car.drive(2, s0=0, s1=51)
        car.drive(4, s1=50)
    assert car.events.alarms.level[0] == 0


def test_two_fans_of_a_group_are_critical():
    fans = [{**FAN, "x": 2}, {**FAN, "signal": 1, "x": 2, "number": 2}]
    car = car_of(*fans, n_signals=3)
    car.drive(2, s0=0, s1=90, s2=80)
    assert list(car.events.alarms.level) == [1, 0]
    car.drive(2, s1=0)
    assert list(car.events.alarms.level) == [2, 2]
    other = [{**FAN, "x": 2}, {**FAN, "signal": 1, "x": 2, "number": 2, "group": 5}]
    car = car_of(*other, n_signals=3)
    car.drive(2, s0=0, s1=0, s2=80)
    assert list(car.events.alarms.level) == [1, 1]


@pytest.mark.parametrize("seconds", [2, 2.5, 3])
def test_two_fans_that_turn_again_are_critical_for_their_whole_debounce(seconds):
    """A fan has no critical limit of its own: the way back begins when it turns. 11 samples."""
    fan = {**FAN, "x": 2, "out": 11}
    car = car_of(fan, {**fan, "signal": 1, "number": 2}, n_signals=3)
    car.drive(seconds, s0=0, s1=0, s2=80)
    car.drive(1, s0=90, s1=90)
    assert list(car.events.alarms.level) == [2, 2]
    car.drive(0.2)
    assert list(car.events.alarms.level) == [0, 0]


def test_difference_is_the_signal_less_the_other():
    car = car_of({**ABOVE, "kind": st.DIFFERENCE, "x": 1}, n_signals=2)
    for raw, x, level in ((1120, 1000, 0), (1121, 1000, 1), (1140, 1000, 1), (1141, 1000, 2)):
        car.drive(1, s0=raw, s1=x)
        assert car.events.alarms.level[0] == level, raw
    car.drive(1, s0=1000, s1=1141)
    assert car.events.alarms.level[0] == 0


def test_cooler_is_judged_by_the_best_of_its_group():
    """In at 100: the best takes off 20, the others 8 (40 %) and 7 (35 %). Limits 40 and 15 %."""
    alarms = [
        {
            "kind": st.COOLER,
            "number": n,
            "signal": n,
            "x": 0,
            "warning": -40,
            "critical": -15,
            "floor": 8,
            "group": 1,
        }
        for n in (1, 2, 3)
    ]
    other = {**alarms[0], "signal": 4, "number": 4, "group": 2}
    car = Car(5, alarms=[*alarms, other])
    car.drive(2, s0=100, s1=80, s2=92, s3=93, s4=10)
    assert list(car.events.alarms.level) == [0, 0, 1, 0]
    car.drive(2, s3=98)  # 10 %
    assert list(car.events.alarms.level) == [0, 0, 2, 0]
    car = Car(5, alarms=alarms)
    car.drive(2, s0=100, s1=93, s2=100, s3=100)  # the best takes off 7: nothing to judge by
    assert list(car.events.alarms.level) == [0, 0, 0]
