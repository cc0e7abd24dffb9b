"""Numbers as people read them: sizes, durations, times, cells; and the clock of a log."""

from types import SimpleNamespace

import numpy as np
import pytest

from stagelog.cli._common import clock_text, duration_text, size_text, time_text
from stagelog.report import tables as t
from stagelog.timeline import GNSS, HOST, RTC, Boot, find_timeline, fit

# date -u -d @1768658602: 2026-01-17 14:03:22
T_UNIX_US = 1_768_658_602_120_900


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (4096, "4.1 kB"),
        (23_000_000, "23.0 MB"),
        (4_290_772_992, "4.3 GB"),
    ],
)
def test_sizes(n_bytes, text):
    assert size_text(n_bytes) == text


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (310_000, "310 ms"),
        (999_000, "999 ms"),
        (1_000_000, "1.0 s"),
        (12_500_000, "12.5 s"),
        (60_000_000, "1 min 00 s"),
        (250_000_000, "4 min 10 s"),
        (3_600_000_000, "1 h 00 min"),
        (7_499_000_000, "2 h 04 min"),
    ],
)
def test_durations(us, text):
    assert duration_text(us) == text


def test_times_are_utc():
    assert time_text(T_UNIX_US) == "2026-01-17 14:03:22"
    assert clock_text(T_UNIX_US) == "14:03:22.120"


CELLS = [
    (None, {}, "-"),
    (True, {}, "yes"),
    (False, {}, "no"),
    (1234, {}, "1,234"),
    (1234.56, {}, "1,234.6"),
    (1234.567, {"digits": 2}, "1,234.57"),
    (7.0, {"signed": True}, "+7.0"),
    (-7.0, {"signed": True}, "-7.0"),
    ("to the end", {}, "to the end"),
]


@pytest.mark.parametrize(("value", "more", "text"), CELLS)
def test_cells(value, more, text):
    assert t.cell_text(value, t.column("x", **more)) == text


@pytest.mark.parametrize(
    ("name", "unit", "key"),
    [
        ("consumption", "l/100 km", "consumption_l_per_100km"),
        ("over plan", "%", "over_plan_pct"),
        ("mean speed", "km/h", "mean_speed_kmh"),
        ("compression, 99.9 %", "m/s", "compression_99_9_m_per_s"),
        ("lowest", "kPa", "lowest_kPa"),
        ("shifts", "1/km", "shifts_per_km"),
        ("times", "", "times"),
    ],
)
def test_keys_of_the_json_end_with_the_unit(name, unit, key):
    assert t.column(name, unit)["key"] == key


def test_records_have_rounded_values_and_no_nan():
    columns = [t.column("a", "kPa"), t.words("b")]
    rows = [t.row(1.23456789, "x", level="bad", x_s=2.5), t.row(float("nan"), None)]
    assert t.records(t.table(columns, rows)) == [
        {"a_kPa": 1.234568, "b": "x", "level": "bad", "t_s": 2.5},
        {"a_kPa": None, "b": None},
    ]


class Session:
    """What find_timeline looks at: anchors as (t_us, t_unix_us, source)."""

    def __init__(self, *anchors):
        from slog.layout import META_ANCHOR

        kinds = [("kind", "u1"), ("arg", "u4"), ("t_us", "i8"), ("data", "u1", 8)]
        self.meta = np.zeros(len(anchors), kinds)
        self.meta["kind"] = META_ANCHOR
        for row, (t_us, t_unix_us, source) in zip(self.meta, anchors, strict=True):
            row["t_us"], row["arg"] = t_us, source
            row["data"] = np.frombuffer(t_unix_us.to_bytes(8, "little"), np.uint8)


def test_the_best_source_of_time_counts_alone():
    """GNSS before the laptop before the real-time clock; the others differ by a day."""
    day_us = 86_400_000_000
    anchors = [(0, T_UNIX_US + day_us, RTC), (5, T_UNIX_US + 5, GNSS), (9, 77 * day_us, HOST)]
    found = find_timeline([Session(*anchors)])
    assert (found.source, found.to_unix_us(1_000_000)) == (GNSS, T_UNIX_US + 1_000_000)
    found = find_timeline([Session(anchors[0], anchors[2])])
    assert (found.source, found.to_unix_us(9)) == (HOST, 77 * day_us)


def line(drift_ppm, span_s):
    """Return the Timeline of two anchors `span_s` apart on a crystal that is `drift_ppm` slow."""
    t_us = np.array([0, span_s * 1_000_000])
    return fit(t_us, T_UNIX_US + t_us + np.array([0, span_s * drift_ppm]))


def test_drift_is_believed_from_ten_minutes_on_and_up_to_300_ppm():
    assert line(100, 601).drift_ppm == pytest.approx(100)
    assert line(100, 599).drift_ppm == 0
    assert line(290, 1000).drift_ppm == pytest.approx(290)
    assert line(310, 1000).drift_ppm == 0
    assert line(-290, 1000).drift_ppm == pytest.approx(-290)
    assert line(-310, 1000).drift_ppm == 0


@pytest.mark.parametrize("step_us", [3_600_000_000, -3_600_000_000, 1_000_000, -1_000_000])
def test_an_anchor_of_a_clock_that_was_wrong_is_left_out(step_us):
    """Three anchors agree to 700 us; the fourth was set by a clock that was off by a step."""
    t_us = np.array([5_000_000, 6_000_000, 7_000_000, 8_000_000])
    found = fit(t_us, T_UNIX_US + t_us + np.array([0, -700, 0, step_us]))
    assert (found.n, found.n_off, found.error_us, found.drift_ppm) == (3, 1, 700, 0)
    assert found.to_unix_us(5_000_000) == T_UNIX_US + 5_000_000
    found = fit(t_us, T_UNIX_US + t_us + np.array([0, 900, 0, 0]))
    assert (found.n, found.n_off, found.error_us) == (4, 0, 900)


def test_a_logger_was_on_as_long_as_its_latest_record_says():
    sessions = [SimpleNamespace(t_last_us=us) for us in (20, 90, 50)]
    assert Boot("ab" * 8, 1, tuple(sessions), None).t_last_us == 90


def test_time_after_a_drift_runs_on():
    """100 ppm slow: 2,000 s of the logger are 2,000.2 s of the world."""
    assert line(100, 1000).to_unix_us(2_000_000_000) == T_UNIX_US + 2_000_200_000
