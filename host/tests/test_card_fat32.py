"""The file system of a card, read back by Microsoft's FAT32 File System Specification 1.03.

Offsets are those of its tables: BPB at 11, FSInfo, directory entries of 32 bytes, FAT entries of
28 bits. Other programs read it in test_card.py.
"""

import struct

import numpy as np
import pytest

from stagelog.card import fat32
from stagelog.errors import UsageError

MiB = 1 << 20
EOC = 0x0FFFFFF8  # from here on a cluster is the last of its file


def read_back(n_bytes):
    """Return what a reader of the specification finds, as a dict."""
    made = fat32.plan(n_bytes)
    sectors = dict(fat32.pieces(made, b"\1\2\3\4"))
    mbr = sectors[0]
    kind, start, n_sectors = struct.unpack("<xxxxBxxxII", mbr[446:462])
    boot = sectors[start]
    n_per_sector, cluster, reserved, n_fats = struct.unpack_from("<HBHB", boot, 11)
    hidden, total, fat = struct.unpack_from("<III", boot, 28)
    root, info_at, copy_at = struct.unpack_from("<IHH", boot, 44)
    info = boot[512 * info_at :][:512]
    n_free, last = struct.unpack_from("<II", info, 488)
    tables = [sectors[start + reserved + i * fat] for i in range(n_fats)]
    data = start + reserved + n_fats * fat
    entries = [sectors[data][k : k + 32] for k in range(0, 96, 32)]
    files = {}
    for entry in entries:
        high, low = struct.unpack_from("<H", entry, 20)[0], struct.unpack_from("<H", entry, 26)[0]
        files[entry[:11]] = (entry[11], high << 16 | low, struct.unpack_from("<I", entry, 28)[0])
    return locals()


SIZES = (48 * MiB, 64 * MiB, 300 * MiB, 8 << 30, 20 << 30)


@pytest.mark.parametrize("n_bytes", SIZES)
def test_the_partition_and_its_boot_sector(n_bytes):
    found = read_back(n_bytes)
    assert found["mbr"][510:] == b"\x55\xaa" == found["boot"][510:512]
    assert (found["kind"], found["start"]) == (0x0C, 8192)
    assert found["n_sectors"] == n_bytes // 512 - 8192 == found["total"]
    assert found["hidden"] == 8192 and found["n_per_sector"] == 512 and found["n_fats"] == 2
    assert (found["root"], found["info_at"], found["copy_at"]) == (2, 1, 6)
    assert found["boot"][82:90] == b"FAT32   " and found["boot"][67:71] == b"\1\2\3\4"
    assert found["sectors"][8192 + 6] == found["boot"]
    assert found["info"][:4] == b"RRaA" and found["info"][484:488] == b"rrAa"
    assert found["data"] % 8192 == 0  # clusters begin at multiples of 4 MiB


@pytest.mark.parametrize("n_bytes", SIZES[:3])
def test_the_tables_hold_every_cluster_and_the_chains_of_the_files(n_bytes):
    found = read_back(n_bytes)
    first, second = (np.frombuffer(table, "<u4") for table in found["tables"])
    n_clusters = (n_bytes // 512 - found["data"]) // found["cluster"]
    assert (first == second).all() and len(first) >= n_clusters + 2
    assert n_clusters >= 65_525  # fewer, and readers take it for FAT16
    used = np.flatnonzero(first[: n_clusters + 2])
    assert not first[n_clusters + 2 :].any()
    assert found["n_free"] == n_clusters - (len(used) - 2)
    for name, cluster in ((b"README  TXT", 3), (b"STAGELOGBIN", None)):
        attributes, at, size = found["files"][name]
        assert attributes == 0x21 and (cluster in (None, at))
        n = -(-size // (512 * found["cluster"]))
        chain = first[at : at + n]
        assert (chain[:-1] == np.arange(at + 1, at + n)).all() and chain[-1] >= EOC
        assert at + n <= n_clusters + 2
    assert first[2] >= EOC and found["files"][b"STAGELOG   "] == (0x08, 0, 0)


@pytest.mark.parametrize("n_bytes", SIZES)
def test_the_file_is_aligned_and_fills_the_card(n_bytes):
    """It begins at a multiple of 4 MiB; less than a block and a cluster are left behind it."""
    found = read_back(n_bytes)
    _, at, size = found["files"][b"STAGELOGBIN"]
    lba = found["data"] + (at - 2) * found["cluster"]
    assert lba % 8192 == 0 and lba == found["made"].file_lba == found["data"] + 8192
    assert size % 4096 == 0 and size < 1 << 32
    left = n_bytes - lba * 512 - size
    if n_bytes < 4 << 30:
        assert 0 <= left < 4096 + 512 * found["cluster"]
    else:
        assert size == (1 << 32) - 4 * MiB


# sectors of the partition: sectors of a cluster, by the table of the specification, page 20
CLUSTERS = {
    532_480: 1,
    532_481: 8,
    16_777_216: 8,
    16_777_217: 16,
    33_554_432: 16,
    33_554_433: 32,
    67_108_864: 32,
    67_108_865: 64,
}


@pytest.mark.parametrize("n_sectors", CLUSTERS)
def test_clusters_are_as_large_as_the_specification_has_them(n_sectors):
    assert fat32.plan((8192 + n_sectors) * 512).cluster == CLUSTERS[n_sectors]


def test_a_card_that_is_too_small_is_refused():
    assert fat32.plan(48 * MiB).n_blocks > 7000
    with pytest.raises(UsageError, match="50,331,647 bytes are too few for FAT32"):
        fat32.plan(48 * MiB - 1)
