"""Some minutes of the marathon stage; the long form is `tools/campaign soak --long`."""

from campaigns.engine.results import Tally
from campaigns.engine.soak import marathon as soak


def test_bulk_arrival_leaves_the_bytes_of_put_frame():
    assert soak.same_bytes(1)
    assert soak.same_bytes(2, 20_000)  # more than the ring holds: drops are counted alike


def test_c11_l05_counters_equal_the_witness():
    tally = Tally(20261120)
    soak.run(tally, 6, stall_every_s=60)
    assert not tally.findings, "\n".join(map(str, tally.findings))
    assert soak.rows(tally)[0].n_cases > 600_000


def test_control_a_lost_block_is_noticed(monkeypatch):
    monkeypatch.setattr(soak.Witness, "judge", _forgetful(soak.Witness.judge))
    tally = Tally(20261120)
    soak.run(tally, 0.6)
    assert any(finding.invariant == "L5" for finding in tally.findings)


def _forgetful(judge):
    def call(self, data, position):
        if self.n_blocks != 20 or self.tally.violations:
            judge(self, data, position)
        else:
            self.n_blocks += 1

    return call
