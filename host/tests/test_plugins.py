"""stagelog inside python-can: session files as its log files, a logger as its bus."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from stagelog.blocks import Identity, pack_session, read_log
from stagelog.errors import UsageError
from stagelog.importers import load_frames
from stagelog.listen import RENEW_S, LiveLink
from stagelog.model import ERR, EXT, FRAME, FRAME_FD, RTR
from stagelog.pack import SlogSink
from stagelog.rig.live import LiveLogger
from stagelog.rig.logger import VirtualLogger
from stagelog.rig.tape import tape_of
from stagelog.rig.target import tape_events

can = pytest.importorskip("can")
T0_UNIX_US = 1_790_000_000_123_456


def traffic(n, seed=4, span_us=2_000_000, n_buses=2):
    rng = np.random.default_rng(seed)
    frames = np.zeros(n, FRAME)
    frames["t_us"] = np.sort(rng.integers(0, span_us, n))
    frames["can_id"] = rng.integers(0, 0x800, n)
    frames["flags"] = rng.choice([0, EXT, RTR], n, p=[0.7, 0.2, 0.1])
    frames["bus"] = rng.integers(0, n_buses, n)
    frames["dlc"] = rng.integers(0, 9, n)
    frames["n_bytes"] = np.where(frames["flags"] & RTR, 0, frames["dlc"])
    data = rng.integers(0, 256, (n, 8), np.uint8)
    frames["data"] = np.where(np.arange(8) < frames["n_bytes"][:, None], data, 0)
    return frames


@pytest.fixture
def session_file(tmp_path):
    frames = traffic(5000)
    path = tmp_path / "drive.slog"
    blocks = pack_session(frames, Identity("ab" * 8, 3, 9), anchors=[(0, T0_UNIX_US)])
    path.write_bytes(blocks.tobytes())
    return path, frames


def same_frame(message, row):
    return (
        message.arbitration_id == row["can_id"]
        and message.is_extended_id == bool(row["flags"] & EXT)
        and message.is_remote_frame == bool(row["flags"] & RTR)
        and message.channel == row["bus"]
        and message.dlc == row["dlc"]
        and bytes(message.data or b"") == row["data"][: row["n_bytes"]].tobytes()
    )


def test_log_reader_reads_a_session_file(session_file):
    path, frames = session_file
    with can.LogReader(path) as reader:
        messages = list(reader)
    assert len(messages) == len(frames)
    assert all(map(same_frame, messages, frames))
    t_us = np.rint(np.array([m.timestamp for m in messages]) * 1e6).astype(np.int64)
    assert np.array_equal(t_us, frames["t_us"] + T0_UNIX_US)


def test_log_reader_reads_what_is_whole_of_a_damaged_file(session_file):
    path, frames = session_file
    content = bytearray(path.read_bytes())
    content[4096 * 2 + 100] ^= 1
    path.write_bytes(content)
    with can.LogReader(path) as reader:
        n = sum(1 for _ in reader)
    assert len(frames) - 252 <= n < len(frames)
    assert reader.diagnostics.counts == {"bad block": 1}


def test_logger_writes_what_log_reader_reads(session_file, tmp_path):
    path, frames = session_file
    copy = tmp_path / "copy.slog"
    with can.LogReader(path) as reader, can.Logger(copy) as writer:
        for message in reader:
            writer(message)
    session = read_log(copy).session()
    back = session.read_frames()
    for name in ("can_id", "bus", "flags", "dlc", "n_bytes", "data"):
        assert np.array_equal(back[name], frames[name]), name
    assert np.array_equal(back["t_us"], frames["t_us"] - frames["t_us"][0])


def test_file_appears_when_the_writer_stops_and_not_before(tmp_path):
    path = tmp_path / "new.slog"
    writer = can.Logger(path)
    writer(can.Message(arbitration_id=1, is_extended_id=False, timestamp=1.0))
    assert not path.exists()
    writer.stop()
    writer.stop()
    assert read_log(path).session().n_frames == 1


@pytest.mark.parametrize("target", ["copy.log", "copy.blf"])
def test_can_logconvert_converts_both_ways(session_file, tmp_path, target):
    path, frames = session_file
    convert = [sys.executable, "-m", "can.logconvert"]
    there, back = tmp_path / target, tmp_path / "back.slog"
    subprocess.run([*convert, path, there], check=True, timeout=60)
    subprocess.run([*convert, there, back], check=True, timeout=60)
    again = read_log(back).session().read_frames()
    assert len(again) == len(frames)
    for name in ("can_id", "bus", "data"):
        assert np.array_equal(again[name], frames[name]), name
    off_us = again["t_us"] - again["t_us"][0] - (frames["t_us"] - frames["t_us"][0])
    assert np.abs(off_us).max() <= 1


def test_can_player_plays_a_session_file(session_file):
    path, _ = session_file
    command = [sys.executable, "-m", "can.player", "-i", "virtual", "-c", "x", "-g", "0", path]
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert "Can LogReader" in done.stdout


def test_session_file_refuses_what_it_cannot_hold(tmp_path):
    frames = traffic(3)
    frames["bus"][1] = 2
    with (
        pytest.raises(UsageError, match="cannot hold"),
        SlogSink(tmp_path / "x.slog", from_epoch=False) as sink,
    ):
        sink.write(frames)
    wide = np.zeros(1, FRAME_FD)
    wide["n_bytes"] = 12
    with (
        pytest.raises(UsageError, match="more than 8"),
        SlogSink(tmp_path / "x.slog", from_epoch=False) as sink,
    ):
        sink.write(wide)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("from_epoch", [True, False])
@pytest.mark.parametrize("t0_us", [10_000_000, T0_UNIX_US])
def test_times_count_from_what_the_caller_says_not_from_their_size(tmp_path, t0_us, from_epoch):
    """10 s may be since 1970 or since a boot, and so may 2026; times come back as they were."""
    frames = traffic(10)
    frames["t_us"] += t0_us
    with SlogSink(tmp_path / "x.slog", from_epoch=from_epoch) as sink:
        sink.write(frames)
    session = read_log(tmp_path / "x.slog").session()
    assert session.t_first_us == (0 if from_epoch else frames["t_us"][0])
    log = load_frames(tmp_path / "x.slog")
    assert log.diagnostics.times == ("absolute" if from_epoch else "relative")
    assert np.array_equal(log.frames["t_us"], frames["t_us"])


def test_session_file_leaves_error_frames_out_and_sorts(tmp_path):
    frames = traffic(100)
    frames["flags"][10] = ERR
    frames["t_us"] += T0_UNIX_US
    with SlogSink(tmp_path / "x.slog", from_epoch=True) as sink:
        sink.write(frames[50:])
        sink.write(frames[:50])
    assert sink.n_left_out == 1
    back = read_log(tmp_path / "x.slog").session().read_frames()
    assert np.array_equal(back["t_us"], np.delete(frames["t_us"], 10) - frames["t_us"][0])
    assert load_frames(tmp_path / "x.slog").frames["t_us"][0] == frames["t_us"][0]


def sim_args(folder, n_buses=1):
    from stagelog.card import prepare_raw

    card = folder / "card.img"
    prepare_raw(card, 1024)
    buses = [{"bitrate_bps": 500_000, "ids": None}] * n_buses
    return {"card": str(card), "settings": {"car": "C03", "buses": buses}}


def test_live_link_gives_every_frame_while_recording_goes_on(tmp_path):
    frames = traffic(6000, span_us=12_000_000)
    logger = VirtualLogger(sim_args(tmp_path, 2))
    link = LiveLink(logger, "sim", logger.clock)
    link.start()
    start_us = logger.world.clock.now_us + 100_000
    logger.world.add_events(tape_events(tape_of(frames), start_us))
    parts, n = [], 0
    while n < len(frames):
        part = link.read_frames(2)
        assert len(part), f"{n} frames came"
        parts.append(part)
        n += len(part)
    got = np.concatenate(parts)
    for name in ("can_id", "bus", "flags", "dlc", "n_bytes", "data"):
        assert np.array_equal(got[name], frames[name]), name
    assert np.array_equal(got["t_us"], frames["t_us"] + start_us)
    assert link.n_skipped_blocks == 0 and link.status().stored0 > 0
    assert logger.clock() > 3 * RENEW_S
    logger.close()


def test_live_link_leaves_a_quiet_logger(tmp_path):
    logger = VirtualLogger(sim_args(tmp_path))
    logger.close, close = (lambda: None), logger.close
    link = LiveLink(logger, "sim", logger.clock)
    link.start()
    assert len(link.read_frames(0.2)) == 0
    link.close()
    logger.world.add_events(tape_events(tape_of(traffic(50, n_buses=1)), 10_000_000))
    logger.world.run_tape()
    assert logger.cable.host_read() == b""
    close()


@pytest.fixture
def live_logger(tmp_path):
    """A logger on a pseudo-terminal, its bus driven by a thread."""
    frames = traffic(20_000, span_us=20_000_000, n_buses=1)
    logger = LiveLogger(sim_args(tmp_path), tape_events(tape_of(frames), 200_000))
    done = threading.Event()
    thread = threading.Thread(target=logger.run, args=(done.is_set,))
    thread.start()
    yield logger, frames
    done.set()
    thread.join()
    logger.close()


def test_logger_is_a_bus_of_python_can(live_logger):
    logger, frames = live_logger
    with can.Bus(interface="stagelog", channel=logger.port) as bus:
        first = bus.recv(5)
        row = next(k for k in range(len(frames)) if same_frame(first, frames[k]))
        for k in range(row + 1, row + 200):
            assert same_frame(bus.recv(5), frames[k]), k
        with pytest.raises(can.CanOperationError, match="only listens"):
            bus.send(first)
        bus.set_filters([{"can_id": int(frames["can_id"][row + 400]), "can_mask": 0x7FF}])
        assert bus.recv(5).arbitration_id & 0x7FF == frames["can_id"][row + 400] & 0x7FF


def test_port_without_logger_is_told():
    with pytest.raises(can.CanInitializationError, match="there is no such port"):
        can.Bus(interface="stagelog", channel=str(Path("nowhere") / "port"))
