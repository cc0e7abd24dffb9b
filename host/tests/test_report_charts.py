"""Charts of a stage: where bins lie, which signals share a chart, limits, pauses, the cursor's km.

The stage is conftest.CALM, 72 km/h for 100 s, ten samples a second.
"""

from dataclasses import replace

import numpy as np
import pytest

from stagelog.ledger import BLOCK, POWER_CUT, Gap
from stagelog.report.charts import chart_over_km, chart_over_time, kilometres, pauses, stage_charts
from stagelog.report.pyramid import EMPTY, unpack_level
from stagelog.report.series import Series
from stagelog.report.source import Health
from stagelog.report.stage import KeyCycle


def points(channel):
    """Return {x of a bin: (lowest, highest)} of the finest level, empty bins left out."""
    low, high = unpack_level(channel["levels"][0])
    lo, step = channel["lo"], channel["step"]
    return {
        round(k * channel["bin"], 6): (lo + low[k] * step, lo + high[k] * step)
        for k in np.flatnonzero(low != EMPTY)
    }


def test_a_chart_over_time_is_on_the_axis_of_the_stage(make_stage):
    """A signal that begins at 50 s stands there, whatever begins earlier; bins are in seconds."""
    stage = make_stage()
    series = Series("EgtB1Pre", "degC", np.array([50_000_000, 90_000_000]), np.array([5.0, 7.0]))
    chart = chart_over_time("c-x", "X", [series], stage, [(6.0, "warn")])
    assert (chart["x0"], chart["x1"], chart["x_unit"], chart["unit"]) == (0.0, 100.0, "s", "degC")
    assert chart["limits"] == [{"y": 6.0, "level": "warn"}]
    (channel,) = chart["channels"]
    found = points(channel)
    first, last = sorted(found)
    assert first <= 50 < first + channel["bin"] and found[first] == pytest.approx((5.0, 5.0))
    assert last <= 90 < last + channel["bin"] and found[last] == pytest.approx((7.0, 7.0))


def test_a_chart_over_distance_has_steps_of_ten_metres():
    """Two cars, 0.5 km and 1 km: the axis is that of the longer one."""
    km = np.array([0.0, 0.004, 0.25, 0.5])
    curves = [
        ("A", km, np.array([1.0, 3.0, 5.0, 7.0])),
        ("B", 2 * km, np.array([1.0, 3.0, 5.0, 7.0])),
    ]
    chart = chart_over_km("k-x", "X", "rpm", curves)
    assert (chart["x1"], chart["x_unit"], chart["unit"]) == (1.0, "km", "rpm")
    first, second = map(points, chart["channels"])
    assert min(first.values()) == pytest.approx((1.0, 3.0))  # both in the first ten metres
    at = max(second)
    assert second[at] == pytest.approx((7.0, 7.0), abs=1e-3)
    assert at == pytest.approx(1.0, abs=0.3) and max(first) == pytest.approx(0.5, abs=0.3)
    dense = np.linspace(0, 1, 5000)
    (channel,) = chart_over_km("k-x", "X", "", [("A", dense, dense)])["channels"]
    assert channel["bin"] == pytest.approx(0.01)
    assert points(channel)[0.5] == pytest.approx((0.5, 0.51), abs=1e-3)


def test_a_car_that_did_not_move_has_an_axis():
    chart = chart_over_km("k-x", "X", "", [("A", np.zeros(3), np.array([1.0, 2.0, 3.0]))])
    assert chart["x1"] == 0.01
    assert list(points(chart["channels"][0]).values()) == [pytest.approx((1.0, 3.0))]


def test_a_signal_is_drawn_once_with_the_limits_of_all_its_alarms(make_stage):
    """Coolant 108 and 115, hard 118 degC; the engine's speed over-revs at 6,300 and 6,600 rpm.

    The rows of an alarm show the chart that draws its signal. A converter's slip is no limit on
    the engine's speed itself. Radiators have one chart, and none as an alarm.
    """
    charts, aliases = stage_charts(make_stage())
    by_id = {chart["id"]: chart for chart in charts}
    drawn = [channel["name"] for chart in charts for channel in chart["channels"]]
    assert len(drawn) == len(set(drawn))

    def limits(name):
        return [(line["y"], line["level"]) for line in by_id[name]["limits"]]

    assert limits("c-alarm-coolant") == [(108.0, "warn"), (115.0, "bad"), (118.0, "bad")]
    assert limits("c-engine") == [(6300.0, "warn"), (6600.0, "bad")]
    assert aliases["c-alarm-coolant_hard"] == aliases["c-alarm-coolant"] == "c-alarm-coolant"
    assert aliases["c-alarm-over_rev"] == aliases["c-alarm-converter_slip"] == "c-engine"
    assert aliases["c-alarm-radiator_blocked"] == "c-radiators"
    assert "c-alarm-coolant_hard" not in by_id and "c-alarm-radiator_blocked" not in by_id
    names = [channel["name"] for channel in by_id["c-radiators"]["channels"]]
    assert names == ["Rad1In", "Rad1Out", "Rad2In", "Rad2Out", "Rad3In", "Rad3Out"]
    duty = by_id["c-x-fan"]
    assert duty["title"] == "Fan: what was asked for" and duty["unit"] == "%"
    assert [channel["name"] for channel in duty["channels"]] == [
        f"Fan{n}Duty" for n in range(1, 5)
    ]
    assert "c-x-tyre_pressure" not in by_id and "c-x-radiator_blocked" not in by_id
    assert by_id["c-alarm-tyre_pressure"]["title"] == "Tyre pressure"
    assert by_id["c-alarm-tyre_pressure"]["limits"] == []


def test_a_limit_of_zero_is_a_limit(make_stage):
    stage = make_stage()
    battery = replace(stage.profile.alarm["battery"], warning=0.0, critical=None)
    stage.profile = replace(stage.profile, alarm={"battery": battery})
    (chart,) = (chart for chart in stage_charts(stage)[0] if chart["id"] == "c-alarm-battery")
    assert chart["limits"] == [{"y": 0.0, "level": "warn"}]


def test_a_signal_that_the_log_lacks_has_no_chart(make_stage):
    charts, aliases = stage_charts(make_stage(BattVolt=None))
    assert "c-alarm-battery" not in {chart["id"] for chart in charts}
    assert "c-alarm-battery" not in aliases and "c-alarm-disc" in aliases


def test_the_cursor_knows_the_distance_at_regular_times(make_stage):
    """2,001 moments of 50 ms: each tenth, half a second, or each 20th, one second, for 100."""
    stage = make_stage()
    each = kilometres(stage)
    assert each["step"] == 0.5 and len(each["km"]) == 201
    assert each["km"][:3] == [0.0, 0.01, 0.02] and each["km"][-1] == 2.0
    some = kilometres(stage, 100)
    assert some["step"] == 1.0 and some["km"][:3] == [0.0, 0.02, 0.04]
    assert len(some["km"]) == 101


def test_pauses_are_the_time_without_power_and_holes(make_stage):
    """Two key cycles, 90 min apart, 45 s of recording each; then one whose time is not known."""
    stage = make_stage()
    stage.key_cycles = (
        KeyCycle(0, 45_000_000),
        KeyCycle(50_000_000, 80_000_000, off_us=90 * 60_000_000),
        KeyCycle(85_000_000, 100_000_000),
    )
    hole = Gap(0, 20_000_000, 21_500_000, 7, True, BLOCK)
    cut = Gap(None, 45_000_000, None, None, False, POWER_CUT)
    health = Health(
        gaps=[(hole, "words", 20_000_000, 21_500_000), (cut, "words", 45_000_000, None)]
    )
    health.gaps.append((hole, "no time at all", 30_000_000, 30_000_000))
    assert pauses(stage, health) == [
        {"x0": 45.0, "x1": 50.0, "text": "power off for 90 min"},
        {"x0": 80.0, "x1": 85.0, "text": "power off"},
        {"x0": 20.0, "x1": 21.5, "text": "block missing"},
    ]
