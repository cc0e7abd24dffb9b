"""Readings as frames of the shipped DBC: what the car's flight and fuel detectors listen to."""

import functools
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from campaigns.engine.other_car.cars import Cars
from campaigns.engine.other_car.dynamics import STEP_s
from stagelog.car.encode import make_encoders
from stagelog.model import FRAME, FrameTable
from stagelog.profile import dbc_file, load_profile

Array: TypeAlias = NDArray[np.floating]
Readings: TypeAlias = dict[str, Array | float | int]  # signal: a column or a constant

START_us = 2_000_000  # the logger's clock at the drive's first step
MESSAGES = (
    "IMU_Accel", "IMU_Gyro", "DMP_Pos", "WHL_Speed", "VEH_Flight", "ENG_1", "TCU_1", "FUEL_Raw",
    "DMP_Temp",
)  # fmt: skip
_IMU_OK, _RUNNING = 1, 2
_DELAY_us = {"IMU_Accel": 900, "IMU_Gyro": 1300, "DMP_Pos": 400, "WHL_Speed": 2600}


@functools.cache
def _encoders(profile):
    made = make_encoders(dbc_file(load_profile(profile)))
    return {name: made[name] for name in MESSAGES}


def frames_of(readings: Readings, steps: int, seed: int, profile: str = "d7xr") -> FrameTable:
    """Return the FRAME table of one drive.

    readings  {signal: [steps] or a constant}, physical
    """
    rng = np.random.default_rng([seed, 3])
    parts = []
    for place, (name, encoder) in enumerate(_encoders(profile).items()):
        cycle = round(encoder.cycle_ms / 1e3 / STEP_s)
        at = np.arange(place % cycle, steps, cycle)
        values = {
            signal: np.asarray(value, float)[at] if np.ndim(value) else np.full(len(at), value)
            for signal, value in readings.items()
            if signal in encoder.signals
        }
        words = encoder.encode(values, len(at))
        part = np.zeros(len(at), FRAME)
        late = _DELAY_us.get(name, 500) + 370 * place % 900
        part["t_us"] = START_us + at * round(STEP_s * 1e6) + late + rng.integers(0, 250, len(at))
        part["can_id"] = encoder.can_id
        part["dlc"] = part["n_bytes"] = encoder.n_bytes
        part["data"].view("<u8")[:, 0] = words
        parts.append(part)
    frames = np.concatenate(parts)
    return frames[np.argsort(frames["t_us"], kind="stable")]


def readings_of(
    cars: Cars,
    i: int,
    profile: str,
    acc: Array,
    rates: Array,
    damper: Array,
    wheel: Array,
    kept: dict,
) -> Readings:
    """Return {signal: column} of car i out of the sensors' arrays of many."""
    car = load_profile(profile)
    share = float(cars.tank_share[i])
    volume = share * car.fuel.capacity_l
    out = {
        "AccX": acc[:, i, 0], "AccY": acc[:, i, 1], "AccZ": acc[:, i, 2], "ImuStatus": _IMU_OK,
        "ImuTemp": 45.0, "FlightState": 0, "FlightModeEn": 0, "EngState": _RUNNING,
        "EngSpd": kept["engine"][:, i] * 9.549, "EngTrqAct": kept["pedal"][:, i] * 600,
        "AccPedal": kept["pedal"][:, i] * 100, "ThrPos": kept["pedal"][:, i] * 100,
        "GearAct": 1 + (kept["speed"][:, i][:, None] > np.array([6, 10, 15, 20, 27, 34])).sum(1),
        "TrnOutTrq": kept["torque"][:, i] / 4.1, "TankPres": 0.0, "TankTemp": 30.0,
    }  # fmt: skip
    for k, axis in enumerate(("Roll", "Pitch", "Yaw")):
        out[f"Rate{axis}"] = np.degrees(rates[:, i, k])
    for k, corner in enumerate(("FL", "FR", "RL", "RR")):
        out[f"DmpPos{corner}"] = damper[:, k, i]
        out[f"WhlSpd{corner}"] = wheel[:, k, i]
    for sender in "AB":
        heights = getattr(car.fuel, f"sender_{sender.lower()}_mm")
        level = np.interp(volume, car.fuel.sender_volume_l, heights)
        out[f"FuelLvl{sender}"] = float(level)
    for name in ("FL", "FR", "RL1", "RL2", "RR1", "RR2"):
        out[f"DmpTemp{name}"] = float(cars.oil_degC[i])
    return out
