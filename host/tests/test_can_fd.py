"""A log of classic frames and CAN FD, from format to format, decoded, replayed; or refused.

The log is candump's text, written by hand: after ## stands a digit of flags, 1 bit rate switched,
2 sender error passive. python-can and cantools are the oracles.
"""

import json
import sqlite3

import pytest

from stagelog.cli import main
from stagelog.cli.convert import FRAME_KINDS, SIGNAL_KINDS
from stagelog.importers import load_frames
from stagelog.model import BRS, ESI, EXT, FD

can = pytest.importorskip("can")
cantools = pytest.importorskip("cantools")

LONG = bytes((7 * k + 3) & 255 for k in range(64))
LOG = f"""\
(1700000000.123457) can0 123#0102030405060708
(1700000000.123999) can0 123##1{bytes(range(12)).hex().upper()}
(1700000000.200000) can1 18FEF100##0
(1700000000.300000) can0 7FF##3{LONG.hex().upper()}
(1700000000.400000) can0 123##2AABB
(1700000000.999999) can0 7FF#FF
"""
FLAGS = [0, FD | BRS, FD | EXT, FD | BRS | ESI, FD | ESI, 0]
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 2047 Big: 64 ECU
 SG_ Near : 0|16@1+ (0.5,-10) [0|0] "V" ECU
 SG_ Far : 439|12@0- (1,0) [0|0] "A" ECU
 SG_ Wide : 448|64@1+ (1,0) [0|0] "" ECU
"""


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.log").write_text(LOG)
    (tmp_path / "x.dbc").write_text(DBC)
    return tmp_path


def call(capsys, *words):
    """Run a command; return (exit code, standard output, standard error)."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out, err = capsys.readouterr()
    return ended.value.code, out, err


@pytest.mark.parametrize(
    "chain",
    [("blf", "asc", "mf4", "slog", "log"), ("mf4", "blf", "log"), ("slog", "asc", "log")],
    ids="-".join,
)
def test_a_mixed_log_comes_back_byte_by_byte(log, capsys, chain):
    if "mf4" in chain:
        pytest.importorskip("asammdf")
    source = "x.log"
    for k, suffix in enumerate(chain):
        target = f"{k}.{suffix}"
        assert call(capsys, "convert", source, target)[0] == 0
        assert load_frames(target).frames["flags"].tolist() == FLAGS, target
        source = target
    assert (log / source).read_text() == LOG


@pytest.mark.parametrize("suffix", ["blf", "asc", "mf4", "slog"])
def test_python_can_reads_the_same_frames(log, capsys, suffix):
    if suffix == "mf4":
        pytest.importorskip("asammdf")
    assert call(capsys, "convert", "x.log", f"y.{suffix}")[0] == 0
    with can.LogReader(f"y.{suffix}") as reader:
        read = [m for m in reader if m.is_fd]
    told = [(m.arbitration_id, m.bitrate_switch, m.error_state_indicator) for m in read]
    assert told == [
        (0x123, True, False),
        (0x18FEF100, False, False),
        (0x7FF, True, True),
        (0x123, False, True),
    ]
    assert [bytes(m.data) for m in read] == [bytes(range(12)), b"", LONG, b"\xaa\xbb"]


def test_what_cannot_hold_it_says_so(log, capsys):
    code, out, _ = call(capsys, "convert", "x.log", "y.trc")
    assert code == 1 and "4 left out: the format cannot hold them" in out
    assert [int(b) for b in load_frames("y.trc").frames["n_bytes"]] == [8, 1]
    code, _, err = call(capsys, "replay", "x.log", "--closed-loop")
    assert code == 2 and "no CAN FD" in err


HELD = {  # each format that convert writes: frames of CAN FD that it holds, of four
    **dict.fromkeys((".log", ".blf", ".asc", ".mf4", ".slog"), 4),
    ".trc": 0,  # version 1.1 of PEAK's format knows none
}


def test_the_table_has_every_format_that_convert_writes():
    assert set(HELD) == set(FRAME_KINDS)


@pytest.mark.parametrize("suffix", HELD)
def test_a_format_holds_can_fd_or_says_how_many_frames_it_left_out(log, capsys, suffix):
    if suffix == ".mf4":
        pytest.importorskip("asammdf")
    code, out, _ = call(capsys, "convert", "x.log", f"y{suffix}")
    flags = load_frames(f"y{suffix}").frames["flags"]
    assert int((flags & FD > 0).sum()) == HELD[suffix]
    assert int((flags & FD == 0).sum()) == 2  # the classic ones are in each
    assert (code, "4 left out: the format cannot hold them" in out) == (
        (1, True) if not HELD[suffix] else (0, False)
    )


@pytest.mark.parametrize("suffix", SIGNAL_KINDS)
def test_each_format_of_signals_has_those_of_a_frame_of_64_bytes(log, capsys, suffix):
    """Wide lies in bytes 56 to 63. ISO 11898-1: a classic frame has none of them."""
    if suffix == ".mf4":
        pytest.importorskip("asammdf")
    target = "folder" if suffix == ".csv" else f"y{suffix}"
    more = ("--csv", "--out", target) if suffix == ".csv" else ()
    verb = ("decode", "x.log") if more else ("convert", "x.log", target)
    code, out, err = call(capsys, *verb, "--dbc", "x.dbc", *more)
    assert code == 0, out + err
    written = log / ("folder/Big.csv" if more else target)
    assert b"Wide" in written.read_bytes()


def test_peaks_trace_with_can_fd_is_read(log):
    """Types of version 2.1: DT classic, FD, FB with a bit rate switch, BI of a passive sender."""
    (log / "y.trc").write_text(
        ";$FILEVERSION=2.1\n;$STARTTIME=45244.0\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n"
        " 1  0.500 DT 1 0123 Rx -  2 01 02\n"
        " 2  1.500 FD 1 0123 Rx -  9 00 01 02 03 04 05 06 07 08 09 0A 0B\n"
        " 3  2.500 FB 1 0123 Rx -  2 AA BB\n"
        " 4  3.500 BI 1 0123 Rx -  2 AA BB\n"
    )
    frames = load_frames("y.trc").frames
    assert frames["flags"].tolist() == [0, FD, FD | BRS, FD | ESI]
    assert frames["n_bytes"].tolist() == [2, 12, 2, 2]
    assert bytes(frames["data"][1][:12]) == bytes(range(12))


@pytest.mark.parametrize("suffix", ["csv", "db"])
def test_logs_of_python_can_are_read(log, suffix):
    """They have no flag of CAN FD: only a length above 8 shows it."""
    with can.Logger(f"y.{suffix}") as logger, can.LogReader("x.log") as reader:
        for message in reader:
            logger(message)
    if suffix == "db":
        sqlite3.connect("y.db").close()
    frames = load_frames(f"y.{suffix}").frames
    assert frames["n_bytes"].tolist() == [8, 12, 0, 64, 2, 1]
    assert frames["flags"].tolist() == [0, FD, EXT, FD, 0, 0]
    assert bytes(frames["data"][3]) == LONG


def test_python_can_writes_a_session_file(log):
    with can.Logger("y.slog") as logger, can.LogReader("x.log") as reader:
        for message in reader:
            logger(message)
    frames = load_frames("y.slog").frames
    assert frames["flags"].tolist() == FLAGS and bytes(frames["data"][3]) == LONG


def test_info_counts_the_frames_of_can_fd(log, capsys):
    code, out, _ = call(capsys, "info", "x.log")
    assert code == 0
    assert "bus 0: 5 frames, 5.7 Hz, 2 identifiers, 3 frames of CAN FD\n" in out
    assert "bus 1: 1 frame, 1.1 Hz, 1 identifier, 1 frame of CAN FD\n" in out
    buses = json.loads(call(capsys, "info", "x.log", "--json")[1])["logs"][0]["buses"]
    assert [bus["n_fd"] for bus in buses] == [3, 1]


@pytest.mark.parametrize("suffix", ["log", "blf", "asc", "slog"])
def test_signals_of_64_bytes(log, capsys, suffix):
    """The frame of 64 bytes has the signals; the classic one of its identifier is too short."""
    if suffix != "log":
        assert call(capsys, "convert", "x.log", f"x.{suffix}")[0] == 0
    wanted = cantools.database.load_file("x.dbc").decode_message(2047, LONG)
    code, out, err = call(
        capsys, "decode", f"x.{suffix}", "--dbc", "x.dbc", "--csv", "--out", "csv"
    )
    assert code == 0, out + err
    header, full, short = (log / "csv" / "Big.csv").read_text().splitlines()
    names = [column.partition(" ")[0].partition("[")[0] for column in header.split(",")]
    assert not any(short.split(",")[2:])
    row = dict(zip(names, full.split(","), strict=True))
    for name, value in wanted.items():
        assert float(row[name]) == pytest.approx(value), name


def test_replay_sends_them_as_they_were(log, capsys, monkeypatch):
    """The bus is opened for CAN FD, which a classic log does not ask for."""
    opened = []
    bus = can.Bus
    monkeypatch.setattr(can, "Bus", lambda **o: (opened.append(o), bus(**o))[1])
    with bus(interface="virtual", channel="fd") as listener:
        words = ("replay", "x.log", "--bus", "virtual:fd", "--bound-us", "1e9", "--no-real-time")
        assert call(capsys, *words, "--data-bitrate", "2000000")[0] == 0
        got = [listener.recv(1) for _ in FLAGS]
        assert call(capsys, *words, "--to", "0.0001")[0] == 0
    assert opened[0].get("fd") is True and opened[0]["data_bitrate"] == 2_000_000
    assert "fd" not in opened[1]
    flags = [FD * m.is_fd | BRS * m.bitrate_switch | ESI * m.error_state_indicator for m in got]
    assert flags == [each & ~EXT for each in FLAGS]
    assert bytes(got[3].data) == LONG and got[3].dlc == 64
