"""What the host makes of events and raw signals for the report: litres by terrain, gear abuse."""

from dataclasses import replace

import numpy as np
import pytest

from slog import events as ev
from stagelog.car import drive
from stagelog.car.scenarios.parts import start
from stagelog.car.story import Leg, Scenario
from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode
from stagelog.events import (
    Detected,
    compile_table,
    find_gear_abuse,
    fuel_by_terrain,
    recompute,
)
from stagelog.profile import dbc_file, load_profile

TWO = Scenario(
    name="two",
    number=0,
    summary="track, then dunes",
    legs=(
        start(2.0),
        Leg("drive", "track", 6000.0, natural=False),
        Leg("drive", "dunes", 4000.0, natural=False),
    ),
)


@pytest.fixture(scope="module")
def profile():
    return load_profile()


def test_litres_by_terrain_are_those_of_the_truth(profile):
    made = drive(TWO, seed=6)
    table = compile_table(profile, dbc_file(profile))
    rows = made.frames[made.frames["can_id"] == 0x170]
    names = {1: "Stage", 2: "Sand"}
    mode = (rows["t_us"], rows["data"][:, 2] & 7, names)
    found = fuel_by_terrain(recompute(made.frames, table), mode, profile)
    assert [row.terrain for row in found] == ["Stage", "Sand", "all"]
    km, fuel = made.truth.arrays["distance_m"] / 1e3, made.truth.arrays["fuel_l"]
    for row, (low, high) in zip(found, ((0.5, 5.5), (6.5, 9.5)), strict=False):
        a, b = np.searchsorted(km, (low, high))
        true = 100 * (fuel[a] - fuel[b]) / (high - low)
        assert row.l_per_100km == pytest.approx(true, rel=0.15)
    assert found[0].plan_l_per_100km == profile.fuel.plan_l_per_100km["mixed"]
    assert found[2].km == found[0].km + found[1].km
    assert found[2].used_l == pytest.approx(found[0].used_l + found[1].used_l)


def test_a_pause_and_a_missing_mode_count_as_nothing_and_unknown(profile):
    events = [
        Detected(n * 60_000_000, code, 1, 50_000 - used, used)
        for n, (code, used) in enumerate(
            ((ev.FUEL, 0), (ev.FUEL, 60), (ev.RESUMED, 0), (ev.FUEL, 5000), (ev.FUEL, 5080))
        )
    ]
    found = fuel_by_terrain(events, None, profile)
    assert [(r.terrain, r.km, r.used_l) for r in found] == [
        ("unknown", 2.0, 1.4),
        ("all", 2.0, 1.4),
    ]
    assert fuel_by_terrain([], None, profile) == []


def steps(*pairs, end_s=20.0):
    """Return a series of values that hold from a second on."""
    t_us = np.arange(0, int(end_s * 1e6), 10_000)
    at = np.searchsorted([s * 1e6 for s, _ in pairs], t_us, side="right") - 1
    return t_us, np.array([v for _, v in pairs], float)[at]


def signals(profile, **columns):
    """Return the function that find_gear_abuse asks, of a car that does nothing but `columns`."""
    g, r = profile.gearbox_abuse, profile.roles
    names = {"gear": r.gear, "target": g.gear_target, "shifting": g.shifting}
    names |= {"rpm": r.engine_speed, "torque": r.engine_torque, "input_rpm": g.input_speed}
    names |= {"output_rpm": g.output_speed, "speed": r.wheel_speed[0]}
    calm = {"gear": 4, "target": 4, "shifting": 0, "rpm": 2500, "torque": 200}
    calm |= {"input_rpm": 2480, "output_rpm": 1500, "speed": 60}
    made = {names[key]: steps((0.0, value)) for key, value in calm.items()}
    made |= {names[key]: column for key, column in columns.items()}
    return made.get


@pytest.mark.parametrize(
    ("columns", "kind", "value"),
    [
        ({}, None, None),
        (
            {"target": steps((0, 4), (5, 2), (5.2, 4)), "output_rpm": steps((0, 2000))},
            "downshift_over_rev",
            7040,
        ),
        ({"target": steps((0, 4), (5, 2), (5.2, 4))}, None, None),
        (
            {"shifting": steps((0, 0), (5, 1), (5.2, 0)), "torque": steps((0, 600))},
            "shift_under_load",
            600,
        ),
        ({"shifting": steps((0, 0), (5, 1), (5.2, 0))}, None, None),
        ({"input_rpm": steps((0, 2480), (5, 1000), (10, 2480))}, "converter_slip", 7500),
        ({"input_rpm": steps((0, 2480), (5, 1000), (6, 2480))}, None, None),
        (
            {"output_rpm": steps((0, 1500), (5, 0), (12, 1500)), "torque": steps((0, 400))},
            "stall_torque",
            7.0,
        ),
        ({"gear": steps((0, 4), (5, 0), (9, 4))}, "neutral_coasting", 4.0),
        ({"gear": steps((0, 4), (5, 0), (9, 4)), "speed": steps((0, 5))}, None, None),
    ],
)
def test_gear_abuse_is_found_beyond_its_limit_only(profile, columns, kind, value):
    found = find_gear_abuse(signals(profile, **columns), profile)
    assert [fact.kind for fact in found] == ([kind] if kind else [])
    if kind:
        assert found[0].value == pytest.approx(value, rel=0.01)
        assert found[0].t_us == pytest.approx(5e6, abs=2e4)


def test_gear_abuse_does_without_signals_that_are_missing(profile):
    assert find_gear_abuse(lambda name: None, profile) == []
    only = {profile.roles.gear: steps((0, 4), (5, 0), (9, 4))}
    assert find_gear_abuse(only.get, profile) == []


def test_a_calm_drive_has_no_gear_abuse(profile):
    story = replace(TWO, legs=TWO.legs[:2])
    made = drive(story, seed=6)
    decoded = decode(made.frames, compile_plan(load_database(dbc_file(profile))))

    def series(name):
        try:
            return decoded.series(name)
        except KeyError:
            return None

    assert find_gear_abuse(series, profile) == []
