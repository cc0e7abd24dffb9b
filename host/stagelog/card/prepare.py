"""The extent of a card: where its parts lie, and how it is brought onto a card or an image.

Old signatures go first and new ones come last, each step on the card before the next begins: cut
short anywhere, a preparation leaves the card as it was or one that the logger refuses. Old blocks
that remain on a card are covered by a release mark: their numbers are below those that the logger
will give next.
"""

import contextlib
import os
import secrets
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from slog.block import SEQ
from slog.layout import (
    BLOCK_BYTES,
    RELEASE,
    RELEASE_MAGIC,
    SECTOR_BYTES,
    SIGNATURE,
    SIGNATURE_MAGIC,
    VERSION,
    pack,
)
from stagelog.blocks import Log, read_log
from stagelog.blocks.medium import (
    ALIGN_BYTES,
    N_SIGNATURE_PLACES,
    find_signature,
    is_good,
    map_file,
    signature_at,
)
from stagelog.card import fat32
from stagelog.counts import count_text
from stagelog.errors import InputError, OutputError, UsageError
from stagelog.platform.drives import drive_of, is_disk, refuse_in_use
from stagelog.platform.files import writing
from stagelog.platform.raw_disk import can_map_disks, how_permitted, open_alone

MIN_BLOCKS = 16
_SAMPLE = 64  # one place in so many is checked for remains
_SECTORS_PER_BLOCK = BLOCK_BYTES // SECTOR_BYTES
# (blocks of the extent at least, positions of release marks and second signature, first of data).
# A power cut may cost a card a whole erase group, 4 MiB on large ones, 64 KiB on small ones; the
# logger searches signatures at multiples of 4 MiB only.
_LAYOUTS = (
    (1 << 15, (1024, 2048, 3072, 4096)),
    (1 << 13, (16, 32, 1024, 1040)),
    (1 << 10, (16, 32, 48, 64)),
    (MIN_BLOCKS, (1, 2, 3, 4)),
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A card that was prepared. `released_seq` is above 1 if older blocks remain on it."""

    path: Path
    kind: str
    lba: int
    n_blocks: int
    n_data_blocks: int
    extent_id: bytes
    released_seq: int


class ExtentLayout(NamedTuple):
    """The parts of an extent, in blocks from its start: marks, second signature, data."""

    release_a: int
    release_b: int
    copy: int
    data_first: int
    data_end: int


def extent_layout(n_blocks: int) -> ExtentLayout:
    """Return where the parts of an extent of `n_blocks` are; UsageError if it is too small."""
    if n_blocks < MIN_BLOCKS:
        raise UsageError(f"{n_blocks} blocks are too few", f"take {MIN_BLOCKS} or more")
    places = next(places for least, places in _LAYOUTS if n_blocks >= least)
    return ExtentLayout(*places, n_blocks)


def prepare(
    path: str | Path,
    size_bytes: int | None = None,
    *,
    extent_id: bytes | None = None,
    force: bool = False,
) -> Prepared:
    """Make a FAT32 card with the extent as STAGELOG.BIN on a device, or in an image file.

    size_bytes  of a new image; a device and an existing image keep their size
    extent_id   8 bytes; random if left out
    force       also if blocks on it were never released, or the file is not a card
    """
    path = _whole(Path(path))
    with writing(path):
        size_bytes, released_seq = _check(path, size_bytes, force)
    plan = fat32.plan(size_bytes)
    extent_id = extent_id or secrets.token_bytes(8)
    with _whole_or_gone(path), writing(path), _opened(path, size_bytes) as file:
        _wipe(file, size_bytes)
        for sector, content in fat32.pieces(plan, extent_id[:4]):
            _write(file, sector, content)
        place = (plan.file_lba, plan.n_blocks)
        return _put_extent(file, path, "FAT32", place, extent_id, released_seq)


def prepare_raw(
    path: str | Path, n_blocks: int, *, extent_id: bytes | None = None, force: bool = False
) -> Prepared:
    """Make an image that is nothing but the extent; for simulated cards and tests."""
    path = Path(path)
    extent_layout(n_blocks)
    with writing(path):
        size_bytes, released_seq = _check(path, n_blocks * BLOCK_BYTES, force)
    extent_id = extent_id or secrets.token_bytes(8)
    with _whole_or_gone(path), writing(path), _opened(path, size_bytes) as file:
        _wipe(file, size_bytes)
        return _put_extent(file, path, "raw", (0, n_blocks), extent_id, released_seq)


def read_card(path: str | Path, include_erased: bool = False) -> Log:
    """Return the Log of a card, of its image, its STAGELOG.BIN or the folder or drive letter on
    which it is mounted; InputError if it is none. macOS and Windows read a mounted card only.
    """
    log = read_log(_on_card(path) or path, include_erased)
    if log.kind == "session file":
        raise InputError(f"{path} is a session file, not a card", "read it with 'stagelog info'")
    return log


def _on_card(path: str | Path) -> Path | None:
    """Return STAGELOG.BIN of a mounted card: of its folder or drive letter, or of a disk, where
    one cannot be mapped.
    """
    folders = [str(path)]
    if is_disk(path) and not can_map_disks():
        drive = drive_of(path)
        folders += drive.mounts if drive is not None else ()
    files = (Path(f"{folder}/STAGELOG.BIN") for folder in folders)
    return next((file for file in files if os.path.isfile(file)), None)


def _whole(path: Path) -> Path:
    """Return the path of the whole disk that a drive letter or a disk names, any other as it is.

    Raises OutputError where it is no card; on Linux whoever names a built-in disk was asked.
    """
    if not is_disk(path) or can_map_disks():
        return path
    drive = drive_of(path)
    if drive is None or not drive.n_bytes:
        raise OutputError(f"{path} is not found", "'stagelog card prepare' lists the cards")
    if not drive.is_removable:
        raise OutputError(f"{drive.text}: only a card or a USB disk is prepared", "name another")
    return Path(drive.path)


def _check(path: Path, size_bytes: int | None, force: bool) -> tuple[int, int]:
    """Return (size in bytes, released_seq) if the path may be written, else raise."""
    if not is_disk(path) and not os.path.exists(path):
        if size_bytes is None:
            raise UsageError(f"{path} does not exist", "give the size of the image (--size)")
        return size_bytes, 1
    on_disk = is_disk(path)
    if on_disk and not can_map_disks():
        return _check_unmapped(path, force)
    if on_disk:
        refuse_in_use(path)
    elif not path.is_file():
        raise OutputError(f"{path} is neither a file nor a disk")
    elif not path.stat().st_size:
        return size_bytes or 0, 1
    buf = map_file(path)
    n_bytes = len(buf) if on_disk or size_bytes is None else size_bytes
    if find_signature(buf) is not None:
        return n_bytes, _released_seq(path, force)
    if on_disk:
        return n_bytes, _seq_after_remains(path, n_bytes, partial(_block_of, buf), force)
    if not force:
        raise OutputError(
            f"{path} exists and is not a stagelog card",
            "choose another name, or --force",
        )
    return n_bytes, 1


def _check_unmapped(path: Path, force: bool) -> tuple[int, int]:
    """Return what `_check` does of a disk that cannot be mapped: by its mounted STAGELOG.BIN, else
    by single blocks.
    """
    drive, on_card = drive_of(path), _on_card(path)
    n_bytes = drive.n_bytes if drive is not None else 0
    if on_card is not None:
        return n_bytes, _released_seq(on_card, force)
    try:
        with open(path, "rb", buffering=0) as file:
            block = partial(_read_block, file)
            places = range(0, min(N_SIGNATURE_PLACES * ALIGN_BYTES, n_bytes), ALIGN_BYTES)
            if any(signature_at(memoryview(block(at)), 0) for at in places):
                raise OutputError(
                    f"{path} is a logger's card and not mounted: it cannot be seen what is on it",
                    "take it out and put it in again, so that it is mounted",
                )
            return n_bytes, _seq_after_remains(path, n_bytes, block, force)
    except PermissionError:
        raise OutputError(f"{path}: no permission to read it", how_permitted()) from None


def _block_of(buf: memoryview, at: int) -> memoryview:
    return buf[at : at + BLOCK_BYTES]


def _read_block(file: IO[bytes], at: int) -> bytes:
    file.seek(at)
    return file.read(BLOCK_BYTES)


def _released_seq(path: Path, force: bool) -> int:
    """Return a number above those of all blocks on a card; OutputError if any is in use."""
    log = read_log(path)
    n_blocks = sum(session.n_blocks for session in log.sessions)
    if n_blocks and not force:
        raise OutputError(
            f"{path} holds {count_text(len(log.sessions), 'session')}, "
            f"{count_text(n_blocks, 'block')}, not released",
            "keep them with 'stagelog card read', or give --force to lose them",
        )
    everything = read_log(path, include_erased=True)
    return max([session.last_seq for session in everything.sessions], default=0) + 1


def _seq_after_remains(
    path: Path, n_bytes: int, block_at: Callable[[int], bytes | memoryview], force: bool
) -> int:
    """Return a number above those of blocks that a preparation, now gone, left on a disk.

    Checks the first places of the ring and then one in 64: what was written is one stretch
    from its beginning on, whose newest block is at most 64 numbers above one that is seen.
    """
    newest = 0
    plan = fat32.plan(n_bytes)
    first = extent_layout(plan.n_blocks).data_first
    for place in (*range(first, first + _SAMPLE), *range(0, plan.n_blocks, _SAMPLE)):
        at = plan.file_lba * SECTOR_BYTES + place * BLOCK_BYTES
        block = block_at(at)
        if is_good(block, 0):
            newest = max(newest, struct.unpack_from("<I", block, SEQ)[0])
    if newest and not force:
        raise OutputError(
            f"{path} has lost its signature but holds blocks up to number {newest:,}",
            "keep them with 'stagelog card read', or give --force to lose them",
        )
    return newest + _SAMPLE + 1 if newest else 1


def _opened(path: Path, size_bytes: int) -> IO[bytes]:
    """Open for writing; an image becomes an empty sparse file of its size."""
    if is_disk(path):
        return open_alone(path)
    file = open(path, "w+b")
    file.truncate(size_bytes)
    return file


@contextlib.contextmanager
def _whole_or_gone(path: Path) -> Iterator[None]:
    """Remove an image that is made in the body if the body fails; what was there before stays."""
    was_there = os.path.lexists(path)
    try:
        yield
    except BaseException:
        if not was_there:
            with contextlib.suppress(OSError):
                path.unlink()
        raise


def _write(file: IO[bytes], sector: int, content: bytes) -> None:
    file.seek(sector * SECTOR_BYTES)
    file.write(content)


def _wipe(file: IO[bytes], n_bytes: int) -> None:
    """Erase every signature that an older preparation left where the logger searches, then what
    else is at such places: as long as there is a signature, its file system is whole.
    """
    step = fat32.ALIGN * SECTOR_BYTES
    places = range(0, min(16 * step, n_bytes - BLOCK_BYTES + 1), step)
    for is_signature in (True, False):
        for at in places:
            file.seek(at)
            if file.read(SECTOR_BYTES).startswith(SIGNATURE_MAGIC) == is_signature:
                _write(file, at // SECTOR_BYTES, bytes(BLOCK_BYTES))
        _sync(file)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _put_extent(
    file: IO[bytes],
    path: Path,
    kind: str,
    place: tuple[int, int],
    extent_id: bytes,
    released_seq: int,
) -> Prepared:
    """Write release marks, then both signatures; `place` is (lba, n_blocks)."""
    lba, n_blocks = place
    layout = extent_layout(n_blocks)
    release = {
        "magic": RELEASE_MAGIC,
        "extent_id": extent_id,
        "generation": 1,
        "released_seq": released_seq,
        "position": layout.data_first,
    }
    signature = {
        "magic": SIGNATURE_MAGIC,
        "version": VERSION,
        "extent_id": extent_id,
        "lba": lba,
        "n_blocks": n_blocks,
        **layout._asdict(),
    }
    places = (
        (layout.release_a, b""),
        (layout.release_b, _checked(RELEASE, release) if released_seq > 1 else b""),
        (layout.copy, _checked(SIGNATURE, signature)),
        (0, _checked(SIGNATURE, signature)),
    )
    for at, content in places:
        _write(file, lba + at * _SECTORS_PER_BLOCK, content.ljust(BLOCK_BYTES, b"\0"))
        _sync(file)
    n_data = layout.data_end - layout.data_first
    return Prepared(path, kind, lba, n_blocks, n_data, extent_id, released_seq)


def _checked(table: object, values: Mapping[str, object]) -> bytes:
    """Return the bytes of a table whose last field is the CRC-32 of those before it."""
    packed = pack(table, values)
    return packed[:-4] + struct.pack("<I", zlib.crc32(packed[:-4]))
