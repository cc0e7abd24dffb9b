"""The firmware's events in the log equal what the host finds in the log's frames."""

import numpy as np
import pytest

from slog.messages import CONFIG_SIGNALS, STATE_RECORDING
from stagelog.blocks import read_log
from stagelog.car import drive
from stagelog.car.scenarios.parts import ramp, start
from stagelog.car.story import Incident, Leg, Scenario
from stagelog.card import prepare_raw
from stagelog.events import (
    compare_events,
    compile_table,
    load_events,
    read_events,
    recompute,
    summarise,
)
from stagelog.link import Link, positions_of
from stagelog.profile import dbc_file, load_profile
from stagelog.rig.logger import LoggerProcess
from stagelog.rig.runtimes import find_runtime
from stagelog.rig.tape import tape_of, write_tape

_START_US = 3_000_000
RUNTIMES = ("cpython", "unix64", "unix32")
HOT = {"fault": "value", "signals": ("DiffOilTempR",), "value": 145}
SHORT = Scenario(
    name="events",
    number=0,
    summary="a jump, a hot differential, a broken sensor, in forty seconds",
    legs=(
        start(2.0),
        Leg("drive", "track", 900.0, natural=False, features=(ramp(420.0, 1.1, 90.0),), rough=0.6),
    ),
    incidents=(
        Incident(
            "signal", 6.0, 20.0, {"fault": "value", "signals": ("DiffOilTempR",), "value": 145}
        ),
        Incident("signal", 10.0, 8.0, {"fault": "sna", "signals": ("CoolantTemp",)}),
    ),
)


@pytest.fixture(scope="module")
def table():
    profile = load_profile()
    return compile_table(profile, dbc_file(profile))


@pytest.fixture(scope="module")
def driven():
    return drive(SHORT, seed=11)


def log_of(folder, runtime, table, frames):
    """Play frames to the firmware under a runtime; return the session of its log."""
    binary = None if runtime == "cpython" else find_runtime(runtime)
    if runtime != "cpython" and binary is None:
        pytest.skip(f"no {runtime} MicroPython: run tools/runtimes {runtime}")
    card, tape, signals = folder / "card", folder / "tape", folder / "signals"
    prepare_raw(card, 1024)
    write_tape(tape, frames)
    signals.write_bytes(table.data)
    args = {"card": str(card), "tape": str(tape), "signals": str(signals), "stop": True}
    logger = LoggerProcess(args, binary)
    try:
        logger.wait_until(int(frames["t_us"][-1]) + 2_000_000)
        link = Link(logger)
        session = link.list_sessions()[0]
        path = folder / f"{runtime}.slog"
        path.write_bytes(b"".join(block for _, block in link.read_blocks(positions_of(session))))
    finally:
        logger.close()
    return read_log(path).sessions[0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_events_on_the_car_equal_the_host(tmp_path_factory, runtime, table, driven):
    folder = tmp_path_factory.mktemp("log")  # MicroPython takes no argument above 255 characters
    session = log_of(folder, runtime, table, driven.frames)
    said = load_events(session)
    found = recompute(session.iter_frames(), table)
    assert compare_events(said, found) == []
    facts = read_events(said, table)
    assert [f["state"] for f in facts if f["name"] == "flight"][:2] == ["taken_off", "landed"]
    alarms = [f for f in facts if f["name"] == "alarm"]
    assert {f["signal"] for f in alarms} == {"DiffOilTempR"}
    assert [f["state"] for f in alarms][:1] == ["critical"]
    assert [f["signal"] for f in facts if f["name"] == "sensor"] == ["CoolantTemp"] * 2
    assert summarise(said)["flights"][0] == 1


def give_table(target, data):
    """Give the target's logger a signal table, as 'stagelog settings' does."""
    target.link.replace_config(CONFIG_SIGNALS, data)
    target.run_for(1000)  # no frame ends in the microsecond in which a controller starts
    if target.name == "rp2040":
        target.link.restart()
        target.run_for(_START_US)
        assert target.link.status().state == STATE_RECORDING


@pytest.mark.needs("power", "virtual_time")
def test_events_of_the_target_equal_the_host_up_to_a_power_cut(target, tmp_path, table, driven):
    give_table(target, table.data)
    frames = driven.frames
    if target.name != "sim":
        frames = frames[frames["t_us"] < 13_000_000]  # emulation is slower than the car
    target.play(tape_of(frames))
    target.run_for(1_000_000)
    boot = target.link.hello().boot
    target.power_cut()
    target.power_on()
    link = target.link
    path = tmp_path / "session.slog"
    cut = next(session for session in link.list_sessions() if session.boot == boot)
    path.write_bytes(b"".join(block for _, block in link.read_blocks(positions_of(cut))))
    session = read_log(path).sessions[0]
    assert sum(map(len, session.iter_frames())) == len(frames)
    said = load_events(session)
    assert compare_events(said, recompute(session.iter_frames(), table)) == []
    assert len(said) > 10
    assert summarise(said)["distance_m"][0] > 0


@pytest.mark.needs("virtual_time")
def test_a_damaged_table_ends_no_recording(target, fetch_frames, table, driven):
    damaged = bytearray(table.data)
    damaged[100] ^= 1
    give_table(target, bytes(damaged))
    frames = driven.frames[:2000]
    target.play(tape_of(frames))
    assert len(fetch_frames()) == len(frames)


def test_a_changed_frame_is_a_disagreement(table, driven):
    frames = driven.frames
    first = recompute(frames, table)
    changed = frames.copy()
    hot = changed["can_id"] == 288
    changed["data"][hot, 2:4] = np.frombuffer((2100).to_bytes(2, "little"), np.uint8)
    assert compare_events(recompute(changed, table), first)
