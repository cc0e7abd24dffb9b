"""The bits of classic CAN frames: fields, CRC-15, stuffing, length on the wire, arbitration order.

Owns the frame as a row of bits (ISO 11898-1, classic format), once readable and per frame, once as
NumPy over whole frame tables. Does not know time, nodes or errors.
Levels are 0 dominant, 1 recessive.

    base      SOF ID(11) RTR IDE=0 r0 DLC(4) data CRC(15)
    extended  SOF ID(11) SRR=1 IDE=1 ID(18) RTR r1 r0 DLC(4) data CRC(15)
              `------------ stuffed, 34 + 8n or 54 + 8n bits ------------'
    both      then 13 bits: CRC delimiter, ACK slot, ACK delimiter, EOF(7), intermission(3)

A frame that cannot exist (identifier too wide, unknown flags) is a UsageError that names the row.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import UsageError
from stagelog.model import EXT, RTR, FrameTable

CRC15_POLYNOMIAL = 0x4599
STUFF_RUN = 5  # a sixth equal bit cannot be
EOF_BITS = 7
IFS_BITS = 3
TAIL_BITS = 3 + EOF_BITS + IFS_BITS  # the first three: CRC delimiter, ACK slot, ACK delimiter
SHORTEST_FRAME_BITS = 34 + TAIL_BITS
_CHUNK = 1 << 15  # rows per round: the working set stays in the second-level cache


def n_bytes_of(flags: int, dlc: int) -> int:
    """Return the payload length that a classic frame with this DLC code carries."""
    return 0 if flags & RTR else min(dlc, 8)


def frame_fields(
    can_id: int, flags: int, dlc: int, data: bytes | Sequence[int] = b""
) -> list[int]:
    """Return the bits from SOF to the last payload bit, unstuffed and without CRC."""
    base = can_id >> 18 if flags & EXT else can_id
    rtr = 1 if flags & RTR else 0
    bits = [0, *to_bits(base, 11)]
    if flags & EXT:
        bits += [1, 1, *to_bits(can_id & 0x3FFFF, 18), rtr, 0, 0]
    else:
        bits += [rtr, 0, 0]
    bits += to_bits(dlc, 4)
    for byte in data[: n_bytes_of(flags, dlc)]:
        bits += to_bits(byte, 8)
    return bits


def crc15(bits: Sequence[int]) -> int:
    """Return the CRC of a row of bits. Source: ISO 11898-1, 10.4.2.6."""
    crc = 0
    for bit in bits:
        divide = bit ^ (crc >> 14)
        crc = (crc << 1) & 0x7FFF
        if divide:
            crc ^= CRC15_POLYNOMIAL
    return crc


def crc15_of(value: int) -> int:
    """Return the CRC of bits given as one integer; leading dominant bits do not change it."""
    table = _crc_list()
    crc = 0
    for byte in value.to_bytes((value.bit_length() + 7) // 8, "big"):
        crc = table[(crc >> 7) ^ byte] ^ (crc << 8 & 0x7FFF)
    return crc


def stuff(bits: Sequence[int]) -> tuple[list[int], list[bool]]:
    """Return (stuffed bits, is_stuff): five equal bits, even the last, are followed by their
    opposite.
    """
    out: list[int] = []
    is_stuff: list[bool] = []
    run, last = 0, -1
    for bit in bits:
        run = run + 1 if bit == last else 1
        last = bit
        out.append(bit)
        is_stuff.append(False)
        if run == STUFF_RUN:
            last, run = 1 - bit, 1
            out.append(last)
            is_stuff.append(True)
    return out, is_stuff


def wire_bits(can_id: int, flags: int, dlc: int, data: bytes | Sequence[int] = b"") -> list[int]:
    """Return what the transmitter drives from SOF to the last bit of EOF; ACK slot recessive."""
    bits = frame_fields(can_id, flags, dlc, data)
    bits += to_bits(crc15(bits), 15)
    return stuff(bits)[0] + [1] * (TAIL_BITS - IFS_BITS)


def n_frame_bits(can_id: int, flags: int, dlc: int, data: bytes | Sequence[int] = b"") -> int:
    """Return the length of one frame in bits, SOF to end of intermission: the readable oracle."""
    return len(wire_bits(can_id, flags, dlc, data)) + IFS_BITS


def longest_frame_bits(n_bytes: int, extended: bool = False) -> int:
    """Return the bound on the length of a data frame, intermission included."""
    return (80 if extended else 55) + 10 * n_bytes


def arbitration_keys(frames: FrameTable) -> NDArray[np.uint32]:
    """Return the arbitration field of each frame as uint32[n], first bit on top: the smaller wins.

    Base: ID(11) RTR IDE=0 and zeros. Extended: ID(11) SRR=1 IDE=1 ID(18) RTR. So a base frame
    beats an extended one with the same first eleven bits, even as a remote frame, and a data frame
    beats the remote frame of its identifier.
    """
    can_id = frames["can_id"].astype(np.uint32)
    rtr = ((frames["flags"] & RTR) != 0).astype(np.uint32)
    base = (can_id << np.uint32(21)) | (rtr << np.uint32(20))
    high = (can_id >> np.uint32(18)) << np.uint32(21)
    low = (can_id & np.uint32(0x3FFFF)) << np.uint32(1)
    extended = high | np.uint32(3 << 19) | low | rtr
    return np.where(frames["flags"] & EXT, extended, base)


def check_frames(frames: FrameTable) -> None:
    """Raise UsageError if a row of the table is not a classic CAN frame."""
    extended = (frames["flags"] & EXT) != 0
    widest = np.where(extended, 0x1FFFFFFF, 0x7FF)
    _refuse(frames["can_id"] > widest, frames, "an identifier too wide for its format")
    _refuse(frames["flags"] & ~np.uint8(EXT | RTR) != 0, frames, "flags other than EXT and RTR")
    _refuse(frames["dlc"] > 15, frames, "a DLC code above 15")
    n_bytes = np.where(frames["flags"] & RTR, 0, np.minimum(frames["dlc"], 8))
    _refuse(frames["n_bytes"] != n_bytes, frames, "another length than its DLC says")
    beyond = np.arange(frames["data"].shape[1]) >= n_bytes[:, np.newaxis]
    _refuse((frames["data"] * beyond).any(axis=1), frames, "bytes beyond its length")


def frame_bits(frames: FrameTable) -> NDArray[np.int64]:
    """Return the length of each frame of the table on the wire, in bit times, as int64[n].

    Counts SOF to the end of the intermission with the exact stuff bits. Rows are taken as
    check_frames allows them; n_bytes is derived from flags and dlc. Equal to n_frame_bits row by
    row.
    """
    out = np.empty(len(frames), np.int64)
    for start in range(0, len(frames), _CHUNK):
        chunk = frames[start : start + _CHUNK]
        out[start : start + _CHUNK] = _chunk_bits(chunk)
    return out


def _chunk_bits(frames: FrameTable) -> NDArray[np.int64]:
    rtr = (frames["flags"] & RTR) != 0
    extended = (frames["flags"] & EXT) != 0
    n_bytes = np.where(rtr, 0, np.minimum(frames["dlc"], 8)).astype(np.uint8)
    layout = n_bytes | (extended.astype(np.uint8) << 4)
    order = np.argsort(layout, kind="stable")
    bounds = np.flatnonzero(np.diff(layout[order])) + 1
    out = np.empty(len(frames), np.int64)
    for rows in np.split(order, bounds):
        if len(rows):
            kind = int(layout[rows[0]])
            out[rows] = _layout_bits(frames[rows], rtr[rows], kind >= 16, kind & 15)
    return out


def _layout_bits(
    frames: FrameTable, rtr: NDArray[np.bool_], extended: bool, n_bytes: int
) -> NDArray[np.int64]:
    """Return the lengths of frames that all have the same format and payload length."""
    can_id = frames["can_id"].astype(np.uint64)
    dlc = frames["dlc"].astype(np.uint64)
    rtr = rtr.astype(np.uint64)
    if extended:
        header = (can_id >> 18 << 27) | (3 << 25) | ((can_id & 0x3FFFF) << 7) | (rtr << 6) | dlc
    else:
        header = (can_id << 7) | (rtr << 6) | dlc
    n_first, n_header = (7, 4) if extended else (3, 2)
    data = frames["data"]
    columns = [(header >> (8 * i)).astype(np.uint8) for i in reversed(range(n_header))]
    columns += [data[:, i] for i in range(n_bytes)]
    first = (header >> (8 * n_header)).astype(np.uint8)

    crc_table = _crc_table()
    crc = crc_table[first]
    for column in columns:
        crc = crc_table[(crc >> 7) ^ column] ^ ((crc << 8) & np.uint16(0x7FFF))

    state = _stuff_table(n_first)[first]
    total = state >> 4
    byte_table = _stuff_table(8)
    for column in [*columns, (crc >> 7).astype(np.uint8)]:
        state = byte_table[((state & 15).astype(np.uint16) << 8) | column]
        total += state >> 4
    state = _stuff_table(7)[((state & 15).astype(np.uint16) << 7) | (crc & 127)]
    total += state >> 4
    return total.astype(np.int64) + (n_first + 8 * (n_header + n_bytes) + 15 + TAIL_BITS)


@cache
def _crc_list() -> list[int]:
    return [crc15(to_bits(byte, 8)) for byte in range(256)]


@cache
def _crc_table() -> NDArray[np.uint16]:
    """Return uint16[256]: the CRC of one byte."""
    return np.array(_crc_list(), np.uint16)


@cache
def _stuff_table(width: int) -> NDArray[np.uint8]:
    """Return uint8[9 << width]: for (state, `width` bits) the next state, above it the stuff bits.

    State 0 is the start; 1..4 a run of that many dominant bits, 5..8 of that many less 4 recessive
    ones.
    """
    table = np.zeros(9 << width, np.uint8)
    for state in range(9):
        for value in range(1 << width):
            last, run = (-1, 0) if state == 0 else divmod(state - 1, 4)
            run += state != 0
            n_stuff = 0
            for bit in to_bits(value, width):
                run = run + 1 if bit == last else 1
                last = bit
                if run == STUFF_RUN:
                    last, run, n_stuff = 1 - bit, 1, n_stuff + 1
            table[(state << width) | value] = (last * 4 + run) | (n_stuff << 4)
    return table


def to_bits(value: int, width: int) -> list[int]:
    """Return the low `width` bits of an integer, most significant first."""
    return [(value >> i) & 1 for i in reversed(range(width))]


def _refuse(bad: NDArray[np.bool_] | np.bool_, frames: FrameTable, what: str) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    raise UsageError(
        f"frame {row} of {len(frames)} (can_id 0x{int(frames['can_id'][row]):X}) has {what}",
        "only classic CAN frames can be put onto the simulated bus",
    )
