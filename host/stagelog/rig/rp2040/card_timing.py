"""How long an emulated card takes, and how a bad contact damages what passes over its wires."""

from dataclasses import dataclass
from math import log


@dataclass(frozen=True, slots=True)
class CardTiming:
    """How long a card takes, in microseconds; medians of log-normal distributions of width sigma.

    The default is an ordinary card: about 700 kB/s when written 4 KiB at a time at 12 MHz, one
    write in a hundred ten times slower.
    """

    init_us: float = 120_000
    read_us: float = 300
    next_read_us: float = 20
    sector_us: float = 40
    finish_us: float = 2_000
    sigma: float = 0.5
    slow_one_in: int = 100
    slow_factor: float = 10


ORDINARY = CardTiming()
INSTANT = CardTiming(0, 0, 0, 0, 0, 0, 0, 1)


def damage(data, bit_error_rate, rng):
    """Flip bits of a bytearray in place, each with this probability; return how many."""
    n_flipped = 0
    at = -1
    while bit_error_rate:
        at += 1 + int(log(1 - rng.random()) / log(1 - bit_error_rate))
        if at >= 8 * len(data):
            break
        data[at >> 3] ^= 1 << (at & 7)
        n_flipped += 1
    return n_flipped
