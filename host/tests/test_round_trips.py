"""From format to format and back, in several time zones: equal frames, bus and time.

The texts are written by hand; 1,700,000,000 s after 1970 is 2023-11-14 22:13:20 UTC (`date -u -d
@1700000000`), and 45,244.92592593 days after 1899-12-30: 25,569 days to 1970, 19,675.9259 behind.
"""

import os
import time

import pytest

from stagelog.cli import main
from stagelog.importers import load_frames

can = pytest.importorskip("can")

LOG = """\
(1700000000.123457) can0 123#0102030405060708
(1700000000.123458) can0 18FEF100#
(1700000000.999999) can0 7FF#FF
(1700000001.000000) can0 000#00
(1700000002.500001) can0 1FFFFFFF#1122
"""
ZONES = ("UTC", "Asia/Riyadh", "America/St_Johns")


@pytest.fixture(params=ZONES)
def zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def convert(capsys):
    def call(source, target, *more):
        with pytest.raises(SystemExit) as ended:
            main(["convert", str(source), str(target), *more])
        out, err = capsys.readouterr()
        assert ended.value.code == 0, out + err
        return target

    return call


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "x.log"
    path.write_text(LOG)
    return path


def test_the_zones_of_the_tests_are_known(zone):
    # 22:13:20 UTC is 01:13:20 in Riyadh, 18:43:20 in St. John's
    wanted = {"UTC": 22, "Asia/Riyadh": 1, "America/St_Johns": 18}
    assert time.localtime(1_700_000_000).tm_hour == wanted[zone], os.environ["TZ"]


@pytest.mark.parametrize(
    "chain",
    [
        ("trc", "asc", "blf", "slog", "log"),
        ("asc", "log"),
        ("blf", "trc", "log"),
        ("slog", "asc", "trc", "blf", "log"),
        ("mf4", "log"),
    ],
    ids="-".join,
)
def test_a_drive_comes_back_byte_by_byte(tmp_path, zone, convert, log, chain):
    if "mf4" in chain:
        pytest.importorskip("asammdf")
    source = log
    for k, suffix in enumerate(chain):
        source = convert(source, tmp_path / f"{k}.{suffix}")
    assert source.read_text() == LOG


@pytest.mark.parametrize("bus", [0, 1, 5])
@pytest.mark.parametrize("suffix", ["trc", "asc", "blf"])
def test_a_bus_keeps_its_number_and_the_files_count_from_1(tmp_path, convert, bus, suffix):
    source = tmp_path / "x.log"
    source.write_text(LOG.replace("can0", f"can{bus}"))
    path = convert(source, tmp_path / f"y.{suffix}")
    channels = {m.channel for m in can.LogReader(str(path))}
    assert channels == {bus + 1 if suffix == "trc" else bus}  # BLF's and ASC's reader take 1 off
    loaded = load_frames(path)
    assert set(loaded.frames["bus"].tolist()) == {bus} and loaded.ifaces[bus] == f"can{bus}"


def test_headers_have_utc_and_the_name_of_the_file(tmp_path, zone, convert, log):
    text = convert(log, tmp_path / "y.asc").read_text()
    assert text.startswith("date Tue Nov 14 22:13:20.123 2023\nbase hex  timestamps absolute\n")
    assert "Begin Triggerblock Tue Nov 14 22:13:20.123 2023\n" in text
    text = convert(log, tmp_path / "y.trc").read_text()
    lines = text.splitlines()
    days = float(lines[1].removeprefix(";$STARTTIME="))
    assert lines[1].startswith(";$STARTTIME=45244.92592")
    assert abs((days - 25_569) * 86_400 - 1_700_000_000.123) < 2e-6
    assert ";   y.trc" in lines and ".part" not in text and str(tmp_path) not in text
    # number, ms, type, bus, identifier, direction, reserved, length, data
    assert lines[-5].split() == "1 0.457 DT 1 0123 Rx - 8 01 02 03 04 05 06 07 08".split()


def test_a_log_without_wall_clock_gets_none(tmp_path, zone, convert):
    source = tmp_path / "x.log"
    source.write_text(LOG.replace("(17000000", "(00000000"))
    for suffix in ("trc", "asc", "blf", "slog"):
        path = convert(source, tmp_path / f"y.{suffix}")
        log = load_frames(path)
        assert (log.diagnostics.times, log.diagnostics.clock) == ("relative", "unknown"), suffix
        back = convert(path, tmp_path / f"{suffix}.log")
        assert back.read_text() == source.read_text(), suffix


def test_candump_dates_do_not_depend_on_the_machine(tmp_path, zone):
    path = tmp_path / "x.log"
    path.write_text("(2023-11-14 22:13:20.123457) can0 123#01\n")
    assert load_frames(path).frames["t_us"].tolist() == [1_700_000_000_123_457]


def test_times_before_zero_move_together(tmp_path, convert):
    source = tmp_path / "x.csv"
    source.write_text(
        "Time Stamp,ID,Extended,Bus,LEN,D1\n-1500,100,false,0,1,01\n500,101,false,0,1,02\n"
    )
    for suffix in ("log", "blf", "asc", "trc"):
        loaded = load_frames(convert(source, tmp_path / f"y.{suffix}"))
        assert loaded.frames["t_us"].tolist() == [0, 2000], suffix


def test_a_frame_before_the_start_is_left_out_and_counted(tmp_path, capsys):
    source = tmp_path / "x.log"
    source.write_text(
        "(1700000000.500000) can0 100#01\n(1700000000.100000) can0 101#02\n"
        "(1700000000.600000) can0 102#03\n"
    )
    for suffix in ("blf", "asc", "trc"):
        with pytest.raises(SystemExit) as ended:
            main(["convert", str(source), str(tmp_path / f"y.{suffix}")])
        assert ended.value.code == 1 and "1 left out" in capsys.readouterr().out
        frames = load_frames(tmp_path / f"y.{suffix}").frames
        assert frames["can_id"].tolist() == [0x100, 0x102]
        assert frames["t_us"].tolist() == [1_700_000_000_500_000, 1_700_000_000_600_000]


SOURCES = {
    "log": ("from the stamps of the log itself", "from the stamps of the log that was converted"),
    "asc": ("from the header of the log, which", "from the header of the log that was converted"),
    "blf": ("from the header of the log, which", "from the header of the log that was converted"),
    "trc": ("from the header of the log, which", "from the header of the log that was converted"),
    "mf4": ("from the header of the log", "from the header of the log that was converted"),
}


@pytest.mark.parametrize("suffix", SOURCES)
def test_info_says_where_the_wall_clock_of_a_foreign_log_comes_from(
    tmp_path, capsys, convert, log, suffix
):
    if suffix == "mf4":
        pytest.importorskip("asammdf")
    source = log if suffix == "log" else convert(log, tmp_path / f"y.{suffix}")
    main_out = _info(capsys, source)
    own, converted = SOURCES[suffix]
    assert f"wall clock {own}" in main_out and "2023-11-14 22:13:20 UTC" in main_out
    assert "bus 0: 5 frames, 2.1 Hz, 5 identifiers" in main_out  # 5 frames in 2.376544 s
    out = _info(capsys, convert(source, tmp_path / "y.slog"))
    assert f"wall clock {converted}" in out and "host" not in out
    # and once more through a session file: what is known stays known
    out = _info(capsys, convert(tmp_path / "y.slog", tmp_path / "z.slog"))
    assert f"wall clock {converted}" in out


def test_info_of_a_log_without_wall_clock_says_so(tmp_path, capsys, convert):
    source = tmp_path / "x.log"
    source.write_text(LOG.replace("(17000000", "(00000000"))
    out = _info(capsys, source)
    assert "no wall clock" in out and "wall clock not known" in out
    out = _info(capsys, convert(source, tmp_path / "y.slog"))
    assert "no wall clock" in out and "wall clock not known: times are since power-on" in out


def test_info_of_a_bus(tmp_path, capsys):
    source = tmp_path / "x.log"
    source.write_text(LOG + LOG.replace("can0", "can1").replace(" can1 123", " can1 124"))
    out = _info(capsys, source, "--ids", "--bus", "1")
    assert "bus 1: 5 frames" in out and "bus 0" not in out
    assert " 124 " in out and " 123 " not in out


def _info(capsys, path, *more):
    assert main_code(["info", str(path), *more]) == 0
    return capsys.readouterr().out


def main_code(args):
    with pytest.raises(SystemExit) as ended:
        main(args)
    return ended.value.code or 0
