"""The supply falls, the board runs on from its hold-up capacitor: the shipped firmware on the
emulated Pico, with the pin that firmware/WIRING.md wires to the supply.
"""

import numpy as np
import pytest

from stagelog.blocks import read_log
from stagelog.rig.play import same_frames, saturated_tape
from stagelog.rig.rp2040.target import Rp2040Target
from stagelog.rig.runtimes import find_runtime

HOLD_UP_ms = 30  # docs/howto/build.md, Hold-up: time asked for


@pytest.fixture
def fall(tmp_path):
    """Return a function that records a full bus for `played_ms`, lets the supply fall, and takes
    the power away after the hold-up; it returns (tape, frames on the card).
    """
    if find_runtime("pico-1.25") is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")

    def run(played_ms: int, board: str, *, is_wired: bool = True):
        target = Rp2040Target(tmp_path, board=board)
        try:
            target.run_for(300_000)  # what it recorded of its start is on the card
            tape = saturated_tape(500_000, played_ms * 1_000)
            target.play(tape)
            target.run_for(1_000)  # without a controller the decoder is 1 ms behind the bus
            if is_wired:
                target.board.set_power_good(False)
            target.run_for(HOLD_UP_ms * 1_000)
            target.power_cut()
            session = read_log(target.card_path).sessions[-1]
            return tape, np.concatenate(list(session.iter_frames()))
        finally:
            target.close()

    return run


@pytest.mark.parametrize("board", ["pico_mcp2515", "pico_pio"])
@pytest.mark.parametrize("played_ms", [10, 62], ids=["card idle", "card busy"])
def test_what_was_in_memory_is_on_the_card_within_the_hold_up(fall, board, played_ms):
    """A frame of 8 bytes takes 240 us or so: 10 ms are 41 frames and fill no block, which takes
    252. After 62 ms one is full for 1 ms: the card writes it when the supply falls.
    """
    tape, frames = fall(played_ms, board)
    assert len(tape) > 30 and same_frames(tape, frames)


def test_without_the_wire_they_are_lost(fall):
    """`flush_ms` is 250, so without the pin the card has none of them."""
    _, frames = fall(10, "pico_mcp2515", is_wired=False)
    assert len(frames) == 0
