"""Store, extent and sessions: what their mutants showed that no fast test told."""

from slog import messages as m
from stagelog.rig.faults import cuts
from stagelog.rig.faults.bench import Bench
from stagelog.rig.faults.journal import Verdict
from stagelog.rig.faults.results import Tally


def test_a_small_power_cut_campaign_finds_nothing():
    """The campaign tests recovery; this is the piece of it that a mutant can be tried on."""
    tally = Tally(7)
    cuts.run(tally, 1500, every=9)
    assert tally.n_states >= 1500
    assert not tally.findings, "\n".join(map(str, tally.findings[:5]))


def test_a_new_session_counts_from_nothing_and_is_listed():
    bench = Bench(5, 200)
    first = bench.layout.sector(bench.layout.first)
    bench.card.judge = lambda write: Verdict(3000, -1, 0) if write.sector == first else None
    bench.power_on()
    bench.run_ms(2000)
    before = bench.link.status()
    assert before["slots_skipped"] == 1 and before["write_errors"] >= 1
    assert before["write_worst_ms"] >= 3
    assert len(bench.link.list_sessions()) == 1
    boot = bench.app.boot
    bench.link.control(m.CONTROL_STOP, boot)
    bench.link.control(m.CONTROL_START, boot)
    after = bench.link.status()
    names = ("slots_skipped", "verify_errors", "write_errors", "write_retries", "stored0")
    assert [after[name] for name in names] == [0] * 5 and after["blocks_written"] == 0
    bench.run_ms(1500)
    assert [session["boot"] for session in bench.link.list_sessions()] == [boot, boot]
