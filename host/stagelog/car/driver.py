"""Driver, engine, gearbox and speed: the slow half of the car, stepped at 20 Hz.

Owns the way along the route, the choice of gear and pedal, the forces between tyres and ground,
and the fuel burned. A plain loop over steps of a few dozen scalars: slow enough to be read, and a
thousand times faster than the car. Heat, suspension and sensors follow from its columns.
"""

import numpy as np

from stagelog.car.noise import key, smooth
from stagelog.car.route import G_ms2, STEP_m
from stagelog.car.terrain import NAMES, TERRAINS

STEP_s = 0.05
RATE_Hz = 20
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
    "wheel_ms",
    "drive_N",
    "brake_N",
    "rolling_N",
    "aero_N",
    "slope",
    "bend",
    "flow_l_h",
    "limit",
    "handbrake",
    "refuel",
    "in_rpm",
    "reverse",
)
OFF, CRANKING, RUNNING, STALLED = range(4)


class Driver:
    """The state between steps. `fuel_l` is what is truly in the tank."""

    def __init__(self, profile, build, scenario, route, incidents, seed):
        self.profile, self.build, self.route = profile, build, route
        self.legs, self.incidents, self.seed = scenario.legs, incidents, seed
        self.fuel_l = profile.fuel.start_l if scenario.fuel_l is None else scenario.fuel_l
        self.burned_l = 0.0
        self.refuelled_l = 0.0
        self.leg, self.leg_s = 0, 0.0
        self.s, self.v, self.gear, self.target_gear = 0.0, 0.0, 1, 1
        self.rpm, self.shift_left, self.hold_gear = 0.0, 0.0, 0.0
        self.torque, self.pedal, self.slip, self.crank_left = 0.0, 0.0, 0.0, 0.8
        self.done = False
        self.derate = 1.0
        e = profile.engine
        grid = np.arange(0.0, 9001.0, 50.0)
        power = np.minimum(
            np.interp(grid, e.torque_rpm, e.torque_Nm),
            e.power_limit_kW * 1e3 / np.maximum(grid * np.pi / 30.0, 1.0),
        )
        self._full = (power * build.engine).tolist()
        self._friction = np.interp(grid, e.torque_rpm, e.friction_Nm).tolist()
        self._terrain = [TERRAINS[name] for name in NAMES]

    @property
    def mass_kg(self):
        """The car with what fuel is left."""
        return self.build.mass_kg + self.fuel_l * self.profile.fuel.density_kg_per_l

    def run(self, first_step, n_steps):
        """Step on; return the columns as {name: float[m]}, m < n_steps if the story ends."""
        t = (first_step + np.arange(n_steps)) * STEP_s
        hand = smooth(key(self.seed, "hand"), t, 1.7).tolist()
        stumble = smooth(key(self.seed, "stumble"), t, 0.55).tolist()
        rows = []
        while (n := len(rows)) < n_steps:
            row = self._step((first_step + n) * STEP_s, hand[n], stumble[n])
            if row is None:
                break
            rows.append(row)
            rows.extend([row] * self._asleep(n_steps - n - 1))
        table = np.array(rows, np.float64).reshape(len(rows), len(COLUMNS))
        return {name: table[:, i].copy() for i, name in enumerate(COLUMNS)}

    def _asleep(self, n_steps):
        """Let the time of a parked car without power pass at once; return the steps it took."""
        leg = self.legs[self.leg]
        if leg.power or leg.refuel_l > 0.0 or self.v > 0.0 or leg.kind != "stop":
            return 0
        steps = max(min(n_steps, int((leg.duration_s - self.leg_s) / STEP_s)), 0)
        self.leg_s += steps * STEP_s
        return steps

    def _leg_over(self, leg):
        end = self.route.start_m[self.leg + 1]
        if leg.kind in ("drive", "tow"):
            return self.s >= end - 1.0
        return self.leg_s >= leg.duration_s

    def _goes_on(self):
        """Return whether the car leaves this leg at speed: into a road, or onto its roof."""
        after = self.legs[self.leg + 1 : self.leg + 2]
        return bool(after) and after[0].kind in ("drive", "tow", "roll")

    def _next_leg(self):
        while self._leg_over(self.legs[self.leg]):
            if self.leg + 1 == len(self.legs):
                return False
            before = self.legs[self.leg]
            self.leg, self.leg_s = self.leg + 1, 0.0
            after = self.legs[self.leg]
            if after.engine and not before.engine:
                self.crank_left = 0.8
        return True

    def _step(self, t, hand, stumble):
        if not self._next_leg():
            return None
        leg = self.legs[self.leg]
        self.leg_s += STEP_s
        if self.incidents.pending:
            self.incidents.passing(t, self.s)
        i = int(self.s / STEP_m)
        route = self.route
        ground = self._terrain[route.terrain[i]]
        slope, bend = float(route.slope[i]), float(route.bend[i])
        moving = leg.kind in ("drive", "tow")
        wanted = float(route.target[i]) if moving else 0.0
        if leg.kind == "tow":
            wanted = min(wanted, 8.0)
        wanted = self.incidents.speed(t, wanted)
        if moving and not self._goes_on():
            left = max(self.route.start_m[self.leg + 1] - self.s, 0.0)
            wanted = min(wanted, (0.6 + 5.0 * left) ** 0.5)
        running = leg.engine and leg.power and not self.incidents.active("engine_cut", t)
        handbrake = self.incidents.level("handbrake", t)
        if leg.kind == "stuck":
            return self._spin(t, leg, ground, slope, hand)
        return self._drive(t, leg, ground, slope, bend, wanted, running, handbrake, hand, stumble)

    def _engine(self, rpm, demand):
        """Return (torque, pedal 0..1, flow l/h) for a wanted torque; demand may be negative."""
        at = int(rpm * 0.02)
        full, friction = self._full[at] * self.derate, self._friction[at]
        torque = min(max(demand, -friction), full)
        pedal = (torque + friction) / (full + friction)
        e = self.profile.engine
        if torque <= -0.98 * friction and rpm > 1.3 * e.idle_rpm:
            return torque, 0.0, 0.0
        lam = 1.0 + (e.full_load_lambda - 1.0) * min(max((pedal - 0.6) / 0.35, 0.0), 1.0)
        lost = friction * (1.0 - e.pumping_share * pedal)
        power_kW = (torque + lost) * rpm * 1.0472e-4
        flow = power_kW * e.indicated_g_per_kWh / (lam * 1e3 * self.profile.fuel.density_kg_per_l)
        return torque, pedal, max(flow, e.idle_l_per_h * rpm / e.idle_rpm * 0.8)

    def _drive(self, t, leg, ground, slope, bend, wanted, running, handbrake, hand, stumble):
        p, mass, v = self.profile, self.mass_kg, self.v
        weight = mass * G_ms2
        rolling = weight * ground.rolling * (1.0 + 0.12 * stumble) * min(v, 1.0)
        aero = 0.5 * 1.16 * p.aero.drag_area_m2 * v * v
        grade = weight * float(np.sin(slope)) if v > 0.3 else 0.0
        if leg.kind != "drive" and v < 0.3 and wanted < 0.1:
            rolling, self.v, v = 0.0, 0.0, 0.0
        ask = min(max((wanted * (1.0 + 0.03 * hand) - v) * 1.1, -7.0), 5.0)
        if leg.kind == "tow":
            running = False
        need = mass * 1.06 * ask + rolling + aero + grade
        circumference = self.build.circumference_m
        grip = ground.grip * weight
        wheel = v * (1.0 + self.slip)
        drive = brake = 0.0
        ratio = p.gearbox.ratios[self.gear - 1] * p.gearbox.final_drive
        in_rpm = wheel / circumference * 60.0 * ratio
        lockup = running and wheel * 3.6 > p.gearbox.lockup_kmh and self.shift_left <= 0.0
        state, limit, flow, torque, pedal = OFF, 0, 0.0, 0.0, 0.0
        lever = ratio * 2.0 * np.pi / circumference * p.gearbox.efficiency
        if running and self.crank_left > 0.0:
            self.crank_left -= STEP_s
            self.rpm, state, need = 230.0, CRANKING, min(need, 0.0)
        elif running:
            state = RUNNING
            idle = p.engine.idle_rpm * (1.0 + 0.012 * stumble)
            rpm = max(in_rpm, idle)
            demand = need / lever if moving_need(need, wanted) else -200.0
            if self.shift_left > 0.0:
                demand = min(demand, 60.0)
            if rpm >= p.engine.limiter_rpm:
                demand, limit = -50.0, 1
            if v < 0.2 and wanted < 0.2:
                demand = 12.0
            torque, pedal, flow = self._engine(rpm, demand)
            gain = 1.0
            if not lockup:
                slip = (p.gearbox.stall_rpm - idle) * min(pedal * 1.3, 1.0)
                rpm = max(rpm, idle + slip * max(0.0, 1.0 - in_rpm / 3000.0))
                gain = 1.0 + (p.gearbox.stall_gain - 1.0) * max(
                    0.0, 1.0 - in_rpm / max(rpm, 1.0)
                ) * (pedal > 0.05)
            self.rpm = rpm
            drive = torque * gain * lever if in_rpm > 0.9 * idle or torque > 0.0 else 0.0
            if v < 0.2 and wanted < 0.2:
                drive = 0.0
            if (
                limit == 0
                and pedal > 0.97
                and torque * rpm * 0.10472e-3
                > 0.97 * (p.engine.power_limit_kW * self.build.engine)
            ):
                limit = 5
        else:
            self.rpm = 0.0
        if need < drive - 50.0:
            brake = min(drive - need, 0.95 * grip)
        if handbrake > 0.0:
            drive, brake = min(drive, 0.0), max(brake, handbrake * 0.42 * grip)
        drive = min(max(drive, -0.6 * grip), grip)
        force = drive - brake - rolling - aero - grade
        if leg.kind == "tow":
            force, brake = mass * min(ask, 0.5), 0.0  # the rope's
        self.v = max(v + force / (mass * 1.06) * STEP_s, 0.0)
        self.s += 0.5 * (v + self.v) * STEP_s
        self.slip += 0.3 * (max(drive, -0.2 * grip) / (weight * ground.stiffness) - self.slip)
        self._shift(running, in_rpm, pedal, wanted)
        self.torque, self.pedal = torque, pedal
        gear = 13 if not running and leg.kind != "tow" else self.gear
        if leg.kind in ("tow", "stop") and v < 0.2 and running or leg.kind == "tow":
            gear = 0
        return self._row(
            leg, state, gear, lockup, wheel, drive, brake, rolling, aero, slope, bend,
            flow, limit, handbrake, in_rpm,
        )  # fmt: skip

    def _shift(self, running, in_rpm, pedal, wanted):
        g = self.profile.gearbox
        self.hold_gear -= STEP_s
        if self.shift_left > 0.0:
            self.shift_left -= STEP_s
            if self.shift_left <= 0.0:
                self.gear = self.target_gear
            return
        up = g.upshift_light_rpm + (g.upshift_full_rpm - g.upshift_light_rpm) * pedal**1.5
        down = g.downshift_light_rpm + (g.downshift_full_rpm - g.downshift_light_rpm) * pedal**2
        if not running or self.hold_gear > 0.0:
            return
        if in_rpm > up and self.gear < len(g.ratios):
            self.target_gear = self.gear + 1
        elif in_rpm < down and self.gear > 1:
            after = in_rpm * g.ratios[self.gear - 2] / g.ratios[self.gear - 1]
            if after > 0.85 * g.upshift_full_rpm:
                return
            self.target_gear = self.gear - 1
        else:
            return
        self.shift_left, self.hold_gear = g.shift_ms * 1e-3, 0.9

    def _spin(self, t, leg, ground, slope, hand):
        """Stuck: the wheels dig, the car does not move; the driver tries again and again."""
        p = self.profile
        self.v, self.gear, self.target_gear = 0.0, 1, 1
        trying = (self.leg_s % 24.0) < 17.0
        wanted = (6.0 + 3.0 * hand) if trying else 0.0
        wheel = max(0.0, wanted * min(self.leg_s % 24.0, 2.0) * 0.5)
        ratio = p.gearbox.ratios[0] * p.gearbox.final_drive
        in_rpm = wheel / self.build.circumference_m * 60.0 * ratio
        grip = 0.35 * self.mass_kg * G_ms2
        lever = ratio * 2.0 * np.pi / self.build.circumference_m * p.gearbox.efficiency
        digging = 0.4 * (p.gearbox.stall_rpm - p.engine.idle_rpm) * trying
        self.rpm = max(in_rpm + digging, p.engine.idle_rpm)
        torque, pedal, flow = self._engine(self.rpm, grip / lever if trying else 10.0)
        self.torque, self.pedal = torque, pedal
        drive = grip if trying else 0.0
        return self._row(
            leg, RUNNING, 1, False, wheel, drive, 0.0, drive, 0.0, 0.0, 0.0, flow, 0, 0.0, in_rpm
        )

    def _row(
        self, leg, state, gear, lockup, wheel, drive, brake, rolling, aero, slope, bend,
        flow, limit, handbrake, in_rpm,
    ):  # fmt: skip
        burned = flow * STEP_s / 3600.0
        self.burned_l += burned
        self.fuel_l = max(self.fuel_l - burned, 0.0)
        refuel = 0.0
        if leg.refuel_l > 0.0 and self.leg_s > 20.0:
            rate = self.profile.fuel.refuel_l_per_min / 60.0
            if (self.leg_s - 20.0) * rate <= leg.refuel_l:
                room = self.profile.fuel.capacity_l - self.fuel_l
                refuel = min(rate * STEP_s, room)
                self.fuel_l += refuel
                self.refuelled_l += refuel
        shifting = self.shift_left > 0.0
        return (
            self.s, self.v, self.leg, leg.power, state, self.rpm if state else 0.0, self.torque
            if state == RUNNING else 0.0, self.pedal if state == RUNNING else 0.0, gear,
            self.target_gear if gear not in (0, 13) else gear, shifting, lockup, wheel, drive,
            brake, rolling, aero, slope, bend, flow, limit, handbrake, refuel, in_rpm, 0.0,
        )  # fmt: skip


def moving_need(need, wanted):
    """Return whether the driver presses the pedal rather than lifting."""
    return need > 0.0 and wanted > 0.1
