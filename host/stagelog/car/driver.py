"""The driver and the car's speed: the slow half of the car, stepped at 20 Hz.

Owns the way along the legs, pedals and handbrake, the forces between tyres and ground, and the
fuel burned. A plain loop over steps of a few dozen scalars: slow enough to be read, and a thousand
times faster than the car. Heat, suspension and sensors follow from its columns.
"""

from operator import attrgetter

import numpy as np

from stagelog.car.build import Build
from stagelog.car.incidents import Incidents
from stagelog.car.noise import Columns, key, smooth
from stagelog.car.nominal import NominalCar
from stagelog.car.powertrain import CRANKING, NEUTRAL, OFF, PARK, RUNNING, Powertrain
from stagelog.car.route import G_ms2, Route, STEP_m
from stagelog.car.story import Leg, Scenario
from stagelog.car.terrain import NAMES, TERRAINS, Terrain

STEP_s = 0.05
RATE_Hz = 20
_AIR_kg_m3 = 1.16
_TURNING = 1.06  # factor on the mass when it accelerates: inertia of wheels and driveline
_CRAWL_ms = 0.9  # the car climbs every slope at this speed at least; being stuck is a leg
_ROADS = ("drive", "tow")
# What is recorded at each step; attributes of Driver.
COLUMNS = (
    "s_m",
    "v_ms",
    "leg",
    "power",
    "engine",
    "rpm",
    "torque_Nm",
    "pedal",
    "gear",
    "gear_target",
    "shifting",
    "lockup",
    "in_rpm",
    "wheel_ms",
    "drive_N",
    "brake_N",
    "rolling_N",
    "aero_N",
    "flow_l_h",
    "limit",
    "handbrake",
    "refuel",
    "leak_l_h",
    "fuel_l",
)
_row = attrgetter(*COLUMNS)


class Driver:
    """The state between steps. `fuel_l` is what is truly in the tank."""

    def __init__(
        self,
        profile: NominalCar,
        build: Build,
        scenario: Scenario,
        route: Route,
        incidents: Incidents,
        seed: int,
    ) -> None:
        self.profile, self.build, self.route = profile, build, route
        self.legs, self.incidents, self.seed = scenario.legs, incidents, seed
        self.train = Powertrain(profile, build)
        self.fuel_l = profile.fuel.start_l if scenario.fuel_l is None else scenario.fuel_l
        self.leg, self.leg_s, self.slip = 0, 0.0, 0.0
        self.crank_s = profile.engine.cranking_s
        self.s_m = self.v_ms = self.wheel_ms = self.in_rpm = self.rpm = 0.0
        self._terrain = [TERRAINS[name] for name in NAMES]
        self._clear()

    def _clear(self) -> None:
        self.power, self.engine, self.limit = True, OFF, 0
        self.torque_Nm = self.pedal = self.flow_l_h = self.handbrake = self.refuel = 0.0
        self.leak_l_h = 0.0
        self.drive_N = self.brake_N = self.rolling_N = self.aero_N = 0.0
        self.gear = self.gear_target = NEUTRAL
        self.shifting = self.lockup = False

    def run(self, first_step: int, n_steps: int) -> Columns:
        """Step on; return columns {name: float[m]}, m < n_steps if the story ends."""
        t = (first_step + np.arange(n_steps)) * STEP_s
        hand = smooth(key(self.seed, "hand"), t, 1.7).tolist()
        stumble = smooth(key(self.seed, "stumble"), t, 0.55).tolist()
        rows: list[tuple[float, ...]] = []
        while (n := len(rows)) < n_steps:
            if not self._step((first_step + n) * STEP_s, hand[n], stumble[n]):
                break
            rows.append(_row(self))
            rows.extend([rows[-1]] * self._asleep(n_steps - n - 1))
        table = np.array(rows, np.float64).reshape(len(rows), len(COLUMNS))
        columns: Columns = {name: table[:, i].copy() for i, name in enumerate(COLUMNS)}
        at = (columns["s_m"] / STEP_m).astype(np.int64)
        for name in ("slope", "bend", "terrain", "height_m"):
            columns[name] = getattr(self.route, name)[at].astype(np.float64)
        return columns

    def _asleep(self, n_steps: int) -> int:
        """Skip the rest of a leg in which the car is parked without power; return the steps."""
        leg = self.legs[self.leg]
        if leg.power or leg.refuel_l > 0.0 or self.v_ms > 0.0 or leg.kind != "stop":
            return 0
        steps = max(min(n_steps, int((leg.duration_s - self.leg_s) / STEP_s)), 0)
        self.leg_s += steps * STEP_s
        return steps

    def _step(self, t: float, hand: float, stumble: float) -> bool:
        """Advance one step; return False if the story is over."""
        if not self._next_leg():
            return False
        self.leg_s += STEP_s
        if self.incidents.pending:
            self.incidents.passing(t, self.s_m)
        leg = self.legs[self.leg]
        self._clear()
        self.power = leg.power
        self.handbrake = self.incidents.level("handbrake", t)
        self.leak_l_h = self.incidents.level("fuel_leak", t, "l_per_h")
        if leg.kind == "stuck":
            self._spin_wheels(hand)
        else:
            at = int(self.s_m / STEP_m)
            ground = self._terrain[self.route.terrain[at]]
            wanted = self._wanted(t, leg, at)
            self._drive(t, leg, ground, float(self.route.slope[at]), wanted, hand, stumble)
        self._tank(leg)
        return True

    def _next_leg(self) -> bool:
        while self._leg_over(self.legs[self.leg]):
            if self.leg + 1 == len(self.legs):
                return False
            before = self.legs[self.leg]
            self.leg, self.leg_s = self.leg + 1, 0.0
            if self.legs[self.leg].engine and not before.engine:
                self.crank_s = self.profile.engine.cranking_s
        return True

    def _leg_over(self, leg: Leg) -> bool:
        if leg.kind in _ROADS:
            return self.s_m >= self.route.start_m[self.leg + 1] - 1.0
        return self.leg_s >= leg.duration_s

    def _wanted(self, t: float, leg: Leg, at: int) -> float:
        """Return the speed that the driver wants, m/s."""
        if leg.kind not in _ROADS:
            return 0.0
        wanted = float(self.route.target[at])
        if leg.kind == "tow":
            wanted = min(wanted, 8.0)
        after = self.legs[self.leg + 1 : self.leg + 2]
        if not after or after[0].kind not in (*_ROADS, "roll"):
            left = max(self.route.start_m[self.leg + 1] - self.s_m, 0.0)
            wanted = min(wanted, (0.4 + 2.4 * max(left - 3.0, 0.0)) ** 0.5)
        return self.incidents.speed(t, wanted)

    def _drive(
        self,
        t: float,
        leg: Leg,
        ground: Terrain,
        slope: float,
        wanted: float,
        hand: float,
        stumble: float,
    ) -> None:
        v, mass = self.v_ms, self.mass_kg
        standing = v < 0.3 and wanted < 0.1 and leg.kind not in _ROADS
        if standing:
            v = self.v_ms = 0.0
        weight = mass * G_ms2
        grip = ground.grip * weight
        self.rolling_N = weight * ground.rolling * (1.0 + 0.12 * stumble) * min(v, 1.0)
        self.aero_N = 0.5 * _AIR_kg_m3 * self.profile.aero.drag_area_m2 * v * v
        grade = weight * float(np.sin(slope)) if v > 0.3 else 0.0
        ask = min(max((wanted * (1.0 + 0.03 * hand) - v) * 1.1, -7.0), 5.0)
        need = mass * _TURNING * ask + self.rolling_N + self.aero_N + grade
        self.wheel_ms = v * (1.0 + self.slip)
        self.in_rpm = self.train.speed_rpm(self.wheel_ms)
        self.rpm = 0.0
        running = leg.engine and leg.power and leg.kind != "tow"
        running = running and not self.incidents.active("engine_cut", t)
        if running and self.crank_s > 0.0:
            self.crank_s -= STEP_s
            self.engine, self.rpm = CRANKING, self.profile.engine.cranking_rpm
            need = min(need, 0.0)
        elif running:
            self._pull(need, wanted, v, stumble)
        if need < self.drive_N - 50.0:
            self.brake_N = min(self.drive_N - need, 0.95 * grip)
        if self.handbrake > 0.0:
            self.drive_N = min(self.drive_N, 0.0)
            self.brake_N = max(
                self.brake_N, self.handbrake * self.profile.brakes.handbrake_grip * grip
            )
        self.drive_N = min(max(self.drive_N, -0.6 * grip), grip)
        force = self.drive_N - self.brake_N - self.rolling_N - self.aero_N - grade
        if leg.kind == "tow":
            force, self.brake_N = mass * min(ask, 0.5), 0.0  # the rope pulls
        crawl = _CRAWL_ms if self.drive_N > 0.0 and wanted > 2.0 else 0.0
        self.v_ms = max(v + force / (mass * _TURNING) * STEP_s, min(v + 0.05, crawl), 0.0)
        self.s_m += 0.5 * (v + self.v_ms) * STEP_s
        slip = max(self.drive_N, -0.2 * grip) / (weight * ground.stiffness)
        self.slip += 0.3 * (slip - self.slip)
        self._lever(running, leg)

    def _pull(self, need: float, wanted: float, v: float, stumble: float) -> None:
        """Set torque and drive force: what the driver needs, as far as the engine can give it."""
        train, e = self.train, self.profile.engine
        self.engine = RUNNING
        idle = e.idle_rpm * (1.0 + 0.012 * stumble)
        rpm, lever = max(self.in_rpm, idle), train.lever
        demand = need / lever if need > 0.0 and wanted > 0.1 else -200.0
        if train.shift_left_s > 0.0:
            demand = min(demand, 60.0)
        if rpm >= e.limiter_rpm:
            demand, self.limit = -50.0, 1
        parked = v < 0.2 and wanted < 0.2
        if parked:
            rpm, demand = idle, 12.0
        locked = self.wheel_ms * 3.6 > train.box.lockup_kmh and train.shift_left_s <= 0.0
        self.torque_Nm, self.pedal, self.flow_l_h = train.burn(rpm, demand)
        gain = 1.0
        if not locked and not parked:
            slip = (train.box.stall_rpm - idle) * min(self.pedal * 1.3, 1.0)
            rpm = max(rpm, idle + slip * max(0.0, 1.0 - self.in_rpm / 3000.0))
            open_ = max(0.0, 1.0 - self.in_rpm / max(rpm, 1.0))
            gain += (train.box.stall_gain - 1.0) * open_ * (self.pedal > 0.05)
        self.rpm, self.lockup = rpm, locked
        if not parked and (self.in_rpm > 0.9 * idle or self.torque_Nm > 0.0):
            self.drive_N = self.torque_Nm * gain * lever
        if self.limit == 0 and train.at_limit(self.torque_Nm, rpm, self.pedal):
            self.limit = 5
        train.shift(self.in_rpm, self.pedal, STEP_s)

    def _lever(self, running: bool, leg: Leg) -> None:
        """Set the gear that the gearbox reports."""
        self.shifting = self.train.shift_left_s > 0.0
        self.gear, self.gear_target = self.train.gear, self.train.gear_target
        if leg.kind == "tow" or (running and self.v_ms < 0.2 and leg.kind not in _ROADS):
            self.gear = self.gear_target = NEUTRAL
        elif not running:
            self.gear = self.gear_target = PARK

    def _spin_wheels(self, hand: float) -> None:
        """Drive a car that is stuck: the wheels spin 17 s of every 24 s, the car does not move."""
        train, box = self.train, self.profile.gearbox
        train.gear = train.gear_target = 1
        round_s = self.leg_s % 24.0
        trying = round_s < 17.0
        self.v_ms = self.slip = 0.0
        self.wheel_ms = (6.0 + 3.0 * hand) * min(round_s, 2.0) * 0.5 if trying else 0.0
        self.in_rpm = train.speed_rpm(self.wheel_ms)
        idle = self.profile.engine.idle_rpm
        self.rpm = max(self.in_rpm + 0.4 * (box.stall_rpm - idle) * trying, idle)
        self.drive_N = self.rolling_N = 0.35 * self.mass_kg * G_ms2 if trying else 0.0
        demand = self.drive_N / train.lever if trying else 10.0
        self.torque_Nm, self.pedal, self.flow_l_h = train.burn(self.rpm, demand)
        self.engine, self.gear, self.gear_target = RUNNING, 1, 1

    @property
    def mass_kg(self) -> float:
        """The car with the fuel that is left."""
        return self.build.mass_kg + self.fuel_l * self.profile.fuel.density_kg_per_l

    def _tank(self, leg: Leg) -> None:
        fuel = self.profile.fuel
        self.fuel_l = max(self.fuel_l - self.flow_l_h * STEP_s / 3600.0, 0.0)
        rate = fuel.refuel_l_per_min / 60.0
        pumping = leg.refuel_l > 0.0 and 20.0 < self.leg_s <= 20.0 + leg.refuel_l / rate
        if pumping:
            self.refuel = min(rate * STEP_s, fuel.capacity_l - self.fuel_l)
            self.fuel_l += self.refuel
        self.fuel_l = max(self.fuel_l - self.leak_l_h * STEP_s / 3600.0, 0.0)
