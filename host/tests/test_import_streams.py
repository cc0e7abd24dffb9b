"""What every importer stands on: whole lines with bounded memory, bus numbers, impossible frames,
one table of many chunks.
"""

import gzip

import numpy as np
import pytest

from stagelog.errors import InputError
from stagelog.importers.diagnostics import Diagnostics
from stagelog.importers.stream import (
    BusNames,
    FrameStream,
    _moved,
    collect,
    impossible,
    join_frames,
    line_chunks,
)
from stagelog.model import ERR, EXT, FD, FRAME, FRAME_FD, RTR


def lines_of(path, n_bytes=64):
    """Return (diagnostics, chunks) of a text."""
    seen = Diagnostics()
    return seen, list(line_chunks(path, seen, n_bytes))


@pytest.mark.parametrize(
    "content",
    [
        b"one\ntwo\n" * 40,
        b"\xef\xbb\xbf" + b"one\ntwo\n" * 40,
        ("one\ntwo\n" * 40).encode("utf-16"),
        "\ufeff".encode("utf-16-be") + ("one\ntwo\n" * 40).encode("utf-16-be"),
        gzip.compress(b"one\ntwo\n" * 40),
    ],
    ids=["plain", "mark", "utf-16", "utf-16-be", "gzip"],
)
@pytest.mark.parametrize("n_bytes", [5, 64, 4096])
def test_text_comes_in_whole_lines(tmp_path, content, n_bytes):
    path = tmp_path / "x.log"
    path.write_bytes(content)
    seen, chunks = lines_of(path, n_bytes)
    assert b"".join(chunk for _, chunk in chunks) == b"one\ntwo\n" * 40
    assert all(chunk.endswith(b"\n") and n_cut == 0 for n_cut, chunk in chunks)
    assert seen.ok and not seen.notes
    if n_bytes < 4096:
        assert len(chunks) > 2 and max(len(chunk) for _, chunk in chunks) <= n_bytes + 4


def test_the_last_line_may_lack_its_end(tmp_path):
    path = tmp_path / "x.log"
    path.write_bytes(b"one\ntwo")
    seen, chunks = lines_of(path)
    assert chunks == [(0, b"one\n"), (0, b"two\n")] and seen.ok
    assert seen.notes == ["the last line has no newline; it is read as it is"]
    assert seen.n_bytes == 7


def test_a_line_of_more_than_four_kilobytes_is_cut_out(tmp_path):
    """4,096 bytes without an end are kept, 4,097 are not; lines behind know that one is away."""
    path = tmp_path / "x.log"
    path.write_bytes(
        b"one\n" + b"x" * 4097 + b"y" * 5000 + b"\ntwo\n" + b"z" * 5000 + b"\nthree\n"
    )
    seen, chunks = lines_of(path, 100)
    assert chunks[0] == (0, b"one\n")
    assert b"".join(chunk for _, chunk in chunks) == b"one\ntwo\nthree\n"
    assert [n_cut for n_cut, _ in chunks if n_cut] == [1, 1]
    assert seen.counts == {"line too long": 2}
    path.write_bytes(b"x" * 4096 + b"\n")
    seen, chunks = lines_of(path, 4096)
    assert seen.ok and chunks == [(0, b"x" * 4096 + b"\n")]


def test_a_gzip_file_that_is_cut_or_damaged_gives_what_came_before(tmp_path):
    rng = np.random.default_rng(3)
    text = b"".join(b"%032x\n" % int(n) for n in rng.integers(0, 1 << 62, 20_000))
    packed = gzip.compress(text)
    path = tmp_path / "x.log.gz"
    path.write_bytes(packed[: len(packed) // 2])
    seen, chunks = lines_of(path, 1 << 14)
    whole = b"".join(chunk for _, chunk in chunks)
    n_whole = whole.rindex(b"\n", 0, -1) + 1  # the last one may be cut
    assert seen.counts == {"truncated": 1}
    assert len(text) / 3 < n_whole < len(text) and text.startswith(whole[:n_whole])
    spoilt = bytearray(packed)
    spoilt[len(packed) // 2] ^= 0xFF
    path.write_bytes(spoilt)
    seen, chunks = lines_of(path, 1 << 14)
    assert sum(seen.counts.values()) == 1 and chunks
    assert b"".join(chunk for _, chunk in chunks)[: len(text) // 4] == text[: len(text) // 4]


@pytest.mark.parametrize("n_bytes", [100, 1 << 14, 1 << 19])
def test_a_gzip_file_of_several_streams_is_read_to_its_end(tmp_path, n_bytes):
    """`cat a.log.gz b.log.gz`, a recorder that appends, pigz: RFC 1952, 2.2, "a gzip file consists
    of a series of members"; tapes add zeros. What is no gzip behind the last one is damage.
    """
    texts = [b"".join(b"%d %05d\n" % (k, n) for n in range(20_000)) for k in range(3)]
    packed = b"".join(map(gzip.compress, texts))
    path = tmp_path / "x.log.gz"
    for end in (b"", bytes(100_000)):
        path.write_bytes(packed + end)
        seen, chunks = lines_of(path, n_bytes)
        assert b"".join(chunk for _, chunk in chunks) == b"".join(texts) and not seen.counts
    path.write_bytes(packed + b"what is this?")
    seen, chunks = lines_of(path, n_bytes)
    assert b"".join(chunk for _, chunk in chunks) == b"".join(texts)
    assert seen.counts == {"damaged gzip stream": 1}
    path.write_bytes(packed[:-9])
    seen, chunks = lines_of(path, n_bytes)
    assert seen.counts == {"truncated": 1}


def test_a_gzip_file_that_expands_without_end_is_stopped(tmp_path, monkeypatch):
    """64 MB are always allowed, and 200 times the size of the file; 70 MB of newlines are more."""
    path = tmp_path / "x.log.gz"
    path.write_bytes(gzip.compress(b"\n" * (70 << 20), 1))
    size = path.stat().st_size
    seen, n = Diagnostics(), 0
    for _, chunk in line_chunks(path, seen):
        n += len(chunk)
    assert seen.counts == {"expands too far": 1}
    allowed = max(1 << 26, 200 * size)
    assert allowed <= n < allowed + (1 << 20)


def test_a_long_log_that_compresses_well_is_read_to_its_end(tmp_path):
    """81 MB, more than the 64 MB that are always allowed, packed some 100 to 1."""
    rng = np.random.default_rng(5)
    idle = (b"1" * 99 + b"\n") * 400
    text = b"".join(rng.bytes(200).hex().encode() + b"\n" + idle for _ in range(2000))
    path = tmp_path / "x.log.gz"
    path.write_bytes(gzip.compress(text, 1))
    assert len(text) > 1 << 26 and 50 < len(text) / path.stat().st_size < 200
    seen, n = Diagnostics(), 0
    for _, chunk in line_chunks(path, seen):
        n += len(chunk)
    assert n == len(text) and not seen.counts


def test_what_cannot_be_opened_is_named(tmp_path):
    for path, says in ((tmp_path, "is a folder"), (tmp_path / "none.log", "no such file")):
        with pytest.raises(InputError, match=says):
            lines_of(path)


def test_names_of_buses_get_their_own_number_or_the_first_free_one():
    names = []
    buses = BusNames(names)
    given = ["can2", "vcan0", "slcan", "can2", "can0", "can1000", "x3y", "can255", "can256"]
    # can0 is taken by vcan0, so it gets the first free one behind slcan, which took 1
    assert [buses.index(name) for name in given] == [2, 0, 1, 2, 3, 4, 5, 255, 6]
    assert names[:8] == ["vcan0", "slcan", "can2", "can0", "can1000", "x3y", "can256", ""]
    assert len(names) == 256 and names[255] == "can255"
    for k in range(400):
        buses.index(f"bus_{k}_")
    assert len(names) == 256 and "" not in names and buses.index("one more") is None
    assert buses.index("can2") == 2


def frames(n, dtype=FRAME, **values):
    made = np.zeros(n, dtype)
    made["dlc"] = made["n_bytes"] = 8
    for name, given in values.items():
        made[name] = given
    return made


def test_what_can_does_not_have_is_impossible():
    """11 bits end at 7FF; a length is that of its DLC, of CAN FD by the table of ISO 11898-1."""
    rows = [
        (0, 0x7FF, 8, 8, False),
        (0, 0x800, 8, 8, True),
        (EXT, 0x1FFFFFFF, 8, 8, False),
        (0, 0x100, 3, 2, True),
        (0, 0x100, 9, 8, False),  # a DLC above 8 is 8 bytes
        (0, 0x100, 16, 8, True),
        (RTR, 0x100, 3, 0, False),
        (RTR, 0x800, 3, 0, True),
        (ERR, 0x800, 3, 1, False),
        (FD, 0x100, 9, 12, False),
        (FD, 0x100, 9, 8, True),
        (FD, 0x100, 15, 64, False),
        (FD, 0x100, 13, 32, False),
    ]
    flags, can_id, dlc, n_bytes, wrong = zip(*rows, strict=True)
    made = frames(len(rows), FRAME_FD, flags=flags, can_id=can_id, dlc=dlc, n_bytes=n_bytes)
    assert impossible(made).tolist() == list(wrong)
    assert impossible(frames(0)).tolist() == []


def stream_of(tmp_path, *chunks):
    path = tmp_path / "x.log"
    path.write_bytes(b"x" * 1000)
    return FrameStream("candump", path, chunks, Diagnostics())


def test_impossible_frames_are_counted_with_the_place_of_the_first(tmp_path):
    first, second = frames(3), frames(4, can_id=[1, 0x900, 0x901, 2])
    stream = stream_of(tmp_path, first, frames(0), second)
    sizes = [len(chunk) for chunk in stream]
    assert sizes == [3, 2]  # an empty one is not handed out
    assert stream.diagnostics.n_frames == 5
    assert stream.diagnostics.counts == {"impossible frame": 2}
    (damage, *_) = stream.diagnostics.damages
    assert str(damage) == "frame 5: impossible frame (identifier 900, DLC 8, 8 bytes)"


def test_chunks_become_one_table_of_the_wider_kind(tmp_path):
    """7 frames of 8 bytes, then 2 of CAN FD, then 5: what is behind 8 bytes is zero."""
    short = frames(7, can_id=1, t_us=np.arange(7))
    short["data"] = 9
    long = frames(2, FRAME_FD, can_id=2, t_us=[7, 8], flags=FD, dlc=15, n_bytes=64)
    long["data"] = 5
    last = frames(5, can_id=3, t_us=np.arange(9, 14))
    log = collect(stream_of(tmp_path, short, long, last))
    assert log.frames.dtype == FRAME_FD and log.frames["t_us"].tolist() == list(range(14))
    assert log.frames["can_id"].tolist() == [1] * 7 + [2] * 2 + [3] * 5
    assert (log.frames["data"][:7, :8] == 9).all() and (log.frames["data"][:7, 8:] == 0).all()
    assert (log.frames["data"][7:9] == 5).all() and (log.frames["data"][9:] == 0).all()
    joined = join_frames([short, frames(0), long, last])
    assert (joined == log.frames).all()
    assert join_frames([short]) is short and join_frames([short, last]).dtype == FRAME
    assert len(collect(stream_of(tmp_path)).frames) == 0


@pytest.mark.parametrize("n_first", [1, 50])
def test_a_long_log_gets_its_table_at_the_first_chunk(tmp_path, monkeypatch, n_first):
    """A file of 100,000 bytes in chunks of 1,000: its first one took a hundredth of it, so 100
    times its frames are expected, and 10 % more. Only a log that becomes denser is moved again.
    """
    path = tmp_path / "x.log"
    path.write_bytes(bytes(100_000))
    rooms = []

    def moved(table, room, dtype):
        rooms.append(room)
        return _moved(table, room, dtype)

    def chunks(seen):
        for k in range(100):
            seen.n_bytes += 1000
            n = 50 if k else n_first
            yield frames(n, can_id=k, t_us=np.arange(n))

    monkeypatch.setattr("stagelog.importers.stream._moved", moved)
    seen = Diagnostics()
    log = collect(FrameStream("x", path, chunks(seen), seen))
    assert len(log.frames) == n_first + 99 * 50
    assert log.frames["can_id"].tolist()[-50:] == [99] * 50
    assert rooms[0] == pytest.approx(110 * n_first, abs=2)
    assert len(rooms) == 1 if n_first == 50 else 2 <= len(rooms) <= 12


def test_a_payload_of_64_bytes_late_in_a_log_is_kept_whole(tmp_path):
    """There is room for 110 frames of 8 bytes when the first frame of CAN FD comes."""
    path = tmp_path / "x.log"
    path.write_bytes(bytes(10_000))
    long = frames(1, FRAME_FD, can_id=2, t_us=[50], flags=FD, dlc=15, n_bytes=64)
    long["data"] = np.arange(64)

    def chunks(seen):
        for chunk in (frames(50, can_id=1, t_us=np.arange(50)), long):
            seen.n_bytes += 5000
            yield chunk

    seen = Diagnostics()
    log = collect(FrameStream("x", path, chunks(seen), seen))
    assert log.frames["data"][50].tolist() == list(range(64))
    assert log.frames["can_id"].tolist() == [1] * 50 + [2]
