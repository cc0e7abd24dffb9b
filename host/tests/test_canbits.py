import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stagelog.errors import UsageError
from stagelog.model import EXT, FD, FRAME, RTR
from stagelog.rig.bus import canbits
from stagelog.rig.bus.controller import Frame
from stagelog.rig.bus.node import to_table
from stagelog.rig.bus.nodes import random_table

repeatable = settings(deadline=None, derandomize=True)


@st.composite
def frames(draw):
    flags = draw(st.sampled_from([0, EXT, RTR, EXT | RTR]))
    can_id = draw(st.integers(0, 0x1FFFFFFF if flags & EXT else 0x7FF))
    dlc = draw(st.integers(0, 15))
    byte = st.sampled_from([0x00, 0xFF, 0x0F, 0xF0, 0x1F, 0x83]) | st.integers(0, 255)
    n_bytes = canbits.n_bytes_of(flags, dlc)
    data = bytes(draw(st.lists(byte, min_size=n_bytes, max_size=n_bytes)))
    return Frame(can_id, flags, dlc, data)


def stuff_text(text):
    """Stuff a string of 0 and 1, written without knowledge of canbits."""
    out = ""
    for bit in text:
        out += bit
        if out.endswith(("00000", "11111")):
            out += "1" if bit == "0" else "0"
    return out


def test_crc15_has_the_published_check_value():
    bits = [bit for byte in b"123456789" for bit in canbits.to_bits(byte, 8)]
    assert canbits.crc15(bits) == 0x059E  # CRC-15/CAN of the catalogue of parametrised CRCs


@repeatable
@given(frames())
def test_crc15_of_a_number_is_that_of_its_bits(frame):
    bits = canbits.frame_fields(*frame)
    value = int("".join(map(str, bits)), 2)
    assert canbits.crc15_of(value) == canbits.crc15(bits)


def test_fields_of_a_base_frame_are_those_of_the_standard():
    bits = canbits.frame_fields(0x123, 0, 2, b"\xa5\x0f")
    assert "".join(map(str, bits)) == "00010010001100000101010010100001111"


def test_fields_of_an_extended_remote_frame_are_those_of_the_standard():
    bits = canbits.frame_fields(0x1ABCDEF0, EXT | RTR, 8)
    base, rest = f"{0x1ABCDEF0:029b}"[:11], f"{0x1ABCDEF0:029b}"[11:]
    assert "".join(map(str, bits)) == "0" + base + "11" + rest + "1" + "00" + "1000"


def test_stuffing_restarts_the_run_with_the_stuff_bit():
    # the classic worst case: after the first five, every four more bits cost one
    stuffed, is_stuff = canbits.stuff(canbits.to_bits(0b00000_1111_0000_1111, 17))
    assert "".join(map(str, stuffed)) == "000001111100000111110"
    assert sum(is_stuff) == 4


@repeatable
@given(st.lists(st.integers(0, 1), max_size=120))
def test_stuffing_equals_the_textual_rule_and_never_leaves_six(bits):
    stuffed, is_stuff = canbits.stuff(bits)
    text = "".join(map(str, stuffed))
    assert text == stuff_text("".join(map(str, bits)))
    assert "000000" not in text and "111111" not in text
    assert [bit for bit, extra in zip(stuffed, is_stuff, strict=True) if not extra] == bits


@repeatable
@given(frames())
@example(Frame(0, 0, 0, b""))
@example(Frame(0x1FFFFFFF, EXT, 8, b"\xff" * 8))
def test_frame_bits_of_a_table_equals_the_oracle(frame):
    expected = canbits.n_frame_bits(*frame)
    assert canbits.frame_bits(to_table([frame])).tolist() == [expected]


def test_frame_bits_equals_the_oracle_over_a_mixed_table_longer_than_a_chunk():
    table = random_table(canbits._CHUNK + 4000, np.random.default_rng(7))
    lengths = canbits.frame_bits(table)
    for i in [*range(0, len(table), 37), canbits._CHUNK - 1, canbits._CHUNK]:
        row = table[i]
        frame = row["can_id"], row["flags"], row["dlc"]
        data = row["data"].tobytes()
        assert lengths[i] == canbits.n_frame_bits(*map(int, frame), data), i


@repeatable
@given(frames())
def test_length_stays_within_the_bounds(frame):
    n_bytes = len(frame.data)
    fixed = (54 if frame.flags & EXT else 34) + 8 * n_bytes
    n_bits = canbits.n_frame_bits(*frame)
    assert fixed + 13 <= n_bits <= fixed + 13 + (fixed - 1) // 4
    assert n_bits <= canbits.longest_frame_bits(n_bytes, bool(frame.flags & EXT))


@pytest.mark.parametrize(("extended", "longest"), [(False, 135), (True, 160)])
def test_bound_for_eight_bytes_is_the_published_one(extended, longest):
    assert canbits.longest_frame_bits(8, extended) == longest


def test_bound_counts_a_stuff_bit_after_every_fourth_bit_up_to_the_last():
    worst = [0] * 5 + [1 - i // 4 % 2 for i in range(93)]  # 98 bits: SOF to CRC of 8 data bytes
    assert len(worst) == 98
    assert len(canbits.stuff(worst)[0]) + 13 == 135


def test_shortest_frame_is_reached():
    table = random_table(20_000, np.random.default_rng(1))
    assert canbits.frame_bits(table).min() == canbits.SHORTEST_FRAME_BITS == 47


@repeatable
@given(frames(), frames())
def test_arbitration_keys_order_frames_as_the_wired_and_does(a, b):
    winner = bitwise_winner(a, b)
    key_a, key_b = canbits.arbitration_keys(to_table([a, b])).tolist()
    assert (key_a > key_b) - (key_a < key_b) == winner


def bitwise_winner(a, b):
    """Return -1 if a wins, 1 if b does, 0 if they agree to the end of the arbitration field."""
    ends = [33 if frame.flags & EXT else 14 for frame in (a, b)]
    for i, (bit_a, bit_b) in enumerate(
        zip(canbits.frame_fields(*a), canbits.frame_fields(*b), strict=False)
    ):
        if i == min(ends):
            return 0
        if bit_a != bit_b:
            return -1 if bit_a == 0 else 1
    return 0


def test_arbitration_prefers_base_to_extended_and_data_to_remote():
    order = [
        Frame(0x100, 0, 0, b""),
        Frame(0x100, RTR, 0, b""),
        Frame(0x100 << 18, EXT, 0, b""),
        Frame(0x100 << 18, EXT | RTR, 0, b""),
        Frame(0x100 << 18 | 1, EXT, 0, b""),
        Frame(0x101, 0, 0, b""),
    ]
    keys = canbits.arbitration_keys(to_table(order)).tolist()
    assert keys == sorted(keys) and len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("can_id", 0x800, "0x800"),
        ("flags", FD, "flags"),
        ("dlc", 16, "DLC"),
        ("n_bytes", 7, "length"),
        ("data", 1, "bytes beyond"),
    ],
)
def test_a_frame_that_cannot_be_is_refused_with_its_row(column, value, words):
    table = np.zeros(3, FRAME)
    table["dlc"] = table["n_bytes"] = 4
    table[column][2] = value
    with pytest.raises(UsageError, match=f"frame 2 of 3.*{words}"):
        canbits.check_frames(table)
