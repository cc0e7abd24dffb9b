"""The one shape of every importer: a stream of frame tables with diagnostics that grow beside it.

Owns FrameStream, LogFrames, the joining of chunks, and the reading of text in whole lines with bounded memory.
Knows no format.
"""

import codecs
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stagelog.errors import InputError
from stagelog.importers.diagnostics import Diagnostics
from stagelog.model import FRAME, FRAME_FD

MAX_LINE_BYTES = 4096
MAX_BUSES = 256


@dataclass(slots=True)
class FrameStream:
    """A log that is being read: iterate once for frame tables, in the order of the log.

    Tables are FRAME, or FRAME_FD where a payload is longer than 8 bytes. `ifaces` and `diagnostics` are complete after
    the last table. Memory is bounded by one chunk of the log.
    """

    kind: str
    path: Path
    chunks: object
    diagnostics: Diagnostics
    ifaces: list[str] = field(default_factory=list)

    def __iter__(self):
        for chunk in self.chunks:
            self.diagnostics.n_frames += len(chunk)
            yield chunk


@dataclass(frozen=True, slots=True)
class LogFrames:
    """A whole log in memory.

    frames       FRAME or FRAME_FD, in the order of the log
    ifaces       name of each bus as the log spells it, indexed by `frames["bus"]`
    kind         "slog", "candump", "blf", "asc", "trc", "mf4", "savvycan"
    """

    frames: np.ndarray
    ifaces: tuple[str, ...]
    diagnostics: Diagnostics
    kind: str


def collect(stream):
    """Read a stream to its end and return LogFrames."""
    frames = join_frames(list(stream))
    return LogFrames(frames, tuple(stream.ifaces), stream.diagnostics, stream.kind)


def join_frames(tables):
    """Join frame tables, as FRAME_FD if any of them is."""
    tables = [t for t in tables if len(t)]
    if not tables:
        return np.empty(0, FRAME)
    if len(tables) == 1:
        return tables[0]
    dtype = FRAME_FD if any(t.dtype == FRAME_FD for t in tables) else FRAME
    joined = np.empty(sum(map(len, tables)), dtype)
    at = 0
    for table in tables:
        part = joined[at : at + len(table)]
        if table.dtype == dtype:
            part[:] = table
        else:
            widen_into(part, table)
        at += len(table)
    return joined


def widen_into(part, table):
    """Copy FRAME rows into FRAME_FD rows, payload zero beyond 8 bytes."""
    for name in table.dtype.names:
        if name != "data":
            part[name] = table[name]
    part["data"][:, :8] = table["data"]
    part["data"][:, 8:] = 0


def open_log(path):
    """Open a log for reading; raise InputError with the reason if that is impossible."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a log")
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def size_of(file):
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def _byte_chunks(path, n_bytes):
    """Yield the bytes of a text log in UTF-8 or ASCII; UTF-16 (a shell's redirect on Windows) and gzip are undone."""
    with open_log(path) as file:
        head = file.read(n_bytes)
        if head[:2] == b"\x1f\x8b":
            yield from _gunzip(head, file, n_bytes)
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


def _gunzip(head, file, n_bytes):
    """Yield what a gzip file holds, never more than `n_bytes` at a time; a torn end yields what came before it."""
    inflater = zlib.decompressobj(31)
    data = head
    while data:
        try:
            out = inflater.decompress(data, n_bytes)
        except zlib.error as error:
            raise InputError(f"{file.name}: damaged gzip stream, {error}") from None
        if out:
            yield out
        data = inflater.unconsumed_tail or file.read(1 << 16)
        if inflater.eof:
            return


def line_chunks(path, diagnostics, n_bytes=1 << 21):
    """Yield (number of the first line, bytes) with whole lines only, every one ended by a newline.

    A line longer than 4 KiB cannot be a frame: it is cut out, counted as damage, and never collected in memory.
    """
    line = 1
    rest = b""
    skipping = False
    for data in _byte_chunks(path, n_bytes):
        diagnostics.n_bytes += len(data)
        if skipping:
            at = data.find(b"\n")
            if at < 0:
                continue
            data = data[at + 1 :]
            line += 1
            skipping = False
        data = rest + data
        cut = data.rfind(b"\n") + 1
        block, rest = data[:cut], data[cut:]
        if block:
            yield line, block
            line += block.count(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            diagnostics.add("line too long", f"line {line}", "no newline within 4 KiB; skipped")
            rest, skipping = b"", True
    if rest:
        diagnostics.note("the last line has no end; it is read as it stands")
        yield line, rest + b"\n"


class BusNames:
    """Maps interface names to bus numbers in the order of their first frame."""

    def __init__(self, names):
        self.names = names
        self._index = {name: k for k, name in enumerate(names)}

    def index(self, name):
        """Return the bus number of a name, or None when 256 are taken."""
        bus = self._index.get(name)
        if bus is None and len(self.names) < MAX_BUSES:
            bus = self._index[name] = len(self.names)
            self.names.append(name)
        return bus
