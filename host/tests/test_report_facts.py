"""Facts of the sections, with units, from signals of which every value is chosen here.

The stage is conftest.CALM: 72 km/h, 20 m/s, for 100 s, 2 km, ten samples a second. What is changed
stands in each test, and what must come out is worked out there by hand. A sample holds until the
next one, so a signal that is something from 20 s to just before 30 s is so for 10 s.
"""

import numpy as np
import pytest
from stage_values import WHEELS, during, rows_of

from slog import event_names
from slog import events as ev
from stagelog.events import Detected, add_lives
from stagelog.report.charts import stage_charts

# Fuel: a FUEL event each km, its extra is what was used since the start, in cl.


def fuel_events(cl_per_km, n_km=10, start_cl=0):
    """One at every km from 0 on: at 20 m/s every 50 s."""
    return [
        Detected(km * 50_000_000, ev.FUEL, ev.ON, 30_000, start_cl + round(km * cl_per_km))
        for km in range(n_km + 1)
    ]


# cl per km: on 10 km against 70 l/100 km, the plan of the mode Stage (mixed): 7.0 l planned
PLANS = {
    77.0: "BEHIND PLAN: 7.7 l used, 7.0 l planned for this terrain (+10.0 %)",
    74.0: "BEHIND PLAN: 7.4 l used, 7.0 l planned for this terrain (+5.7 %)",
    73.0: "within plan: 7.3 l used, 7.0 l planned for this terrain (+4.3 %)",
    70.0: "within plan: 7.0 l used, 7.0 l planned for this terrain (+0.0 %)",
    63.0: "within plan: 6.3 l used, 7.0 l planned for this terrain (-10.0 %)",
}


@pytest.mark.parametrize("cl_per_km", PLANS)
def test_fuel_against_the_plan(sections, cl_per_km):
    used = {"FuelUsedTot": lambda t_s: 100 + t_s * 0.02 * cl_per_km / 100}
    found = sections(fuel_events(cl_per_km), seconds=520, DriveMode=1, **used)["fuel"]
    assert PLANS[cl_per_km] in found["lines"]
    rows = rows_of(found, "By terrain", "terrain")
    assert list(rows) == ["Stage", "all"]
    assert rows["Stage"] == {
        "terrain": "Stage",
        "driven_km": 10.0,
        "used_l": pytest.approx(cl_per_km / 10, abs=0.011),
        "consumption_l_per_100km": pytest.approx(cl_per_km, abs=0.11),
        "plan_l_per_100km": 70.0,
        "over_plan_pct": pytest.approx(100 * (cl_per_km / 70 - 1), abs=0.2),
    }
    # 520 s at 20 m/s are 10.4 km
    assert found["lines"][0] == (
        f"{10.4 * cl_per_km / 100:.1f} l by the injectors over 10.4 km: {cl_per_km:.1f} l/100 km"
    )
    assert found["note"] == ("Plan, l/100 km: liaison 26, track 55, mixed 70, rock 76, dunes 115.")


def test_half_a_litre_of_plan_is_enough_to_compare(sections):
    """Of mode Stage, 70 l/100 km, are planned 0.7 l on 1 km; nothing is driven otherwise."""
    used = {"FuelUsedTot": lambda t_s: 100 + t_s * 0.02 * 0.77}
    found = sections(fuel_events(77, 1), seconds=60, DriveMode=1, **used)["fuel"]
    assert "BEHIND PLAN: 0.8 l used, 0.7 l planned for this terrain (+10.0 %)" in found["lines"]


def test_fuel_of_each_terrain_has_its_own_plan(sections):
    """5 km of Stage at 60 cl per km, then 5 km of Sand at 130: 3.0 and 6.5 l; planned are
    5 * 0.70 + 5 * 1.15 = 9.25 l, used 9.5 l: 2.7 % more.
    """
    events = fuel_events(60, 5) + [
        Detected((5 + km) * 50_000_000, ev.FUEL, ev.ON, 30_000, 300 + 130 * km)
        for km in range(1, 6)
    ]
    mode = during(250, 1000, 2.0, 1.0)
    found = sections(events, seconds=520, DriveMode=mode, FuelUsedTot=lambda t_s: t_s / 50)["fuel"]
    rows = rows_of(found, "By terrain", "terrain")
    assert (rows["Stage"]["used_l"], rows["Stage"]["plan_l_per_100km"]) == (3.0, 70.0)
    assert rows["Stage"]["over_plan_pct"] == pytest.approx(100 * (60 / 70 - 1), abs=0.01)
    assert (rows["Sand"]["used_l"], rows["Sand"]["plan_l_per_100km"]) == (6.5, 115.0)
    assert rows["Sand"]["over_plan_pct"] == pytest.approx(100 * (130 / 115 - 1), abs=0.01)
    assert (rows["all"]["used_l"], rows["all"]["driven_km"]) == (9.5, 10.0)
    assert "within plan: 9.5 l used, 9.2 l planned for this terrain (+2.7 %)" in found["lines"]


def test_limp_has_no_plan_and_is_not_compared(sections):
    found = sections(fuel_events(77), seconds=520, DriveMode=4, FuelUsedTot=lambda t_s: t_s / 50)
    assert not any("plan" in line.lower() for line in found["fuel"]["lines"])
    rows = rows_of(found["fuel"], "By terrain", "terrain")
    assert rows["Limp"]["plan_l_per_100km"] is None and rows["Limp"]["over_plan_pct"] is None


def test_range_and_scale_are_the_last_ones(sections):
    found = [
        Detected(10_000_000, ev.RANGE, ev.ON, 9000, 8000),
        Detected(10_000_001, ev.FLOW_SCALE, ev.ON, 980_000, 9_000),
        Detected(50_000_000, ev.RANGE, ev.ON, 4321, 3104),
        Detected(60_000_000, ev.FLOW_SCALE, ev.ON, 1_020_000, 5_000),
    ]
    lines = sections(found, FuelUsedTot=lambda t_s: t_s / 100)["fuel"]["lines"]
    assert "range at the end: 310 km in nine cases of ten (P10), 432 km in half of them (P50)" in (
        lines
    )
    assert "scale of the flow: 1.020 ± 0.005" in lines


def test_fuel_by_distance(sections):
    """2 km in rows of 0.5 km, 25 s each: 0.2 l in the first two, 0.4 l in the others."""

    def used(t_s):
        return 50 + 0.008 * np.minimum(t_s, 50) + 0.016 * np.maximum(t_s - 50, 0)

    rows = sections(FuelUsedTot=used)["fuel"]["tables"][-1]["rows"]
    assert [row["used_l"] for row in rows] == pytest.approx([0.2, 0.2, 0.4, 0.4], abs=0.005)
    wanted = pytest.approx([40, 40, 80, 80], rel=0.01)
    assert [row["consumption_l_per_100km"] for row in rows] == wanted
    assert [row["from_km"] for row in rows] == pytest.approx([0, 0.5, 1, 1.5], abs=0.002)
    assert all(row["mean_speed_kmh"] == pytest.approx(72) for row in rows)
    assert rows[0]["t_s"] == 0 and rows[2]["t_s"] == pytest.approx(50, abs=0.1)


# Life: what the running summary says.


def summary(at_s, **values):
    """Return a whole running summary; `values` are (value, extra), the others 0."""
    names = [row[0] for row in event_names.SUMMARY_ITEMS]
    return [
        Detected(round(at_s * 1e6) + n, ev.SUMMARY + n, 1, *values.get(name, (0, 0)))
        for n, name in enumerate(names)
    ]


LANDINGS = "7 landings: 3 light, 2 medium, 1 hard, 1 severe; highest peak 9.1 g, "
LANDINGS += "longest flight 1,830 ms"


def test_life_says_the_newest_summary(sections):
    old = summary(20, engine_s=(10, 20), shifts=(1, 0), fuel_used_cl=(1, 1))
    new = summary(
        80,
        engine_s=(7200, 9000),
        flights=(7, 1830),
        landings_light=(3, 912),
        landings_medium=(2, 0),
        landings_hard=(1, 0),
        landings_severe=(1, 0),
        shifts=(1234, 5),
        fuel_used_cl=(4210, 21_640),
        fuel_added_cl=(6000, 0),
    )
    found = sections(old + new, FuelUsedTot=lambda t_s: t_s / 100)
    assert found["life"]["lines"] == [
        "2.0 km driven",
        "engine 2.00 h, power 2.50 h",
        LANDINGS,
        "1,234 gear changes, 5 handbrake abuses",
    ]
    assert "42.1 l by the learned scale of the flow, 60 l refuelled" in found["fuel"]["lines"]
    assert "216 l in the tank at the end" in found["fuel"]["lines"]
    counters = rows_of(found["life"], "Counters, as the car keeps them on board", "counter")
    assert (counters["engine_s"]["value"], counters["engine_s"]["extra"]) == (7200, 9000)
    assert counters["fuel_used_cl"]["unit"] == "cl"


def test_life_of_one_flight(sections):
    found = summary(80, flights=(1, 640), landings_light=(1, 250))
    line = sections(found)["life"]["lines"][2]
    assert line.startswith("1 landings: 1 light, 0 medium, 0 hard, 0 severe; highest peak 2.5 g")


def test_life_without_a_flight(sections):
    lines = sections(summary(80, engine_s=(3600, 3600)))["life"]["lines"]
    assert lines[1:] == [
        "engine 1.00 h, power 1.00 h",
        "no landing",
        "0 gear changes, 0 handbrake abuses",
    ]


def test_an_unfinished_summary_does_not_count(sections):
    found = summary(20, shifts=(5, 0)) + summary(80, shifts=(9, 0))[:-1]
    assert any(line.startswith("5 gear") for line in sections(found)["life"]["lines"])


def test_lives_of_several_sessions_are_summed_or_the_greatest():
    """Counts and times add up; peaks, speeds, lengths and volumes are the greatest."""
    first = {
        "engine_s": (100, 200),
        "distance_m": (1000, 9000),
        "flights": (2, 800),
        "landings_light": (2, 310),
        "air_ms": (1500, 1),
        "fuel_used_cl": (500, 40_000),
        "alarm_warning_s": (10, 2),
        "diff_front_max": (9000, 30),
        "shifts": (40, 1),
    }
    second = {
        "engine_s": (10, 20),
        "distance_m": (300, 7000),
        "flights": (1, 1200),
        "landings_light": (1, 250),
        "air_ms": (1200, 2),
        "fuel_used_cl": (70, 39_000),
        "alarm_warning_s": (5, 1),
        "diff_front_max": (9500, 4),
        "shifts": (7, 0),
    }
    assert add_lives([first, second]) == {
        "engine_s": (110, 220),
        "distance_m": (1300, 9000),
        "flights": (3, 1200),
        "landings_light": (3, 310),
        "air_ms": (2700, 3),
        "fuel_used_cl": (570, 40_000),
        "alarm_warning_s": (15, 3),
        "diff_front_max": (9500, 34),
        "shifts": (47, 1),
    }
    assert add_lives([second, first]) == add_lives([first, second])
    assert add_lives([]) == {}


def test_minutes_over_temperature(sections):
    """Sump above 115 degC for 30 s, 0.5 min, of these 6 s, 0.1 min, above 130."""

    def sump(t_s):
        return during(20, 50, 120.0, 90.0)(t_s) + during(30, 36, 15.0)(t_s)

    rows = rows_of(sections(TrnOilTempSump=sump)["life"], "Over-temperature", "signal")
    assert rows["TrnOilTempSump"] == {
        "component": "Gearbox",
        "signal": "TrnOilTempSump",
        "warning_degC": 115.0,
        "critical_degC": 130.0,
        "over_warning_min": pytest.approx(0.5),
        "over_critical_min": pytest.approx(0.1),
        "level": "bad",
    }
    assert next(iter(rows)) == "TrnOilTempSump" and rows["CoolantTemp"]["level"] == "good"
    warm = rows_of(
        sections(TrnOilTempSump=during(20, 50, 120.0, 90.0))["life"], "Over-temperature", "signal"
    )
    assert warm["TrnOilTempSump"]["level"] == "warn"


# Engine


def test_engine_hours_power_and_limiters(sections):
    """900 Nm at 3,000 rpm are 900 * 3000 * 2 pi / 60e3 = 282.7 kW, above 261.9, 90 % of 291.

    For 10 s of 100, and 100 Nm else. Means of ten values, one each 50 ms: 191 of the 1,992 have
    all ten in the 10 s, 9.6 %. It runs above 430 rpm: 80 s of 100 s.
    """
    found = sections(
        EngSpd=during(0, 80, 3000.0, 430.0),
        EngTrqAct=during(20, 30, 900.0, 100.0),
        EngLimitActive=lambda t_s: during(20, 25, 1.0)(t_s) + during(40, 42, 6.0)(t_s),
    )["engine"]
    assert found["lines"] == [
        "running 1.3 min, highest 3,000 rpm",
        "highest power over 0.5 s 283 kW by the ECU's torque (limit 291 kW)",
        "9.6 % of the time above 90 % of the limit",
        "limiters: RevLimit 5.0 s, Knock 2.0 s",
    ]
    assert sections(EngLimitActive=0)["engine"]["lines"][-1] == "no limiter was active"


def test_oil_pressure_stands_beside_its_table(sections):
    """The table's 700 to 6,200 rpm make bands of 1,100 rpm: 2,900 to 4,000 holds 3,000 rpm.

    There the table says 330 kPa; at 1,500 rpm, in 700 to 1,800, 215 kPa. Lowest: 250 and 190.
    """
    found = sections(
        EngSpd=during(0, 50, 3000.0, 1500.0),
        EngOilPres=lambda t_s: (
            during(0, 50, 350.0, 300.0)(t_s)
            - during(20, 22, 100.0)(t_s)
            - during(60, 61, 110.0)(t_s)
        ),
    )["engine"]
    rows = rows_of(found, "EngOilPres by EngSpd", "from_rpm")
    assert list(rows) == [700.0, 2900.0]
    assert rows[2900.0] == {
        "from_rpm": 2900.0,
        "to_rpm": 4000.0,
        "lowest_kPa": 250.0,
        "table_there_kPa": 330.0,
        "mean_kPa": pytest.approx((480 * 350 + 20 * 250) / 500),
        "t_s": pytest.approx(20.0),
    }
    assert (rows[700.0]["lowest_kPa"], rows[700.0]["table_there_kPa"]) == (190.0, 215.0)


def test_boost_stands_beside_its_table(sections):
    """At 3,000 rpm the table says 205 kPa; the highest is shown, not the lowest."""
    found = sections(BoostB1=during(20, 21, 230.0, 150.0))["engine"]
    (row,) = rows_of(found, "BoostB1 by EngSpd", "from_rpm").values()
    assert (row["highest_kPa"], row["table_there_kPa"]) == (230.0, 205.0)


def test_limits_count_what_cannot_be(sections):
    """Coolant is believed up to 180 degC by the profile: 30 samples of 200 are left out."""
    found = sections(CoolantTemp=during(20, 23, 200.0, 90.0))["cooling"]
    row = rows_of(found, "Limits", "signal")["CoolantTemp"]
    assert (row["highest"], row["left_out_samples"], row["beyond_warning_s"]) == (90.0, 30, 0.0)


# The stage itself


def test_distance_and_speed(make_stage):
    """36 km/h for 50 s and 72 km/h for 50 s: 0.5 km and 1 km."""
    speed = dict.fromkeys(WHEELS, during(0, 50, 36.0, 72.0))
    stage = make_stage(**speed)
    assert stage.km(50_000_000) == pytest.approx(0.5, abs=0.002)
    assert stage.km(100_000_000) == pytest.approx(1.5, abs=0.02)  # it speeds up with 8 m/s2
    assert stage.seconds(25_000_000) == 25.0
    one_locked = make_stage(**(speed | {"WhlSpdRL": 0.0}))
    assert one_locked.km(50_000_000) == pytest.approx(0.5, abs=0.002)


def test_speed_follows_no_faster_than_a_car_can(make_stage):
    """From 0 to 108 km/h in an instant: 8 m/s2 give 8 m/s, 28.8 km/h, a second. Down 15 m/s2."""
    wheels = dict.fromkeys(WHEELS, during(20, 40, 108.0))
    stage = make_stage(**wheels)
    at = np.searchsorted(stage.grid_us, [21_000_000, 22_000_000, 41_000_000])
    up_1s, up_2s, down_1s = stage.speed_kmh[at]
    assert up_1s == pytest.approx(28.8, abs=1.5) and up_2s == pytest.approx(57.6, abs=1.5)
    assert down_1s == pytest.approx(108 - 54, abs=3)


def test_tiles(make_stage, facts_of_stage):
    stage = make_stage(**dict.fromkeys(WHEELS, during(0, 50, 0.0, 36.0)))
    facts = facts_of_stage(stage)
    summary = facts["summary"]
    # 36 km/h are reached after 1.25 s with 8 m/s2: 0.5 km less 6 m; the mean is of the moving part
    assert summary["distance_km"] == pytest.approx(0.494, abs=0.003)
    assert summary["mean_moving_kmh"] == pytest.approx(36, abs=0.5)
    assert summary["highest_kmh"] == pytest.approx(36.0)
    assert (summary["exceedances"], summary["jumps"], summary["hard_landings"]) == (0, 0, 0)
    assert facts["subtitle"] == "no wall clock, 1.7 min recorded, profile D7X-R no. 1"


def test_charts_draw_each_limit_in_its_own_level(make_stage):
    """Coolant 108 and 115 degC, battery 12.8 and 12.2 V, by dbc/profiles/d7xr.toml."""
    charts = {chart["id"]: chart for chart in stage_charts(make_stage())[0]}
    coolant, battery = charts["c-alarm-coolant"], charts["c-alarm-battery"]
    lines = [(line["y"], line["level"]) for line in coolant["limits"]]
    assert lines[:2] == [(108.0, "warn"), (115.0, "bad")]
    assert battery["limits"] == [{"y": 12.8, "level": "warn"}, {"y": 12.2, "level": "bad"}]
    assert (battery["unit"], battery["x_unit"], battery["x1"]) == ("V", "s", 100.0)


def test_the_worst_of_a_limit_below_a_table_is_the_lowest(sections):
    """Oil pressure 250 kPa at 40 s, 0.8 km, and 500 kPa at 70 s: the former is the worst."""

    def pressure(t_s):
        return during(40, 41, 250.0, 400.0)(t_s) + during(70, 71, 100.0)(t_s)

    rows = rows_of(sections(EngOilPres=pressure)["engine"], "Limits", "signal")
    assert rows["EngOilPres"]["worst_at_km"] == pytest.approx(0.8, abs=0.002)


def test_a_program_needs_no_text(make_stage, facts_of_stage):
    """50 of 100 s at 36 km/h, 0.494 km; 0.01 l/s: each number of a line has a name."""
    used = {"FuelUsedTot": lambda t_s: 10.0 + 0.01 * t_s}
    stage = make_stage(**dict.fromkeys(WHEELS, during(0, 50, 0.0, 36.0)), **used)
    sections = facts_of_stage(stage)["sections"]
    assert sections["fuel"]["values"]["used_l"] == pytest.approx(1.0)
    assert sections["fuel"]["values"]["driven_km"] == pytest.approx(0.494, abs=0.003)
    assert sections["health"]["values"] == {
        "recorded_s": 100.0,
        "key_cycles": 1,
        "frames": 0,
    }
    assert sections["life"]["values"] == {"driven_km": pytest.approx(0.494, abs=0.003)}
    engine = sections["engine"]["values"]
    assert engine["highest_rpm"] == 3000.0 and engine["running_min"] == pytest.approx(
        100 / 60, 0.01
    )
