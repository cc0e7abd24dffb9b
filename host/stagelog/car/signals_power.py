"""Power signals of the DBC: engine, gearbox, fuel, cooling, electrics, torque meter, GNSS."""

import numpy as np

from stagelog.car.build import NODES
from stagelog.car.minute import Column, Lags, Minute, SignalColumns
from stagelog.car.noise import Array, key, low_pass, smooth
from stagelog.car.powertrain import RUNNING

_KPA_AMBIENT = 101.3


def power_columns(minute: Minute, lags: Lags) -> SignalColumns:
    """Return the columns of the signals.

    lags   states of filters, kept by the caller from minute to minute
    """
    columns: SignalColumns = {}
    columns |= _engine(minute, lags)
    columns |= _air(minute, lags)
    columns |= _gearbox(minute)
    columns |= _fuel(minute)
    columns |= _cooling(minute)
    columns |= _electrics(minute)
    columns |= _outside(minute)
    return columns


def _noise(minute: Minute, name: str, n: int, dt_s: float, wave_s: float) -> Array:
    return smooth(key(minute.seed, name), minute.t0_s + np.arange(n) * dt_s, wave_s)


def _lag(lags: Lags, name: str, values: Array, dt_s: float, tau_s: float) -> Array:
    out = low_pass(values, dt_s, tau_s, lags.get(name, values[0]))
    lags[name] = out[-2] if len(out) > 1 else out[-1]
    return out


def _engine(minute: Minute, lags: Lags) -> SignalColumns:
    slow, profile = minute.slow, minute.profile
    n = minute.seconds * 100
    at, t = np.arange(len(slow["rpm"])) * 0.05, np.arange(n) * 0.01
    rpm = np.interp(t, at, slow["rpm"])
    wheel = np.interp(t, at, slow["wheel_ms"])
    ratio = rpm / np.maximum(wheel, 1.0)
    race = minute.wheels["race_ms"]
    rpm = np.clip(rpm + race * np.where(wheel > 3.0, ratio, 0.0), 0.0, 7500.0)
    rpm *= 1.0 + 0.002 * _noise(minute, "rpm", n, 0.01, 0.08)
    torque = minute.flight["torque_Nm"]
    pedal = 100.0 * np.interp(t, at, slow["pedal"]) * minute.flight["foot"]
    limit = np.interp(t, at, slow["limit"]).round()
    limit = np.where(minute.flight["cut_Nm"] > 20.0, 4.0, limit)
    hot = minute.heat["temp"][:, NODES.index("engine")]
    oil = minute.heat["temp"][:, NODES.index("engine_oil")]
    warm = np.interp(t, np.arange(len(oil)) * 0.5, oil)
    e = profile.engine
    pressure = np.interp(rpm, e.oil_pressure_rpm, e.oil_pressure_kPa)
    pressure *= np.clip(1.0 - 0.0022 * (warm - 100.0), 0.75, 1.5)
    pressure = np.where(rpm > 150.0, pressure, 0.0)
    dip = minute.during("oil_dip", 0.01, n)
    for incident in minute.incidents.of("oil_dip"):
        pressure -= dip * incident.extra["kPa"]
    airless = np.minimum(minute.motion.load[::5], 1.0)
    pressure -= 0.30 * pressure * np.clip(0.25 - airless, 0.0, 0.25) * 4.0
    pressure = _lag(lags, "oil_kPa", np.maximum(pressure, 0.0), 0.01, 0.12)
    ambient = minute.ambient_degC
    load = np.clip(torque / max(e.torque_Nm), 0.0, 1.1)
    knock = (
        np.clip(_noise(minute, "knock", n, 0.01, 2.5) - 0.75, 0.0, 1.0)
        * 4.0
        * e.knock_deg
        * (load > 0.6)
    )
    columns = {
        "EngSpd": Column(0.01, rpm),
        "EngTrqAct": Column(0.01, torque, noise=1.0),
        "AccPedal": Column(0.01, pedal, clip=(0.0, 100.0)),
        "ThrPos": Column(
            0.01, np.clip(100.0 * load * (rpm > 300) + 2.5, 0.0, 100.0), clip=(0.0, 100.0)
        ),
        "EngState": minute.slow_column(slow["engine"], hold=True),
        "EngLimitActive": Column(0.01, limit, hold=True),
        "CoolantTemp": Column(0.5, hot),
        "EngOilTemp": Column(0.5, oil),
        "EcuTemp": Column(0.5, minute.heat["cabin_degC"] + 12.0),
        "AmbTemp": Column(0.5, np.full(2, ambient)),
        "FuelTemp": Column(0.5, np.full(2, ambient + 9.0)),
        "EngOilPres": Column(0.01, pressure, noise=2.0, clip=(0.0, 1200.0)),
        "CoolantPres": Column(0.5, np.clip(101.0 + 1.6 * (hot - 40.0), 60.0, 400.0), noise=0.5),
    }
    for cylinder in range(1, 9):
        share = 0.7 + 0.3 * np.sin(cylinder * 2.1)
        columns[f"KnkRetCyl{cylinder}"] = Column(0.01, knock * share, clip=(0.0, 25.0))
    return columns


def _air(minute: Minute, lags: Lags) -> SignalColumns:
    slow, e, gas = minute.slow, minute.profile.engine, minute.profile.gas
    running = slow["engine"] == RUNNING
    limit = np.interp(slow["rpm"], e.boost_rpm, e.boost_max_kPa)
    wanted = np.where(running, 45.0 + (limit - 45.0) * slow["pedal"] ** 1.3, _KPA_AMBIENT)
    boost = _lag(lags, "boost", wanted, 0.05, 0.25)
    power = np.maximum(slow["torque_Nm"], 0.0) * slow["rpm"] * 0.10472e-3
    hot = gas.exhaust_idle_degC + gas.exhaust_degC_per_kW * power
    egt = _lag(lags, "egt", np.where(running, hot, 60.0), 0.05, gas.exhaust_lag_s)
    ambient = minute.ambient_degC
    airflow = np.maximum(slow["v_ms"], 4.0)
    over_kPa = np.maximum(boost - _KPA_AMBIENT, 0.0)
    aim = ambient + gas.charge_above_ambient_degC + gas.charge_degC_per_kPa * over_kPa
    aim = aim + gas.charge_still_degC_ms / airflow
    charge = _lag(lags, "charge", aim, 0.05, gas.charge_lag_s)
    lam = np.where(slow["pedal"] > 0.9, e.full_load_lambda, 1.0)
    lam = np.where(running & (slow["flow_l_h"] < 0.1), 2.0, lam)
    lam = _lag(lags, "lambda", lam, 0.05, 0.15)
    column = minute.slow_column
    load = power / e.power_limit_kW
    after = gas.exhaust_after_turbine
    return {
        "BoostB1": column(boost, noise=0.5),
        "BoostB2": column(boost * 0.995, noise=0.5),
        "LambdaB1": column(lam, noise=0.006, clip=(0.0, 2.0)),
        "LambdaB2": column(lam, noise=0.006, clip=(0.0, 2.0)),
        "IgnAdv": column(
            np.interp(slow["pedal"], (0.0, 1.0), e.ignition_deg) + slow["rpm"] * 1e-3
        ),
        "BaroPres": column(_baro_kPa(slow["height_m"]), noise=0.1),
        "CrankcasePres": column(np.interp(load, (0.0, 1.0), gas.crankcase_kPa), noise=0.05),
        "AirFltDp": column(np.interp(load**1.6, (0.0, 1.0), gas.filter_kPa), noise=0.02),
        "EgtB1Pre": column(egt, noise=1.5),
        "EgtB2Pre": column(egt * 0.99 + 4.0, noise=1.5),
        "EgtB1Post": column(egt * after, noise=1.5),
        "EgtB2Post": column(egt * after + 3.0, noise=1.5),
        "IntakeAirTemp": column(ambient + 4.0 + 30.0 / airflow),
        "ChargeTempB1": column(charge),
        "ChargeTempB2": column(charge + 1.0),
        "IntcoolIn": column(ambient + 10.0 + gas.compressor_degC_per_kPa * over_kPa),
        "IntcoolOut": column(charge),
    }


def _baro_kPa(above_start_m: Array) -> Array:
    """The standard atmosphere, from a start at 450 m."""
    return _KPA_AMBIENT * (1.0 - 2.2557e-5 * (450.0 + above_start_m)) ** 5.2559


def _gearbox(minute: Minute) -> SignalColumns:
    slow, g = minute.slow, minute.profile.gearbox
    temp = minute.heat["seen_degC"][:, NODES.index("gearbox")]
    ambient = minute.ambient_degC
    ratios = np.array(g.ratios)
    gear = slow["gear"]
    ratio = ratios[np.clip(gear.astype(int), 1, len(ratios)) - 1]
    turning = np.where((gear >= 1) & (gear <= len(ratios)), slow["in_rpm"], slow["rpm"])
    out_rpm = slow["wheel_ms"] / minute.build.circumference_m * 60.0 * g.final_drive
    torque = slow["drive_N"] * minute.profile.tyres.circumference_m / (2.0 * np.pi) / g.final_drive
    torque = torque / g.efficiency
    shaft = torque * g.final_drive * g.efficiency
    front = minute.profile.driveline.front_torque_share
    column, noise = minute.slow_column, minute.profile.sensors.temperature.noise_degC
    state = np.where(slow["lockup"] > 0, 2.0, np.where(slow["rpm"] > 0, 1.0, 0.0))
    prot = np.interp(np.arange(len(gear)) * 0.05, np.arange(len(temp)) * 0.5, temp)
    cooled = temp - (temp - ambient) * minute.profile.losses.gearbox_cooler_drop
    meter_kW = np.maximum(shaft * slow["wheel_ms"] / minute.profile.tyres.circumference_m, 0.0)
    return {
        "GearAct": column(gear, hold=True),
        "GearTgt": column(slow["gear_target"], hold=True),
        "TccState": column(state, hold=True),
        "ShiftInProg": column(slow["shifting"], hold=True),
        "TcuProt": column((prot > 115.0) * 1.0 + (prot > 130.0), hold=True),
        "TrnInSpd": column(np.clip(turning * (ratio > 0), 0.0, 8000.0)),
        "TrnOutSpd": column(np.clip(out_rpm, 0.0, 8000.0)),
        "TrnOutTrq": column(np.clip(torque, -2000.0, 6000.0), noise=4.0),
        "TrnOilTempSump": Column(0.5, temp, noise=noise),
        "TrnOilTempClrIn": Column(0.5, temp + 2.0, noise=noise),
        "TrnOilTempClrOut": Column(0.5, cooled, noise=noise),
        "ShaftTrqF": column(shaft * front, noise=5.0),
        "ShaftTrqR": column(shaft * (1.0 - front), noise=5.0),
        "ShaftPwr": column(np.clip(meter_kW * 2.0 * np.pi * 1e-3, 0.0, 600.0)),
    }


def _fuel(minute: Minute) -> SignalColumns:
    slow, ambient = minute.slow, minute.ambient_degC
    running = slow["engine"] > 0
    flow = slow["flow_l_h"] * minute.build.flow_scale
    column = minute.slow_column
    nominal = minute.profile.engine.fuel_pressure_kPa
    n = len(flow)
    ripple = 4.0 * _noise(minute, "fuel_kPa", n, 0.05, 1.3) - 0.04 * slow["flow_l_h"]
    return {
        "FuelFlow": column(flow),
        "FuelUsedTot": column(minute.fuel["used_l"]),
        "FuelPresLo": column(np.where(running, nominal + ripple, 0.0), noise=1.0),
        "FuelLvlA": column(minute.senders_mm[:, 0]),
        "FuelLvlB": column(minute.senders_mm[:, 1]),
        "TankPres": column(np.full(2, 1.2), noise=0.03),
        "TankTemp": column(np.full(2, ambient + 6.0)),
        "LiftPumpOn": column(running, hold=True),
        "RefuelFlap": column(minute.fuel["flap"], hold=True),
    }


def _cooling(minute: Minute) -> SignalColumns:
    heat, columns = minute.heat, {}
    for i in range(minute.profile.cooling.radiators):
        columns[f"Rad{i + 1}In"] = Column(0.5, heat["radiator"][:, i, 0], noise=0.2)
        columns[f"Rad{i + 1}Out"] = Column(0.5, heat["radiator"][:, i, 1], noise=0.2)
    for i in range(minute.profile.cooling.fans):
        columns[f"Fan{i + 1}Duty"] = Column(0.5, heat["duty"][:, i])
        columns[f"Fan{i + 1}Curr"] = Column(0.5, heat["current"][:, i], clip=(0.0, 63.0))
    return columns


def _electrics(minute: Minute) -> SignalColumns:
    slow, e = minute.slow, minute.profile.electrics
    running = slow["engine"] == RUNNING
    n = len(running)
    fans = np.interp(
        np.arange(n) * 0.05,
        np.arange(len(minute.heat["current"])) * 0.5,
        minute.heat["current"].sum(axis=1),
    )
    amps = e.base_A + running * e.fuel_pump_A + fans
    volts = np.where(running, e.nominal_V - 0.002 * amps, e.rest_V - 0.008 * amps)
    volts = np.where(slow["engine"] == 1.0, e.cranking_V, volts)
    t = minute.t0_s + np.arange(n) * 0.05
    for incident in minute.incidents.of("alternator"):
        end = np.inf if incident.duration_s is None else incident.at_s + incident.duration_s
        volts = np.where((t >= incident.at_s) & (t < end), incident.extra["V"], volts)
    column = minute.slow_column
    columns = {
        "BattVolt": column(volts, noise=0.02),
        "TotCurr": column(amps, noise=0.3),
        "PdmTemp": Column(0.5, minute.heat["cabin_degC"] + 15.0),
        "FuelPumpCurr": column(running * e.fuel_pump_A, noise=0.1, clip=(0.0, 60.0)),
        "AltDuty": column(running * np.minimum(amps * 0.45, 100.0)),
    }
    for channel in range(1, e.channels + 1):
        share = 0.3 + 1.7 * (channel * 0.618 % 1.0)
        values = e.base_A / e.channels * share * (1.0 + 0.05 * np.sin(0.3 * t + channel))
        columns[f"ChCurr{channel:02d}"] = column(values, noise=0.05, clip=(0.0, 80.0))
    return columns


def _outside(minute: Minute) -> SignalColumns:
    slow = minute.slow
    km = slow["s_m"] * 1e-3
    north = 0.009 * km * np.cos(km * 0.01)
    column = minute.slow_column
    heading = np.mod(np.degrees(np.cumsum(slow["bend"] * slow["v_ms"]) * 0.05), 360.0)
    up = slow["v_ms"] * np.sin(slow["slope"])
    return {
        "GnssLat": column(21.5 + north),
        "GnssLon": column(39.2 + 0.0097 * km),
        "GnssSpd": column(slow["v_ms"] * 3.6, noise=0.1, clip=(0.0, 300.0)),
        "GnssHdg": column(heading, hold=True),
        "GnssVelUp": column(up, noise=0.05),
        "GnssSat": column(np.full(2, 14.0), hold=True),
        "GnssFix": column(np.full(2, 3.0), hold=True),
        "GnssHdop": column(np.full(2, 0.8)),
    }
