"""Frames on a byte stream: whatever garbage comes, only whole frames come out, and they all do."""

import random

import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from slog.framing import (
    MAX_FRAME,
    MAX_PAYLOAD,
    MAX_WIRE,
    PACKET_BYTES,
    FrameWriter,
    Receiver,
    cobs_decode,
    cobs_encode,
    frame,
)


class Collector:
    def __init__(self, **options):
        self.receiver = Receiver(**options)
        self.got = []

    def feed(self, chunk):
        self.receiver.feed(chunk, lambda kind, n, data: self.got.append((kind, n, bytes(data))))
        return self


def encoded(data):
    out = bytearray(len(data) + len(data) // 254 + 3)
    return bytes(out[: cobs_encode(data, len(data), out, 0)])


def decoded(data):
    buf = bytearray(data)
    n = cobs_decode(buf, len(buf))
    return None if n < 0 else bytes(buf[:n])


runs = st.lists(
    st.one_of(st.binary(max_size=20), st.integers(0, 600).map(lambda n: b"\x07" * n)), max_size=6
).map(b"".join)


@given(runs)
def test_cobs_is_the_one_of_the_library(data):
    wire = encoded(data)
    assert 0 not in wire
    assert wire == cobs.encode(data) or wire == cobs.encode(data) + b"\x01"
    assert decoded(wire) == decoded(cobs.encode(data)) == data
    assert cobs.decode(wire) == data


@given(st.binary(max_size=300))
def test_decoding_any_bytes_never_fails_and_agrees_with_the_library(data):
    try:
        theirs = cobs.decode(data)
    except cobs.DecodeError:
        theirs = None
    assert decoded(data) == theirs


@pytest.mark.parametrize("n", [0, 1, 247, 248, 249, 501, 503, MAX_PAYLOAD])
def test_a_frame_of_any_length_is_received(n):
    payload = random.Random(n).randbytes(n)
    wire = frame(0x85, 9, payload)
    assert len(wire) <= MAX_WIRE + 2 and wire[0] == wire[-1] == 0 and 0 not in wire[1:-1]
    assert Collector().feed(wire).got == [(0x85, 9, payload)]


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.tuples(st.just("frame"), runs), st.tuples(st.just("noise"), runs))),
    st.integers(1, 50),
)
def test_every_frame_between_garbage_is_received(parts, n_chunk):
    wire, sent = b"", []
    for kind, data in parts:
        if kind == "frame":
            wire += frame(1, 2, data)
            sent.append((1, 2, data))
        else:
            wire += data
    collector = Collector()
    for at in range(0, len(wire), n_chunk):
        collector.feed(wire[at : at + n_chunk])
    assert collector.got == sent


def test_every_flipped_bit_costs_its_frame_only():
    wire = frame(5, 6, b"ab\0cd")
    for bit in range(8, (len(wire) - 1) * 8):
        hurt = bytearray(wire)
        hurt[bit // 8] ^= 1 << bit % 8
        collector = Collector().feed(hurt).feed(frame(1, 1, b"next"))
        assert collector.got == [(1, 1, b"next")], bit


def test_truncation_at_every_byte_costs_one_frame():
    wire = frame(5, 6, b"x" * 40)
    for n in range(1, len(wire) - 1):
        collector = Collector().feed(wire[:n]).feed(wire)
        assert collector.got == [(5, 6, b"x" * 40)]


def test_what_does_not_fit_is_counted_and_forgotten():
    collector = Collector(max_wire=100)
    collector.feed(b"\x02" * 5000 + b"\0" + frame(1, 1, b"small"))
    assert collector.got == [(1, 1, b"small")]
    assert collector.receiver.n_bad == 1


@pytest.mark.parametrize("text", [b"AT\r\nATZ\r\n", b"\x03\x04>>> import os\r\n", b"OK\r\n" * 900])
def test_modem_probes_and_repl_text_cost_one_frame(text):
    collector = Collector().feed(text).feed(frame(2, 3, b"status"))
    assert collector.got == [(2, 3, b"status")]
    assert collector.receiver.n_bad == 1


def test_a_flood_of_noise_gives_nothing():
    collector = Collector().feed(random.Random(1).randbytes(300_000))
    assert not collector.got and collector.receiver.n_bad > 500
    assert collector.feed(b"\0" + frame(1, 1, b"")).got == [(1, 1, b"")]


def test_sizes_of_buffers_follow_from_the_payload():
    assert MAX_FRAME == MAX_PAYLOAD + 6
    assert len(frame(1, 1, b"\1" * MAX_PAYLOAD)) - 2 <= MAX_WIRE


def test_an_empty_frame_of_one_byte_type_is_the_shortest():
    got = []
    receiver = Receiver()
    wire = frame(1, 2, b"")
    receiver.feed(wire + b"\x01\x01\0" + wire, lambda *a: got.append((a[0], a[1], bytes(a[2]))))
    assert got == [(1, 2, b"")] * 2 and receiver.n_bad == 1


def test_what_is_not_cobs_is_minus_one():
    for data in (b"\0", b"\3\1", b"\3\0\1"):
        assert cobs_decode(bytearray(data), len(data)) == -1


def test_a_frame_that_fills_the_buffer_to_its_last_byte_is_received():
    wire = frame(1, 2, b"\xff" * 40)
    for room, n_good in ((len(wire) - 2, 1), (len(wire) - 3, 0)):
        got = []
        receiver = Receiver(max_wire=room)
        receiver.feed(wire + frame(3, 4, b"x"), lambda *a, got=got: got.append(a[0]))
        assert got == [1, 3][1 - n_good :]
        assert receiver.n_bad == 1 - n_good


@pytest.mark.parametrize("n", [0, 1, 57, 58, 59, 60, 120, 248, 253, 254, 255, 509, MAX_PAYLOAD])
def test_a_frame_made_in_pieces_is_the_frame_made_at_once(n):
    writer = FrameWriter()
    rng = random.Random(n)
    for fill in (rng.randbytes(n), b"\xff" * n, bytes(n)):
        for size in (1, 7, 512, n + 1):
            writer.begin(5, 7)
            for at in range(0, n, size):
                writer.put(b"??" + fill, 2 + at, min(size, n - at))
            wire = bytes(writer.wire[: writer.end()])
            whole = frame(5, 7, fill)
            assert wire.startswith(whole) and not any(wire[len(whole) :])
            assert len(wire) % PACKET_BYTES == 0 and len(wire) - len(whole) < PACKET_BYTES
            got = []
            Receiver().feed(wire, lambda *f, got=got: got.append((f[0], f[1], bytes(f[2]))))
            assert got == [(5, 7, fill)]


def test_a_frame_takes_whole_sectors():
    sectors = [bytes([i]) * 512 for i in (1, 2)]
    writer = FrameWriter()
    writer.begin(5, 7)
    for sector in sectors:
        writer.put_sector(sector)
    assert bytes(writer.wire[: writer.end()]).startswith(frame(5, 7, b"".join(sectors)))


@pytest.mark.parametrize("n_more", [1, 7, 100])
def test_a_frame_with_bytes_beyond_the_buffer_is_none_though_its_start_is_one(n_more):
    """What fits is a whole frame with a right CRC; but it goes on."""
    whole = frame(3, 9, b"abc").strip(b"\0")
    found = []
    receiver = Receiver(max_wire=len(whole))
    receiver.feed(b"\0" + whole + b"\x05" * n_more + b"\0", lambda *words: found.append(words))
    assert found == [] and receiver.n_bad == 1
    receiver.feed(whole + b"\0", lambda kind, request, data: found.append((kind, bytes(data))))
    assert found == [(3, b"abc")] and receiver.n_bad == 1


@pytest.mark.parametrize("n", [0, 1, 51, 52, 53, 54, 55, 56, 200])
def test_zeros_fill_the_last_packet_whatever_the_buffer_held(n):
    """Head 2, CRC 4, two code bytes of COBS at most and the zeros around it: whole packets."""
    writer = FrameWriter()
    for i in range(len(writer.wire)):
        writer.wire[i] = 0xEE if i else 0
    writer.begin(3, 9)
    writer.put(b"x" * n, 0, n)
    end = writer.end()
    wire = bytes(writer.wire[:end])
    whole = frame(3, 9, b"x" * n)
    assert wire == whole.ljust(end, b"\0") and end % 64 == 0 and 0 <= end - len(whole) < 64
    assert wire[-1] == 0
