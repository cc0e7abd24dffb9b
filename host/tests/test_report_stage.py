"""What the report takes from the log: the newest value, how long it held, UTC, lengths of time."""

import numpy as np
import pytest
from stage_values import WHEELS

from stagelog.report import tables as t
from stagelog.report.health import _duration as duration
from stagelog.report.series import Series, leave_out_jumps, silences
from stagelog.report.stage import KeyCycle, Stage

SERIES = Series("S", "u", np.array([0, 1_000_000, 5_000_000]), np.array([1.0, 2.0, 3.0]))


def test_the_newest_value_counts_from_its_own_moment_on():
    found = SERIES.at(np.array([-1, 0, 999_999, 1_000_000, 9_000_000]))
    assert np.isnan(found[0]) and found[1:].tolist() == [1, 1, 2, 3]


def test_a_value_holds_until_the_next_but_one_second_at_most():
    assert SERIES.held_s().tolist() == [1.0, 1.0, 0.0]


def test_the_time_of_some_values_is_the_sum_of_theirs():
    """One second at most each, nothing after the last: 1 s, 1 s, 0 s."""
    total = [SERIES.total_s(np.array(mask)) for mask in ([True] * 3, [False] * 3)]
    assert total == [2.0, 0.0] and SERIES.total_s(np.array([False, True, True])) == 1.0


def silent_by_median(t_us):
    """As the rule says it: 2 s at least, or five times the median step."""
    steps = np.diff(t_us)
    least_us = max(2_000_000, 5 * float(np.median(steps))) if len(steps) else 2_000_000
    return [(int(t_us[i]), int(t_us[i + 1])) for i in np.flatnonzero(steps > least_us)]


@pytest.mark.parametrize("usual_us", [1000, 399_999, 400_000, 400_001, 900_000])
@pytest.mark.parametrize("n", [2, 3, 50, 51, (1 << 18) + 2, (1 << 18) + 3])
def test_silences_are_found_without_sorting_the_steps(n, usual_us):
    steps = np.full(n - 1, usual_us)
    steps[[0, n // 2 - 1, -1]] = 2_000_001, 4_500_001, 1_999_999
    t_us = np.concatenate(([7], 7 + np.cumsum(steps)))
    assert silences(t_us) == silent_by_median(t_us)
    assert silences(t_us[:1]) == []


@pytest.mark.parametrize(
    ("start_s", "end_s", "values"),
    [(0, 1, [1, 2]), (1, 5, [2, 3]), (2, 3, [3]), (6, 7, [3]), (-5, -4, [1])],
)
def test_a_part_has_both_ends_and_never_nothing(start_s, end_s, values):
    part = SERIES.within(start_s * 1_000_000, end_s * 1_000_000)
    assert part.values.tolist() == values


def test_utc_is_known_within_a_key_cycle_with_a_clock_only(make_stage):
    stage = make_stage(seconds=40)
    stage.key_cycles = (
        KeyCycle(0, 10_000_000, t_unix_us=1000),
        KeyCycle(20_000_000, 30_000_000),
        KeyCycle(30_000_001, 40_000_000, t_unix_us=5_000_000_000),
    )
    assert stage.unix_us(0) == 1000 and stage.unix_us(10_000_000) == 10_001_000
    assert stage.unix_us(15_000_000) is None and stage.unix_us(25_000_000) is None
    assert stage.unix_us(31_000_001) == 5_001_000_000


def test_distance_is_speed_times_time(make_stage):
    """72 km/h is 20 m/s: 2 km in 100 s; the steps are of 50 ms, one metre each."""
    stage = make_stage(seconds=100)
    assert stage.km(100_000_000) == pytest.approx(2.0, abs=0.0011)
    assert stage.km(50_000_000) == pytest.approx(1.0, abs=0.0011)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (59.4, "0 min 59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7_500, "2 h 05 min"),
    ],
)
def test_a_length_of_time_in_words(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (None, {}, "-"),
        ("to the end", {}, "to the end"),
        (True, {}, "yes"),
        (False, {}, "no"),
        (1234567, {}, "1,234,567"),
        (0, {}, "0"),
        (1234.56, {"digits": 1}, "1,234.6"),
        (1.25, {"digits": 2, "signed": True}, "+1.25"),
        (-3, {"signed": True}, "-3"),
        (3, {"signed": True}, "+3"),
    ],
)
def test_a_cell_in_words(value, options, text):
    assert t.cell_text(value, t.column("x", **options)) == text


@pytest.mark.parametrize(
    ("name", "unit", "key"),
    [
        ("driven", "km", "driven_km"),
        ("beyond warning", "s", "beyond_warning_s"),
        ("used", "l/100 km", "used_l_per_100km"),
        ("force", "m/s^2", "force_m_per_s2"),
        ("lost, at least", "frames", "lost_at_least_frames"),
        ("share", "%", "share_pct"),
        ("times", "", "times"),
    ],
)
def test_the_key_of_a_column_ends_with_its_unit(name, unit, key):
    assert t.column(name, unit)["key"] == key


def test_a_number_that_is_none_becomes_none():
    cells = t.row(1.5, float("nan"), float("inf"), 0, "x")["cells"]
    assert cells == [1.5, None, None, 0, "x"]


def test_values_outside_of_either_range_are_left_out(make_stage):
    """Damper: the profile believes 0 to 345 mm, the DBC 0 to 400; speed: 0 to 260 of the profile.

    Both ends belong to the range.
    """
    given = [0.0, 345.0, 345.01, 399.0, -0.01, 200.0]
    stage = make_stage(
        0.5, DmpPosFL=lambda t_s: given, CoolantTemp=lambda t_s: [-36, -35, 180, 181, -36, 20]
    )
    damper = stage.find_valid("DmpPosFL")
    assert damper.values.tolist() == [0.0, 345.0, 200.0] and damper.n_out == 3
    assert damper.t_us.tolist() == [0, 100_000, 500_000] and damper.unit == "mm"
    assert stage.find_valid("CoolantTemp").values.tolist() == [-35, 180, 20]
    assert stage.find("DmpPosFL").values.tolist() == given
    assert make_stage(0.5, DmpPosFL=500.0).find_valid("DmpPosFL") is None
    assert make_stage(DmpPosFL=None).find_valid("DmpPosFL") is None


@pytest.mark.parametrize("n", [5, 20, (1 << 18) + 9])
def test_values_out_and_back_faster_than_the_signal_can_change_are_left_out(n):
    """500 Hz, at most 12,000 mm/s: in the 4 ms to either side 48 mm. A wheel that hits its stop at
    10,000 mm/s and stays there is right; 340 mm for one or two samples amid 100 mm is not.
    """
    t_us = np.arange(n, dtype=np.int64) * 2000
    values = np.full(n, 100.0)
    wrong = [2] if n == 5 else [4, 5, 9, n - 8]
    values[wrong] = 340.0
    values[-1] = 120.0
    good = np.ones(n, bool)
    leave_out_jumps(t_us, values, good, 12_000.0)
    assert np.flatnonzero(~good).tolist() == wrong
    ramp = np.minimum(100 + 20.0 * np.arange(n), 340.0)
    good[:] = True
    leave_out_jumps(t_us, ramp, good, 12_000.0)
    assert good.all()
    step = np.where(np.arange(n) < n // 2, 100.0, 340.0)  # a new level
    leave_out_jumps(t_us, step, good, 12_000.0)
    assert good.all()


def test_what_was_bad_before_is_no_neighbour():
    t_us = np.arange(7, dtype=np.int64) * 2000
    values = np.array([100, np.nan, 100, 340, 100, np.nan, 100.0])
    good = np.isfinite(values)
    leave_out_jumps(t_us, values, good, 12_000.0)
    assert np.flatnonzero(good).tolist() == [0, 2, 4, 6]


def test_garbage_within_the_range_is_no_highest_value(make_stage):
    """30 degC/s of the profile are 3 degC in 100 ms: 170 for one sample is garbage, 95 a level."""

    def warm(t_s):
        values = np.full(len(t_s), 90.0)
        values[[30, 60]] = 170.0
        values[80:] = 95.0
        return values

    series = make_stage(10, CoolantTemp=warm).find_valid("CoolantTemp")
    assert (series.n_out, series.values.max(), len(series.values)) == (2, 95.0, 99)


def keep(stage, name, rows):
    """Keep some samples of the message that has a signal. rows: a mask of their times."""
    for key, message in stage.decoded.messages.items():
        if name in message.signals:
            kept = rows(message.t_us)
            stage.decoded.messages[key] = type(message)(
                message.message,
                message.t_us[kept],
                message.bus[kept],
                None,
                {signal: values[kept] for signal, values in message.signals.items()},
            )


def test_the_stage_is_from_the_first_frame_to_the_last(make_stage):
    stage = make_stage(10)
    keep(stage, "DmpPosFL", lambda t_us: (t_us >= 2_000_000) & (t_us < 5_000_000))
    again = Stage(stage.decoded, stage.profile)
    assert (again.start_us, again.end_us) == (0, 10_000_000)
    assert again.on_grid("DmpPosFL")[39:41].tolist()[1] == 150.0
    assert np.isnan(again.on_grid("DmpPosFL")[39])


def wheels(**changed):
    return dict.fromkeys(WHEELS, 36.0) | changed


def test_one_wheel_that_spins_does_not_drive(make_stage):
    """36, 36, 40 and 200 km/h: the median is 38."""
    stage = make_stage(10, **wheels(WhlSpdFL=200.0, WhlSpdFR=40.0))
    assert stage.speed_kmh[100] == 38.0


def test_wheels_that_are_silent_for_two_seconds_stand(make_stage):
    """The last sample at 10 s holds to 12 s, then 15 m/s2 down: 10 m/s are gone after 0.7 s."""
    stage = make_stage(30, **wheels())
    keep(stage, "WhlSpdFL", lambda t_us: t_us <= 10_000_000)
    grid_s = stage.grid_us / 1e6
    assert stage.speed_kmh[grid_s <= 12.0].min() == 36.0
    assert stage.speed_kmh[grid_s == 12.05] == pytest.approx(36 - 0.05 * 15 * 3.6)
    assert stage.speed_kmh[grid_s > 12.75].max() == 0.0
    # 12.05 s at 10 m/s, each step to its end, and what is left while it slows down
    assert stage.km(30_000_000) == pytest.approx(0.1205 + 0.0029, abs=0.0004)


def test_a_slow_signal_is_silent_after_five_of_its_steps(make_stage):
    """One sample each 2 s: 10 s until it is silent. At 20 s the last one."""
    stage = make_stage(40)
    slow = {"BattVolt"}
    for key, message in stage.decoded.messages.items():
        if slow & set(message.signals):
            rows = (message.t_us % 2_000_000 == 0) & (message.t_us <= 20_000_000)
            stage.decoded.messages[key] = type(message)(
                message.message,
                message.t_us[rows],
                message.bus[rows],
                None,
                {signal: values[rows] for signal, values in message.signals.items()},
            )
    found, grid_s = stage.on_grid("BattVolt"), stage.grid_us / 1e6
    assert np.isfinite(found[grid_s <= 30.0]).all() and np.isnan(found[grid_s > 30.0]).all()
    assert stage.on_grid("EngSpd")[-1] == 3000.0 and stage.on_grid("ThrPos") is None


def test_in_flight_the_speed_of_the_take_off_holds(make_stage):
    """Wheels turn 108 km/h from 20 s to 21 s, after 72: the car flies, and lands at 21 s."""
    speed = dict.fromkeys(WHEELS, lambda t_s: np.where((t_s > 19.95) & (t_s < 21.05), 108.0, 72.0))
    stage = make_stage(40, flights=[(20_000_000, 21_000_000)], **speed)
    grid_s = stage.grid_us / 1e6
    assert (stage.speed_kmh[grid_s <= 21.0] == 72.0).all()
    # behind it the wheels count again: the sample at 21.0 s holds until 21.1 s
    assert stage.speed_kmh[grid_s == 21.05] == pytest.approx(72 + 0.05 * 8 * 3.6)
    from_start = make_stage(10, flights=[(0, 1_000_000)])
    assert from_start.speed_kmh[0] == 72.0


def test_the_way_begins_at_zero(make_stage):
    """72 km/h, a metre each 50 ms: nothing at the start, 2 km after 100 s."""
    stage = make_stage()
    assert stage.distance_km[:3].tolist() == pytest.approx([0.0, 0.001, 0.002])
    assert stage.distance_km[-1] == pytest.approx(2.0, abs=1e-9)
    assert stage.km(np.array([0, 25_000])).tolist() == pytest.approx([0.0, 0.0005])
