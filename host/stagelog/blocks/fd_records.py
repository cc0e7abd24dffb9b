"""Frames of CAN FD in records, from version 2 on: a head, and records that go on with its payload.

    head   w0    31..28 9 | 27..0 time in us      w1 as that of a classic frame, bit 30 is 0
           data  byte 0: dlc code | BRS << 4 | ESI << 5; bytes 1..7: payload 0..6
    more   w0    31..28 10 | 27..0 time of its head
           bytes 4..15: the next 12 bytes of the payload, zero beyond its end

Owns this layout, both ways. The records of a frame stand one behind the other in one block. Never
fails on the content of a good block: a head without all of its records is no frame.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slog.layout import RECORD_BYTES, TIME_BITS
from stagelog.model import BRS, ESI, EXT, FD, FD_LENGTHS, FrameTable

VERSION_FD = 2  # of a block that may hold such records
HEAD, MORE = 9, 10  # in the place of a dlc
_IN_HEAD, _IN_MORE = 7, 12  # bytes of the payload
MAX_MORE = 5  # of 64 bytes
_ROOM = _IN_HEAD + MAX_MORE * _IN_MORE
N_MORE = np.maximum(0, -(-(FD_LENGTHS.astype(np.int64) - _IN_HEAD) // _IN_MORE))  # by dlc code

_Mask: TypeAlias = NDArray[np.bool_]
_Words: TypeAlias = NDArray[np.uint64]


class Expanded(NamedTuple):
    """Records in their order; `is_more` marks those that go on with the one before."""

    t_us: NDArray[np.int64]
    head: _Words
    data: _Words
    bus: NDArray[np.uint8]
    is_more: _Mask


def head_data(frames: FrameTable) -> _Words:
    """Return the second word of the heads of frames of CAN FD."""
    flags = frames["flags"]
    first = np.zeros((len(frames), 8), np.uint8)
    first[:, 0] = frames["dlc"] & 15 | (flags & BRS > 0) << 4 | (flags & ESI > 0) << 5
    first[:, 1:] = frames["data"][:, :_IN_HEAD]
    return first.view("<u8")[:, 0]


def expand(
    t_us: NDArray[np.int64],
    head: _Words,
    data: _Words,
    bus: NDArray[np.uint8],
    frames: FrameTable,
    row: NDArray[np.intp],
    bus_of_more: int,
) -> Expanded:
    """Put the rest of each payload behind its head.

    row   for each record its row in `frames`, all of CAN FD; -1 for any other record
    """
    is_fd = row >= 0
    n = np.ones(len(row), np.intp)
    n[is_fd] += N_MORE[frames["dlc"][row[is_fd]] & 15]
    at = np.repeat(np.arange(len(row)), n)
    k = np.arange(len(at)) - np.repeat(np.cumsum(n) - n, n)  # 0 the head, 1 what follows, ...
    is_more = k > 0
    payload = np.zeros((len(frames), _ROOM), np.uint8)
    payload[:, : frames["data"].shape[1]] = frames["data"]
    rest = payload[:, _IN_HEAD:].reshape(len(frames), MAX_MORE, _IN_MORE)
    part = rest[row[at[is_more]], k[is_more] - 1]
    time = head[at[is_more]] & np.uint64((1 << TIME_BITS) - 1)
    w1 = np.ascontiguousarray(part[:, :4]).view("<u4")[:, 0].astype(np.uint64)
    new_head, new_data, new_bus = head[at], data[at], bus[at]
    new_head[is_more] = time | np.uint64(MORE << TIME_BITS) | w1 << np.uint64(32)
    new_data[is_more] = np.ascontiguousarray(part[:, 4:]).view("<u8")[:, 0]
    new_bus[is_more] = bus_of_more
    return Expanded(t_us[at], new_head, new_data, new_bus, is_more)


def find_frames(
    words: _Words, dlc: NDArray[np.uint8], valid: _Mask, versions: NDArray[Any]
) -> tuple[_Mask, _Mask]:
    """Return (heads of whole frames, records that go on with them), each bool[k, 252].

    words, dlc, valid   of all records of k blocks; versions: of those blocks
    """
    if not (versions >= VERSION_FD).any():
        return np.zeros_like(valid), np.zeros_like(valid)
    valid = valid & (versions >= VERSION_FD)[:, None]
    heads = valid & (dlc == HEAD)
    goes_on = valid & (dlc == MORE)
    need = N_MORE[(words[:, :, 1] & np.uint64(15)).astype(np.intp)]
    for j in range(1, MAX_MORE + 1):
        follows = np.zeros_like(heads)
        follows[:, :-j] = goes_on[:, j:]
        heads &= (need < j) | follows
    more = np.zeros_like(heads)
    for j in range(1, MAX_MORE + 1):
        more[:, j:] |= (heads & (need >= j))[:, :-j]
    return heads, more


def put_payloads(out: FrameTable, words: _Words, at: NDArray[np.intp]) -> None:
    """Fill flags, dlc, n_bytes and data of `out` (FRAME_FD), whose heads are at `at`, numbers of
    records over all blocks of `words`; t_us, can_id and bus are there.
    """
    raw = words.view(np.uint8).reshape(-1, RECORD_BYTES)
    first = raw[at, 8]
    out["dlc"] = first & 15
    out["n_bytes"] = FD_LENGTHS[first & 15]
    out["flags"] = out["flags"] & EXT | FD | (first >> 4 & 1) * BRS | (first >> 5 & 1) * ESI
    payload = np.zeros((len(at), _ROOM), np.uint8)
    payload[:, :_IN_HEAD] = raw[at, 9:]
    for j in range(MAX_MORE):
        longer = np.flatnonzero(N_MORE[first & 15] > j)
        start = _IN_HEAD + j * _IN_MORE
        payload[longer, start : start + _IN_MORE] = raw[at[longer] + 1 + j, 4:]
    payload[np.arange(_ROOM) >= out["n_bytes"][:, None]] = 0
    out["data"] = payload[:, :64]
