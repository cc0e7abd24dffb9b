"""What the sensors of these cars read: never quite what is."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from campaigns.engine.other_car.cars import Cars, G_ms2
from campaigns.engine.other_car.dynamics import DROOP_STOP, STEP_s

Array: TypeAlias = NDArray[np.floating]
Kept: TypeAlias = dict[str, Array]  # what dynamics.simulate returns

_NOISE_MS2 = 0.08
_GYRO_NOISE = np.radians(0.12)
_DAMPER_NOISE_m = 0.0002
_SPEED_NOISE_kmh = 0.12
_ENGINE_ORDER = 4  # a V8 fires four times a turn


def specific_force(kept: Kept) -> Array:
    """Return the true specific force of the body at its centre of gravity, [steps, n, 3]."""
    pitch, roll = kept["pitch"], kept["roll"]
    fx, fy, fz = kept["fx"], kept["fy"], kept["fz"]
    cp, sp, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    ahead = fx * cp - fz * sp
    up = fx * sp + fz * cp
    return np.stack([ahead, fy * cr + up * sr, up * cr - fy * sr], -1)


def imu(cars: Cars, kept: Kept, force: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return (accelerations, rates) [steps, n, 3] as the IMU has them inside, m/s^2 and rad/s."""
    rates = np.stack([kept["roll_rate"], kept["pitch_rate"], kept["yaw_rate"]], -1)
    turn = np.gradient(rates, STEP_s, axis=0)
    arm = cars.imu_m.T[None].astype(np.float32)
    acc = force + np.cross(turn, arm) + np.cross(rates, np.cross(rates, arm))
    acc -= np.cross(cars.imu_turn.T[None].astype(np.float32), acc)
    steps, n = kept["fx"].shape
    minutes = (np.arange(steps, dtype=np.float32) * (STEP_s / 60))[:, None, None]
    acc = acc * cars.imu_scale.T + cars.imu_bias.T + cars.imu_drift.T * minutes
    phase = np.cumsum(kept["engine"], axis=0) * STEP_s * _ENGINE_ORDER
    shake = cars.engine_ms2 * (kept["engine"] / 314) * (0.3 + 0.7 * kept["pedal"])
    for axis, share in enumerate((0.4, 0.6, 1.0)):
        acc[..., axis] += shake * share * np.sin(phase + axis)
    acc = _ring_and_filter(cars, acc.astype(np.float32))
    acc += rng.normal(0, _NOISE_MS2, acc.shape).astype(np.float32)
    rates = rates * cars.gyro_scale.T + cars.gyro_bias.T
    rates = rates + rng.normal(0, _GYRO_NOISE, rates.shape)
    return acc, rates


def _ring_and_filter(cars, acc):
    """Add the body's ringing, then the sensor's own second-order low-pass."""
    out = np.empty_like(acc)
    rw = (2 * np.pi * cars.ring_Hz * STEP_s)[:, None]
    rd = 2 * cars.ring_damping[:, None] * rw
    gain = cars.ring_gain[:, None]
    fw = (2 * np.pi * cars.imu_Hz * STEP_s)[:, None]
    fd = 1.414 * fw
    x = acc[0].astype(float)
    xv, y, yv = np.zeros_like(x), x.copy(), np.zeros_like(x)
    for k, value in enumerate(acc):
        xv += rw * rw * (value - x) - rd * xv
        x = x + xv
        seen = value + gain * (x - value)
        yv += fw * fw * (seen - y) - fd * yv
        y = y + yv
        out[k] = y
    return out


def dampers(cars: Cars, kept: Kept, rng: np.random.Generator) -> Array:
    """Return readings [steps, 4, n] in mm: 0 where the wheels of this car hang."""
    hang = -(cars.preload_N + cars.unsprung_kg * G_ms2) / DROOP_STOP
    true = (kept["damper"] - hang) * cars.reach
    half = 0.5 * cars.play_m
    out = np.empty_like(kept["damper"])
    state = true[0]
    for k, now in enumerate(true):
        state = np.minimum(np.maximum(state, now - half), now + half)
        out[k] = state
    out += cars.zero_m.astype(np.float32)
    out += rng.normal(0, _DAMPER_NOISE_m, out.shape).astype(np.float32)
    return out * np.float32(1000)


def wheels(cars: Cars, kept: Kept, rng: np.random.Generator, circumference_m: float) -> Array:
    """Return wheel speeds [steps, 4, n] in km/h, by the profile's circumference."""
    share = circumference_m / (2 * np.pi) / cars.radius_m
    speed = kept["wheel"] * (3.6 * cars.speed_scale * share).astype(np.float32)
    moving = speed > 1.5
    speed += rng.normal(0, _SPEED_NOISE_kmh, speed.shape).astype(np.float32)
    return np.where(moving, np.maximum(speed, 0), 0)
