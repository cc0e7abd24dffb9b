"""One built car: the profile's numbers with the small errors of a real one, drawn by the seed.

The virtual car drives with these; detectors read the profile: no detector knows the exact car.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stagelog.car.noise import Array, generator
from stagelog.car.nominal import NominalCar

NODES = (
    "diff_front",
    "diff_rear",
    "transfer",
    "gearbox",
    "engine",
    "engine_oil",
    "disc_fl",
    "disc_fr",
    "disc_rl",
    "disc_rr",
    "damper_fl",
    "damper_fr",
    "damper_rl1",
    "damper_rl2",
    "damper_rr1",
    "damper_rr2",
    "tyre_fl",
    "tyre_fr",
    "tyre_rl",
    "tyre_rr",
)
_KIND = {"disc_f": "disc_front", "disc_r": "disc_rear", "damper": "damper", "tyre_": "tyre"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Factors on the profile, drawn once for a drive; heat columns in the order of NODES."""

    mass_kg: float
    spring: Array
    damping: Array
    engine: float
    circumference_m: float
    tyre_kPa: Array
    capacity_J_per_K: Array
    still_W_per_K: Array
    moving_W_per_K: Array
    flow_scale: float
    acc_bias_ms2: Array
    gyro_bias_degs: Array
    damper_zero_mm: Array
    slosh_bias: float


def build_car(profile: NominalCar, seed: int) -> Build:
    """Draw a car around a profile."""
    rng, spread = generator(seed, "build"), profile.spread

    def near(size: float, n: int | None = None) -> Any:
        return 1.0 + size * np.clip(rng.standard_normal(n), -2.5, 2.5)

    kinds = [getattr(profile.thermal, _kind(name)) for name in NODES]
    imu, worst = profile.sensors.imu, profile.fuel.flow_scale_error_max
    spares = profile.tyres.spares
    return Build(
        mass_kg=profile.mass.without_fuel_kg * near(spread.mass),
        spring=near(spread.spring, 4),
        damping=near(spread.damping, 4),
        engine=near(spread.engine),
        circumference_m=profile.tyres.circumference_m * near(spread.tyre),
        tyre_kPa=profile.tyres.cold_kPa * near(spread.tyre, 4 + spares),
        capacity_J_per_K=np.array([k.capacity_J_per_K for k in kinds]) * near(spread.thermal, 20),
        still_W_per_K=np.array([k.still_W_per_K for k in kinds]) * near(spread.thermal, 20),
        moving_W_per_K=np.array([k.moving_W_per_K for k in kinds]) * near(spread.thermal, 20),
        flow_scale=1.0 + rng.uniform(-worst, worst),
        acc_bias_ms2=imu.bias_ms2 * rng.uniform(-1, 1, 3),
        gyro_bias_degs=imu.gyro_bias_degs * rng.uniform(-1, 1, 3),
        damper_zero_mm=profile.sensors.damper.zero_drift_mm * rng.uniform(0.0, 1.0, 4),
        slosh_bias=profile.fuel.slosh_bias_l_per_ms2 * rng.uniform(0.6, 1.4),
    )


def _kind(name: str) -> str:
    return next((kind for start, kind in _KIND.items() if name.startswith(start)), name)
