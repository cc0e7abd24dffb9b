"""The application in its simulated world: it records whatever fails, and says what is wrong."""

import pytest
from rig_play import SECOND_US, play

from slog import faults
from slog import messages as m
from stagelog.blocks import read_log
from stagelog.link import RequestError, positions_of
from stagelog.rig.play import saturated_tape
from stagelog.rig.target import SimTarget


def test_card_that_is_missing_at_power_on_and_comes_later(tmp_path):
    rig = SimTarget(tmp_path, card_blocks=512)
    card = rig.app.board.card
    rig.power_cut()
    rig.power_on()
    card = rig.app.board.card
    card.present = False
    rig.app.store.mount()
    n = play(rig, SECOND_US // 4)
    status = rig.link.status()
    assert status.state == m.STATE_NO_CARD and status.fault == faults.CARD_ABSENT
    assert rig.app.board.shown == (m.STATE_NO_CARD, faults.CARD_ABSENT)
    card.present = True
    rig.run_for(2 * SECOND_US)
    status = rig.link.status()
    assert status.state == m.STATE_RECORDING
    assert status.stored0 + status.dropped0 == n and status.dropped0 == 0
    rig.close()


def test_card_pulled_while_recording_and_put_back(target):
    first = play(target)
    target.app.board.card.present = False
    second = play(target, 2 * SECOND_US)
    status = target.link.status()
    assert status.state == m.STATE_CARD_FAULT and status.fault == faults.CARD_ABSENT
    assert status.dropped0 > 0
    target.app.board.card.present = True
    third = play(target, 2 * SECOND_US)
    target.run_for(2 * SECOND_US)
    status = target.link.status()
    assert status.state == m.STATE_RECORDING
    assert status.stored0 + status.dropped0 == first + second + third


def test_write_protected_card_raises_an_alarm(target):
    target.app.board.card.read_only = True
    play(target)
    assert target.link.status().fault == faults.CARD_READ_ONLY


def test_unprepared_card_is_refused_and_left_alone(target):
    image = target.app.board.card.image
    image.write(0, bytes(512))
    before = target.card_path.read_bytes()
    target.power_cut()
    target.power_on()
    play(target)
    assert target.link.status().fault == faults.CARD_UNPREPARED
    assert target.card_path.read_bytes() == before


def test_full_card_stops_and_keeps_what_it_holds(tmp_path):
    rig = SimTarget(tmp_path, card_blocks=64)
    n = play(rig, 6 * SECOND_US)
    status = rig.link.status()
    assert status.state == m.STATE_FULL and status.fault == faults.CARD_FULL
    assert status.blocks_free == 0
    rig.power_cut()
    rig.power_on()
    status = rig.link.status()
    assert status.fault == faults.CARD_FULL
    sessions = rig.link.list_sessions()
    assert len(sessions) == 1 and sessions[0].first_seq == 1
    assert n > 60 * 252
    rig.close()


def test_answering_the_host_costs_no_frame(target):
    n = len(tape := saturated_tape(1_000_000, SECOND_US))
    from stagelog.rig.target import tape_events

    target.logger.world.add_events(tape_events(tape, target.now_us))
    while not target.logger.world.tape_ended:
        target.link.status()
        session = target.link.list_sessions()[:1]
        for entry in session:
            list(target.link.read_blocks([entry.position]))
    target.run_for(SECOND_US)
    status = target.link.status()
    assert status.stored0 == n and status.dropped0 == 0


def test_silent_bus_is_noticed_and_a_frame_ends_it(target):
    target.run_for(3 * SECOND_US)
    status = target.link.status()
    assert status.fault == faults.BUS_SILENT and status.bus_state0 == 5
    play(target)
    assert target.link.status().fault == faults.NONE


def test_settings_are_taken_between_sessions_only(target):
    good = b'{"car": "C07", "flush_ms": 100}'
    with pytest.raises(RequestError, match="busy"):
        target.link.set_config(m.CONFIG_SETTINGS, good)
    target.link.replace_config(m.CONFIG_SETTINGS, good)
    assert target.link.get_config(m.CONFIG_SETTINGS) == good
    hello = target.link.hello()
    assert hello.car.rstrip(b"\0") == b"C07" and hello.state == m.STATE_RECORDING
    with pytest.raises(RequestError, match="refused"):
        target.link.replace_config(m.CONFIG_SETTINGS, b'{"flush_ms": 1}')
    assert target.link.get_config(m.CONFIG_SETTINGS) == good
    assert target.link.hello().state == m.STATE_RECORDING


def test_settings_of_a_bus_filter_its_identifiers(tmp_path):
    wanted = 0x123
    rig = SimTarget(
        tmp_path,
        card_blocks=128,
        settings={"buses": [{"bitrate_bps": 500_000, "ids": [wanted]}]},
    )
    play(rig, SECOND_US // 10)
    assert rig.link.status().stored0 == 0
    rig.close()


@pytest.mark.parametrize("away", [-1, 1, 98])
def test_late_control_of_another_boot_does_nothing(target, away):
    boot = target.link.hello().boot
    with pytest.raises(RequestError, match="refused"):
        target.link.control(m.CONTROL_STOP, boot + away)
    assert target.link.hello().state == m.STATE_RECORDING


def test_reset_and_repl_are_refused_while_recording(target):
    boot = target.link.hello().boot
    for action in (m.CONTROL_RESET, m.CONTROL_REPL, m.CONTROL_BOOTLOADER):
        with pytest.raises(RequestError, match="refused"):
            target.link.control(action, boot)
    assert target.app.board.asked is None
    target.link.control(m.CONTROL_STOP, boot)
    target.link.control(m.CONTROL_REPL, boot)
    assert target.app.board.asked == m.CONTROL_REPL


def test_good_settings_end_the_fault_of_bad_ones(target):
    target.app.settings_fault = faults.SETTINGS_BAD
    target.app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    assert target.app.take_config(m.CONFIG_SETTINGS, b"[]") == m.REFUSED
    assert target.app.settings_fault == faults.SETTINGS_BAD
    assert target.app.take_config(m.CONFIG_SETTINGS, b"{}") == m.OK
    assert target.app.settings_fault == faults.NONE


def test_megabyte_of_garbage_on_the_link_changes_nothing(target):
    import random

    noise = random.Random(3)
    for _ in range(16):
        target.logger.write(noise.randbytes(4096))
        target.logger.write(b"AT\r\n\x03\x01import os\r\n\x04")
        play(target, SECOND_US // 20)
    status = target.link.status()
    assert status.dropped0 == 0 and status.state == m.STATE_RECORDING
    assert status.bad_frames > 0
    assert len(target.link.list_sessions()) == 1


def test_clock_of_the_world_that_began_earlier_is_not_the_loggers(tmp_path):
    import numpy as np

    from slog.messages import CONTROL_STOP

    rig = SimTarget(tmp_path, card_blocks=128, t0_us=(1 << 30) - 50_000)
    play(rig, SECOND_US // 10)
    rig.link.control(CONTROL_STOP, rig.link.hello().boot)
    session = rig.link.list_sessions()[0]
    path = tmp_path / "a.slog"
    path.write_bytes(b"".join(block for _, block in rig.link.read_blocks(positions_of(session))))
    frames = np.concatenate(list(read_log(path).sessions[0].iter_frames()))
    assert 0 < frames["t_us"][0] < 1000 and np.all(np.diff(frames["t_us"]) > 0)
    rig.close()


def test_logger_without_a_card_can_be_stopped(target):
    target.app.board.card.present = False
    play(target, 2 * SECOND_US)
    boot = target.link.hello().boot
    assert target.link.control(m.CONTROL_STOP, boot) == m.STATE_IDLE
    target.link.control(m.CONTROL_REPL, boot)
    assert target.app.board.asked == m.CONTROL_REPL
    target.app.board.card.present = True
    target.link.control(m.CONTROL_START, boot)
    sent = play(target)
    target.run_for(SECOND_US)
    assert target.link.status().stored0 == sent


def stopping(rig):
    """Stop a session whose last block the card is still busy with."""
    play(rig, SECOND_US // 10)
    rig.app.board.card.stalls.append((0, 1 << 40))
    rig.run_for(SECOND_US)
    assert rig.app.control(m.CONTROL_STOP) == m.PENDING
    return rig.app


def test_while_a_session_is_stopping_nothing_else_begins(target):
    app = stopping(target)
    for _ in range(2):
        assert app.is_busy
        assert app.control(m.CONTROL_STOP) == m.PENDING
        assert app.control(m.CONTROL_START) == m.BUSY
        assert app.take_config(m.CONFIG_SETTINGS, b"{}") == m.BUSY
        assert app.take_config(m.CONFIG_SIGNALS, b"") == m.BUSY
        for action in (m.CONTROL_RESET, m.CONTROL_REPL, m.CONTROL_BOOTLOADER):
            assert app.control(action) == m.REFUSED
        target.run_for(SECOND_US)
    assert app.board.asked is None
    app.board.card.stalls.clear()
    target.run_for(12 * SECOND_US)  # the write that hangs is abandoned after 10 s
    assert not app.is_busy and app.state == m.STATE_IDLE
    assert app.control(m.CONTROL_STOP) == m.OK
    assert app.take_config(m.CONFIG_SETTINGS, b"{}") == m.OK
    assert app.control(m.CONTROL_START) == m.OK and app.is_busy


def test_the_host_is_asked_to_wait_while_a_session_is_stopping(target):
    app = stopping(target)
    with pytest.raises(RequestError, match="busy"):
        target.link.set_config(m.CONFIG_SETTINGS, b"{}")
    assert app.board.nv.load(m.CONFIG_SETTINGS) == b"{}"


def test_actions_that_do_not_exist_are_bad_requests(target):
    for action in (0, 99):
        assert target.app.control(action) == m.BAD_REQUEST


def test_frames_that_are_dropped_are_no_silence(target):
    """The card stalls: after the ring is full every frame is dropped, none is stored."""
    target.app.board.card.stalls.append((0, 1 << 40))
    play(target, 3 * SECOND_US)
    stored = target.app.board.ring.state[4]
    play(target, 3 * SECOND_US)
    status = target.link.status()
    assert target.app.board.ring.state[4] == stored and status.dropped0 > 0
    assert status.bus_state0 != 5 and status.fault != faults.BUS_SILENT


def test_frames_that_the_hardware_loses_are_no_silence(target):
    """A controller that overruns while nothing of it is stored hears a bus that is alive."""
    app = target.app
    for _ in range(6):
        target.run_for(SECOND_US)
        app.board.ring.count_lost(0, 1)
    status = target.link.status()
    assert status.at_least0 == 6 and status.stored0 == 0
    assert status.bus_state0 != 5 and status.fault != faults.BUS_SILENT


@pytest.mark.parametrize("quiet", [0, 1])
def test_frames_that_one_bus_loses_are_no_sound_of_the_other(tmp_path, quiet):
    """Each bus has its own overruns: silent is 5, active 1."""
    rig = SimTarget(tmp_path, card_blocks=64, settings={"buses": [{"bitrate_bps": 500_000}] * 2})
    for _ in range(5):
        rig.run_for(SECOND_US)
        rig.app.board.ring.count_lost(1 - quiet, 1)
    status = rig.link.status()
    assert (status.buses[quiet].state, status.buses[1 - quiet].state) == (5, 1)
    rig.close()


def test_silence_is_two_seconds_without_a_frame(target):
    play(target, SECOND_US // 10)
    target.run_for(1_900_000)
    assert target.app.fault == faults.NONE
    target.run_for(300_000)
    assert target.app.fault == faults.BUS_SILENT
    assert target.app.board.shown == (m.STATE_RECORDING, faults.BUS_SILENT)


def test_a_new_session_is_not_silent_before_its_two_seconds(target):
    target.run_for(3 * SECOND_US)
    assert target.app.fault == faults.BUS_SILENT
    target.app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    target.app.control(m.CONTROL_START)
    target.run_for(1_900_000)
    assert target.app.fault == faults.NONE
    target.run_for(300_000)
    assert target.app.fault == faults.BUS_SILENT


@pytest.mark.parametrize("quiet", [0, 1])
def test_one_silent_bus_of_two_is_reported(tmp_path, quiet):
    rig = SimTarget(tmp_path, card_blocks=512, settings={"buses": [{"bitrate_bps": 500_000}] * 2})
    tape = saturated_tape(500_000, 3 * SECOND_US)
    tape["bus"] = 1 - quiet
    rig.play(tape)
    status = rig.link.status()
    assert status.n_buses == 2
    assert status.fault == faults.BUS_SILENT
    assert status.buses[quiet].state == 5 and status.buses[1 - quiet].state == 1
    assert status.buses[quiet].stored == 0 and status.buses[1 - quiet].stored > 0
    assert rig.app.board.shown == (m.STATE_RECORDING, faults.BUS_SILENT)
    rig.close()


def test_each_bus_has_its_own_settings_and_a_further_one_the_last(tmp_path):
    buses = [{"bitrate_bps": 500_000, "ids": [1]}, {"bitrate_bps": 125_000}]
    rig = SimTarget(tmp_path, card_blocks=64, settings={"buses": buses})
    assert [c.bitrate_bps for c in rig.app.board.captures] == [500_000, 125_000]
    rig.app.settings["buses"] = buses[:1]
    rig.app._start_captures()
    assert [c.bitrate_bps for c in rig.app.board.captures] == [500_000, 500_000]
    rig.close()


SESSION_COUNTS = {
    "blocks_written": 21,
    "write_errors": 23,
    "write_retries": 24,
    "places_skipped": 25,
    "verify_errors": 26,
}
FAULT_ORDER = [
    ("card", faults.CARD_STALL),
    ("bus off", faults.BUS_OFF),
    ("controller", faults.CONTROLLER_ABSENT),
    ("settings", faults.SETTINGS_BAD),
    ("errors", faults.BUS_ERRORS),
    ("wire", faults.WIRE_INTERRUPT),
    ("silent", faults.BUS_SILENT),
    ("dropped", faults.RING_OVERFLOW),
    ("overrun", faults.CONTROLLER_OVERRUN),
    ("noise", faults.SPI_NOISE),
    ("nothing", faults.NONE),
]


def test_the_worst_fault_is_the_one_that_is_reported(tmp_path):
    """All at once, then the worst is taken away, one after the other. Bus 0 is off and absent,
    bus 1 has errors and is silent.
    """
    rig = SimTarget(tmp_path, card_blocks=64, settings={"buses": [{"bitrate_bps": 500_000}] * 2})
    app = rig.app
    captures, state = app.board.captures, app.board.ring.state
    app.store.fault = faults.CARD_STALL
    app._bus_state[:] = [4, 2]
    captures[0].answers = False
    app.settings_fault = faults.SETTINGS_BAD
    app._silent[:] = [False, True]
    state[7] = state[9] = 1
    captures[1].wire_fault = faults.WIRE_INTERRUPT
    captures[1].doubts = 1
    removals = {
        "card": lambda: setattr(app.store, "fault", faults.NONE),
        "bus off": lambda: app._bus_state.__setitem__(0, 1),
        "controller": lambda: setattr(captures[0], "answers", True),
        "settings": lambda: setattr(app, "settings_fault", faults.NONE),
        "errors": lambda: app._bus_state.__setitem__(1, 1),
        "wire": lambda: setattr(captures[1], "wire_fault", faults.NONE),
        "silent": lambda: app._silent.__setitem__(1, False),
        "dropped": lambda: state.__setitem__(7, 0),
        "overrun": lambda: state.__setitem__(9, 0),
        "noise": lambda: setattr(captures[1], "doubts", 0),
        "nothing": lambda: None,
    }
    for name, fault in FAULT_ORDER:
        assert app.fault == fault, name
        removals[name]()
    app._bus_state[1] = 3
    assert app.fault == faults.BUS_ERRORS
    app._bus_state[1] = 1
    state[6] = 1
    assert app.fault == faults.RING_OVERFLOW
    rig.close()


def test_a_logger_that_was_stopped_and_forgotten_records_again_after_a_minute(target):
    target.link.control(m.CONTROL_STOP, target.link.hello().boot)
    target.link.hello()
    target.run_for(59 * SECOND_US)
    assert target.app.state == m.STATE_IDLE
    target.link.hello()  # whoever asks keeps it stopped
    target.run_for(59 * SECOND_US)
    assert target.app.state == m.STATE_IDLE
    target.run_for(2 * SECOND_US)
    assert target.app.state == m.STATE_RECORDING
    assert len(target.link.list_sessions()) == 2


def test_hello_says_what_runs(target):
    hello = target.link.hello()
    assert hello.state == m.STATE_RECORDING and hello.boot == 1
    assert hello.nonce == target.app.store.nonce != 0
    assert hello.firmware == 0x000100 and hello.version == 1
    target.app.control(m.CONTROL_STOP)
    target.run_for(SECOND_US)
    assert target.link.hello().nonce == 0


def test_status_has_every_counter_of_its_own(tmp_path):
    rig = SimTarget(tmp_path, card_blocks=64, settings={"buses": [{"bitrate_bps": 500_000}] * 2})
    rig.run_for(SECOND_US)
    app, words = rig.app, rig.app.board.ring.state
    for word, value in ((6, 106), (7, 107), (8, 108), (9, 109), (16, 12)):
        words[word] = value
    app.store.counts.stored = (101, 102)
    for name, value in SESSION_COUNTS.items():
        setattr(app.store.counts, name, value)
    app.store.write.worst_us, app.store.first_stored_us = 22_999, 27_999
    app._loop_worst_us = 4321
    for i, capture in enumerate(app.board.captures):
        capture.counters[:2] = [50 + i, 60 + i]
    status = app.status()
    wanted = {
        "stored0": 101,
        "stored1": 102,
        "dropped0": 106,
        "dropped1": 107,
        "at_least0": 108,
        "at_least1": 109,
        "ring_blocks": 24,
        "ring_worst": 12,
        "blocks_written": 21,
        "write_worst_ms": 22,
        "write_errors": 23,
        "write_retries": 24,
        "slots_skipped": 25,
        "verify_errors": 26,
        "loop_worst_us": 4321,
        "boot_to_frame_ms": 27,
        "tec0": 50,
        "tec1": 51,
        "rec0": 60,
        "rec1": 61,
        "n_buses": 2,
    }
    assert {name: status[name] for name in wanted} == wanted
    rig.close()
