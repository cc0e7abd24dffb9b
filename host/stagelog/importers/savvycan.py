"""Reads the CSV of SavvyCAN (GVRET): a header that names the columns, times in microseconds.

    Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8
    166064000,0000021A,false,Rx,0,8,FE,36,12,FE,69,05,07,AD,

Older versions and loggers leave `Dir` out, or `Bus` too (then all is one bus), or write `DLC` for
`LEN`; the first data byte stands under `D1`. Times may lie before zero. Owns the grammar of a
row: one that does not agree with the header, with its own length or with CAN is damage with its
line, never turned into a frame. Raises InputError for a header without a column that is needed.
Source: SavvyCAN's own writer and GVRET-PC's; no library on PyPI reads it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stagelog.errors import InputError
from stagelog.importers.diagnostics import Diagnostics
from stagelog.importers.stream import FrameRow, FrameStream, collect, line_chunks, table_of
from stagelog.model import EXT, FD, FD_LENGTHS, FrameTable

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_MAX_TIME_us = 1 << 62


class _Columns(NamedTuple):
    """Where the columns of a file stand; `dir` and `bus` None where there is none."""

    time: int
    can_id: int
    extended: int
    dir: int | None
    bus: int | None
    length: int
    is_dlc: bool
    data: int


def stream_savvycan(path: str | Path) -> FrameStream:
    """Return a FrameStream over a SavvyCAN CSV file; t_us as the file has it."""
    diagnostics = Diagnostics(source=str(path), kind="savvycan", times="relative")
    stream = FrameStream("savvycan", Path(path), (), diagnostics)
    stream.chunks = _chunks(stream)
    return stream


def read_savvycan(path: str | Path) -> tuple[FrameTable, Diagnostics]:
    """Read a whole SavvyCAN CSV file: (frames, Diagnostics)."""
    log = collect(stream_savvycan(path))
    return log.frames, log.diagnostics


def _chunks(stream: FrameStream) -> Iterator[FrameTable]:
    diagnostics = stream.diagnostics
    columns = None
    number = 0
    for n_cut, block in line_chunks(stream.path, diagnostics):
        number += n_cut
        rows = []
        for line in block.decode("latin-1").splitlines():
            number += 1
            cells = [cell.strip().strip('"').strip() for cell in line.split(",")]
            if not line.strip():
                diagnostics.n_other += 1
            elif cells[0].lower() == "time stamp":
                columns = _find_columns(stream.path, cells, number)
                diagnostics.n_other += 1
            else:
                row = None if columns is None else _read_row(cells, columns)
                if row is None:
                    diagnostics.add("not a frame", f"line {number}", line[:60])
                else:
                    rows.append(row)
        if rows:
            frames = table_of(rows)
            n_buses = int(frames["bus"].max()) + 1
            stream.ifaces += [f"can{k}" for k in range(len(stream.ifaces), n_buses)]
            yield frames


def _find_columns(path: Path, cells: list[str], number: int) -> _Columns:
    names = [cell.lower() for cell in cells]
    place = {name: names.index(name) for name in names}
    length = place.get("len", place.get("dlc"))
    for name, at in (("ID", place.get("id")), ("Extended", place.get("extended"))):
        if at is None:
            raise InputError(f"{path}: line {number}: the header has no column {name}")
    if length is None:
        raise InputError(f"{path}: line {number}: the header has neither LEN nor DLC")
    return _Columns(
        place["time stamp"],
        place["id"],
        place["extended"],
        place.get("dir"),
        place.get("bus"),
        length,
        "len" not in place,
        place.get("d1", length + 1),
    )


def _read_row(cells: list[str], columns: _Columns) -> FrameRow | None:
    """Return a row, or None for what does not fit."""
    try:
        t_us, can_id = int(cells[columns.time]), int(cells[columns.can_id], 16)
        bus = 0 if columns.bus is None else int(cells[columns.bus])
        length = int(cells[columns.length])
        is_ext = _BOOLEANS[cells[columns.extended].lower()]
        direction = "" if columns.dir is None else cells[columns.dir].lower()
        data = _data_of(cells[columns.data :])
    except (ValueError, KeyError, IndexError):
        return None
    if columns.is_dlc and 8 < length < 16:
        length = int(FD_LENGTHS[length])
    limit = 0x1FFFFFFF if is_ext else 0x7FF
    if not (abs(t_us) < _MAX_TIME_us and 0 <= can_id <= limit and 0 <= bus < 256):
        return None
    if length != len(data) or length not in FD_LENGTHS or direction not in ("", "rx", "tx"):
        return None
    flags = EXT * is_ext | FD * (length > 8)
    return FrameRow(t_us, can_id, flags, bus, length, data)


def _data_of(cells: list[str]) -> bytes:
    """Return the payload; ValueError for a cell that is no byte, or an empty one before a byte."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    if any(len(cell.removeprefix("0x")) > 2 for cell in cells):
        raise ValueError
    return bytes(int(cell, 16) for cell in cells)
