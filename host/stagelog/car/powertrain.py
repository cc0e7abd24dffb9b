"""Engine and gearbox as scalars: torque and fuel by pedal, and when to shift.

Owns the engine's map and the choice of gear; stagelog.car.driver steps it at 20 Hz.
"""

import numpy as np

from stagelog.car.build import Build
from stagelog.car.nominal import NominalCar

OFF, CRANKING, RUNNING, STALLED = range(4)
NEUTRAL, PARK = 0, 13
_GRID_rpm = 50.0
_HOLD_s = 0.9  # the least time between two shifts


class Powertrain:
    """State: gear, gear_target, shift_left_s. Torques in Nm at the crankshaft."""

    def __init__(self, profile: NominalCar, build: Build) -> None:
        self.engine, self.box = profile.engine, profile.gearbox
        self.g_per_l = 1e3 * profile.fuel.density_kg_per_l
        self.power_W = self.engine.power_limit_kW * 1e3 * build.engine
        e, rpm = self.engine, np.arange(0.0, 12000.0, _GRID_rpm)
        torque = np.interp(rpm, e.torque_rpm, e.torque_Nm)
        limited = e.power_limit_kW * 1e3 / np.maximum(rpm * np.pi / 30.0, 1.0)
        self._full = (np.minimum(torque, limited) * build.engine).tolist()
        self._friction = np.interp(rpm, e.torque_rpm, e.friction_Nm).tolist()
        self.metres_per_turn = build.circumference_m
        self.gear = self.gear_target = 1
        self.shift_left_s = self.hold_s = 0.0

    @property
    def ratio(self) -> float:
        """Engine turns by wheel turns; between those of both gears while shifting."""
        ratio = self.box.ratios[self.gear - 1]
        if self.shift_left_s > 0.0:
            to_go = self.shift_left_s / (self.box.shift_ms * 1e-3)
            ratio += (self.box.ratios[self.gear_target - 1] - ratio) * (1.0 - min(to_go, 1.0))
        return ratio * self.box.final_drive

    @property
    def lever(self) -> float:
        """Newtons at the ground by Nm of the engine, losses included."""
        return self.ratio * 2.0 * np.pi / self.metres_per_turn * self.box.efficiency

    def speed_rpm(self, wheel_ms: float) -> float:
        """Return the gearbox's input speed for a wheel speed."""
        return wheel_ms / self.metres_per_turn * 60.0 * self.ratio

    def burn(self, rpm: float, demand_Nm: float) -> tuple[float, float, float]:
        """Return (torque, pedal 0..1, flow l/h) for a wanted torque, which may be negative."""
        e, at = self.engine, int(rpm / _GRID_rpm)
        part = rpm / _GRID_rpm - at
        full = self._full[at] + (self._full[at + 1] - self._full[at]) * part
        friction = self._friction[at] + (self._friction[at + 1] - self._friction[at]) * part
        torque = min(max(demand_Nm, -friction), full)
        pedal = (torque + friction) / (full + friction)
        if torque <= -0.98 * friction and rpm > 1.3 * e.idle_rpm:
            return torque, 0.0, 0.0
        rich = min(max((pedal - 0.6) / 0.35, 0.0), 1.0)
        lam = 1.0 + (e.full_load_lambda - 1.0) * rich
        inside_kW = (torque + friction * (1.0 - e.pumping_share * pedal)) * rpm * 1.0472e-4
        flow = inside_kW * e.indicated_g_per_kWh / (lam * self.g_per_l)
        return torque, pedal, max(flow, 0.8 * e.idle_l_per_h * rpm / e.idle_rpm)

    def at_limit(self, torque: float, rpm: float, pedal: float) -> bool:
        """Return whether the power limit holds the engine back."""
        return pedal > 0.97 and torque * rpm * 0.10472 > 0.97 * self.power_W

    def shift(self, in_rpm: float, pedal: float, step_s: float) -> None:
        """Continue a shift, or begin one if the engine's speed requires it."""
        g = self.box
        self.hold_s -= step_s
        if self.shift_left_s > 0.0:
            self.shift_left_s -= step_s
            if self.shift_left_s <= 0.0:
                self.gear = self.gear_target
            return
        if self.hold_s > 0.0:
            return
        up = g.upshift_light_rpm + (g.upshift_full_rpm - g.upshift_light_rpm) * pedal**1.5
        down = g.downshift_light_rpm + (g.downshift_full_rpm - g.downshift_light_rpm) * pedal**2
        if in_rpm > up and self.gear < len(g.ratios):
            self.gear_target = self.gear + 1
        elif in_rpm < down and self.gear > 1:
            after = in_rpm * g.ratios[self.gear - 2] / g.ratios[self.gear - 1]
            if after > 0.85 * g.upshift_full_rpm:
                return
            self.gear_target = self.gear - 1
        else:
            return
        self.shift_left_s, self.hold_s = g.shift_ms * 1e-3, _HOLD_s
