"""Memory for the raw bits of a bus, aligned as the DMA's rings want it."""

import gc

import uctypes
from micropython import const

_GUARD_BYTES = const(32)  # for a copy of the ring's first bytes, behind it


class RawRing:
    """Memory for bits and their stamps. Invariant: both lie at multiples of their sizes.

    log2_bytes   2 ** 14 bytes for the bits are 131 ms of a bus at 1 Mbit/s
    """

    def __init__(self, log2_bytes):
        self.log2_bytes = log2_bytes
        self.n_bytes = n_bytes = 1 << log2_bytes
        self.memory = _aligned(n_bytes >> 2, n_bytes)
        at = uctypes.addressof(self.memory) + (n_bytes >> 2)
        self.raw = at + (-at & n_bytes - 1)
        self.stamps = self.raw - (n_bytes >> 2)


def _aligned(n_before, n_bytes):
    """Return memory in which the byte at `n_before` lies at a multiple of `n_bytes`: with as many
    bytes as are needed, or, where the heap gives none such, with room to choose a place in it.
    """
    n_all = n_before + n_bytes + _GUARD_BYTES
    plugs = []  # what went into holes elsewhere
    for _ in range(16):
        place = bytearray(n_all)
        at = uctypes.addressof(place)
        first = -(at + n_before) & n_bytes - 1
        if not first:
            return place
        for trim in (0, 16, 32):  # a piece before it; 16 bytes more for each small object
            piece = place = None
            gc.collect()
            piece = bytearray(max(0, first - trim))
            place = bytearray(n_all)
            if not (uctypes.addressof(place) + n_before) & n_bytes - 1:
                return place
            if uctypes.addressof(piece) < at:
                break
        place = None
        plugs.append(piece)
    plugs = piece = None
    gc.collect()
    return bytearray(n_all + n_bytes)
