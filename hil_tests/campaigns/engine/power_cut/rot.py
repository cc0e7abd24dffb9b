"""Rot and garbage against the block's CRC: what the shipped codec takes for whole must be what was
written.

    every bit      each bit of a block flipped alone
    every pair     two bits flipped, for every distance (the syndrome of a linear code depends on
                   it)
    garbage        one sector replaced by noise behind a header that looks right
"""

import random
import time

from campaigns.engine.results import Finding
from slog import block as codec

_N_GARBAGE_RECORDS = 28


def run(tally, n_garbage):
    """Check all single bits and pair distances of a full block, and `n_garbage` noisy sectors."""
    start = time.monotonic()
    rng = random.Random(tally.seed)
    _flips(tally, rng)
    _garbage(tally, rng, n_garbage)
    tally.seconds += time.monotonic() - start


def sealed_block(rng, n_records):
    """Return a block of noise that the shipped codec has sealed."""
    block = bytearray(rng.randbytes(4096))
    block[codec.N_RECORDS] = n_records
    codec.seal(block, b"WITNESS1", 1, 7, 42, 9, 0)
    return block


def _flips(tally, rng):
    block = sealed_block(rng, 252)
    first = 64 * 8
    for bit in range(4096 * 8):
        block[bit >> 3] ^= 1 << (bit & 7)
        if codec.is_block(block, 9) and not 62 * 8 > bit >= 58 * 8:
            tally.add(Finding("D7", f"rot:bit:{bit}", "rot", "a flipped bit passes"))
        if bit > first:
            block[first >> 3] ^= 1 << (first & 7)
            if codec.is_block(block, 9):
                text = f"two flipped bits {bit - first} apart pass"
                tally.add(Finding("D7", f"rot:pair:{bit}", "rot", text))
            block[first >> 3] ^= 1 << (first & 7)
        block[bit >> 3] ^= 1 << (bit & 7)
    tally.states["rot"] += 2 * 4096 * 8 - first


def _garbage(tally, rng, n):
    block = sealed_block(rng, _N_GARBAGE_RECORDS)
    for case in range(n):
        block[64:512] = rng.randbytes(448)
        if codec.is_block(block, 9):
            tally.add(Finding("D7", f"rot:garbage:{case}", "rot", "a sector of noise passes"))
    tally.states["rot"] += n
