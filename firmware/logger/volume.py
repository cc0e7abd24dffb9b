"""Whether the file system on a card still gives the extent its place. Reads only.

A card that was formatted in a camera, or whose file was deleted, moved or copied in a laptop,
may still hold our signature in space that belongs to somebody else's files by now. The volume id
is the start of the extent's id (`stagelog card prepare`). A file that was renamed keeps its place,
and so does the extent. Source: Microsoft FAT32 File System Specification 1.03.
"""

import struct
from array import array

from slog.layout import BLOCK_BYTES, SECTOR_BYTES, SIGNATURE_MAGIC, const

_FAT32_TYPES = (0x0B, 0x0C)
_LABEL = const(0x08)  # also set in a piece of a long name
_DELETED = const(0xE5)
_END = const(0x0FFFFFF8)
_CLUSTER = const(0x0FFFFFFF)  # the other bits of an entry are reserved
_ENTRIES = SECTOR_BYTES // 4  # of a FAT, in a sector
_SAMPLES = const(8)  # sectors of the FAT that are compared, beside the last


def is_ours(extent):
    """Return whether no file system claims the extent but the one it was prepared with.

    An extent without a file system is ours. What can't be read is believed: a worn place alone
    must not end a recording.
    """
    first = extent.look(0)
    if first is None or first[:16] == SIGNATURE_MAGIC or not _is_marked(first):
        return True
    if extent.lba == 0:
        return False
    start = _partition(first)
    boot = extent.look(start)
    if boot is None:
        return True
    if not _is_marked(boot) or boot[82:87] != b"FAT32" or boot[67:71] != extent.extent_id[:4]:
        return False
    sectors, reserved, n_fats = struct.unpack_from("<BHB", boot, 13)
    n_fat = struct.unpack_from("<I", boot, 36)[0]
    root = struct.unpack_from("<I", boot, 44)[0]
    fat = start + reserved
    data = fat + n_fats * n_fat
    cluster = (extent.lba - data) // sectors + 2
    n_bytes = extent.n_blocks * BLOCK_BYTES
    n = -(-n_bytes // (sectors * SECTOR_BYTES))
    return _is_listed(extent, data + (root - 2) * sectors, sectors, cluster, n_bytes) and (
        _is_in_one_piece(extent, fat, cluster, cluster + n - 1)
    )


def _is_marked(sector):
    return sector[510:] == b"\x55\xaa"


def _partition(sector):
    """Return the first sector of the first FAT32 partition; 0, the start of the card, if none."""
    for at in range(446, 510, 16):
        if sector[at + 4] in _FAT32_TYPES:
            return struct.unpack_from("<I", sector, at + 8)[0]
    return 0


def _is_listed(extent, directory, n_sectors, cluster, n_bytes):
    """Return whether the first cluster of the root directory has a file of this place and size."""
    wanted = (cluster >> 16, cluster & 0xFFFF, n_bytes)
    for i in range(n_sectors):
        sector = extent.look(directory + i)
        if sector is None:
            return True
        for at in range(0, SECTOR_BYTES, 32):
            if sector[at] == 0:
                return False
            if sector[at] == _DELETED or sector[at + 11] & _LABEL:
                continue
            high, _, _, low, size = struct.unpack_from("<HHHHI", sector, at + 20)
            if (high, low, size) == wanted:
                return True
    return False


def _is_in_one_piece(extent, fat, first, last):
    """Return whether clusters of the file lead to the next: samples of its FAT, and the end."""
    start, end = first // _ENTRIES, last // _ENTRIES
    step = max(1, (end - start) // _SAMPLES)
    for number in tuple(range(start, end, step)) + (end,):
        sector = extent.look(fat + number)
        if sector is None:
            continue
        low = max(first, number * _ENTRIES)
        high = min(last, (number + 1) * _ENTRIES)
        at = low % _ENTRIES * 4
        if sector[at : at + (high - low) * 4] != bytes(array("I", range(low + 1, high + 1))):
            return False
        if number == end:
            return struct.unpack_from("<I", sector, last % _ENTRIES * 4)[0] & _CLUSTER >= _END
    return True
