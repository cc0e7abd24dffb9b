"""The short form of the power-cut campaign: L1 to L10, L12, L14, L15, L17 after a cut anywhere."""

import pytest

from stagelog.rig.faults import controls, cuts
from stagelog.rig.faults.results import Tally, format_table, load_tally, save_tally
from stagelog.rig.faults.scenarios import run_scenario

SEED = 20261120
N_STATES = 100_000


def test_every_promise_holds_after_any_cut(capsys):
    tally = Tally(SEED)
    cuts.run(tally, N_STATES, every=9)
    with capsys.disabled():
        print("\n" + format_table(cuts.rows(tally)))
    assert tally.n_states >= N_STATES
    assert set(tally.states) >= {kind for kind, _ in cuts._KINDS}
    assert not tally.findings, "\n".join(map(str, tally.findings[:20]))


@pytest.mark.parametrize("name", controls.CONTROLS)
def test_a_logger_broken_on_purpose_is_caught(name):
    assert controls.run_control(name).findings, f"{name}: the campaign is blind"


def test_a_case_is_reproduced_by_seed_and_number():
    with controls.rejection_ignored():
        tally = Tally(1)
        controls._cut(tally, "worn")
        finding = tally.findings[0]
        again = cuts.reproduce(1, finding.case)
    assert str(again[0]) == str(finding)


def test_l20_the_same_seed_writes_the_same_image():
    images = []
    for _ in range(2):
        _, bench = run_scenario(7, 3)
        images.append(sorted(bench.card.sectors.items()))
    assert images[0] == images[1]


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path):
    path = tmp_path / "tally.json"
    whole = Tally(3)
    cuts.run(whole, 4000, every=20)
    half = Tally(3)
    cuts.run(half, 1500, save=path, every=20)
    resumed = load_tally(path)
    cuts.run(resumed, 4000, save=path, every=20)
    assert resumed.states == whole.states
    assert resumed.next_scenario == whole.next_scenario
    save_tally(resumed, path)
    assert load_tally(path).worst == whole.worst
