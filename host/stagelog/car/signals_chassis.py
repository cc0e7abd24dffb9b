"""Chassis signals of the DBC: IMU, dampers, wheels, flight mode, brakes, controls, tyres."""

import numpy as np
from numpy.typing import NDArray

from stagelog.car.build import NODES
from stagelog.car.minute import Column, Lags, Minute, SignalColumns
from stagelog.car.noise import Array, key, ring, smooth
from stagelog.car.powertrain import RUNNING
from stagelog.car.route import G_ms2
from stagelog.car.terrain import NAMES

_WHEELS = ("FL", "FR", "RL", "RR")
_FAST_s = 0.002
_RING_AXES = np.array([0.35, 0.25, 1.0])
_MODES = {"road": 0, "sand": 2, "dunes": 2, "rock": 3}  # DriveMode by terrain; else Stage


def chassis_columns(minute: Minute, lags: Lags) -> SignalColumns:
    """Return the columns of the signals.

    lags   states of filters, kept by the caller from minute to minute
    """
    columns: SignalColumns = {}
    columns |= _imu(minute, lags)
    columns |= _wheels(minute)
    columns |= _flight(minute)
    columns |= _controls(minute)
    columns |= _temperatures(minute)
    columns |= _tyres(minute)
    return columns


def _imu(minute: Minute, lags: Lags) -> SignalColumns:
    motion, imu = minute.motion, minute.profile.sensors.imu
    arm = np.array(imu.offset_m)
    arm[0] += minute.cg_m - minute.profile.mass.cg_behind_front_axle_m
    rates = motion.rates
    spin = np.gradient(rates, _FAST_s, axis=0)
    force = motion.force_ms2 + np.cross(spin, arm) + np.cross(rates, np.cross(rates, arm))
    on_ground = np.minimum(motion.load * 4.0, 1.0)
    running = np.interp(
        motion.t_s, np.arange(len(minute.slow["engine"])) * 0.05, minute.slow["engine"] == RUNNING
    )
    shaking = imu.noise_ms2 + 0.12 * running + 0.022 * motion.v_ms * on_ground
    noise = Column(_FAST_s, shaking)
    over = np.maximum(np.linalg.norm(motion.force_ms2, axis=1) - imu.ring_from_g * G_ms2, 0.0)
    shell, lags["ring"] = ring(
        imu.ring_gain * over, _FAST_s, imu.ring_Hz, imu.ring_damping, lags.get("ring", 0j)
    )
    force += shell[:, None] * _RING_AXES
    limit = (-imu.range_ms2, imu.range_ms2)
    columns = {}
    for i, axis in enumerate("XYZ"):
        values = force[:, i] + minute.build.acc_bias_ms2[i]
        columns[f"Acc{axis}"] = Column(_FAST_s, values, noise=noise, clip=limit)
    clipped = (np.abs(force) >= imu.range_ms2).any(axis=1)
    hold = clipped | np.roll(clipped, 1) | np.roll(clipped, 2)
    columns["ImuSat"] = Column(_FAST_s, hold.astype(float), hold=True)
    columns["ImuStatus"] = Column(60.0, np.ones(1), hold=True)
    turning = np.degrees(rates) + minute.build.gyro_bias_degs
    for i, name in enumerate(("RateRoll", "RatePitch", "RateYaw")):
        columns[name] = Column(_FAST_s, turning[:, i], noise=imu.gyro_noise_degs)
    columns["ImuTemp"] = Column(0.5, minute.heat["cabin_degC"] + 9.0)
    lean = np.degrees(motion.attitude) + 0.6 * motion.force_ms2[:, 1:2] * [1.0, 0.4]
    columns["AngleRoll"] = Column(_FAST_s, np.mod(lean[:, 0] + 180.0, 360.0) - 180.0)
    columns["AnglePitch"] = Column(_FAST_s, lean[:, 1])
    columns["AccNorm"] = Column(_FAST_s, np.linalg.norm(force, axis=1) / 9.80665)
    return columns


def _wheels(minute: Minute) -> SignalColumns:
    sensors, columns = minute.profile.sensors, {}
    springs = minute.profile.suspension
    weight = np.array(minute.profile.mass.unsprung_kg) * G_ms2
    hanging = (np.array(springs.preload_N) + weight) / springs.end_stop_N_per_m * 1e3
    for i, wheel in enumerate(_WHEELS):
        drift = minute.build.damper_zero_mm[i]
        t = minute.t0_s + minute.motion.t_s[::500]
        wander = 0.4 * drift * smooth(key(minute.seed, "zero", i), t, 1800.0)
        zero = np.interp(minute.motion.t_s, minute.motion.t_s[::500], drift + wander)
        values = minute.motion.travel_m[:, i] * 1e3 + zero + hanging[i]
        noise = sensors.damper.noise_mm
        columns[f"DmpPos{wheel}"] = Column(_FAST_s, values, noise=noise, clip=(0.0, 400.0))
        speed = minute.wheels["speed_kmh"][:, i]
        wet = minute.during("wading", 0.01, len(speed))
        floor = np.where(speed < sensors.wheel.min_kmh, 0.0, 1.0)
        noise = Column(0.01, (sensors.wheel.noise_kmh + 2.5 * wet) * floor + 0.003 * speed)
        columns[f"WhlSpd{wheel}"] = Column(0.01, speed * floor, noise=noise, clip=(0.0, 300.0))
    axle = minute.wheels["axle_kmh"]
    columns["AxleSlipF"] = Column(0.01, axle[:, 0], noise=0.1)
    columns["AxleSlipR"] = Column(0.01, axle[:, 1], noise=0.1)
    columns["CentreSlip"] = Column(0.01, minute.wheels["centre_kmh"], noise=0.1)
    return columns


def _flight(minute: Minute) -> SignalColumns:
    flight = minute.flight
    up = (minute.motion.tyre_N[::5] < 1.0) @ np.array([1, 2, 4, 8])

    def held(values: Array) -> Column:
        return Column(0.01, values, hold=True)

    return {
        "FlightState": held(flight["state"]),
        "FlightModeEn": held(np.ones(len(up))),
        "WheelsUpMask": held(up),
        "FlightConf": held(flight["confidence"]),
        "AirTime": held(flight["airtime_ms"]),
        "TrqRedReq": held(flight["cut_Nm"]),
        "JumpCount": held(flight["jumps"]),
    }


def _controls(minute: Minute) -> SignalColumns:
    slow, brakes = minute.slow, minute.profile.brakes
    mass = minute.build.mass_kg
    kPa = slow["brake_N"] / (mass * brakes.decel_ms2_per_kPa)
    kPa = np.where(slow["handbrake"] > 0.0, 0.0, kPa)
    hand = slow["handbrake"] * brakes.handbrake_kPa
    radius = 1.0 / np.maximum(np.abs(slow["bend"]), 1e-6)
    angle = np.sign(slow["bend"]) * np.degrees(np.arctan(minute.profile.mass.wheelbase_m / radius))
    n = len(kPa)
    wander = smooth(key(minute.seed, "steer"), minute.t0_s + np.arange(n) * 0.05, 0.8)
    moving = np.minimum(slow["v_ms"], 3.0) / 3.0
    steer = minute.profile.mass.steering_ratio * angle + 7.0 * wander * moving
    front = np.minimum(kPa, brakes.max_kPa)
    up = (slow["gear_target"] > slow["gear"]) & (slow["shifting"] > 0.0)
    down = (slow["gear_target"] < slow["gear"]) & (slow["shifting"] > 0.0)
    column = minute.slow_column
    return {
        "SteerAngle": column(steer, noise=0.3),
        "DriveMode": column(_drive_mode(slow["terrain"]), hold=True),
        "PaddleUp": column(up, hold=True),
        "PaddleDn": column(down, hold=True),
        "HndBrkLever": column(hand > 100.0, hold=True),
        "HndBrkPos": column(100.0 * slow["handbrake"], hold=True),
        "FlightModeSw": column(np.ones(n), hold=True),
        "BrkPresF": column(front, noise=6.0),
        "BrkPresR": column(brakes.rear_line_share * front, noise=6.0),
        "HndBrkLinePres": column(hand, noise=6.0),
        "HndBrkPres": column(brakes.handbrake_opener * hand, noise=2.0),
        "BrkPedalPos": column(np.minimum(front * brakes.pedal_pct_per_kPa, 100.0), noise=0.05),
    }


def _drive_mode(terrain: Array) -> NDArray[np.int64]:
    modes = np.array([_MODES.get(name, 1) for name in NAMES])
    return modes[terrain.astype(int)]


def _temperatures(minute: Minute) -> SignalColumns:
    temp = minute.heat["seen_degC"]
    noise = minute.profile.sensors.temperature.noise_degC
    names = {
        "DiffOilTempF": "diff_front",
        "DiffOilTempR": "diff_rear",
        "TrfOilTemp": "transfer",
        "DiscTempFL": "disc_fl",
        "DiscTempFR": "disc_fr",
        "DiscTempRL": "disc_rl",
        "DiscTempRR": "disc_rr",
        "DmpTempFL": "damper_fl",
        "DmpTempFR": "damper_fr",
        "DmpTempRL1": "damper_rl1",
        "DmpTempRL2": "damper_rl2",
        "DmpTempRR1": "damper_rr1",
        "DmpTempRR2": "damper_rr2",
    }
    return {
        signal: Column(0.5, temp[:, NODES.index(node)], noise=noise)
        for signal, node in names.items()
    }


def _tyres(minute: Minute) -> SignalColumns:
    columns, kPa = {}, minute.heat["tyre_kPa"]
    temp, ambient = minute.heat["temp"], minute.ambient_degC
    for i, wheel in enumerate((*_WHEELS, "S1", "S2")[: kPa.shape[1]]):
        at = NODES.index("tyre_fl") + i
        degC = temp[:, at] if i < 4 else np.full(len(temp), ambient)
        columns[f"TyrPres{wheel}"] = Column(0.5, kPa[:, i], noise=0.4)
        columns[f"TyrTemp{wheel}"] = Column(0.5, degC)
    return columns
