"""The common form of every importer: a stream of frame tables, and diagnostics that grow with it.

Owns FrameStream, LogFrames, the joining of chunks, and the reading of text in whole lines with
bounded memory. Knows no format.
"""

import codecs
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import InputError
from stagelog.importers.diagnostics import Diagnostics
from stagelog.model import ERR, EXT, FD, FD_LENGTHS, FRAME, FRAME_FD, RTR, FrameTable
from stagelog.pipes import real_path

MAX_LINE_BYTES = 4096
MAX_BUSES = 256
MAX_EXPANSION = 200  # a text log compresses 5 to 50 times; 64 MB are always allowed


@dataclass(slots=True)
class FrameStream:
    """A log that is being read: iterate once for frame tables, in the order of the log.

    Tables are FRAME, or FRAME_FD where a payload is longer than 8 bytes. `ifaces` and
    `diagnostics` are complete after the last table. Memory is bounded by one chunk of the log.
    A frame that CAN cannot carry is damage, whatever the log says, and never handed out.
    """

    kind: str
    path: Path
    chunks: Iterable[FrameTable]
    diagnostics: Diagnostics
    ifaces: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[FrameTable]:
        n_read = 0
        for chunk in self.chunks:
            is_wrong = impossible(chunk)
            n_wrong = int(np.count_nonzero(is_wrong))
            if n_wrong:
                k = int(np.argmax(is_wrong))
                self.diagnostics.add(
                    "impossible frame", f"frame {n_read + k + 1}", _frame_text(chunk[k]), n_wrong
                )
            n_read += len(chunk)
            chunk = chunk[~is_wrong] if n_wrong else chunk
            self.diagnostics.n_frames += len(chunk)
            if len(chunk):
                yield chunk


def impossible(frames: FrameTable) -> NDArray[np.bool_]:
    """Return True per frame that CAN does not have: an 11-bit identifier above 7FF, a length that
    is none, or one that its DLC contradicts. Error frames are not judged.
    """
    flags, dlc = np.ascontiguousarray(frames["flags"]), np.ascontiguousarray(frames["dlc"])
    seen = int(np.bitwise_or.reduce(flags)) if len(flags) else 0
    wanted = np.minimum(dlc, 8)
    if seen & FD:
        wanted = np.where(flags & FD, FD_LENGTHS[np.minimum(dlc, 15)], wanted)
    is_wrong = (frames["n_bytes"] != wanted) | (dlc > 15)
    if seen & (RTR | ERR):
        is_wrong &= (flags & (RTR | ERR)) == 0
    is_long = frames["can_id"] > 0x7FF
    return is_wrong | (is_long & ((flags & (EXT | ERR)) == 0))


def _frame_text(frame: np.void) -> str:
    return f"identifier {frame['can_id']:X}, DLC {frame['dlc']}, {frame['n_bytes']} bytes"


@dataclass(frozen=True, slots=True)
class LogFrames:
    """A whole log in memory.

    frames       FRAME or FRAME_FD, in the order of the log
    ifaces       name of each bus as the log spells it, by `frames["bus"]`; "" if not in use
    kind         "slog", "candump", "blf", "asc", "trc", "mf4", "savvycan", "can_csv", "can_sqlite"
    """

    frames: FrameTable
    ifaces: tuple[str, ...]
    diagnostics: Diagnostics
    kind: str


def collect(stream: FrameStream) -> LogFrames:
    """Read a stream to its end and return LogFrames.

    The table is allocated once, from the share of the file that the first chunk took; untouched
    room costs nothing.
    """
    table: FrameTable = np.empty(0, FRAME)
    n = 0
    n_file = stream.path.stat().st_size if stream.path.is_file() else 0
    for chunk in stream:
        if n + len(chunk) > len(table) or chunk.dtype.itemsize > table.dtype.itemsize:
            n_read = stream.diagnostics.n_bytes or n_file
            share = min(1.0, n_read / max(n_file, 1)) or 1.0
            room = max(int((n + len(chunk)) / share * 1.1), n + n // 2 + len(chunk))
            table = _moved(
                table[:n], room, max(table.dtype, chunk.dtype, key=lambda d: d.itemsize)
            )
        copy_frames(table[n : n + len(chunk)], chunk)
        n += len(chunk)
    return LogFrames(table[:n], tuple(stream.ifaces), stream.diagnostics, stream.kind)


def _moved(table: FrameTable, room: int, dtype: np.dtype[Any]) -> FrameTable:
    larger = np.empty(room, dtype)
    copy_frames(larger[: len(table)], table)
    return larger


class FrameRow(NamedTuple):
    """One frame as a reader of rows finds it; `length` is that of the frame, in bytes."""

    t_us: int
    can_id: int
    flags: int
    bus: int
    length: int
    data: bytes


def table_of(rows: list[FrameRow]) -> FrameTable:
    """Return rows as a frame table, FRAME_FD if one has more than 8 bytes."""
    lengths = np.array([len(row.data) for row in rows], np.uint8)
    width = 64 if lengths.max() > 8 else 8
    frames = np.zeros(len(rows), FRAME_FD if width == 64 else FRAME)
    for name in ("t_us", "can_id", "flags", "bus"):
        frames[name] = [getattr(row, name) for row in rows]
    frames["dlc"] = np.searchsorted(FD_LENGTHS, [row.length for row in rows])
    frames["n_bytes"] = lengths
    data = b"".join(row.data.ljust(width, b"\0") for row in rows)
    frames["data"] = np.frombuffer(data, np.uint8).reshape(-1, width)
    return frames


def join_frames(tables: Iterable[FrameTable]) -> FrameTable:
    """Join frame tables, as FRAME_FD if any of them is."""
    tables = [t for t in tables if len(t)]
    if len(tables) == 1:
        return tables[0]
    dtype = FRAME_FD if any(t.dtype == FRAME_FD for t in tables) else FRAME
    joined = np.empty(sum(map(len, tables)), dtype)
    at = 0
    for table in tables:
        copy_frames(joined[at : at + len(table)], table)
        at += len(table)
    return joined


def copy_frames(part: FrameTable, table: FrameTable) -> None:
    """Copy rows into a table of the same length.

    FRAME rows fit into FRAME_FD rows, payload zero beyond 8 bytes.
    """
    if part.dtype == table.dtype:
        part[:] = table
        return
    for name in table.dtype.names or ():
        if name != "data":
            part[name] = table[name]
    part["data"][:, :8] = table["data"]
    part["data"][:, 8:] = 0


def open_log(path: str | Path) -> BinaryIO:
    """Open a log for reading; raise InputError with the reason if that is impossible."""
    real = real_path(path)
    try:
        if real.is_dir():
            raise InputError(f"{path} is a folder, not a log")
        return open(real, "rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def _byte_chunks(path: str | Path, diagnostics: Diagnostics, n_bytes: int) -> Iterator[bytes]:
    """Yield the bytes of a text log in UTF-8 or ASCII.

    UTF-16 (a shell's redirect on Windows) and gzip are undone.
    """
    with open_log(path) as file:
        n_file = max(1, size_of(file))
        for data in _unpacked_chunks(file, diagnostics, n_bytes):
            diagnostics.share = file.tell() / n_file
            yield data


def _unpacked_chunks(file: BinaryIO, diagnostics: Diagnostics, n_bytes: int) -> Iterator[bytes]:
    head = file.read(n_bytes)
    if head[:2] == b"\x1f\x8b":
        yield from _gunzip(head, file, diagnostics, n_bytes)
        return
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
        while head:
            yield decoder.decode(head).encode("utf-8", "replace")
            head = file.read(n_bytes)
        return
    if head[:3] == codecs.BOM_UTF8:
        head = head[3:] or file.read(n_bytes)
    while head:
        yield head
        head = file.read(n_bytes)


def _gunzip(
    head: bytes, file: BinaryIO, diagnostics: Diagnostics, n_bytes: int
) -> Iterator[bytes]:
    """Yield what a gzip file holds, never more than `n_bytes` at a time.

    It may hold several streams, one after the other, with zeros behind the last (RFC 1952). A torn
    end yields what came before it.
    """
    inflater = zlib.decompressobj(31)
    data = head
    n_left = max(MAX_EXPANSION * size_of(file), 1 << 26)
    while data and n_left > 0:
        try:
            out = inflater.decompress(data, n_bytes)
        except zlib.error as error:
            diagnostics.add("damaged gzip stream", f"byte {file.tell()}", str(error))
            return
        if out:
            n_left -= len(out)
            yield out
        if inflater.eof:
            data = inflater.unused_data.lstrip(b"\0")
            while not data and (more := file.read(1 << 16)):
                data = more.lstrip(b"\0")
            if not data:
                return
            inflater = zlib.decompressobj(31)
        else:
            data = inflater.unconsumed_tail or file.read(1 << 16)
    if n_left <= 0:
        diagnostics.add(
            "expands too far", f"byte {file.tell()}", f"more than {MAX_EXPANSION}:1; stopped"
        )
    else:
        diagnostics.add("truncated", f"byte {file.tell()}", "the gzip stream has no end")


def line_chunks(
    path: str | Path, diagnostics: Diagnostics, n_bytes: int = 1 << 19
) -> Iterator[tuple[int, bytes]]:
    """Yield (number of lines cut out before, bytes) with whole lines only, every one ended by a
    newline.

    A line longer than 4 KiB cannot be a frame: it is cut out, counted as damage, and never
    collected in memory.
    """
    rest = b""
    n_cut = 0
    skipping = False
    for data in _byte_chunks(path, diagnostics, n_bytes):
        diagnostics.n_bytes += len(data)
        if skipping:
            at = data.find(b"\n")
            if at < 0:
                continue
            data = data[at + 1 :]
            skipping = False
        cut = data.rfind(b"\n") + 1
        if cut:
            yield n_cut, rest + data[:cut]
            rest, n_cut = data[cut:], 0
        else:
            rest += data
        if len(rest) > MAX_LINE_BYTES:
            diagnostics.add(
                "line too long",
                f"byte {diagnostics.n_bytes - len(rest)}",
                "no newline in 4 KiB; skipped",
            )
            rest, skipping, n_cut = b"", True, n_cut + 1
    if rest:
        diagnostics.note("the last line has no newline; it is read as it is")
        yield n_cut, rest + b"\n"


class BusNames:
    """Maps interface names to bus numbers: can2 is bus 2 if that is free, others take the first
    free.

    `names` is indexed by bus number and grows with it; "" stands where a number is not in use.
    """

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self._index: dict[str, int] = {}

    def index(self, name: str) -> int | None:
        """Return the bus number of a name, or None when 256 are taken."""
        bus = self._index.get(name)
        if bus is None and len(self._index) < MAX_BUSES:
            bus = self._free_number(name)
            self.names.extend([""] * (bus + 1 - len(self.names)))
            self.names[bus] = name
            self._index[name] = bus
        return bus

    def _free_number(self, name: str) -> int:
        taken = set(self._index.values())
        number = re.fullmatch(r"\D*(\d{1,3})", name)
        if number and int(number[1]) < MAX_BUSES and int(number[1]) not in taken:
            return int(number[1])
        return next(k for k in range(MAX_BUSES) if k not in taken)
