"""Renames, locks and flushes that mean the same on every system, and files that appear whole or
not at all.

`write_atomic` raises OutputError; all others raise OSError, of which `writing` makes one.
"""

import contextlib
import errno
import mmap
import os
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from stagelog.errors import OutputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOCK_NAME = ".stagelog.lock"
_NAME_BYTES = 255  # on all file systems in use
_CUT = 40  # characters of up to 4 bytes
_REPLACE_TRIES = 20
_REPLACE_WAIT_s = 0.05


def is_full(error: OSError) -> bool:
    """Return whether the disk, the quota or the largest size of a file is used up."""
    return error.errno in _FULL


def replace(source: str | Path, target: str | Path) -> None:
    """Give `source` the name `target`, at once, also if a file of this name exists.

    On Windows a virus scanner or an indexer may hold either file for a moment: tries for a second.
    """
    for n_left in reversed(range(_REPLACE_TRIES)):
        try:
            return os.replace(source, target)
        except PermissionError:
            if os.name != "nt" or not n_left:
                raise
            time.sleep(_REPLACE_WAIT_s)


def beside(path: str | Path, suffix: str) -> Path:
    """Return the path of a hidden file for the time in which `path` is written.

    Its name is that of `path`, cut if the system allows the name but not the longer one.
    """
    path = Path(path)
    raw = os.fsencode(path.name)
    if len(raw) <= _NAME_BYTES < len(raw) + 1 + len(suffix):
        return path.with_name(f".{path.name[:_CUT]}-{zlib.crc32(raw):08x}{suffix}")
    return path.with_name(f".{path.name}{suffix}")


def sync_folder(folder: str | Path) -> None:
    """Flush the renames in a folder to the disk; NTFS does so by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(what: object) -> Iterator[None]:
    """Turn an OSError in the body into an OutputError that names `what`."""
    try:
        yield
    except OSError as error:
        hint = None
        if is_full(error):
            hint = "free some space and repeat the command: what is there is kept"
        raise OutputError(f"{what}: {error.strerror or error}", hint) from error


def write_atomic(path: str | Path, content: bytes) -> None:
    """Write bytes to `path` by way of a temporary file; they are on the disk on return."""
    path = Path(path)
    temporary = beside(path, ".tmp")
    with writing(path):
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def lock_file(handle: int) -> bool:
    """Lock an open file for this process until it is closed; False if another one has it."""
    from filelock import lock_descriptor

    return lock_descriptor(handle, blocking=False)


@contextlib.contextmanager
def locked_folder(folder: str | Path) -> Iterator[None]:
    """Lock a folder: no other process is in this block for the same folder meanwhile.

    Windows cannot open a folder: there a small file in it is locked.
    """
    from filelock import lock_descriptor

    if os.name == "nt":
        handle = os.open(Path(folder) / _LOCK_NAME, os.O_RDWR | os.O_CREAT)
    else:
        handle = os.open(folder, os.O_RDONLY)
    try:
        lock_descriptor(handle)
        yield
    finally:
        os.close(handle)


def user_folder() -> Path:
    """Return a folder for what running programs of this user leave to each other; not made."""
    if os.name == "nt":
        return Path(tempfile.gettempdir()) / "stagelog"
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base or f"/tmp/stagelog-{os.getuid()}")


def cache_folder() -> Path:
    """Return a folder for what this user's programs can make again; not made."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()) / "stagelog"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stagelog"


def config_folder() -> Path:
    """Return a folder for what this user chose, and for keys; not made."""
    if os.name == "nt":
        return Path(os.environ.get("APPDATA") or Path.home()) / "stagelog"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "stagelog"


def advise(mapped: mmap.mmap, advice: str) -> None:
    """Give the system a hint on how a mapped file is read ("MADV_RANDOM"), where it takes any."""
    if hasattr(mapped, "madvise") and hasattr(mmap, advice):
        mapped.madvise(getattr(mmap, advice))
