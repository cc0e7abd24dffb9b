"""A small reader of blocks, written from SPEC.md alone: the second opinion of every campaign.

Shares no code with `slog` or `stagelog.blocks`, so that a mistake in the tables cannot hide
itself.
"""

import struct
import zlib
from dataclasses import dataclass

BLOCK_BYTES = 4096
SECTOR_BYTES = 512
_HEADER = struct.Struct("<HBB8sIIIIIIIIIIHHHHI")
_LOW = 0xFFFFFFF
FD_FRAME = 0x100  # beside the first byte of a frame of CAN FD, in place of its dlc
_FD_HEAD, _FD_MORE = 9, 10
_FD_BYTES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)


@dataclass(frozen=True, slots=True)
class Block:
    """What the header of a good block says."""

    n_records: int
    device_id: bytes
    boot: int
    nonce: int
    seq: int
    position: int
    t0_us: int
    stored: tuple
    dropped: tuple
    at_least: tuple
    flags: int

    @property
    def session(self):
        """The session's identity."""
        return (self.device_id, self.boot, self.nonce)


def parse_block(data, position=None):
    """Return the Block in 4096 bytes, or None if it is not whole or (if given) not at its own
    place.
    """
    fields = _HEADER.unpack_from(data)
    magic, version, n_records = fields[:3]
    if magic != 0x4C53 or version not in (1, 2) or n_records > 252:
        return None
    if position is not None and fields[7] != position:
        return None
    end = 64 + 16 * n_records
    if zlib.crc32(data[:60] + data[64:end]) != fields[18]:
        return None
    device_id, boot, nonce, seq, place, t0_lo, t0_hi = fields[3:10]
    return Block(
        n_records,
        device_id,
        boot,
        nonce,
        seq,
        place,
        t0_hi << 28 | t0_lo,
        fields[10:12],
        fields[12:14],
        fields[14:16],
        fields[16],
    )


def parse_records(data, block):
    """Return [(t_us, dlc, w1, payload)] of a good block: dlc 15 is a meta record."""
    records = []
    t_us = block.t0_us
    for at in range(64, 64 + 16 * block.n_records, 16):
        w0, w1 = struct.unpack_from("<II", data, at)
        step = ((w0 & _LOW) - t_us) & _LOW
        t_us += step - (1 << 28 if step >= 1 << 27 else 0)
        records.append((t_us, w0 >> 28, w1, data[at + 8 : at + 16]))
    return records


def frames_of(data, block):
    """Return [(t_us, bus, can_id, rtr and ext bits, dlc, payload)] of a good block. Of CAN FD the
    dlc is FD_FRAME with the byte of code, BRS and ESI, and the payload has its own length.
    """
    frames = []
    rest = 0  # bytes that the frame of CAN FD still lacks
    for t_us, dlc, w1, payload in parse_records(data, block):
        if rest and dlc != _FD_MORE:
            raise ValueError(f"a frame of CAN FD ends {rest} bytes early")
        if dlc == _FD_HEAD:
            n = _FD_BYTES[payload[0] & 15]
            part = payload[1 : 1 + n]
            frame = (t_us, w1 >> 29 & 1, w1 & 0x1FFFFFFF, w1 >> 30, FD_FRAME | payload[0], part)
            rest = n - len(part)
            frames.append(frame)
        elif dlc == _FD_MORE:
            part = (struct.pack("<I", w1) + payload)[:rest]
            rest -= len(part)
            frames[-1] = (*frames[-1][:5], frames[-1][5] + part)
        elif dlc <= 8:
            frames.append((t_us, w1 >> 29 & 1, w1 & 0x1FFFFFFF, w1 >> 30, dlc, payload))
    if rest:
        raise ValueError(f"a frame of CAN FD ends {rest} bytes early")
    return frames


def parse_release(sector, extent_id):
    """Return (generation, released_seq, position) of a release mark, or None."""
    magic, owner, generation, released_seq, position, crc = struct.unpack_from(
        "<16s8sIIII", sector
    )
    if magic != b"STAGELOG release" or owner != extent_id or zlib.crc32(sector[:36]) != crc:
        return None
    return generation, released_seq, position
