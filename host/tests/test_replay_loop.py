"""The closed loop: replayed, logged again, compared; and its comparison finds what differs."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from recorded_drives import DRIVES

from stagelog.blocks import Identity, pack_session
from stagelog.cli import group
from stagelog.errors import UsageError
from stagelog.model import EXT, FD, FRAME, RTR
from stagelog.replay import make_schedule
from stagelog.rig.closed_loop import closed_loop, compare
from stagelog.rig.tape import tape_of


def traffic(n, seed=3, n_buses=1, span_us=2_000_000):
    rng = np.random.default_rng(seed)
    frames = np.zeros(n, FRAME)
    frames["t_us"] = 5_000_000 + np.sort(rng.integers(0, span_us, n))
    frames["can_id"] = rng.integers(0, 0x800, n)
    frames["flags"] = rng.choice([0, EXT, RTR], n, p=[0.7, 0.2, 0.1])
    frames["bus"] = rng.integers(0, n_buses, n)
    frames["dlc"] = rng.integers(0, 9, n)
    frames["n_bytes"] = np.where(frames["flags"] & RTR, 0, frames["dlc"])
    data = rng.integers(0, 256, (n, 8), np.uint8)
    frames["data"] = np.where(np.arange(8) < frames["n_bytes"][:, None], data, 0)
    return frames


@pytest.mark.parametrize("n_buses", [1, 2])
def test_every_frame_comes_back(n_buses):
    frames = traffic(1500, n_buses=n_buses)
    report, found = closed_loop(make_schedule(frames))
    assert found.same and found.ledger_closes
    assert found.n_sent == found.n_logged == 1500
    assert found.logger_worst_us <= 1
    assert 0 < found.bus_p99_us <= found.bus_worst_us < 20_000
    assert report.good and report.early_us == 0


def test_logger_listens_at_the_rate_of_the_bus():
    _, found = closed_loop(make_schedule(traffic(300)), bitrate_bps=1_000_000)
    assert found.same and found.n_logged == 300


def test_half_speed_takes_twice_the_time():
    frames = traffic(300)
    report, found = closed_loop(make_schedule(frames, speed=0.5))
    assert found.same
    span_s = int(np.ptp(frames["t_us"])) / 1e6
    assert report.duration_s == pytest.approx(2 * span_s, rel=1e-3)


def test_can_fd_is_refused():
    frames = traffic(10)
    frames["flags"][3] = FD
    with pytest.raises(UsageError, match="classic"):
        closed_loop(make_schedule(frames))


def test_comparison_finds_lost_changed_moved_and_late_frames():
    sent = traffic(100)
    tape = tape_of(sent)
    assert compare(sent, tape, sent).same
    lost = compare(sent, tape, np.delete(sent, 50))
    assert (lost.n_missing, lost.n_extra, lost.same) == (1, 0, False)
    twice = compare(sent, tape, np.insert(sent, 50, sent[50]))
    assert (twice.n_missing, twice.n_extra, twice.same) == (0, 1, False)
    changed = sent.copy()
    changed["dlc"][7] ^= 1
    assert (compare(sent, tape, changed).n_missing, compare(sent, tape, changed).n_extra) == (1, 1)
    moved = sent.copy()
    moved[[3, 4]] = moved[[4, 3]]
    moved["t_us"] = sent["t_us"]
    assert compare(sent, tape, moved).n_moved == 2
    late = sent.copy()
    late["t_us"][99] += 2
    assert compare(sent, tape, late).logger_worst_us == 2
    assert not compare(sent, tape, late).same
    assert not compare(sent, tape, sent, ledger_closes=False).same


def test_one_command_gives_the_verdict(tmp_path):
    path = tmp_path / "drive.slog"
    path.write_bytes(pack_session(traffic(400), Identity("aa" * 8, 1, 7)).tobytes())
    done = CliRunner().invoke(group, ["replay", str(path), "--closed-loop", "--to", "1", "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output)
    assert facts["schema"] == "stagelog.replay/1"
    assert facts["comparison"]["same"] is True
    assert 150 < facts["comparison"]["n_sent"] < 250


def test_command_needs_one_target(tmp_path):
    path = tmp_path / "drive.slog"
    path.write_bytes(pack_session(traffic(10), Identity("aa" * 8, 1, 7)).tobytes())
    for options in ([], ["--closed-loop", "--bus", "virtual:x"]):
        done = CliRunner().invoke(group, ["replay", str(path), *options])
        assert isinstance(done.exception, UsageError)


def test_command_plays_to_a_bus_of_python_can(tmp_path):
    can = pytest.importorskip("can")
    path = tmp_path / "drive.slog"
    path.write_bytes(pack_session(traffic(200), Identity("aa" * 8, 1, 7)).tobytes())
    # A minute: not a test of time, beside others that take all processors.
    options = ["--bus", "virtual:loop-test", "--speed", "20", "--bound-us", "60e6", "--json"]
    with can.Bus(interface="virtual", channel="loop-test") as listener:
        done = CliRunner().invoke(group, ["replay", str(path), *options])
        got = sum(listener.recv(0) is not None for _ in range(201))
    facts = json.loads(done.output)
    assert done.exit_code == 0 and got == 200, facts
    assert facts["replay"]["n_sent"] == 200 and facts["replay"]["early_us"] == 0


@pytest.mark.parametrize("recorded", DRIVES)
def test_a_piece_of_a_recorded_drive_comes_back(recorded):
    done = CliRunner().invoke(group, ["replay", str(recorded.log), "--closed-loop", "--to", "10"])
    assert done.exit_code == 0, done.output
    assert "SAME: every frame came back" in done.output
