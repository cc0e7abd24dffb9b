"""One drive's world: heights below the wheels, speed, and what else moves or holds the car."""

from dataclasses import dataclass, field

import numpy as np

GRID_m = 0.05
LENGTH_m = 2600.0
DRIVE_s = 70.0


@dataclass(slots=True)
class Ground:
    """One drive's world.

    left, right  heights by GRID_m;  speed_ms, yaw_rads  by metre
    """

    left: np.ndarray
    right: np.ndarray
    speed_ms: np.ndarray
    yaw_rads: np.ndarray
    water_m: np.ndarray | None = None  # depth by metre
    parked: bool = False
    locked: bool = False
    towed: bool = False
    strap_N: float = 0.0
    hold: list = field(default_factory=list)  # (x m from the CG, [(s, lift m)]): cranes, jacks
    deck: tuple = ()  # (amplitude m, Hz, pitch rad, Hz, roll rad, Hz, bumps in a minute)
    spin: list = field(default_factory=list)  # (from s, to s, rim speed m/s)
