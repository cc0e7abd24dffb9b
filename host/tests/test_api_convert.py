"""stagelog convert: the name of the output chooses the writer; frames read back the same."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from recorded_drives import DRIVES

from stagelog.blocks import Identity, pack_session
from stagelog.cli import group
from stagelog.errors import InputError, OutputError, UsageError
from stagelog.importers import load_frames
from stagelog.model import ERR, FRAME

T0_UNIX_US = 1_790_000_000_000_000
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
"""


@pytest.fixture
def log(tmp_path):
    frames = np.zeros(900, FRAME)
    frames["t_us"] = 1000 * np.arange(900)
    frames["can_id"] = 256
    frames["dlc"] = frames["n_bytes"] = 8
    frames["data"][:, :2] = np.arange(900, dtype="<u2").view("u1").reshape(900, 2)
    path = tmp_path / "drive.slog"
    blocks = pack_session(frames, Identity("ab" * 8, 1, 1), anchors=[(0, T0_UNIX_US)])
    path.write_bytes(blocks.tobytes())
    (tmp_path / "car.dbc").write_text(DBC)
    return path


def run(*words):
    return CliRunner().invoke(group, ["convert", *map(str, words)])


@pytest.mark.parametrize("suffix", ["log", "blf", "asc", "trc", "mf4", "slog"])
def test_frames_come_back_the_same(log, tmp_path, suffix):
    out = tmp_path / f"out.{suffix}"
    done = run(log, out, "--json")
    assert done.exit_code == 0, done.output or done.exception
    assert json.loads(done.output)["n_frames"] == 900
    expected, back = load_frames(log).frames, load_frames(out).frames
    for name in ("can_id", "flags", "n_bytes", "data"):
        assert np.array_equal(back[name], expected[name]), name
    off_us = np.diff(back["t_us"]) - np.diff(expected["t_us"])
    assert np.abs(off_us).max() <= (1 if suffix != "trc" else 100)


@pytest.mark.parametrize("suffix", ["mf4", "mcap", "ld", "csv"])
def test_signals_are_written_by_name(log, tmp_path, suffix):
    out = tmp_path / f"out.{suffix}"
    done = run(log, out, "--dbc", tmp_path / "car.dbc", "--json")
    assert done.exit_code == 0, done.output or done.exception
    facts = json.loads(done.output)
    assert facts["n_decoded"] == 900 and str(out) in facts["out"]
    assert out.stat().st_size > 100


def test_csv_has_the_rate_that_was_asked_for(log, tmp_path):
    out = tmp_path / "out.csv"
    run(log, out, "--dbc", tmp_path / "car.dbc", "--rate-Hz", 100)
    lines = out.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "t_s,EngSpd [rpm]" and len(lines) == 1 + 90


def test_what_a_format_cannot_hold_makes_the_verdict_bad(tmp_path, log):
    source = tmp_path / "errors.log"
    source.write_text("(1.000000) can0 100#00\n(1.000100) can0 20000080#0000000000000000\n")
    assert (load_frames(source).frames["flags"] & ERR).any()
    done = run(source, tmp_path / "out.slog")
    assert done.exit_code == 1 and "1 left out" in done.output


def test_mistakes_are_told(log, tmp_path):
    cases = [
        ((log, tmp_path / "out.xyz"), UsageError),
        ((log, tmp_path / "out.ld"), UsageError),
        ((log, tmp_path / "out.asc", "--signal", "EngSpd"), UsageError),
        ((log, tmp_path / "out.mf4", "--dbc", tmp_path / "none.dbc"), InputError),
        ((tmp_path / "none.log", tmp_path / "out.asc"), InputError),
    ]
    for words, error in cases:
        assert isinstance(run(*words).exception, error), words
    assert not list(tmp_path.glob("out*")) and not list(tmp_path.glob(".out*"))


def test_existing_file_is_kept_unless_forced(log, tmp_path):
    out = tmp_path / "out.log"
    out.write_text("mine")
    assert isinstance(run(log, out).exception, OutputError)
    assert out.read_text() == "mine"
    assert run(log, out, "--force").exit_code == 0


@pytest.mark.parametrize("recorded", DRIVES)
@pytest.mark.parametrize("suffix", ["slog", "log", "blf", "asc", "mf4"])
def test_a_recorded_drive_comes_back_the_same(tmp_path, suffix, recorded):
    out = tmp_path / f"drive.{suffix}"
    assert run(recorded.log, out).exit_code == 0
    expected, back = load_frames(recorded.log).frames, load_frames(out).frames
    for name in ("can_id", "flags", "n_bytes", "dlc", "data"):
        assert np.array_equal(back[name], expected[name]), name
    passed_us = [t - t[0] for t in (expected["t_us"], back["t_us"])]
    assert np.abs(passed_us[0] - passed_us[1]).max() <= 1
