"""Preparing a card that loses its power, and disks that must never be prepared.

N writes make N+1 states, and as many with the last write torn, and for each step between two
fsyncs some in which the disk carried the writes out in another order. In each the logger either
refuses the card or finds one that is whole: the old one or the new one, never a mixture.
"""

import errno
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from logger.extent import Extent, ExtentError
from slog.layout import BLOCK_BYTES, SECTOR_BYTES
from stagelog.blocks import Identity, pack_session
from stagelog.card import prepare as prepare_card
from stagelog.card import prepare_raw, read_card
from stagelog.errors import OutputError, UsageError
from stagelog.model import FRAME
from stagelog.platform import drives

prepare_module = __import__("stagelog.card.prepare", fromlist=["prepare"])
MiB = 1 << 20
SIZE = 64 * MiB
OLD, NEW = b"old card", b"new card"
FILE_AT = 12 * MiB  # where STAGELOG.BIN starts: 4 MiB to the partition, 4 to the data area, 4 more
# 64 MiB less 12 are 13,312 blocks: more than 8,192, so marks at 16 and 32, copy 1,024, ring 1,040
MARK_A, MARK_B, COPY, RING = (FILE_AT + n * BLOCK_BYTES for n in (16, 32, 1024, 1040))


class Image:
    """The card driver's reading half, on bytes."""

    def __init__(self, content):
        self.content = content
        self.n_sectors = len(content) // SECTOR_BYTES

    def read(self, sector, buf):
        at = sector * SECTOR_BYTES
        buf[:] = self.content[at : at + len(buf)]


class Recorder:
    """The file that prepare writes to; keeps what was written, in steps that end with a fsync."""

    def __init__(self, file, steps):
        self._file = file
        self._steps = steps

    def write(self, data):
        self._steps[-1].append((self._file.tell(), bytes(data)))
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A file that passes for a disk called sdx, not mounted, of SIZE."""
    path = tmp_path / "sdx"
    path.touch()
    os.truncate(path, SIZE)
    is_block_device = Path.is_block_device
    monkeypatch.setattr(
        Path, "is_block_device", lambda self: self == path or is_block_device(self)
    )
    monkeypatch.setattr(drives.psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "mounts").symlink_to(tmp_path / "mounts")
    monkeypatch.setattr(drives, "_BLOCK_DEVICES", tmp_path / "sys")
    (tmp_path / "mounts").write_text("/dev/nvme0n1p2 / ext4 rw 0 0\nproc /proc proc rw 0 0\n")
    return path


def recorded(monkeypatch, path, **options):
    """Prepare; return the writes [[(offset, bytes)]], a list for each fsync."""
    steps = [[]]
    opened, fsync = prepare_module._opened, os.fsync
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "_opened", lambda *args: Recorder(opened(*args), steps))
        patch.setattr(os, "fsync", lambda handle: (steps.append([]), fsync(handle)))
        prepare_card(path, **options)
    assert steps.pop() == []
    return steps


def put_session(path, first_seq):
    """Write a session of 40 blocks of 252 records to the beginning of the ring."""
    frames = np.zeros(40 * 252 - 2, FRAME)  # and the first and the last record of the session
    frames["t_us"] = np.arange(len(frames)) * 100
    blocks = pack_session(frames, Identity("0a" * 8, 3, 9), first_seq=first_seq, position=1040)
    with open(path, "r+b") as file:
        file.seek(RING)
        file.write(blocks.tobytes())
    return first_seq + len(blocks)


def blank(path):
    pass


def used(path):
    """A card with a session that was released: erased, still readable."""
    prepare_card(path, extent_id=OLD)
    after = put_session(path, 500)
    content = path.read_bytes()
    _, mark = Extent(Image(content)).make_release(after, 1040 + 40)
    with open(path, "r+b") as file:
        file.seek(MARK_B)
        file.write(mark)


def elsewhere(path):
    """An extent without file system, at 40 MiB."""
    raw = path.with_name("raw.img")
    prepare_raw(raw, 4096, extent_id=OLD)
    with open(path, "r+b") as file:
        fields = {"magic": prepare_module.SIGNATURE_MAGIC, "version": 1, "extent_id": OLD}
        places = prepare_module.extent_layout(4096)
        fields |= {"lba": 40 * MiB // 512, "n_blocks": 4096, **places._asdict()}
        signature = prepare_module._checked(prepare_module.SIGNATURE, fields)
        for place in (0, places.copy):
            file.seek(40 * MiB + place * BLOCK_BYTES)
            file.write(signature)


def judge(content, old, new):
    """Assert that a card is refused, or whole; return what it is."""
    try:
        extent = Extent(Image(content))
    except ExtentError:
        return "refused"
    whole, what = (new, "new") if extent.extent_id == NEW else (old, "old")
    assert extent.extent_id == (NEW if what == "new" else OLD)
    start = extent.sector_of(0) * SECTOR_BYTES
    if start == FILE_AT:  # everything in front of the file, then both marks
        for part in (slice(0, FILE_AT), *(slice(m, m + BLOCK_BYTES) for m in (MARK_A, MARK_B))):
            assert memoryview(content)[part] == memoryview(whole)[part]
    head = extent.find_head()
    assert head is None or head[1] < extent.released_seq
    return what


def states(base, steps):
    """Yield (content of the disk, is_in_order) at every cut: whole, torn, and in other orders."""
    content = bytearray(base)
    yield content, True
    for n, step in enumerate(steps):
        before = bytes(content)
        for at, data in step:
            half = len(data) // 2 // SECTOR_BYTES * SECTOR_BYTES
            content[at : at + half] = data[:half]
            yield content, True
            content[at : at + len(data)] = data
            yield content, True
        rng = random.Random(n)
        for _ in range(12 if len(step) > 1 else 0):
            other = bytearray(before)
            for at, data in rng.sample(step, rng.randrange(len(step))):
                other[at : at + len(data)] = data
            yield other, False


@pytest.mark.parametrize("start", [blank, used, elsewhere])
def test_a_cut_at_any_write_leaves_no_half_good_card(disk, monkeypatch, start):
    start(disk)
    old = disk.read_bytes()
    steps = recorded(monkeypatch, disk, extent_id=NEW)
    new = disk.read_bytes()
    seen = [(judge(state, old, new), in_order) for state, in_order in states(old, steps)]
    order = {"old": 0, "refused": 1, "new": 2}
    ranks = [order[what] for what, in_order in seen if in_order]
    assert len(ranks) == 2 * sum(map(len, steps)) + 1 and ranks == sorted(ranks)
    assert ranks[0] == order["refused" if start is blank else "old"]
    assert ranks[-1] == order["new"] and order["refused"] in ranks


def test_the_file_system_is_on_the_disk_before_a_signature(disk, monkeypatch):
    """The order that the states above rest on: what is written between which two fsyncs."""
    steps = recorded(monkeypatch, disk, extent_id=NEW)
    where = [[at for at, _ in step] for step in steps]
    # a blank disk has no signature; then all 16 places of the first 64 MiB where one may be
    assert where[:2] == [[], [n * 4 * MiB for n in range(16)]]
    # MBR, boot sector and its copy 6 sectors on, two FATs, directory at 8 MiB, first mark
    assert where[2][:3] == [0, 4 * MiB, 4 * MiB + 6 * 512]
    assert where[2][-2:] == [8 * MiB, MARK_A]
    assert where[3:] == [[MARK_B], [COPY], [FILE_AT]]
    assert len(where[2]) == 7


def test_old_signatures_go_before_all_else(disk, monkeypatch):
    used(disk)
    steps = recorded(monkeypatch, disk, extent_id=NEW)
    assert [at for at, _ in steps[0]] == [FILE_AT, COPY]


def test_a_preparation_that_was_cut_short_is_begun_again(disk, monkeypatch):
    """The numbers of what is still on the card stay below those that the logger will give."""
    used(disk)
    steps = recorded(monkeypatch, disk, extent_id=NEW)
    used(disk)
    with open(disk, "r+b") as file:
        for at, data in [*steps[0], *steps[1]]:
            file.seek(at)
            file.write(data)
    with pytest.raises(OutputError, match="blocks up to number 5"):
        prepare_card(disk)
    prepare_card(disk, extent_id=NEW, force=True)
    content = disk.read_bytes()
    assert Extent(Image(content)).released_seq >= 540
    assert judge(content, content, content) == "new"
    assert not read_card(disk).sessions


def refusal(path, **options):
    """Prepare; return the complaint of an OutputError, the disk untouched."""
    before = path.read_bytes()
    with pytest.raises(OutputError) as refused:
        prepare_card(path, **options)
    assert path.read_bytes() == before
    return str(refused.value)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{disk} /media/CARD vfat rw 0 0", "is mounted on /media/CARD; unmount it first"),
        ("{disk}1 /media/CARD vfat rw 0 0", "sdx1 is mounted on /media/CARD"),
        ("{disk}p2 / ext4 rw 0 0", "sdxp2 is mounted on /"),
    ],
)
def test_a_disk_that_is_mounted_is_refused(disk, tmp_path, line, says, force):
    with open(tmp_path / "mounts", "a") as mounts:
        mounts.write(line.format(disk=disk) + "\n")
    assert says in refusal(disk, force=force)


def test_a_disk_is_found_mounted_by_any_of_its_names(disk, tmp_path, monkeypatch):
    other = tmp_path / "by-id-usb-card"
    other.symlink_to(disk)
    monkeypatch.setattr(Path, "is_block_device", lambda self: self in (disk, other))
    (tmp_path / "mounts").write_text(f"{disk}1 /media/CARD vfat rw 0 0\n")
    assert "sdx1 is mounted" in refusal(other)


def test_another_disk_may_be_mounted(disk, tmp_path):
    (tmp_path / "mounts").write_text(f"{tmp_path}/sdy1 /media/CARD vfat rw 0 0\n")
    assert prepare_card(disk).kind == "FAT32"


def test_a_partition_is_refused(disk, tmp_path):
    (tmp_path / "sys" / "sdx").mkdir(parents=True)
    (tmp_path / "sys" / "sdx" / "partition").write_text("1\n")
    assert "is a partition; give the whole disk" in refusal(disk, force=True)


def test_a_disk_that_the_system_holds_is_refused(disk, monkeypatch):
    """As swap, or under LVM, it is in no list of mounts by its name: the kernel says so."""
    whole_open = os.open

    def busy(path, flags, *more):
        if Path(path) == disk and flags & os.O_EXCL:
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        return whole_open(path, flags, *more)

    monkeypatch.setattr(os, "open", busy)
    assert "is in use: mounted, swap, or part of another volume" in refusal(disk, force=True)


def test_a_disk_too_small_is_refused_before_anything_is_written(disk):
    os.truncate(disk, 48 * MiB - 1)
    disk.write_bytes(b"\x11" * (48 * MiB - 1))
    before = disk.read_bytes()
    with pytest.raises(UsageError, match=r"50,331,647 bytes are too few"):
        prepare_card(disk)
    assert disk.read_bytes() == before
    os.truncate(disk, 48 * MiB)
    assert prepare_card(disk).n_blocks == 9216  # 48 - 12 MiB in blocks of 4 KiB


def test_a_disk_keeps_its_own_size(disk):
    assert prepare_card(disk, 48 * MiB).n_blocks == 13_312
    assert disk.stat().st_size == SIZE


def test_a_disk_with_sessions_that_nobody_released_is_refused(disk):
    prepare_card(disk)
    put_session(disk, 500)
    assert "holds 1 session, 40 blocks, not released" in refusal(disk)
    made = prepare_card(disk, force=True)
    assert made.released_seq == 540


def test_a_disk_that_fails_to_write_is_one_clear_error(disk, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="sdx: Input/output error"):
        prepare_card(disk)


def test_an_image_may_be_on_a_mounted_disk(tmp_path, monkeypatch):
    assert prepare_card(tmp_path / "card.img", SIZE).kind == "FAT32"
    shutil.copy(tmp_path / "card.img", tmp_path / "copy.img")
    assert prepare_card(tmp_path / "copy.img").n_blocks == 13_312
