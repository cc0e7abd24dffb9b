"""The bus campaign, short form: C1 to C14, each by its name, and the controls that must fail.

Not tested here, and why:

    C3   no search for the bit rate is shipped: the rate is a setting. A wrong one stores no false
         frame (C8), disturbs nobody (C2) and is reported: BUS_SILENT.
    C4   the back-off of a node that transmits: the shipped firmware never does. Bus-off of a rig
         build is recorded and typed.
    C10  the erratum belongs to ESP32's TWAI, which we have no driver for.
"""

from unittest import mock

import numpy as np
import pytest

from campaigns.engine.bus import campaign
from campaigns.engine.bus.campaign import MS, frames_differ, record, scene
from campaigns.engine.results import Tally, format_table
from slog import faults
from stagelog.ledger import BUS_IS_OFF
from stagelog.rig import tape
from stagelog.rig.bus import Bus, canbits, nodes
from stagelog.rig.bus import faults as wire
from stagelog.rig.bus.controller import Controller
from stagelog.rig.bus.fd import FdFrame
from stagelog.rig.sim.models import SimController
from stagelog.rig.tape import tape_of

SEED = 20261120
S_us = 1_000_000


def listened(bus, until_ms):
    return bus.run(until_ms * MS).tape("logger")


def loaded_bus(source, bitrate_bps=500_000):
    bus = Bus(bitrate_bps)
    bus.add_node("source", source)
    bus.add_node("dash")
    bus.add_node("logger", listen_only=True)
    return bus


def test_every_kind_of_trouble_leaves_the_log_true(show):
    tally = Tally(SEED)
    campaign.run(tally, len(campaign.KINDS))
    show(format_table(campaign.rows(tally)))
    assert set(tally.states) == set(campaign.KINDS)
    assert not tally.findings, "\n".join(map(str, tally.findings))


@pytest.mark.parametrize("bitrate_bps", [10_000, 125_000, 500_000, 1_000_000])
@pytest.mark.parametrize("load_pct", [0, 30, 100])
def test_c01_what_is_stored_is_what_the_bus_carried(bitrate_bps, load_pct):
    full = bitrate_bps / 130
    source = (
        nodes.saturate(8, seed=3)
        if load_pct == 100
        else nodes.random_frames(max(0.1, full * load_pct / 100), 3)
    )
    until_ms = round(150 * 130 * 1000 / bitrate_bps)  # 150 long frames
    bus = loaded_bus(source, bitrate_bps)
    log = bus.run(until_ms * MS)
    settings = {"buses": [{"bitrate_bps": bitrate_bps}]}
    outcome = record([log.tape("logger")], settings)
    assert len(outcome.frames) == len(log.sent)
    assert not frames_differ(log.tape("logger"), outcome.frames)
    assert outcome.status["stored0"] == len(log.sent)
    assert load_pct < 100 or log.load_pct(until_ms * MS, until_ms * MS)[0] > 98


@pytest.mark.parametrize("kind", ["wrong bit rate, logger", "search for the bit rate", "CAN FD"])
def test_c02_no_dominant_bit_is_ever_driven(kind):
    for number in range(3):
        made = campaign.KINDS[kind](np.random.default_rng(number))
        made.run()
        assert made.logger.listen_only and not made.logger.drove_dominant


@pytest.mark.parametrize("rule", ["flags", "acknowledges"])
def test_c02_control_a_logger_that_talks_is_caught(monkeypatch, rule):
    if rule == "flags":
        start = Controller._start_flag
        monkeypatch.setattr(Controller, "_start_flag", lambda self, level: start(self, 0))
        found = campaign.reproduce(SEED, "bit errors at the logger:0")
    else:
        with mock.patch.object(campaign, "scene", lambda rng, **_: scene(rng, logger={})):
            made = campaign.clean(np.random.default_rng(1))
            made.listens = True
            log = made.run()
            outcome = record([log.tape("logger")])
            found = [finding for finding, _ in campaign.check(made, log, outcome)]
            assert found == ["C2"]
            return
    assert [finding.invariant for finding in found] == ["C2"]
    assert "drove the bus dominant" in found[0].text


def test_c04_bus_off_is_recorded_and_typed():
    made = campaign.error_states(np.random.default_rng(0))
    made.bus.add_fault(wire.stuck_recessive(300 * MS, 600 * MS, "logger"))
    log = made.run()
    seen = log.tape("logger")
    assert (seen["state"][seen["kind"] == tape.STATE] == tape.BUS_OFF).any()
    outcome = record([seen])
    gaps = [gap for ledger in outcome.ledgers for gap in ledger.gaps]
    assert any(gap.cause == BUS_IS_OFF and not gap.exact for gap in gaps)


@pytest.mark.parametrize("number", range(3))
def test_c05_every_state_longer_than_a_poll_is_recorded_with_its_time(number):
    made = campaign.error_states(np.random.default_rng([5, number]))
    seen = made.run().tape("logger")
    outcome = record([seen])
    assert not campaign.lost_states(seen, outcome.meta)
    reported = [meta for meta in outcome.meta if meta.name == "bus"]
    assert {meta.arg for meta in reported} >= {1, 3}
    without = [meta for meta in outcome.meta if meta is not reported[-1]]
    assert campaign.lost_states(seen, without)
    assert max(meta.values["tec"] + meta.values["rec"] for meta in reported) >= 128


def test_c06_every_format_goes_through():
    rng = np.random.default_rng(6)
    frames = nodes.random_table(4000, rng)
    assert len({(f["flags"], f["dlc"]) for f in frames}) == 4 * 16
    outcome = record([listened(loaded_bus(nodes.play(frames, 500_000)), 900)])
    assert len(outcome.frames) == len(frames)
    for name in ("can_id", "flags", "n_bytes", "data"):
        assert np.array_equal(outcome.frames[name], frames[name]), name


def test_c06_both_lengths_of_identifier_with_equal_leading_bits_keep_their_order():
    bus = Bus(500_000)
    standard = nodes.Periodic(0x123, MS, 2)
    extended = nodes.Periodic(0x123 << 18 | 5, MS, 2, flags=1)
    bus.add_node("a", nodes.periodic([standard]))
    bus.add_node("b", nodes.periodic([extended]))
    bus.add_node("logger", listen_only=True)
    outcome = record([listened(bus, 50)])
    assert outcome.frames["flags"].tolist() == [0, 1] * (len(outcome.frames) // 2)


def test_c07_a_babbling_node_is_accounted_for_and_a_full_card_says_so():
    made = scene(np.random.default_rng(7), until_ms=4000)
    made.send("babbler", nodes.saturate(0, can_id=0))
    log = made.run()
    outcome = record([log.tape("logger")], n_blocks=4096)
    assert outcome.status["stored0"] == len(log.sent) > 30_000
    small = record([log.tape("logger")], {"when_full": "stop"}, n_blocks=60)
    assert small.status["fault"] == faults.CARD_FULL
    assert len(small.frames) == small.status["stored0"]
    n_waiting = len(log.sent) - small.status["stored0"] - small.status["dropped0"]
    assert 0 <= n_waiting <= 252 * small.status["ring_blocks"]


@pytest.mark.parametrize("bitrate_bps", [50_000, 125_000, 250_000, 475_000, 1_000_000])
def test_c08_the_wrong_bit_rate_stores_nothing_false_and_is_reported(bitrate_bps):
    made = scene(
        np.random.default_rng(8),
        until_ms=300,
        logger={"listen_only": True, "bitrate_bps": bitrate_bps},
    )
    log = made.run()
    seen = log.tape("logger")
    assert (seen["kind"] == tape.ERROR).sum() > 20 and len(log.sent) > 200
    outcome = record([seen], until_us=3 * S_us)
    assert campaign.contents(outcome.frames) <= campaign.contents(log.sent)
    assert len(outcome.frames) < 3 and not made.logger.drove_dominant  # 5 % off reads a few
    assert outcome.status["fault"] == faults.BUS_SILENT


def test_c08_can_fd_is_no_frame():
    bus = Bus(500_000)
    items = [(i * MS, FdFrame(0x100 + i, bytes(n))) for i, n in enumerate((0, 8, 16, 64) * 20)]
    bus.add_fd_node("fd", items)
    bus.add_node("logger", listen_only=True)
    seen = listened(bus, 120)
    assert (seen["kind"] == tape.ERROR).sum() >= len(items)
    assert len(record([seen]).frames) == 0


def test_c08_control_a_stored_frame_that_nobody_sent_is_caught():
    receive = SimController.receive

    def mangle(self, t_us, can_id, kind, dlc, data):
        receive(self, t_us, can_id ^ (t_us % 64 == 0), kind, dlc, data)

    with mock.patch.object(SimController, "receive", mangle):
        found = campaign.reproduce(SEED, "error frames:0")
    assert {"C1", "C8"} <= {finding.invariant for finding in found}


def test_c09_an_error_storm_costs_no_frame():
    """10,000 error frames a second between the frames of a bus at 30 % load."""
    seen = listened(loaded_bus(nodes.random_frames(1200, 9)), 1000)
    storm = np.zeros(10_000, tape.TAPE)
    storm["kind"] = tape.ERROR
    storm["t_us"] = np.arange(10_000) * 100
    outcome = record([tape.join_tapes([seen, storm])])
    assert not frames_differ(seen, outcome.frames)
    assert outcome.status["dropped0"] == 0
    assert sum(meta.name == "bus" for meta in outcome.meta) < 10  # one a poll at most


@pytest.mark.parametrize("until_s", [12])
def test_c11_a_full_bus_equals_its_witness(until_s):
    """The short form of the soak: the day is `tools/campaign soak`."""
    bus = loaded_bus(nodes.saturate(8, seed=11))
    log = bus.run(until_s * 1000 * MS)
    outcome = record([log.tape("logger")])
    assert outcome.status["stored0"] == len(log.sent) > 3700 * until_s
    assert not frames_differ(log.tape("logger"), outcome.frames)


def test_c12_a_plug_pulled_in_a_frame_and_put_back_in_another():
    for number in range(4):
        made = campaign.unplugged(np.random.default_rng([12, number]))
        log = made.run()
        seen = log.tape("logger")
        n_missed = len(log.sent) - int((seen["kind"] == tape.FRAME).sum())
        outcome = record([seen])
        assert n_missed > 0 and not frames_differ(seen, outcome.frames)
        assert campaign.contents(outcome.frames) <= campaign.contents(log.sent)


def test_c13_the_tick_wraps_three_times():
    rng = np.random.default_rng(13)
    frames = nodes.random_table(3000, rng)
    frames["dlc"] = np.minimum(frames["dlc"], 8)
    frames["t_us"] = np.sort(rng.integers(0, 3 * (1 << 30) + 90 * S_us, len(frames)))
    seen = tape_of(frames)
    outcome = record([seen], loop_us=100_000)
    assert int(outcome.frames["t_us"][-1]) > 3 * (1 << 30)
    assert not frames_differ(seen, outcome.frames)


def test_c14_a_fault_on_one_bus_changes_nothing_on_the_other():
    good = loaded_bus(nodes.random_frames(1500, 14)).run(300 * MS).tape("logger")
    good["bus"] = 1
    kept = []
    for kind in ("clean", "several at once", "stuck dominant", "passive and bus-off (rig build)"):
        bad = campaign.KINDS[kind](np.random.default_rng(14)).run().tape("logger")
        outcome = record([bad, good])
        one = outcome.frames[outcome.frames["bus"] == 1]
        assert not frames_differ(good, one)
        reported = [m.arg for m in outcome.meta if m.name == "bus" and m.bus == 1]
        assert reported == [1]
        kept.append(one.tobytes())
    assert len(set(kept)) == 1


def test_a_frame_that_the_bus_had_twice_is_stored_twice():
    """Fault 40: the sender misreads the last bit of EOF and repeats what all have received."""
    made = campaign.duplicate(np.random.default_rng(3))
    outcome = record([made.run().tape("logger")])
    rows = outcome.frames
    again = [
        i
        for i in range(1, len(rows))
        if all(np.array_equal(rows[name][i], rows[name][i - 1]) for name in ("can_id", "data"))
    ]
    assert len(again) >= 5
    assert not canbits.check_frames(rows)


def test_a_lone_sender_is_told_apart_from_a_storm():
    """Fault 34: nobody acknowledges. Attempts are bounded by time, the listener reads whole
    frames.
    """
    made = campaign.alone(np.random.default_rng(1))
    log = made.run()
    sender = made.bus.nodes[0]
    assert sender.state == tape.PASSIVE and sender.n_attempts < made.until_ns // 100_000
    outcome = record([log.tape("logger")])
    assert campaign.contents(outcome.frames) <= campaign.contents(made.offered[0])


def test_a_case_comes_again_by_its_line():
    assert campaign.reproduce(SEED, "bit errors:3") == []
    figures = []
    for _ in range(2):
        tally = Tally(SEED)
        campaign.run_case(tally, "bit errors", 3)
        figures.append(tally.worst)
    assert figures[0] == figures[1] and figures[0]["error frames, bit errors"] > 0
