"""The ring of a board whose controller understands CAN FD: records of format version 2.

Owns how a frame of up to 64 bytes becomes one to six records, SPEC section 1. They stand one
behind the other in one block: a block that has too little room left is closed before.

    head   w0  9 << 28 | time   w1 as a classic frame's   data  ESI << 5 | BRS << 4 | code, 7 bytes
    more   w0  10 << 28 | time of the head                      12 bytes
"""

import struct

from drivers.mcp2518fd_hot import take
from drivers.polled_ring import PolledRing
from logger.ring import COUNT, HEAD, STORED
from slog.layout import HEADER_BYTES, RECORD_BYTES, RECORDS_PER_BLOCK, VERSION, VERSION_FD, const
from slog.native import micropython, ptr8, ptr32

_HEAD_DLC = const(9)
_MORE_DLC = const(10)
_IN_HEAD = const(7)  # bytes of the payload
_IN_MORE = const(12)


class FdRing(PolledRing):
    """Invariant: a frame's records lie in one block, and count as one frame."""

    has_fd = True

    def start_session(self):
        """As BlockRing; without CAN FD until `hold_fd` is called."""
        super().start_session()
        self.version = VERSION
        self.hot = take

    def hold_fd(self):
        """Let the session have frames of CAN FD, from its first block on; before that block has
        been given to the card.
        """
        self.version = VERSION_FD
        self.hot = take_fd

    def put_fd(self, lo, hi, can_id, kind, first, data, at, n):
        """Store one frame of CAN FD; True if it went into a block.

        lo, hi, can_id, kind: as put_frame. first: dlc code | BRS << 4 | ESI << 5.
        n: bytes of the payload, data[at:].
        """
        self._advance(lo, hi)
        lo = self._lo
        state = self.state
        bus = kind & 1
        n_records = 1 + (n - _IN_HEAD + _IN_MORE - 1) // _IN_MORE if n > _IN_HEAD else 1
        if state[COUNT] + n_records > RECORDS_PER_BLOCK:
            self.close_block()
        if not self._make_room(lo, self._hi):
            self._drop(lo, self._hi, bus)
            return False
        block = self.blocks[state[HEAD]]
        to = HEADER_BYTES + state[COUNT] * RECORD_BYTES
        high = can_id >> 16 | kind << 13
        struct.pack_into(
            "<HHHHB",
            block,
            to,
            lo & 0xFFFF,
            lo >> 16 | _HEAD_DLC << 12,
            can_id & 0xFFFF,
            high,
            first,
        )
        k = 0
        for j in range(9, RECORD_BYTES):
            block[to + j] = data[at + k] if k < n else 0
            k += 1
        for _ in range(1, n_records):
            to += RECORD_BYTES
            struct.pack_into("<HH", block, to, lo & 0xFFFF, lo >> 16 | _MORE_DLC << 12)
            for j in range(4, RECORD_BYTES):
                block[to + j] = data[at + k] if k < n else 0
                k += 1
        state[COUNT] += n_records
        state[STORED + bus] += 1
        self._close_if_full()
        return True


def length_of(code):
    """Return the bytes of a frame of CAN FD with this dlc code, 0 to 15."""
    if code <= 8:
        return code
    return (code - 6) * 4 if code <= 12 else (code - 11) * 16


@micropython.viper
def take_fd(buf: ptr8, at: int, n: int, words: ptr32, state: ptr32, memory: ptr8) -> int:
    """As `mcp2518fd_hot.take`, of objects with 64 bytes, classic or CAN FD."""
    newest = int(words[0])
    last = int(words[4])
    bus = int(words[5])
    count = int(state[1])
    i = 0
    while i < n:
        stamp = buf[at + 8] | buf[at + 9] << 8 | buf[at + 10] << 16 | (buf[at + 11] & 15) << 24
        later = (stamp - newest) & 0x0FFFFFFF
        if later == 0 or later >= 0x08000000:
            break
        if (int(words[1]) - stamp) & 0x0FFFFFFF >= 0x08000000:
            break
        control = buf[at + 4]
        code = control & 15
        n_bytes = code
        n_records = 1
        if control & 0x80:
            if code > 12:
                n_bytes = (code - 11) << 4
            elif code > 8:
                n_bytes = (code - 6) << 2
            k = 7
            while k < n_bytes:
                k += 12
                n_records += 1
        elif code > 8:
            code = 8
            n_bytes = 8
        if count + n_records > 251:
            break
        newest = stamp
        lo = (stamp + int(words[2])) & 0x0FFFFFFF
        if (int(words[3]) - lo) & 0x0FFFFFFF >= 0x08000000:
            lo = int(words[3])  # the offset was a little ahead
        later = (lo - last) & 0x0FFFFFFF
        if later >= 0x08000000:
            lo = last
        last = lo
        low = buf[at] | (buf[at + 1] & 7) << 8
        high = bus << 5
        if control & 0x10:
            ext = buf[at + 1] >> 3 | buf[at + 2] << 5 | (buf[at + 3] & 31) << 13
            high |= 0x80 | low >> 6
            low = (low & 63) << 18 | ext
        to = (int(state[0]) << 12) + 64 + (count << 4)
        end = to + (n_records << 4)
        memory[to] = lo & 255
        memory[to + 1] = lo >> 8 & 255
        memory[to + 2] = lo >> 16 & 255
        memory[to + 4] = low & 255
        memory[to + 5] = low >> 8 & 255
        memory[to + 6] = low >> 16 & 255
        source = at + 12
        if control & 0x80:
            memory[to + 3] = lo >> 24 | 0x90
            memory[to + 7] = high
            memory[to + 8] = code | control >> 2 & 0x10 | (buf[at + 5] & 1) << 5
            to += 9
        else:
            if control & 0x20:
                high |= 0x40
                n_bytes = 0
            memory[to + 3] = lo >> 24 | code << 4
            memory[to + 7] = high
            to += 8
        stop = source + n_bytes
        while to < end:
            if to & 15 == 0:
                memory[to] = lo & 255
                memory[to + 1] = lo >> 8 & 255
                memory[to + 2] = lo >> 16 & 255
                memory[to + 3] = lo >> 24 | 0xA0
                to += 4
            memory[to] = buf[source] if source < stop else 0
            source += 1
            to += 1
        at += 76
        count += n_records
        i += 1
    words[0] = newest
    words[4] = last
    state[4 + bus] = int(state[4 + bus]) + i
    state[1] = count
    return i
