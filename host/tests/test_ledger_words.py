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


def test_a_gap_is_reported_at_the_time_of_day():
    timeline = SimpleNamespace(to_unix_us=lambda t_us: 86_400_000_000 * 20_000 + t_us)
    gap = ledger.Gap(0, 3_723_998_500, 3_724_100_000, 5, True, ledger.RING_FULL)
    assert ledger.describe(gap, timeline).startswith("01:02:03.998 bus 0: ")


def test_frames_seen_are_stored_dropped_and_lost_at_least():
    assert ledger.BusLedger(0, 50, 40, 10, 7, 3).n_seen == 60


def gap_rows(*rows):
    """Return meta of gap records: (bus, cause, n)."""
    from slog.layout import META_GAP
    from stagelog.blocks.records import META_TABLE

    meta = np.zeros(len(rows), META_TABLE)
    meta["kind"] = META_GAP
    for row, (bus, cause, n) in zip(meta, rows, strict=True):
        row["bus"], row["arg"] = bus, cause
        row["data"][:4] = np.frombuffer(int(n).to_bytes(4, "little"), np.uint8)
    return meta


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(0, 0)], "radio off: the chip was asked once"),
        ([(0, 0)] * 1000, "radio off: the chip was asked 1,000 times"),
        ([(0, 0), (1, 1)], "THE RADIO WAS ON while this was recorded: as a station"),
        ([(0, 2), (0, 0)], "THE RADIO WAS ON while this was recorded: own access point"),
        ([(3, 3)], "THE RADIO WAS ON while this was recorded: as a station, own access point"),
        ([(4, 4)], "THE RADIO WAS ON while this was recorded: interfaces 4"),
    ],
)
def test_what_the_chip_said_of_its_radio(rows, words):
    """SPEC 5: two u32, the interfaces active now and since the record before; 1 station, 2 own."""
    from slog.layout import HEALTH_RADIO, META_HEALTH
    from stagelog.blocks.records import META_TABLE

    meta = np.zeros(len(rows), META_TABLE)
    assert ledger._radio(meta) is None
    meta["kind"], meta["arg"] = META_HEALTH, HEALTH_RADIO
    meta["data"][:, :8] = np.array(rows, "<u4").view(np.uint8).reshape(len(rows), 8)
    assert ledger._radio(meta).text == words


def test_overflows_that_no_record_names_are_a_gap_of_the_whole_session():
    """The counter of bus 1 says 9 or more; records of that bus name 4 and 2 of them. Drops of a
    full ring, cause 1, are counted exactly elsewhere and are none of them.
    """
    from slog.layout import GAP_CONTROLLER

    meta = gap_rows(
        (1, GAP_CONTROLLER, 4), (0, GAP_CONTROLLER, 100), (1, 1, 50), (1, GAP_CONTROLLER, 2)
    )
    session = SimpleNamespace(meta=meta, t_first_us=5, t_last_us=70)
    (gap,) = ledger._uncounted(session, 1, 9)
    wanted = ledger.Gap(1, 5, 70, 3, False, ledger.CONTROLLER, "known by a counter only")
    assert gap == wanted
    assert ledger._uncounted(session, 1, 6) == [] and ledger._uncounted(session, 1, 5) == []
    assert ledger._uncounted(session, 0, 101)[0].n == 1
    assert ledger.describe(gap) == (
        "0.000 s after power-on bus 1: 3 or more frames in 65 us lost in the controller, whose "
        "receive buffers overflowed (known by a counter only)"
    )
    whole = SimpleNamespace(meta=gap_rows(), t_first_us=5, t_last_us=70)
    assert [gap.n for gap in ledger._uncounted(whole, 0, 7)] == [7]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"cause": ledger.RING_FULL}, "dropped, counted exactly: the ring was full"),
        ({"cause": ledger.AWAY, "n": None}, "frames may be lost: the controller did not answer"),
        ({"cause": ledger.BLOCK, "detail": "block 7"}, "3 frames missing: block 7"),
        ({"cause": ledger.HEAD, "detail": "before 7"}, "3 frames missing at the start: before 7"),
        (
            {"cause": ledger.BUS_IS_OFF, "n": None},
            "frames may be lost: the controller was bus-off",
        ),
        ({"cause": ledger.IN_SOURCE}, "3 frames not in the log that this file was made of"),
        ({"cause": "cause 9"}, "3 frames lost: cause 9"),
        ({"cause": ledger.RING_FULL, "exact": False}, "bus 0: 3 or more frames dropped"),
    ],
)
def test_every_cause_has_its_words(more, words):
    gap = ledger.Gap(**{"bus": 0, "t_start_us": 5, "t_end_us": None, "n": 3, "exact": True} | more)
    assert words in ledger.describe(gap)


def test_the_end_in_words():
    cut = ledger.Gap(None, 1_500_000, None, None, False, ledger.POWER_CUT, "at most 250 ms")
    assert ledger.describe(cut) == (
        "1.500 s after power-on: ended without a stop (power off): at most 250 ms"
    )
    opened = ledger.Gap(None, 1_500_000, None, None, False, ledger.OPEN_END, "cut off there")
    words = "1.500 s after power-on: nothing says that the session ended here"
    assert ledger.describe(opened) == f"{words}: cut off there"
    assert ledger.describe(replace(opened, detail="")) == words


def test_times_of_a_gap_on_the_clock():
    timeline = SimpleNamespace(to_unix_us=lambda t_us: 1000 + t_us)
    gap = ledger.Gap(0, 5, None, 3, True, ledger.CARD)
    assert ledger.on_clock(gap, timeline) == replace(gap, t_start_us=1005)
    assert ledger.on_clock(replace(gap, t_end_us=7), timeline).t_end_us == 1007
