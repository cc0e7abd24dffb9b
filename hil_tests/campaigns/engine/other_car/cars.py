"""Cars around the profile: every drive has its own, as arrays over many cars.

"near" lies within 5 to 10 % of the profile, "far" has springs to +-18 %, damping to +-33 %,
friction x 0.5 to 2, preload to +-500 N. Wheels are ordered FL, FR, RL, RR; arrays are [4, n] for
wheels and [n] for cars. What the profile does not say (curve of the dampers, belly, ringing) is
this author's own.
"""

import functools
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from stagelog.profile import load_profile, load_simulation

G_ms2 = 9.80665
DISTANCES = ("near", "far")
Column = NDArray[np.float64]

# Half widths, by distance: a share of the profile's value, or the unit in the name.
_WIDTH = {
    "near": {
        "spring": 0.06, "damping": 0.08, "side": 0.02, "friction": 1.25, "preload_N": 120.0,
        "unsprung": 0.06, "tyre": 0.08, "mass": 0.02, "inertia": 0.07, "cg_m": 0.05,
        "roll_bar": 0.3, "stop": 0.1, "zero_mm": 4.0, "play_mm": 1.0, "tilt_deg": 1.2,
        "scale": 0.008, "bias_ms2": 0.10, "gyro_degs": 0.4,
    },
    "far": {
        "spring": 0.18, "damping": 0.33, "side": 0.05, "friction": 2.0, "preload_N": 500.0,
        "unsprung": 0.20, "tyre": 0.25, "mass": 0.06, "inertia": 0.18, "cg_m": 0.12,
        "roll_bar": 0.9, "stop": 0.3, "zero_mm": 9.0, "play_mm": 2.5, "tilt_deg": 2.5,
        "scale": 0.02, "bias_ms2": 0.25, "gyro_degs": 1.0,
    },
}  # fmt: skip


@dataclass(slots=True)
class Cars:
    """Parameters of n cars. SI units but where the name says otherwise."""

    sprung_kg: Column
    unsprung_kg: Column  # [4]
    pitch_kgm2: Column
    roll_kgm2: Column
    front_m: Column  # from the centre of gravity forward to the front axle
    rear_m: Column
    half_track_m: Column
    height_m: Column  # centre of gravity above the ground
    spring: Column  # [4] N/m at the wheel
    rising: Column  # the spring's rate grows by this share up to full travel
    preload_N: Column  # [4] at full droop
    bump: Column  # [4] Ns/m
    rebound: Column  # [4]
    knee_ms: Column  # speed at which the damper's valve opens
    after_knee: Column  # slope beyond the knee by the slope below it
    rated_ms: Column  # speed at which the profile's number holds
    friction_N: Column  # [4]
    bump_from_m: Column  # [4]
    bump_stop: Column  # N/m^2
    end_m: Column  # [4]
    roll_bar: Column  # [4] N/m
    tyre: Column  # N/m
    tyre_damping: Column
    grip: Column
    slip_peak: Column
    wheel_kgm2: Column
    coupling: Column  # Nms: what the locked centre and the differentials even out
    radius_m: Column
    belly_m: Column  # above the wheels' lowest points when these hang
    drag_m2: Column
    fuel_l: Column
    oil_degC: Column
    air_pedal: Column  # share of the pedal that this driver keeps in the air
    reaction_s: Column
    air_brake: Column  # 1: brakes in the air
    imu_m: Column  # [3] from the centre of gravity
    imu_turn: Column  # [3] misalignment, rad
    imu_scale: Column  # [3]
    imu_bias: Column  # [3] m/s^2
    imu_drift: Column  # [3] m/s^2 in a minute
    imu_Hz: Column
    ring_Hz: Column
    ring_damping: Column
    ring_gain: Column
    engine_ms2: Column  # shaking by the engine at 3,000 rpm
    gyro_bias: Column  # [3] rad/s
    gyro_scale: Column  # [3]
    zero_m: Column  # [4] error of the dampers' zero
    reach: Column  # [4] scale of the damper sensors
    play_m: Column  # [4]
    speed_scale: Column  # [4]
    tank_share: Column

    def take(self, which: slice) -> "Cars":
        """Return some of the cars."""
        return Cars(*(getattr(self, f.name)[..., which] for f in fields(self)))


def draw_cars(seeds: list[int], distances: list[str], profile: str = "d7xr") -> Cars:
    """Return one car per seed, near the profile or far from it."""
    drawn = [_draw(s, d, profile) for s, d in zip(seeds, distances, strict=True)]
    names = [f.name for f in fields(Cars)]
    return Cars(*(np.stack([np.asarray(one[n], float) for one in drawn], -1) for n in names))


def nominal_car(profile: str = "d7xr") -> Cars:
    """Return one car as the profile has it: no error, no friction, linear springs and dampers."""
    return Cars(*(np.asarray(v, float)[..., None] for v in _draw(0, None, profile).values()))


@functools.cache
def _profile(name):
    car = load_profile(name)
    return car, load_simulation(car)


def _draw(seed, distance, profile):
    rng = np.random.default_rng([seed, 77])
    car, extra = _profile(profile)
    width = _WIDTH[distance] if distance else dict.fromkeys(_WIDTH["near"], 0.0)
    exact = distance is None

    def by(name, *shape):
        return 1 + width[name] * rng.uniform(-1, 1, shape or None)

    def off(name, *shape):
        return width[name] * rng.uniform(-1, 1, shape or None)

    def any_of(low, high, *shape, plain=None):
        value = rng.uniform(low, high, shape or None)
        return np.full(shape, plain) if exact and shape else plain if exact else value

    s, es, em = car.suspension, extra.suspension, extra.mass
    fuel_l = any_of(40, 540, plain=0.5 * car.fuel.start_l)
    fuel_kg = fuel_l * car.fuel.density_kg_per_l
    total = car.mass.without_fuel_kg * by("mass") + fuel_kg
    shift = fuel_kg / total * (car.mass.tank_behind_front_axle_m - car.mass.cg_behind_front_axle_m)
    unsprung = np.array(em.unsprung_kg) * by("unsprung")
    cg_m = off("cg_m")
    front = car.mass.cg_behind_front_axle_m + shift + cg_m
    oil = any_of(0.0, 1.0, plain=0.5)  # cold to hot: thick oil damps more
    thick = 1 + width["damping"] * 0.6 * (1 - 2 * oil)
    low = 1.0 / width["friction"] if width["friction"] else 0.0
    friction = 180.0 * np.exp(rng.uniform(np.log(low), -np.log(low))) if low else 0.0
    ends = np.array([es.anti_roll_N_per_m[0]] * 2 + [es.anti_roll_N_per_m[1]] * 2)
    damping = 0.7 * width["damping"] * rng.uniform(-1, 1, 2)
    arm = np.array(car.sensors.imu.offset_m) + [shift, 0, 0]
    return {
        "sprung_kg": total - unsprung.sum(),
        "unsprung_kg": unsprung,
        "pitch_kgm2": em.pitch_inertia_kgm2 * by("inertia"),
        "roll_kgm2": em.roll_inertia_kgm2 * by("inertia"),
        "front_m": front,
        "rear_m": em.wheelbase_m - front,
        "half_track_m": 0.5 * em.track_m,
        "height_m": em.cg_height_m * by("mass"),
        "spring": np.array(s.spring_N_per_m) * by("spring") * by("side", 4),
        "rising": any_of(0.0, 0.15, plain=0.0),
        "preload_N": np.array(s.preload_N) + off("preload_N") + 0.2 * off("preload_N", 4),
        "bump": np.array(s.bump_damping_Ns_per_m) * (1 + damping[0]) * thick * by("side", 4),
        "rebound": np.array(s.rebound_damping_Ns_per_m)
        * (1 + damping[1]) * thick * by("side", 4),
        "knee_ms": any_of(0.15, 0.40, plain=0.25),
        "after_knee": any_of(0.5, 0.85, plain=1.0),
        "rated_ms": any_of(1.0, 1.5, plain=1.0),
        "friction_N": friction * any_of(0.8, 1.2, 4, plain=0.0),
        "bump_from_m": np.array(s.bump_stop_from_mm) / 1e3 + 0.1 * off("stop"),
        "bump_stop": s.bump_stop_N_per_m2 * by("stop"),
        "end_m": np.array(s.travel_mm) / 1e3,
        "roll_bar": ends * by("roll_bar"),
        "tyre": es.tyre_N_per_m * by("tyre"),
        "tyre_damping": es.tyre_damping_Ns_per_m * by("tyre"),
        "grip": any_of(0.45, 0.9, plain=0.7),
        "slip_peak": any_of(0.06, 0.14, plain=0.1),
        "wheel_kgm2": extra.tyres.wheel_inertia_kgm2 * by("unsprung"),
        "coupling": any_of(15.0, 60.0, plain=30.0),
        "radius_m": car.tyres.circumference_m / (2 * np.pi) * any_of(0.985, 1.01, plain=1.0),
        "belly_m": any_of(0.40, 0.50, plain=0.45),
        "drag_m2": extra.aero.drag_area_m2,
        "fuel_l": fuel_l,
        "oil_degC": 10 + 95 * oil,
        "air_pedal": any_of(0.0, 0.9, plain=0.3),
        "reaction_s": any_of(0.08, 0.30, plain=0.15),
        "air_brake": float(rng.uniform() < 0.08 and not exact),
        "imu_m": arm - [cg_m, 0, 0] + off("cg_m", 3) * 0.5,
        "imu_turn": np.radians(off("tilt_deg", 3)),
        "imu_scale": by("scale", 3),
        "imu_bias": off("bias_ms2", 3),
        "imu_drift": off("bias_ms2", 3) * 0.4,
        "imu_Hz": any_of(50.0, 120.0, plain=120.0),
        "ring_Hz": any_of(24.0, 55.0, plain=40.0),
        "ring_damping": any_of(0.03, 0.09, plain=0.06),
        "ring_gain": any_of(0.05, 0.30, plain=0.0),
        "engine_ms2": any_of(0.2, 1.4, plain=0.0),
        "gyro_bias": np.radians(off("gyro_degs", 3)),
        "gyro_scale": by("scale", 3),
        "zero_m": off("zero_mm", 4) / 1e3,
        "reach": by("scale", 4),
        "play_m": width["play_mm"] * rng.uniform(0.2, 1, 4) / 1e3,
        "speed_scale": any_of(0.995, 1.005, 4, plain=1.0),
        "tank_share": fuel_l / car.fuel.capacity_l,
    }  # fmt: skip
