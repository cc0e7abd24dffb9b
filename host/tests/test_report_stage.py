"""What the report takes from the log: the newest value, how long it held, UTC, lengths of time."""

import numpy as np
import pytest

from stagelog.report import tables as t
from stagelog.report.health import _duration as duration
from stagelog.report.stage import KeyCycle, Series

SERIES = Series("S", "u", np.array([0, 1_000_000, 5_000_000]), np.array([1.0, 2.0, 3.0]))


def test_the_newest_value_counts_from_its_own_moment_on():
    found = SERIES.at(np.array([-1, 0, 999_999, 1_000_000, 9_000_000]))
    assert np.isnan(found[0]) and found[1:].tolist() == [1, 1, 2, 3]


def test_a_value_holds_until_the_next_but_one_second_at_most():
    assert SERIES.held_s().tolist() == [1.0, 1.0, 0.0]


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
