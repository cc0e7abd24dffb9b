"""Faults at the car: the logger keeps what it has, says what is wrong in STATUS and by the light,
and goes on when the fault ends.
"""

import random

import numpy as np
import pytest

from slog import faults
from slog import messages as m
from slog.layout import BUS_STOPPED
from stagelog.archive.facts import erase_digest
from stagelog.card import prepare_raw
from stagelog.ledger import AWAY, account
from stagelog.link import RequestError
from stagelog.rig import tape as tapes
from stagelog.rig.bus import Bus, nodes
from stagelog.rig.bus import faults as bus_faults
from stagelog.rig.play import on_buses, same_frames, saturated_tape
from stagelog.rig.target import light_of

SECOND_US = 1_000_000
BITRATE_BPS = 500_000

PIECE_BYTES = 4096  # of garbage,
PIECE_US = 400_000  # and how long an RP2040 needs to read it

# The light as WIRING.md describes it, in steps of boards.light.
ONE_FLASH = 0x0001
TWO_FLASHES = 0x0005
THREE_FLASHES = 0x0015
FLICKER = 0x5555
SLOW = 0x0F0F


def play(target, us=SECOND_US // 4):
    """Fill all buses of the logger for `us`; return how many frames that were."""
    tape = on_buses(saturated_tape(BITRATE_BPS, us), target.link.status().n_buses)
    target.play(tape)
    return len(tape)


def n_stored(status):
    """Return how many frames of all buses are stored."""
    return status.stored0 + status.stored1


def assert_says(target, state, fault, light=None):
    """Assert what STATUS and, if one is given, the light say."""
    status = target.link.status()
    said = m.STATE_TEXT[status.state], faults.TEXT[status.fault]
    assert said == (m.STATE_TEXT[state], faults.TEXT[fault])
    if light is not None and "light" in target.capabilities:
        assert f"{target.light():#06x}" == f"{light_of(light):#06x}"


def test_silent_bus_is_noticed_and_a_frame_ends_it(target):
    target.run_for(3 * SECOND_US)
    assert_says(target, m.STATE_RECORDING, faults.BUS_SILENT, TWO_FLASHES)
    play(target)
    assert_says(target, m.STATE_RECORDING, faults.NONE)


@pytest.mark.needs("light")
def test_light_flashes_once_while_recording(target):
    tape = saturated_tape(BITRATE_BPS, 3 * SECOND_US)[::100]
    tape = on_buses(tape, target.link.status().n_buses)
    assert target.light(tape) == light_of(ONE_FLASH)


@pytest.mark.needs("storage", "power")
def test_card_absent_at_power_on_and_put_in(target):
    target.power_cut()
    target.card_remove()
    target.power_on()
    sent = play(target)
    assert_says(target, m.STATE_NO_CARD, faults.CARD_ABSENT, FLICKER)
    target.card_insert()
    target.run_for(SECOND_US)
    sent += play(target)
    target.run_for(SECOND_US)
    assert_says(target, m.STATE_RECORDING, faults.NONE)
    assert n_stored(target.link.status()) == sent


@pytest.mark.needs("storage")
@pytest.mark.moves("write_errors")
def test_unprepared_card_is_left_alone_until_another_comes(target, tmp_path):
    strange = tmp_path / "strange.img"
    strange.write_bytes(random.Random(1).randbytes(4 << 20))
    before = strange.read_bytes()
    own = target.card_path
    sent = play(target)
    target.card_swap(strange)
    sent += play(target)
    target.run_for(SECOND_US)
    assert_says(target, m.STATE_CARD_FAULT, faults.CARD_UNPREPARED)
    target.card_swap(own)
    target.run_for(SECOND_US)
    sent += play(target)
    target.run_for(SECOND_US)
    assert_says(target, m.STATE_RECORDING, faults.NONE)
    assert n_stored(target.link.status()) == sent
    assert strange.read_bytes() == before


@pytest.mark.needs("storage")
@pytest.mark.moves("write_errors")
def test_card_that_locks_itself_is_replaced(target, tmp_path):
    other = tmp_path / "other.img"
    prepare_raw(other, 512)
    sent = play(target)
    target.card_protect()
    sent += play(target)
    assert_says(target, m.STATE_CARD_FAULT, faults.CARD_READ_ONLY)
    target.card_swap(other)
    target.run_for(SECOND_US)
    sent += play(target)
    target.run_for(SECOND_US)
    assert_says(target, m.STATE_RECORDING, faults.NONE)
    assert n_stored(target.link.status()) == sent


@pytest.mark.needs("storage", "short_ring")
@pytest.mark.moves("fault", "dropped0", "dropped1")
@pytest.mark.moves("write_errors", "write_retries", "slots_skipped")
def test_card_pulled_while_recording_and_put_back(target):
    sent = play(target)
    target.card_remove()
    sent += play(target, 2 * SECOND_US)
    assert_says(target, m.STATE_CARD_FAULT, faults.CARD_ABSENT, FLICKER)
    target.card_insert()
    sent += play(target, SECOND_US)
    target.run_for(3 * SECOND_US // 2)  # a card is tried once a second, its mount takes 0.9 s
    assert_says(target, m.STATE_RECORDING, faults.RING_OVERFLOW)
    status = target.link.status()
    assert n_stored(status) + status.dropped0 + status.dropped1 == sent and status.dropped0 > 0


@pytest.mark.needs("storage")
@pytest.mark.target_args(card_blocks=24)
@pytest.mark.moves("dropped0", "dropped1", "fault")
def test_full_card_keeps_what_it_holds_until_it_is_erased(target, fetch_log):
    link = target.link
    sent = play(target, 3 * SECOND_US)
    assert_says(target, m.STATE_FULL, faults.CARD_FULL, SLOW)
    log = fetch_log()
    ledger = account(log.sessions[0])
    assert ledger.closes and sum(bus.n_seen for bus in ledger.buses) == sent
    for _ in link.erase(link.list_sessions()[0], bytes.fromhex(erase_digest(log.path))):
        target.run_for(SECOND_US // 20)
    link.control(m.CONTROL_START, link.hello().boot)
    sent = play(target)
    target.run_for(SECOND_US)
    assert_says(target, m.STATE_RECORDING, faults.NONE)
    assert n_stored(link.status()) == sent


@pytest.mark.needs("controller", "power")
def test_controller_that_does_not_answer_and_comes_back(target, fetch_log):
    sent = play(target)
    target.run_for(10_000)  # what a polled controller still holds would go with it
    target.controller_remove()
    play(target)
    assert_says(target, m.STATE_RECORDING, faults.CONTROLLER_ABSENT, THREE_FLASHES)
    target.controller_insert()
    target.run_for(3 * SECOND_US // 2)
    sent += play(target)
    target.run_for(SECOND_US // 2)
    assert_says(target, m.STATE_RECORDING, faults.NONE)
    assert n_stored(target.link.status()) == sent
    session = fetch_log().sessions[0]
    assert [gap.cause for gap in account(session).gaps] == [AWAY]
    states = [record.arg for record in session.decoded_meta() if record.name == "bus"]
    assert BUS_STOPPED in states


@pytest.mark.needs("errors")
def test_wrong_bit_rate_is_reported_and_leaves_the_bus_alone(target):
    for bitrate_bps in (250_000, BITRATE_BPS):
        settings = b'{"buses": [{"bitrate_bps": %d, "ids": null}]}' % bitrate_bps
        target.link.replace_config(m.CONFIG_SETTINGS, settings)
        target.run_for(SECOND_US // 10)
        sent = play(target)
        if bitrate_bps != BITRATE_BPS:
            assert_says(target, m.STATE_RECORDING, faults.BUS_ERRORS)
            assert n_stored(target.link.status()) == 0
    target.run_for(SECOND_US // 2)
    assert_says(target, m.STATE_RECORDING, faults.NONE)
    assert n_stored(target.link.status()) == sent
    assert not target.drove_dominant


def troubled_tape(us):
    """Return what a listener hears of a bus on which one node's transmitter dies for a while: it
    turns passive, goes off the bus and comes back; another goes on and is disturbed by bit errors.
    """
    bus = Bus(BITRATE_BPS)
    bus.add_node("dying", nodes.random_frames(1000, 1, 0, 2))
    bus.add_node("other", nodes.random_frames(1000, 2, 1, 2))
    bus.add_node("dash")
    bus.add_node("logger", listen_only=True)
    third_ns = us * 1000 // 3
    bus.add_fault(bus_faults.stuck_recessive(third_ns, 2 * third_ns, "dying"))
    bus.add_fault(bus_faults.bit_errors(1e-3, BITRATE_BPS, third_ns, 2 * third_ns, seed=3))
    return bus.run(us * 1000).tape("logger")


@pytest.mark.needs("errors")
def test_partners_that_turn_passive_and_go_off_the_bus(target, fetch_log):
    tape = troubled_tape(SECOND_US)
    n_errors = int((tape["kind"] == tapes.ERROR).sum())
    assert n_errors > 50
    target.play(tape)
    target.run_for(SECOND_US // 2)
    assert_says(target, m.STATE_RECORDING, faults.NONE)
    session = fetch_log().sessions[0]
    assert same_frames(tape, np.concatenate(list(session.iter_frames())))
    reported = [record for record in session.decoded_meta() if record.name == "bus"]
    assert 0 < sum(record.values["n_errors"] for record in reported) <= n_errors
    assert not target.drove_dominant


@pytest.mark.needs("power")
def test_power_cut_costs_the_tail_only(target, fetch_frames):
    tape = saturated_tape(BITRATE_BPS, SECOND_US)
    target.play(tape)
    boot = target.link.hello().boot
    target.power_cut()
    target.power_on()
    target.run_for(SECOND_US)
    assert target.link.hello().boot == boot + 1
    frames = fetch_frames(boot)
    assert len(tape) - len(frames) <= 2 * 252
    assert (frames["data"] == tape["data"][: len(frames)]).all()


@pytest.mark.moves("bad_frames")
def test_garbage_on_the_data_port_changes_nothing(target, fetch_frames, request):
    """1 MB; 64 KB where that takes long, unless --long is given."""
    is_whole = target.name == "sim" or request.config.getoption("--long")
    noise = random.Random(3)
    tape = saturated_tape(BITRATE_BPS, PIECE_US)[::4]
    boot = target.link.hello().boot
    n_pieces = (1 << 20 if is_whole else 1 << 16) // PIECE_BYTES
    for _ in range(n_pieces):
        target.send(noise.randbytes(PIECE_BYTES) + b"AT\r\n\x03\x03\x01import os\r\n\x04\0")
        target.play(tape)
    target.run_for(SECOND_US)
    status = target.link.status()
    assert status.stored0 == n_pieces * len(tape) and status.dropped0 == 0
    assert status.bad_frames >= n_pieces
    assert target.link.hello().boot == boot
    assert same_frames(np.tile(tape, n_pieces), fetch_frames())


@pytest.mark.needs("virtual_time")
def test_large_settings_item_is_refused_while_recording_and_taken_after(target):
    """12 KB, as a signal table has: more than the heap has in one piece."""
    link = target.link
    boot = link.hello().boot
    item = random.Random(4).randbytes(12_000)
    sent = play(target, SECOND_US)
    with pytest.raises(RequestError, match="busy"):
        link.set_config(m.CONFIG_SIGNALS, item)
    sent += play(target)
    target.run_for(SECOND_US // 2)
    assert n_stored(link.status()) == sent
    link.replace_config(m.CONFIG_SIGNALS, item)
    assert link.get_config(m.CONFIG_SIGNALS) == item
    sent = play(target)
    target.run_for(SECOND_US // 2)
    assert_says(target, m.STATE_RECORDING, faults.NONE)
    assert n_stored(link.status()) == sent and link.hello().boot == boot


@pytest.mark.needs("repl", "power")
def test_prompt_opens_by_a_request_only(target):
    link = target.link
    sent = play(target)
    target.send(b"\r\x03\x03\x01machine.reset()\r\x04\x02\0")
    target.run_for(SECOND_US)
    assert n_stored(link.status()) == sent
    boot = link.hello().boot
    with pytest.raises(RequestError, match="refused"):
        link.control(m.CONTROL_REPL, boot)
    link.control(m.CONTROL_STOP, boot)
    link.control(m.CONTROL_REPL, boot)
    target.run_for(SECOND_US // 2)
    assert target.repl("import sys\nprint(sys.platform, 6 * 7)") == "rp2 42\n"
    target.power_cut()
    target.power_on()
    assert_says(target, m.STATE_RECORDING, faults.NONE)
    assert target.link.hello().boot == boot + 1
