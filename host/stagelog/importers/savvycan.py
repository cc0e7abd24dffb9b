"""Reads the CSV of SavvyCAN (GVRET): `Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,...`, times in
microseconds.

Owns the grammar of a row. A row that does not fit is damage with its line. Source: SavvyCAN's own
writer; no library on PyPI reads it.
"""

from pathlib import Path

import numpy as np

from stagelog.importers.diagnostics import Diagnostics
from stagelog.importers.stream import FrameStream, collect, line_chunks
from stagelog.model import EXT, FD, FD_LENGTHS, FRAME, FRAME_FD

_COLUMNS = ("time stamp", "id", "extended", "dir", "bus", "len")
_TRUE = ("true", "1")


def stream_savvycan(path):
    """Return a FrameStream over a SavvyCAN CSV file; t_us as the file has it."""
    diagnostics = Diagnostics(source=str(path), kind="savvycan", times="relative")
    stream = FrameStream("savvycan", Path(path), None, diagnostics)
    stream.chunks = _chunks(stream)
    return stream


def read_savvycan(path):
    """Read a whole SavvyCAN CSV file: (frames, Diagnostics)."""
    log = collect(stream_savvycan(path))
    return log.frames, log.diagnostics


def _chunks(stream):
    diagnostics = stream.diagnostics
    number = 0
    for n_cut, block in line_chunks(stream.path, diagnostics):
        number += n_cut
        rows = []
        for line in block.decode("latin-1").splitlines():
            number += 1
            cells = [cell.strip().strip('"') for cell in line.split(",")]
            if not line.strip() or tuple(c.lower() for c in cells[:6]) == _COLUMNS:
                diagnostics.n_other += 1
                continue
            row = _read_row(cells)
            if row is None:
                diagnostics.add("not a frame", f"line {number}", line[:60])
            else:
                rows.append(row)
        if rows:
            frames = _table(rows)
            n_buses = int(frames["bus"].max()) + 1
            stream.ifaces += [f"can{k}" for k in range(len(stream.ifaces), n_buses)]
            yield frames


def _read_row(cells):
    """Return (t_us, can_id, is_ext, bus, data), or None."""
    if len(cells) < 6 or len(cells) > 6 + 65:
        return None
    try:
        t_us, can_id, bus, n = int(cells[0]), int(cells[1], 16), int(cells[4]), int(cells[5])
        data = bytes(int(cell, 16) for cell in cells[6 : 6 + n])
    except ValueError:
        return None
    is_ext = cells[2].lower() in _TRUE
    limit = 0x1FFFFFFF if is_ext else 0x7FF
    if not (0 <= t_us < 1 << 62 and 0 <= can_id <= limit and 0 <= bus < 256 and n == len(data)):
        return None
    if cells[2].lower() not in (*_TRUE, "false", "0") or n > 64:
        return None
    return t_us, can_id, is_ext, bus, data


def _table(rows):
    lengths = np.array([len(r[4]) for r in rows], np.uint8)
    width = 64 if lengths.max() > 8 else 8
    frames = np.zeros(len(rows), FRAME_FD if width == 64 else FRAME)
    frames["t_us"] = [r[0] for r in rows]
    frames["can_id"] = [r[1] for r in rows]
    frames["flags"] = [EXT * r[2] | FD * (len(r[4]) > 8) for r in rows]
    frames["bus"] = [r[3] for r in rows]
    frames["n_bytes"] = lengths
    frames["dlc"] = np.searchsorted(FD_LENGTHS, lengths)
    data = b"".join(r[4].ljust(width, b"\0") for r in rows)
    frames["data"] = np.frombuffer(data, np.uint8).reshape(-1, width)
    return frames
