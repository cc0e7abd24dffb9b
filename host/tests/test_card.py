"""Cards are prepared so that logger and laptop can read them, and never over unsaved data."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from fatfs import run_fatfs

from logger.extent import Extent
from slog.block import POSITION
from slog.layout import BLOCK_BYTES, SECTOR_BYTES
from stagelog.blocks import Identity, pack_session, seal
from stagelog.blocks.medium import map_file
from stagelog.card import extent_layout, prepare, prepare_raw, read_card
from stagelog.card.prepare import _seq_after_remains
from stagelog.errors import InputError, OutputError, UsageError
from stagelog.model import FRAME

ALICE = Identity("e66038b7130f2e29", 1, 0x1234)
MiB = 1 << 20


class FileCard:
    """The card driver's reading half on an image."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.n_sectors = os.path.getsize(path) // SECTOR_BYTES

    def read(self, sector, buf):
        self.file.seek(sector * SECTOR_BYTES)
        assert self.file.readinto(buf) == len(buf)


def session_blocks(n_frames=3000, **options):
    frames = np.zeros(n_frames, FRAME)
    frames["t_us"] = np.arange(n_frames) * 300
    frames["can_id"] = np.arange(n_frames) % 2048
    return frames, pack_session(frames, ALICE, **options)


def put(path, prepared, blocks, position):
    with open(path, "r+b") as file:
        file.seek(prepared.lba * SECTOR_BYTES + position * BLOCK_BYTES)
        file.write(blocks.tobytes())


@pytest.mark.parametrize("size_MiB", [48, 64, 300, 2000, 9000, 40_000])
def test_the_logger_finds_the_extent_of_a_prepared_card(tmp_path, size_MiB):
    path = tmp_path / "card.img"
    prepared = prepare(path, size_MiB * MiB, extent_id=b"01234567")
    extent = Extent(FileCard(path))
    assert extent.lba == prepared.lba and extent.lba % 8192 == 0
    assert extent.n == prepared.n_data_blocks
    assert extent.find_head() is None
    assert path.stat().st_blocks * 512 < 40 * MiB
    log = read_card(path)
    assert log.kind == "card image" and not log.sessions and not log.damaged
    layout = extent_layout(prepared.n_blocks)
    if size_MiB > 200:
        marks = [0, *layout[:4]]
        assert min(np.diff(marks)) * BLOCK_BYTES >= 4 * MiB


@pytest.mark.parametrize("n_blocks", [16, 100, 4096, 40_000])
def test_a_raw_image_is_an_extent(tmp_path, n_blocks):
    prepared = prepare_raw(tmp_path / "raw.img", n_blocks, extent_id=b"01234567")
    extent = Extent(FileCard(tmp_path / "raw.img"))
    assert (extent.lba, extent.n) == (0, prepared.n_data_blocks)
    assert read_card(tmp_path / "raw.img").kind == "extent"


def fat_tools():
    return shutil.which("fsck.fat"), shutil.which("mdir"), shutil.which("mcopy")


@pytest.mark.skipif(not all(fat_tools()), reason="dosfstools and mtools are not installed")
@pytest.mark.parametrize("size_MiB", [48, 300, 33_000])
def test_other_programs_read_the_file_system(tmp_path, size_MiB):
    path, partition = tmp_path / "card.img", tmp_path / "partition.img"
    prepared = prepare(path, size_MiB * MiB)
    with open(path, "rb") as source, open(partition, "wb") as target:
        source.seek(4 * MiB)
        target.write(source.read(40 * MiB))
        target.truncate((size_MiB - 4) * MiB)
    fsck = subprocess.run([fat_tools()[0], "-n", partition], capture_output=True, text=True)
    assert fsck.returncode == 0, fsck.stdout
    listing = subprocess.run(
        [fat_tools()[1], "-i", f"{path}@@4M", "-b", "::"], capture_output=True
    )
    assert {b"::/README.TXT", b"::/STAGELOG.BIN"} <= set(listing.stdout.split())
    if size_MiB < 400:
        out = tmp_path / "out.bin"
        subprocess.run([fat_tools()[2], "-i", f"{path}@@4M", "::/STAGELOG.BIN", out], check=True)
        assert out.stat().st_size == prepared.n_blocks * BLOCK_BYTES
        assert read_card(out).extent["lba"] == prepared.lba


READ = """
mount()
print(sorted([entry[0] for entry in os.ilistdir("/sd")]))
with open("/sd/STAGELOG.BIN", "rb") as f:
    for place in range(N_MARKS):
        f.seek(place * 4096 * 1000)
        print(f.read(16))
"""


@pytest.mark.parametrize("size_MiB", [48, 9000])
def test_fatfs_reads_the_file_system(tmp_path, size_MiB):
    path = tmp_path / "card.img"
    prepared = prepare(path, size_MiB * MiB)
    n_marks = -(-prepared.n_blocks // 1000)
    for i in range(n_marks):
        block = np.zeros((1, BLOCK_BYTES), np.uint8)
        block[0, :16] = np.frombuffer(f"{i:016}".encode(), np.uint8)
        put(path, prepared, block, i * 1000)
    names, *marks = run_fatfs(path, f"N_MARKS = {n_marks}\n{READ}", tmp_path).splitlines()
    assert names == "['README.TXT', 'STAGELOG.BIN']"
    assert marks == [f"b'{i:016}'" for i in range(n_marks)]


def test_the_files_on_the_card_are_where_the_tables_say(tmp_path):
    path = tmp_path / "card.img"
    prepared = prepare(path, 64 * MiB)
    image = path.read_bytes()
    boot = image[4 * MiB :]
    cluster, reserved = boot[13] * 512, int.from_bytes(boot[14:16], "little")
    fat_bytes = int.from_bytes(boot[36:40], "little") * 512
    fat = np.frombuffer(boot, "<u4", fat_bytes // 4, reserved * 512)
    data = reserved * 512 + 2 * fat_bytes
    entry = next(
        boot[at : at + 32]
        for at in range(data, data + cluster, 32)
        if boot[at : at + 11] == b"STAGELOGBIN"
    )
    first = int.from_bytes(entry[26:28], "little") | int.from_bytes(entry[20:22], "little") << 16
    chain = [first]
    while fat[chain[-1]] < 0x0FFFFFF8:
        chain.append(int(fat[chain[-1]]))
    assert chain == list(range(first, first + len(chain)))
    assert len(chain) * cluster == int.from_bytes(entry[28:32], "little")
    assert (4 * MiB + data + (first - 2) * cluster) == prepared.lba * SECTOR_BYTES


def test_sessions_on_a_card_are_read(tmp_path):
    path = tmp_path / "card.img"
    prepared = prepare(path, 64 * MiB)
    first = extent_layout(prepared.n_blocks).data_first
    frames, blocks = session_blocks(position=first)
    put(path, prepared, blocks, first)
    (session,) = read_card(path).sessions
    assert np.array_equal(session.read_frames()["can_id"], frames["can_id"])


@pytest.mark.parametrize("n_frames", [1000, 400_000])
@pytest.mark.parametrize("place", [0, 1500, 123_456, -2])
def test_a_log_in_a_large_ring_is_found_wherever_it_stands(tmp_path, n_frames, place):
    path = tmp_path / "card.img"
    prepared = prepare(path, 2000 * MiB)
    layout = extent_layout(prepared.n_blocks)
    n = prepared.n_data_blocks
    position = layout.data_first + place % n
    _, mark = Extent(FileCard(path)).make_release(100, position)
    put(path, prepared, np.frombuffer(mark, np.uint8), layout.release_a)
    _, blocks = session_blocks(n_frames, first_seq=100)
    for i, block in enumerate(blocks):
        at = layout.data_first + (place + i) % n
        block[POSITION : POSITION + 4] = np.frombuffer(at.to_bytes(4, "little"), np.uint8)
        seal(block[None])
        put(path, prepared, block, at)
    log = read_card(path)
    assert log.sessions[0].n_blocks == len(blocks) and not log.damaged


def test_a_log_in_a_large_ring_is_found_without_its_release_mark(tmp_path):
    """Samples are 1,024 places apart; the log begins and ends between two of them."""
    path = tmp_path / "card.img"
    prepared = prepare(path, 2000 * MiB)
    first = extent_layout(prepared.n_blocks).data_first
    _, blocks = session_blocks(400_000, position=first + 1500, first_seq=100)
    assert len(blocks) % 1024 not in (0, 1023)
    put(path, prepared, blocks, first + 1500)
    log = read_card(path)
    assert log.sessions[0].n_blocks == len(blocks) and not log.damaged


def test_places_that_hold_no_block_between_two_are_damaged(tmp_path):
    path = tmp_path / "raw.img"
    prepared = prepare_raw(path, 64)
    _, blocks = session_blocks(position=4)
    blocks[4] = 0
    blocks[6, 100] ^= 1
    put(path, prepared, blocks, 4)
    log = read_card(path)
    assert [(bad.position, bad.reason) for bad in log.damaged] == [
        (8, "zeros"),
        (10, "the CRC of block 7 is wrong"),
    ]
    assert log.sessions[0].n_blocks == len(blocks) - 2


def test_a_write_cut_short_at_the_end_is_told(tmp_path):
    path = tmp_path / "raw.img"
    prepared = prepare_raw(path, 64)
    _, blocks = session_blocks(position=4)
    blocks[-1, 512:] = 0
    put(path, prepared, blocks, 4)
    log = read_card(path)
    assert [bad.position for bad in log.damaged] == [4 + len(blocks) - 1]


def test_a_damaged_signature_is_replaced_by_its_copy(tmp_path):
    path = tmp_path / "card.img"
    prepared = prepare(path, 64 * MiB)
    _, blocks = session_blocks(position=1040)
    put(path, prepared, blocks, 1040)
    put(path, prepared, np.zeros((1, BLOCK_BYTES), np.uint8), 0)
    log = read_card(path)
    assert log.sessions[0].n_blocks == len(blocks)
    assert "second copy" in log.diagnostics[0].detail
    put(path, prepared, np.zeros((1, BLOCK_BYTES), np.uint8), extent_layout(13312).copy)
    log = read_card(path)
    assert log.kind == "remains" and log.sessions[0].n_blocks == len(blocks)


def test_unreleased_blocks_are_not_overwritten_unless_told(tmp_path):
    path = tmp_path / "raw.img"
    prepared = prepare_raw(path, 64)
    _, blocks = session_blocks(position=4, first_seq=77)
    put(path, prepared, blocks, 4)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="not released"):
        prepare_raw(path, 64)
    assert path.read_bytes() == before
    again = prepare_raw(path, 64, force=True)
    assert again.released_seq == 77 + len(blocks)
    assert Extent(FileCard(path)).released_seq == again.released_seq
    assert prepare_raw(path, 64).released_seq >= 1


@pytest.mark.parametrize("number", [1, 2, 77])
def test_a_block_that_remains_is_released_whatever_its_number(tmp_path, number):
    """One block lies on the card, released or not; prepared anew the card shows none. The logger
    goes on with the number behind it; a card without blocks needs no mark.
    """
    path = tmp_path / "raw.img"
    prepared = prepare_raw(path, 64)
    assert not read_card(path, include_erased=True).sessions and prepared.released_seq == 1
    assert Extent(FileCard(path)).generation == 0
    put(path, prepared, session_blocks(100, position=4, first_seq=number)[1][:1], 4)
    with pytest.raises(OutputError, match="1 session, 1 block, not released"):
        prepare_raw(path, 64)
    content = path.read_bytes()
    _, mark = Extent(FileCard(path)).make_release(number + 1, 5)
    put(path, prepared, np.frombuffer(mark, np.uint8), 2)
    released = path.read_bytes()
    for before, force in ((content, True), (released, False)):
        path.write_bytes(before)
        assert prepare_raw(path, 64, force=force).released_seq == number + 1
        extent = Extent(FileCard(path))
        assert (extent.released_seq, extent.tail) == (number + 1, 4)


def test_a_release_mark_of_another_card_hides_nothing(tmp_path):
    """An image that was written over an older card: the mark with the highest generation is that
    of the older one, and would release all.
    """
    path, other = tmp_path / "raw.img", tmp_path / "other.img"
    prepared = prepare_raw(path, 64)
    _, blocks = session_blocks(position=4)
    put(path, prepared, blocks, 4)
    prepare_raw(other, 64)
    extent = Extent(FileCard(other))
    extent.generation = 6
    _, mark = extent.make_release(1000, 8)
    put(path, prepared, np.frombuffer(mark, np.uint8), 1)
    log = read_card(path)
    assert log.n_erased == 0 and log.sessions[0].n_blocks == len(blocks)
    assert Extent(FileCard(path)).released_seq < 2


def test_a_large_card_is_known_again(tmp_path):
    """Its file lies behind two tables of some 8 MB each, beyond the first 16 MiB of 64 GiB."""
    path = tmp_path / "card.img"
    prepared = prepare(path, 64 << 30)
    assert prepared.lba >= 4 * 8192 and prepared.lba % 8192 == 0
    assert prepare(path).lba == prepared.lba
    log = read_card(path)
    assert (log.kind, log.extent["lba"], log.diagnostics) == ("card image", prepared.lba, [])


def test_an_empty_file_becomes_a_card(tmp_path):
    (tmp_path / "empty.img").touch()
    assert prepare_raw(tmp_path / "empty.img", 64).n_blocks == 64
    (tmp_path / "empty.img").write_bytes(b"")
    assert prepare(tmp_path / "empty.img", 48 * MiB).kind == "FAT32"


def test_released_blocks_are_left_out_unless_asked_for(tmp_path):
    path = tmp_path / "raw.img"
    prepared = prepare_raw(path, 64, force=True)
    _, blocks = session_blocks(position=4)
    put(path, prepared, blocks, 4)
    _, mark = Extent(FileCard(path)).make_release(5, 8)
    put(path, prepared, np.frombuffer(mark, np.uint8), 2)
    log = read_card(path)
    assert log.n_erased == 4 and log.sessions[0].first_seq == 5 and not log.damaged
    assert read_card(path, include_erased=True).sessions[0].n_blocks == len(blocks)


def test_remains_on_a_disk_without_signature_are_found(tmp_path):
    path = tmp_path / "card.img"
    prepared = prepare(path, 64 * MiB)
    _, blocks = session_blocks(30_000, position=2000, first_seq=500)
    put(path, prepared, blocks, 2000)
    for copy in (0, extent_layout(prepared.n_blocks).copy):
        put(path, prepared, np.zeros((1, BLOCK_BYTES), np.uint8), copy)
    card = map_file(path)

    def block_at(at):
        return card[at : at + BLOCK_BYTES]

    with pytest.raises(OutputError, match="lost its signature"):
        _seq_after_remains(path, len(card), block_at, force=False)
    assert _seq_after_remains(path, len(card), block_at, force=True) >= 500 + len(blocks)


def test_what_is_no_card_is_refused(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("dear reader" * 1000)
    with pytest.raises(OutputError, match="not a stagelog card"):
        prepare(path)
    with pytest.raises(InputError):
        read_card(path)
    with pytest.raises(UsageError, match="too few"):
        prepare(tmp_path / "small.img", 10 * MiB)
    with pytest.raises(UsageError, match="does not exist"):
        prepare(tmp_path / "new.img")
    with pytest.raises(OutputError, match="neither"):
        prepare(tmp_path)
    assert not (tmp_path / "small.img").exists()
    session_file = tmp_path / "x.slog"
    session_file.write_bytes(session_blocks()[1].tobytes())
    with pytest.raises(InputError, match="session file"):
        read_card(session_file)
    with pytest.raises(OutputError, match="not a stagelog card"):
        prepare_raw(session_file, 64)
