"""The other tank and its ways against hand computation; its scores against small cases."""

import numpy as np
import pytest

from campaigns.engine.other_tank import day, scores
from campaigns.engine.other_tank.command import markdown
from campaigns.engine.other_tank.way import KINDS, SCORING, TUNING, Kind, Way
from stagelog.profile import load_profile


def a_way(kind, seed=1):
    return Way(kind, np.random.default_rng(seed))


def test_kinds_for_tuning_and_for_scoring_are_not_the_same():
    """Nor is any one of them as a kind of the other set."""
    assert not set(TUNING) & set(SCORING) and not set(TUNING.values()) & set(SCORING.values())


def test_an_even_way_without_noise_burns_always_the_same():
    """50 l at so many ml a km and 100 ml of standing: 50,000 / (ml + 100) km."""
    way = a_way(Kind(None, 0.0, 0.0))
    ml = way.next_ml()
    assert [way.next_ml() for _ in range(50)] == [pytest.approx(ml)] * 50
    assert way.range_km(50, 100) == pytest.approx(50_000 / (ml + 100), abs=0.01)


def test_stretches_are_as_long_as_their_kind_says():
    """Mean 20 km, at least half of it; two stretches in a row differ."""
    way = a_way(Kind(20, 0.0, 0.0, steady=True))
    burned = np.array([way.next_ml() for _ in range(20_000)])
    ends = np.flatnonzero(np.diff(burned))
    lengths = np.diff(ends)
    assert lengths.min() == 10 and lengths.mean() == pytest.approx(20, rel=0.05)
    assert len(np.unique(burned)) == 6


def test_a_way_is_continued_in_its_stretch_and_then_anew():
    way = a_way(Kind(200, 0.0, 0.0, steady=True))
    ml = way.next_ml()
    for seed in (1, 2):
        other = way.continued(np.random.default_rng(seed))
        ahead = [other.next_ml() for _ in range(1000)]
        assert ahead[:99] == [pytest.approx(ml)] * 99
    assert way.next_ml() == pytest.approx(ml)


def test_floats_show_the_profile_but_for_their_errors():
    """Without errors: 300 l by the mean of both curves, 540 l beyond the upper end: 392 mm."""
    tank = day._Tank(load_profile(), np.random.default_rng(1))
    tank.gain[:], tank.bow[:] = 1, 0
    a, b = tank.show(np.full(400, 300.0), 0.0)
    assert tank.volume_of(a, b) == pytest.approx(300, abs=0.2)
    assert max(tank.show(np.full(400, 548.0), 0.0)[0]) == 39_200
    tilted = tank.show(np.full(400, 300.0), 10.0)
    assert np.mean(tilted[1]) - np.mean(b) == pytest.approx(1000, abs=10)
    assert np.mean(tilted[0]) - np.mean(a) == pytest.approx(-1000, abs=10)


def test_a_day_adds_up():
    """What was at the start, and refuelled, less burned, is left; the meter is within 3 %."""
    profile, rows = scores._car()
    drive = day.Drive(profile, rows, "plateau", 3, 40)
    found = drive.run()
    assert drive.start + found.added_l - found.burned_l == pytest.approx(found.volume_l, abs=0.01)
    assert abs(found.true_scale - 1) < 0.04
    assert len(found.words) == 8 and [w.km for w in found.words] == list(range(5, 41, 5))
    assert found.metered_l == pytest.approx(drive.fuel.metered_ml / 1000, abs=0.1)


def test_entered_volumes_are_those_of_the_days_refuels():
    """Seed 5 of patchwork refuels in 300 km; a bowser's meter is within 1.5 %. All else of the day
    is as without them.
    """
    profile, rows = scores._car()
    days = [day.Drive(profile, rows, "patchwork", 5, 300, entered) for entered in (False, True)]
    plain, entered = (each.run() for each in days)
    assert plain.added_l == entered.added_l > 50 and plain.metered_l == entered.metered_l
    assert entered.found_l == pytest.approx(entered.added_l, rel=0.015)
    assert plain.found_l != entered.found_l and not days[1]._entered  # all of them were used


def test_scores_of_two_days():
    """P50 holds in one of two, P10 in both. Used: off by 1 and 3 l, so the median is 2. True scale
    1.02 and 1.00, found 1.00 and 1.00: off by 1.96 and 0 %.
    """
    days = [
        day.Day("x", 0, 100, 102, 300, 0, 100, 110, 101, 300, 0, 1.0, 0.01),
        day.Day("x", 1, 100, 100, 300, 0, 100, 100, 103, 290, 0, 1.0, 0.01),
    ]
    row = scores.row([(days[0], [(110, 90, 100)]), (days[1], [(90, 80, 100)])])
    assert (row["p50_kept_pct"], row["p10_kept_pct"]) == (50.0, 100.0)
    assert row["used_median_l"] == 2.0 and row["used_flow_median_l"] == 1.0
    assert row["scale_median_pct"] == 0.98 and row["left_median_l"] == 5.0
    text = markdown({"x": row})
    assert text.count("\n") == 2 and "| 50.0 (9.5-90.5) |" in text


def test_every_kind_can_be_driven():
    assert all(a_way(kind).next_ml() > 0 for kind in KINDS.values())
