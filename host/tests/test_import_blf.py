"""BLF made by hand, byte by byte: times before the start, and what contradicts itself.

The layout is that of Vector's binlog objects as python-can has it: file header 144 bytes, objects
on four-byte borders, container type 10 with method 0 (not compressed), CAN message type 1.
"""

import struct

import pytest

from stagelog.importers import load_frames

# 2023-11-14 22:13:20.000 UTC is 1,700,000,000 s after 1970, a Tuesday (day 2)
START = (2023, 11, 2, 14, 22, 13, 20, 0)
START_us = 1_700_000_000_000_000


def can_object(t_ns, channel=1, can_id=0x123, dlc=2, data=b"\x01\x02"):
    body = struct.pack("<HBBL8s", channel, 0, dlc, can_id, data)
    head = struct.pack("<4sHHLL", b"LOBJ", 32, 1, 32 + len(body), 1)
    return head + struct.pack("<LHHQ", 2, 0, 0, t_ns % (1 << 64)) + body


def blf_file(objects, n_objects=0):
    stream = b"".join(objects)
    container = struct.pack("<H6xL4x", 0, len(stream)) + stream
    container = struct.pack("<4sHHLL", b"LOBJ", 16, 1, 16 + len(container), 10) + container
    head = struct.pack("<4sLBBBBBBBB", b"LOGG", 144, 0, 0, 0, 0, 2, 6, 8, 1)
    head += struct.pack("<QQLL8H8H", 144 + len(container), 0, n_objects, 0, *START, *START)
    return head.ljust(144, b"\0") + container


@pytest.fixture
def read(tmp_path):
    def call(*objects, n_objects=0):
        path = tmp_path / "x.blf"
        path.write_bytes(blf_file(objects, n_objects))
        return load_frames(path)

    return call


def test_an_object_before_the_start_of_the_measurement_keeps_its_time(read):
    # 1.5 s before the start: -1,500,000,000 ns in 64 bits
    log = read(can_object(-1_500_000_000), can_object(2_000_000))
    assert log.frames["t_us"].tolist() == [START_us - 1_500_000, START_us + 2000]
    assert log.diagnostics.ok and log.diagnostics.clock == "header"


@pytest.mark.parametrize("t_ns", [1 << 62, -(1 << 62)])
def test_a_time_decades_off_is_damage(read, t_ns):
    log = read(can_object(t_ns), can_object(1000))
    assert log.frames["t_us"].tolist() == [START_us + 1]
    assert log.diagnostics.counts == {"time out of range": 1}


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"channel": 0}, "channel out of range"),
        ({"channel": 257}, "channel out of range"),
        ({"can_id": 0x4000_0123}, "identifier out of range"),
        ({"can_id": 0x800}, "impossible frame"),  # without bit 31: 11 bits, which end at 7FF
    ],
)
def test_what_can_does_not_have_is_damage(read, wrong, kind):
    log = read(can_object(0), can_object(1000, **wrong), can_object(2000))
    assert log.frames["t_us"].tolist() == [START_us, START_us + 2]
    assert log.diagnostics.counts == {kind: 1}


def test_fewer_objects_than_the_header_counts_is_damage(read):
    assert read(can_object(0), can_object(1000), n_objects=2).diagnostics.ok
    log = read(can_object(0), can_object(1000), n_objects=5)
    assert len(log.frames) == 2 and log.diagnostics.counts == {"objects missing": 3}
