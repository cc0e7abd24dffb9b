"""BLF made by hand, byte by byte: times before the start, and what contradicts itself.

The layout is that of Vector's binlog objects as python-can has it: file header 144 bytes, objects
on four-byte borders, container type 10 with method 0 (not compressed), CAN message type 1.
"""

import struct

import pytest

from stagelog import model
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


# Objects of every kind, byte by byte


def made(kind, body, t=5_000, flags=2, version=1):
    """Return an object: header version 1 has 32 bytes, version 2 has 40; flags 1 are ticks of
    10 us, 2 are ns.
    """
    n_head = 32 if version == 1 else 40
    head = struct.pack("<4sHHLL", b"LOBJ", n_head, version, n_head + len(body), kind)
    return (head + struct.pack("<LHHQ", flags, 0, 0, t)).ljust(n_head, b"\0") + body


def can_body(channel=1, flags=0, dlc=2, can_id=0x123, data=b"\x01\x02"):
    return struct.pack("<HBBL8s", channel, flags, dlc, can_id, data)


def fd_body(flags=0, fd=1, dlc=9, n=12, data=bytes(range(64))):
    body = struct.pack("<HBBLLBBBBL64sL", 2, flags, dlc, 0x123, 0, 0, fd, n, 0, 0, data, 0)
    assert len(body) == 88 and body[13] == fd
    return body


def fd64_body(flags=0x1000, dlc=9, n=12, extra=0, data=bytes(range(12)), can_id=0x123):
    head = struct.pack(
        "<BBBBLLLLLLLHBBL", 3, dlc, n, 0, can_id, 0, flags, 0, 0, 0, 0, 0, 0, extra, 0
    )
    assert len(head) == 40
    return head + data


def row(log, k=0):
    frame = log.frames[k]
    n = int(frame["n_bytes"])
    names = ("bus", "can_id", "flags", "dlc")
    return (*(int(frame[name]) for name in names), bytes(frame["data"][:n].tolist()))


BYTES12 = bytes(range(12))
EXT, RTR, ERR, FD, BRS, ESI = (
    getattr(model, n) for n in ("EXT", "RTR", "ERR", "FD", "BRS", "ESI")
)
# name: (type, body, (bus, identifier, flags, DLC, payload))
KINDS = {
    "can": (1, can_body(), (0, 0x123, 0, 2, b"\x01\x02")),
    "can of 29 bits": (
        1,
        can_body(can_id=0x98FEF100, channel=4),
        (3, 0x18FEF100, EXT, 2, b"\x01\x02"),
    ),
    "can 2": (86, can_body() + bytes(8), (0, 0x123, 0, 2, b"\x01\x02")),
    "remote": (86, can_body(flags=0x80, dlc=5), (0, 0x123, RTR, 5, b"")),
    "a DLC of 12": (
        1,
        can_body(dlc=12, data=b"12345678"),
        (0, 0x123, 0, 12, b"12345678"),
    ),
    "error": (2, struct.pack("<HHL", 3, 0, 0), (2, 0, ERR, 0, b"")),
    "error ext": (
        73,
        struct.pack("<HHLBBBBLLHH8s", 2, 0, 0, 0, 0, 3, 0, 0, 0x123, 0, 0, b"abc"),
        (1, 0x123, ERR, 3, b"abc"),
    ),
    "fd": (100, fd_body(), (1, 0x123, FD, 9, BYTES12)),
    "fd with switched rate": (100, fd_body(fd=3), (1, 0x123, FD | BRS, 9, BYTES12)),
    "fd of an error passive node": (100, fd_body(fd=5), (1, 0x123, FD | ESI, 9, BYTES12)),
    "a classic frame as fd": (100, fd_body(fd=0, dlc=2, n=2), (1, 0x123, 0, 2, b"\0\1")),
    "fd 64": (101, fd64_body(), (2, 0x123, FD, 9, BYTES12)),
    "fd 64 with switched rate": (
        101,
        fd64_body(0x7000, can_id=0x80000123),
        (2, 0x123, EXT | FD | BRS | ESI, 9, BYTES12),
    ),
    "fd 64 remote": (101, fd64_body(0x10, dlc=3, n=0, data=b""), (2, 0x123, RTR, 3, b"")),
    "fd 64 that lacks four bytes": (
        101,
        fd64_body(data=BYTES12[:8]),
        (2, 0x123, FD, 9, BYTES12[:8] + bytes(4)),
    ),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("version", [1, 2])
def test_an_object_of_every_kind(read, name, version):
    kind, body, wanted = KINDS[name]
    log = read(made(kind, body, version=version), made(1, can_body()))
    assert row(log) == wanted and row(log, 1) == KINDS["can"][2]
    assert log.diagnostics.ok and log.frames["t_us"].tolist() == [START_us + 5] * 2


def test_extra_data_behind_a_payload_is_none_of_it(read):
    """Its offset counts from the object's begin: 32 + 40 + 8 bytes; 4 bytes of 12 are not held."""
    body = fd64_body(extra=80, data=BYTES12[:8] + b"extra data here!")
    assert row(read(made(101, body)))[-1] == BYTES12[:8] + bytes(4)


def test_times_are_ticks_of_ten_microseconds_or_nanoseconds(read):
    """7 ticks are 70 us; 1,499 ns are rounded to 1 us, 1,500 to 2."""
    log = read(made(1, can_body(), 7, 1), made(1, can_body(), 1_499), made(1, can_body(), 1_500))
    assert (log.frames["t_us"] - START_us).tolist() == [70, 1, 2]


def test_other_objects_are_counted_and_skipped(read):
    """Type 5 is none of ours; its 3 bytes are filled to 4."""
    other = made(5, b"abc") + b"\0"
    log = read(made(1, can_body()), other, other, made(1, can_body()), n_objects=4)
    assert len(log.frames) == 2 and log.diagnostics.n_other == 2 and log.diagnostics.ok


def test_bytes_between_objects_are_damage_and_cost_nothing_else(read):
    log = read(made(1, can_body()), b"garbage!" * 3, made(1, can_body(dlc=1)))
    assert [row(log, k)[3] for k in range(2)] == [2, 1]
    assert sum(log.diagnostics.counts.values()) == 1 and not log.diagnostics.ok


def test_an_object_that_is_cut_off_at_the_end_is_damage(read):
    log = read(made(1, can_body()), made(1, can_body())[:40])
    assert len(log.frames) == 1 and log.diagnostics.counts == {"truncated": 1}


def test_buses_are_named_by_their_channels(read):
    log = read(made(1, can_body(channel=3)), made(1, can_body(channel=1)))
    assert log.frames["bus"].tolist() == [2, 0] and list(log.ifaces) == ["can0", "can1", "can2"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (1, can_body(dlc=2, data=b"\xff" * 8)),
        (100, fd_body(dlc=2, n=2, data=b"\xff" * 64)),
        (101, fd64_body(dlc=2, n=2, data=b"\xff" * 12)),
    ],
)
def test_bytes_behind_a_payload_are_zero(read, kind, body):
    (frame,) = read(made(kind, body)).frames
    assert frame["data"][:2].tolist() == [255, 255] and not frame["data"][2:].any()


def container(stream):
    """Return a container of a stream, filled with as many bytes as its size leaves over 4."""
    body = struct.pack("<H6xL4x", 0, len(stream)) + stream
    found = struct.pack("<4sHHLL", b"LOBJ", 16, 1, 16 + len(body), 10) + body
    return found + bytes(len(found) % 4)


def header(start, n_objects=0):
    head = struct.pack("<4sLBBBBBBBB", b"LOGG", 144, 0, 0, 0, 0, 2, 6, 8, 1)
    return (head + struct.pack("<QQLL8H8H", 0, 0, n_objects, 0, *start, *start)).ljust(144, b"\0")


@pytest.mark.parametrize("cut", [48, 49, 50, 51])
def test_a_stream_goes_on_in_the_next_container(tmp_path, cut):
    """Wherever the stream was cut: 0 to 3 bytes fill the first container. Start: .345 s."""
    stream = made(1, can_body()) + made(1, can_body(dlc=1), 9_000)
    path = tmp_path / "x.blf"
    start = (*START[:-1], 345)
    path.write_bytes(header(start, 2) + container(stream[:cut]) + container(stream[cut:]))
    log = load_frames(path)
    assert log.diagnostics.ok and log.frames["dlc"].tolist() == [2, 1]
    assert (log.frames["t_us"] - START_us).tolist() == [345_005, 345_009]
