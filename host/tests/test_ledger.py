"""The ledger closes to the frame, and every hole is told once, in words."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logger.ring import BlockRing
from slog.block import seal as seal_block
from slog.layout import (
    BUS_ACTIVE,
    BUS_OFF,
    FLAG_FIRST,
    FLAG_LAST,
    GAP_CONTROLLER,
    META_BUS,
    META_END,
    META_GAP,
    META_HASH,
    META_HEALTH,
    META_SESSION,
    meta_table,
    pack,
)
from stagelog import ending
from stagelog.archive.facts import facts_of_blocks
from stagelog.blocks import read_log, seal
from stagelog.ending import End
from stagelog.ledger import (
    BLOCK,
    CONTROLLER,
    HEAD,
    OPEN_END,
    POWER_CUT,
    RING_FULL,
    BusLedger,
    Gap,
    Ledger,
    account,
    describe,
)
from stagelog.timeline import find_boots, fit
from stagelog.verdict import COMPLETE, INCOMPLETE, OPEN_LOG, Verdict, judge_session, worst

DEVICE = b"\xe6\x60\x38\xb7\x13\x0f\x2e\x29"
LOW = (1 << 28) - 1


class Recorder:
    """The firmware's ring, emptied by hand: what the card would get."""

    def __init__(self, n_ring=4):
        self.ring = BlockRing(n_ring)
        self.blocks = []
        self.seen = [0, 0]
        self.meta(0, META_SESSION, 0, n_buses=2, flush_ms=250)

    def meta(self, t_us, kind, arg=0, bus=0, **values):
        payload = pack(meta_table(kind), values)
        return self.ring.put_meta(t_us & LOW, t_us >> 28, kind, arg, bus, payload)

    def frames(self, start_us, n, step_us=500, bus=0):
        for t_us in range(start_us, start_us + n * step_us, step_us):
            self.ring.put_frame(t_us & LOW, t_us >> 28, 0x123, bus, 8, bytes(8))
            self.seen[bus] += 1
        return start_us + n * step_us

    def empty(self, n=None):
        while self.ring.n_waiting() and n != 0:
            block = bytearray(self.ring.first_waiting())
            i = len(self.blocks)
            seal_block(block, DEVICE, 1, 7, 1 + i, i, FLAG_FIRST if i == 0 else 0)
            self.blocks.append(block)
            self.ring.release()
            n = None if n is None else n - 1

    def stop(self, t_us):
        n_blocks = len(self.blocks) + self.ring.n_waiting() + 1
        self.meta(t_us, META_END, 1, n_blocks=n_blocks)
        self.ring.close_block()
        self.empty()
        self.blocks[-1][56] |= FLAG_LAST
        return self

    def log(self, tmp_path, without=(), broken=()):
        path = tmp_path / "x.slog"
        blocks = [bytes(b) if i not in without else bytes(4096) for i, b in enumerate(self.blocks)]
        table = np.frombuffer(b"".join(blocks), np.uint8).reshape(-1, 4096).copy()
        for i in broken:
            table[i, 36] += 1
        good = [i for i in range(len(table)) if i not in without]
        table[good] = sealed(table[good])
        path.write_bytes(table.tobytes())
        return read_log(path)


def sealed(blocks):
    seal(blocks)
    return blocks


def ledger_of(log):
    return account(log.sessions[0], log.damaged)


def test_a_whole_session_is_complete(tmp_path):
    recorder = Recorder(8)
    for second in range(5):
        recorder.frames(second * 1_000_000, 900)
        recorder.frames(second * 1_000_000 + 400_000, 100, bus=1)
        recorder.empty()
    ledger = ledger_of(recorder.stop(5_000_000).log(tmp_path))
    assert ledger.complete and ledger.stopped and not ledger.gaps
    assert [bus.n_seen for bus in ledger.buses] == recorder.seen == [4500, 500]


def test_frames_dropped_by_a_full_ring_are_reported_exactly(tmp_path):
    recorder = Recorder()
    t_us = recorder.frames(0, 3000)
    recorder.empty(2)
    t_us = recorder.frames(t_us, 1000)
    recorder.empty()
    recorder.meta(t_us, META_HEALTH, 2, value=3, worst=740)
    t_us = recorder.frames(t_us, 50)
    ledger = ledger_of(recorder.stop(t_us).log(tmp_path))
    bus = ledger.buses[0]
    assert ledger.closes and not ledger.complete
    assert bus.n_seen == recorder.seen[0] == 4050
    assert bus.n_missing == 0 and bus.n_held == bus.n_stored
    gaps = [gap for gap in ledger.gaps if gap.cause == RING_FULL]
    assert sum(gap.n for gap in gaps) == bus.n_dropped > 0
    assert all(gap.exact and gap.t_start_us <= gap.t_end_us for gap in gaps)
    assert gaps[0].t_start_us == (4 * 252 - 1) * 500
    words = describe(gaps[0])
    assert "0.503 s after power-on bus 0: 1,993 frames in" in words
    assert "dropped, counted exactly" in words and "longest write so far 740 ms" in words


def test_frames_in_a_missing_block_are_known_from_its_neighbours(tmp_path):
    recorder = Recorder()
    for i in range(8):
        recorder.frames(i * 300_000, 300)
        recorder.frames(i * 300_000, 30, bus=1)
        recorder.empty()
    log = recorder.stop(3_000_000).log(tmp_path, without=(3, 4, 7))
    ledger = ledger_of(log)
    assert [bus.n_seen for bus in ledger.buses] == recorder.seen
    assert all(bus.n_held + bus.n_missing == bus.n_stored for bus in ledger.buses)
    assert ledger.n_blocks_missing == 3
    holes = [(gap.bus, gap.detail.split(" damaged")[0]) for gap in ledger.gaps]
    assert holes == [(0, "blocks 4 to 5"), (1, "blocks 4 to 5"), (0, "block 8"), (1, "block 8")]
    for bus in (0, 1):
        told = sum(gap.n for gap in ledger.gaps if gap.bus == bus and gap.cause == BLOCK)
        assert told == ledger.buses[bus].n_missing


def test_one_missing_frame_is_reported(tmp_path):
    recorder = Recorder(8)
    for n in (100, 1, 100):
        recorder.frames(1_000_000 * n, n, bus=1)
        recorder.ring.close_block()
    ledger = ledger_of(recorder.stop(2_000_000).log(tmp_path, without=(1,)))
    assert [(gap.bus, gap.n) for gap in ledger.gaps] == [(0, 0), (1, 1)]
    assert "bus 1: 1 frame in" in describe(ledger.gaps[1])


def test_drops_reported_in_a_missing_block_are_known_by_the_counters(tmp_path):
    recorder = Recorder()
    t_us = recorder.frames(0, 2000)
    recorder.empty()
    t_us = recorder.frames(t_us, 600)
    recorder.empty()
    log = recorder.stop(t_us).log(tmp_path, without=(4,))
    ledger = ledger_of(log)
    assert ledger.closes and ledger.buses[0].n_seen == recorder.seen[0]
    (gap,) = [gap for gap in ledger.gaps if gap.cause == RING_FULL]
    assert gap.n == ledger.buses[0].n_dropped and gap.detail == "known by a counter only"


def test_a_missing_start_is_reported(tmp_path):
    recorder = Recorder()
    for i in range(8):
        recorder.frames(i * 300_000, 300)
        recorder.empty()
    log = recorder.stop(3_000_000).log(tmp_path, without=(0, 1))
    ledger = ledger_of(log)
    assert ledger.gaps[0].cause == HEAD and ledger.gaps[0].n == ledger.buses[0].n_missing == 503
    assert "missing at the start: the blocks before number 3" in describe(ledger.gaps[0])


def test_overflows_of_the_controller_are_lower_bounds(tmp_path):
    recorder = Recorder()
    t_us = recorder.frames(0, 300)
    recorder.ring.count_lost(1, 2)
    recorder.meta(t_us, META_GAP, GAP_CONTROLLER, bus=1, n=2, t_first=t_us - 700)
    recorder.ring.count_lost(1, 3)
    t_us = recorder.frames(t_us, 300)
    ledger = ledger_of(recorder.stop(t_us).log(tmp_path))
    gaps = [gap for gap in ledger.gaps if gap.cause == CONTROLLER]
    assert sorted((gap.n, gap.exact) for gap in gaps) == [(2, False), (3, False)]
    assert ledger.buses[1].n_at_least == 5 and not ledger.complete and ledger.closes
    recorded = next(gap for gap in gaps if gap.n == 2)
    assert recorded.t_end_us - recorded.t_start_us == 700
    assert "bus 1: 2 or more frames in 700 us lost in the controller" in describe(recorded)


def test_a_controller_that_was_away_is_a_hole_without_a_number(tmp_path):
    recorder = Recorder()
    t_us = recorder.frames(0, 100)
    recorder.meta(t_us + 900_000, META_GAP, GAP_CONTROLLER, n=0, t_first=t_us)
    ledger = ledger_of(recorder.stop(t_us + 3_000_000).log(tmp_path))
    (gap,) = ledger.gaps
    assert gap.n is None and gap.t_end_us - gap.t_start_us == 900_000 and not ledger.complete
    assert "bus 0: frames in 900 ms may be lost: the controller did not" in describe(gap)


def test_a_controller_that_is_bus_off_is_a_hole_without_a_number(tmp_path):
    recorder = Recorder()
    t_us = recorder.frames(0, 100)
    recorder.meta(t_us, META_BUS, BUS_OFF, tec=255)
    recorder.meta(t_us + 2_000_000, META_BUS, BUS_ACTIVE)
    ledger = ledger_of(recorder.stop(t_us + 3_000_000).log(tmp_path))
    (gap,) = ledger.gaps
    assert gap.n is None and gap.t_end_us - gap.t_start_us == 2_000_000 and not ledger.complete
    assert "bus 0: frames in 2,000 ms may be lost: the controller was bus-off" in describe(gap)


def test_a_power_cut_is_the_normal_end_and_says_what_it_may_have_cost(tmp_path):
    recorder = Recorder()
    recorder.frames(0, 900)
    recorder.empty()
    power_off = End(ending.POWER_OFF, "the card")
    log = recorder.log(tmp_path)
    ledger = account(log.sessions[0], log.damaged, power_off)
    assert ledger.complete and not ledger.stopped
    (gap,) = ledger.gaps
    assert gap.cause == POWER_CUT and "at most 250 ms" in describe(gap)
    torn = recorder.log(tmp_path, without=(2,))
    assert account(torn.sessions[0], torn.damaged, power_off).complete
    twice = recorder.log(tmp_path, without=(1, 2))
    assert not account(twice.sessions[0], twice.damaged, power_off).complete


def test_an_end_without_a_witness_is_open(tmp_path):
    recorder = Recorder()
    recorder.frames(0, 900)
    recorder.empty()
    ledger = ledger_of(recorder.log(tmp_path))
    (gap,) = ledger.gaps
    assert gap.cause == OPEN_END and not ledger.complete and not ledger.stopped
    assert ledger.as_dict()["end"]["kind"] == "open"


def test_blocks_given_up_at_the_end_on_a_full_card_are_reported_by_the_last_one(tmp_path):
    recorder = Recorder(8)
    t_us = recorder.frames(0, 600)
    recorder.empty()
    t_us = recorder.frames(t_us, 500)
    while recorder.ring.n_waiting():
        recorder.ring.release()
    recorder.stop(t_us)
    ledger = ledger_of(recorder.log(tmp_path))
    assert ledger.closes and not ledger.complete and not ledger.n_blocks_missing
    (gap,) = ledger.gaps
    assert gap.n == ledger.buses[0].n_missing > 0 and gap.exact
    assert "discarded, counted exactly: the card was full" in describe(gap)


def test_counters_that_contradict_the_records_name_the_block(tmp_path):
    recorder = Recorder()
    recorder.frames(0, 2000)
    recorder.empty()
    recorder.frames(2_000_000, 2000)
    log = recorder.stop(4_000_000).log(tmp_path, broken=(2,))
    ledger = ledger_of(log)
    assert not ledger.closes and not ledger.complete
    assert ledger.breaks[0].startswith("block 3: bus 0 counts +1 frame more")


@settings(max_examples=40, deadline=None)
@given(
    bursts=st.lists(st.tuples(st.integers(1, 800), st.integers(0, 3)), min_size=1, max_size=12),
    without=st.sets(st.integers(0, 40), max_size=6),
)
def test_the_ledger_closes_whatever_is_dropped_and_lost(tmp_path_factory, bursts, without):
    recorder = Recorder(3)
    t_us = 0
    for n, n_emptied in bursts:
        t_us = recorder.frames(t_us, n, bus=n % 2)
        recorder.empty(n_emptied)
    recorder.empty()
    recorder.stop(t_us)
    without = {i for i in without if i < len(recorder.blocks) - 1}
    log = recorder.log(tmp_path_factory.mktemp("ledger"), without=without)
    ledger = ledger_of(log)
    assert ledger.closes
    assert [bus.n_seen for bus in ledger.buses] == recorder.seen
    for bus in ledger.buses:
        gaps = [gap for gap in ledger.gaps if gap.bus == bus.bus]
        assert sum(gap.n for gap in gaps) == bus.n_missing + bus.n_dropped
    assert ledger.complete == (not without and not sum(bus.n_dropped for bus in ledger.buses))


def test_a_timeline_follows_offset_and_drift():
    t_us = np.arange(0, 3_600_000_000, 300_000_000)
    unix = 1_700_000_000_000_000 + t_us + (t_us * 20e-6).astype(np.int64)
    timeline = fit(t_us, unix)
    assert timeline.drift_ppm == pytest.approx(20, abs=0.01) and timeline.error_us <= 2
    assert np.abs(timeline.to_unix_us(t_us) - unix).max() <= 2
    short = fit(t_us[:2], unix[:2])
    assert short.drift_ppm == 0 and short.n == 2


def test_an_anchor_of_a_wrong_clock_is_left_out():
    t_us = np.arange(5) * 300_000_000
    unix = 1_700_000_000_000_000 + t_us
    unix[2] += 3_600_000_000
    timeline = fit(t_us, unix)
    assert (timeline.n, timeline.n_off, timeline.error_us) == (4, 1, 0)


def test_without_an_anchor_there_is_no_wall_clock(tmp_path):
    recorder = Recorder()
    t_us = recorder.frames(0, 100)
    log = recorder.stop(t_us).log(tmp_path)
    (boot,) = find_boots(log.sessions)
    assert boot.timeline is None and boot.boot == 1


def test_frames_lost_in_hardware_count_in_the_verdict():
    """3 not in the file, 7 dropped and 5 or more lost: 15 or more."""
    bus = BusLedger(0, n_stored=100, n_held=97, n_missing=3, n_dropped=7, n_at_least=5)
    gaps = (Gap(0, 1, 2, 3, True, BLOCK), Gap(0, 3, 4, 5, False, CONTROLLER))
    ledger = Ledger("x", (bus,), gaps, (), 4, 1, End(ending.STOPPED), 250)
    session = SimpleNamespace(device_id="ab" * 8)
    text = judge_session(session, ledger).text
    assert text.startswith("INCOMPLETE: 15 or more frames are not here")


def test_the_worst_of_several_verdicts_stands_for_all():
    """Missing frames are worse than an open end; each bad one beside it is a finding more."""
    whole, cut = Verdict(COMPLETE, "fine"), Verdict(OPEN_LOG, "no end")
    holed = Verdict(INCOMPLETE, "holes")
    assert worst([whole, cut]) == cut
    assert worst([cut, holed]) == Verdict(INCOMPLETE, "holes (and 1 more finding)")
    assert worst([cut, holed, holed]).text == "holes (and 2 more findings)"


def test_the_hashes_of_a_session_stand_under_their_names(tmp_path):
    """Hash 1 is that of the settings, 2 of the signals, 3 of the firmware."""
    recorder = Recorder()
    for number in (1, 2, 3):
        recorder.meta(0, META_HASH, number, sha256_head=bytes([number]) * 8)
    recorder.frames(0, 10)
    recorder.stop(10_000)
    path = recorder.log(tmp_path).path
    facts = facts_of_blocks(path, {"device_id": DEVICE.hex(), "boot": 1, "nonce": 7})
    assert facts["settings_sha256_head"] == "01" * 8
    assert facts["signals_sha256_head"] == "02" * 8
    assert facts["firmware_sha256_head"] == "03" * 8
