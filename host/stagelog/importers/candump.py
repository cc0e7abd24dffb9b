"""Reads candump text: log format, table format, every time stamp, classic and FD, remote and error
frames.

Owns the grammar below. Lines of the two usual shapes are read as columns; any other line is read
by itself, or counted as damage with its number. Never raises for what a line holds.

    (1631416514.717133) can0 0D2#0000FFFF10000000      log: time, interface, 3 or 8 hex digits
    (1631416514.717133) can0 12345678#R4               remote request for 4 bytes
    (1631416514.717133) can0 123##311223344            FD: a digit of flags (1 BRS, 2 ESI), payload
    (1631416514.717133) can0 20000080#0000000000000000 R       error frame; R or T: direction
     (1631416514.717133)  can0  0D2   [8]  00 00 FF FF 10 00 00 00     table, also without time
     (1631416514.717133)  can0  RX - -  123  [12]  00 01 02 03 04 05 06 07 08 09 0A 0B
     can0  123   [4]  remote request
    # comment, // comment, ; comment
    DROPCOUNT: dropped 3 CAN frames on 'can0' socket (total drops 3)

Source: can-utils lib.c and candump.c; python-can io/canutils.py.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stagelog.importers import candump_lines, candump_rows
from stagelog.importers.diagnostics import STAMPS, Diagnostics
from stagelog.importers.stream import BusNames, FrameStream, collect, line_chunks
from stagelog.model import FrameTable


def stream_candump(path: str | Path) -> FrameStream:
    """Return a FrameStream over a candump file.

    T_us from the epoch, or from the first frame (see `times`).
    """
    diagnostics = Diagnostics(source=str(path), kind="candump")
    stream = FrameStream("candump", Path(path), (), diagnostics)
    stream.chunks = _chunks(stream)
    return stream


def read_candump(path: str | Path) -> tuple[FrameTable, Diagnostics]:
    """Read a whole candump file: (FRAME or FRAME_FD table, Diagnostics).

    Raises InputError if it cannot be opened.
    """
    log = collect(stream_candump(path))
    return log.frames, log.diagnostics


def _chunks(stream: FrameStream) -> Iterator[FrameTable]:
    buses = BusNames(stream.ifaces)
    clock = _Clock(stream.diagnostics)
    line = 1
    for n_cut, block in line_chunks(stream.path, stream.diagnostics):
        if b"\x1b" in block:
            block = candump_lines.without_colours(block)
        lines = candump_rows.CandumpLines(block)
        if b"#" in block:
            candump_rows.read_log_rows(lines)
        if b"[" in block and not lines.ok.all():
            candump_rows.read_table_rows(lines)
        lines.name_buses(buses)
        if not lines.ok.all():
            candump_lines.read_rest(lines, line + n_cut, buses, stream.diagnostics)
        stream.diagnostics.n_other += lines.n_lines - len(lines.ok)
        line += n_cut + lines.n_lines
        if lines.ok.any():
            yield clock.set(lines.table(), lines.timed[lines.ok])


class _Clock:
    """Decides once what the times of a log mean, and keeps the sum where they are differences."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.decided = False
        self.sum_us = 0

    def set(self, frames: FrameTable, timed: NDArray[np.bool_]) -> FrameTable:
        """Return the frames with t_us from the epoch or from the first frame."""
        t_us = frames["t_us"]
        if not self.decided:
            self.decided = True
            self.diagnostics.times = _kind_of_times(t_us, timed)
            if self.diagnostics.times == "absolute":
                self.diagnostics.clock = STAMPS
        if self.diagnostics.times == "delta":
            t_us[:] = np.cumsum(t_us) + self.sum_us
            self.sum_us = int(t_us[-1])
        return frames


def _kind_of_times(t_us: NDArray[np.int64], timed: NDArray[np.bool_]) -> str:
    """Return whether times are absolute, relative, delta or missing, by the first chunk of a log.

    candump writes differences (`-t d`) and times from zero (`-t z`) alike; differences go down
    about as often as up.
    """
    if not timed.any():
        return "none"
    if t_us[timed].max() >= 100_000_000_000_000:
        return "absolute"
    n_down = np.count_nonzero(np.diff(t_us) < 0)
    return "delta" if len(t_us) >= 8 and n_down > 0.1 * len(t_us) else "relative"
