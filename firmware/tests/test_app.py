"""The application in its simulated world: it records whatever fails, and says what is wrong."""

import pytest

from slog import faults
from slog import messages as m
from stagelog.link import RequestError
from stagelog.rig.play import saturated_tape
from stagelog.rig.target import SimTarget

SECOND_US = 1_000_000


@pytest.fixture
def target(tmp_path):
    rig = SimTarget(tmp_path, card_blocks=512)
    yield rig
    rig.close()


def play(target, us=SECOND_US, n_bytes=8):
    tape = saturated_tape(500_000, us, n_bytes)
    target.play(tape)
    return len(tape)


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
    assert status["state"] == m.STATE_NO_CARD and status["fault"] == faults.CARD_ABSENT
    assert rig.app.board.shown == (m.STATE_NO_CARD, faults.CARD_ABSENT)
    card.present = True
    rig.run_for(2 * SECOND_US)
    status = rig.link.status()
    assert status["state"] == m.STATE_RECORDING
    assert status["stored0"] + status["dropped0"] == n and status["dropped0"] == 0
    rig.close()


def test_card_pulled_while_recording_and_put_back(target):
    first = play(target)
    target.app.board.card.present = False
    second = play(target, 2 * SECOND_US)
    status = target.link.status()
    assert status["state"] == m.STATE_CARD_FAULT and status["fault"] == faults.CARD_ABSENT
    assert status["dropped0"] > 0
    target.app.board.card.present = True
    third = play(target, 2 * SECOND_US)
    target.run_for(2 * SECOND_US)
    status = target.link.status()
    assert status["state"] == m.STATE_RECORDING
    assert status["stored0"] + status["dropped0"] == first + second + third


def test_write_protected_card_raises_an_alarm(target):
    target.app.board.card.read_only = True
    play(target)
    assert target.link.status()["fault"] == faults.CARD_READ_ONLY


def test_unprepared_card_is_refused_and_left_alone(target):
    image = target.app.board.card.image
    image.write(0, bytes(512))
    before = target.card_path.read_bytes()
    target.power_cut()
    target.power_on()
    play(target)
    assert target.link.status()["fault"] == faults.CARD_UNPREPARED
    assert target.card_path.read_bytes() == before


def test_full_card_stops_and_keeps_what_it_holds(tmp_path):
    rig = SimTarget(tmp_path, card_blocks=64)
    n = play(rig, 6 * SECOND_US)
    status = rig.link.status()
    assert status["state"] == m.STATE_FULL and status["fault"] == faults.CARD_FULL
    assert status["blocks_free"] == 0
    rig.power_cut()
    rig.power_on()
    status = rig.link.status()
    assert status["fault"] == faults.CARD_FULL
    sessions = rig.link.list_sessions()
    assert len(sessions) == 1 and sessions[0]["first_seq"] == 1
    assert n > 60 * 252
    rig.close()


def test_answering_the_host_costs_no_frame(target):
    n = len(tape := saturated_tape(1_000_000, SECOND_US))
    from stagelog.rig.target import tape_events

    target._logger.world.add_events(tape_events(tape, target.now_us))
    while not target._logger.world.tape_ended:
        target.link.status()
        session = target.link.list_sessions()[:1]
        for entry in session:
            list(target.link.read_blocks([entry["position"]]))
    target.run_for(SECOND_US)
    status = target.link.status()
    assert status["stored0"] == n and status["dropped0"] == 0


def test_silent_bus_is_noticed_and_a_frame_ends_it(target):
    target.run_for(3 * SECOND_US)
    status = target.link.status()
    assert status["fault"] == faults.BUS_SILENT and status["bus_state0"] == 5
    play(target)
    assert target.link.status()["fault"] == faults.NONE


def test_settings_are_taken_between_sessions_only(target):
    good = b'{"car": "C07", "flush_ms": 100}'
    with pytest.raises(RequestError, match="busy"):
        target.link.set_config(m.CONFIG_SETTINGS, good)
    target.link.replace_config(m.CONFIG_SETTINGS, good)
    assert target.link.get_config(m.CONFIG_SETTINGS) == good
    hello = target.link.hello()
    assert hello["car"].rstrip(b"\0") == b"C07" and hello["state"] == m.STATE_RECORDING
    with pytest.raises(RequestError, match="refused"):
        target.link.replace_config(m.CONFIG_SETTINGS, b'{"flush_ms": 1}')
    assert target.link.get_config(m.CONFIG_SETTINGS) == good
    assert target.link.hello()["state"] == m.STATE_RECORDING


def test_settings_of_a_bus_filter_its_identifiers(tmp_path):
    wanted = 0x123
    rig = SimTarget(
        tmp_path,
        card_blocks=128,
        settings={"buses": [{"bitrate_bps": 500_000, "ids": [wanted]}]},
    )
    play(rig, SECOND_US // 10)
    assert rig.link.status()["stored0"] == 0
    rig.close()


def test_late_control_of_another_boot_does_nothing(target):
    with pytest.raises(RequestError, match="refused"):
        target.link.control(m.CONTROL_STOP, 99)
    assert target.link.hello()["state"] == m.STATE_RECORDING


def test_reset_and_repl_are_refused_while_recording(target):
    boot = target.link.hello()["boot"]
    for action in (m.CONTROL_RESET, m.CONTROL_REPL, m.CONTROL_BOOTLOADER):
        with pytest.raises(RequestError, match="refused"):
            target.link.control(action, boot)
    assert target.app.board.asked is None
    target.link.control(m.CONTROL_STOP, boot)
    target.link.control(m.CONTROL_REPL, boot)
    assert target.app.board.asked == m.CONTROL_REPL


def test_megabyte_of_garbage_on_the_link_changes_nothing(target):
    import random

    noise = random.Random(3)
    for _ in range(16):
        target._logger.write(noise.randbytes(4096))
        target._logger.write(b"AT\r\n\x03\x01import os\r\n\x04")
        play(target, SECOND_US // 20)
    status = target.link.status()
    assert status["dropped0"] == 0 and status["state"] == m.STATE_RECORDING
    assert status["bad_frames"] > 0
    assert len(target.link.list_sessions()) == 1


def test_clock_of_the_world_that_began_earlier_is_not_the_loggers(tmp_path):
    import numpy as np

    from slog.messages import CONTROL_STOP
    from stagelog.blocks import read_log
    from stagelog.link import positions_of

    rig = SimTarget(tmp_path, card_blocks=128, t0_us=(1 << 30) - 50_000)
    play(rig, SECOND_US // 10)
    rig.link.control(CONTROL_STOP, rig.link.hello()["boot"])
    session = rig.link.list_sessions()[0]
    path = tmp_path / "a.slog"
    path.write_bytes(b"".join(block for _, block in rig.link.read_blocks(positions_of(session))))
    frames = np.concatenate(list(read_log(path).sessions[0].iter_frames()))
    assert 0 < frames["t_us"][0] < 1000 and np.all(np.diff(frames["t_us"]) > 0)
    rig.close()


def test_logger_without_a_card_can_be_stopped(target):
    target.app.board.card.present = False
    play(target, 2 * SECOND_US)
    boot = target.link.hello()["boot"]
    assert target.link.control(m.CONTROL_STOP, boot) == m.STATE_IDLE
    target.link.control(m.CONTROL_REPL, boot)
    assert target.app.board.asked == m.CONTROL_REPL
    target.app.board.card.present = True
    target.link.control(m.CONTROL_START, boot)
    sent = play(target)
    target.run_for(SECOND_US)
    assert target.link.status()["stored0"] == sent
