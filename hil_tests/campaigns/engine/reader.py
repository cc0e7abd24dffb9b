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
    if magic != 0x4C53 or version != 1 or n_records > 252:
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
    """Return [(t_us, bus, can_id, rtr and ext bits, dlc, payload)] of a good block."""
    return [
        (t_us, w1 >> 29 & 1, w1 & 0x1FFFFFFF, w1 >> 30, dlc, payload)
        for t_us, dlc, w1, payload in parse_records(data, block)
        if dlc <= 8
    ]


def parse_release(sector, extent_id):
    """Return (generation, released_seq, position) of a release mark, or None."""
    magic, owner, generation, released_seq, position, crc = struct.unpack_from(
        "<16s8sIIII", sector
    )
    if magic != b"STAGELOG release" or owner != extent_id or zlib.crc32(sector[:36]) != crc:
        return None
    return generation, released_seq, position
