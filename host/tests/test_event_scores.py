"""The judge of the event benchmark: what counts as found, false, withdrawn or nothing."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from event_flights import markdown, score_corpus
from event_scores import Score, score_flights


@pytest.mark.parametrize(
    ("found", "long", "false", "withdrawn"),
    [
        ([(10.02, 10.62, 10.12)], 1, 0, 0),
        ([(10.02, 10.62, 10.12), (10.3, 10.6, 10.4)], 1, 0, 0),  # twice, but once is true
        ([(10.4, 11.4, 10.5)], 0, 0, 0),  # near, but not it
        ([(30.0, 30.3, 30.1)], 0, 1, 0),
        ([(30.0, None, 30.1)], 0, 0, 1),
        ([(20.0, 20.2, 20.1)], 0, 0, 0),  # a hop too short to ask for
        ([], 0, 0, 0),
    ],
)
def test_what_is_found_is_judged_by_the_truth(found, long, false, withdrawn):
    score = score_flights([(10.0, 10.6), (20.0, 20.1)], found, km=50.0)
    assert score.true == {"0.2-0.4 s": 0, "> 0.4 s": 1}
    assert (score.found["> 0.4 s"], score.false, score.withdrawn) == (long, false, withdrawn)
    row = Score.total([score, score]).row()
    assert row["false_per_100km"] == 2.0 * false
    assert row["live_per_100km"] == 2.0 * (false + withdrawn)


def test_a_row_has_its_intervals():
    """8 of 10: Wilson's 49.0 to 94.3 %, as Newcombe's table of 1998 has it; none false on 50 km:
    at most 3.7 events, 7.4 on 100 km, by the exact Poisson limit 3.689.
    """
    true = [(10.0 * k, 10.0 * k + 0.6) for k in range(1, 11)]
    score = score_flights(true, [(a, b, a) for a, b in true[:8]], km=50.0)
    row = score.row()
    assert row["interval_long_pct"] == pytest.approx((49.0, 94.3), abs=0.1)
    assert row["interval_short_pct"] is None
    assert row["false_at_most_per_100km"] == pytest.approx(7.38, abs=0.05)


def test_errors_are_signed_and_latency_is_from_the_true_onset():
    score = score_flights([(10.0, 10.6)], [(9.98, 10.7, 10.1)], km=1.0)
    assert score.onset == [pytest.approx(-0.02)]
    assert score.airtime == [pytest.approx(0.12)]
    assert score.latency == [pytest.approx(0.1)]


def test_a_terrain_is_scored_beside_the_peers(tmp_path, monkeypatch):
    monkeypatch.setenv("STAGELOG_CACHE", str(tmp_path))
    monkeypatch.setattr("event_drives.key_of", lambda profile: "test")
    rows, missed = score_corpus("d7xr", range(7, 8), kinds=("hops",))
    assert missed == []
    ours = rows["stagelog"]["hops"]
    assert ours["n_short"] + ours["n_long"] > 2
    assert ours["recall_short_pct"] == ours["recall_long_pct"] == 100.0
    assert rows["PX4 free fall"]["all"]["recall_short_pct"] < 50.0
    assert "| stagelog, hops | 1 |" in markdown(rows)
