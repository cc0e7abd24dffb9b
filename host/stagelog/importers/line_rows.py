"""The lines of one chunk of a text log as columns, a row per line, whatever the format.

Owns the columns and what becomes of them. A reader computes whole columns for its candidate lines,
judges them once and puts them here; a line that fits no reader keeps `ok` False.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.importers.columns import Bytes, Mask, Rows
from stagelog.model import FD_LENGTHS, FRAME, FRAME_FD, FrameTable

FRONT, BACK = 64, 256  # padding, so that every window lies inside the text
DLC_OF_LENGTH = np.searchsorted(FD_LENGTHS, np.arange(65)).astype(np.uint8)
_COLUMNS = ("t_us", "can_id", "bus", "flags", "dlc", "n_bytes")


class Lines:
    """Columns of one chunk; a row counts once its `ok` is set. Empty lines have no row."""

    def __init__(self, block: bytes) -> None:
        self.text = text = np.frombuffer(bytes(FRONT) + block + bytes(BACK), np.uint8)
        newlines = np.flatnonzero(text == 10)
        starts = np.empty_like(newlines)
        starts[0] = FRONT
        np.add(newlines[:-1], 1, out=starts[1:])
        ends = newlines - (text[newlines - 1] == 13) if b"\r" in block else newlines
        self.n_lines = len(newlines)
        self.number = np.flatnonzero(ends > starts)  # position of the row's line in the chunk
        self.starts, self.ends = starts[self.number], ends[self.number]
        n = len(self.number)
        self.ok = np.zeros(n, bool)
        self.t_us = np.zeros(n, np.int64)
        self.can_id = np.zeros(n, np.uint32)
        self.flags = np.zeros(n, np.uint8)
        self.n_bytes = np.zeros(n, np.uint8)
        self.dlc = np.zeros(n, np.uint8)
        self.bus = np.zeros(n, np.uint8)
        self.data = np.zeros(n, np.uint64)
        self.data_fd: dict[int, Bytes] = {}  # row -> 64 bytes, where a payload is longer than 8

    def line(self, row: int) -> bytes:
        """Return the text of a row."""
        return self.text[self.starts[row] : self.ends[row]].tobytes()

    def put(self, rows: Rows, good: Mask, **columns: NDArray[Any]) -> None:
        """Store columns of candidate rows where `good`, and mark those rows."""
        if len(rows) == len(self.ok) and good.all():
            for name, values in columns.items():
                getattr(self, name)[:] = values
            self.ok[:] = True
            return
        kept = rows[good]
        for name, values in columns.items():
            getattr(self, name)[kept] = values[good] if np.ndim(values) else values
        self.ok[kept] = True

    def put_payloads(
        self, rows: Rows, good: Mask, data: Bytes, n_bytes: NDArray[np.int64]
    ) -> None:
        """Keep the payloads that are longer than 8 bytes; `data` has 64 per row."""
        long = np.flatnonzero(good & (n_bytes > 8))
        self.data_fd.update(zip(rows[long].tolist(), data[long], strict=True))

    def put_frames(self, rows: Rows, frames: FrameTable) -> None:
        """Store frames that were read one by one."""
        first8 = np.ascontiguousarray(frames["data"][:, :8]).view(np.uint64)[:, 0]
        good = np.ones(len(rows), bool)
        self.put(rows, good, data=first8, **{name: frames[name] for name in _COLUMNS})
        if frames.dtype == FRAME_FD:
            self.put_payloads(rows, good, frames["data"], frames["n_bytes"])

    def table(self) -> FrameTable:
        """Return the rows that are ok as a frame table."""
        keep = slice(None) if self.ok.all() else np.flatnonzero(self.ok)
        data = self.data[keep]
        frames = np.zeros(len(data), FRAME_FD if self.data_fd else FRAME)
        for name in _COLUMNS:
            frames[name] = getattr(self, name)[keep]
        frames["data"][:, :8] = data.view(np.uint8).reshape(-1, 8)
        if self.data_fd:
            row_of = np.cumsum(self.ok) - 1
            frames["data"][row_of[list(self.data_fd)]] = np.stack(list(self.data_fd.values()))
        return frames
