"""What the next km burn, against sums worked out step by step and by hand."""

import pytest

from detectors.consumption import Consumption


def by_sum(var, alike, n):
    """Variance of the mean of n values of an autoregression after one that is known: every new
    shock of var (1 - alike^2) counts in all values from its own on.
    """
    shock = var * (1 - alike**2)
    weights = [sum(alike**j for j in range(n - i)) for i in range(n)]
    return shock * sum(w * w for w in weights) / n**2


def test_one_stretch_that_burns_the_plan_leaves_nearly_all_open():
    """Plan 800: sigma 300, 90,000. A long mean has 9 times the variance, so one stretch takes a
    tenth of what is open of it; of 200 stretches, four lie near the one that is known.
    """
    burns = Consumption(800, 20_000, 5_000)
    burns.add(800)
    mean, var = burns.ahead(200)
    assert mean == 800
    assert var == pytest.approx(0.9 * 90_000 * 0.98**2 + by_sum(90_000, 0.8, 200), rel=0.02)


def test_what_is_always_the_same_narrows_the_band():
    """Plan 700: V = 262^2 = 68,644. Each of 39 more stretches without any variation takes 1/k of
    it, k = 5 to 43: V x 4/5 x 5/6 x .. x 42/43 = V x 4/43 = 6,385. Long mean: 9 x 6,385 = 57,468,
    known from 40: 40 x 68,644 / (40 x 68,644 + 57,468) = 0.9795 of it. 600 burned: 602.
    """
    burns = Consumption(700, 20_000, 5_000)
    for _ in range(40):
        burns.add(600)
    mean, var = burns.ahead(50)
    assert mean == pytest.approx(602, abs=1)
    # of the mean: 68,644 x 0.0205 x (1 - 4/50)^2 = 1,191
    assert var == pytest.approx(by_sum(6385, 0.8, 50) + 1191, rel=0.1)


def test_stretches_by_turns_are_not_alike_and_the_last_does_not_count():
    """500 and 900 by turns: each is unlike its neighbour, so the mean of what comes is 700."""
    burns = Consumption(700, 20_000, 5_000)
    for _ in range(40):
        burns.add(500)
        burns.add(900)
    mean, var = burns.ahead(20)
    assert mean == pytest.approx(700, abs=4)
    # 200^2 / 20 and what is not known of the mean: 200^2 / 80
    assert var == pytest.approx(2000 + 500, rel=0.15)


def test_long_halves_are_alike_and_the_last_counts_for_the_next():
    """20 stretches of 500, 20 of 900: the next one is nearer to 900 than to the mean of 700; those
    of the next 100 are not.
    """
    burns = Consumption(700, 20_000, 5_000)
    for ml in [500] * 20 + [900] * 20:
        burns.add(ml)
    assert burns.ahead(1)[0] > 870
    assert 690 < burns.ahead(100)[0] < 750
    assert burns.ahead(1)[1] < burns.ahead(10)[1]  # it widens first


def test_a_range_by_hand():
    """Always 700 ml/km, the plan too, known within sqrt(0.0205 V) = 38 and what lies between,
    sqrt(V x 4/43 x 9/57) = 32: 7 % together. 210 l at a scale of 1.05 are 210 / 0.735 = 285.7 km.
    A tank known to 21 l, 10 %: 12.2 % with the 7 %; 285.7 / (1 + 1.281 x 0.122) = 247.
    """
    burns = Consumption(700, 20_000, 5_000)
    for _ in range(40):
        burns.add(700)
    p50, p10 = burns.ranges(21_000, 2_100, 1_050_000, 5)
    assert p50 / 10 == pytest.approx(285.7, rel=0.003)
    assert p10 / 10 == pytest.approx(247, rel=0.015)
    assert burns.ranges(0, 2_100, 1_000_000, 5) == (0, 0)
