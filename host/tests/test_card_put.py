"""A file is put onto a card beside what is there; FatFs reads it."""

import json
import struct
import zlib

import pytest
from fatfs import run_fatfs

from logger.extent import Extent
from logger.volume import is_ours
from stagelog.card import fat32, prepare
from stagelog.card.put import put_file
from stagelog.errors import InputError, OutputError

MiB = 1 << 20
AT = fat32.ALIGN * 512
READ = """
import json, binascii
mount()
found = {}
for name, *_ , size in os.ilistdir("/sd"):
    found[name] = [size, None]
    if size < 1000000:
        with open("/sd/" + name, "rb") as f:
            found[name][1] = binascii.crc32(f.read())
print(json.dumps(found))
"""


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "card.img"
    prepare(path, 48 * MiB)
    return path


def listed(card, tmp_path):
    """Return {name: [bytes, CRC-32 or None]} as FatFs reads the card."""
    return json.loads(run_fatfs(card, READ, tmp_path))


class Card:
    """The driver of a card, on an image."""

    def __init__(self, path):
        self.content = path.read_bytes()
        self.n_sectors = len(self.content) // 512

    def read(self, lba, buf):
        buf[:] = self.content[lba * 512 :][: len(buf)]


def test_a_file_is_put_and_replaced_and_the_rest_stays(card, tmp_path):
    before = listed(card, tmp_path)
    assert sorted(before) == ["README.TXT", "STAGELOG.BIN"]
    for content in (b"one" * 40_001, b"", b"two" * 200_003):
        put_file(card, "STAGELOG.UPD", content)
        found = listed(card, tmp_path)
        assert found.pop("STAGELOG.UPD") == [len(content), zlib.crc32(content)]
        assert found == before
    extent = Extent(Card(card))
    assert is_ours(extent) and extent.package
    table = fat32.plan(48 * MiB)
    fats = [
        card.read_bytes()[AT + (table.reserved + i * table.fat) * 512 :][: table.fat * 512]
        for i in range(2)
    ]
    assert fats[0] == fats[1]
    used = sum(
        value != 0 for (value,) in struct.iter_unpack("<I", fats[0][: (table.n_clusters + 2) * 4])
    )
    blocks = table.n_blocks * 4096 // 512  # clusters of a sector
    assert used == 2 + 2 + blocks + -(-600_009 // 512)  # no cluster of the files before is left


def test_a_card_without_partitions_gets_it_as_well(card, tmp_path):
    """As some cameras format: its first sector is that of the file system."""
    bare = tmp_path / "bare.img"
    bare.write_bytes(card.read_bytes()[AT:])
    content = b"update" * 1000
    put_file(bare, "STAGELOG.UPD", content)
    found = json.loads(run_fatfs(bare, READ, tmp_path, at=0))
    assert found["STAGELOG.UPD"] == [6000, zlib.crc32(content)]


def test_the_logger_tells_two_packages_apart(card):
    seen = set()
    for content in (b"one", b"three"):
        put_file(card, "STAGELOG.UPD", content)
        extent = Extent(Card(card))
        assert is_ours(extent)
        seen.add(extent.package)
    assert len(seen) == 2 and 0 not in seen


def test_a_card_without_room_and_what_is_no_card_are_refused(card, tmp_path):
    before = card.read_bytes()
    with pytest.raises(OutputError, match="has no room for 5,000,000 bytes"):
        put_file(card, "STAGELOG.UPD", bytes(5_000_000))
    assert card.read_bytes() == before
    (tmp_path / "x").write_bytes(bytes(4096))
    for path in (tmp_path / "x", tmp_path / "none", tmp_path):
        with pytest.raises(InputError):
            put_file(path, "STAGELOG.UPD", b"x")


def test_a_mounted_card_gets_it_as_a_file(tmp_path):
    (tmp_path / "STAGELOG.BIN").write_bytes(b"log")
    put_file(tmp_path, "STAGELOG.UPD", b"x")
    assert (tmp_path / "STAGELOG.UPD").read_bytes() == b"x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["STAGELOG.BIN", "STAGELOG.UPD"]
