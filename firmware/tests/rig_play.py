"""Frames for the logger in its simulated world, as close as at 500 kbit/s."""

from stagelog.rig.play import saturated_tape

SECOND_US = 1_000_000


def play(target, us=SECOND_US, n_bytes=8):
    """Send frames for some time; return how many."""
    tape = saturated_tape(500_000, us, n_bytes)
    target.play(tape)
    return len(tape)
