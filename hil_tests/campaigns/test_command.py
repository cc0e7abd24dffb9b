"""tools/campaign: one name for each campaign, the same options where cases can be reproduced."""

import pytest
from click.testing import CliRunner

from campaigns.engine import command
from campaigns.engine.bus import campaign as bus_campaign

OF_CASES = ("bus", "link", "parsers", "power-cut")


def test_each_campaign_has_one_command():
    assert set(command.CAMPAIGNS) <= set(command.main.commands)
    assert {"power-cut", "mutants"} <= set(command.main.commands)
    again = {"bus-cases", "parser", "transfers"}
    assert not again & set(command.main.commands), "two commands of one campaign"


@pytest.mark.parametrize("name", OF_CASES)
def test_a_campaign_of_cases_has_their_options(name):
    options = {word for each in command.main.commands[name].params for word in each.opts}
    assert {"--long", "--cases", "--case", "--seed", "--seconds", "--resume"} <= options


def test_cases_are_run_kept_and_reproduced(tmp_path):
    """Run, continued from the file (nothing is left), and one case of the first kind alone."""
    kept = str(tmp_path / "tally.json")
    for _ in range(2):
        done = CliRunner().invoke(command.main, ["bus", "--cases", "3", "--resume", kept])
        assert done.exit_code == 0, done.output
    assert "violation:" not in done.output and (tmp_path / "tally.json").is_file()
    case = f"{next(iter(bus_campaign.KINDS))}:0"
    done = CliRunner().invoke(command.main, ["bus", "--case", case, "--seed", "7"])
    assert (done.exit_code, done.output) == (0, f"case {case} of seed 7: no violation\n")
