"""A prepared card full of old sessions, for boot times: its blocks are made when they are read."""

import binascii
import struct

from slog.block import seal
from slog.layout import (
    BLOCK_BYTES,
    FLAG_FIRST,
    FLAG_LAST,
    HEADER_BYTES,
    RECORDS_PER_BLOCK,
    SECTOR_BYTES,
)
from stagelog.blocks import read_log
from stagelog.card import prepare
from stagelog.rig.rp2040.card_image import FileImage

SESSION_BLOCKS = 1 << 16  # 256 MiB
ROOM_BLOCKS = 1 << 14
DEVICE_ID = b"OLDCARD!"
_SECTORS = BLOCK_BYTES // SECTOR_BYTES


class OldSessions(FileImage):
    """A sparse image whose first n_old data places hold blocks of sessions of 256 MiB each."""

    def __init__(self, path, extent, n_old):
        super().__init__(path)
        self._start = extent["lba"] + extent["data_first"] * _SECTORS
        self._first = extent["data_first"]
        self._n_old = n_old
        self._cached = (None, b"")

    def read(self, sector):
        """Return a sector."""
        index, part = divmod(sector - self._start, _SECTORS)
        if not 0 <= index < self._n_old:
            return super().read(sector)
        if self._cached[0] != index:
            self._cached = (index, self._make(index))
        return self._cached[1][part * SECTOR_BYTES : (part + 1) * SECTOR_BYTES]

    def _make(self, index):
        session, place = divmod(index, SESSION_BLOCKS)
        flags = FLAG_FIRST if place == 0 else FLAG_LAST if place == SESSION_BLOCKS - 1 else 0
        block = bytearray(BLOCK_BYTES)
        block[3] = RECORDS_PER_BLOCK
        struct.pack_into("<I", block, HEADER_BYTES, index & 0x0FFFFFFF)
        nonce = binascii.crc32(struct.pack("<I", session)) | 1
        seal(block, DEVICE_ID, session + 1, nonce, index + 1, self._first + index, flags)
        return bytes(block)


def old_card(path, n_bytes):
    """Return the image of a FAT32 card of `n_bytes` that is full but for 64 MiB."""
    prepare(path, n_bytes)
    extent = read_log(path).extent
    n_old = extent["data_end"] - extent["data_first"] - ROOM_BLOCKS
    return OldSessions(path, extent, n_old)
