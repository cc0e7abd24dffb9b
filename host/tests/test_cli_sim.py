"""What sim and drive make of their words: the arguments of the logger, its tape, the file."""

import json

import numpy as np
import pytest

from stagelog.car import drive
from stagelog.cli.drive import frames_of
from stagelog.importers import load_frames
from stagelog.model import EXT, RTR
from stagelog.rig import live
from stagelog.rig.tape import TAPE, read_tape


class Recorder:
    """A logger that only notes what it is given."""

    port = "/dev/null"
    made = None

    def __init__(self, args, more=(), tcp=None, *kept):
        self.args, self.more, self.tcp, self.kept = args, more, tcp, kept
        self.calls = []
        Recorder.made = self

    def play_until(self, t_us, show=None):
        self.calls.append(("play", t_us))

    def wait_until(self, t_us, show=None):
        self.calls.append(("wait", t_us))
        self.tape = read_tape(self.args["tape"])

    def run(self, until):
        assert not until()
        self.calls.append("run")
        if "signals" in self.args:
            with open(self.args["signals"], "rb") as file:
                self.signals = file.read()

    def close(self):
        self.calls.append("close")


@pytest.fixture
def sim(run, monkeypatch, tmp_path):
    """Return a function of words that runs `sim`: (its logger, the JSON it printed)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(live, "FastLogger", Recorder)
    monkeypatch.setattr(live, "LiveLogger", Recorder)

    def call(*words):
        code, out, err = run("sim", *words, "--json")
        assert code == 0, err
        return Recorder.made, json.loads(out)

    return call


def test_a_logger_without_a_word(sim):
    """64 MiB; a block takes 3 ms; 500 kbit/s; its bus is silent."""
    logger, facts = sim()
    assert facts["n_frames"] == 0 and facts["card"] == logger.args["card"]
    assert {key: logger.args[key] for key in ("seed", "write_us", "stalls", "settings")} == {
        "seed": 1,
        "write_us": 3000,
        "stalls": [],
        "settings": {"car": "SIM", "buses": [{"bitrate_bps": 500_000, "ids": None}]},
    }
    assert logger.calls == ["run", "close"] and list(logger.more) == []
    assert "signals" not in logger.args and "tape" not in logger.args


def test_every_word_reaches_the_logger(sim, tmp_path):
    """Stalls of the card: from 10 s for 500 ms, from 0.5 s for 20 ms."""
    words = ("--car", "C09", "--seed", "7", "--bitrate", "250000", "--write-ms", "2.5")
    words += ("--stall", "10:500", "--stall", "0.5:20", "--card", "c.img", "--card-MiB", "8")
    logger, facts = sim(*words, "--profile", "d7xr")
    assert {
        key: logger.args[key] for key in ("card", "seed", "write_us", "stalls", "settings")
    } == {
        "card": "c.img",
        "seed": 7,
        "write_us": 2500,
        "stalls": [[10_000_000, 10_500_000], [500_000, 520_000]],
        "settings": {"car": "C09", "buses": [{"bitrate_bps": 250_000, "ids": None}]},
    }
    assert (tmp_path / "c.img").stat().st_size == 8 << 20
    assert len(logger.signals) > 1000 and facts["card"] == "c.img"


def test_a_card_that_is_there_is_kept(sim, tmp_path):
    (tmp_path / "c.img").write_bytes(b"mine")
    sim("--card", "c.img")
    assert (tmp_path / "c.img").read_bytes() == b"mine"


def test_a_log_is_repeated(sim, tmp_path):
    """Three frames 10 ms apart: the fourth is the first again, when the third has ended."""
    lines = [f"(100.0{k}0000) can0 100#{k:02X}\n" for k in range(3)]
    (tmp_path / "x.log").write_text("".join(lines))
    once = list(sim("--log", "x.log")[0].more)
    logger, _ = sim("--log", "x.log", "--repeat")
    events = [next(logger.more) for _ in range(7)]
    last_us = once[-1][0]
    assert [e[0] for e in events] == [e[0] + k * last_us for k in range(3) for e in once][:7]
    assert [e[-1][0] for e in events] == [0, 1, 2, 0, 1, 2, 0]


def test_a_blank_logger_has_a_folder_for_its_flash_and_a_card_that_takes_packages(sim, tmp_path):
    """The boot sector of a card with a file system ends in 55 AA; one of half a MiB has none."""
    logger, _ = sim("--blank", "--card", "c.img")
    (rate_Bps, pulls, folder, key, is_blank) = logger.kept
    assert (rate_Bps, pulls, folder.name, key, is_blank) == (0, [], "flash", None, True)
    assert (tmp_path / "c.img").read_bytes()[510:512] == b"\x55\xaa"
    logger, _ = sim("--blank", "--card", "d.img", "--card-MiB", "0.5", "--flash", "mine")
    assert (logger.kept[2].name, logger.kept[4]) == ("mine", True)
    content = (tmp_path / "d.img").read_bytes()
    assert len(content) == 512 * 1024 and content[510:512] != b"\x55\xaa"


def test_a_log_is_played_in_virtual_time_and_three_seconds_on(sim, tmp_path):
    """Three frames of 130 bits and less at 250 kbit/s, 10 ms apart: the last ends 20 ms in."""
    lines = [f"(100.0{k}0000) can0 100#{k:02X}\n" for k in range(3)]
    (tmp_path / "x.log").write_text("".join(lines))
    logger, facts = sim("--log", "x.log", "--fast", "--bitrate", "250000")
    assert facts["n_frames"] == 3 and logger.args["linger_us"] == 3_000_000
    assert logger.tape["data"][:, 0].tolist() == [0, 1, 2]
    ends_us = logger.tape["t_us"].tolist()
    assert np.diff(ends_us).tolist() == pytest.approx([10_000, 10_000], abs=20)
    # 55 bits and at most 12 stuffed ones of 4 us
    assert 200 < ends_us[0] < 300
    assert logger.calls == [("wait", ends_us[-1] + 3_000_000), "run", "close"]
    live_one, facts = sim("--log", "x.log")
    assert facts["n_frames"] == 3 and len(list(live_one.more)) == 3
    assert (live_one.tcp, live_one.calls) == (None, ["run", "close"])
    served, _ = sim("--log", "x.log", "--fast", "--tcp", "7777", "--bitrate", "250000")
    assert served.tcp == 7777
    assert served.calls == [("play", ends_us[-1] + 3_000_000), "run", "close"]


def test_a_drive_is_as_long_as_asked_for(sim):
    """It begins when the car is switched on: the first frame is within the first second."""
    logger, facts = sim("--drive", "light_crest", "--duration", "1", "--fast", "--seed", "3")
    first, last = logger.tape["t_us"][[0, -1]].tolist()
    assert facts["n_frames"] == (logger.tape["kind"] == 0).sum() > 100
    assert first < 1_000_000 and 0.5e6 < last - first < 1.1e6
    # it ends at most 135 bits of 2 us after the car began to send it
    begun_us = int(drive("light_crest", seed=3, duration_s=1).frames["t_us"][0])
    assert begun_us < first <= begun_us + 270


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--log", "x.log", "--drive", "stage"), "--log and --drive together"),
        (("--target", "rp2040", "--fast"), "with --target rp2040"),
        (("--target", "rp2040", "--profile", "d7xr"), "with --target rp2040"),
        (("--target", "rp2040", "--stall", "1:2"), "with --target rp2040"),
        (("--repeat",), "--repeat without --log"),
        (("--repeat", "--log", "x.log", "--fast"), "--repeat without --log or --drive, or with"),
        (("--blank", "--fast"), "--fast or --profile with --blank"),
        (("--blank", "--profile", "d7xr"), "--fast or --profile with --blank"),
        (("--runtime", "unix64"), "--runtime unix64 in real time"),
        (("--runtime", "/etc/passwd", "--fast"), "/etc/passwd is not a program"),
        (("--stall", "10"), "--stall 10"),
        (("--stall", "1:2:3"), "--stall 1:2:3"),
    ],
)
def test_words_that_do_not_fit_together_are_refused(run, monkeypatch, tmp_path, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.log").write_text("(1.000000) can0 100#00\n")
    monkeypatch.setattr(live, "FastLogger", Recorder)
    code, out, err = run("sim", *words)
    assert (code, out) == (2, "") and says in err


# drive


def test_a_drive_has_the_times_of_its_start(run, monkeypatch, tmp_path):
    """2026-01-17 14:03:22 UTC is 1768658602; 0.5 s are driven."""
    monkeypatch.chdir(tmp_path)
    words = ("drive", "light_crest", "--duration", "0.5")
    facts = json.loads(run(*words, "-o", "x.log", "--start", "2026-01-17T14:03:22", "--json")[1])
    t_us = load_frames(tmp_path / "x.log").frames["t_us"]
    assert 1_768_658_602_000_000 < t_us[0] < t_us[-1] < 1_768_658_603_500_000
    assert len(t_us) == facts["n_frames"]
    assert facts["duration_s"] == pytest.approx((t_us[-1] - 1_768_658_602_000_000) / 1e6, abs=6e-4)
    assert 0 < facts["largest_delay_us"] < 100_000 and facts["seed"] == 1
    assert run(*words, "-o", "y.log")[0] == 0
    plain = load_frames(tmp_path / "y.log").frames
    assert (t_us - plain["t_us"] == 1_768_658_602_000_000).all()
    assert run(*words, "-o", "y.log", "--seed", "2", "--force")[0] == 0
    other = load_frames(tmp_path / "y.log").frames
    assert len(other) != len(plain) or (other["data"] != plain["data"]).any()


def test_drive_refuses_what_would_be_lost_or_wrong(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.tape").write_text("mine")
    words = ("drive", "light_crest", "--duration", "0.5", "-o", "x.tape")
    assert run(*words)[0] == 6 and (tmp_path / "x.tape").read_text() == "mine"
    assert run(*words, "--force")[0] == 0 and len(read_tape(tmp_path / "x.tape")) > 50
    assert run(*words, "--force", "--start", "2026-01-17")[0] == 2
    assert run("drive", "light_crest")[0] == 2


def test_scenarios_are_listed(run):
    code, out, _ = run("drive")
    assert code == 0 and any(line.startswith("light_crest ") for line in out.splitlines())
    rows = json.loads(run("drive", "light_crest", "--list", "--json")[1])["scenarios"]
    assert {row["name"] for row in rows} == {line.split()[0] for line in out.splitlines()}


def test_frames_of_a_tape_are_its_frames_alone():
    """A remote frame has a DLC and no bytes; an error frame and a state are none."""
    tape = np.zeros(4, TAPE)
    tape["t_us"], tape["kind"] = [5, 6, 7, 8], [0, 1, 2, 0]
    tape["can_id"], tape["bus"], tape["dlc"] = (
        [0x18FEF100, 1, 2, 0x100],
        [1, 0, 0, 0],
        [3, 0, 0, 8],
    )
    tape["flags"] = [EXT, 0, 0, RTR]
    tape["data"][0, :3] = [7, 8, 9]
    found = frames_of(tape)
    assert found["t_us"].tolist() == [5, 8] and found["can_id"].tolist() == [0x18FEF100, 0x100]
    assert found["flags"].tolist() == [EXT, RTR] and found["bus"].tolist() == [1, 0]
    assert found["dlc"].tolist() == [3, 8] and found["n_bytes"].tolist() == [3, 0]
    assert found["data"][0].tolist() == [7, 8, 9, 0, 0, 0, 0, 0]
