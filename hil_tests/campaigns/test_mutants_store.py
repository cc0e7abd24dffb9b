"""Store, extent and sessions: what their mutants showed that no fast test told."""

from stagelog.rig.faults import cuts
from stagelog.rig.faults.results import Tally


def test_a_small_power_cut_campaign_finds_nothing():
    """The campaign tests recovery; this is the piece of it that a mutant can be tried on."""
    tally = Tally(7)
    cuts.run(tally, 1500, every=9)
    assert tally.n_states >= 1500
    assert not tally.findings, "\n".join(map(str, tally.findings[:5]))
