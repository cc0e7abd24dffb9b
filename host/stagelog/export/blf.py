"""Writes frames as BLF: objects of all frames of a chunk at once, in zlib containers of 128 KiB.

Owns the writing; the layouts are drawn in importers/blf.py. Times are kept to the microsecond; the
start time is that of the first frame, UTC, or none if the log has no wall clock; a frame before it
is left out and counted. Fails with OutputError.
"""

import datetime
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.export.files import FrameSink, writing
from stagelog.model import BRS, ERR, ESI, EXT, FD, RTR, FrameTable

CONTAINER_BYTES = 128 << 10
_LEVEL = 3
_HEAD: list[Any] = [
    ("mark", "S4"),
    ("n_head", "<u2"),
    ("version", "<u2"),
    ("n", "<u4"),
    ("type", "<u4"),
    ("time_flags", "<u4"),
    ("client", "<u2"),
    ("object_version", "<u2"),
    ("t_ns", "<u8"),
]
_CAN = np.dtype(
    [*_HEAD, ("channel", "<u2"), ("flags", "u1"), ("dlc", "u1"), ("id", "<u4"), ("data", "u1", 8)]
)
_CAN_FD = np.dtype(
    [
        *_HEAD,
        ("channel", "<u2"),
        ("flags", "u1"),
        ("dlc", "u1"),
        ("id", "<u4"),
        ("n_ns", "<u4"),
        ("n_bits", "u1"),
        ("fd", "u1"),
        ("n_bytes", "u1"),
        ("unused", "u1", 5),
        ("data", "u1", 64),
    ]
)
_ERROR = np.dtype(
    [
        *_HEAD,
        ("channel", "<u2"),
        ("unused", "u1", 8),
        ("dlc", "u1"),
        ("unused2", "u1", 5),
        ("id", "<u4"),
        ("unused3", "u1", 4),
        ("data", "u1", 8),
    ]
)


class BlfSink(FrameSink):
    """Writes frame table after frame table into one file."""

    def __init__(self, path: str | Path, *, from_epoch: bool, overwrite: bool = False) -> None:
        super().__init__(overwrite)
        self._from_epoch = from_epoch
        self._path = Path(path)
        self._buffer = bytearray()
        self._start_us: int | None = None
        self._last_us = 0
        self._n_objects = 0
        self._n_inflated = 144
        part = self.new(self._path)
        with writing(self._path):
            self._file = open(part, "wb")
            self._file.write(bytes(144))

    def write(self, frames: FrameTable) -> None:
        """Add the frames of one table."""
        if not len(frames):
            return
        if self._start_us is None:
            first_us = int(frames["t_us"][0])
            self._start_us = first_us // 1000 * 1000 if self._from_epoch else 0
        frames = self.not_before(frames, self._start_us)
        if not len(frames):
            return
        self._last_us = int(frames["t_us"][-1])
        self._n_objects += len(frames)
        self._buffer += objects_of(frames, self._start_us)
        while len(self._buffer) >= CONTAINER_BYTES:
            self._write_container(CONTAINER_BYTES)

    def _write_container(self, n: int) -> None:
        piece = bytes(self._buffer[:n])
        del self._buffer[:n]
        data = zlib.compress(piece, _LEVEL)
        head = struct.pack("<4sHHLLH6xL4x", b"LOBJ", 16, 1, 32 + len(data), 10, 2, len(piece))
        with writing(self._path):
            self._file.write(head + data + bytes(len(data) % 4))
        self._n_inflated += 32 + len(piece)

    def finish(self) -> None:
        """Write what is left and the header."""
        if self._buffer:
            self._write_container(len(self._buffer))
        n_file = self._file.tell()
        head = struct.pack("<4sLBBBBBBBB", b"LOGG", 144, 0, 0, 0, 0, 2, 6, 8, 1)
        head += struct.pack("<QQLL", n_file, self._n_inflated, self._n_objects, 0)
        for t_us in (self._start_us or 0, self._last_us):
            head += _system_time(t_us) if self._from_epoch else bytes(16)
        self._file.seek(0)
        self._file.write(head)
        self._file.close()

    def release(self) -> None:
        """Close the file."""
        self._file.close()


def _system_time(t_us: int) -> bytes:
    """Return a SYSTEMTIME in UTC."""
    t = datetime.datetime.fromtimestamp(t_us // 1000 / 1000, datetime.UTC)
    ms = t_us // 1000 % 1000
    day = (t.isoweekday() % 7, t.day)
    return struct.pack("<8H", t.year, t.month, *day, t.hour, t.minute, t.second, ms)


def objects_of(frames: FrameTable, start_us: int) -> bytes:
    """Return the BLF objects of a frame table in its order."""
    flags = frames["flags"]
    is_error, is_fd = (flags & ERR) != 0, (flags & FD) != 0
    is_can = ~(is_error | is_fd)
    if is_can.all():
        return _can(frames, start_us).tobytes()
    sizes = np.where(is_error, _ERROR.itemsize, np.where(is_fd, _CAN_FD.itemsize, _CAN.itemsize))
    ends = np.cumsum(sizes)
    text = np.zeros(int(ends[-1]), np.uint8)
    for rows, make in ((is_can, _can), (is_fd & ~is_error, _fd), (is_error, _error)):
        if rows.any():
            objects = make(frames[rows], start_us)
            at = (ends - sizes)[rows]
            size = objects.dtype.itemsize
            text[at[:, None] + np.arange(size)] = objects.view(np.uint8).reshape(-1, size)
    return text.tobytes()


def _new(frames: FrameTable, dtype: np.dtype[Any], kind: int, start_us: int) -> NDArray[Any]:
    objects = np.zeros(len(frames), dtype)
    objects["mark"], objects["n_head"], objects["version"] = b"LOBJ", 32, 1
    objects["n"], objects["type"], objects["time_flags"] = dtype.itemsize, kind, 2
    objects["t_ns"] = (frames["t_us"] - start_us) * 1000
    objects["channel"] = frames["bus"].astype(np.uint16) + 1
    is_ext = (frames["flags"] & EXT) != 0
    objects["id"] = frames["can_id"] | np.where(is_ext, np.uint32(1 << 31), np.uint32(0))
    objects["dlc"] = frames["dlc"]
    width = min(objects["data"].shape[1], frames["data"].shape[1])
    objects["data"][:, :width] = frames["data"][:, :width]
    return objects


def _can(frames: FrameTable, start_us: int) -> NDArray[Any]:
    objects = _new(frames, _CAN, 1, start_us)
    objects["flags"] = np.where(frames["flags"] & RTR, 0x80, 0)
    return objects


def _fd(frames: FrameTable, start_us: int) -> NDArray[Any]:
    objects = _new(frames, _CAN_FD, 100, start_us)
    flags = frames["flags"]
    objects["fd"] = 1 | ((flags & BRS) != 0) * 2 | ((flags & ESI) != 0) * 4
    objects["n_bytes"] = frames["n_bytes"]
    return objects


def _error(frames: FrameTable, start_us: int) -> NDArray[Any]:
    return _new(frames, _ERROR, 73, start_us)
