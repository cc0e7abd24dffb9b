"""A verb on one port leaves a run for the wall page, as a verb over many does."""

import threading
import time

import pytest

from stagelog.archive import find_sessions
from stagelog.card import prepare_raw
from stagelog.park.publish import load_runs
from stagelog.rig.live import LiveLogger
from stagelog.rig.play import saturated_tape
from stagelog.rig.target import tape_events
from stagelog.serve.wall import Wall


@pytest.fixture
def port(tmp_path):
    """A logger of car C07 on a live port, on a full bus for half a minute."""
    card = tmp_path / "card.img"
    prepare_raw(card, 4096)
    settings = {"car": "C07", "buses": [{"bitrate_bps": 500_000}]}
    tape = saturated_tape(500_000, 30_000_000)
    logger = LiveLogger({"card": str(card), "settings": settings}, tape_events(tape, 100_000))
    done = threading.Event()
    thread = threading.Thread(target=logger.run, args=(done.is_set,))
    thread.start()
    yield logger.port
    done.set()
    thread.join()
    logger.close()


def test_each_verb_on_a_port_is_a_run_on_the_wall(run, port, tmp_path):
    """The archive appears with the download; the last verb counts on the wall."""
    archive = tmp_path / "archive"
    code, _, err = run("summary", port, "--archive", archive)
    assert not archive.exists(), err
    code, _, err = run("download", port, "--archive", archive, "--stop")
    assert code == 0 and len(find_sessions(archive)) == 1, err
    code, _, err = run("check", port, "--archive", archive, "--no-sign", "--listen-s", "0")
    run("summary", port, "--archive", archive)
    runs = load_runs(archive)
    assert [one["title"] for one in runs] == ["download", "check", "summary"]
    assert all(one["is_over"] and len(one["loggers"]) == 1 for one in runs)
    first = runs[0]["loggers"][0]
    assert (first["car"], first["verdict"]) == ("C07", "good") and "1 session" in first["text"]
    [car] = Wall(archive).read()["cars"]
    [row] = car["loggers"]
    assert (car["name"], row["run"], row["is_live"]) == ("C07", "summary", False)


def test_a_verb_that_fails_is_over_on_the_wall(run, port, tmp_path, monkeypatch):
    archive = tmp_path / "archive"
    archive.mkdir()
    monkeypatch.setattr("stagelog.download.choose_sessions", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run("download", port, "--archive", archive, "--stop")
    (one,) = load_runs(archive)
    assert one["is_over"] and one["loggers"][0]["verdict"] is None
    assert time.time_ns() // 1000 - one["t_unix_us"] < 60_000_000
