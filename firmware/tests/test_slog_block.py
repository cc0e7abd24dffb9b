"""The block codec: what is sealed is good, what was touched is not."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slog import layout
from slog.block import CRC, N_RECORDS, crc_of, is_block, is_header, seal

DEVICE = bytes(range(8))


def sealed(n_records=10, position=7, filler=0x5A):
    block = bytearray([filler]) * layout.BLOCK_BYTES
    block[N_RECORDS] = n_records
    seal(block, DEVICE, 3, 0x1234, 99, position, layout.FLAG_PARTIAL)
    return block


@pytest.mark.parametrize("n_records", [0, 1, 251, 252])
def test_a_sealed_block_is_good_at_its_place_only(n_records):
    block = sealed(n_records)
    assert is_block(block, 7) and is_header(block, 7)
    assert not is_block(block, 8) and not is_header(block, 8)
    assert not is_block(block[:-1], 7)


def test_sealing_again_moves_a_block():
    block = sealed()
    seal(block, DEVICE, 3, 0x1234, 99, 8, layout.FLAG_PARTIAL)
    assert is_block(block, 8) and not is_block(block, 7)


@given(st.integers(0, 252), st.data())
def test_any_flipped_bit_that_is_covered_makes_a_block_bad(n_records, data):
    block = sealed(n_records)
    n_bits = (layout.HEADER_BYTES + n_records * layout.RECORD_BYTES) * 8
    bit = data.draw(st.integers(0, n_bits - 1))
    block[bit // 8] ^= 1 << bit % 8
    assert not is_block(block, 7)


def test_every_flipped_bit_of_a_header_makes_a_block_bad():
    for bit in range(layout.HEADER_BYTES * 8):
        block = sealed(20)
        block[bit // 8] ^= 1 << bit % 8
        assert not is_block(block, 7), bit


def test_bytes_behind_the_records_do_not_count():
    block = sealed(20)
    block[layout.HEADER_BYTES + 20 * layout.RECORD_BYTES :] = bytes(
        layout.BLOCK_BYTES - layout.HEADER_BYTES - 20 * layout.RECORD_BYTES
    )
    assert is_block(block, 7)


@pytest.mark.parametrize("n_records", [253, 255])
def test_a_header_with_more_records_than_fit_is_none(n_records):
    block = sealed()
    block[N_RECORDS] = n_records
    assert not is_header(block, 7)


def test_a_header_is_as_the_specification_draws_it():
    """SPEC.md: "SL", version 1, n, device, boot 3, nonce 0x1234, seq 99 = 0x63, position 7; flags
    from byte 56, "partial" is bit 0, and two reserved bytes of zero.
    """
    block = sealed()
    assert bytes(block[:12]) == b"SL\x01\x0a" + DEVICE
    assert block[12:28].hex() == "03000000" + "34120000" + "63000000" + "07000000"
    assert block[56:60].hex() == "01000000"


@pytest.mark.parametrize("at", [0, 1])
def test_a_header_that_does_not_begin_with_its_mark_is_none(at):
    """SL, in these two bytes; a CRC that fits does not help."""
    block = sealed()
    assert bytes(block[:2]) == b"SL"
    block[at] ^= 0x20
    struct.pack_into("<I", block, CRC, crc_of(block))
    assert not is_header(block, 7) and not is_block(block, 7)


@pytest.mark.parametrize(("version", "is_known"), [(0, False), (1, True), (2, True), (3, False)])
def test_a_header_of_another_version_is_none(version, is_known):
    """SPEC.md: there are versions 1 and 2; a card may have blocks of both."""
    block = sealed()
    block[2] = version
    assert is_header(block, 7) == is_known


def test_a_torn_block_is_bad_at_every_sector():
    old, new = sealed(252, filler=1), sealed(252, filler=2)
    for n in range(1, 8):
        torn = new[: n * 512] + old[n * 512 :]
        assert is_header(torn, 7) and not is_block(torn, 7)


def test_the_crc_is_the_one_of_zip():
    import zlib

    block = sealed(3)
    covered = bytes(block[:CRC]) + bytes(block[64 : 64 + 3 * 16])
    assert crc_of(block) == zlib.crc32(covered) == struct.unpack_from("<I", block, CRC)[0]
    assert zlib.crc32(b"123456789") == 0xCBF43926


def test_layouts_have_no_holes_and_unique_names():
    tables = [layout.BLOCK_HEADER, layout.RECORD, layout.SIGNATURE, layout.RELEASE]
    tables += [row[3] for row in layout.META]
    for table in tables:
        names = [row[0] for row in table]
        assert len(set(names)) == len(names)
        at = 0
        for (name, offset), row in zip(layout.offsets(table).items(), table, strict=True):
            assert (name, offset) == (row[0], at)
            at += struct.calcsize("<" + row[1])
        assert at == layout.size(table)


def test_pack_and_unpack_are_inverse():
    values = {row[0]: i for i, row in enumerate(layout.RELEASE)} | {
        "magic": layout.RELEASE_MAGIC,
        "extent_id": b"12345678",
    }
    packed = layout.pack(layout.RELEASE, values)
    assert layout.unpack(layout.RELEASE, packed) == values
    assert layout.unpack(layout.RELEASE, b"\0" * 5 + packed, 5) == values
    assert layout.pack(layout.RELEASE, {}) == bytes(layout.size(layout.RELEASE))
    with pytest.raises(struct.error):
        layout.unpack(layout.RELEASE, packed[:-1])
