"""Whether the file system on a card still gives the extent its place. Reads only.

A card that was formatted in a camera, or whose file was deleted, moved or copied in a laptop,
may still hold our signature in space that belongs to somebody else's files by now. The volume id
is the start of the extent's id (`stagelog card prepare`). A file that was renamed keeps its place,
and so does the extent. Source: Microsoft FAT32 File System Specification 1.03.
"""

import struct
from array import array
from binascii import crc32

from slog.layout import BLOCK_BYTES, MAGIC_BYTES, SECTOR_BYTES, SIGNATURE_MAGIC, const

# Where the fields are in a sector, with the specification's names.
_BPB_SEC_PER_CLUS = const(13)  # BPB_RsvdSecCnt and BPB_NumFATs follow
_BPB_FAT_SZ32 = const(36)
_BPB_ROOT_CLUS = const(44)
_BS_VOL_ID = const(67)
_BS_VOL_LAB = const(71)
_BS_FIL_SYS_TYPE = const(82)
_FAT32 = b"FAT32"
_FAT32_END = _BS_FIL_SYS_TYPE + len(_FAT32)
_MARK = const(510)

# The partition table, before the mark: four entries.
_PARTITIONS = const(446)
_PARTITION_BYTES = const(16)
_PARTITION_TYPE = const(4)
_PARTITION_LBA = const(8)

# An entry of a directory.
_DIR_BYTES = const(32)
_DIR_ATTR = const(11)
_DIR_FST_CLUS_HI = const(20)  # times of the last write, DIR_FstClusLO and DIR_FileSize follow

_FAT32_TYPES = (0x0B, 0x0C)
_LABEL = const(0x08)  # also set in a piece of a long name
_DELETED = const(0xE5)
_PACKAGE = b"STAGELOGUPD"  # slog.package.FILE as a directory has it
_END = const(0x0FFFFFF8)
_CLUSTER = const(0x0FFFFFFF)  # the other bits of an entry are reserved
_ENTRY_BYTES = const(4)  # of a FAT
_ENTRIES = SECTOR_BYTES // _ENTRY_BYTES  # in a sector
_SAMPLES = const(8)  # sectors of the FAT that are compared, beside the last


def is_ours(extent):
    """Return whether no file system claims the extent but the one it was prepared with.

    An extent without a file system is ours. What can't be read is believed: a worn place alone
    must not end a recording.
    """
    first = extent.try_read(0)
    if first is None or first[:MAGIC_BYTES] == SIGNATURE_MAGIC or not _is_marked(first):
        return True
    if extent.lba == 0:
        return False
    start = _partition(first)
    boot = extent.try_read(start)
    if boot is None:
        return True
    volume_id = boot[_BS_VOL_ID:_BS_VOL_LAB]
    is_fat32 = boot[_BS_FIL_SYS_TYPE:_FAT32_END] == _FAT32
    if not _is_marked(boot) or not is_fat32 or not extent.extent_id.startswith(volume_id):
        return False
    sectors, reserved, n_fats = struct.unpack_from("<BHB", boot, _BPB_SEC_PER_CLUS)
    n_fat = struct.unpack_from("<I", boot, _BPB_FAT_SZ32)[0]
    root = struct.unpack_from("<I", boot, _BPB_ROOT_CLUS)[0]
    fat = start + reserved
    data = fat + n_fats * n_fat
    cluster = (extent.lba - data) // sectors + 2
    n_bytes = extent.n_blocks * BLOCK_BYTES
    n = -(-n_bytes // (sectors * SECTOR_BYTES))
    return _is_listed(extent, data + (root - 2) * sectors, sectors, cluster, n_bytes) and (
        _is_in_one_piece(extent, fat, cluster, cluster + n - 1)
    )


def _is_marked(sector):
    return sector[_MARK:] == b"\x55\xaa"


def _partition(sector):
    """Return the first sector of the first FAT32 partition; 0, the start of the card, if none."""
    for at in range(_PARTITIONS, _MARK, _PARTITION_BYTES):
        if sector[at + _PARTITION_TYPE] in _FAT32_TYPES:
            return struct.unpack_from("<I", sector, at + _PARTITION_LBA)[0]
    return 0


def _is_listed(extent, directory, n_sectors, cluster, n_bytes):
    """Return whether the first cluster of the root directory has a file of this place and size;
    note a package that lies in it.
    """
    wanted = (cluster >> 16, cluster & 0xFFFF, n_bytes)
    is_there = False
    for i in range(n_sectors):
        sector = extent.try_read(directory + i)
        if sector is None:
            return True
        for at in range(0, SECTOR_BYTES, _DIR_BYTES):
            if sector[at] == 0:
                return is_there
            if sector[at] == _DELETED or sector[at + _DIR_ATTR] & _LABEL:
                continue
            high, _, _, low, size = struct.unpack_from("<HHHHI", sector, at + _DIR_FST_CLUS_HI)
            if (high, low, size) == wanted:
                is_there = True
            elif sector[at : at + _DIR_ATTR] == _PACKAGE:
                extent.package = crc32(sector[at : at + _DIR_BYTES])
    return is_there


def _is_in_one_piece(extent, fat, first, last):
    """Return whether clusters of the file lead to the next: samples of its FAT, and the end."""
    start, end = first // _ENTRIES, last // _ENTRIES
    step = max(1, (end - start) // _SAMPLES)
    for number in tuple(range(start, end, step)) + (end,):
        sector = extent.try_read(fat + number)
        if sector is None:
            continue
        low = max(first, number * _ENTRIES)
        high = min(last, (number + 1) * _ENTRIES)
        at = low % _ENTRIES * _ENTRY_BYTES
        leading_on = bytes(array("I", range(low + 1, high + 1)))
        if sector[at : at + len(leading_on)] != leading_on:
            return False
        if number == end:
            entry = struct.unpack_from("<I", sector, last % _ENTRIES * _ENTRY_BYTES)[0]
            return entry & _CLUSTER >= _END
    return True
