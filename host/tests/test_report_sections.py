"""Edges of the sections: rows by distance, bands, limits of components, brakes, fans, life.

The stage is conftest.CALM, 72 km/h for 100 s, ten samples a second, 2 km. Limits are those of
dbc/profiles/d7xr.toml.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from stage_values import WHEELS, during, rows_of

from stagelog.decode.tables import MessageTable
from stagelog.report import chassis, driveline, limits
from stagelog.report import tables as t
from stagelog.report.damper import study_dampers, tails
from stagelog.report.events import StageEvents


def no_events(stage):
    return StageEvents(stage, [], None)


# Rows by distance


@pytest.mark.parametrize(
    ("km", "n"),
    [(0.0, 1), (0.3, 1), (0.9, 1), (1.0, 2), (2.2, 4), (5.0, 8), (84.9, 8), (95.1, 10), (990, 60)],
)
def test_rows_by_distance(km, n):
    """Of 10 km each; down to 0.5 km for up to eight of them; never more than 60."""
    edges = driveline.km_edges(SimpleNamespace(distance_km=np.array([0.0, km])))
    assert len(edges) == n + 1 and edges[[0, -1]].tolist() == [0.0, km]


def test_a_moment_on_an_edge_belongs_to_both_rows():
    """1 km in two rows of 0.5 km; no time in a row is no row."""
    stage = SimpleNamespace(distance_km=np.array([0.0, 0.25, 0.5, 0.75, 1.0]))
    found = [(a, b, inside.tolist()) for a, b, inside in driveline.km_rows(stage)]
    assert found == [(0.0, 0.5, [0, 1, 2]), (0.5, 1.0, [2, 3, 4])]
    jump = SimpleNamespace(distance_km=np.array([0.0, 0.1, 0.2, 0.9, 1.0]))
    assert [inside.tolist() for *_, inside in driveline.km_rows(jump)] == [[0, 1, 2], [3, 4]]
    lone = SimpleNamespace(distance_km=np.array([0.0, 0.1, 1.0]))
    assert [inside.tolist() for *_, inside in driveline.km_rows(lone)] == [[0, 1]]


def test_a_diff_that_cools_has_a_rate_below_zero(sections):
    """From 100 degC up to 105 in the first 12.5 s, then down 0.4 a second to 100 at 25 s."""

    def front(t_s):
        return 105 - 0.4 * np.abs(t_s - 12.5)

    rows = sections(DiffOilTempF=front)["diffs"]["tables"][0]["rows"]
    assert [row["t_s"] for row in rows] == [0.0, 25.0, 50.0, 75.0]
    assert rows[0]["diffoiltempf_highest_degC"] == pytest.approx(105.0, abs=0.05)
    assert rows[0]["diffoiltempf_rate_degC_per_min"] == pytest.approx(0.0, abs=0.1)
    assert rows[1]["diffoiltempf_rate_degC_per_min"] == pytest.approx(-24.0, abs=0.1)
    assert rows[1]["mean_speed_kmh"] == pytest.approx(72.0)


# Engine and gearbox


def test_bands_begin_at_their_edge(sections):
    """Edges each 1,100 rpm from 700 to 6,200: 1,800 is in the second band, 6,300 in the last."""
    found = sections(EngSpd=during(0, 50, 1800.0, 6300.0), EngOilPres=300.0)["engine"]
    rows = rows_of(found, "EngOilPres by EngSpd", "from_rpm")
    assert [(low, row["to_rpm"]) for low, row in rows.items()] == [
        (1800.0, 2900.0),
        (6200.0, None),
    ]
    # between 215 at 1,500 and 330 at 3,000; beyond the table its last, 400
    assert rows[1800.0]["table_there_kPa"] == pytest.approx(215 + 115 * 300 / 1500)
    assert rows[6200.0]["table_there_kPa"] == 400.0


def test_the_engine_runs_below_idle(sections):
    """It runs from 430 rpm on, by the profile; idle is 720."""
    found = sections(EngSpd=during(0, 30, 500.0, 0.0))["engine"]
    assert found["lines"][0] == "running 0.5 min, highest 500 rpm"


def test_tables_of_what_comes_first_stand_open(make_stage):
    stage = make_stage(GearAct=during(0, 60, 3.0, 4.0))
    folds = {
        one["title"]: one["fold"] for one in driveline.engine(stage, no_events(stage))["tables"]
    }
    assert (folds["EngOilPres by EngSpd"], folds["BoostB1 by EngSpd"]) == (None, 0)
    found = driveline.gearbox(stage, no_events(stage), [])["tables"]
    assert [one["title"] for one in found] == ["Gears", "Limits", "Gear abuse"]
    without = driveline.gearbox(make_stage(), no_events(stage), [])["tables"]
    assert [one["title"] for one in without] == ["Limits", "Gear abuse"]


# Limits


def test_limits_of_a_section_have_a_row_for_each_signal(sections):
    """Coolant has two alarms above a limit and one row; boost is judged by a table."""
    cooling = rows_of(sections()["cooling"], "Limits", "signal")
    assert list(cooling) == ["CoolantTemp", "Rad1Out", "Rad2Out", "Rad3Out"]
    table = next(one for one in sections()["cooling"]["tables"] if one["title"] == "Limits")
    assert len(table["rows"]) == 4 and "left_out_samples" not in table["rows"][0]
    assert (cooling["CoolantTemp"]["warning"], cooling["CoolantTemp"]["critical"]) == (
        108.0,
        115.0,
    )
    engine = rows_of(sections(BoostB2=during(20, 21, 180.0, 150.0))["engine"], "Limits", "signal")
    assert engine["BoostB2"]["highest"] == 180.0
    assert engine["BoostB2"]["worst_at_km"] == pytest.approx(0.4)
    assert engine["BoostB2"]["beyond_warning_s"] is None


def test_samples_left_out_are_a_column_where_one_signal_has_some(sections):
    """30 samples of the rear diff are 221 degC, which the profile does not believe."""
    found = sections(DiffOilTempR=during(20, 23, 221.0, 90.0))["gearbox"]
    rows = rows_of(found, "Limits", "signal")
    assert rows["DiffOilTempR"]["left_out_samples"] == 30
    assert rows["DiffOilTempF"]["left_out_samples"] is None


def test_the_worst_level_stands_first(make_stage):
    stage = make_stage()
    levels = {"DiffOilTempR": "warn", "TrfOilTemp": "bad"}
    events = SimpleNamespace(level_of=lambda key, signal: levels.get(signal, "good"))
    table = limits.limit_table(stage, "driveline", events)
    assert [(row["cells"][0], row["level"]) for row in table["rows"]] == [
        ("TrfOilTemp", "bad"),
        ("DiffOilTempR", "warn"),
        ("TrnOilTempSump", "good"),
        ("DiffOilTempF", "good"),
    ]
    assert table["fold"] == 10


def test_alarms_of_no_component_have_a_section(make_stage):
    stage = make_stage()
    assert limits.other_limits(stage, no_events(stage)) is None
    known = [c for c in stage.profile.report.component if c.section != "electrics"]
    stage.profile = replace(
        stage.profile, report=replace(stage.profile.report, component=tuple(known))
    )
    found = limits.other_limits(stage, no_events(stage))
    assert found["title"] == "Other limits" and found["id"] == "limits"
    ((row,),) = (table["rows"] for table in found["tables"])
    assert row["cells"][:2] == ["BattVolt", "V"] and row["chart"] == "c-alarm-battery"


# Dampers, brakes, fans


def test_a_damper_is_at_full_travel_from_97_percent_on(make_stage):
    """Of 330 mm in front: 320.1; 320.0 is not. Three times, one from the start, one at the end."""

    def front(t_s):
        some = during(0, 1, 170.1)(t_s) + during(30, 31, 171.0)(t_s) + during(99, 101, 180.0)(t_s)
        return 150.0 + some + during(60, 61, 170.0)(t_s)

    stage = make_stage(DmpPosFL=front, DmpPosRL=during(20, 21, 329.7, 150.0))
    hits = {name: one.hits for name, one in study_dampers(stage).items()}
    assert hits == {"DmpPosFL": 3, "DmpPosFR": 0, "DmpPosRL": 0, "DmpPosRR": 0}
    once = make_stage(DmpPosRR=during(20, 21, 329.8, 150.0))
    studied = study_dampers(once)
    assert studied["DmpPosRR"].hits == 1
    (table, *_) = chassis.dampers(once, no_events(once), studied)["tables"]
    rows = {r["cells"][0]: r for r in table["rows"]}
    assert (rows["DmpPosRR"]["level"], rows["DmpPosRL"]["level"]) == ("warn", "good")
    assert rows["DmpPosRR"]["x_s"] == 20.0


def test_speeds_of_a_damper():
    """2,001 speeds from -1.000 to 1.000 m/s: 0.1 % and 99.9 % are two steps from the ends."""
    speeds = np.arange(-1000, 1001) / 1000
    assert tails(iter([speeds]), 2001) == pytest.approx((0.998, 1.0, 0.998))
    assert tails(iter([]), 0) == (None, None, None)


@pytest.mark.parametrize("sizes", [[1], [2, 1], [700], [999, 1, 1000], [5000, 3, 40_000]])
def test_the_tails_of_pieces_are_numpy_s_of_the_whole(sizes):
    pieces = [np.random.default_rng(n).normal(0, 3, n) for n in sizes]
    whole = np.concatenate(pieces)
    low, high = np.percentile(whole, (0.1, 99.9))
    found = tails(iter(piece.copy() for piece in pieces), len(whole) + 5)
    assert found == pytest.approx((high, whole.max(), -low), rel=1e-12)


def test_two_samples_of_one_moment_have_no_speed(make_stage):
    """150, then 151 mm at the same moment: no speed; 1 mm in 100 ms is 0.01 m/s."""
    stage = make_stage(1)
    t_us = np.array([0, 100_000, 100_000, 200_000])
    for name, message in stage.decoded.messages.items():
        if "DmpPosFL" in message.signals:
            values = {"DmpPosFL": np.array([150.0, 151.0, 161.0, 162.0])}
            stage.decoded.messages[name] = MessageTable(
                message.message, t_us, np.zeros(4, np.uint8), None, values
            )
    studied = study_dampers(stage)
    (row, *_) = chassis.dampers(stage, no_events(stage), studied)["tables"][0]["rows"]
    assert row["cells"][0] == "DmpPosFL" and row["cells"][5] == pytest.approx(0.01)


def test_braking_counts_where_the_brake_is_pressed(sections):
    """The engine slows the car with 5 m/s2 from 50 s to 52 s; brakes are pressed from 20 s to 30 s
    only, while nothing slows it. The handbrake is pulled from the start.
    """
    speed = dict.fromkeys(WHEELS, lambda t_s: 72 - 18 * np.clip(t_s - 50, 0, 2))
    brakes = {"BrkPresF": during(20, 30, 1000.0), "BrkPresR": during(20, 30, 3000.0)}
    lines = sections(**speed, **brakes, HndBrkLinePres=during(0, 3, 500.0))["brakes"]["lines"]
    assert lines == [
        "0.0 MJ taken out by braking, 0 kJ/km (car without fuel)",
        "hardest braking 0.00 g",
        "braked 10.0 % of the time (front above 300 kPa)",  # 200 of 2,001 moments
        "front share of the line pressure 25 %",
        "handbrake used 1 times, fastest at 72 km/h",
    ]


def test_a_car_that_speeds_up_on_its_brakes_gives_no_energy_back(sections):
    """From 36 to 72 km/h with 5 m/s2, from 50 s to 52 s, the brake pressed from 50 s to 60 s; then
    down to 36 with 5 m/s2 from 55 s to 57 s: 390 kJ, as for 2,600 kg from 20 to 10 m/s.
    """

    def speed(t_s):
        return 36 + 18 * np.clip(t_s - 50, 0, 2) - 18 * np.clip(t_s - 55, 0, 2)

    given = {"BrkPresF": during(50, 60, 1000.0), "BrkPresR": 0.0}
    lines = sections(**dict.fromkeys(WHEELS, speed), **given)["brakes"]["lines"]
    # 500 + 30 + 60 + 30 + 430 m
    assert lines[0] == "0.4 MJ taken out by braking, 371 kJ/km (car without fuel)"
    assert lines[1] == "hardest braking 0.51 g"


def test_a_fan_at_its_limits_is_none_that_stands(sections):
    """2.0 A are enough, 50 % duty is not more than 50; dead from 40 s on for 3 s."""
    found = sections(
        Fan1Duty=50.0,
        Fan1Curr=0.0,
        Fan2Duty=during(20, 80, 80.0, 20.0),
        Fan2Curr=2.0,
        Fan3Duty=during(20, 80, 80.0, 20.0),
        Fan3Curr=during(40, 43, 1.9, 18.0),
    )["cooling"]
    rows = rows_of(found, "Fans", "fan")
    assert (rows["Fan1Curr"]["duty_over_50_s"], rows["Fan1Curr"]["and_below_2_a_s"]) == (0.0, 0.0)
    assert (rows["Fan2Curr"]["duty_over_50_s"], rows["Fan2Curr"]["and_below_2_a_s"]) == (60.0, 0.0)
    assert rows["Fan3Curr"]["and_below_2_a_s"] == pytest.approx(3.0)
    assert rows["Fan3Curr"]["t_s"] == 40.0 and "t_s" not in rows["Fan2Curr"]
    assert rows["Fan2Curr"]["mean_duty_pct"] == pytest.approx((600 * 80 + 401 * 20) / 1001)
    assert rows["Fan4Curr"]["highest_A"] == 20.0


def test_all_fans_at_full_duty_are_all_of_them(sections):
    """From 96 % on, not at 95; the fourth is at 30 % for the first half of the minute."""
    duty = {f"Fan{n}Duty": during(0, 60, 96.0, 95.0) for n in (1, 2, 3)}
    duty["Fan4Duty"] = during(30, 60, 100.0, 30.0)
    assert sections(**duty)["cooling"]["lines"] == [
        "all fans at full duty 0.5 min",
        "at full duty below 20 km/h 0.0 min",
    ]


# Life


def test_components_over_temperature_go_by_minutes(sections):
    """Discs 700 degC for 30 s, sump 131 degC for 12 s: 0.5 and 0.2 min; all else is at zero."""
    found = sections(
        DiscTempFL=during(20, 50, 700.0, 200.0), TrnOilTempSump=during(20, 32, 131.0, 90.0)
    )["life"]
    rows = rows_of(found, "Over-temperature", "signal")
    assert list(rows)[:2] == ["DiscTempFL", "TrnOilTempSump"]
    disc, sump = rows["DiscTempFL"], rows["TrnOilTempSump"]
    assert (disc["over_warning_min"], disc["over_critical_min"]) == (pytest.approx(0.5), 0.0)
    assert (disc["level"], sump["level"]) == ("warn", "bad")
    assert sump["over_critical_min"] == pytest.approx(0.2)
    assert "KnkRetCyl1" not in rows and "BattVolt" not in rows and "TyrPresFL" not in rows


def test_a_record_keeps_the_very_start_and_six_digits():
    columns = [t.words("a"), t.column("b", "s", 3)]
    row = t.row("x", 1 / 3, x_s=0.0)
    assert t.records(t.table(columns, [row])) == [{"a": "x", "b_s": 0.333333, "t_s": 0.0}]
