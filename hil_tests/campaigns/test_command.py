"""tools/campaign: one command for each campaign, the same options, the same three verbs."""

from unittest import mock

import pytest
from click.testing import CliRunner

from campaigns.engine import command, controls
from campaigns.engine.campaigns import CAMPAIGNS
from campaigns.engine.results import Tally
from campaigns.engine.soak import marathon
from stagelog.errors import UsageError
from stagelog.rig.runtimes import find_runtime

SEED = 20261120


def run(*words):
    return CliRunner().invoke(command.main, list(map(str, words)))


def test_each_campaign_has_one_command():
    assert {*CAMPAIGNS, "mutants", "flights", "fuel"} <= set(command.main.commands)


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_has_the_options_of_all(name):
    options = {word for each in command.main.commands[name].params for word in each.opts}
    assert {"--long", "--cases", "--case", "--seed", "--seconds", "--resume"} <= options


@pytest.mark.parametrize("case", ["x", "x:y", "x:1", "1:2:x", "stall:-1", ":", ""])
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_case_that_is_none_is_refused(name, case):
    with pytest.raises(UsageError):
        CAMPAIGNS[name].reproduce(SEED, case)


@pytest.mark.parametrize(
    ("name", "n_cases", "case"),
    [
        ("bus", 3, "bit errors:0"),
        ("card", 2, "read_only:3"),
        ("nth-call", 2, "record:40:for good"),
        ("soak", 1, "1:end"),
        ("heap", 1, "1200000"),
    ],
)
def test_cases_are_run_kept_and_reproduced(tmp_path, name, n_cases, case):
    """Run, continued from the file (nothing is left), and one case alone."""
    if name == "heap" and find_runtime("unix64") is None:
        pytest.skip("no MicroPython: run tools/runtimes unix64")
    kept = tmp_path / "tally.json"
    done = run(name, "--cases", n_cases, "--resume", kept)
    assert done.exit_code == 0 and "violation:" not in done.output, done.output
    with mock.patch.object(command, "time", mock.Mock(monotonic=lambda: 0.0)):
        again = run(name, "--cases", n_cases, "--resume", kept)
    assert again.output == done.output
    done = run(name, "--case", case, "--seed", "7")
    assert (done.exit_code, done.output) == (0, f"case {case} of seed 7: no violation\n")


def test_a_card_that_lies_is_found_again_by_its_case():
    """With a store that reads nothing back; the printed line says how."""
    with controls.verification_dropped():
        done = run("card", "--cases", 4)
        assert done.exit_code == 1 and 'card --seed 20261120 --case "swallowed:0"' in done.output
        again = CAMPAIGNS["card"].reproduce(SEED, "swallowed:0")
    assert [finding.case for finding in again] == ["swallowed:0"] * len(again) and again
    assert f"violation: {again[0]}" in done.output
    assert CAMPAIGNS["card"].reproduce(SEED, "swallowed:0") == []


def test_a_lost_block_of_a_marathon_is_found_again_by_its_case(monkeypatch):
    """Block 20 does not reach the witness: the next one's number is wrong, and so is its count."""
    judge = marathon.Witness.judge

    def forgetful(self, data, position):
        if self.n_blocks == 20 and not self.tally.violations:
            self.tally.violations["lost"] += 1
        else:
            judge(self, data, position)

    monkeypatch.setattr(marathon.Witness, "judge", forgetful)
    found = marathon.reproduce(SEED, "1:20")
    assert {(each.invariant, each.case) for each in found} == {("L5", "1:20"), ("L7", "1:20")}
    assert marathon.reproduce(SEED, "1:19") == []


def test_an_update_is_cut_at_one_operation(tmp_path, monkeypatch):
    """The third name of the case is an operation of that turn; there is none of number 9,999."""
    if find_runtime("unix64") is None:
        pytest.skip("no MicroPython: run tools/runtimes unix64")
    assert CAMPAIGNS["flash"].reproduce(SEED, "slot:2:5:1") == []
    with pytest.raises(UsageError):
        CAMPAIGNS["flash"].reproduce(SEED, "slot:2:9999:1")


def test_a_control_that_is_not_caught_is_a_violation(monkeypatch):
    name = "rejection by the card ignored"
    assert controls.reproduce(SEED, name) == []
    monkeypatch.setitem(controls.CONTROLS, name, (controls.crc16, lambda tally: None))
    assert [finding.case for finding in controls.reproduce(SEED, name)] == [name]
    tally = Tally(SEED)
    monkeypatch.setattr(controls, "CONTROLS", {name: controls.CONTROLS[name]})
    controls.run(tally)
    assert controls.rows(tally)[0].n_violations == 1
    assert tally.findings
