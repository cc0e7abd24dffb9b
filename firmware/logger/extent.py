"""The extent on the card: its signature, its release marks, and where the log ends after a power
cut.

Reads only. It never formats, truncates or repairs; a card without a valid signature is
refused. Recovery looks at a bounded number of places, whatever the size of the card.
"""

import binascii
import struct

from slog.block import BOOT, NONCE, SEQ, is_block, is_header
from slog.layout import (
    BLOCK_BYTES,
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
_N_PLACES = const(16)  # the signature is looked for in the first 64 MiB
_GROUP_BLOCKS = const(16)  # 64 KiB, the smallest erase group
_LOOK_AHEAD = const(64)  # blocks that a card may have lost after it said they were safe
_HOLE_BLOCKS = const(1024 + 64)  # one erase group of 4 MiB, and what may lie around it


class ExtentError(Exception):
    """The card holds no extent that this firmware can use."""


def checked(table, values):
    """Return the bytes of a table whose last field is the CRC-32 of those before it."""
    packed = bytearray(pack(table, values))
    struct.pack_into("<I", packed, len(packed) - 4, binascii.crc32(packed[:-4]))
    return packed


def is_checked(table, buf):
    """Tell whether `buf` starts with a table whose CRC is right."""
    n = size(table)
    return struct.unpack_from("<I", buf, n - 4)[0] == binascii.crc32(bytes(buf[: n - 4]))


def find_signature(card, sector):
    """Return the signature's fields; ExtentError if no place has one. `sector` is a buffer of 512
    bytes.
    """
    for place in range(_N_PLACES):
        lba = place * ALIGN_SECTORS
        if lba + SECTORS_PER_BLOCK > card.n_sectors:
            break
        card.read(lba, sector)
        if bytes(sector[:16]) == SIGNATURE_MAGIC and is_checked(SIGNATURE, sector):
            found = unpack(SIGNATURE, sector)
            if found["lba"] != lba:
                continue
            if found["version"] != VERSION:
                raise ExtentError("extent of format version %d" % found["version"])
            if lba + found["n_blocks"] * SECTORS_PER_BLOCK > card.n_sectors:
                raise ExtentError("the extent is longer than the card")
            return found
    raise ExtentError("no signature in the first %d MiB" % (_N_PLACES * 4))


class Extent:
    """The ring of data places on a mounted card. Positions count blocks from the start of the
    extent.
    """

    def __init__(self, card):
        self.card = card
        self._sector = bytearray(SECTOR_BYTES)
        self._block = bytearray(BLOCK_BYTES)
        found = find_signature(card, self._sector)
        self.extent_id = found["extent_id"]
        self.lba = found["lba"]
        self.first = found["data_first"]
        self.end = found["data_end"]
        self.n = self.end - self.first
        self._marks = (found["release_a"], found["release_b"])
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
        self.card.read(self.sector_of(position), self._sector)
        if not is_header(self._sector, position):
            return None
        sector = self._sector
        return (
            struct.unpack_from("<I", sector, SEQ)[0],
            struct.unpack_from("<I", sector, BOOT)[0],
            struct.unpack_from("<I", sector, NONCE)[0],
        )

    def sector(self, position):
        """Return the first sector of a position in a buffer that the next call overwrites."""
        self.card.read(self.sector_of(position), self._sector)
        return self._sector

    def is_whole(self, position):
        """Tell whether the block at `position` is whole and at its own place."""
        self.card.read(self.sector_of(position), self._block)
        return is_block(self._block, position)

    def find_head(self):
        """Return (position, seq, boot) of the newest block that was begun, or None on an empty
        extent.

        Blocks are written with rising seq round the ring, so the newest lies where seq stops
        rising. A torn block counts, because its number is used up. Holes up to one erase group of
        4 MiB are stepped over.
        """
        stride = max(1, self.n // 64)
        newest = None
        for offset in range(0, self.n, stride):
            newest = self._newer(newest, self.first + offset)
        for offset in range(0, min(self.n, _HOLE_BLOCKS + _GROUP_BLOCKS), _GROUP_BLOCKS):
            newest = self._newer(newest, self.first + offset)
        if newest is None:
            return None
        while True:
            newest = self._bisect(newest, stride)
            further = self._look_ahead(newest)
            if further is None:
                return newest
            newest = further

    def _newer(self, newest, position):
        found = self.header(position)
        if found is None or (newest is not None and found[0] <= newest[1]):
            return newest
        if not self.is_whole(position):
            return newest
        return (position, found[0], found[1])

    def _bisect(self, low, reach):
        below = 0
        above = reach + 1
        base = low[0]
        while above - below > 1:
            middle = (below + above) // 2
            position = self.after(base, middle)
            found = self.header(position)
            if found is not None and low[1] < found[0] <= low[1] + middle - below:
                below = middle
                low = (position, found[0], found[1])
            else:
                above = middle
        return low

    def _look_ahead(self, newest):
        position, seq, _ = newest
        found = None
        for step in range(1, min(self.n, _LOOK_AHEAD)):
            found = self._ahead(newest, step) or found
        if found is None:
            offset = position - self.first
            step = _GROUP_BLOCKS - offset % _GROUP_BLOCKS
            while step < min(self.n, _HOLE_BLOCKS):
                found = self._ahead(newest, step)
                if found is not None:
                    break
                step += _GROUP_BLOCKS
        return found

    def _ahead(self, newest, step):
        position = self.after(newest[0], step)
        found = self.header(position)
        if found is not None and newest[1] < found[0] <= newest[1] + step:
            return (position, found[0], found[1])
        return None

    def make_release(self, released_seq, position):
        """Return (sector, block) of the next release mark: one write of the older of two places is
        the whole erase.
        """
        values = {
            "magic": RELEASE_MAGIC,
            "extent_id": self.extent_id,
            "generation": self.generation + 1,
            "released_seq": released_seq,
            "position": position,
        }
        block = bytearray(BLOCK_BYTES)
        packed = checked(RELEASE, values)
        block[: len(packed)] = packed
        return self.sector_of(self._marks[(self.generation + 1) & 1]), memoryview(block)

    def read_release(self):
        """Take over the newest valid release mark on the card."""
        best = (0, 0, self.first)
        for mark in self._marks:
            self.card.read(self.sector_of(mark), self._sector)
            if is_checked(RELEASE, self._sector):
                found = unpack(RELEASE, self._sector)
                if found["magic"] == RELEASE_MAGIC and found["extent_id"] == self.extent_id:
                    best = max(
                        best, (found["generation"], found["released_seq"], found["position"])
                    )
        self.generation, self.released_seq, self.tail = best

    def find_tail(self, head):
        """Return (tail position, places in use) given the newest block: what must not be
        overwritten.
        """
        if head is None or head[1] < self.released_seq:
            return self.tail, 0
        following = self.after(head[0])
        for step in range(_LOOK_AHEAD):
            found = self.header(self.after(following, step))
            if found is not None and self.released_seq <= found[0] < head[1]:
                return following, self.n
        return self.tail, self.distance(self.tail, following) or self.n
