"""The n-th call fails, short form: to card and settings memory, once and for good."""

import pytest

from campaigns.engine.card import nth_call as nth
from campaigns.engine.results import Tally
from campaigns.engine.soak import heaps
from stagelog.rig.runtimes import find_runtime

SEED = 20261120


@pytest.mark.parametrize("scenario", nth.SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_main_loop_survives_any_failing_call(scenario):
    tally = Tally(SEED)
    n_calls = nth.run_case(tally, scenario, None, False)
    for n in range(1, n_calls + 1, 1 + n_calls // 6):
        for for_good in (False, True):
            nth.run_case(tally, scenario, n, for_good)
    assert n_calls > 100
    assert not tally.findings, "\n".join(map(str, tally.findings))


def test_too_small_a_heap_leaves_no_half_truth_on_the_card():
    if find_runtime("unix64") is None:
        pytest.skip("no MicroPython: run tools/runtimes unix64")
    tally = Tally(SEED)
    heaps.run(tally, 6)
    assert not tally.findings, "\n".join(map(str, tally.findings))
    assert "are enough" in heaps.rows(tally)[0].worst
