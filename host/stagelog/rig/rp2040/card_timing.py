"""How long an emulated card takes, and how a bad contact damages what passes over its wires."""

from dataclasses import dataclass
from math import log
from random import Random


@dataclass(frozen=True, slots=True)
class CardTiming:
    """How long a card takes, in microseconds; medians of log-normal distributions of width sigma.

    The default is an ordinary card: about 700 kB/s when written 4 KiB at a time at 12 MHz, one
    write in a hundred ten times slower. How many bytes a reply comes after its command is drawn
    from all that the standard allows.

    reply_bytes   most bytes of 0xFF before a reply: N_CR is 1 to 8 (SD Physical Layer Simplified
                  Specification 6.00, 7.5.4); one is always 0xFF
    stop_busy_us  how long the card stays busy after CMD12, whose reply is R1b (7.3.1.1)
    """

    init_us: float = 120_000
    read_us: float = 300
    next_read_us: float = 20
    sector_us: float = 40
    finish_us: float = 2_000
    sigma: float = 0.5
    slow_one_in: int = 100
    slow_factor: float = 10
    reply_bytes: int = 8
    stop_busy_us: float = 200


ORDINARY = CardTiming()
INSTANT = CardTiming(0, 0, 0, 0, 0, 0, 0, 1, 1, 0)
# What a host must tolerate: start 1 s (4.2.3), read 100 ms, write 250 ms, for SDXC 500 ms
# (4.6.2.1, 4.6.2.2, also for the busy time after CMD12).
SLOWEST = CardTiming(999_000, 99_000, 99_000, 0, 499_000, 0, 0, 1, 8, 249_000)


def damage(data: bytearray, bit_error_rate: float, rng: Random) -> int:
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
