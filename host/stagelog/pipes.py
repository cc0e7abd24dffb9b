"""A log that comes through a pipe, as a file that can be read from any place and more than once.

    real_path("-")            standard input; so does "/dev/stdin"
    real_path("/dev/fd/63")   what a shell makes of <(command)
    real_path("x.log")        x.log: files, folders and drives stay what they are

Every reader asks here before it opens a path. A pipe can be read once only, so all of it goes to a
temporary file, which is removed when the process ends; whoever names the pipe again gets the same
file. Fails with InputError if it cannot be read, OutputError if it cannot be kept.
"""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from stagelog.errors import InputError, OutputError

STDIN = ("-", "/dev/stdin")
_kept: dict[object, Path] = {}
_folders: list[tempfile.TemporaryDirectory[str]] = []


def is_pipe(path: object) -> bool:
    """Return whether a path names a pipe, a socket or a terminal."""
    return _identity(path) is not None


def real_path(path: object) -> Path:
    """Return the path of a file with the content of `path`: itself, or the copy of a pipe."""
    identity = _identity(path)
    if identity is None:
        return Path("/dev/stdin") if str(path) == "-" else Path(str(path))
    if identity not in _kept:
        _kept[identity] = _keep(path)
    return _kept[identity]


def _identity(path: object) -> object:
    """Return what distinguishes a pipe from any other, None for a path that is none."""
    is_stdin = str(path) in STDIN
    try:
        found = os.fstat(0) if is_stdin else os.stat(str(path))
    except OSError:
        return "closed" if is_stdin else None  # who opens it reports it
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode):
        return found.st_dev, found.st_ino
    if is_stdin and (stat.S_ISCHR(found.st_mode) or not Path("/dev/stdin").exists()):
        return "standard input"
    return None


def _keep(path: object) -> Path:
    folder = tempfile.TemporaryDirectory(prefix="stagelog-")
    _folders.append(folder)  # removed with it, at the end of the process
    copy = Path(folder.name) / "pipe"
    try:
        source = open(0 if str(path) in STDIN else str(path), "rb", closefd=str(path) not in STDIN)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    with source:
        try:
            with open(copy, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
        except OSError as error:
            raise OutputError(
                f"cannot keep what comes through {path} in {folder.name}: {error.strerror}",
                "set TMPDIR to a folder with room, or write it to a file first",
            ) from error
    return copy
