"""Flights: the true ones, and how the car's own control unit reacts to them.

TrueFlights finds every time the tyres carried less than a twentieth of the weight: ground truth.
A touch that is short and light does not end one; what carries a tenth of the weight does.
FlightMode is the control unit: it reacts late, not at all to short hops, and reduces the engine's
torque. It also gives the speed of wheels that race or slow down in the air. Detectors see only the
signals on the bus.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stagelog.car.motion import Motion
from stagelog.car.noise import Array, Columns
from stagelog.car.nominal import NominalCar
from stagelog.car.suspension import RATE_Hz

LOAD_IN_AIR = 0.05
_TOUCH = 0.1
_MERGE_s, _SHORTEST_s, _AFTER_s = 0.05, 0.04, 0.4
_LIFTS_FOOT, _REACTS_s = 0.35, 0.15  # how often the driver lifts in the air, and how soon
GROUND, SUSPECT, AIRBORNE, LANDING = range(4)


@dataclass(frozen=True, slots=True)
class Jump:
    """One true flight, from the moment the tyres carry no load to the moment they do again."""

    kind = "jump"
    t_us: int
    end_us: int
    airtime_s: float
    at_km: float
    speed_kmh: float
    landing_peak_g: float
    least_force_g: float
    pitch_rate_degs: float
    terrain: str
    leg: str


class TrueFlights:
    """Finds flights in a stream of motion; keeps what is not finished between minutes."""

    def __init__(self) -> None:
        self._kept: tuple[Array, ...] | None = None  # t, load, force, s, v, pitch

    def feed(
        self,
        t0_s: float,
        motion: Motion,
        name_at: Callable[[float], tuple[str, str]],
        last: bool = False,
    ) -> list[Jump]:
        """Return the Jumps that are complete by now. name_at(s_m) gives (terrain, leg)."""
        t = t0_s + motion.t_s
        new: tuple[Array, ...] = (
            t,
            motion.load,
            np.linalg.norm(motion.force_ms2, axis=1) / 9.80665,
            motion.s_m,
            motion.v_ms,
            np.degrees(motion.rates[:, 1]),
        )
        if self._kept is not None:
            new = tuple(np.concatenate(pair) for pair in zip(self._kept, new, strict=True))
        t, load, force, s, v, pitch = new
        jumps, keep = [], max(len(t) - int(_AFTER_s * RATE_Hz), 0)
        for a, b in _runs(load):
            if b >= keep and not last:
                keep = min(keep, max(a - 10, 0))
                break
            after = slice(b, b + int(_AFTER_s * RATE_Hz))
            terrain, leg = name_at(s[a])
            jumps.append(
                Jump(
                    t_us=int(round(t[a] * 1e6)),
                    end_us=int(round(t[min(b, len(t) - 1)] * 1e6)),
                    airtime_s=round((b - a) / RATE_Hz, 3),
                    at_km=round(float(s[a]) * 1e-3, 4),
                    speed_kmh=round(float(v[a]) * 3.6, 2),
                    landing_peak_g=round(float(force[after].max(initial=0.0)), 3),
                    least_force_g=round(float(force[a:b].min()), 3),
                    pitch_rate_degs=round(float(np.abs(pitch[a:b]).max()), 2),
                    terrain=terrain,
                    leg=leg,
                )
            )
        self._kept = tuple(column[keep:] for column in new)
        return jumps


def _runs(load: Array) -> list[tuple[int, int]]:
    """Return (first, end) of times in the air; those that a touch parts are one, and short ones
    are left out.
    """
    air = load < LOAD_IN_AIR
    edge = np.flatnonzero(np.diff(np.concatenate(([0], air.view(np.int8), [0]))))
    merged: list[list[int]] = []
    for a, b in edge.reshape(-1, 2).tolist():
        before = merged[-1][1] if merged else -RATE_Hz
        if a - before < _MERGE_s * RATE_Hz and load[before:a].mean() < _TOUCH:
            merged[-1][1] = b
        else:
            merged.append([a, b])
    return [(a, b) for a, b in merged if b - a >= _SHORTEST_s * RATE_Hz]


class FlightMode:
    """The control unit's flight mode at 100 Hz, and the driveline's speed while wheels hang.

    state       as FlightState of the DBC          airtime_ms, jumps, confidence   as on the bus
    cut_Nm      reduction of the engine's torque   torque_Nm   torque that remains
    race_ms     how much faster the wheels turn    foot        1, or 0 where the driver lifts
    """

    COLUMNS = (
        "state",
        "airtime_ms",
        "jumps",
        "confidence",
        "cut_Nm",
        "torque_Nm",
        "race_ms",
        "foot",
    )

    def __init__(self, profile: NominalCar, rng: np.random.Generator) -> None:
        self.unit, self._rng = profile.flight_mode, rng
        self.radius_m = profile.tyres.circumference_m / (2.0 * np.pi)
        self.wheels_kgm2 = 4.0 * profile.tyres.wheel_inertia_kgm2
        self.engine_kgm2 = profile.engine.inertia_kgm2
        self.overrun_Nm = float(np.mean(profile.engine.friction_Nm))
        self.delay_s = float(rng.uniform(*self.unit.delay_ms)) * 1e-3
        self.low_s = self.land_s = self.air_s = self.cut = self.race = 0.0
        self.foot, self.lifts, self.jumps, self.state = 1.0, False, 0, GROUND

    def run(
        self, load: list[float], v: list[float], torque: list[float], ratio: list[float]
    ) -> Columns:
        """Step at 100 Hz through lists; ratio is engine turns by wheel turns. Return columns."""
        rows = list(map(self._step, load, v, torque, ratio))
        table = np.array(rows).reshape(len(rows), len(self.COLUMNS))
        return {name: table[:, i] for i, name in enumerate(self.COLUMNS)}

    def _step(self, load: float, v: float, torque: float, ratio: float) -> tuple[float, ...]:
        light = load < self.unit.cut_load
        if light:
            if self.low_s == 0.0:
                self.lifts = self._rng.random() < _LIFTS_FOOT
            self.low_s += 0.01
        elif load > 0.3:
            self.low_s = 0.0
        self._decide(v)
        on = 0.0 if self.lifts and self.low_s > _REACTS_s else 1.0
        self.foot += (on - self.foot) * 0.2
        torque = torque * self.foot - self.overrun_Nm * (1.0 - self.foot)
        aim = self.unit.cut_share * torque if self.state == AIRBORNE and torque > 0.0 else 0.0
        self.cut += (aim - self.cut) * (0.3 if aim > self.cut else 0.12)
        torque -= self.cut
        if light:
            inertia = self.wheels_kgm2 + self.engine_kgm2 * ratio * ratio
            spin = torque * ratio / inertia * self.radius_m
            self.race = min(max(self.race + spin * 0.01, -0.8 * v), 18.0)
        else:
            self.race *= 0.80
        sure = min(100.0, self.low_s * 700.0) if self.state in (SUSPECT, AIRBORNE) else 0.0
        air_ms = min(self.air_s * 1e3, 5000.0) if self.state in (AIRBORNE, LANDING) else 0.0
        jumps = self.jumps & 0xFFFF
        return self.state, air_ms, jumps, sure, self.cut, torque, self.race, self.foot

    def _decide(self, v: float) -> None:
        if self.state == AIRBORNE:
            self.air_s += 0.01
            if self.low_s == 0.0:
                self.state, self.land_s = LANDING, 0.0
        elif self.state == LANDING:
            self.land_s += 0.01
            if self.land_s > 0.2:
                self.state = GROUND
        elif self.low_s >= self.delay_s and v > 4.0:
            self.state, self.air_s = AIRBORNE, self.low_s
            self.jumps += 1
        else:
            self.state = SUSPECT if self.low_s > 0.02 and v > 4.0 else GROUND
