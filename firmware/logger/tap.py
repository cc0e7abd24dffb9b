"""A second reader of the ring: follows the records as they come, for the on-car detectors and for
a host that listens. Capture never waits for it.
"""

import struct

from logger.ring import COUNT, DONE, HEAD
from slog.block import N_RECORDS, T0_LO
from slog.layout import HEADER_BYTES, RECORD_BYTES


class Tap:
    """Invariant: gives each record at most once, in order; blocks that were reused meanwhile count
    in `n_skipped`.
    """

    def __init__(self, ring):
        self._ring = ring
        self.n_skipped = 0
        self.block = None  # the block that `next` found records in
        self.first = 0  # the first of them
        self._catch_up()
        self._at = ring.state[COUNT]

    def next(self, most):
        """Find up to `most` records of one block; return how many there are from `first` on."""
        ring = self._ring
        state = ring.state
        while True:
            behind = (state[DONE] - self._done) & 0xFFFF
            if behind >= ring.n_blocks:
                self.n_skipped += behind
                self._catch_up()
                continue
            block = ring.blocks[self._index]
            end = block[N_RECORDS] if behind else state[COUNT]
            if self._at < end:
                break
            if not behind:
                return 0
            self._done = (self._done + 1) & 0xFFFF
            self._index = (self._index + 1) % ring.n_blocks
            self._at = 0
        n = min(most, end - self._at)
        self.block = block
        self.first = self._at
        self._at += n
        return n

    def give_back(self, n):
        """Let the next call find the last `n` records again."""
        self._at -= n

    @property
    def offset(self):
        """Byte offset of the records in `block`."""
        return HEADER_BYTES + self.first * RECORD_BYTES

    @property
    def t0(self):
        """Time of the block's first record: bits 27..0, and above."""
        return struct.unpack_from("<II", self.block, T0_LO)

    def _catch_up(self):
        """Go to the block being filled; the interrupt may move on between the two reads."""
        state = self._ring.state
        while True:
            self._done = state[DONE]
            self._index = state[HEAD]
            if state[DONE] == self._done:
                break
        self._at = 0
