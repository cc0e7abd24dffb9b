"""A log that comes through a pipe or is compressed, as a file that can be read from any place and
more than once.

    real_path("-")            standard input; so does "/dev/stdin"
    real_path("/dev/fd/63")   what a shell makes of <(command)
    real_path("x.log.zst")    what it holds; so do .xz and a .gz of anything but text
    real_path("x.log")        x.log: files, folders and drives stay what they are

Every reader asks here before it opens a path. A pipe can be read once only, so all of it goes to a
temporary file, which is removed when the process ends; whoever names the pipe again gets the same
file. Compressed text stays as it is: its reader unpacks it as it goes on, up to the place where it
is torn. Fails with InputError if it cannot be read, OutputError if it cannot be kept.
"""

import codecs
import contextlib
import gzip
import lzma
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stagelog.errors import InputError, OutputError, StagelogError

MAX_EXPANSION = 1000  # times: a log of frames compresses 5 to 50 times
_HEAD_BYTES, _BEGIN_BYTES = 1 << 16, 1 << 12
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
        plain = Path("/dev/stdin") if str(path) == "-" else Path(str(path))
        return unpacked_path(plain, path)
    if identity not in _kept:
        _kept[identity] = unpacked_path(_keep(path), path)
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


def unpacked_path(path: Path, name: object) -> Path:
    """Return `path`, or the path of a copy of what it holds, if it is compressed.

    name  what the user calls it
    """
    try:
        if not path.is_file():
            return path
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            found = os.fstat(file.fileno())
            pieces = _unpacker(head)
            if pieces is None:
                return path
            identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if identity not in _kept:
                file.seek(0)
                most = max(MAX_EXPANSION * found.st_size, 1 << 26)
                _kept[identity] = _unpack(pieces(file), name, most)
            return _kept[identity]
    except OSError:
        return path  # who opens it reports it


def _unpacker(head: bytes) -> Callable[[BinaryIO], Iterator[bytes]] | None:
    """Return what unpacks a file that begins with `head`, None for one to be read as it is."""
    if head.startswith(b"\xfd7zXZ\0"):
        return lambda file: _pieces(lzma.open(file))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd_pieces
    if head.startswith(b"\x1f\x8b"):
        begin = b""
        with contextlib.suppress(zlib.error):
            begin = zlib.decompressobj(31).decompress(head, _BEGIN_BYTES)
        is_text = b"\0" not in begin or begin[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        return None if is_text else lambda file: _pieces(gzip.open(file))
    return None


def _pieces(source: Any) -> Iterator[bytes]:
    with source:
        while piece := source.read(1 << 20):
            yield piece


def _zstd_pieces(file: BinaryIO) -> Iterator[bytes]:
    import zstandard

    inflater = None  # one for each of the frames that a file may have
    while data := file.read(1 << 12):
        while data:
            inflater = inflater or zstandard.ZstdDecompressor().decompressobj()
            yield inflater.decompress(data)
            data = inflater.unused_data
            inflater = None if inflater.eof else inflater
    if inflater is not None:
        raise EOFError("it has no end")


def _unpack(pieces: Iterable[bytes], name: object, most: int) -> Path:
    """Return the path of a copy of all that a compressed file holds; InputError if it is torn."""
    copy = _new_copy()
    n_bytes = 0
    try:
        with open(copy, "wb") as file:
            for piece in pieces:
                n_bytes += len(piece)
                if n_bytes > most:
                    raise InputError(f"{name} expands to more than {most:,} bytes", "unpack it")
                _write(file, piece, name)
    except StagelogError:
        raise
    except Exception as error:  # each library has errors of its own
        raise InputError(
            f"{name}: the compressed file is torn or damaged after {n_bytes:,} bytes: {error}",
            "unpack what can be read, then name that",
        ) from None
    return copy


def _new_copy() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="stagelog-")
    _folders.append(folder)  # removed with it, at the end of the process
    return Path(folder.name) / "pipe"


def _write(file: BinaryIO, piece: bytes, name: object) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise OutputError(
            f"cannot keep what {name} holds in {os.path.dirname(file.name)}: {error.strerror}",
            "set TMPDIR to a folder with room, or unpack it first",
        ) from error


def _keep(path: object) -> Path:
    copy = _new_copy()
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
                f"cannot keep what comes through {path} in {copy.parent}: {error.strerror}",
                "set TMPDIR to a folder with room, or write it to a file first",
            ) from error
    return copy
