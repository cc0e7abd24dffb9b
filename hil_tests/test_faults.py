"""Faults at the car: the logger keeps what it has, says what is wrong, and goes on afterwards."""

import pytest

from slog import faults
from slog import messages as m
from stagelog.rig.play import saturated_tape

SECOND_US = 1_000_000
BITRATE_BPS = 500_000


def play(target, us=SECOND_US // 2):
    """Fill the bus for `us`; return how many frames that were."""
    tape = saturated_tape(BITRATE_BPS, us)
    target.play(tape)
    return len(tape)


@pytest.mark.moves("fault")
def test_silent_bus_is_noticed_and_a_frame_ends_it(target):
    target.run_for(3 * SECOND_US)
    assert target.link.status()["fault"] == faults.BUS_SILENT
    play(target)
    assert target.link.status()["fault"] == faults.NONE


@pytest.mark.needs("storage")
@pytest.mark.moves("fault", "dropped0", "write_errors", "write_retries", "slots_skipped")
def test_card_pulled_while_recording_and_put_back(target):
    sent = play(target)
    target.card_remove()
    sent += play(target, 2 * SECOND_US)
    status = target.link.status()
    assert status["fault"] == faults.CARD_ABSENT and status["state"] == m.STATE_CARD_FAULT
    target.card_insert()
    sent += play(target, 2 * SECOND_US)
    target.run_for(2 * SECOND_US)
    status = target.link.status()
    assert status["state"] == m.STATE_RECORDING
    assert status["stored0"] + status["dropped0"] == sent and status["dropped0"] > 0


@pytest.mark.needs("storage")
@pytest.mark.moves("fault", "dropped0", "write_errors", "write_retries", "slots_skipped")
def test_write_protected_card_raises_an_alarm(target):
    target.card_protect(True)
    play(target)
    target.run_for(SECOND_US)
    assert target.link.status()["fault"] == faults.CARD_READ_ONLY


@pytest.mark.needs("power")
@pytest.mark.moves("fault")
def test_power_cut_costs_the_tail_only(target, fetch_frames):
    tape = saturated_tape(BITRATE_BPS, SECOND_US)
    target.play(tape)
    boot = target.link.hello()["boot"]
    target.power_cut()
    target.power_on()
    target.run_for(SECOND_US)
    assert target.link.hello()["boot"] == boot + 1
    frames = fetch_frames(boot)
    assert len(tape) - len(frames) <= 2 * 252
    assert (frames["data"] == tape["data"][: len(frames)]).all()


@pytest.mark.moves("bad_frames", "fault")
def test_garbage_on_the_data_port_changes_nothing(target, fetch_frames):
    import random

    noise = random.Random(3)
    tape = saturated_tape(BITRATE_BPS, SECOND_US // 2)
    for _ in range(4):
        target.send(noise.randbytes(1024) + b"AT\r\n\x03\x03\x01import os\r\n\x04\0")
    target.play(tape)
    target.run_for(SECOND_US)
    status = target.link.status()
    assert status["stored0"] == len(tape) and status["dropped0"] == 0
    assert status["bad_frames"] > 0
