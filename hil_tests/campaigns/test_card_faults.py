"""The card campaign, short form: L5, L11, L12 and L13 on cards with every fault we know."""

import pytest

from campaigns.engine import controls
from campaigns.engine.card import campaign as cards
from campaigns.engine.results import Tally

SEED = 20261120


@pytest.mark.parametrize("fault", cards.FAULTS, ids=lambda fault: fault.__name__)
def test_l11_l12_l13_a_card_fault_is_noticed_shown_and_counted(fault):
    tally = Tally(SEED)
    for number in range(3):
        cards.run_case(tally, fault, number)
    assert not tally.findings, "\n".join(map(str, tally.findings))


@pytest.mark.parametrize("ms", [8, 250, 500, 1000, 5000])
def test_l13_a_stall_costs_nothing_or_is_counted(ms):
    tally = Tally(SEED)
    for number in range(2):
        cards.run_case(tally, lambda rng: cards.stall(rng, ms), number)
    assert not tally.findings, "\n".join(map(str, tally.findings))


def test_control_a_logger_that_reads_nothing_back_is_caught():
    assert controls.run_control("nothing read back").findings


def test_l05_overflow_flags_count_as_at_least():
    assert not controls.run_control("overflow flag counted as exact", broken=False).findings
