"""Four wheels' speeds from the car's: bends, slip by load, handbrake, flight, wet and flat tyres.

Owns the 100 Hz columns of the wheels, before the sensors' noise.
"""

import numpy as np

from stagelog.car.flight import FlightMode
from stagelog.car.minute import Minute
from stagelog.car.noise import Array, Columns
from stagelog.car.suspension import RATE_Hz

DT_s = 0.01
_EVERY = RATE_Hz // 100


def wheel_columns(minute: Minute, flight_mode: FlightMode) -> Columns:
    """Fill minute.flight; return {speed_kmh [n, 4], axle_kmh [n, 2], centre_kmh [n]} at 100 Hz."""
    motion, slow, profile = minute.motion, minute.slow, minute.profile
    n = minute.seconds * 100
    t = np.arange(n) * DT_s
    at = np.arange(len(slow["v_ms"])) * 0.05

    def column(name: str) -> Array:
        return np.interp(t, at, slow[name])

    v = motion.v_ms[::_EVERY]
    load = motion.load.reshape(n, _EVERY).mean(axis=1)
    each = motion.tyre_N.reshape(n, _EVERY, 4).mean(axis=1)
    each /= np.maximum(each.mean(axis=1, keepdims=True), 500.0)
    wheel, bend = column("wheel_ms"), column("bend")
    ratio = column("rpm") * np.pi / 30.0 * (profile.tyres.circumference_m / (2.0 * np.pi))
    ratio = np.clip(ratio / np.maximum(wheel, 0.5), 0.0, 25.0)
    minute.flight = flight_mode.run(
        load.tolist(), v.tolist(), column("torque_Nm").tolist(), ratio.tolist()
    )
    race = minute.flight["race_ms"]
    half = 0.5 * profile.mass.track_m
    kinematic = v[:, None] * (1.0 + np.array([-half, half, -half, half]) * bend[:, None])
    slip = np.where(v > 0.3, wheel - v, wheel)
    share = np.clip(2.0 - each, 0.35, 2.0)
    stuck = v < 0.3
    share[stuck] = [0.75, 1.05, 1.35, 0.85]
    speed = kinematic + slip[:, None] * share + race[:, None]
    locked = column("handbrake") > 0.4
    speed[:, 2:] *= np.where(locked, 0.0, 1.0)[:, None]
    scale = profile.tyres.circumference_m / minute.build.circumference_m
    flat = minute.heat["flat"] if "flat" in minute.heat else np.zeros(4)
    speed = np.maximum(speed, 0.0) * (3.6 * scale) * (1.0 + 0.03 * flat)
    axle = np.stack([speed[:, 0] - speed[:, 1], speed[:, 2] - speed[:, 3]], axis=1)
    centre = 0.5 * (speed[:, 0] + speed[:, 1] - speed[:, 2] - speed[:, 3])
    return {"speed_kmh": speed, "axle_kmh": axle, "centre_kmh": centre, "race_ms": race}
