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
