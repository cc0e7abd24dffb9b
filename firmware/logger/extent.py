"""The extent on the card: its signature, its release marks, and where the log ends after a power
cut.

Reads only. It never formats, truncates or repairs; a card without a valid signature is
refused. Recovery reads a bounded number of places, whatever the size of the card.
"""

import binascii
import struct

from slog.block import BOOT, CRC, N_RECORDS, is_header
from slog.layout import (
    BLOCK_BYTES,
    CRC_BYTES,
    HEADER_BYTES,
    MAGIC_BYTES,
    RECORD_BYTES,
    RELEASE,
    RELEASE_MAGIC,
    SECTOR_BYTES,
    SIGNATURE,
    SIGNATURE_MAGIC,
    VERSION,
    const,
    pack,
    size,
    unpack,
)

SECTORS_PER_BLOCK = BLOCK_BYTES // SECTOR_BYTES
ALIGN_SECTORS = const(8192)  # 4 MiB, the largest erase group of the cards we know
_N_PLACES = const(16)  # the signature is searched in the first 64 MiB
_MAX_UNREADABLE = const(3)
_GROUP_BLOCKS = const(16)  # 64 KiB, the smallest erase group
_NEAR = const(8)  # a torn block is believed to be one if it lies so near to a whole one
_LOOK_AHEAD = const(64)  # blocks that a card may have lost after it said they were safe
_HOLE_BLOCKS = const(1024 + 64)  # one erase group of 4 MiB, and what may lie around it


class ExtentError(Exception):
    """The card holds no extent that this firmware can use."""


def checked(table, values):
    """Return the bytes of a table whose last field is the CRC-32 of those before it."""
    packed = bytearray(pack(table, values))
    n = len(packed) - CRC_BYTES
    struct.pack_into("<I", packed, n, binascii.crc32(packed[:n]))
    return packed


def is_checked(table, buf):
    """Return whether `buf` starts with a table whose CRC is right."""
    n = size(table) - CRC_BYTES
    return struct.unpack_from("<I", buf, n)[0] == binascii.crc32(bytes(buf[:n]))


def find_signature(card, sector):
    """Return (the signature's fields, the sector where one of its copies was found); ExtentError
    if there is none.

    `sector` is a buffer of 512 bytes. A place that can't be read is passed over; OSError if it is
    the third one.
    """
    n_unreadable = 0
    for place in range(_N_PLACES):
        lba = place * ALIGN_SECTORS
        if lba + SECTORS_PER_BLOCK > card.n_sectors:
            break
        try:
            card.read(lba, sector)
        except OSError:
            n_unreadable += 1
            if n_unreadable == _MAX_UNREADABLE:
                raise
            continue
        if bytes(sector[:MAGIC_BYTES]) == SIGNATURE_MAGIC and is_checked(SIGNATURE, sector):
            found = unpack(SIGNATURE, sector)
            if lba not in (found["lba"], found["lba"] + found["copy"] * SECTORS_PER_BLOCK):
                continue
            if found["version"] != VERSION:
                raise ExtentError("extent of format version %d" % found["version"])
            if found["lba"] + found["n_blocks"] * SECTORS_PER_BLOCK > card.n_sectors:
                raise ExtentError("the extent is longer than the card")
            return found, lba
    raise ExtentError("no signature in the first %d MiB" % (_N_PLACES * 4))


class Extent:
    """The ring of data places on a mounted card. A place takes one block; its position is its
    number, counted in blocks from the start of the extent.
    """

    def __init__(self, card):
        self.card = card
        self._sector = bytearray(SECTOR_BYTES)
        self._view = memoryview(self._sector)
        found, self._signature_at = find_signature(card, self._sector)
        self.extent_id = found["extent_id"]
        self.package = 0  # CRC-32 of the directory entry of a package; see volume
        self.lba = found["lba"]
        self.n_blocks = found["n_blocks"]
        self.first = found["data_first"]
        self.end = found["data_end"]
        self.n = self.end - self.first
        self._marks = (found["release_a"], found["release_b"])
        self._is_wrapped = False
        self.read_release()

    def after(self, position, n=1):
        """Return the position `n` places after `position`, round the ring."""
        return self.first + (position - self.first + n) % self.n

    def distance(self, start, end):
        """Return how many steps lead from `start` to `end`, round the ring."""
        return (end - start) % self.n

    def sector_of(self, position):
        """Return the first sector of a position on the medium."""
        return self.lba + position * SECTORS_PER_BLOCK

    def header(self, position):
        """Return (seq, boot, nonce) of what looks like a block at its own place, or None."""
        sector = self._sector
        if not self._can_read(self.sector_of(position), sector) or not is_header(sector, position):
            return None
        boot, nonce, seq = struct.unpack_from("<III", sector, BOOT)
        return (seq, boot, nonce)

    def sector(self, position):
        """Return the first sector of a position in a buffer that the next call overwrites."""
        self.card.read(self.sector_of(position), self._sector)
        return self._sector

    def is_whole(self, position):
        """Return whether the block at `position` is whole and at its own place."""
        try:
            return self.crc_of(position) is not None
        except OSError:
            self.card.read(self._signature_at, self._sector)
            return False

    def crc_of(self, position):
        """Return the four bytes of the CRC of the block at `position`, None if it is not whole or
        not at its own place. Read sector by sector: a buffer of a block is a block less in memory.
        """
        sector = self._sector
        view = self._view
        lba = self.sector_of(position)
        self.card.read(lba, sector)
        if not is_header(sector, position):
            return None
        wanted = bytes(view[CRC:HEADER_BYTES])
        crc = binascii.crc32(view[:CRC])
        start = HEADER_BYTES
        left = sector[N_RECORDS] * RECORD_BYTES
        for i in range(SECTORS_PER_BLOCK):
            if i:
                self.card.read(lba + i, sector)
            n = min(left, SECTOR_BYTES - start)
            crc = binascii.crc32(view[start : start + n], crc)
            left -= n
            start = 0
        return wanted if struct.pack("<I", crc) == wanted else None

    def is_signed(self):
        """Return whether the signature is where it was found."""
        sector = self._sector
        self.card.read(self._signature_at, sector)
        return bytes(sector[:MAGIC_BYTES]) == SIGNATURE_MAGIC and is_checked(SIGNATURE, sector)

    def try_read(self, sector):
        """Return the bytes of a sector of the medium, None if it can't be read."""
        return bytes(self._sector) if self._can_read(sector, self._sector) else None

    def holds(self, sector, data):
        """Return whether a sector of the medium is `data`."""
        self.card.read(sector, self._sector)
        return self._sector == data

    def starts_like(self, sector, view):
        """Return whether a sector of the medium starts with the identity and number of a block."""
        self.card.read(sector, self._sector)
        return self._sector[:CRC] == view[:CRC]

    def _can_read(self, sector, buf):
        """Read; False if the card can't read there. OSError if it can't read the signature either:
        it is gone.
        """
        try:
            self.card.read(sector, buf)
            return True
        except OSError:
            self.card.read(self._signature_at, self._sector)
            return False

    def find_head(self):
        """Return (position, seq, boot, nonce) of the newest block that was begun, or None on an
        empty extent.

        Blocks are written with rising seq round the ring, so the newest lies where seq stops
        rising; it may rise by more than 1 after an erase or on another logger's card. A torn block
        counts, because its number is used up. Holes up to one erase group of 4 MiB are stepped
        over.
        """
        stride = max(1, self.n // 64)
        newest = self._newest_whole(range(0, self.n, stride))
        if stride > 1 and (newest is None or newest[1] < self.released_seq):
            newest = self._newest_near_tail() or newest
        if newest is None:
            return None
        sure = newest
        walked = 0
        while True:
            low = self._bisect(newest, min(stride, self.n - 1 - walked))
            walked += self.distance(newest[0], low[0])
            newest = self._look_ahead(low, self.n - walked)
            if newest is None:
                return self._credible(low, sure)
            walked += self.distance(low[0], newest[0])

    def _newest_near_tail(self):
        """Return the newest whole block about where an empty log would begin, or None."""
        start = self.tail - self.first
        near = start + min(self.n, _LOOK_AHEAD)
        far = start + min(self.n, _HOLE_BLOCKS + _GROUP_BLOCKS)
        return self._newest_whole(range(start - _NEAR, near)) or self._newest_whole(
            range(near - near % _GROUP_BLOCKS, far, _GROUP_BLOCKS)
        )

    def _newest_whole(self, offsets):
        """Return (position, seq, boot, nonce) of the whole block with the highest seq at some
        offsets, or None.
        """
        candidates = []
        for offset in offsets:
            offset %= self.n
            found = self.header(self.first + offset)
            if found is not None:
                candidates.append((found[0], offset) + found[1:])
        candidates.sort()
        while candidates:
            seq, offset, boot, nonce = candidates.pop()
            if self.is_whole(self.first + offset):
                return (self.first + offset, seq, boot, nonce)
        return None

    def _bisect(self, low, reach):
        """Return the last place up to `reach` after `low` that seq leads to without a gap that
        halving meets.
        """
        below = 0
        above = reach + 1
        base = low[0]
        while above - below > 1:
            middle = (below + above) // 2
            position = self.after(base, middle)
            found = self.header(position)
            if found is not None and low[1] < found[0] and self.is_whole(position):
                below = middle
                low = (position,) + found
            else:
                above = middle
        return low

    def _look_ahead(self, newest, n_places):
        """Return the next block beyond a hole, or None; notes whether older blocks in use follow,
        up to the tail.

        The same seq again is a block that was written a second time because its first place was
        bad.
        """
        self._is_wrapped = False
        found = None
        for step in range(min(n_places, _LOOK_AHEAD) - 1, 0, -1):
            found = self._ahead(newest, step)
            if found is not None:
                return found
        step = _LOOK_AHEAD + -(newest[0] + _LOOK_AHEAD - self.first) % _GROUP_BLOCKS
        while found is None and step < min(n_places, _HOLE_BLOCKS):
            found = self._ahead(newest, step)
            step += _GROUP_BLOCKS
        return found

    def _ahead(self, newest, step):
        position = self.after(newest[0], step)
        found = self.header(position)
        if found is None:
            return None
        if newest[1] < found[0] or (newest[1] == found[0] and step <= self.n // 2):
            is_next = step <= _NEAR and found[0] <= newest[1] + step
            return (position,) + found if is_next or self.is_whole(position) else None
        if self.released_seq <= found[0] < newest[1] and not self._is_wrapped:
            is_before_tail = step < (self.distance(newest[0], self.tail) or self.n)
            self._is_wrapped = is_before_tail and self.is_whole(position)
        return None

    def _credible(self, head, sure):
        """Return the head with counters that may be believed although it may be torn: not below
        those of the last whole block, and the boot counter not far above. `sure` is a whole block
        of about the same age; what has a lower number is left over from an earlier round.
        """
        position, seq, claimed, nonce = head
        boot = sure[2]
        for step in range(min(self.n, _LOOK_AHEAD)):
            before = self.after(position, -step)
            found = self.header(before)
            if found is not None and found[0] >= sure[1] and self.is_whole(before):
                seq = max(seq, found[0])
                boot = max(boot, found[1])
                break
        return (position, seq, claimed if boot < claimed <= boot + _LOOK_AHEAD else boot, nonce)

    def make_release(self, released_seq, position):
        """Return (sector, its bytes) of the next release mark: one write of the older of two
        places is the whole erase.
        """
        values = {
            "magic": RELEASE_MAGIC,
            "extent_id": self.extent_id,
            "generation": self.generation + 1,
            "released_seq": released_seq,
            "position": position,
        }
        mark = bytes(checked(RELEASE, values))
        return (
            self.sector_of(self._marks[(self.generation + 1) & 1]),
            mark + bytes(SECTOR_BYTES - len(mark)),
        )

    def read_release(self):
        """Take over the newest valid release mark on the card."""
        best = (0, 0, self.first)
        for mark in self._marks:
            if self._can_read(self.sector_of(mark), self._sector) and is_checked(
                RELEASE, self._sector
            ):
                found = unpack(RELEASE, self._sector)
                if found["magic"] == RELEASE_MAGIC and found["extent_id"] == self.extent_id:
                    best = max(
                        best, (found["generation"], found["released_seq"], found["position"])
                    )
        self.generation, self.released_seq, self.tail = best

    def find_tail(self, head):
        """Return (tail position, next position, places in use) given what `find_head` has just
        returned.

        The places in use, from the tail up to the next position, must not be overwritten.
        """
        if head is None or head[1] < self.released_seq:
            return self.tail, self.tail, 0
        following = self.after(head[0])
        if self._is_wrapped:
            return following, following, self.n
        return self.tail, following, self.distance(self.tail, following) or self.n
