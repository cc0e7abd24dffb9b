"""Facts of the gearbox, the diffs, brakes, dampers, tyres and cooling, from signals of which every
value is chosen here, as in test_report_facts.py.
"""

import numpy as np
import pytest
from stage_values import WHEELS, during, rows_of

# Gearbox


def test_gears_shifts_and_converter(sections):
    """D3 for 60 s at 3,000 rpm, D4 from then on at 4,000: one shift on 2 km."""
    found = sections(
        GearAct=during(0, 60, 3.0, 4.0),
        EngSpd=during(0, 60, 3000.0, 4000.0),
        TccState=lambda t_s: during(25, 50, 1.0)(t_s) + during(50, 200, 2.0)(t_s),
    )["gearbox"]
    assert found["lines"] == [
        "1 shifts, 0.5 per km",
        "converter: open 25 %, slip 25 %, locked 50 % of the time",
    ]
    rows = rows_of(found, "Gears", "gear")
    assert rows["D3"] == {
        "gear": "D3",
        "time_s": pytest.approx(60),
        "share_pct": pytest.approx(60),
        "shifts_into": 0,
        "highest_engine_speed_rpm": 3000.0,
    }
    assert (rows["D4"]["shifts_into"], rows["D4"]["highest_engine_speed_rpm"]) == (1, 4000.0)
    assert rows["D4"]["time_s"] == pytest.approx(40)


def test_gear_abuse_stands_in_the_table(sections):
    """30 s out of gear above 20 km/h are coasting; 10 s of 300 Nm on a still output a stall."""
    found = sections(
        GearAct=during(20, 50, 0.0, 3.0),
        GearTgt=3,
        TrnOutSpd=during(60, 70, 10.0, 1000.0),
        EngTrqAct=during(60, 70, 300.0, 100.0),
        ShiftInProg=0,
    )["gearbox"]
    rows = next(table["rows"] for table in found["tables"] if table["title"] == "Gear abuse")
    assert rows == [
        {
            "abuse": "out of gear at 72 km/h",
            "at_km": pytest.approx(0.4, abs=0.002),
            "after_min": pytest.approx(20 / 60, abs=1e-6),
            "value": pytest.approx(30.0),
            "unit": "s",
            "level": "warn",
            "t_s": 20.0,
        },
        {
            "abuse": "300 Nm against wheels that stand",
            "at_km": pytest.approx(1.2, abs=0.002),
            "after_min": 1.0,
            "value": pytest.approx(10.0),
            "unit": "s",
            "level": "warn",
            "t_s": 60.0,
        },
    ]


def test_diffs_by_distance(sections):
    """80 degC and 0.2 degC a second, 12 a minute: rows of 25 s end at 85, 90, 95, 100 degC."""
    rows = sections(DiffOilTempF=lambda t_s: 80 + 0.2 * t_s)["diffs"]["tables"][0]["rows"]
    highest = [row["diffoiltempf_highest_degC"] for row in rows]
    assert highest == pytest.approx([85, 90, 95, 100], abs=0.1)
    rates = [row["diffoiltempf_rate_degC_per_min"] for row in rows]
    assert rates == pytest.approx([12] * 4, rel=0.02)
    assert [row["diffoiltempr_rate_degC_per_min"] for row in rows] == [0.0] * 4


# Brakes, dampers, tyres, cooling


def braking(t_s):
    """72 km/h, from 50 s to 52 s down to 36 with 5 m/s2, then 36."""
    return 72 - 18 * np.clip(t_s - 50, 0, 2)


def test_braking(sections):
    """2,600 kg from 20 to 10 m/s: 2600 * (400 - 100) / 2 = 390 kJ. 5 m/s2 are 0.51 g.

    Driven are 1,000 + 30 + 480 m: 258 kJ/km. 1,000 kPa front and 500 rear: 67 % front. Of 100 s
    2 s are braked; 300 kPa, as for the rest, is not yet braking.
    """
    found = sections(
        **dict.fromkeys(WHEELS, braking),
        BrkPresF=during(50, 52, 1000.0, 300.0),
        BrkPresR=during(50, 52, 500.0, 0.0),
        HndBrkLinePres=lambda t_s: during(10, 11, 500.0)(t_s) + during(80, 81, 500.0)(t_s),
    )["brakes"]
    assert found["lines"] == [
        "0.4 MJ taken out by braking, 258 kJ/km (car without fuel)",
        "hardest braking 0.51 g",
        "braked 2.0 % of the time (front above 300 kPa)",
        "front share of the line pressure 67 %",
        "handbrake used 2 times, fastest at 72 km/h",
    ]
    unused = sections(BrkPresF=0, BrkPresR=0, HndBrkLinePres=300)["brakes"]["lines"]
    assert unused[0] == "0.0 MJ taken out by braking, 0 kJ/km (car without fuel)"
    assert unused[-1] == "handbrake not used"


def test_tyres(sections):
    """From 220 kPa down to 170 at 30 s, up again to 180; the tyre becomes 71 degC warm."""

    def pressure(t_s):
        return np.where(t_s < 29.95, 220.0, 180.0) - during(30, 31, 10.0)(t_s)

    found = sections(TyrPresRL=pressure, TyrTempRL=during(40, 41, 71.0, 50.0))
    row = rows_of(found["tyres"], "", "tyre")["TyrPresRL"]
    assert row == {
        "tyre": "TyrPresRL",
        "start_kPa": 220.0,
        "end_kPa": 180.0,
        "lowest_kPa": 170.0,
        "highest_kPa": 220.0,
        "lowest_at_km": pytest.approx(0.6, abs=0.002),
        "hottest_degC": 71.0,
        "t_s": pytest.approx(30.0),
    }
    assert rows_of(found["tyres"], "", "tyre")["TyrPresRR"]["hottest_degC"] is None


def test_dampers(sections):
    """Droop is below 3 % of 330 mm, 9.9 mm: 5 s of it. It falls 140 mm in a step: -1.4 m/s."""
    found = sections(DmpPosFR=during(20, 25, 9.8, 150.0))["dampers"]
    row = rows_of(found, "", "damper")["DmpPosFR"]
    assert row["at_full_droop_s"] == pytest.approx(5.0)
    assert row["compression_highest_m_per_s"] == pytest.approx(1.402)
    assert row["mean_mm"] == pytest.approx((951 * 150 + 50 * 9.8) / 1001)
    assert row["travel_used_pct"] == pytest.approx(100 * 150 / 330)
    none = sections(DmpPosFR=during(20, 25, 9.9, 150.0))["dampers"]
    assert rows_of(none, "", "damper")["DmpPosFR"]["at_full_droop_s"] == 0.0


def test_cooling(sections):
    """Fan 2 at 80 % for 40 s draws 1 A in 8 of them: longer than 5 s is a fault. Fan 3 1.9 A for
    4 s. All four at 100 % for 30 s, in 12 s of it below 20 km/h.
    """
    duty = {f"Fan{n}Duty": during(0, 30, 100.0, 30.0) for n in (1, 3, 4)}
    duty["Fan2Duty"] = lambda t_s: during(0, 30, 100.0, 30.0)(t_s) + during(40, 80, 50.0)(t_s)
    found = sections(
        **duty,
        **dict.fromkeys(WHEELS, during(0, 12, 10.0, 72.0)),
        Fan2Curr=during(50, 58, 1.0, 20.0),
        Fan3Curr=during(0, 4, 1.9, 20.0),
        Rad1In=during(0, 50, 100.0, 90.0),
        Rad1Out=70,
    )["cooling"]
    rows = rows_of(found, "Fans", "fan")
    assert rows["Fan2Curr"]["duty_over_50_s"] == pytest.approx(70.0)
    assert rows["Fan2Curr"]["and_below_2_a_s"] == pytest.approx(8.0)
    assert (rows["Fan2Curr"]["level"], rows["Fan3Curr"]["level"]) == ("warn", "good")
    assert rows["Fan3Curr"]["and_below_2_a_s"] == pytest.approx(4.0)
    assert rows["Fan1Curr"]["and_below_2_a_s"] == 0.0
    assert rows["Fan1Curr"]["highest_A"] == 20.0
    assert found["lines"][0] == "all fans at full duty 0.5 min"
    assert found["lines"][1] == "at full duty below 20 km/h 0.2 min"
    radiator = rows_of(found, "Radiators", "radiator")["Rad1In to Rad1Out"]
    mean_in = (500 * 100 + 501 * 90) / 1001
    assert radiator["in_mean_degC"] == pytest.approx(mean_in)
    assert radiator["in_highest_degC"] == 100.0 and radiator["out_mean_degC"] == 70.0
    assert radiator["mean_drop_K"] == pytest.approx(mean_in - 70)


def test_a_fan_that_nobody_asked_for_may_stand(sections):
    found = sections(Fan1Duty=30, Fan1Curr=during(20, 40, 0.0, 20.0))["cooling"]
    row = rows_of(found, "Fans", "fan")["Fan1Curr"]
    assert (row["and_below_2_a_s"], row["level"]) == (0.0, "good")


def test_a_damper_at_full_travel_from_the_start_counts(sections):
    found = sections(DmpPosFL=during(0, 10, 330.0, 150.0))["dampers"]
    assert rows_of(found, "", "damper")["DmpPosFL"]["at_full_travel_times"] == 1
