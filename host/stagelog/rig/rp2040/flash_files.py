"""The file system in a board's flash image, read and written from the host in no emulated time.

The format is the one that MicroPython's rp2 port mounts (littlefs 2.1, 1408 KiB at 0xA0000 of a
Pico). Only for a board that doesn't run. Fails with UsageError where littlefs-python is missing,
and with InputError if a file system can't be mounted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stagelog.errors import InputError
from stagelog.extras import need

if TYPE_CHECKING:
    from littlefs import LittleFS, UserContext

START = 0xA0000
BLOCK_BYTES = 4096
N_BLOCKS = 352


def write_files(flash: bytearray, files: Mapping[str, bytes | None], fresh: bool = False) -> None:
    """Put files into a flash image, folders made as needed.

    flash  bytearray of the whole flash, changed in place
    files  {path: bytes}; None as content removes the file
    fresh  format first; so does a flash that holds no file system yet
    """
    context, lfs = _open(flash, fresh or not _is_formatted(flash))
    for path, content in files.items():
        folder = path.rpartition("/")[0]
        if content is None:
            lfs.remove(path)
            continue
        if folder:
            lfs.makedirs(folder, exist_ok=True)
        with lfs.open(path, "wb") as file:
            file.write(content)
    lfs.unmount()
    flash[START : START + len(context.buffer)] = context.buffer


def read_files(flash: bytearray) -> dict[str, bytes]:
    """Return {path: bytes} of all files in a flash image; paths have no leading slash."""
    _, lfs = _open(flash, False)
    found = {}
    for folder, _, names in lfs.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with lfs.open(path, "rb") as file:
                found[path.lstrip("/")] = file.read()
    lfs.unmount()
    return found


def _is_formatted(flash: bytearray) -> bool:
    return b"littlefs" in flash[START : START + 2 * BLOCK_BYTES]


def _open(flash: bytearray, is_fresh: bool) -> tuple[UserContext, LittleFS]:
    need("littlefs", "rig")
    from littlefs import LittleFS, LittleFSError, UserContext

    context = UserContext(BLOCK_BYTES * N_BLOCKS)
    if not is_fresh:
        context.buffer[:] = flash[START : START + BLOCK_BYTES * N_BLOCKS]
    lfs = LittleFS(
        context=context,
        mount=False,
        block_size=BLOCK_BYTES,
        block_count=N_BLOCKS,
        read_size=32,
        prog_size=256,
        cache_size=1024,
        lookahead_size=32,
    )
    if is_fresh:
        lfs.format()
    try:
        lfs.mount()
    except LittleFSError as error:
        raise InputError(
            f"the board's flash holds no file system that can be mounted ({error})",
            hint="write it with fresh=True",
        ) from error
    return context, lfs
