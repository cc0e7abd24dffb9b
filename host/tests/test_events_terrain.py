"""Litres by terrain: which mode a kilometre counts for, every number worked out here.

An event comes each 60 s, one each km; `extra` is what was used so far, cl.
"""

import numpy as np
import pytest

from slog import events as ev
from stagelog.events import Detected, fuel_by_terrain
from stagelog.profile import load_profile


@pytest.fixture(scope="module")
def profile():
    return load_profile()


def kilometres(*used_cl):
    return [
        Detected(n * 60_000_000, ev.FUEL, 1, 50_000 - used, used) for n, used in enumerate(used_cl)
    ]


def test_a_kilometre_counts_for_the_mode_that_was_active_longest_in_it(profile):
    """0 to 60 s: 20 s of mode 1, 40 s of mode 2. 60 to 120 s: 50 s of 1, 10 s of nothing known.
    120 to 180 s: the counter begins again, so it counts for nothing. 180 to 240 s: 20 s of nothing
    known, 40 s of 7, which has no name.
    """
    t_us = np.array([0, 20, 60, 110, 200]) * 1_000_000
    mode = (t_us, np.array([1, 2, 1, np.nan, 7]), {1: "Stage", 2: "Sand"})
    found = fuel_by_terrain(kilometres(0, 50, 130, 100, 180), mode, profile)
    rows = {row.terrain: (row.km, row.used_l, row.l_per_100km) for row in found}
    assert rows == {
        "Sand": (1.0, 0.5, 50.0),
        "Stage": (1.0, 0.8, 80.0),
        "7": (1.0, 0.8, 80.0),
        "all": (3.0, 2.1, 70.0),
    }
    assert found[-1].terrain == "all"
    plans = {row.terrain: row.plan_l_per_100km for row in found}
    assert plans["7"] is None and plans["all"] is None and plans["Stage"] is not None


def test_the_terrain_with_the_most_km_stands_first(profile):
    t_us = np.array([0, 60, 120, 180]) * 1_000_000
    mode = (t_us, np.array([2, 1, 1, 1]), {1: "Stage", 2: "Sand"})
    found = fuel_by_terrain(kilometres(0, 50, 100, 150), mode, profile)
    assert [(row.terrain, row.km) for row in found] == [
        ("Stage", 2.0),
        ("Sand", 1.0),
        ("all", 3.0),
    ]


def test_a_kilometre_before_the_first_mode_is_unknown(profile):
    mode = (np.array([70_000_000]), np.array([1.0]), {1: "Stage"})
    found = fuel_by_terrain(kilometres(0, 50, 100), mode, profile)
    assert [row.terrain for row in found] == ["unknown", "Stage", "all"]


def test_only_the_time_within_a_kilometre_counts(profile):
    """Mode 1 for 130 s, then 2: of the third kilometre 10 s and 50 s. None known in the fourth."""
    t_us = np.array([0, 130, 180, 230]) * 1_000_000
    mode = (t_us, np.array([1, 2, np.nan, np.nan]), {1: "Stage", 2: "Sand"})
    found = fuel_by_terrain(kilometres(0, 10, 20, 30, 40), mode, profile)
    assert {row.terrain: row.km for row in found} == {
        "Stage": 2.0,
        "Sand": 1.0,
        "unknown": 1.0,
        "all": 4.0,
    }


def test_kilometres_before_a_scale_was_learned_count_by_it(profile):
    """0.50 and 0.50 l; the scale becomes 1.02, so the first km are 2 % more and the sum so far is
    1.02 l. One km of 0.51 l follows in sand. A new session, by its own scale, in sand: 0.40 l.
    """
    found = [
        *kilometres(0, 50, 100),
        Detected(121_000_000, ev.FLOW_SCALE, 1, 1_020_000, 9000),
        Detected(180_000_000, ev.FUEL, 1, 49_847, 153),
        Detected(200_000_000, ev.TABLE, 1, 4, 0),
        Detected(240_000_000, ev.FUEL, 1, 49_847, 0),
        Detected(300_000_000, ev.FUEL, 1, 49_807, 40),
    ]
    mode = (np.array([0, 121]) * 1_000_000, np.array([1, 2]), {1: "Stage", 2: "Sand"})
    rows = {row.terrain: (row.km, row.used_l) for row in fuel_by_terrain(found, mode, profile)}
    assert rows == {"Stage": (2.0, 1.02), "Sand": (2.0, 0.91), "all": (4.0, 1.93)}
