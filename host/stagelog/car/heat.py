"""Heat from the losses: lumped nodes, coolant with radiators and fans, pressures of the tyres.

Owns the temperatures, stepped at 2 Hz as one vector over the nodes of stagelog.car.build. A node's
law is the profile's: C dT/dt = P - (still + moving * v^0.8) (T - ambient).
"""

import numpy as np
from numpy.typing import NDArray

from stagelog.car.build import NODES, Build
from stagelog.car.incidents import Incidents
from stagelog.car.noise import Array, Columns
from stagelog.car.nominal import NominalCar

STEP_s = 0.5
_AT = {name: i for i, name in enumerate(NODES)}
_DAMPER_WHEEL = np.array([0, 1, 2, 2, 3, 3])
FANS, RADIATORS = 4, 3


class Heat:
    """Temperatures of one car between minutes."""

    def __init__(
        self,
        profile: NominalCar,
        build: Build,
        ambient_degC: float,
        warm: bool,
        incidents: Incidents,
    ) -> None:
        self.profile, self.build, self.incidents = profile, build, incidents
        self.ambient = ambient_degC
        self.temp = np.full(len(NODES), float(ambient_degC))
        if warm:
            start = {"engine": 88.0, "engine_oil": 92.0, "gearbox": 78.0, "transfer": 58.0}
            start |= {"diff_front": 62.0, "diff_rear": 66.0}
            for name, degC in start.items():
                self.temp[_AT[name]] = degC
            for name, i in _AT.items():
                if name.startswith("tyre"):
                    self.temp[i] += 12.0
        self.duty = np.zeros(FANS)
        self.lost_kPa = np.zeros(4 + profile.tyres.spares)

    def run(
        self,
        t0_s: float,
        power: Columns,
        v: Array,
        rpm: Array,
        on: NDArray[np.bool_],
        engine_on: NDArray[np.bool_],
    ) -> Columns:
        """Step through columns at 2 Hz.

        power  {node: W[n]} plus "coolant": W[n]; v: m/s[n]; rpm[n]; on: node supply; engine_on
        Returns {name: column}: temp [n, nodes], duty [n, fans], current [n, fans],
        radiator [n, radiators, 2], tyre_kPa [n, wheels]
        """
        n, c = len(v), self.profile.cooling
        heat = np.zeros((n, len(NODES)))
        for name, watts in power.items():
            if name in _AT:
                heat[:, _AT[name]] = watts
        out: Columns = {
            "temp": np.empty((n, len(NODES))),
            "duty": np.zeros((n, FANS)),
            "current": np.zeros((n, FANS)),
            "radiator": np.empty((n, RADIATORS, 2)),
            "tyre_kPa": np.empty((n, len(self.lost_kPa))),
        }
        capacity = self.build.capacity_J_per_K.copy()
        still, moving = self.build.still_W_per_K, self.build.moving_W_per_K
        ua = np.zeros(RADIATORS)
        ua[: c.radiators] = c.radiator_W_per_K
        for k in range(n):
            t = t0_s + k * STEP_s
            dead = self._fans(t, bool(on[k]))
            blown = float(np.where(dead, 0.0, self.duty)[: c.fans].mean()) * 1e-2
            air = float(np.hypot(v[k], c.fan_equals_ms * blown))
            conduct = still + moving * v[k] ** 0.8
            for name in ("gearbox", "engine"):
                conduct[_AT[name]] = still[_AT[name]] + moving[_AT[name]] * air**0.8
            watts, ambient = heat[k].copy(), self.ambient
            self._faults(t, watts, capacity, conduct)
            clean = ua * (1.0 - self._blocked(t))
            engine = self.temp[_AT["engine"]]
            reach = c.thermostat_open_degC - c.thermostat_degC
            opened = min(max((engine - c.thermostat_degC) / reach, 0.02), 1.0)
            flow = min(rpm[k] / 2500.0, 1.0) if engine_on[k] else 0.02
            each = clean * (air / 25.0) ** 0.6 * (0.35 + 0.65 * flow) * opened * (engine - ambient)
            oil = _AT["engine_oil"]
            swap = self.profile.losses.oil_to_coolant_W_per_K * flow * (self.temp[oil] - engine)
            watts[_AT["engine"]] += power["coolant"][k] + swap - each.sum()
            watts[oil] -= swap
            self.temp += STEP_s * (watts - conduct * (self.temp - ambient)) / capacity
            self._record(k, out, dead, each, flow, opened)
        return out

    def _fans(self, t: float, on: bool) -> NDArray[np.bool_]:
        c = self.profile.cooling
        engine, gearbox = self.temp[_AT["engine"]], self.temp[_AT["gearbox"]]
        want = (engine - c.fan_on_degC) / (c.fan_full_degC - c.fan_on_degC)
        want = (
            max(want, (gearbox - self.profile.losses.fan_for_gearbox_degC) / 14.0) if on else 0.0
        )
        goal = 100.0 * min(max(want, 0.0), 1.0)
        self.duty += (np.where(np.arange(FANS) < c.fans, goal, 0.0) - self.duty) * 0.12
        dead = np.zeros(FANS, bool)
        for incident in self.incidents.during("fan_dead", t):
            dead[incident.extra["fan"] - 1] = True
        return dead

    def _blocked(self, t: float) -> Array:
        blocked = np.zeros(RADIATORS)
        for incident in self.incidents.during("radiator_blocked", t):
            blocked[incident.extra["radiator"] - 1] = incident.extra["share"]
        return blocked

    def _faults(self, t: float, watts: Array, capacity: Array, conduct: Array) -> None:
        for incident in self.incidents.during("overheat", t):
            watts[_AT[incident.extra["node"]]] += incident.extra["W"]
        for incident in self.incidents.during("diff_oil_loss", t):
            name = f"diff_{incident.extra['axle']}"
            gone = min((t - incident.at_s) / (incident.duration_s or 600.0), 1.0)
            gone *= incident.extra["loss_pct"] * 1e-2
            watts[_AT[name]] = watts[_AT[name]] * (1.0 + 2.2 * gone) + 900.0 * gone
            capacity[_AT[name]] = self.build.capacity_J_per_K[_AT[name]] * (1.0 - 0.35 * gone)
        for _ in self.incidents.during("wading", t):
            for name in ("diff_front", "diff_rear", "transfer"):
                conduct[_AT[name]] += 260.0
            for name, i in _AT.items():
                if name.startswith(("disc", "damper", "tyre")):
                    conduct[i] += 60.0
        for incident in self.incidents.during("puncture", t):
            self.lost_kPa[incident.extra["wheel"]] += incident.extra["kPa_per_min"] * STEP_s / 60.0

    def _record(
        self,
        k: int,
        out: Columns,
        dead: NDArray[np.bool_],
        each: Array,
        flow: float,
        opened: float,
    ) -> None:
        c = self.profile.cooling
        out["temp"][k] = self.temp
        out["duty"][k] = self.duty
        amps = c.fan_full_A * (self.duty * 1e-2) ** 1.6
        out["current"][k] = np.where(dead, 0.0, amps)
        engine = self.temp[_AT["engine"]]
        water = 4180.0 * (0.25 + 1.6 * flow) * max(opened, 0.1)
        out["radiator"][k, :, 0] = engine - 1.0
        out["radiator"][k, :, 1] = engine - 1.0 - np.minimum(each / water * RADIATORS, 45.0)
        tyres = np.concatenate((self.temp[_AT["tyre_fl"] :], [self.ambient] * 2))
        tyres = tyres[: len(self.lost_kPa)]
        cold = self.build.tyre_kPa + 100.0
        warm = cold * (tyres + 273.15) / (self.profile.tyres.cold_degC + 273.15) - 100.0
        out["tyre_kPa"][k] = np.maximum(warm - self.lost_kPa, 0.0)


def losses(profile: NominalCar, slow: Columns, damper_W: Array, axle_kmh: Array) -> Columns:
    """Return {node: W[n]} at 2 Hz from the driver's 20 Hz columns.

    damper_W  float[n, 4], what each wheel's dampers turn into heat
    axle_kmh  float[m, 2] at 20 Hz, left-right speed difference of front and rear axle
    Source    LSD: locking torque times half the speed difference (domain notes, section 6).
    """
    d, b, share = profile.driveline, profile.brakes, profile.losses
    radius = profile.tyres.circumference_m / (2.0 * np.pi)
    wheel = slow["wheel_ms"]
    drive_W = np.abs(slow["drive_N"]) * wheel
    shares = (d.front_torque_share, 1.0 - d.front_torque_share)
    pinion_rpm = wheel / radius * 9.549 * profile.gearbox.final_drive
    power = {}
    for axle, name in enumerate(("diff_front", "diff_rear")):
        torque = np.abs(slow["drive_N"]) * radius * shares[axle]
        lock = d.lsd_preload_Nm[axle] + d.lsd_lock_share[axle] * torque
        speed = np.abs(axle_kmh[:, axle]) / 3.6 / radius
        mesh = d.mesh_loss * drive_W * shares[axle] + d.churning_W_per_rpm2 * pinion_rpm**2
        power[name] = mesh + 0.5 * lock * speed
    power["transfer"] = share.transfer_share * drive_W + share.transfer_W_per_rpm2 * pinion_rpm**2
    engine_W = np.maximum(slow["torque_Nm"], 0.0) * slow["rpm"] * 0.10472
    slipping = engine_W * np.where(slow["lockup"] > 0, 0.0, 1.0)
    running = slow["engine"] == 2.0
    turned = np.maximum(slow["in_rpm"] / np.maximum(slow["rpm"], 1.0), 0.0)
    slipping = slipping * np.clip(1.0 - turned, 0.0, 1.0)
    power["gearbox"] = share.gearbox_share * engine_W + share.converter_share * slipping
    rpm = running * slow["rpm"]
    power["engine_oil"] = share.engine_oil_share * engine_W + share.engine_oil_W_per_rpm * rpm
    idle_W = running * share.coolant_idle_W
    power["coolant"] = share.coolant_share * engine_W + idle_W + share.coolant_W_per_rpm * rpm
    brake_W = slow["brake_N"] * slow["v_ms"]
    rear_only = np.where(slow["handbrake"] > 0.0, 1.0, 0.0)
    front = b.front_share * (1.0 - rear_only)
    for side in ("l", "r"):
        power[f"disc_f{side}"] = 0.5 * brake_W * front
        power[f"disc_r{side}"] = 0.5 * brake_W * (1.0 - front)
    slip_W = np.abs(slow["drive_N"]) * np.maximum(wheel - slow["v_ms"], 0.0)
    tyre_W = share.tyre_slip_share * slip_W
    tyre_W += share.tyre_rolling_share * slow["rolling_N"] * slow["v_ms"]
    for name in NODES:
        if name.startswith("tyre"):
            power[name] = 0.25 * np.minimum(tyre_W, 3e4)
    power = {name: _half_seconds(watts) for name, watts in power.items()}
    rear = profile.suspension.rear_dampers_per_wheel
    for name, wheel_at in zip(NODES[10:16], _DAMPER_WHEEL, strict=True):
        power[name] = damper_W[:, wheel_at] / (rear if wheel_at > 1 else 1)
    return power


def _half_seconds(column: Array) -> Array:
    return column[: len(column) // 10 * 10].reshape(-1, 10).mean(axis=1)
