"""Files that appear whole or not at all, and folders that one process changes at a time."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from stagelog.errors import OutputError


@contextlib.contextmanager
def writing(what: object) -> Iterator[None]:
    """Turn an OSError in the body into an OutputError that names `what`."""
    try:
        yield
    except OSError as error:
        hint = None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space and repeat the command: what is there is kept"
        raise OutputError(f"{what}: {error.strerror or error}", hint) from error


def write_atomic(path: str | Path, content: bytes) -> None:
    """Write bytes to `path` by way of a temporary file; they are on the disk on return."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


def sync_folder(folder: str | Path) -> None:
    """Flush the renames in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked_folder(folder: str | Path) -> Iterator[None]:
    """Lock a folder: no other process is in this block for the same folder meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
