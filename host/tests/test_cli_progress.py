"""The bar of a transfer: for people at a terminal, never among the data on stdout."""

import io
import sys
from pathlib import Path

import pytest

from stagelog.cli import _progress, main
from stagelog.cli._common import transfer_progress
from stagelog.importers import stream_frames

LOG = Path(__file__).resolve().parents[2] / "host/examples/drive.log.gz"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_is_drawn_on_stderr_alone(monkeypatch):
    """7 of 10 blocks of 4,096 bytes, the first here by then: 6 + 1 of 9 + 1, 28.7 of 41.0 kB."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with transfer_progress("car 7") as show:
        show(1, 10)
        show(7, 10)
    assert out.getvalue() == ""
    assert "car 7" in err.getvalue() and "28.7/41.0 kB" in err.getvalue()


def test_nothing_is_drawn_without_a_terminal(monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with transfer_progress("car 7") as show:
        assert show is None
    assert out.getvalue() == err.getvalue() == ""


def shown_by(monkeypatch, words, cwd):
    """Run a command at a terminal 120 columns wide; return what it draws on standard error."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(cwd)
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert not ended.value.code
    return err.getvalue()


@pytest.mark.parametrize("kind", ["log", "asc", "blf", "trc", "slog", "mf4"])
def test_converting_shows_frames_rate_and_share(monkeypatch, tmp_path, kind):
    """In and out of each kind: 2 s of the car are 3,734 frames, and the bar ends full."""
    monkeypatch.chdir(tmp_path)
    for words in ("drive light_crest --duration 2 --out d.log", f"convert d.log x.{kind} --force"):
        with pytest.raises(SystemExit):
            main(words.split())
    drawn = shown_by(monkeypatch, f"convert x.{kind} y.asc", tmp_path)
    assert "convert" in drawn and "3,734 frames " in drawn and "/s" in drawn


def test_decoding_shows_frames_rate_and_share(monkeypatch, tmp_path):
    drawn = shown_by(monkeypatch, f"decode {LOG} --dbc d7xr --out out", tmp_path)
    assert "37,340 frames " in drawn and "drive.log" in drawn


def test_driving_shows_its_seconds(monkeypatch, tmp_path):
    """65 s are a minute and 5 s: the bar's last step is the whole drive."""
    words = "drive light_crest --duration 65 --out d.log"
    drawn = shown_by(monkeypatch, words, tmp_path)
    assert "drive" in drawn and "65 s of the drive" in drawn


def test_the_share_grows_to_one_and_its_rate_is_of_the_time_that_passed(monkeypatch):
    """1,000 frames in 2 s are 500/s; a share of 0.25 is a quarter of the bar's 1,000 steps."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    err, now = Terminal(), [10.0]
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(_progress, "monotonic", lambda: now[0])
    with _progress.share_bar("work", "frames") as show:
        now[0] = 12.0
        show(0.25, 1000)
    assert "1,000 frames 500/s" in err.getvalue()


@pytest.mark.parametrize("kind", ["log", "log.gz", "asc", "blf", "slog", "mf4"])
def test_a_log_knows_how_much_of_it_was_read(tmp_path, monkeypatch, kind):
    """Never backwards, never above one, and near one at the end."""
    monkeypatch.chdir(tmp_path)
    source = tmp_path / f"x.{kind}"
    if kind == "log.gz":
        source = LOG
    else:
        with pytest.raises(SystemExit):
            main(["convert", str(LOG), str(source)])
    stream = stream_frames(source)
    shares = [stream.diagnostics.share for _ in stream]
    shares.append(stream.diagnostics.share)
    assert shares == sorted(shares) and shares[-1] <= 1
    assert shares[-1] > 0.9 or kind == "mf4"


def test_a_simulated_drive_shows_its_seconds(monkeypatch):
    from stagelog.cli.sim import LINGER_US, _play

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)

    def wait(until_us, show):
        assert until_us == 9_000_000 + LINGER_US
        show(6_000_000, until_us)

    _play(wait, {"t_us": [0, 9_000_000]})
    assert "6 s of the drive" in err.getvalue()
