"""A FAT32 card with one contiguous file that starts at a multiple of 4 MiB.

    LBA 0        MBR with one partition
    LBA 8192     boot sector, FSInfo, their copies at +6 and +7
                 two FATs, so placed that the data area starts at a multiple of 4 MiB
    data area    cluster 2: root directory, cluster 3: README.TXT
    + 4 MiB      STAGELOG.BIN, to the end of the card or of 4 GiB

Owns the arithmetic and the bytes of the file system; writes nothing by itself. No tool or library
that we know makes a contiguous aligned file without writing all of its content (DESIGN.md).
Source: Microsoft FAT32 File System Specification 1.03. Fails with UsageError on a card too small.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slog.layout import BLOCK_BYTES, SECTOR_BYTES
from stagelog.errors import UsageError

ALIGN = 8192  # sectors, 4 MiB
MIN_BYTES = 48 << 20  # below, a file system has too few clusters to be FAT32
MAX_SECTORS = 1 << 28  # 128 GiB; larger, the FATs would push the file beyond the first 64 MiB
MAX_FILE_BLOCKS = ((1 << 32) - (4 << 20)) // BLOCK_BYTES  # whole clusters below 4 GiB

_N_FATS = 2
_ROOT, _README = 2, 3
_EOC = 0x0FFFFFFF
_READ_ONLY, _LABEL, _ARCHIVE = 0x01, 0x08, 0x20
_DATE = (2026 - 1980) << 9 | 1 << 5 | 1
_TEXT = (
    b"This card belongs to a stagelog CAN logger.\r\n"
    b"STAGELOG.BIN holds what the logger recorded. Do not delete, move or copy onto it;\r\n"
    b"read the card with 'stagelog card read'.\r\n"
)
# Largest number of sectors of a partition with clusters of so many sectors (Microsoft's table).
_CLUSTERS = ((532_480, 1), (16_777_216, 8), (33_554_432, 16), (67_108_864, 32))


@dataclass(frozen=True, slots=True)
class Fat32:
    """Where everything lies on a card of `n_sectors`; all in sectors unless named otherwise."""

    n_sectors: int
    cluster: int
    reserved: int
    fat: int
    data: int
    n_clusters: int
    file_cluster: int
    n_blocks: int

    @property
    def file_lba(self) -> int:
        """Return the first sector of STAGELOG.BIN, a multiple of ALIGN."""
        return self.data + (self.file_cluster - _ROOT) * self.cluster


def plan(n_bytes: int) -> Fat32:
    """Return the Fat32 for a card of `n_bytes`; UsageError if it is too small."""
    if n_bytes < MIN_BYTES:
        raise UsageError(
            f"{n_bytes:,} bytes are too few for FAT32",
            f"take {MIN_BYTES >> 20} MiB or more, or a raw image (--raw)",
        )
    n_sectors = min(n_bytes // SECTOR_BYTES, MAX_SECTORS)
    n_partition = n_sectors - ALIGN
    cluster = next((size for limit, size in _CLUSTERS if n_partition <= limit), 64)
    entries = n_partition // cluster + 2
    fat = -(-entries * 4 // SECTOR_BYTES)
    data = -(-(ALIGN + 32 + _N_FATS * fat) // ALIGN) * ALIGN
    reserved = data - ALIGN - _N_FATS * fat
    n_clusters = (n_sectors - data) // cluster
    file_cluster = _ROOT + ALIGN // cluster
    file_sectors = n_clusters * cluster - ALIGN
    n_blocks = min(file_sectors * SECTOR_BYTES // BLOCK_BYTES, MAX_FILE_BLOCKS)
    return Fat32(n_sectors, cluster, reserved, fat, data, n_clusters, file_cluster, n_blocks)


def pieces(fat32: Fat32, volume_id: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (sector, bytes) of all that must be written but the content of STAGELOG.BIN."""
    yield 0, _mbr(fat32, volume_id)
    table = _table(fat32)
    n_used = int(np.count_nonzero(table)) - _ROOT
    boot = _boot_sector(fat32, volume_id)
    info = _fs_info(fat32.n_clusters - n_used, fat32.file_cluster - 1)
    for at in (ALIGN, ALIGN + 6):
        yield at, boot + info
    for i in range(_N_FATS):
        yield ALIGN + fat32.reserved + i * fat32.fat, table.tobytes()
    room = fat32.cluster * SECTOR_BYTES
    yield fat32.data, _directory(fat32).ljust(room, b"\0") + _TEXT.ljust(room, b"\0")


def _table(fat32: Fat32) -> NDArray[np.uint32]:
    table = np.zeros(fat32.fat * SECTOR_BYTES // 4, "<u4")
    table[:2] = 0x0FFFFFF8, _EOC
    table[[_ROOT, _README]] = _EOC
    n = -(-fat32.n_blocks * BLOCK_BYTES // (fat32.cluster * SECTOR_BYTES))
    first = fat32.file_cluster
    table[first : first + n] = np.arange(first + 1, first + n + 1)
    table[first + n - 1] = _EOC
    return table


def _mbr(fat32: Fat32, volume_id: bytes) -> bytes:
    beyond = b"\xfe\xff\xff"  # beyond what cylinders, heads and sectors can express
    entry = b"\0" + beyond + b"\x0c" + beyond
    entry += struct.pack("<II", ALIGN, fat32.n_sectors - ALIGN)
    return bytes(440) + volume_id + bytes(2) + entry + bytes(48) + b"\x55\xaa"


def _boot_sector(fat32: Fat32, volume_id: bytes) -> bytes:
    sector = b"\xeb\x58\x90STAGELOG"
    sector += struct.pack("<HBHB", SECTOR_BYTES, fat32.cluster, fat32.reserved, _N_FATS)
    sector += struct.pack("<HHBHHHI", 0, 0, 0xF8, 0, 63, 255, ALIGN)
    sector += struct.pack("<IIHHIHH", fat32.n_sectors - ALIGN, fat32.fat, 0, 0, _ROOT, 1, 6)
    sector += bytes(12) + b"\x80\0\x29" + volume_id + b"STAGELOG   FAT32   "
    return sector.ljust(510, b"\0") + b"\x55\xaa"


def _fs_info(n_free: int, newest: int) -> bytes:
    sector = b"RRaA".ljust(484, b"\0") + b"rrAa" + struct.pack("<II", n_free, newest)
    return sector.ljust(508, b"\0") + b"\0\0\x55\xaa"


def _directory(fat32: Fat32) -> bytes:
    return (
        _entry(b"STAGELOG   ", _LABEL, 0, 0)
        + _entry(b"README  TXT", _READ_ONLY | _ARCHIVE, _README, len(_TEXT))
        + _entry(
            b"STAGELOGBIN",
            _READ_ONLY | _ARCHIVE,
            fat32.file_cluster,
            fat32.n_blocks * BLOCK_BYTES,
        )
    )


def _entry(name: bytes, attributes: int, cluster: int, n_bytes: int) -> bytes:
    times = (0, 0, _DATE, _DATE, cluster >> 16, 0, _DATE, cluster & 0xFFFF, n_bytes)
    return name + struct.pack("<BBBHHHHHHHI", attributes, 0, *times)
