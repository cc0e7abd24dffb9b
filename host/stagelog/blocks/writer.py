"""Make blocks from a frame table: for drives that no logger saw, and for tests and benchmarks.

Writes what the firmware would have written for the same frames, vectorised; a test compares the
two. Fails with InputError on frames that a record cannot hold.
"""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slog import block as codec
from slog.layout import (
    ANCHOR_HOST,
    BLOCK_BYTES,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_PARTIAL,
    GAP_AT_LEAST,
    GAP_COPIED,
    HEADER_BYTES,
    MAGIC,
    META_ANCHOR,
    META_DLC,
    META_END,
    META_GAP,
    META_SESSION,
    N_BUSES,
    RECORD_BYTES,
    RECORDS_PER_BLOCK,
    TIME_BITS,
    VERSION,
    meta_table,
    pack,
)
from stagelog.blocks.fd_records import HEAD, VERSION_FD, Expanded, expand, head_data
from stagelog.blocks.layouts import HEADER
from stagelog.blocks.placement import Identity
from stagelog.errors import InputError
from stagelog.model import EXT, FD, RTR, FrameTable

_MASK = (1 << TIME_BITS) - 1


class GapRecord(NamedTuple):
    """Frames lost between two times, as a gap record states them; `cause` is its arg."""

    bus: int
    t_first_us: int
    t_us: int
    n: int
    cause: int = GAP_COPIED


def pack_session(
    frames: FrameTable,
    identity: Identity,
    *,
    anchors: Iterable[tuple[int, int]] = (),
    source: int = ANCHOR_HOST,
    first_seq: int = 1,
    position: int = 0,
    flush_us: int = 250_000,
    gaps: Sequence[GapRecord] = (),
    stopped: bool = True,
) -> NDArray[np.uint8]:
    """Return the blocks of a session, uint8[n, 4096].

    frames    FRAME or FRAME_FD, times rising, buses 0 and 1; CAN FD makes blocks of version 2
    identity  placement.Identity
    anchors   pairs (t_us, t_unix_us)
    source    of the anchors, as in timeline
    gaps      what is lost, between the first time and the last one of the frames
    stopped   False: no END record, for nothing reports that the session ended here
    """
    t_us, head, data, bus, is_more = _records(frames, anchors, source, gaps, stopped)
    starts = _block_starts(t_us, is_more, flush_us)
    ends = np.append(starts[1:], len(t_us))
    n = len(starts)
    if stopped:
        data[-1] = _payload(META_END, n_blocks=n)
    blocks = np.zeros((n, BLOCK_BYTES), np.uint8)
    words = blocks[:, HEADER_BYTES:].view("<u8").reshape(n, RECORDS_PER_BLOCK, 2)
    row = np.repeat(np.arange(n), ends - starts)
    column = np.arange(len(t_us)) - starts[row]
    words[row, column, 0] = head
    words[row, column, 1] = data
    headers = blocks[:, :HEADER_BYTES].view(HEADER)[:, 0]
    headers["magic"] = MAGIC
    headers["version"] = VERSION_FD if (frames["flags"] & FD).any() else VERSION
    headers["n_records"] = ends - starts
    headers["device_id"] = np.frombuffer(bytes.fromhex(identity.device_id), np.uint8)
    headers["boot"] = identity.boot
    headers["nonce"] = identity.nonce
    headers["seq"] = first_seq + np.arange(n)
    headers["position"] = position + np.arange(n)
    headers["t0_lo"] = t_us[starts] & _MASK
    headers["t0_hi"] = t_us[starts] >> TIME_BITS
    for i in range(N_BUSES):
        headers[f"stored{i}"] = np.cumsum(bus == i)[ends - 1]
        exact, at_least = _lost(head, data, bus, i)
        headers[f"dropped{i}"] = np.cumsum(exact)[ends - 1]
        headers[f"at_least{i}"] = np.minimum(np.cumsum(at_least)[ends - 1], 0xFFFF)
    headers["flags"] = np.where(ends - starts < RECORDS_PER_BLOCK, FLAG_PARTIAL, 0)
    headers["flags"][0] |= FLAG_FIRST
    if stopped:
        headers["flags"][-1] |= FLAG_LAST
    seal(blocks)
    return blocks


def seal(blocks: NDArray[np.uint8]) -> None:
    """Write the right CRC into each block (uint8[n, 4096])."""
    for block in blocks:
        end = HEADER_BYTES + int(block[codec.N_RECORDS]) * RECORD_BYTES
        crc = zlib.crc32(block[HEADER_BYTES:end], zlib.crc32(block[: codec.CRC]))
        block[codec.CRC : codec.CRC + 4] = np.frombuffer(crc.to_bytes(4, "little"), np.uint8)


def _lost(
    head: NDArray[Any], data: NDArray[Any], bus: NDArray[Any], number: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the frames of one bus that each record reports as lost: (exactly, at least)."""
    w1 = head >> 32
    is_gap = (bus == N_BUSES) & (w1 & 0xFF == META_GAP) & (w1 >> 29 & 1 == number)
    n = np.where(is_gap, data & 0xFFFFFFFF, 0).astype(np.int64)
    is_exact = ~np.isin(w1 >> 8 & 0x1FFFFF, GAP_AT_LEAST)
    return n * is_exact, n * ~is_exact


def _records(
    frames: FrameTable,
    anchors: Iterable[tuple[int, int]],
    source: int,
    gaps: Sequence[GapRecord],
    stopped: bool,
) -> Expanded:
    """Return all records; a meta record has bus N_BUSES, one that goes on N_BUSES + 1."""
    is_fd = frames["flags"] & FD != 0
    if (frames["dlc"][~is_fd] > 8).any() or (frames["bus"] >= N_BUSES).any():
        raise InputError(f"a record holds frames of buses 0 to {N_BUSES - 1} and up to 8 bytes")
    first, last = (int(frames["t_us"][0]), int(frames["t_us"][-1])) if len(frames) else (0, 0)
    metas = [(first, META_SESSION, 0, _payload(META_SESSION, n_buses=N_BUSES, listen_only=1))]
    for anchor_us, t_unix_us in anchors:
        payload = _payload(META_ANCHOR, t_unix_us=t_unix_us)
        metas.append((anchor_us, META_ANCHOR, source, payload))
    for gap in gaps:
        payload = _payload(META_GAP, n=gap.n, t_first=gap.t_first_us & 0xFFFFFFFF)
        metas.append((gap.t_us, META_GAP, gap.cause | gap.bus << 21, payload))
    metas.append((last, META_END, 1, 0))
    n = len(metas) - 1
    t_us = np.empty(n + len(frames) + 1, np.int64)
    head, data = np.empty_like(t_us, "<u8"), np.empty_like(t_us, "<u8")
    bus = np.full(len(t_us), N_BUSES, np.uint8)
    for i, (when, kind, arg, payload) in zip([*range(n), -1], metas, strict=True):
        t_us[i], data[i] = when, payload
        head[i] = META_DLC << TIME_BITS | (kind | arg << 8) << 32
    flags = frames["flags"].astype(np.uint64)
    is_remote = (flags & RTR != 0) & ~is_fd
    bits = frames["bus"] | is_remote.astype(np.uint64) << 1 | (flags & EXT) // EXT << 2
    t_us[n:-1] = frames["t_us"]
    dlc = np.where(is_fd, HEAD, frames["dlc"])
    head[n:-1] = dlc.astype(np.uint64) << TIME_BITS | bits << 61
    head[n:-1] |= frames["can_id"].astype(np.uint64) << 32
    data[n:-1] = np.ascontiguousarray(frames["data"][:, :8]).view("<u8")[:, 0]
    data[n:-1][is_fd] = head_data(frames[is_fd])
    bus[n:-1] = frames["bus"]
    head |= t_us.astype(np.uint64) & _MASK
    order = np.argsort(t_us[1:-1], kind="stable") + 1
    order = np.concatenate([[0], order, [len(t_us) - 1] if stopped else []]).astype(np.intp)
    t_us, head, data, bus = t_us[order], head[order], data[order], bus[order]
    if not is_fd.any():
        return Expanded(t_us, head, data, bus, np.zeros(len(order), bool))
    row = np.full(len(is_fd) + n + 1, -1)
    row[n:-1][is_fd] = np.arange(np.count_nonzero(is_fd))
    return expand(t_us, head, data, bus, frames[is_fd], row[order], N_BUSES + 1)


def _payload(kind: int, **values: Any) -> Any:
    return np.frombuffer(pack(meta_table(kind), values), "<u8")[0]


def _block_starts(
    t_us: NDArray[np.int64], is_more: NDArray[np.bool_], flush_us: int
) -> NDArray[np.int64]:
    """Return the first record of each block: one is full after 252, closed after flush_us; the
    records of a frame stay together.
    """
    starts = []
    at = 0
    times = t_us.tolist()
    while at < len(times):
        starts.append(at)
        due = int(np.searchsorted(t_us[at : at + RECORDS_PER_BLOCK], times[at] + flush_us))
        at += max(1, due)
        while at < len(times) and is_more[at]:
            at -= 1
    return np.array(starts)
