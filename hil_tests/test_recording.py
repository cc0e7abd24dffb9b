"""What the bus carried is on the card: to the frame, in order, whatever the card does."""

import re

import pytest

from stagelog.park.check import Check
from stagelog.park.unit import WARN, Unit
from stagelog.rig.play import same_frames, saturated_tape

SECOND_US = 1_000_000
BITRATE_BPS = 1_000_000
FULL_RATE = pytest.mark.target_args(bitrate_bps=BITRATE_BPS)


@FULL_RATE
@pytest.mark.needs("saturated")
def test_saturated_bus_is_stored_whole(target, fetch_frames):
    tape = saturated_tape(BITRATE_BPS, 2 * SECOND_US)
    target.play(tape)
    status = target.link.status()
    assert same_frames(tape, fetch_frames())
    assert status.dropped0 == 0


@FULL_RATE
@pytest.mark.needs("saturated", "storage")
def test_card_stall_of_500_ms_loses_nothing(target, fetch_frames):
    tape = saturated_tape(BITRATE_BPS, 2 * SECOND_US)
    target.card_stall(SECOND_US // 2, SECOND_US // 2)
    target.play(tape)
    status = target.link.status()
    assert same_frames(tape, fetch_frames())
    assert status.ring_worst > 10


@FULL_RATE
@pytest.mark.needs("saturated", "storage", "short_ring")
def test_a_stall_is_found_before_the_start_and_costs_no_frame(target, fetch_frames, tmp_path):
    """`check` judges the card by the logger's own measure of each write, and writes nothing for
    it. 500 ms of a full bus of 1 Mbit/s are 16 blocks or more: over half of the memory.
    """
    check = Check(Unit(target.link.hello().device_id.hex(), ""), None, tmp_path / "a", 0.0)

    def stall():
        check(target.link)
        return next(f for f in check.findings if f.topic == "stall")

    tape = saturated_tape(BITRATE_BPS, 2 * SECOND_US)
    first = stall()
    assert "too few to know the card" in first.text and not first.remedy.startswith("another")
    target.card_stall(SECOND_US // 2, SECOND_US // 2)
    target.play(tape)
    found = stall()
    assert found.level == WARN and found.remedy == "another card before the next stage", found
    worst_ms = int(re.search(r"writes ([\d,]+) ms", found.text)[1].replace(",", ""))
    assert 400 <= worst_ms <= 600, found
    assert same_frames(tape, fetch_frames())


@FULL_RATE
@pytest.mark.needs("saturated", "storage", "short_ring")
@pytest.mark.moves("dropped0", "fault")
def test_longer_stall_drops_and_counts_to_the_frame(target, fetch_frames):
    tape = saturated_tape(BITRATE_BPS, 4 * SECOND_US)
    target.card_stall(SECOND_US // 2, 5 * SECOND_US // 2)
    target.play(tape)
    target.run_for(SECOND_US)
    status = target.link.status()
    frames = fetch_frames()
    assert 0 < status.dropped0 < len(tape)
    assert len(frames) + status.dropped0 == len(tape)
