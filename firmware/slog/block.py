"""The block codec: seal a block, check a block. The records in it are written by the ring.

0      2   3   4          12    16     20   24        28         36            56     60   64
magic  ver n   device_id  boot  nonce  seq  position  t0 lo, hi  counts 2 x 5  flags  crc  records
"""

import binascii
import struct

from slog.layout import (
    BLOCK_BYTES,
    BLOCK_HEADER,
    HEADER_BYTES,
    MAGIC,
    RECORD,
    RECORD_BYTES,
    RECORDS_PER_BLOCK,
    VERSION,
    VERSION_FD,
    offsets,
)

_OFFSETS = offsets(BLOCK_HEADER)
N_RECORDS = _OFFSETS["n_records"]
DEVICE_ID = _OFFSETS["device_id"]
BOOT = _OFFSETS["boot"]
SEQ = _OFFSETS["seq"]
POSITION = _OFFSETS["position"]
T0_LO = _OFFSETS["t0_lo"]
STORED0 = _OFFSETS["stored0"]
FLAGS = _OFFSETS["flags"]
CRC = _OFFSETS["crc"]
RECORD_DATA = offsets(RECORD)["data"]


def crc_of(block):
    """Return the CRC-32 that a block's header must hold: header up to it, records in use."""
    view = memoryview(block)
    end = HEADER_BYTES + block[N_RECORDS] * RECORD_BYTES
    return binascii.crc32(view[HEADER_BYTES:end], binascii.crc32(view[:CRC]))


def seal(block, device_id, boot, nonce, seq, position, flags, version=VERSION):
    """Complete the header of a block that the ring has closed. May be repeated with another
    position.
    """
    struct.pack_into("<HB", block, 0, MAGIC, version)
    struct.pack_into("<8sIIII", block, DEVICE_ID, device_id, boot, nonce, seq, position)
    struct.pack_into("<HH", block, FLAGS, flags, 0)
    struct.pack_into("<I", block, CRC, crc_of(block))


def is_header(sector, position):
    """Return whether `sector` starts like a block that was written for `position`; the CRC is not
    checked.
    """
    magic, version, n_records = struct.unpack_from("<HBB", sector, 0)
    return (
        magic == MAGIC
        and VERSION <= version <= VERSION_FD
        and n_records <= RECORDS_PER_BLOCK
        and struct.unpack_from("<I", sector, POSITION)[0] == position
    )


def is_block(block, position):
    """Return whether `block` is whole and was written for `position`."""
    return (
        len(block) == BLOCK_BYTES
        and is_header(block, position)
        and struct.unpack_from("<I", block, CRC)[0] == crc_of(block)
    )
