"""Reads what python-can's own CSVWriter and SqliteWriter leave.

    timestamp,arbitration_id,extended,remote,error,dlc,data        CSV, data in base64
    1700000000.123456,0x1a1,0,0,0,8,AQIDBAUGBwg=

    messages(ts, arbitration_id, extended, remote, error, dlc, data)        SQLite

Neither names the bus: all is bus 0. A length above 8 is one of CAN FD; flags of CAN FD are not
kept. Times are from the epoch if they can be. A row that contradicts itself is damage, never a
frame. Raises InputError for a database without that table.
"""

import base64
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stagelog.errors import InputError
from stagelog.importers.diagnostics import STAMPS, Diagnostics
from stagelog.importers.stream import FrameRow, FrameStream, collect, line_chunks, table_of
from stagelog.model import EARLIEST_US, ERR, EXT, FD, FD_LENGTHS, RTR, FrameTable
from stagelog.pipes import real_path

_ROWS = 1 << 16
_COLUMNS = "ts, arbitration_id, extended, remote, error, dlc, data"
_BOOLEANS = {"0": 0, "1": 1, "False": 0, "True": 1}


def stream_can_csv(path: str | Path) -> FrameStream:
    """Return a FrameStream over a CSV log of python-can."""
    return _stream("can_csv", path, _csv_rows)


def stream_can_sqlite(path: str | Path) -> FrameStream:
    """Return a FrameStream over an SQLite log of python-can."""
    return _stream("can_sqlite", path, _sqlite_rows)


def read_can_csv(path: str | Path) -> tuple[FrameTable, Diagnostics]:
    """Read a whole CSV log of python-can: (frames, Diagnostics)."""
    log = collect(stream_can_csv(path))
    return log.frames, log.diagnostics


def _stream(kind: str, path: str | Path, rows: Any) -> FrameStream:
    diagnostics = Diagnostics(source=str(path), kind=kind, times="relative")
    stream = FrameStream(kind, Path(path), (), diagnostics)
    stream.chunks = _chunks(stream, rows(stream.path, diagnostics))
    return stream


def _chunks(stream: FrameStream, tables: Iterable[list[FrameRow]]) -> Iterator[FrameTable]:
    for rows in tables:
        if not stream.ifaces:
            stream.ifaces.append("can0")
            if rows[0].t_us >= EARLIEST_US:
                stream.diagnostics.times, stream.diagnostics.clock = "absolute", STAMPS
        yield table_of(rows)


def _csv_rows(path: Path, diagnostics: Diagnostics) -> Iterator[list[FrameRow]]:
    number = 0
    for n_cut, block in line_chunks(path, diagnostics):
        number += n_cut
        rows: list[FrameRow] = []
        for line in block.decode("latin-1").splitlines():
            number += 1
            if not line.strip() or line.startswith("timestamp,"):
                diagnostics.n_other += 1
                continue
            row = _row_of_text(line.strip().split(","))
            if row is None:
                diagnostics.add("not a frame", f"line {number}", line[:60])
            else:
                rows.append(row)
        if rows:
            yield rows


def _row_of_text(cells: list[str]) -> FrameRow | None:
    try:
        time, number, *kinds, length, data = cells
        extended, remote, error = (_BOOLEANS[kind] for kind in kinds)
        payload = base64.b64decode(data, validate=True)
        return _row(float(time), int(number, 16), extended, remote, error, int(length), payload)
    except (ValueError, KeyError):
        return None


def _sqlite_rows(path: Path, diagnostics: Diagnostics) -> Iterator[list[FrameRow]]:
    uri = f"{real_path(path).resolve().as_uri()}?mode=ro"
    try:
        connection = sqlite3.connect(uri, uri=True)
        try:
            [(n_rows,)] = connection.execute("select count(*) from messages")
            cursor = connection.execute(f"select {_COLUMNS} from messages order by rowid")
            number = 0
            while found := cursor.fetchmany(_ROWS):
                rows = []
                for values in found:
                    number += 1
                    row = _row_of_values(values)
                    if row is None:
                        diagnostics.add("not a frame", f"row {number}", str(values)[:60])
                    else:
                        rows.append(row)
                diagnostics.share = number / max(n_rows, number)
                if rows:
                    yield rows
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InputError(
            f"{path} is no SQLite log of python-can: {error}", "it needs the table 'messages'"
        ) from None


def _row_of_values(values: tuple[Any, ...]) -> FrameRow | None:
    try:
        time, can_id, extended, remote, error, length, data = values
        kinds = (int(extended), int(remote), int(error))
        if not isinstance(data, bytes | None) or not {0, 1}.issuperset(kinds):
            return None
        return _row(float(time), int(can_id), *kinds, int(length), data or b"")
    except (TypeError, ValueError, OverflowError):
        return None


def _row(
    time_s: float, can_id: int, extended: int, remote: int, error: int, length: int, data: bytes
) -> FrameRow | None:
    """Return a row, None for what contradicts itself or what CAN does not have."""
    limit = 0x1FFFFFFF if extended or error else 0x7FF
    is_whole = len(data) == length or remote or error
    if not (abs(time_s) < 1e12 and 0 <= can_id <= limit and is_whole and length in FD_LENGTHS):
        return None
    flags = EXT * extended | RTR * remote | ERR * error | FD * (length > 8 and not remote)
    return FrameRow(round(time_s * 1e6), can_id, flags, 0, length, b"" if remote else data[:64])
