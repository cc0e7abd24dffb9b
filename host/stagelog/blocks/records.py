"""Records to columns: the table of frames and the table of meta records, out of good blocks.

    w0   31..28 dlc | 27..0 time in us             dlc 0..8 a frame, 9 and 10 one of CAN FD
                                                   (fd_records), 15 a meta record
    w1   31 ext | 30 rtr | 29 bus | 28..0 can_id   of a frame
         29 bus | 28..8 arg | 7..0 kind            of a meta record

Owns the arithmetic, not the files. Never fails on the content of a good block: a record that this
version does not know is left out and counted.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slog.layout import (
    HEADER_BYTES,
    META,
    META_DLC,
    N_BUSES,
    RECORDS_PER_BLOCK,
    TIME_BITS,
    meta_table,
)
from stagelog.blocks.fd_records import find_frames, put_payloads
from stagelog.blocks.layouts import parse
from stagelog.model import EXT, FRAME, FRAME_FD, RTR, FrameTable

Headers: TypeAlias = NDArray[Any]  # HEADER of layouts, one row per block
Words: TypeAlias = NDArray[np.uint64]  # [k, 252, 2], the two words of each record
Times: TypeAlias = NDArray[np.int64]

META_TABLE = np.dtype(
    [
        ("t_us", "<i8"),
        ("seq", "<u4"),
        ("arg", "<u4"),
        ("kind", "u1"),
        ("bus", "u1"),
        ("data", "u1", (8,)),
    ]
)

_TIME_MASK = (1 << TIME_BITS) - 1
_HALF = 1 << (TIME_BITS - 1)
_ID_MASK = 0x1FFFFFFF
_MAX_DLC = 8
_META_NAMES = {row[0]: row[1] for row in META}


def _word_of_kind() -> NDArray[np.int64]:
    """Return int64[128]: bus, flags, dlc, n_bytes of FRAME by the bits ext, rtr, bus, dlc."""
    code = np.arange(128)
    dlc, bus, rtr, ext = code & 15, code >> 4 & 1, code >> 5 & 1, code >> 6
    table = np.zeros(128, FRAME)
    table["bus"] = bus
    table["flags"] = ext * EXT + rtr * RTR
    table["dlc"] = dlc
    table["n_bytes"] = np.where(rtr, 0, dlc)
    return table.view("<i8").reshape(128, 3)[:, 1].copy()


_WORD_OF_KIND = _word_of_kind()


@dataclass(frozen=True, slots=True)
class Meta:
    """One meta record. `name` and the names in `values` are those of slog.layout.META."""

    t_us: int
    bus: int
    kind: int
    name: str
    arg: int
    values: dict[str, Any]


def words_of(blocks: NDArray[np.uint8]) -> Words:
    """Return the records of `blocks` (uint8[k, 4096], rows contiguous) as uint64[k, 252, 2]."""
    return blocks[:, HEADER_BYTES:].view("<u8").reshape(len(blocks), RECORDS_PER_BLOCK, 2)


def record_times_us(words: Words, headers: Headers, span_us: Times) -> Times:
    """Return t_us (int64[k, 252]) of all records; garbage beyond n_records.

    The first record has the block's t0; each later one lies less than 2^27 us before or after its
    predecessor. `span_us` (int64[k]) bounds how long each block was open.
    """
    lo = words[:, :, 0].view(np.int64)
    t0 = t0_us(headers)
    times = lo + (_HALF - headers["t0_lo"].astype(np.int64))[:, None]
    times &= _TIME_MASK
    times += (t0 - _HALF)[:, None]
    for i in np.flatnonzero(span_us >= _HALF).tolist():
        steps = (np.diff(lo[i]) + _HALF & _TIME_MASK) - _HALF
        times[i, 1:] = t0[i] + np.cumsum(steps)
    return times


def t0_us(headers: Headers) -> Times:
    """Return the time of the first record of each block, int64."""
    return headers["t0_hi"].astype(np.int64) << TIME_BITS | headers["t0_lo"]


def in_use(headers: Headers) -> NDArray[np.bool_]:
    """Return bool[k, 252]: which records of each block are in use."""
    return np.arange(RECORDS_PER_BLOCK) < headers["n_records"][:, None]


def dlcs_of(words: Words) -> NDArray[np.uint8]:
    """Return the dlc codes, uint8[k, 252]."""
    return (words[:, :, 0] >> np.uint64(TIME_BITS)).astype(np.uint8) & np.uint8(15)


def put_frames(out: FrameTable, words: Words, headers: Headers, span_us: Times) -> int:
    """Write the frames of some blocks into `out` in order; return how many.

    `out` is FRAME with room for all records in use, without holes between its rows.
    """
    wanted = dlcs_of(words) <= _MAX_DLC
    if not (headers["n_records"] == RECORDS_PER_BLOCK).all():
        wanted &= in_use(headers)
    times = record_times_us(words, headers, span_us)
    if wanted.all():
        head, data, times = words[:, :, 0].ravel(), words[:, :, 1].ravel(), times.ravel()
    else:
        head, data, times = words[:, :, 0][wanted], words[:, :, 1][wanted], times[wanted]
    head = head.view(np.int64)
    n = len(head)
    table = out[:n].view("<i8").reshape(n, 3)
    kind = head >> 57
    kind &= 0x70
    kind |= head >> TIME_BITS & 15
    word = head >> 32
    word &= _ID_MASK
    word |= _WORD_OF_KIND[kind]
    table[:, 0] = times
    table[:, 1] = word
    table[:, 2] = data.view("<i8")
    return n


def put_mixed(out: FrameTable, words: Words, headers: Headers, span_us: Times) -> int:
    """Do what put_frames does where frames of CAN FD may be among them; `out` is FRAME_FD."""
    dlc, valid = dlcs_of(words), in_use(headers)
    heads, _ = find_frames(words, dlc, valid, headers["version"])
    wanted = np.flatnonzero(valid & (dlc <= _MAX_DLC) | heads)
    is_fd = heads.ravel()[wanted]
    w1 = (words[:, :, 0].ravel()[wanted] >> np.uint64(32)).astype(np.uint32)
    table = out[: len(wanted)]
    table[:] = np.zeros(1, FRAME_FD)
    table["t_us"] = record_times_us(words, headers, span_us).ravel()[wanted]
    table["can_id"] = w1 & _ID_MASK
    table["bus"] = w1 >> 29 & 1
    is_remote = w1 >> 30 & 1
    table["flags"] = (w1 >> 31) * EXT + is_remote * RTR
    table["dlc"] = dlc.ravel()[wanted]
    table["n_bytes"] = np.where(is_remote, 0, table["dlc"])
    data = np.ascontiguousarray(words[:, :, 1].ravel()[wanted])
    table["data"][:, :8] = data.view(np.uint8).reshape(-1, 8)
    if is_fd.any():
        frames = table[is_fd]
        put_payloads(frames, words, wanted[is_fd])
        table[is_fd] = frames
    return len(wanted)


def count_frames(words: Words, headers: Headers) -> tuple[NDArray[np.int64], int]:
    """Return (frames per block and bus int64[k, N_BUSES], number of unknown records)."""
    dlc = dlcs_of(words)
    valid = in_use(headers)
    heads, more = find_frames(words, dlc, valid, headers["version"])
    frame = (dlc <= _MAX_DLC) & valid | heads
    bus = (words[:, :, 0] >> np.uint64(61)).astype(np.uint8) & 1
    counts = np.stack([(frame & (bus == i)).sum(1) for i in range(N_BUSES)], 1)
    n_unknown = int(((dlc > _MAX_DLC) & (dlc != META_DLC) & valid & ~heads & ~more).sum())
    return counts, n_unknown


def last_times_us(words: Words, headers: Headers, span_us: Times) -> Times:
    """Return the time of the last record of each block, int64[k]; t0 if it has none."""
    times = record_times_us(words, headers, span_us)
    n_records = headers["n_records"].astype(np.intp)
    last = times[np.arange(len(times)), n_records - 1]
    return np.where(n_records, last, t0_us(headers))


def meta_of(words: Words, headers: Headers, span_us: Times) -> NDArray[Any]:
    """Return the meta records (META_TABLE) of some blocks in their order."""
    rows, columns = np.nonzero((dlcs_of(words) == META_DLC) & in_use(headers))
    used, at = np.unique(rows, return_inverse=True)
    times = record_times_us(words[used], headers[used], span_us[used])
    w1 = (words[rows, columns, 0] >> np.uint64(32)).astype(np.uint32)
    found = np.zeros(len(rows), META_TABLE)
    found["t_us"] = times[at, columns]
    found["seq"] = headers["seq"][rows]
    found["kind"] = w1 & 0xFF
    found["arg"] = w1 >> 8 & 0x1FFFFF
    found["bus"] = w1 >> 29 & 1
    found["data"] = words[rows, columns, 1:].copy().view(np.uint8)
    return found


def decode_meta(record: Any) -> Meta:
    """Return the Meta of one row of META_TABLE; a kind not known here is "unknown" with `data`."""
    kind = int(record["kind"])
    data = record["data"].tobytes()
    table = meta_table(kind)
    values = {"data": data} if table is None else parse(table, data)
    name = _META_NAMES.get(kind, "unknown")
    return Meta(int(record["t_us"]), int(record["bus"]), kind, name, int(record["arg"]), values)
