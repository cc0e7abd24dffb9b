"""Values that verbs print, worked out by hand; keys and exit codes: test_cli_contract.py."""

import json

import numpy as np
import pytest
from made_replies import reply

from slog.messages import HELLO_REPLY
from stagelog.blocks import Identity, pack_session
from stagelog.cli import main
from stagelog.download import fetch_session, finish_running
from stagelog.model import FRAME
from stagelog.replies import Hello
from stagelog.rig.play import saturated_tape
from stagelog.rig.tape import read_tape
from stagelog.rig.target import SimTarget


@pytest.fixture
def run(capsys):
    """Return a function of words that runs a verb with --json: (exit code, object)."""

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words), "--json"])
        return ended.value.code or 0, json.loads(capsys.readouterr().out)

    return call


def test_info_counts_frames_identifiers_and_rates(run, tmp_path):
    """Bus 0: 101 frames of 0x100 in 10 s, one each 0.1 s; bus 1: every tenth time another one."""
    frames = np.zeros(112, FRAME)
    frames["t_us"][:101] = np.arange(101) * 100_000
    frames["t_us"][101:] = np.arange(11) * 1_000_000
    frames["bus"][101:] = 1
    frames["can_id"] = np.where(frames["bus"] == 1, 0x200, 0x100)
    frames = frames[np.argsort(frames["t_us"], kind="stable")]
    path = tmp_path / "x.slog"
    path.write_bytes(pack_session(frames, Identity("0a" * 8, 1, 2)).tobytes())
    _, facts = run("info", path, "--ids")
    (session,) = facts["logs"][0]["sessions"]
    assert session["buses"] == [
        {"bus": 0, "n_frames": 101, "rate_Hz": 10.1, "n_ids": 1, "protocol": None, "n_fd": 0},
        {"bus": 1, "n_frames": 11, "rate_Hz": 1.1, "n_ids": 1, "protocol": None, "n_fd": 0},
    ]
    assert [(row["can_id"], row["rate_Hz"]) for row in session["ids"]] == [
        ("100", 10.1),
        ("200", 1.1),
    ]


def test_drive_says_how_long_it_is(run, tmp_path):
    _, facts = run("drive", "light_crest", "--duration", "2", "--out", tmp_path / "x.tape")
    assert facts["duration_s"] == pytest.approx(2.0, abs=0.05)
    assert facts["n_frames"] == len(read_tape(tmp_path / "x.tape"))


@pytest.mark.parametrize(("slot", "name"), [(0, "A"), (1, "B")])
def test_flash_names_the_slot(run, monkeypatch, slot, name):
    hello = reply(Hello, HELLO_REPLY, firmware=0x010203, slot=slot, device_id=b"\x0a\x0b")
    monkeypatch.setattr("stagelog.flash.flash", lambda *_, **__: hello)
    _, facts = run("flash", "/dev/PORT", "--yes")
    assert facts == {
        "schema": "stagelog.flash/1",
        "port": "/dev/PORT",
        "slot": name,
        "firmware": "1.2.3",
        "device_id": "0a0b000000000000",
    }


@pytest.fixture
def target(tmp_path, monkeypatch):
    rig = SimTarget(tmp_path)
    rig.play(saturated_tape(500_000, 200_000))
    monkeypatch.setattr(rig.link, "close", lambda: None)
    monkeypatch.setattr("stagelog.ports.open_link", lambda port: rig.link)
    yield rig
    rig.close()


def test_a_session_that_is_being_recorded_may_stay_at_an_erase(run, target, tmp_path):
    """The finished one goes; the running one behind it is no failure."""
    from slog.messages import CONTROL_START

    boot = finish_running(target.link, always=True)
    (session,) = target.link.list_sessions()
    fetch_session(target.link, session, tmp_path / "a")
    target.link.control(CONTROL_START, boot)
    target.play(saturated_tape(500_000, 200_000))
    code, facts = run("erase", "x", "--archive", tmp_path / "a", "--yes")
    assert [(row["erased"], row["running"]) for row in facts["sessions"]] == [
        (True, False),
        (False, True),
    ]
    assert code == 0
