"""Listening to a logger: what is asked for, when it is renewed, what comes out, by a script.

The frames of the link are made with struct, zlib and the package cobs by firmware/SPEC.md.
"""

import struct
import zlib

import numpy as np
import pytest
from cobs import cobs

from slog import messages as m
from slog.layout import size
from stagelog.listen import LiveLink
from stagelog.model import BRS, EXT, FD, FRAME_FD
from stagelog.rig.tape import tape_of
from stagelog.rig.target import SimTarget

STATUS, LIVE = 0x02, 0x0A


def framed(kind, request, payload):
    raw = bytes([kind, request]) + payload
    return b"\0" + cobs.encode(raw + struct.pack("<I", zlib.crc32(raw))) + b"\0"


def pushed(records=(), n_skipped=0, t0_us=0):
    """Return a push; `records` are (t_us, can_id, dlc, data)."""
    head = struct.pack("<BBHII", 0, len(records), n_skipped, t0_us & 0xFFFFFFF, t0_us >> 28)
    body = b"".join(
        struct.pack("<II8s", t_us & 0xFFFFFFF | dlc << 28, can_id, data)
        for t_us, can_id, dlc, data in records
    )
    return framed(LIVE | 0x80, 0, head + body)


class Logger:
    """A stream: answers STATUS with 7.5 s since boot, LIVE with nothing; time passes in reads."""

    def __init__(self):
        self.now_s = 50.0
        self.asked = []
        self.line = b""

    def clock(self):
        return self.now_s

    def write(self, data):
        for wire in filter(None, data.split(b"\0")):
            raw = cobs.decode(wire)
            self.asked.append((round(self.now_s - 50, 1), raw[0], raw[2:-4]))
            if raw[0] == STATUS:
                fields = struct.pack("<BBBBQ", 0, 2, 0, 1, 7_500_000)
                self.line += framed(0x82, raw[1], fields.ljust(size(m.STATUS_REPLY), b"\0"))
            else:
                self.line += framed(LIVE | 0x80, raw[1], struct.pack("<BBHII", 0, 0, 0, 0, 0))

    def read(self, n):
        if not self.line:
            self.now_s += 0.1
        sent, self.line = self.line, b""
        return sent

    def close(self):
        pass


@pytest.fixture
def logger():
    return Logger()


@pytest.fixture
def link(logger):
    live = LiveLink(logger, "C03", logger.clock)
    ns = iter((1_769_000_010_000_000_000, 1_769_000_010_000_400_000))
    live.start(lambda: next(ns))
    return live


def test_the_wall_clock_of_a_frame(link):
    """Asked at 10.0000 s and answered at 10.0004 s of the world, 7.5 s since boot: so boot was at
    10.0002 - 7.5 s.
    """
    assert link.unix_offset_us == 1_769_000_010_000_200 - 7_500_000


def fd_records(t_us, can_id, code, payload, flags=0):
    """Return the records of a frame of CAN FD as `pushed` takes them, SPEC section 1: a head (9)
    with the code, BRS in bit 4, ESI in bit 5 and 7 bytes; each further record (10) has 12 bytes in
    the place of identifier and data.
    """
    found = [(t_us, can_id, 9, bytes([code | flags]) + payload[:7].ljust(7, b"\0"))]
    for at in range(7, len(payload), 12):
        piece = payload[at : at + 12].ljust(12, b"\0")
        found.append((t_us, int.from_bytes(piece[:4], "little"), 10, piece[4:]))
    return found


@pytest.mark.parametrize("cut", range(8))
def test_a_frame_of_can_fd_may_come_in_two_pushes(link, logger, cut):
    """64 bytes are 6 records: 7 in the head, 5 times 12. Before and after it classic frames."""
    payload = bytes(range(1, 65))
    records = [(1_000_000, 0x11, 1, b"\x01" + bytes(7))]
    records += fd_records(1_000_300, 0x12345 | 1 << 31, 15, payload, 0x10)
    records += [(1_000_600, 0x22, 2, b"\x02\x03" + bytes(6))]
    logger.line += pushed(records[:cut], t0_us=1_000_000) + pushed(records[cut:], t0_us=1_000_000)
    rows = []
    while len(rows) < 3:
        frames = link.read_frames(1)
        assert len(frames), f"{len(rows)} frames came"
        rows += [(int(f["t_us"]), int(f["can_id"]), int(f["flags"]), f) for f in frames]
    assert [row[:3] for row in rows] == [
        (1_000_000, 0x11, 0),
        (1_000_300, 0x12345, EXT | FD | BRS),
        (1_000_600, 0x22, 0),
    ]
    data = [bytes(row[3]["data"][: row[3]["n_bytes"]]) for row in rows]
    assert data == [b"\x01", payload, b"\x02\x03"]


def test_the_rest_of_a_frame_in_another_block_is_not_added_to_it(link, logger):
    """The blocks between were skipped; a frame's records lie in one block."""
    records = fd_records(1_000_300, 0x123, 15, bytes(64))
    logger.line += pushed(records[:3], t0_us=1_000_000)
    logger.line += pushed([(2_000_000, 0x22, 0, bytes(8))], n_skipped=3, t0_us=2_000_000)
    (frame,) = link.read_frames(1)
    assert (frame["can_id"], frame["t_us"]) == (0x22, 2_000_000)


def test_what_a_logger_with_can_fd_records_is_pushed_whole(tmp_path):
    """The firmware's own pushes of up to 64 records: 12 bytes each, so 64 bytes are often cut."""
    target = SimTarget(tmp_path, data_bitrate_bps=2_000_000)
    live = LiveLink(target.logger, "sim", target.logger.clock)
    live.start()
    frames = np.zeros(300, FRAME_FD)
    frames["t_us"] = 10_000 + 1000 * np.arange(300)
    frames["can_id"] = 0x100 + np.arange(300) % 50
    frames["flags"] = FD | BRS
    frames["dlc"], frames["n_bytes"] = 15, 64
    frames["data"] = np.random.default_rng(3).integers(0, 256, (300, 64))
    target.play(tape_of(frames))
    got = []
    while sum(map(len, got)) < 300:
        got.append(live.read_frames(2))
        assert len(got[-1]), f"{sum(map(len, got))} frames came"
    joined = np.concatenate(got)
    for name in ("can_id", "flags", "dlc", "n_bytes", "data"):
        assert np.array_equal(joined[name], frames[name]), name
    target.close()


def test_records_come_out_as_frames(link, logger):
    logger.line += pushed(
        [
            (1_000_000, 0x123, 2, b"\xaa\xbb"),
            (1_000_250, 0x1ABCDE | 1 << 31 | 1 << 29, 8, b"12345678"),
        ],
        t0_us=1_000_000,
    )
    first, second = link.read_frames(1)
    assert (first["t_us"], first["can_id"], first["bus"], first["dlc"]) == (1_000_000, 0x123, 0, 2)
    assert first["data"][:2].tobytes() == b"\xaa\xbb" and first["n_bytes"] == 2
    assert (second["t_us"], second["can_id"], second["bus"]) == (1_000_250, 0x1ABCDE, 1)
    assert second["data"].tobytes() == b"12345678" and second["flags"] != first["flags"]


def test_time_beyond_its_28_bits(link, logger):
    """2^28 us are 268.4 s; an hour in, t0 says which round it is."""
    logger.line += pushed([(3_600_000_000, 1, 0, b"")], t0_us=3_600_000_000)
    (frame,) = link.read_frames(1)
    assert frame["t_us"] == 3_600_000_000


def test_asking_is_renewed_every_four_seconds(link, logger):
    """The logger forgets a listener after 10 s."""
    logger.asked.clear()
    for _ in range(13):
        link.read_frames(1)
    renewed = [at_s for at_s, kind, payload in logger.asked if (kind, payload[0]) == (LIVE, 1)]
    assert renewed == pytest.approx([4, 8, 12], abs=0.3)


def test_nothing_comes_out_at_the_timeout(link, logger):
    assert len(link.read_frames(2)) == 0
    assert logger.now_s - 50 == pytest.approx(2, abs=0.3)


def test_blocks_that_were_skipped_are_counted(link, logger):
    for n_skipped in (3, 3, 5):
        logger.line += pushed([(1, 1, 0, b"")], n_skipped)
        link.read_frames(1)
    assert link.n_skipped_blocks == 5


def test_closing_asks_for_no_more(link, logger):
    link.close()
    assert logger.asked[-1][1:] == (LIVE, b"\0")
