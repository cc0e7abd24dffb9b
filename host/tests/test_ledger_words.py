"""The ledger's words, its JSON, and logs whose counters contradict their records."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from campaigns.engine.parsers.blocks import sample_session
from slog.layout import BUS_OFF, META_BUS, META_DLC
from stagelog import ledger
from stagelog.blocks import read_log
from stagelog.ending import STOPPED, End
from stagelog.verdict import INCOMPLETE, Verdict, judge_session


@pytest.mark.parametrize(
    ("us", "words"),
    [(0, "0 us"), (999, "999 us"), (1000, "1 ms"), (9_999_999, "10,000 ms"), (10**7, "10.0 s")],
)
def test_a_duration_in_words(us, words):
    assert ledger._milliseconds(us) == words


def test_the_wall_clock_in_words():
    class Noon:
        def to_unix_us(self, t_us):
            return (86400 * 20_000 + 23 * 3600 + 59 * 60 + 58) * 10**6 + t_us

    gap = ledger.Gap(0, 1_007_999, None, 3, True, ledger.CARD)
    assert ledger.describe(gap, Noon()).startswith("23:59:59.007 bus 0: 3 frames discarded")
    assert ledger.describe(gap).startswith("1.008 s after power-on bus 0")
    one = ledger.Gap(None, None, None, 1, False, ledger.CONTROLLER)
    assert "at an unknown time all buses: 1 or more frame lost" in ledger.describe(one)


def test_values_of_the_ledger_cannot_be_changed():
    gap = ledger.Gap(0, 1, 2, 3, True, ledger.CARD)
    bus = ledger.BusLedger(0, 1, 1, 0, 0, 0)
    whole = ledger.Ledger("x", (bus,), (gap,), (), 1, 0, End(STOPPED), 250)
    for thing, name in ((gap, "n"), (bus, "n_held"), (whole, "end")):
        with pytest.raises(AttributeError):
            setattr(thing, name, 5)


def test_an_account_as_json_says_all(tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(sample_session(300))
    (session,) = read_log(path).sessions
    found = ledger.account(session).as_dict()
    assert found["closes"] and found["complete"] and found["stopped"]
    assert found["session"] == session.identity.name and found["breaks"] == []
    assert [bus["n_seen"] for bus in found["buses"]] == [300, 0]
    assert found["gaps"] == [] and found["n_blocks"] == session.n_blocks


def test_counters_that_contradict_the_records_are_named(tmp_path):
    from stagelog.blocks.layouts import HEADER
    from stagelog.blocks.writer import seal

    blocks = np.frombuffer(bytearray(sample_session(900)), np.uint8).reshape(-1, 4096).copy()
    headers = blocks[:, :64].view(HEADER)[:, 0]
    headers["dropped0"][2:] = 4
    headers["stored0"][1:] += 2
    seal(blocks)
    path = tmp_path / "x.slog"
    path.write_bytes(blocks.tobytes())
    (session,) = read_log(path).sessions
    found = ledger.account(session)
    assert not found.closes and not found.complete
    assert found.breaks == (
        "block 2: bus 0 counts +2 frames more than it holds",
        "block 3: bus 0 counts +4 unreported drops",
    )
    two = judge_session(session, found)
    assert two == Verdict(INCOMPLETE, "INCOMPLETE: 2 blocks contradict their counters")
    one = judge_session(session, replace(found, breaks=found.breaks[:1]))
    assert one.text == "INCOMPLETE: 1 block contradicts its counters"


def test_a_lost_block_that_held_drops_alone_is_a_gap_and_no_break(tmp_path):
    from stagelog.blocks.layouts import HEADER
    from stagelog.blocks.writer import seal

    blocks = np.frombuffer(bytearray(sample_session(900)), np.uint8).reshape(-1, 4096).copy()
    headers = blocks[:, :64].view(HEADER)[:, 0]
    headers["stored0"][2:] -= headers["n_records"][1]
    headers["dropped0"][2:] = 1
    seal(blocks)
    path = tmp_path / "x.slog"
    path.write_bytes(np.delete(blocks, 1, 0).tobytes())
    log = read_log(path)
    found = ledger.account(log.sessions[0], log.damaged)
    assert found.closes and not found.complete
    told = [(gap.n, gap.cause, gap.detail) for gap in found.gaps if gap.cause == ledger.RING_FULL]
    assert told == [(1, ledger.RING_FULL, "known by a counter only")]
    (lost,) = (gap for gap in found.gaps if gap.cause == ledger.BLOCK)
    assert (lost.bus, lost.n, lost.detail) == (0, 0, "block 2 damaged or missing")


@pytest.mark.parametrize("n_states", [1, 2])
def test_bus_off_lasts_until_the_next_state_of_the_same_bus(n_states):
    from stagelog.blocks.records import META_TABLE

    meta = np.zeros(4, META_TABLE)
    meta["kind"], meta["t_us"], meta["arg"] = META_BUS, [10, 20, 30, 40], [BUS_OFF, BUS_OFF, 1, 2]
    meta["bus"] = [0, 1, 0, 0] if n_states == 2 else [0, 1, 1, 1]
    gaps = ledger._recorded_gaps(meta)
    ends = {gap.bus: gap.t_end_us for gap in gaps}
    assert not any(gap.exact for gap in gaps)
    assert ends == ({0: 30, 1: None} if n_states == 2 else {0: None, 1: 30})
    assert META_DLC == 15


def test_a_gap_is_told_at_the_time_of_day():
    timeline = SimpleNamespace(to_unix_us=lambda t_us: 86_400_000_000 * 20_000 + t_us)
    gap = ledger.Gap(0, 3_723_998_500, 3_724_100_000, 5, True, ledger.RING_FULL)
    assert ledger.describe(gap, timeline).startswith("01:02:03.998 bus 0: ")


def test_frames_seen_are_stored_dropped_and_lost_at_least():
    assert ledger.BusLedger(0, 50, 40, 10, 7, 3).n_seen == 60
