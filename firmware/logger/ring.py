"""The ring of blocks in memory: capture fills them, the store empties them, nothing is copied in
between.

One producer (the capture interrupt, or code that holds the lock) and one consumer (the main loop).
Blocks are filled in the order 0..n-1, 0.. A record goes straight to its final place. When all
blocks wait for the card, frames are dropped and counted exactly, and a gap record says so as soon
as there is room. Nothing is allocated after start.

All of it lies in `memory` and `state`, so that `drivers/rp2_hot.py` can do the same with pointers
in an interrupt.
"""

import struct
from array import array

from slog.block import N_RECORDS, RECORD_DATA, STORED0, T0_LO
from slog.layout import (
    BLOCK_BYTES,
    GAP_RING_FULL,
    HEADER_BYTES,
    META_DLC,
    META_GAP,
    N_BUSES,
    RECORD_BYTES,
    RECORDS_PER_BLOCK,
    TIME_BITS,
    VERSION,
    const,
)

# Words of `state`. The producer writes all but FREED; every word stays below 2^30.
HEAD = const(0)  # block being filled
COUNT = const(1)  # records in it; 0: not opened yet
DONE = const(2)  # blocks completed, modulo 2^16
FREED = const(3)  # blocks given back by the store, modulo 2^16
STORED = const(4)  # [4], [5]: frames stored per bus in this session
DROPPED = const(6)  # [6], [7]: frames dropped per bus, exact
AT_LEAST = const(8)  # [8], [9]: frames lost in hardware per bus, at least; stays at 65535
PENDING = const(10)  # [10], [11]: drops that no gap record reports yet
FIRST_LO = const(12)  # [12], [13]: time of the first of them, bits 27..0
FIRST_HI = const(14)  # [14], [15]: bits 31..28
WORST = const(16)  # most blocks that ever waited
N_WORDS = const(17)

_LOW = (1 << TIME_BITS) - 1
_GAP_ARG = GAP_RING_FULL << 8 | META_GAP


class BlockRing:
    """Invariant: every offered frame is either in a block or in DROPPED, and each dropped one in a
    gap record. A board may give it its blocks later, when all else is in memory.

    version   of the format that the session's blocks have
    has_fd    whether it takes frames of CAN FD
    """

    version = VERSION
    has_fd = False

    def __init__(self, n_blocks=0):
        self.state = array("I", [0] * N_WORDS)
        self._first = (
            0  # the oldest waiting block; the consumer's own, as HEAD may move at any time
        )
        self.take_memory(n_blocks)

    def take_memory(self, n_blocks):
        """Take memory for `n_blocks`; only while there are none."""
        self.memory = bytearray(n_blocks * BLOCK_BYTES)
        view = memoryview(self.memory)
        self.blocks = [view[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES] for i in range(n_blocks)]
        self.n_blocks = n_blocks

    def start_session(self):
        """Forget all counts. Only while capture is stopped and nothing waits."""
        for word in range(STORED, N_WORDS):
            self.state[word] = 0

    def put_frame(self, lo, hi, can_id, kind, dlc, data):
        """Store one frame; True if it went into a block.

        lo, hi: time since boot, bits 27..0 and above. kind: bus | rtr << 1 | ext << 2.
        dlc: 0..8. data: 8 bytes, zero beyond the payload.
        """
        bus = kind & 1
        if not self._make_room(lo, hi):
            self._drop(lo, hi, bus)
            return False
        self._put(lo, can_id & 0xFFFF, can_id >> 16 | kind << 13, dlc, data)
        self.state[STORED + bus] += 1
        self._close_if_full()
        return True

    def put_meta(self, lo, hi, kind, arg, bus, data):
        """Store one meta record; True if there was room. `arg` has 21 bits."""
        if not self._make_room(lo, hi):
            return False
        self._put(lo, (kind | arg << 8) & 0xFFFF, arg >> 8 | bus << 13, META_DLC, data)
        self._close_if_full()
        return True

    def count_lost(self, bus, n):
        """Add frames that the hardware lost, at least `n`."""
        state = self.state
        state[AT_LEAST + bus] = min(65535, state[AT_LEAST + bus] + n)

    def close_block(self):
        """Close the block being filled although it is not full."""
        if self.state[COUNT]:
            self._close()

    def open_age_us(self, lo):
        """Return how long the block being filled has been open at time `lo` (bits 27..0), or -1 if
        none is.
        """
        if not self.state[COUNT]:
            return -1
        low, high = struct.unpack_from("<HH", self.blocks[self.state[HEAD]], T0_LO)
        age_us = (lo - (low | high << 16)) & _LOW
        return age_us if age_us < _LOW >> 1 else 0  # opened by the interrupt after `lo` was read

    def stamp_counts(self, block):
        """Write the session's counts as they are now into the header of a block."""
        state = self.state
        at = STORED0
        for word in range(STORED, AT_LEAST):
            n = state[word]
            struct.pack_into("<HH", block, at, n & 0xFFFF, n >> 16)
            at += 4
        struct.pack_into("<HH", block, at, state[AT_LEAST], state[AT_LEAST + 1])

    def n_waiting(self):
        """Return how many blocks wait for the card, the one being filled not counted."""
        return (self.state[DONE] - self.state[FREED]) & 0xFFFF

    def first_waiting(self):
        """Return the oldest waiting block as a memoryview, or None."""
        return self.blocks[self._first] if self.n_waiting() else None

    def release(self):
        """Give the oldest waiting block back to the producer."""
        self._first = (self._first + 1) % self.n_blocks
        self.state[FREED] = (self.state[FREED] + 1) & 0xFFFF

    def _make_room(self, lo, hi):
        """Open a block if none is open; False if the ring is full. Records pending drops first."""
        state = self.state
        if state[COUNT]:
            return True
        if (state[DONE] - state[FREED]) & 0xFFFF >= self.n_blocks:
            return False
        block = self.blocks[state[HEAD]]
        struct.pack_into("<HHHH", block, T0_LO, lo & 0xFFFF, lo >> 16, hi & 0xFFFF, hi >> 16)
        for bus in range(N_BUSES):
            n = state[PENDING + bus]
            if n:
                at = HEADER_BYTES + state[COUNT] * RECORD_BYTES + RECORD_DATA
                self._put(lo, _GAP_ARG, bus << 13, META_DLC, None)
                first = state[FIRST_LO + bus]
                struct.pack_into(
                    "<HHHH",
                    block,
                    at,
                    n & 0xFFFF,
                    n >> 16,
                    first & 0xFFFF,
                    first >> 16 | state[FIRST_HI + bus] << 12,
                )
                state[PENDING + bus] = 0
        return True

    def _put(self, lo, id_low, id_high, dlc, data):
        state = self.state
        block = self.blocks[state[HEAD]]
        at = HEADER_BYTES + state[COUNT] * RECORD_BYTES
        struct.pack_into("<HHHH", block, at, lo & 0xFFFF, lo >> 16 | dlc << 12, id_low, id_high)
        if data is not None:
            at += RECORD_DATA
            for i in range(8):
                block[at + i] = data[i]
        state[COUNT] += 1

    def _close_if_full(self):
        if self.state[COUNT] == RECORDS_PER_BLOCK:
            self._close()

    def _close(self):
        state = self.state
        block = self.blocks[state[HEAD]]
        block[N_RECORDS] = state[COUNT]
        self.stamp_counts(block)
        state[COUNT] = 0
        state[HEAD] = (state[HEAD] + 1) % self.n_blocks
        state[DONE] = (state[DONE] + 1) & 0xFFFF
        waiting = (state[DONE] - state[FREED]) & 0xFFFF
        if waiting > state[WORST]:
            state[WORST] = waiting

    def _drop(self, lo, hi, bus):
        state = self.state
        state[DROPPED + bus] += 1
        if not state[PENDING + bus]:
            state[FIRST_LO + bus] = lo
            state[FIRST_HI + bus] = hi & 15
        state[PENDING + bus] += 1
