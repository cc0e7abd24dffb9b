"""ASC read as columns is what python-can reads line by line, of sound and of damaged files."""

import random

import numpy as np
import pytest

from stagelog.importers import asc, asc_rows, load_frames
from stagelog.importers.line_rows import Lines
from stagelog.model import EXT, FD_LENGTHS

can = pytest.importorskip("can")

HEADER = (
    "base hex  timestamps absolute\ninternal events logged\n   0.000000 Start of measurement\n"
)
TAILS = (
    "",
    "   ",
    "  Length = 240000 BitCount = 124 ID = 291",
    "\tLength = 0",
)


def classic_line(rng):
    """A classic frame as one of the tools writes it: spacing, case and what stands behind vary."""
    gap = rng.choice((" ", "  ", "\t", "             "))
    is_ext = rng.random() < 0.4
    number = rng.randrange(1 << (29 if is_ext else 11))
    n = rng.randrange(9)
    data = "".join(f" {rng.randrange(256):{rng.choice(('02x', '02X'))}}" for _ in range(n))
    name = f"{number:{rng.choice(('x', 'X', '03X'))}}" + "x" * is_ext
    words = (rng.randint(1, 20), name, rng.choice(("Rx", "Tx")), "d")
    return gap.join(map(str, words)) + f" {n:x}{data}{rng.choice(TAILS)}"


def fd_line(rng):
    """A frame on a channel for CAN FD, with or without a symbolic name."""
    dlc = rng.randrange(1, 16)
    n = int(FD_LENGTHS[dlc])
    number = rng.randrange(1 << 11)
    name = rng.choice(("", "  Engine_1 ", f"{'':>32}", "  x"))
    data = " ".join(f"{rng.randrange(256):02X}" for _ in range(n))
    brs, esi = rng.randrange(2), rng.randrange(2)
    head = f"CANFD {rng.randint(1, 9):>3} {rng.choice(('Rx', 'Tx'))}   {number:>8X} {name} "
    return head + f"{brs} {esi} {dlc:x} {n:>2} {data}   130000  130 303000 0 0 0 0"


def rare_line(rng):
    """What is left to python-can: remote requests, odd spellings of a length."""
    return rng.choice(("1  123x  Rx   r 4", "2  7FF  Tx   r", "1  123  Rx   d 08 " + "11 " * 8))


BAD = ("", " ", "0", "9", "F", "x", "-", ".", "\t", "\x0c", "\xa0", "Rx", " 1 ", "\xe9")
KINDS = (classic_line, classic_line, fd_line, lambda rng: "3  ErrorFrame", rare_line)


def made_log(path, seed, n=400):
    """Write a log of mixed lines; half of the seeds have lines that end with CR LF."""
    rng = random.Random(seed)
    t_s, lines = 0.0, []
    for _ in range(n):
        t_s += rng.random() * rng.choice((1e-3, 30))
        digits = rng.choice((6, 6, 6, 3, 4, 9))
        lines.append(f"{rng.choice(('', '  '))}{t_s:.{digits}f} {rng.choice(KINDS)(rng)}")
    text = HEADER + "\n".join(lines) + "\n"
    path.write_text(text, newline="\r\n" if seed % 2 else "\n")
    return path


def by_python_can(path):
    with can.ASCReader(str(path)) as reader:
        return [
            (
                m.arbitration_id,
                m.channel,
                (m.is_extended_id, m.is_remote_frame, m.is_fd, m.bitrate_switch),
                (m.error_state_indicator, m.is_error_frame),
                bytes(m.data or b""),
                round(m.timestamp * 1e6),
            )
            for m in reader
        ]


def as_tuples(frames):
    rows = []
    for frame in frames:
        bits = [bool(frame["flags"] & bit) for bit in (1, 2, 4, 8, 16, 32)]
        data = bytes(frame["data"][: frame["n_bytes"]])
        row = (int(frame["can_id"]), int(frame["bus"]), tuple(bits[:4]), tuple(bits[4:]))
        rows.append((*row, data, int(frame["t_us"])))
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_a_sound_log_is_what_python_can_reads(tmp_path, seed):
    path = made_log(tmp_path / "x.asc", seed)
    log = load_frames(path)
    assert log.diagnostics.ok, log.diagnostics.damages
    assert as_tuples(log.frames) == by_python_can(path)


def test_most_lines_are_read_as_columns(tmp_path, monkeypatch):
    """Of the five kinds of lines four are usual: no line of these goes to python-can, but where
    the ninth decimal decides the sixth.
    """
    left = []
    find = asc._Log._rest
    monkeypatch.setattr(
        asc._Log, "_rest", lambda *args: [left.append(line) or line for line in find(*args)]
    )
    n = len(load_frames(made_log(tmp_path / "x.asc", 0)).frames)
    assert n == 400
    assert left
    for _, text in left:
        assert " r" in text or " 08 " in text or text.split()[0][-3:-1] == "50", text


def damaged(path, seed):
    """Change, double or drop characters of one line in five."""
    rng = random.Random(seed)
    lines = path.read_text().splitlines()
    for k in range(3, len(lines)):
        if rng.random() < 0.2:
            at = rng.randrange(len(lines[k]))
            lines[k] = lines[k][:at] + rng.choice(BAD) + lines[k][at + rng.randrange(3) :]
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")
    return path


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_log_gives_what_python_can_alone_gives(tmp_path, monkeypatch, seed):
    """The same frames, and the same lines named as damaged, without the columns."""
    path = damaged(made_log(tmp_path / "x.asc", seed), seed)
    log = load_frames(path)
    monkeypatch.setattr(asc.asc_rows, "read_rows", lambda *_: None)
    slow = load_frames(path)
    assert slow.diagnostics.counts  # the damage was found at all
    assert log.diagnostics == slow.diagnostics
    assert log.frames.tobytes() == slow.frames.tobytes()


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\0"])
def test_a_character_that_parts_words_is_read_as_python_can_reads_it(tmp_path, monkeypatch, odd):
    """Behind the data `5` is a third byte where the character parts words, else part of a word."""
    path = tmp_path / "x.asc"
    text = f"{HEADER}1.5 1  100  Rx   d 2 01 02\n1.6 1  100  Rx   d 2 01 02  5{odd}F\n"
    path.write_text(text, encoding="latin-1")
    log = load_frames(path)
    monkeypatch.setattr(asc.asc_rows, "read_rows", lambda *_: None)
    slow = load_frames(path)
    assert log.diagnostics == slow.diagnostics and len(log.frames) == len(slow.frames)


def test_a_damaged_line_is_named_in_the_second_chunk_too(tmp_path):
    """Line 3 + 20,000 + 1: each line has 40 bytes, so that it lies behind the first 512 KiB."""
    line = "   1.500000 1  100             Rx   d 2 01 02\n"
    path = tmp_path / "x.asc"
    path.write_text(HEADER + line * 20_000 + line.replace("d 2", "d 3") + line)
    log = load_frames(path)
    assert len(log.frames) == 20_001
    assert [d.place for d in log.diagnostics.damages] == ["line 20004"]


def test_decimal_numbers_are_read(tmp_path):
    path = tmp_path / "x.asc"
    path.write_text("base dec  timestamps absolute\n   1.5 1  100  Rx   d 2 16 255\n")
    [frame] = load_frames(path).frames
    assert (frame["can_id"], bytes(frame["data"][:2])) == (100, b"\x10\xff")


@pytest.mark.parametrize(
    ("text", "t_us"),
    [
        ("0.0000005", 0),  # half a microsecond: to the even one, as the float of python-can
        ("0.0000014", 1),
        ("0.00000151", 2),
        ("1.123456789", 1_123_457),
        ("2.9999999", 3_000_000),
        ("7.5", 7_500_000),
    ],
)
def test_times_are_rounded_to_whole_microseconds(tmp_path, text, t_us):
    path = tmp_path / "x.asc"
    path.write_text(f"{HEADER}{text} 1  100  Rx   d 0\n")
    assert np.array_equal(load_frames(path).frames["t_us"], [t_us])


def test_decimal_numbers_are_read_as_python_can_reads_them(tmp_path, monkeypatch):
    """2,000 random classic frames, written in decimal numbers; no line is left to python-can."""
    rng = np.random.default_rng(11)
    lines = ["date Sat Sep 30 15:06:13.191 2017", "base dec  timestamps absolute"]
    lines.append("internal events logged")
    for k in range(2000):
        n = int(rng.integers(0, 9))
        is_ext = bool(rng.integers(0, 2))
        can_id = int(rng.integers(0, 0x20000000 if is_ext else 0x800))
        data = "".join(f" {byte}" for byte in rng.integers(0, 256, n))
        way = "Rx" if k % 3 else "Tx"
        more = "  Length = 240000 BitCount = 124" if k % 5 == 0 else ""
        shown = f"{can_id}{'x' if is_ext else ''}"
        lines.append(f"  {k / 1000:.6f} {k % 2 + 1}  {shown:<15} {way}   d {n}{data}{more}")
    path = tmp_path / "dec.asc"
    path.write_text("\n".join(lines) + "\n")
    wanted = list(can.ASCReader(path))
    monkeypatch.setattr(asc._Log, "read_rest", lambda self, rows, first: header_only(rows))

    def header_only(rows):
        assert set(np.flatnonzero(~rows.ok).tolist()) <= {0, 1, 2}

    frames = load_frames(path).frames
    assert len(frames) == len(wanted) == 2000
    for frame, message in zip(frames, wanted, strict=True):
        found = (frame["can_id"], frame["flags"] & EXT > 0, frame["n_bytes"], frame["bus"])
        assert found == (
            message.arbitration_id,
            message.is_extended_id,
            len(message.data),
            message.channel,
        )
        assert frame["data"][: frame["n_bytes"]].tobytes() == bytes(message.data)


@pytest.mark.parametrize(
    "line",
    [
        "0.5 1  2048  Rx   d 1 1",  # no identifier of 11 bits
        "0.5 1  536870912x  Rx   d 1 1",
        "0.5 1  100  Rx   d 1 256",
        "0.5 1  100  Rx   d 2 1",
        "0.5 1  100  Rx   d 1 1 2",
        "0.5 1  1F  Rx   d 1 1",
        "0.5 1  100  Rx   d 1 0x1",
        "0.5 1  100  Rx   d 9 1 2 3 4 5 6 7 8",
    ],
)
def test_a_decimal_line_that_contradicts_itself_is_not_read_as_a_frame(tmp_path, line):
    """What the rows leave to python-can is no frame either, or the one that it reads."""
    path = tmp_path / "x.asc"
    path.write_text(f"base dec  timestamps absolute\n{line}\n0.6 1  100  Rx   d 1 7\n")
    lines = Lines(path.read_bytes())
    asc_rows.read_rows(lines, is_hex=False)
    assert lines.ok.tolist() == [False, False, True]
