"""The supply falls, the board runs on from its hold-up capacitor: the shipped firmware on the
emulated Pico, with the pin that firmware/WIRING.md wires to the supply.
"""

import numpy as np
import pytest

from stagelog.blocks import read_log
from stagelog.rig.play import same_frames, saturated_tape
from stagelog.rig.rp2040.card_timing import ORDINARY, CardTiming
from stagelog.rig.rp2040.target import Rp2040Target
from stagelog.rig.runtimes import find_runtime

POWER_GOOD = 22  # WIRING.md, Pins


@pytest.fixture
def fall(tmp_path):
    """Return a function that records frames, lets the supply fall and takes the power away later;
    it returns (tape, frames on the card).
    """
    if find_runtime("pico-1.25") is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")

    def run(after_ms: int, *, board: str, timing: CardTiming, is_wired: bool = True):
        target = Rp2040Target(tmp_path, board=board, timing=timing)
        try:
            target.run_for(300_000)  # what it recorded of its start is on the card
            tape = saturated_tape(500_000, 10_000)
            target.play(tape)
            target.run_for(1_000)  # without a controller the decoder is 1 ms behind the bus
            if is_wired:
                target.board.chip.engine.drive(POWER_GOOD, 0)
            target.run_for(after_ms * 1_000)
            target.power_cut()
            session = read_log(target.card_path).sessions[-1]
            return tape, np.concatenate(list(session.iter_frames()))
        finally:
            target.close()

    return run


@pytest.mark.parametrize("board", ["pico_mcp2515", "pico_pio"])
def test_what_was_in_memory_is_on_the_card_within_the_hold_up(fall, board):
    """10 ms of a full bus are about 40 frames: no block is full, which takes 252, and `flush_ms`
    is 250, so without the pin the card has none of them.
    """
    tape, frames = fall(10, board=board, timing=ORDINARY)
    assert len(tape) > 30 and same_frames(tape, frames)


def test_without_the_wire_they_are_lost(fall):
    """What the pin is for: the same without it."""
    _, frames = fall(10, board="pico_mcp2515", timing=ORDINARY, is_wired=False)
    assert len(frames) == 0
