"""What a report says when sensors fail in the middle of a log: each case of the second car's
faults, from frames of known values to the JSON of the report.

The log, 41 s at 72 km/h: free fall from 6.0, 22.0, 28.0 and 34.0 s on for 0.5 s, landings with
3 g, 1 g else; wheels hang in the air. The front left damper is at full travel 71 times, for 60 ms
each. Sensors fail at 15 s, so one flight is before. Frames are encoded by cantools.
"""

import contextlib
import io
import json

import cantools
import numpy as np
import pytest

from campaigns.engine.other_car import faults
from campaigns.engine.other_car.frames import START_us
from stagelog.blocks import Identity, pack_session
from stagelog.cli import main
from stagelog.model import FRAME
from stagelog.resources import dbc_path

SECONDS = 41
FLIGHTS_s = (6.0, 22.0, 28.0, 34.0)
AIR_s, LANDING_s = 0.5, 0.1
N_BOTTOMED = 71
NO_PEAK = "flights under 180 ms cannot be found, others less surely, landings have no peak"
LIGHT = "flights under 180 ms cannot be found, and a light crest may be taken for one"
NO_SPEED = "the speed of take-offs is not known"
# fault: (what is hidden, and what is named in the same line; what is named as bad somewhere)
SAID = {
    None: ("", (), ()),
    "damper_gone": ("", (), ("DmpPosFL",)),
    "damper_stuck": ("", (), ("DmpPosRR",)),
    "damper_noisy": ("", (), ("DmpPosRL",)),
    "wheel_gone": ("", (), ("WhlSpdFR",)),
    "dampers_two_gone": (LIGHT, ("DmpPosFR", "DmpPosRL"), ("DmpPosFR", "DmpPosRL")),
    "dampers_all_gone": (LIGHT, ("DMP_Pos silent",), ("DMP_Pos",)),
    "wheels_gone": (NO_SPEED, ("WHL_Speed silent",), ("WHL_Speed",)),
    "gyro_gone": (NO_PEAK, ("IMU_Gyro silent",), ("IMU_Gyro",)),
    "imu_gone": (NO_PEAK, ("IMU_Accel", "IMU_Gyro", "silent"), ("IMU_Accel", "IMU_Gyro")),
    "imu_fault": (NO_PEAK, ("AccX", "AccZ", "RateYaw"), ("AccX", "AccY", "AccZ")),
    "imu_frozen": (NO_PEAK, ("AccX", "AccY", "AccZ", "stuck"), ("AccX", "AccY", "AccZ")),
}


def in_air(t_s):
    return any(start <= t_s < start + AIR_s for start in FLIGHTS_s)


def force_g(t_s):
    landed = any(start + AIR_s <= t_s < start + AIR_s + LANDING_s for start in FLIGHTS_s)
    return 0.0 if in_air(t_s) else 3.0 if landed else 1.0


def shaken(t_s):
    """The noise of a sensor, another value each 5 ms: one that stays the same is stuck."""
    return 0.002 * (round(t_s * 200) * 7 % 11 - 5)


def strokes_s():
    """71 moments a half second apart, from 0.5 s on, none within 0.4 s of a flight."""
    at = [0.5 + 0.5 * k for k in range(2 * SECONDS - 2)]
    free = [t for t in at if all(not f - 0.4 < t < f + AIR_s + 0.4 for f in FLIGHTS_s)]
    return free[:N_BOTTOMED]


def front_left_mm():
    """150 mm; in a stroke up to 330, the full travel, in 0.1 s, there for 30 ms, and back."""
    t_s = np.arange(0, SECONDS, 0.002)
    out = np.full(len(t_s), 150.0)
    for at in strokes_s():
        away_s = np.clip(np.abs(t_s - at) - 0.015, 0, 0.1)
        out += np.where(away_s < 0.1, 90 * (1 + np.cos(np.pi * away_s / 0.1)), 0)
    return out


FL_mm = front_left_mm()


def dampers(t_s):
    if in_air(t_s):
        start = max(f for f in FLIGHTS_s if f <= t_s)
        hanging = max(0.0, 150 - 2000 * (t_s - start))
        return dict.fromkeys(("DmpPosFL", "DmpPosFR", "DmpPosRL", "DmpPosRR"), hanging)
    moved = 150 + 2 * np.sin(40 * t_s)
    return {"DmpPosFL": FL_mm[round(t_s * 500)], "DmpPosFR": moved, "DmpPosRL": moved,
            "DmpPosRR": moved}  # fmt: skip


def imu(t_s):
    noise = 9.81 * shaken(t_s)
    return {"AccX": noise, "AccY": -noise, "AccZ": 9.81 * force_g(t_s) + noise, "ImuStatus": 1}


def rates(t_s):
    return dict.fromkeys(("RateRoll", "RatePitch", "RateYaw"), 20 * shaken(t_s))


SENT = {
    "IMU_Accel": (5, imu),
    "IMU_Gyro": (5, rates),
    "DMP_Pos": (2, dampers),
    "WHL_Speed": (10, lambda t_s: {f"WhlSpd{w}": 72.0 for w in ("FL", "FR", "RL", "RR")}),
    "ENG_1": (10, lambda t_s: {"EngSpd": 3000.0, "EngTrqAct": 400.0}),
}


@pytest.fixture(scope="module")
def frames():
    database = cantools.database.load_file(dbc_path() / "d7xr.dbc", strict=False)
    rows = []
    for name, (cycle_ms, values) in SENT.items():
        message = database.get_message_by_name(name)
        rest = {s.name: 0 if s.minimum is None else max(s.minimum, 0) for s in message.signals}
        for at_ms in range(0, SECONDS * 1000, cycle_ms):
            data = message.encode(rest | values(at_ms / 1000), strict=False, scaling=True)
            rows.append((START_us + at_ms * 1000, message.frame_id, data))
    rows.sort(key=lambda row: row[0])
    table = np.zeros(len(rows), FRAME)
    for k, (t_us, can_id, data) in enumerate(rows):
        table[k]["t_us"], table[k]["can_id"] = t_us, can_id
        table[k]["dlc"] = table[k]["n_bytes"] = len(data)
        table[k]["data"][: len(data)] = np.frombuffer(data, np.uint8)
    return table


@pytest.fixture
def report_with(frames, tmp_path):
    """Return a function of a fault that gives the facts of the report."""

    def facts_of(fault):
        wrong = faults.apply(fault, frames, seed=1) if fault else frames
        path = tmp_path / "log.slog"
        path.write_bytes(pack_session(wrong, Identity("0a" * 8, 4, 7)).tobytes())
        out = io.StringIO()
        with pytest.raises(SystemExit), contextlib.redirect_stdout(out):
            main(["report", str(path), "--profile", "d7xr", "--json"])
        return json.loads(out.getvalue())["sections"]

    return facts_of


@pytest.mark.parametrize("fault", SAID)
def test_every_flight_is_found_and_what_is_hidden_is_named(report_with, fault):
    found = report_with(fault)
    hidden, beside, bad = SAID[fault]
    jumps = found["jumps"]["tables"][0]["rows"]
    assert [row["t_s"] for row in jumps] == pytest.approx(FLIGHTS_s, abs=0.1)
    peaks = [row["landing_peak_g"] for row in jumps]
    assert peaks[0] == pytest.approx(3.0, rel=0.1)
    known = [peak is not None for peak in peaks]
    assert known == [True] + [hidden != NO_PEAK] * 3
    lines = [line for line in found["jumps"]["lines"] if " from 0:1" in line]
    assert bool(lines) == bool(hidden)
    assert all(line.startswith(hidden) for line in lines)
    assert all(any(word in line for line in lines) for word in beside)
    named = json.dumps(found.get("sensors", {}))
    assert all(name in named for name in bad)
    assert bad or "DmpPos" not in named


@pytest.mark.parametrize("fault", [None, "damper_garbage"])
def test_garbage_of_dampers_is_named_and_is_no_bottoming(report_with, fault):
    """Two in a hundred frames hold anything from 0 to 655 mm. What is farther than 48 mm from the
    median of five (12 m/s for 4 ms) is left out. Of 30 samples at full travel 0.02 x 38 / 655 lie
    within 48 mm and below 97 % of the travel, and cut a stroke in two: 2.5 in 71 strokes; of 24 on
    the way there 0.02 x 25 / 655 seem to be full travel: 1.3. So some 4 more, hardly 8; of all
    20,500 samples 0.02 x 25 / 655 lie there: 16 more without the median.
    """
    found = report_with(fault)
    (row,) = [r for r in found["dampers"]["tables"][0]["rows"] if r["damper"] == "DmpPosFL"]
    assert 0 <= row["at_full_travel_times"] - N_BOTTOMED <= (7 if fault else 0)
    named = json.dumps(found.get("sensors", {}))
    for corner in ("FL", "FR", "RL", "RR"):
        assert (f"DmpPos{corner}" in named) == bool(fault)
