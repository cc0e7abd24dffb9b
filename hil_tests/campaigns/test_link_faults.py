"""The link campaign, short form: T1 to T12 through bad cables, resets, kills and full disks.

T8    recording meanwhile: `asleep` and `overwritten` record while they fetch
T13   names from the logger: host/tests/test_archive.py and the parser campaign
T14   hostile bytes: the parser campaign, on CPython and MicroPython; here whole frames
T15   another contract: host/tests/test_ports.py
"""

import pytest

from campaigns.engine import controls, tally_file
from campaigns.engine.campaigns import CAMPAIGNS
from campaigns.engine.link import campaign as transfers
from campaigns.engine.link import links
from campaigns.engine.results import Tally
from stagelog.archive import part
from stagelog.errors import InputError, UsageError

SEED = 20261120
SHORT = transfers.plan()


@pytest.mark.parametrize("kind", transfers.KINDS)
def test_no_wrong_file_whatever_happens(kind):
    tally = Tally(SEED)
    transfers.run(tally, {kind: SHORT[kind]})
    assert not tally.findings, "\n".join(map(str, tally.findings))
    _, row = transfers.rows(tally)
    assert row.n_cases == SHORT[kind]


def test_t01_what_is_done_to_a_transfer_is_counted():
    tally = Tally(SEED)
    transfers.run(tally, {"clean": 2, "unplug": 3, "20 % of frames doubled": 2})
    assert transfers.rows(tally)[0].worst == "5 of them with a fault"
    assert tally.worst["clean: bytes"] == tally.worst["20 % of frames doubled: bytes"] > 0


def test_numbers_in_a_row_cut_at_every_byte_once():
    for n in (101, 7919, 2 * 7919, 66_191):
        assert sorted(links.strided(number, n) for number in range(n)) == list(range(n))


def test_a_case_is_reproduced_by_its_number(monkeypatch):
    monkeypatch.setattr(part.PartFile, "_is_ours", lambda self, block, index: True)
    monkeypatch.setattr(links, "check_archive", lambda *args: [("T1", "wrong")])
    tally = Tally(SEED)
    transfers.run(tally, {"truncation": 2})
    assert [finding.case for finding in tally.findings] == ["truncation:0", "truncation:1"]
    again = transfers.reproduce(SEED, "truncation:1")
    assert [str(finding) for finding in again] == [str(tally.findings[1])]
    with pytest.raises(UsageError, match="kind:number"):
        transfers.reproduce(SEED, "truncation")


def test_a_run_goes_on_where_it_was_stopped(monkeypatch, tmp_path):
    tally = Tally(SEED)
    transfers.run(tally, {"truncation": 2})
    link = CAMPAIGNS["link"]
    link.save(tally, tmp_path / "state.json")
    again = link.load(tmp_path / "state.json")
    assert again == tally
    transfers.run(again, {"truncation": 5})
    assert again.states["truncation"] == 5
    monkeypatch.setattr(tally_file, "digest_of", lambda patterns: "new")
    with pytest.raises(InputError, match="begin a new file"):
        link.load(tmp_path / "state.json")


def test_control_a_resume_without_identity_is_caught():
    assert controls.run_control("resume without identity").findings
