"""What convert and plot write and say: formats by name, -, sessions, times before zero, counts.

The log: message 0x100, EngSpd of 0.25 rpm a bit, one frame a millisecond; frame k carries k.
"""

import json

import numpy as np
import pytest

from stagelog.blocks import Identity, pack_session
from stagelog.importers import load_frames
from stagelog.model import FRAME
from stagelog.report import strips as report_strips

ASC_LINE = "   0.120000 1  100             Rx   d 2 07 00\n"
T0_UNIX_US = 1_768_658_602_120_000  # date -u -d @1768658602: 2026-01-17 14:03:22
DBC = """BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
 SG_ EngTemp : 16|8@1+ (1,-40) [0|0] "degC" ECU
BO_ 257 Gearbox: 8 ECU
 SG_ EngSpd : 0|16@1+ (1,0) [0|0] "1/min" ECU
"""


def frames_of(n, can_id=0x100):
    frames = np.zeros(n, FRAME)
    frames["t_us"] = 1000 * np.arange(n)
    frames["can_id"] = can_id
    frames["dlc"] = frames["n_bytes"] = 8
    frames["data"][:, :2] = np.arange(n, dtype="<u2").view("u1").reshape(n, 2)
    frames["data"][:, 2] = 100
    return frames


def packed(n, boot=1, can_id=0x100):
    who = Identity("ab" * 8, boot, boot)
    return pack_session(frames_of(n, can_id), who, anchors=[(0, T0_UNIX_US)]).tobytes()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a log of 900 frames, one of two sessions, and a database."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.slog").write_bytes(packed(900))
    (tmp_path / "two.slog").write_bytes(packed(900) + packed(70, 2))
    (tmp_path / "car.dbc").write_text(DBC)
    return tmp_path


def test_csv_has_ten_rows_a_second_or_as_many_as_asked_for(run, here):
    """0.9 s: at 0.0 to 0.8 s. The value at 0.1 s is 100 * 0.25 rpm."""
    words = ("--dbc", "car.dbc", "--signal", "Engine.*")
    code, out, _ = run("convert", "one.slog", "x.CSV", *words)
    assert code == 0
    lines = (here / "x.CSV").read_text("utf-8-sig").splitlines()
    assert lines[0] == "t_s,EngSpd [rpm],EngTemp [degC]" and len(lines) == 10
    assert [float(cell) for cell in lines[2].split(",")] == [1_768_658_602.22, 25.0, 60.0]
    words = ("--dbc", "car.dbc", "--signal", "EngTemp", "--rate-Hz", "20")
    assert run("convert", "one.slog", "y.csv", *words)[0] == 0
    lines = (here / "y.csv").read_text("utf-8-sig").splitlines()
    assert lines[0] == "t_s,EngTemp [degC]" and len(lines) == 19
    code, _, err = run("convert", "one.slog", "y.mf4", *words)
    assert code == 2 and "--rate-Hz for .mf4" in err


def test_standard_output_gets_the_file_and_nothing_else(run, here):
    """What is to be read by people goes to standard error then."""
    code, out, err = run("convert", "one.slog", "-")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 900
    assert lines[7] == "(1768658602.127000) can0 100#0700640000000000"
    assert err.splitlines()[:2] == ["-", "900 frames read"]
    code, out, err = run("convert", "one.slog", "-", "--dbc", "car.dbc", "--signal", "EngTemp")
    assert code == 0 and out.lstrip("\N{BOM}").startswith("t_s,EngTemp [degC]")
    assert "900 frames read, 900 values" in err
    assert run("convert", "one.slog", "-", "--to", "asc")[1].startswith("date ")
    code, out, err = run("convert", "one.slog", "x.log")
    assert out.startswith("x.log  ") and "\n900 frames read\n" in out and not err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("one.slog", "-", "--json"), "--json with - as OUT"),
        (("one.slog", "x.asc", "--to", "asc"), "--to with x.asc"),
        (("old.log", "x.asc", "--session", "ab"), "--session with old.log"),
        (("one.slog", "x.csv", "--signal", "EngSpd"), "not a format that convert writes"),
        (("one.slog", "x.log", "--dbc", "car.dbc"), "not a format that convert writes"),
        (("one.slog", "x.log", "--rate-Hz", "5"), "--rate-Hz for .log"),
    ],
)
def test_words_that_do_not_fit_together_are_refused(run, here, words, says):
    (here / "old.log").write_text("(1.000000) can0 100#00\n")
    code, out, err = run("convert", *words)
    assert (code, out) == (2, "") and says in err
    assert not list(here.glob("x.*"))


def test_every_file_that_was_written_is_named(run, here):
    """MoTeC has two: the samples, and the details beside them."""
    words = ("convert", "one.slog", "x.ld", "--dbc", "car.dbc")
    assert json.loads(run(*words, "--json")[1])["out"] == ["x.ld", "x.ldx"]
    lines = run(*words, "--force")[1].splitlines()
    sizes = [(here / name).stat().st_size for name in ("x.ld", "x.ldx")]
    assert lines[0] == f"x.ld  {sizes[0] / 1000:.1f} kB" and lines[1] == f"x.ldx  {sizes[1]} B"


def test_one_session_of_two(run, here):
    code, out, _ = run("convert", "two.slog", "x.log", "--session", f"{'ab' * 8}-2", "--json")
    assert code == 0 and json.loads(out)["n_frames"] == 70
    assert len((here / "x.log").read_text().splitlines()) == 70
    assert json.loads(run("convert", "two.slog", "y.log", "--json")[1])["n_frames"] == 970


def test_times_before_zero_are_moved_and_said(run, here):
    """The first frame is 1.5 s before zero, the second 0.25 s behind it: 0 and 1.75 s."""
    header = "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
    rows = "-1500000,00000100,false,Rx,0,1,07,,,,,,,\n250000,00000100,false,Rx,0,1,08,,,,,,,\n"
    (here / "early.csv").write_text(header + rows)
    _, out, _ = run("convert", "early.csv", "x.log")
    assert "all times moved by 1.5 s: the log begins before zero" in out
    assert load_frames(here / "x.log").frames["t_us"].tolist() == [0, 1_750_000]
    facts = json.loads(run("convert", "early.csv", "y.log", "--json")[1])
    assert facts["shift_us"] == 1_500_000
    assert json.loads(run("convert", "one.slog", "z.log", "--json")[1])["shift_us"] == 0


@pytest.mark.parametrize(
    ("name", "text", "clock", "unix_us"),
    [
        (
            "stamps.log",
            "(1768658602.120000) can0 100#0700\n",
            "from the stamps of the log that was converted",
            T0_UNIX_US,
        ),
        (
            "header.asc",
            "date Sat Jan 17 14:03:22 2026\nbase hex  timestamps absolute\n" + ASC_LINE,
            "from the header of the log that was converted",
            T0_UNIX_US,
        ),
        (
            "zero.log",
            "(0.120000) can0 100#0700\n",
            "not known: times are since power-on",
            None,
        ),
    ],
)
def test_a_converted_log_says_where_its_clock_is_from(run, here, name, text, clock, unix_us):
    (here / name).write_text(text)
    run("convert", name, "x.slog")
    (session,) = json.loads(run("info", "x.slog", "--json")[1])["logs"][0]["sessions"]
    assert (session["clock"], session["t_first_unix_us"]) == (clock, unix_us)


def test_counts_are_those_of_all_pieces_of_a_log(run, here):
    """20,000 lines of 45 bytes are read in two pieces; each third frame is not in the DBC."""
    lines = [
        f"({1_700_000_000 + k / 1000:.6f}) can0 {0x100 if k % 3 else 0x200:03X}#0700640000000000\n"
        for k in range(20_000)
    ]
    (here / "long.log").write_text("".join(lines))
    words = ("--dbc", "car.dbc", "--signal", "EngTemp", "--json")
    facts = json.loads(run("convert", "long.log", "x.csv", *words)[1])
    assert (facts["n_frames"], facts["n_decoded"], facts["n_values"]) == (20_000, 13_333, 13_333)
    assert json.loads(run("convert", "long.log", "y.log", "--json")[1])["n_frames"] == 20_000
    assert len((here / "y.log").read_text().splitlines()) == 20_000


def test_a_bad_verdict_or_frames_left_out_end_with_one(run, here):
    """A block less is a hole: exit 1, though all that is there was written."""
    blocks = np.frombuffer(packed(900), np.uint8).reshape(-1, 4096)
    (here / "hole.slog").write_bytes(np.delete(blocks, 1, 0).tobytes())
    code, out, _ = run("convert", "hole.slog", "x.log")
    assert code == 1 and "INCOMPLETE" in out and "left out" not in out
    (here / "error.log").write_text("(1.000000) can0 100#00\n(1.100000) can0 20000004#00\n")
    code, out, _ = run("convert", "error.log", "x.trc")
    assert code == 1 and "1 left out: the format cannot hold them" in out
    (here / "damaged.log").write_text("(1.000000) can0 100#00\nwhat is this\n")
    code, out, _ = run("convert", "damaged.log", "y.log")
    assert code == 1 and "the log is damaged in 1 place; the rest was converted" in out


def test_a_log_of_which_nothing_can_be_written_is_refused(run, here):
    """No frame at all, none of a session, or none that the database describes."""
    (here / "empty.log").write_text("")
    (here / "other.dbc").write_text(DBC.replace("256", "1").replace("257", "2"))
    code, _, err = run("convert", "empty.log", "x.log")
    assert code == 5 and "empty.log is empty" in err
    (here / "blank.log").write_text("\n\n")
    assert run("convert", "blank.log", "x.log")[0] == 5
    code, _, err = run("convert", "one.slog", "x.csv", "--dbc", "other.dbc")
    assert code == 5 and "one.slog holds no frame that the DBC describes" in err
    assert run("convert", "one.slog", "x.log", "--session", "ef")[0] == 5
    assert not list(here.glob("x.*")) and not list(here.glob(".x.*"))


# plot


@pytest.fixture
def drawn(monkeypatch):
    """Return what was drawn meanwhile: [(strips, title)], strips as [(name, unit, n)]."""
    seen = []
    draw = report_strips.save_strips

    def save(path, strips, title=""):
        seen.append(([[(t.name, t.unit, len(t.t_us)) for t in one] for one in strips], title))
        return draw(path, strips, title)

    monkeypatch.setattr(report_strips, "save_strips", save)
    return seen


def test_a_strip_has_the_signals_that_it_names(run, here, drawn):
    """EngSpd stands in two messages; its own message's name chooses one. Spaces do not count."""
    (here / "both.slog").write_bytes(packed(900) + packed(70, 2, 0x101))
    words = ("plot", "both.slog", "--dbc", "car.dbc", "-o", "x.svg", "--title", "SS01")
    code, out, _ = run(*words, "--strip", "Gearbox.EngSpd , EngTemp,", "--strip", "EngSpd")
    engine, gearbox = ("EngSpd", "rpm", 900), ("EngSpd", "1/min", 70)
    assert code == 0 and drawn == [
        ([[gearbox, ("EngTemp", "degC", 900)], [engine, gearbox]], "SS01")
    ]
    assert out == "x.svg: 4 signals, 1,940 samples\n"
    code, out, _ = run(*words, "--strip", "EngTemp", "--force", "--json")
    facts = json.loads(out)
    assert (facts["out"], facts["n_samples"], facts["warnings"]) == ("x.svg", 900, [])


def test_a_signal_of_two_buses_has_two_lines_with_their_names(run, here, drawn):
    lines = [f"({k}.000000) can{k % 2} 100#0700640000000000\n" for k in range(9)]
    (here / "two.log").write_text("".join(lines))
    words = ("plot", "two.log", "--dbc", "car.dbc", "-o", "x.svg", "--strip", "EngTemp")
    code, _, err = run(*words)
    assert code == 0 and "Engine comes on buses 0 and 1" in err
    assert drawn[0][0] == [[("EngTemp@bus0", "degC", 5), ("EngTemp@bus1", "degC", 4)]]
    run(*words, "--force", "--bus", "1")
    assert drawn[1][0] == [[("EngTemp", "degC", 4)]]


def test_a_strip_without_data_is_no_reason_to_draw_nothing(run, here, drawn):
    words = ("plot", "one.slog", "--dbc", "car.dbc", "-o", "x.svg")
    code, out, _ = run(*words, "--strip", "Gearbox.EngSpd", "--strip", "EngTemp")
    assert code == 0 and drawn[0][0] == [[], [("EngTemp", "degC", 900)]]
    code, _, err = run(*words, "--force", "--strip", "Gearbox.EngSpd")
    assert code == 5 and "one.slog holds none of the signals" in err


def test_a_picture_is_kept_and_never_goes_to_standard_output(run, here, drawn):
    (here / "x.svg").write_text("mine")
    words = ("plot", "one.slog", "--dbc", "car.dbc", "--strip", "EngTemp")
    code, _, err = run(*words, "-o", "x.svg")
    assert code == 6 and "x.svg exists" in err and (here / "x.svg").read_text() == "mine"
    assert run(*words, "-o", "x.svg", "--force")[0] == 0
    assert "<svg" in (here / "x.svg").read_text()
    code, _, err = run(*words, "-o", "-")
    assert code == 2 and "a picture cannot go to standard output" in err
    code, _, err = run(*words, "--strip", " , ", "-o", "y.svg")
    assert code == 2 and "an empty --strip" in err and not (here / "y.svg").exists()
