"""Listening to a logger: what is asked for, when it is renewed, what comes out, by a script.

The frames of the link are made with struct, zlib and the package cobs by firmware/SPEC.md.
"""

import struct
import zlib

import pytest
from cobs import cobs

from slog import messages as m
from slog.layout import size
from stagelog.listen import LiveLink

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
