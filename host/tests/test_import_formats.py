"""Logs that python-can wrote, read by us and by python-can, compared frame by frame."""

import subprocess
import sys

import numpy as np
import pytest

from stagelog.can_messages import messages_of
from stagelog.errors import InputError
from stagelog.importers import load_frames, sniff, stream_frames
from stagelog.importers.stream import collect
from stagelog.model import BRS, ERR, ESI, EXT, FD, FD_LENGTHS, FRAME, FRAME_FD, RTR

can = pytest.importorskip("can")

T0 = 1_700_000_000_000_000
WRITERS = {
    "candump": ("CanutilsLogWriter", ".log"),
    "blf": ("BLFWriter", ".blf"),
    "asc": ("ASCWriter", ".asc"),
    "trc": ("TRCWriter", ".trc"),
    "mf4": ("MF4Writer", ".mf4"),
}


def some_frames(n, kinds=("classic",), seed=1):
    """Return n frames of the given kinds in FRAME or FRAME_FD."""
    rng = np.random.default_rng(seed)
    frames = np.zeros(n, FRAME_FD if "fd" in kinds else FRAME)
    frames["t_us"] = T0 + np.cumsum(rng.integers(1, 2000, n))
    frames["bus"] = rng.integers(0, 3, n)
    for frame, kind in zip(frames, rng.choice(kinds, n), strict=True):
        is_ext = rng.random() < 0.3
        frame["can_id"] = rng.integers(0, 1 << (29 if is_ext else 11))
        flags = EXT * is_ext
        length = int(rng.integers(0, 9))
        if kind == "fd":
            length = int(rng.choice(FD_LENGTHS[1:]))
            flags |= FD | BRS * int(rng.integers(0, 2)) | ESI * int(rng.integers(0, 2))
        frame["dlc"] = np.searchsorted(FD_LENGTHS, length)
        if kind == "remote":
            flags, length = flags | RTR, 0
        if kind == "error":
            flags, length = ERR, 0
            frame["can_id"] = frame["dlc"] = 0
        frame["flags"], frame["n_bytes"] = flags, length
        frame["data"][:length] = rng.integers(0, 256, length)
    return frames


def write(path, kind, frames):
    """Write frames by python-can's writer of a kind."""
    writer = getattr(can, WRITERS[kind][0])(str(path))
    for message in messages_of(frames, channel_of={k: k for k in range(256)}):
        writer.on_message_received(message)
    writer.stop()
    return path


def by_python_can(path):
    """Return what python-can reads, as comparable tuples."""
    return [
        (
            m.timestamp,
            m.arbitration_id,
            m.is_extended_id,
            m.is_remote_frame,
            m.is_error_frame,
            m.is_fd,
            m.bitrate_switch,
            m.error_state_indicator,
            bytes(m.data or b""),
        )
        for m in can.LogReader(str(path))
    ]


def as_tuples(frames):
    return [
        (
            f["t_us"] / 1e6,
            int(f["can_id"]),
            *(bool(f["flags"] & bit) for bit in (EXT, RTR, ERR, FD, BRS, ESI)),
            bytes(f["data"][: f["n_bytes"]]),
        )
        for f in frames
    ]


CASES = [
    (kind, frame_kinds)
    for kind in WRITERS
    for frame_kinds in (("classic",), ("classic", "remote", "error"), ("classic", "fd"))
    if not (kind == "trc" and frame_kinds != ("classic",))  # its writer knows only these
]


@pytest.mark.parametrize(
    ("kind", "frame_kinds"), CASES, ids=lambda v: v if isinstance(v, str) else "+".join(v)
)
def test_frames_are_those_that_python_can_reads(tmp_path, kind, frame_kinds):
    if kind == "mf4":
        pytest.importorskip("asammdf")
    n = 200 if kind == "mf4" else 700
    path = write(tmp_path / f"x{WRITERS[kind][1]}", kind, some_frames(n, frame_kinds))
    log = load_frames(path)
    assert log.kind == kind
    assert log.diagnostics.ok, log.diagnostics
    wanted = by_python_can(path)
    assert len(wanted) == len(log.frames) == n
    # python-can gives the times of ASC from the start of measurement, we from the epoch
    start_s = log.frames["t_us"][0] / 1e6 - wanted[0][0] if kind == "asc" else 0
    for ours, theirs in zip(as_tuples(log.frames), wanted, strict=True):
        if not (kind == "candump" and theirs[4]):  # it drops the class of an error frame
            assert ours[1:] == theirs[1:]
        assert ours[0] == pytest.approx(theirs[0] + start_s, abs=1.1e-6)


@pytest.mark.parametrize("kind", WRITERS)
def test_what_was_written_comes_back(tmp_path, kind):
    if kind == "mf4":
        pytest.importorskip("asammdf")
    frames = some_frames(300)
    log = load_frames(write(tmp_path / f"x{WRITERS[kind][1]}", kind, frames))
    for name in ("can_id", "flags", "n_bytes", "data"):
        np.testing.assert_array_equal(log.frames[name], frames[name])
    np.testing.assert_array_equal(log.frames["bus"], frames["bus"])
    step = np.diff(log.frames["t_us"]) - np.diff(frames["t_us"])
    assert np.abs(step).max() <= {"trc": 1000, "blf": 0, "candump": 0}.get(kind, 2)
    assert log.diagnostics.times == "absolute"
    if kind != "asc":  # python-can writes the milliseconds of its date without leading zeros
        assert np.abs(log.frames["t_us"] - frames["t_us"]).max() <= 2


def test_streams_in_chunks_give_the_same(tmp_path):
    frames = some_frames(40_000)
    for kind in ("blf", "candump"):
        path = write(tmp_path / f"x{WRITERS[kind][1]}", kind, frames)
        stream = stream_frames(path)
        parts = list(stream)
        assert len(parts) > 1
        whole = collect(stream_frames(path))
        assert b"".join(p.tobytes() for p in parts) == whole.frames.tobytes()
        assert stream.diagnostics.n_frames == len(frames)
        assert stream.ifaces == ["can0", "can1", "can2"]


def test_blf_objects_may_lie_across_containers(tmp_path):
    writer = can.BLFWriter(str(tmp_path / "x.blf"), max_container_size=1000)
    frames = some_frames(500, ("classic", "fd", "error"))
    for message in messages_of(frames, channel_of={k: k for k in range(256)}):
        writer.on_message_received(message)
    writer.stop()
    log = load_frames(tmp_path / "x.blf")
    assert log.diagnostics.ok and len(log.frames) == 500
    np.testing.assert_array_equal(log.frames["data"], frames["data"])


def test_blf_without_compression(tmp_path):
    writer = can.BLFWriter(str(tmp_path / "x.blf"), compression_level=0)
    frames = some_frames(500)
    for message in messages_of(frames, channel_of={k: k for k in range(256)}):
        writer.on_message_received(message)
    writer.stop()
    assert len(load_frames(tmp_path / "x.blf").frames) == 500


SAVVYCAN = """Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8
166064000,0000021A,false,Rx,0,8,FE,36,12,FE,69,05,07,AD,
166064100,18FEF100,true,Rx,1,2,01,02,,,,,,,
166064200,0000021A,false,Rx,0,0,,,,,,,,,
166064300,0000081A,false,Rx,0,0,,,,,,,,,
166064300,0000021A,false,Rx,0,3,01,02
166064400,0000021A,maybe,Rx,0,0,
"""


def test_savvycan(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(SAVVYCAN)
    log = load_frames(path)
    assert (log.kind, log.ifaces) == ("savvycan", ("can0", "can1"))
    assert log.frames["t_us"].tolist() == [166064000, 166064100, 166064200]
    assert log.frames["can_id"].tolist() == [0x21A, 0x18FEF100, 0x21A]
    assert log.frames["flags"].tolist() == [0, EXT, 0]
    assert log.frames["data"][0].tobytes().hex() == "fe3612fe690507ad"
    assert log.diagnostics.counts == {"not a frame": 3}
    assert [d.place for d in log.diagnostics.damages] == ["line 5", "line 6", "line 7"]


def test_lines_of_savvycan_behind_a_cut_one_keep_their_number(tmp_path):
    """Line 3 has no end for 2 MB and is cut out; the row that is no frame is line 5."""
    header, good = SAVVYCAN.splitlines()[:2]
    path = tmp_path / "x.csv"
    path.write_text("\n".join([header, good, "x" * 2_000_000, good, "rubbish", ""]))
    diagnostics = load_frames(path).diagnostics
    assert diagnostics.counts == {"line too long": 1, "not a frame": 1}
    assert diagnostics.damages[1].place == "line 5"


GVRET_HEADERS = {  # as SavvyCAN and the loggers that write for it have had them over the years
    "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8": "{t},{id},{x},Rx,{bus},{n},{d}",
    "Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8": "{t},{id},{x},{bus},{n},{d}",
    "Time Stamp,ID,Extended,Bus,DLC,D1,D2,D3,D4,D5,D6,D7,D8": "{t},{id},{x},{bus},{n},{d}",
    "Time Stamp,ID,Extended,LEN,D1,D2,D3,D4,D5,D6,D7,D8": "{t},{id},{x},{n},{d}",
    "Time Stamp,ID,Extended,Bus,LEN": "{t},{id},{x},{bus},{n},{d}",
}


@pytest.mark.parametrize("header", GVRET_HEADERS)
@pytest.mark.parametrize("first_us", [166064000, -5000])
def test_gvret_columns_are_found_by_the_header(tmp_path, header, first_us):
    has_bus = ",Bus," in header
    row = GVRET_HEADERS[header]
    rows = [
        row.format(t=first_us, id="0000075A", x="false", bus=0, n=8, d="03,E8,00,01,02,03,04,FF,"),
        row.format(t=first_us + 400, id="0x18FEF100", x="true", bus=1, n=2, d="0A,0b"),
        row.format(t=first_us + 500, id="21A", x="false", bus=0, n=0, d=",,,,,,,"),
    ]
    path = tmp_path / "x.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    log = load_frames(path)
    frames = log.frames
    assert log.diagnostics.ok and len(frames) == 3
    assert frames["t_us"].tolist() == [first_us, first_us + 400, first_us + 500]
    assert frames["can_id"].tolist() == [0x75A, 0x18FEF100, 0x21A]
    assert frames["bus"].tolist() == [0, 1 if has_bus else 0, 0]
    assert [f["data"][: f["n_bytes"]].tobytes().hex() for f in frames] == [
        "03e80001020304ff",
        "0a0b",
        "",
    ]


@pytest.mark.parametrize(
    "row",
    [
        "1,0000075A,false,8,03,E8,00,01,02,03,04,FF",  # without the bus that the header names
        "1,0000075A,false,Rx,0,8,03,E8,00,01,02,03,04,FF",  # with a direction that it does not
        "1,0000075A,false,0,2,03,E8,00",  # more bytes than it says
        "1,0000075A,false,0,4,03,E8,00",  # fewer
        "1,0000075A,false,0,3,03,,E8",
        "1,0000075A,false,0,2,03,E80",
        "1,00000800,false,0,1,03",  # 11 bits end at 7FF
        "1,20000000,true,0,1,03",  # 29 bits at 1FFFFFFF
        "1.5,0000075A,false,0,1,03",  # in which unit?
        "1,0000075A,false,0,9,01,02,03,04,05,06,07,08,09",  # no frame has 9 bytes
    ],
)
def test_a_gvret_row_that_contradicts_itself_is_refused(tmp_path, row):
    path = tmp_path / "x.csv"
    good = "5,0000075A,false,0,1,03"
    path.write_text(f"Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3\n{good}\n{row}\n")
    log = load_frames(path)
    assert log.frames["t_us"].tolist() == [5]
    assert [d.place for d in log.diagnostics.damages] == ["line 3"]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("Time Stamp,ID,Extended,Dir,Bus,D1", "neither LEN nor DLC"),
        ("Time Stamp,ID,Bus,LEN,D1", "no column Extended"),
    ],
)
def test_a_gvret_header_that_lacks_a_column_is_refused(tmp_path, header, says):
    path = tmp_path / "x.csv"
    path.write_text(f"{header}\n1,0000075A,0,1,03\n")
    with pytest.raises(InputError, match=f"line 1: .*{says}"):
        load_frames(path)


def test_asc_with_times_relative_to_the_line_before(tmp_path):
    path = tmp_path / "x.asc"
    lines = "".join(f" 0.{k:06d} 1  100  Rx  d 1 0{k}\n" for k in (0, 5, 3, 9))
    path.write_text(f"date Sat Sep 30 15:06:13.191 2017\nbase hex  timestamps relative\n{lines}")
    log = load_frames(path)
    # date -u -d "2017-09-30 15:06:13.191" +%s%3N gives 1506783973191 ms
    start_us = 1_506_783_973_191_000
    assert (log.diagnostics.times, log.diagnostics.clock) == ("absolute", "header")
    assert log.frames["t_us"].tolist() == [start_us + k for k in (0, 5, 8, 17)]


@pytest.mark.parametrize(
    ("text", "seconds"),  # by `date -u -d ... +%s`
    [
        ("Sat Sep 30 15:06:13.191 2017", 1_506_783_973.191),
        ("Sat Sep 30 03:06:13.191 pm 2017", 1_506_783_973.191),
        ("Sat Sep 30 12:06:13 am 2017", 1_506_729_973),
        ("Fre Okt 6 15:06:13 2017", 1_507_302_373),  # German
        ("Thu Jan 1 00:00:00.000 1970", None),  # no wall clock
        ("some day", None),
    ],
)
def test_asc_takes_the_date_of_its_header(tmp_path, text, seconds):
    path = tmp_path / "x.asc"
    path.write_text(
        f"date {text}\nbase hex  timestamps absolute\ninternal events logged\n"
        "   1.500000 1  100             Rx   d 2 01 02\n"
    )
    log = load_frames(path)
    start_us = round((seconds or 0) * 1e6)
    assert log.frames["t_us"].tolist() == [start_us + 1_500_000]
    wanted = ("absolute", "header") if seconds else ("relative", "unknown")
    assert (log.diagnostics.times, log.diagnostics.clock) == wanted


def test_asc_start_of_measurement_in_a_trigger_block_is_the_zero_of_its_times(tmp_path):
    # written on Oct 1, recorded on Sep 30: python-can's writer makes such files
    path = tmp_path / "x.asc"
    path.write_text(
        "date Sun Oct 1 08:00:00.000 2017\nbase hex  timestamps absolute\n"
        "internal events logged\nBegin Triggerblock Sat Sep 30 15:06:13.191 2017\n"
        "   0.000000 Start of measurement\n"
        "   1.500000 1  100             Rx   d 2 01 02\n"
    )
    assert load_frames(path).frames["t_us"].tolist() == [1_506_783_974_691_000]


CONTRADICTIONS = {  # a line, and the kind of log it stands in
    "1.0 1 100 Rx d 2 01 02 03": "asc",  # more bytes than it says
    "1.0 1 100 Rx d 3 01 02": "asc",  # fewer
    "1.0 1 800 Rx d 1 01": "asc",  # 11 bits end at 7FF
    "1.0 1 20000000x Rx d 1 01": "asc",  # 29 bits at 1FFFFFFF
    "1.0 0 100 Rx d 1 01": "asc",  # channels count from 1
    "1.0 CANFD 1 Rx 100 1 0 9 8 01 02 03 04 05 06 07 08": "asc",  # DLC 9 is 12 bytes
    "1) 2.5 Rx 0100 2 01 02 03": "1.1",
    "1) 2.5 Rx 0100 3 01 02": "1.1",
    "1) 2.5 Rx 0800 1 01": "1.1",
    "1 2.5 DT 1 0100 Rx - 2 01 02 03": "2.1",
    "1 2.5 DT 1 0100 Rx - 3 01 02": "2.1",
    "1 2.5 DT 1 20000000 Rx - 1 01": "2.1",
    "1 2.5 DT 0 0100 Rx - 1 01": "2.1",  # buses count from 1
}
GOOD_LINES = {
    "asc": ("base hex  timestamps absolute\n", "2.0 1 101 Rx d 1 01 Length = 245 BitCount = 64"),
    "1.1": (";$FILEVERSION=1.1\n;$STARTTIME=25569.0\n", "2) 3.0 Rx 0101 1 01"),
    "2.1": (
        ";$FILEVERSION=2.1\n;$STARTTIME=25569.0\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n",
        "2 3.0 DT 1 0101 Rx - 1 01",
    ),
}


@pytest.mark.parametrize("line", CONTRADICTIONS)
def test_a_line_that_contradicts_itself_is_refused(tmp_path, line):
    kind = CONTRADICTIONS[line]
    head, good = GOOD_LINES[kind]
    path = tmp_path / "x.log"
    path.write_text(f"{head}{good}\n{line}\n{good}\n")
    log = load_frames(path)
    assert log.frames["can_id"].tolist() == [0x101, 0x101] and log.frames["bus"].max() == 0
    assert sum(log.diagnostics.counts.values()) == 1


def test_asc_line_of_a_canfd_channel_may_be_a_classic_frame(tmp_path):
    # bit 12 of the flags (1000) says CAN FD; 9 blanks in a row hold no symbolic name
    path = tmp_path / "x.asc"
    path.write_text(
        "base hex  timestamps absolute\n"
        "1.0 CANFD 1 Rx 100 0 0 2 2 01 02 0 0 0 0 0 0 0 0\n"
        "1.0 CANFD 1 Rx 101 1 0 9 12 00 01 02 03 04 05 06 07 08 09 0A 0B 0 0 3000 0 0 0 0 0\n"
        "1.0 CANFD 1 Rx 102 0 0 0 0 0 0 1000 0 0 0 0 0\n"
    )
    log = load_frames(path)
    assert log.diagnostics.ok
    assert log.frames["flags"].tolist() == [0, FD | BRS, FD]
    assert log.frames["n_bytes"].tolist() == [2, 12, 0]


def test_a_bad_line_costs_itself_only(tmp_path):
    frames = some_frames(200)
    for kind in ("asc", "trc"):
        path = write(tmp_path / f"x{WRITERS[kind][1]}", kind, frames)
        lines = path.read_text().splitlines()
        body = [k for k, line in enumerate(lines) if line[:1] == " " and "Start" not in line]
        bad = body[10:20:3]
        for k in bad:
            lines[k] = lines[k].replace(" Rx ", " R# ").replace(" DT ", " D# ")
        lines.insert(body[30], "\x00\x01 garbage")
        path.write_text("\n".join(lines), encoding="latin-1")
        log = load_frames(path)
        assert len(log.frames) == 200 - len(bad)
        assert log.diagnostics.counts == {"not a frame": len(bad) + 1}
        assert {d.place for d in log.diagnostics.damages} >= {f"line {k + 1}" for k in bad}


def test_trc_versions_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "x.trc"
    path.write_text(";$FILEVERSION=1.2\n;$STARTTIME=44548.6\n 1) 17535.4 1 Tx 0100 8 00\n")
    with pytest.raises(InputError, match="version '1.2'"):
        load_frames(path)


def test_sniffing_goes_by_content(tmp_path):
    path = tmp_path / "x.blf"
    path.write_text("(1.000000) can0 123#11\n")
    assert sniff(path) == "candump"
    for text in ("", "hello\nworld\n", 'VERSION ""\nBU_: A\n'):
        path.write_text(text)
        with pytest.raises(InputError, match="x.blf"):
            load_frames(path)


def test_our_own_log_goes_through(tmp_path):
    from stagelog.blocks import Identity, pack_session

    path = tmp_path / "x.slog"
    frames = some_frames(1000)
    frames["t_us"] -= T0
    frames["bus"] &= 1
    identity = Identity("e66038b7130f2e29", 3, 0x1234)
    path.write_bytes(pack_session(frames, identity).tobytes())
    log = load_frames(path)
    assert (log.kind, log.diagnostics.ok, log.ifaces) == ("slog", True, ("can0", "can1"))
    for name in ("t_us", "can_id", "bus", "flags", "n_bytes", "data"):
        np.testing.assert_array_equal(log.frames[name], frames[name])


def test_importing_stagelog_importers_is_light():
    code = (
        "import sys, stagelog.importers; "
        "sys.exit(any(m in sys.modules for m in ('can', 'asammdf', 'pandas', 'pyarrow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mf4_that_is_none(tmp_path):
    pytest.importorskip("asammdf")
    path = tmp_path / "x.mf4"
    path.write_bytes(b"MDF     4.10    " + bytes(range(256)) * 10)
    with pytest.raises(InputError, match="asammdf cannot read it"):
        load_frames(path)


def test_mf4_records_that_can_does_not_have_are_refused(tmp_path):
    pytest.importorskip("asammdf")
    from stagelog.export import open_frame_sink

    frames = some_frames(5)
    frames["flags"], frames["can_id"] = EXT, 0x123
    frames["n_bytes"] = frames["dlc"] = 8
    frames["can_id"][1] = 0x4000_0123  # 29 bits end at 1FFFFFFF
    frames["n_bytes"][3] = 5  # DLC 8 is 8 bytes
    path = tmp_path / "x.mf4"
    with open_frame_sink(path, "mf4", from_epoch=True) as sink:
        sink.write(frames)
    log = load_frames(path)
    assert log.frames["t_us"].tolist() == frames["t_us"][[0, 2, 4]].tolist()
    assert log.diagnostics.counts == {"unreadable": 1, "impossible frame": 1}
    assert "record 2" in log.diagnostics.damages[0].place
