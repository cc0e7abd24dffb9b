"""From the driver's columns to the motion of the body: terrain under four wheels, 500 Hz.

Owns the choice of what the suspension feels, and the true specific force and rates at the centre
of gravity. Sensors come later.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stagelog.car.driver import STEP_s
from stagelog.car.noise import Array, Columns
from stagelog.car.nominal import NominalCar
from stagelog.car.route import G_ms2, Route
from stagelog.car.story import Leg
from stagelog.car.suspension import DT_s, RATE_Hz, Suspension
from stagelog.car.terrain import heights

_LIFT_m = 0.35  # how far jacks raise the body


@dataclass(slots=True)
class Motion:
    """500 Hz columns of one minute of the drive.

    t_s             from the minute's start      s_m, v_ms   way and speed along the path
    travel_m [n, 4] of the wheels, 0 at droop    tyre_N [n, 4], load   load as share of the weight
    force_ms2 [n, 3], rates [n, 3]   specific force, rotation rates in rad/s, in the car's axes
    attitude [n, 2]  roll and pitch, rad
    """

    t_s: Array
    s_m: Array
    v_ms: Array
    travel_m: Array
    tyre_N: Array
    load: Array
    force_ms2: Array
    rates: Array
    attitude: Array


class Mover:
    """Runs the suspension over the route, minute by minute."""

    def __init__(
        self,
        profile: NominalCar,
        suspension: Suspension,
        route: Route,
        legs: Sequence[Leg],
        seed: int,
    ) -> None:
        self.profile, self.suspension, self.route = profile, suspension, route
        self.legs, self.seed = legs, seed
        self.cg_m = 0.0
        self._going: dict[str, float] = {}  # for how many seconds a support has been there

    def run(self, slow: Columns, mass_kg: float, fuel_kg: float, seconds: int) -> Motion:
        """Return the Motion of `seconds` whole seconds from the driver's columns."""
        sus = self.suspension
        body_kg, self.cg_m = sus.load(fuel_kg)
        n = seconds * RATE_Hz
        t = np.arange(n) * DT_s
        at = np.arange(len(slow["v_ms"])) * STEP_s

        def column(name: str) -> Array:
            return np.interp(t, at, slow[name])

        v = column("v_ms")
        s = slow["s_m"][0] + np.concatenate(([0.0], np.cumsum(0.5 * (v[1:] + v[:-1])))) * DT_s
        ground, ground_rate = self._ground(s, v)
        slope, curve = self.route.column("slope", s), self.route.column("curve", s)
        bend = column("bend")
        fx = (column("drive_N") - column("brake_N") - column("rolling_N")) / mass_kg
        fy = v * v * bend
        frame = -v * curve
        m, springs = self.profile.mass, self.profile.suspension
        lever = m.cg_height_m * body_kg * springs.sprung_moment_share
        inertial = np.empty((n, 4))
        inertial[:, 0] = G_ms2 * np.cos(slope) + v * v * curve
        inertial[:, 1] = -fx * lever / m.pitch_inertia_kgm2
        inertial[:, 2] = fy * lever / m.roll_inertia_kgm2
        inertial[:, 3] = -np.gradient(frame, DT_s)
        hold, roll = self._supports(slow, t, at, inertial, ground)
        out = sus.run(ground, ground_rate, inertial, hold)
        load = out["tyre"].sum(axis=1) / (mass_kg * G_ms2)
        grip = np.minimum(load, 1.0)
        force = np.empty((n, 3))
        pitch, lean = out["place"][:, 1], out["place"][:, 2]
        z = out["acc"][:, 0] + inertial[:, 0]
        aero = column("aero_N") / mass_kg
        bumped = springs.bump_drag * G_ms2 * (load - grip) * np.minimum(v / 3.0, 1.0)
        still = np.where(v < 0.05, G_ms2 * np.sin(slope), 0.0)
        force[:, 0] = fx * grip - aero - bumped - z * pitch + still
        force[:, 1] = fy * grip + z * lean
        force[:, 2] = z
        if roll is not None:
            force[:, 1] = G_ms2 * np.sin(roll)
        rates = np.empty((n, 3))
        rates[:, 0] = out["rate"][:, 2]
        rates[:, 1] = out["rate"][:, 1] + frame
        rates[:, 2] = v * bend
        attitude = np.stack([lean, pitch - slope], axis=1)
        if roll is not None:
            rates[:, 0] += np.gradient(roll, DT_s)
            attitude[:, 0] += roll
        if hold is not None:
            load = np.where(hold[:, 0] > 0.0, 1.0, load)
        return Motion(t, s, v, out["travel"], out["tyre"], load, force, rates, attitude)

    def parked(self, slow: Columns, seconds: int) -> Motion:
        """Return the Motion of a car that stands without power: nothing moves."""
        n = seconds * RATE_Hz
        place = np.full(n, slow["s_m"][0])
        if self.suspension.state is None:
            self.suspension.load(0.0)
            self.suspension.state = self.suspension.rest()
        travel = np.repeat(self.suspension.travel()[None], n, axis=0)
        zero, force = np.zeros((n, 3)), np.zeros((n, 3))
        force[:, 2] = G_ms2
        t, load = np.arange(n) * DT_s, np.ones(n)
        return Motion(t, place, zero[:, 0], travel, travel, load, force, zero, zero[:, :2])

    def _ground(self, s: Array, v: Array) -> tuple[Array, Array]:
        base = self.profile.mass.wheelbase_m
        grid, left, right = heights(self.route, self.seed, s[0] - base, s[-1])
        places = (s, s, s - base, s - base)
        sides = (left, right, left, right)
        ground = np.empty((len(s), 4))
        rate = np.empty((len(s), 4))
        for i, (place, side) in enumerate(zip(places, sides, strict=True)):
            ground[:, i] = np.interp(place, grid, side)
            tilt = np.gradient(side, grid[1] - grid[0])
            rate[:, i] = np.interp(place, grid, tilt) * v
        return ground, rate

    def _supports(
        self, slow: Columns, t: Array, at: Array, inertial: Array, ground: Array
    ) -> tuple[Array | None, Array | None]:
        """Return (hold, roll) where jacks, a dune's lip or the roof carry the body; else None.

        `inertial` and `ground` are changed in place: some or all tyres have no ground there.
        """
        kinds = [self.legs[int(i)].kind for i in slow["leg"]]
        if not {"jacks", "roll", "seesaw"} & set(kinds):
            return None, None
        on = {
            kind: np.interp(t, at, [k == kind for k in kinds]) > 0.5
            for kind in ("jacks", "roll", "seesaw")
        }
        hold, ride_m = np.zeros((len(t), 2)), self.suspension.rest()[0]
        hold[:, 0] = on["jacks"] | on["roll"] | on["seesaw"]
        lift = self._eased(on["jacks"], "jacks", slow, 10.0)
        tip = self._eased(on["seesaw"], "seesaw", slow, 3.0)
        turn = self._eased(on["roll"], "roll", slow, 2.2, back=False)
        hold[:, 1] = ride_m * (1.0 - tip) + _LIFT_m * (lift + turn)
        ground[:, [0, 1, 3]] -= 0.1 * (tip * on["seesaw"])[:, None]
        if not on["roll"].any():
            return hold, None
        roll = np.pi * turn * turn * (3.0 - 2.0 * turn)
        inertial[:, 0] *= np.cos(roll)
        ground[turn > 0.2] = -5.0
        return hold, roll

    def _eased(
        self, on: NDArray[np.bool_], kind: str, slow: Columns, full_s: float, back: bool = True
    ) -> Array:
        """Return 0 to 1: progress of something that takes full_s, and as long back."""
        if not on.any():
            self._going.pop(kind, None)
            return np.zeros(len(on))
        gone = np.where(on, self._going.get(kind, 0.0) + np.cumsum(on) * DT_s, 0.0)
        self._going[kind] = float(gone[-1])
        lasts = next(leg.duration_s for leg in self._legs(slow) if leg.kind == kind)
        left = (lasts - gone) if back else np.full(len(on), full_s)
        return np.clip(np.minimum(gone, left) / full_s, 0.0, 1.0)

    def _legs(self, slow: Columns) -> list[Leg]:
        return [self.legs[int(i)] for i in np.unique(slow["leg"])]
