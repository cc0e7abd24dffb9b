"""A second reader of the ring: follows the records as they come, for a host that listens. Capture never waits for it."""

import struct

from logger.ring import COUNT, DONE, HEAD
from slog.block import N_RECORDS, T0_LO
from slog.layout import HEADER_BYTES, RECORD_BYTES


class Tap:
    """Invariant: gives each record at most once, in order; blocks that were reused meanwhile count in `n_skipped`."""

    def __init__(self, ring):
        self._ring = ring
        self._done = ring.state[DONE]
        self._at = ring.state[COUNT]
        self.n_skipped = 0
        self.t0 = (0, 0)
        self.records = b""

    def next(self, most):
        """Put up to `most` records of one block into `records` and its start into `t0`; return how many."""
        ring = self._ring
        state = ring.state
        while True:
            behind = (state[DONE] - self._done) & 0xFFFF
            if behind >= ring.n_blocks:
                self.n_skipped = min(65535, self.n_skipped + behind)
                self._done = state[DONE]
                self._at = 0
                continue
            block = ring.blocks[(state[HEAD] - behind) % ring.n_blocks]
            end = block[N_RECORDS] if behind else state[COUNT]
            if self._at < end:
                break
            if not behind:
                return 0
            self._done = (self._done + 1) & 0xFFFF
            self._at = 0
        n = min(most, end - self._at)
        at = HEADER_BYTES + self._at * RECORD_BYTES
        self.records = bytes(block[at : at + n * RECORD_BYTES])
        self.t0 = struct.unpack_from("<II", block, T0_LO)
        self._at += n
        return n
