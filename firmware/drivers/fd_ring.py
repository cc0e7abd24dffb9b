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
from slog.native import micropython, ptr32

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
def take_fd(buf: ptr32, at: int, n: int, words: ptr32, state: ptr32, memory: ptr32) -> int:
    """As `mcp2518fd_hot.take`, of objects with 64 bytes, classic or CAN FD."""
    newest = int(words[0])
    last = int(words[4])
    bus = int(words[5])
    count = int(state[1])
    at >>= 2
    to = (int(state[0]) << 10) + 16 + (count << 2)
    i = 0
    while i < n:
        stamp = buf[at + 2] & 0x0FFFFFFF
        later = (stamp - newest) & 0x0FFFFFFF
        if later == 0 or later >= 0x08000000:
            break
        if (int(words[1]) - stamp) & 0x0FFFFFFF >= 0x08000000:
            break
        control = buf[at + 1]
        code = control & 15
        n_bytes = code
        n_more = 0
        if control & 0x80:
            if code > 12:
                n_bytes = code - 11 << 4
            elif code > 8:
                n_bytes = code - 6 << 2
            k = 7
            while k < n_bytes:
                k += 12
                n_more += 1
        elif code > 8:
            code = 8
            n_bytes = 8
        if count + n_more > 250:
            break
        newest = stamp
        lo = (stamp + int(words[2])) & 0x0FFFFFFF
        if (int(words[3]) - lo) & 0x0FFFFFFF >= 0x08000000:
            lo = int(words[3])  # the offset was a little ahead
        later = (lo - last) & 0x0FFFFFFF
        if later >= 0x08000000:
            lo = last
        last = lo
        low = buf[at]
        high = bus << 5
        if control & 0x10:
            high |= 0x80
            low = (low & 0x7FF) << 18 | low >> 11 & 0x3FFFF
        else:
            low &= 0x7FF
        if control & 0x20 and not control & 0x80:
            high |= 0x40
            n_bytes = 0
        first = buf[at + 3]
        second = buf[at + 4]
        if n_bytes < 8:
            if n_bytes > 4:
                second &= (1 << (n_bytes - 4 << 3)) - 1
            else:
                second = 0
                if n_bytes < 4:
                    first &= (1 << (n_bytes << 3)) - 1
        memory[to + 1] = low | high << 24
        if control & 0x80:
            code |= control >> 2 & 0x10 | (control >> 8 & 1) << 5
            kind = 9
            memory[to] = lo | kind << 28
            memory[to + 2] = code | (first & 0xFFFFFF) << 8
            memory[to + 3] = first >> 24 & 255 | (second & 0xFFFFFF) << 8
        else:
            memory[to] = lo | code << 28
            memory[to + 2] = first
            memory[to + 3] = second
        to += 4
        k = at + 4  # its last byte is the first of the next record
        end = at + 3 + (n_bytes >> 2)
        while n_more > 0:
            kind = 10
            memory[to] = lo | kind << 28
            j = 1
            while j < 4:
                byte = second >> 24 & 255
                k += 1
                second = 0
                if k < end:
                    second = buf[k]
                memory[to + j] = byte | (second & 0xFFFFFF) << 8
                j += 1
            to += 4
            count += 1
            n_more -= 1
        at += 19
        count += 1
        i += 1
    words[0] = newest
    words[4] = last
    state[4 + bus] = int(state[4 + bus]) + i
    state[1] = count
    return i
