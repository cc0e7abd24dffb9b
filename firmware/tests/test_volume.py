"""A card that a camera or a laptop has changed since it was prepared is no target of the logger.

The changes are made by FatFs, the code in many cameras and loggers; and by mkfs.fat where it is
installed.
"""

import shutil
import subprocess

import pytest
from fatfs import run_fatfs

from logger.ring import BlockRing
from logger.store import Store
from slog import faults
from stagelog.card import fat32, prepare, prepare_raw

MiB = 1 << 20
CARD_BYTES = 512 * MiB
END = 0x0FFFFFFF  # of a chain of clusters
AT = fat32.ALIGN * 512  # of the partition

PHOTO = """
def photo(name, n):
    with open("/sd/" + name, "wb") as f:
        for _ in range(n):
            f.write(b"PHOTO" * 13107)
"""
CHANGES = {
    "formatted": "vfs.VfsFat.mkfs(disk)\nmount()\nphoto('A.JPG', 200)\n",
    "formatted and left empty": "vfs.VfsFat.mkfs(disk)\n",
    "moved": "mount()\nos.mkdir('/sd/D')\nos.rename('/sd/STAGELOG.BIN', '/sd/D/S.BIN')\n",
    "deleted": "mount()\nos.remove('/sd/STAGELOG.BIN')\n",
    "deleted, and photos taken": ("mount()\nos.remove('/sd/STAGELOG.BIN')\nphoto('A.JPG', 100)\n"),
    "cut short": "mount()\nopen('/sd/STAGELOG.BIN', 'r+b').close()\n"
    "with open('/sd/STAGELOG.BIN', 'wb') as f: f.write(b'x' * 9000)\n",
}
HARMLESS = {
    "renamed": "mount()\nos.rename('/sd/STAGELOG.BIN', '/sd/LOG OF MAY.BIN')\n",
    "a note beside it": "mount()\nphoto('A.JPG', 1)\n",
    "many notes": "mount()\nfor i in range(60): photo('A LONG NAME %d.JPG' % i, 0)\n",
}


class FileCard:
    """The driver of a card, on an image."""

    read_only = False
    background = None

    def __init__(self, path, bad=()):
        self.file = open(path, "r+b")
        self.bad = bad
        self.n_sectors = self.file.seek(0, 2) // 512
        self.n_writes = 0

    def init(self):
        """There is nothing to set up."""

    def read(self, lba, buf):
        if lba in self.bad:
            raise OSError("a bad sector")
        self.file.seek(lba * 512)
        assert self.file.readinto(buf) == len(buf)

    def write_start(self, lba, view):
        self.n_writes += 1

    def write_poll(self):
        return 0


class ZeroClock:
    lo = hi = 0

    def read(self):
        """Time stands still."""

    def t_us(self):
        return 0


def mounted(path, bad=()):
    """Return the fault that the logger finds on a card, writing if it finds none. Sectors in `bad`
    can't be read.
    """
    card = FileCard(path, bad)
    store = Store(card, BlockRing(2), ZeroClock(), bytes(8))
    is_ready = store.mount()
    assert is_ready == (store.fault == faults.NONE)
    assert not card.n_writes
    card.file.close()
    return store.fault


def allow_writing(path):
    """Take the read-only attribute from our file, as a laptop does when its user insists."""
    directory = fat32.plan(CARD_BYTES).data * 512
    with open(path, "r+b") as file:
        file.seek(directory)
        entries = bytearray(file.read(512))
        entries[entries.index(b"STAGELOGBIN") + 11] &= ~1
        file.seek(directory)
        file.write(entries)


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "card.img"
    prepare(path, CARD_BYTES)
    return path


@pytest.mark.parametrize("size_MiB", [48, 512, 9000, 40_000])
def test_a_prepared_card_is_ours(tmp_path, size_MiB):
    prepare(tmp_path / "card.img", size_MiB * MiB)
    assert mounted(tmp_path / "card.img") == faults.NONE


def test_an_extent_without_a_file_system_is_ours(tmp_path):
    prepare_raw(tmp_path / "card.img", 64)
    assert mounted(tmp_path / "card.img") == faults.NONE


@pytest.mark.parametrize("case", CHANGES)
def test_a_card_that_somebody_else_uses_is_foreign(card, tmp_path, case):
    allow_writing(card)
    run_fatfs(card, PHOTO + CHANGES[case], tmp_path)
    assert mounted(card) == faults.CARD_FOREIGN


@pytest.mark.parametrize("case", HARMLESS)
def test_what_leaves_the_extent_its_place_is_no_fault(card, tmp_path, case):
    run_fatfs(card, PHOTO + HARMLESS[case], tmp_path)
    assert mounted(card) == faults.NONE


def test_a_file_that_comes_back_in_two_pieces_is_foreign(card):
    """Deleted, a photo of two clusters saved in its middle, copied back: the file starts where it
    was, leaves the photo out, and as the card ends with it, its last two clusters are the free
    ones after README.TXT, 4 and 5.
    """
    plan = fat32.plan(CARD_BYTES)
    clusters = plan.n_blocks * 4096 // (plan.cluster * 512)
    photo, last = plan.file_cluster + clusters // 3, plan.file_cluster + clusters - 1
    chain = {photo - 1: photo + 2, photo: photo + 1, photo + 1: END, last: 4, 4: 5, 5: END}
    with open(card, "r+b") as file:
        for cluster, following in chain.items():
            file.seek((fat32.ALIGN + plan.reserved) * 512 + 4 * cluster)
            file.write(following.to_bytes(4, "little"))
    assert mounted(card) == faults.CARD_FOREIGN


def test_a_fat32_partition_without_lba_in_its_type_is_read_as_well(card):
    """Types of FAT32: 0x0B, and 0x0C with LBA; byte 4 of the first entry at 446."""
    with open(card, "r+b") as file:
        file.seek(446 + 4)
        assert file.read(1) == b"\x0c"
        file.seek(446 + 4)
        file.write(b"\x0b")
    assert mounted(card) == faults.NONE


def places(card):
    """Return the sectors that are read, by name."""
    plan = fat32.plan(CARD_BYTES)
    fat = fat32.ALIGN + plan.reserved
    clusters = plan.n_blocks * 4096 // (plan.cluster * 512)
    last = fat + (plan.file_cluster + clusters - 1) // 128
    return {"partitions": 0, "boot": fat32.ALIGN, "directory": plan.data, "end of FAT": last}


@pytest.mark.parametrize("name", ["partitions", "boot", "directory", "end of FAT"])
def test_a_worn_sector_alone_ends_no_recording(card, name):
    assert mounted(card, {places(card)[name]}) == faults.NONE


def test_a_worn_sector_of_the_directory_hides_no_partition_elsewhere(card):
    """What can be read still counts: the boot sector is another's."""
    with open(card, "r+b") as file:
        file.seek(AT + 67)
        file.write(b"????")
    assert mounted(card, {places(card)["directory"]}) == faults.CARD_FOREIGN


def test_a_worn_sector_of_the_fat_hides_no_other_of_its_sectors(card):
    """The first sector of our chain can't be read; in its last the file goes on."""
    plan = fat32.plan(CARD_BYTES)
    fat = fat32.ALIGN + plan.reserved
    clusters = plan.n_blocks * 4096 // (plan.cluster * 512)
    with open(card, "r+b") as file:
        file.seek(fat * 512 + 4 * (plan.file_cluster + clusters - 1))
        file.write((5).to_bytes(4, "little"))
    assert mounted(card, {fat + plan.file_cluster // 128}) == faults.CARD_FOREIGN


def test_a_chain_that_is_broken_in_its_middle_is_foreign(card):
    """The first and the last sector of our part of the FAT are as they were, all others empty."""
    plan = fat32.plan(CARD_BYTES)
    fat = fat32.ALIGN + plan.reserved
    first, last = fat + plan.file_cluster // 128, places(card)["end of FAT"]
    assert last - first > 16
    with open(card, "r+b") as file:
        file.seek((first + 1) * 512)
        file.write(bytes((last - first - 1) * 512))
    assert mounted(card) == faults.CARD_FOREIGN


def entries_of(card, change):
    """Change the directory's first four sectors; `own` is the entry of our file."""
    with open(card, "r+b") as file:
        file.seek(fat32.plan(CARD_BYTES).data * 512)
        entries = bytearray(file.read(2048))
        at = entries.index(b"STAGELOGBIN")
        own = bytes(entries[at : at + 32])
        file.seek(fat32.plan(CARD_BYTES).data * 512)
        file.write(change(own))


DELETED = b"\xe5" + b"OTHER  TXT" + bytes(21)


@pytest.mark.parametrize("n_before", [0, 15, 16, 40, 63])
def test_our_file_may_stand_anywhere_in_the_first_cluster_of_the_directory(card, n_before):
    """Sixteen entries in a sector; those before it are deleted ones."""
    entries_of(card, lambda own: (DELETED * n_before + own).ljust(2048, b"\0"))
    assert mounted(card) == faults.NONE


def test_nothing_counts_behind_the_end_of_the_directory(card):
    """An entry that begins with 0 is the end: what follows was never cleared."""
    entries_of(card, lambda own: (DELETED + bytes(32) + own).ljust(2048, b"\0"))
    assert mounted(card) == faults.CARD_FOREIGN


@pytest.mark.parametrize("text", [b"exFAT   ", b"FAT16   ", b"NTFS    "])
def test_a_file_system_of_another_kind_is_foreign(card, text):
    """Bytes 82 to 89 of the boot sector, beside our volume id."""
    with open(card, "r+b") as file:
        file.seek(AT + 82)
        assert file.read(8) == b"FAT32   "
        file.seek(AT + 82)
        file.write(text)
    assert mounted(card) == faults.CARD_FOREIGN


@pytest.mark.parametrize("at", [20, 26, 28, 31])
def test_a_file_of_another_place_or_size_is_foreign(card, at):
    """Bytes 20 and 21, 26 and 27 of an entry: its first cluster; 28 to 31: its size."""
    entries_of(
        card,
        lambda own: (own[:at] + bytes((own[at] ^ 1,)) + own[at + 1 :]).ljust(2048, b"\0"),
    )
    assert mounted(card) == faults.CARD_FOREIGN


def test_a_deleted_entry_is_no_file(card):
    entries_of(card, lambda own: (b"\xe5" + own[1:]).ljust(2048, b"\0"))
    assert mounted(card) == faults.CARD_FOREIGN


def test_an_entry_that_is_a_label_is_no_file(card):
    """Attribute 0x08, byte 11 of an entry, marks a label and the pieces of a long name."""
    directory = fat32.plan(CARD_BYTES).data * 512
    with open(card, "r+b") as file:
        file.seek(directory)
        entries = bytearray(file.read(512))
        entries[entries.index(b"STAGELOGBIN") + 11] |= 0x08
        file.seek(directory)
        file.write(entries)
    assert mounted(card) == faults.CARD_FOREIGN


def test_a_file_that_goes_on_after_its_last_cluster_is_foreign(card):
    """The upper four bits of an entry are reserved: 0x10000005 leads to cluster 5, no end."""
    plan = fat32.plan(CARD_BYTES)
    last = plan.file_cluster + plan.n_blocks * 4096 // (plan.cluster * 512) - 1
    with open(card, "r+b") as file:
        file.seek((fat32.ALIGN + plan.reserved) * 512 + 4 * last)
        file.write(0x10000005.to_bytes(4, "little"))
    assert mounted(card) == faults.CARD_FOREIGN


@pytest.mark.parametrize("at", range(67, 71))
def test_a_volume_of_another_id_is_foreign(card, at):
    """Four bytes from 67 of the boot sector."""
    with open(card, "r+b") as file:
        file.seek(AT + at)
        (byte,) = file.read(1)
        file.seek(AT + at)
        file.write(bytes((byte ^ 1,)))
    assert mounted(card) == faults.CARD_FOREIGN


def test_a_partition_elsewhere_is_foreign(card, tmp_path):
    """A laptop's new partition starts at 1 MiB; ours stays readable at 4 MiB, boot sector too."""
    run_fatfs(card, "vfs.VfsFat.mkfs(disk)\n", tmp_path, MiB)
    with open(card, "r+b") as file:
        file.seek(446 + 8)
        file.write((2048).to_bytes(4, "little"))
    assert mounted(card) == faults.CARD_FOREIGN


def test_a_card_formatted_without_partitions_is_foreign(card, tmp_path):
    run_fatfs(card, "vfs.VfsFat.mkfs(disk)\n", tmp_path, 0)
    assert mounted(card) == faults.CARD_FOREIGN


def test_a_raw_extent_that_was_formatted_is_foreign(tmp_path):
    prepare_raw(tmp_path / "card.img", 100_000)
    run_fatfs(tmp_path / "card.img", "vfs.VfsFat.mkfs(disk)\n", tmp_path, 0)
    assert mounted(tmp_path / "card.img") in (faults.CARD_FOREIGN, faults.CARD_UNPREPARED)


@pytest.mark.skipif(shutil.which("mkfs.fat") is None, reason="dosfstools is not installed")
def test_a_card_formatted_by_linux_is_foreign(card):
    sectors = (CARD_BYTES - AT) // 512
    command = ["mkfs.fat", "-F", "32", "--offset", str(fat32.ALIGN), card, str(sectors // 2)]
    subprocess.run(command, check=True, capture_output=True)
    assert mounted(card) == faults.CARD_FOREIGN
