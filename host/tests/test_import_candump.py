"""candump text in, frames out: every dialect, and the column reader against the line reader."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagelog.errors import InputError
from stagelog.importers import candump, candump_lines, candump_rows
from stagelog.importers.diagnostics import Damage
from stagelog.importers.stream import collect
from stagelog.model import BRS, ERR, ESI, EXT, FD, FD_LENGTHS, FRAME, FRAME_FD, RTR

T = 1631416514717133


def read(tmp_path, text):
    path = tmp_path / "log.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return candump.read_candump(path)


def rows(frames):
    return [
        (
            int(f["t_us"]),
            int(f["bus"]),
            int(f["can_id"]),
            int(f["flags"]),
            int(f["dlc"]),
            bytes(f["data"][: f["n_bytes"]]).hex(),
        )
        for f in frames
    ]


LINES = {
    "log": ("(1631416514.717133) can0 0D2#0000FFFF10000000", (0x0D2, 0, 8, "0000ffff10000000")),
    "log, 29 bits": ("(1631416514.717133) can0 000000D2#01", (0x0D2, EXT, 1, "01")),
    "log, lower case": ("(1631416514.717133) can0 7ff#aabb", (0x7FF, 0, 2, "aabb")),
    "log, empty": ("(1631416514.717133) can0 123#", (0x123, 0, 0, "")),
    "log, direction": ("(1631416514.717133) can0 123#1122 T", (0x123, 0, 2, "1122")),
    "log, remote": ("(1631416514.717133) can0 123#R", (0x123, RTR, 0, "")),
    "log, remote with length": ("(1631416514.717133) can0 123#R8 R", (0x123, RTR, 8, "")),
    "log, padded name": ("(1631416514.717133)  can0 123#11", (0x123, 0, 1, "11")),
    "log, long name": (f"(1631416514.717133) {'a' * 60} 123#11", (0x123, 0, 1, "11")),
    "log, nanoseconds": ("(1631416514.717133999) can0 123#11", (0x123, 0, 1, "11")),
    "log, separators": ("(1631416514.717133) can0 123#11.22", (0x123, 0, 2, "1122")),
    "log, raw dlc": (
        "(1631416514.717133) can0 123#0011223344556677_E",
        (0x123, 0, 14, "0011223344556677"),
    ),
    "log, highest raw dlc": (
        "(1631416514.717133) can0 123#0011223344556677_F",
        (0x123, 0, 15, "0011223344556677"),
    ),
    "log, lowest raw dlc": (
        "(1631416514.717133) can0 123#0011223344556677_9",
        (0x123, 0, 9, "0011223344556677"),
    ),
    "log, error": ("(1631416514.717133) can0 20000080#00", (0x80, ERR, 1, "00")),
    "log, FD": (
        "(1631416514.717133) can0 123##3" + "11" * 12,
        (0x123, FD | BRS | ESI, 9, "11" * 12),
    ),
    "log, FD short": (
        "(1631416514.717133) can0 12345678##01122",
        (0x12345678, FD | EXT, 2, "1122"),
    ),
    "table": (
        " (1631416514.717133)  can0  0D2   [8]  00 00 FF FF 10 00 00 01",
        (0x0D2, 0, 8, "0000ffff10000001"),
    ),
    "table, -x": ("(1631416514.717133)  can0  RX - -  0D2   [2]  00 FF", (0x0D2, 0, 2, "00ff")),
    "table, 29 bits": (
        "(1631416514.717133)  can0  12345678   [1]  0A",
        (0x12345678, EXT, 1, "0a"),
    ),
    "table, indented": ("(1631416514.717133)  can0       0D2   [1]  0A", (0x0D2, 0, 1, "0a")),
    "table, empty": ("(1631416514.717133)  can0  0D2   [0]", (0x0D2, 0, 0, "")),
    "table, ascii": (
        "(1631416514.717133)  can0  0D2   [3]  23 5B 29                  '#[)'",
        (0x0D2, 0, 3, "235b29"),
    ),
    "table, remote": ("(1631416514.717133)  can0  0D2   [4]  remote request", (0x0D2, RTR, 4, "")),
    "table, swapped": ("(1631416514.717133)  can0  0D2   [3]  33`22`11", (0x0D2, 0, 3, "112233")),
    "table, binary": (
        "(1631416514.717133)  can0  0D2   [2]  00000001 11111111",
        (0x0D2, 0, 2, "01ff"),
    ),
    "table, raw dlc": (
        "(1631416514.717133)  can0  0D2   {F}  00 01 02 03 04 05 06 07",
        (0x0D2, 0, 15, "0001020304050607"),
    ),
    "table, FD": (
        "(1631416514.717133)  can0  0D2  [12]  00 01 02 03 04 05 06 07 08 09 0A 0B",
        (0x0D2, FD, 9, "000102030405060708090a0b"),
    ),
    "table, error": (
        (
            " (1631416514.717133)  can0  20000004   [8]  00 04 00 00 00 00 00 00   ERRORFRAME\n"
            "\tcontroller-problem{rx-overflow}"
        ),
        (4, ERR, 8, "0004000000000000"),
    ),
    "table, date": (
        " (2021-09-12 03:15:14.717133)  can0  0D2   [1]  0A",
        (0x0D2, 0, 1, "0a"),
    ),
    "colours": ("\x1b[31m(1631416514.717133)  can0  0D2   [1]  0A\x1b[0m", (0x0D2, 0, 1, "0a")),
}


@pytest.mark.parametrize("end", ["\n", "\r\n", ""], ids=["lf", "crlf", "no end"])
@pytest.mark.parametrize("name", LINES)
def test_dialect(tmp_path, name, end):
    line, (can_id, flags, dlc, data) = LINES[name]
    frames, diagnostics = read(
        tmp_path, line.replace("\n", "\r\n" if end == "\r\n" else "\n") + end
    )
    assert rows(frames) == [(T, 0, can_id, flags, dlc, data)]
    assert diagnostics.ok
    assert diagnostics.times == "absolute"


def test_all_dialects_in_one_file_keep_their_order(tmp_path):
    wanted = [(T, *v[1]) for v in LINES.values()]
    frames, diagnostics = read(tmp_path, "\n".join(v[0] for v in LINES.values()))
    assert [(r[0], *r[2:]) for r in rows(frames)] == wanted
    assert frames.dtype == FRAME_FD
    assert diagnostics.ok


NOT_FRAMES = [
    "(1631416514.717133) can0 123#1",
    "(1631416514.717133) can0 123#112233445566778899",
    "(1631416514.717133) can0 123#1G",
    "(1631416514.717133) can0 1234#11",
    "(1631416514.717133) can0 800#11",
    "(1631416514.717133) can0 FFFFFFFF#11",
    "(1631416514.717133) can0 123#R9",
    "(1631416514.717133) can0 123##",
    "(1631416514.717133) can0 123##0" + "11" * 65,
    "(16314x6514.717133) can0 123#11",
    "(1631416514.71713x) can0 123#11",
    "() can0 123#11",
    "(1631416514.717133) 123#11",
    "(1631416514.717133) can0 can1 123#11",
    "(1631416514.717133)  can0  0D2   [9]  00 01 02 03 04 05 06 07 08",
    "(1631416514.717133)  can0  0D2   [2]  00",
    "(1631416514.717133)  can0  0D2   [2]  00 0G",
    "(1631416514.717133)  can0  0D2   [2]  00-01",
    "(1631416514.717133)  can0  0D2  [65]  00 01",
    "some words",
    "\0\0\0\0",
    "[8]",
    "#" * 3 + "x",
    "#",
    "(",
    "ÿþý",
]


def test_junk_is_counted_with_its_line_and_costs_only_itself(tmp_path):
    good = "(1631416514.717133) can0 123#11"
    text = "".join(f"{good}\n{junk}\n" for junk in NOT_FRAMES)
    frames, diagnostics = read(tmp_path, text)
    n_comments = sum(junk.startswith("#") for junk in NOT_FRAMES)
    assert len(frames) == len(NOT_FRAMES)
    assert set(frames["can_id"]) == {0x123}
    assert diagnostics.n_other == n_comments
    assert diagnostics.counts == {"not a frame": len(NOT_FRAMES) - n_comments}
    assert Damage("not a frame", "line 8", NOT_FRAMES[3]) in diagnostics.damages


@pytest.mark.parametrize("junk", NOT_FRAMES)
def test_junk_alone_is_junk(tmp_path, junk):
    frames, diagnostics = read(tmp_path, f"{junk}\n" * 3)
    assert len(frames) == 0
    assert diagnostics.n_damages + diagnostics.n_other == 3


def test_comments_and_drops(tmp_path):
    text = (
        "# made by hand\n// remark\n; remark\n\n"
        "DROPCOUNT: dropped 3 CAN frames on 'can0' socket (total drops 3)\n"
        "(1631416514.717133) can0 123#11\n"
    )
    frames, diagnostics = read(tmp_path, text)
    assert len(frames) == 1
    assert (diagnostics.n_other, diagnostics.n_dropped, diagnostics.counts) == (4, 3, {})
    assert not diagnostics.ok


def test_buses_have_the_numbers_of_their_names(tmp_path):
    path = tmp_path / "x.log"
    path.write_text(
        "".join(f"(1.000000) {n} 123#11\n" for n in ("vcan1", "can0", "vcan1", "slcan0"))
    )
    log = collect(candump.stream_candump(path))
    assert log.ifaces == ("can0", "vcan1", "slcan0")
    assert log.frames["bus"].tolist() == [1, 0, 1, 2]


def test_more_interfaces_than_numbers_is_damage(tmp_path):
    frames, diagnostics = read(tmp_path, "".join(f"(1.0) if{k} 123#11\n" for k in range(300)))
    assert len(frames) == 256
    assert diagnostics.counts == {"too many interfaces": 44}


def test_delta_times_are_summed(tmp_path):
    steps = [0, 500, 20, 1500, 3, 900, 10, 4000, 1, 77] * 3
    lines = "".join(f" (000.{s:06d})  can0  123   [1]  11\n" for s in steps)
    frames, diagnostics = read(tmp_path, lines)
    assert diagnostics.times == "delta"
    assert frames["t_us"].tolist() == np.cumsum(steps).tolist()


def test_times_from_zero_and_none(tmp_path):
    frames, diagnostics = read(tmp_path, "".join(f"(000.{k:06d}) a 123#\n" for k in range(20)))
    assert diagnostics.times == "relative"
    assert frames["t_us"].tolist() == list(range(20))
    frames, diagnostics = read(tmp_path, "can0  123   [1]  11\ncan0 124#22\n")
    assert diagnostics.times == "none"
    assert frames["can_id"].tolist() == [0x123, 0x124]


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le-bom", "gzip"])
def test_encodings(tmp_path, codec):
    text = "(1631416514.717133) can0 123#11\n" * 1000
    if codec == "gzip":
        data = gzip.compress(text.encode(), 0)
    elif codec == "utf-16-le-bom":
        data = b"\xff\xfe" + text.encode("utf-16-le")
    else:
        data = text.encode(codec)
    frames, diagnostics = read(tmp_path, data)
    assert len(frames) == 1000 and diagnostics.ok
    if codec == "gzip":
        frames, diagnostics = read(tmp_path, data[:-20])
        assert len(frames) == 999
        assert diagnostics.counts == {"truncated": 1, "not a frame": 1}


def test_gzip_bomb_is_stopped(tmp_path):
    _, diagnostics = read(tmp_path, gzip.compress(b"\n" * 80_000_000))
    assert diagnostics.counts == {"expands too far": 1}


def test_an_endless_line_is_not_collected(tmp_path):
    text = b"(1.0) a 123#11\n" + b"x" * 5_000_000 + b"\n(1.0) a 124#11\nwords\n"
    frames, diagnostics = read(tmp_path, text)
    assert frames["can_id"].tolist() == [0x123, 0x124]
    assert diagnostics.counts == {"line too long": 1, "not a frame": 1}
    assert diagnostics.damages[1].place == "line 4"


def test_absent_or_a_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        candump.read_candump(tmp_path / "no.log")
    with pytest.raises(InputError, match="folder"):
        candump.read_candump(tmp_path)


def test_empty(tmp_path):
    frames, diagnostics = read(tmp_path, b"")
    assert len(frames) == 0 and frames.dtype == FRAME and diagnostics.ok


@pytest.mark.parametrize(
    "line",
    [
        " can0  123   [2]  11 22 33",  # more bytes than it says
        " can0  123   [3]  11 22",  # fewer
        " can0  123  [12]  11 22 33 44 55 66 77 88 99",
        " can0  123   [9]  11 22 33 44 55 66 77 88 99",  # classic CAN ends at 8
        " can0  123  [09]  11 22 33 44 55 66 77 88 99",  # CAN FD has 8 and 12, not 9
        "(1.0) can0 123##0112233445566778899",
        "(1.0) can0 123#112233445566778899",
        "(1.0) can0 800#11",  # 11 bits end at 7FF
        "(1.0) can0 40000000#11",
        "(1.0) can0 123#123",
    ],
)
@pytest.mark.parametrize("by_line", [False, True])
def test_a_line_that_contradicts_itself_is_refused(tmp_path, monkeypatch, line, by_line):
    if by_line:
        monkeypatch.setattr(candump_rows, "read_log_rows", lambda lines: None)
        monkeypatch.setattr(candump_rows, "read_table_rows", lambda lines: None)
    good = "(2.0) can0 124#01"
    frames, diagnostics = read(tmp_path, f"{good}\n{line}\n")
    assert frames["can_id"].tolist() == [0x124]
    assert sum(diagnostics.counts.values()) == 1


def test_the_text_of_candump_a_is_no_data(tmp_path):
    lines = (
        " can0  123   [3]  41 42 43                  'ABC'\n"
        " can0  123   [8]  41 42 43 44 45 46 47 48   'ABCDEFGH'\n"
    )
    frames, diagnostics = read(tmp_path, lines)
    assert frames["n_bytes"].tolist() == [3, 8] and diagnostics.ok


@st.composite
def frame_lines(draw):
    ext = draw(st.booleans())
    number = draw(st.integers(0, 0x1FFFFFFF if ext else 0x7FF))
    name = f"{number:08X}" if ext else f"{number:03X}"
    t = f"({draw(st.integers(0, 2**31))}.{draw(st.integers(0, 999999)):06d})"
    iface = draw(st.sampled_from(["can0", "vcan1", "any-name-up-to15"]))
    kind = draw(st.sampled_from(["log", "remote", "fd", "table", "table fd", "table remote"]))
    n = draw(st.sampled_from(FD_LENGTHS.tolist() if "fd" in kind else range(9)))
    data = draw(st.binary(min_size=n, max_size=n))
    if kind == "log":
        return f"{t} {iface} {name}#{data.hex()}"
    if kind == "remote":
        return f"{t} {iface} {name}#R{len(data)}"
    if kind == "fd":
        return f"{t} {iface} {name}##{draw(st.integers(0, 3))}{data.hex()}"
    if kind == "table":
        return f" {t}  {iface}  {name}   [{len(data)}]  {data.hex(' ')}"
    if kind == "table fd":
        return f" {t}  {iface}  {name}  [{len(data):02d}]  {data.hex(' ')}"
    return f"  {iface}  {name}   [{len(data)}]  remote request"


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(frame_lines(), min_size=1, max_size=40))
def test_columns_read_what_the_line_reader_reads(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("c") / "x.log"
    path.write_text("\n".join(lines) + "\n")
    by_column, diagnostics = candump.read_candump(path)
    assert diagnostics.ok and len(by_column) == len(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candump_rows, "read_log_rows", lambda lines: None)
        patch.setattr(candump_rows, "read_table_rows", lambda lines: None)
        by_line, _ = candump.read_candump(path)
    assert by_column.tobytes() == by_line.tobytes()


def test_usual_lines_never_reach_the_line_reader(tmp_path, monkeypatch):
    def refuse(text):
        raise AssertionError(text)

    monkeypatch.setattr(candump_lines, "_read_line", refuse)
    rare = ("long name", "separators", "raw dlc", "swapped", "binary", "date", "colours")
    usual = [v[0] for k, v in LINES.items() if not any(word in k for word in rare)]
    frames, _ = read(tmp_path, "\n".join(usual) + "\n")
    assert len(frames) == len(usual)
