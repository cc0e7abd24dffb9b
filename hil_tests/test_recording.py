"""What the bus carried is on the card: to the frame, in order, whatever the card does."""

import pytest

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
@pytest.mark.needs("saturated", "storage")
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
