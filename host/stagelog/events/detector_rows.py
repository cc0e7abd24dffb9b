"""Parameters of the detectors, from the car profile, in the integers that the firmware uses."""

import math
from collections.abc import Mapping, Sequence

from slog import signal_table as st
from stagelog.events.signal_rows import Row, SignalIndex
from stagelog.profile.schema import Profile
from stagelog.profile.toml_lines import Keys

G_ms2 = 9.80665
_ONE = 1 << st.SCALE_BITS
_STEP_s = 0.02  # damper and rotation rates are differences over two ticks


class Contradiction(ValueError):
    """A profile entry that does not fit into the table; `entry` is its path."""

    def __init__(self, entry: Keys, text: str) -> None:
        super().__init__(text)
        self.entry = entry


def flight(profile: Profile, builder: SignalIndex) -> list[Row]:
    """Return the rows of FLIGHT in the order of slog.signal_table.FLIGHT_ROWS."""
    p, imu, mass = profile.airborne, profile.sensors.imu, profile.mass
    mm = _damper_mm(profile, builder)
    fuel_kg = 0.5 * profile.fuel.start_l * profile.fuel.density_kg_per_l
    total_kg = mass.without_fuel_kg + fuel_kg
    shift_m = fuel_kg * (mass.tank_behind_front_axle_m - mass.cg_behind_front_axle_m) / total_kg
    arm = [imu.offset_m[0] + shift_m, imu.offset_m[1], imu.offset_m[2]]
    load = 1000 * _ONE / (total_kg * G_ms2)  # per mille of the weight, per newton
    s = profile.suspension
    values = {
        "filter": 256 * (1 - math.exp(-2 * math.pi * p.acc_filter_Hz / 100)),
        "acc_enter2": (1000 * p.acc_enter_g) ** 2,
        "acc_exit2": (1000 * p.acc_exit_g) ** 2,
        "landing": 1000 * p.landing_g,
        "unsprung": p.unsprung_share * mm * 1e-3 / _STEP_s**2 / G_ms2 * 1000 * 4096,
        "jump": p.damper_jump_mm / mm,
        "gap": p.gap_ms / 10,
        "droop": p.droop_mm / mm,
        "droop_all": p.droop_all_mm / mm,
        "load": 1000 * p.load_share * p.acc_enter_g,
        "load_out": 4000 * p.load_share * p.acc_enter_g,
        "mean": 1000 * p.mean_share * p.acc_enter_g,
        "mean_sure": 1000 * p.mean_sure_share * p.acc_enter_g,
        "mean_end": 1000 * p.mean_long_share * p.acc_enter_g,
        "mean_spin": 1000 / G_ms2 * p.cg_error_m,
        "flare": 100 * p.flare_kmh_per_s / 10,
        "flare_pedal": 10 * p.flare_pedal_pct,
        "confirm": p.confirm_ms / 10,
        "only_confirm": p.acc_only_confirm_ms / 10,
        "compress": p.landing_compression_m_per_s * 1e3 * _STEP_s / mm,
        "hold": p.landing_hold_ms / 10,
        "merge": p.merge_ms / 10,
        "shortest": p.min_airtime_ms / 10,
        "shortest_slow": p.min_airtime_slow_ms / 10,
        "slow": 100 * p.slow_kmh,
        "longest": p.max_airtime_ms / 10,
        "inhibit": 100 * p.inhibit_below_kmh,
        "back": 1000 * p.lag_ms,
        "only_back": 1000 * p.lag_ms,
        "airborne_code": _code_of(builder, profile.roles.flight_state, "airborne"),
        "drift": profile.sensors.damper.zero_drift_mm / mm,
    }
    for axis, metres in zip("xyz", arm, strict=True):
        values[f"arm_{axis}"] = metres * 1000 / G_ms2
        values[f"spin_{axis}"] = metres * 1000 / G_ms2 / _STEP_s / 1024 * 256
    for n, limit in enumerate(p.landing_severity_g[:3], 1):
        values[f"severity{n}"] = 1000 * limit
    for i in range(4):
        # Without forces: the softest spring and the hardest damper that such a car can have.
        softest, hardest = 1 - p.spring_error, 1 + p.damping_error
        values[f"spring{i}"] = softest * s.spring_N_per_m[i] * mm * 1e-3 * load
        values[f"preload{i}"] = softest * s.preload_N[i] * load
        values[f"rebound{i}"] = (
            hardest * s.rebound_damping_Ns_per_m[i] * mm * 1e-3 / _STEP_s * load
        )
    return _column(values, st.FLIGHT_ROWS)


def fuel(profile: Profile) -> list[Row]:
    """Return the rows of FUEL."""
    f, e = profile.fuel, profile.fuel_estimate
    values = {
        "unusable": 100 * f.unusable_l,
        "start": 100 * f.start_l,
        "scale_sigma": 1e6 * f.flow_scale_error_max * 0.6,
        "quiet_mg": 1000 * e.quiet_ms2 / G_ms2,
        "slope_mg": 1000 * e.quiet_slope_ms2 / G_ms2,
        "quiet_speed": 100 * e.quiet_kmh,
        "quiet_s": e.quiet_s,
        "sigma_quiet": 100 * e.level_sigma_quiet_l,
        "sigma_moving": 100 * e.level_sigma_moving_l,
        "gate": e.gate_sigma,
        "refuel_rise": 100 * e.refuel_rise_l,
        "refuel_speed": 100 * e.refuel_below_kmh,
        "leak": 100 * e.leak_l,
        "leak_s": e.leak_within_s,
        "reserve": 100 * e.reserve_l,
        "ewma_m": 1000 * e.ewma_km,
        "plan": 10 * f.plan_l_per_100km[e.first_terrain],
        "dead_low": 100 * f.sender_dead_mm[0],
        "dead_high": 100 * f.sender_dead_mm[1],
        "first_n": 10 * e.first_level_s,
        "first_m": e.first_level_m,
        "range_km": e.range_every_km,
    }
    rows = _column(values, st.FUEL_ROWS)
    for point in zip(f.sender_volume_l, f.sender_a_mm, f.sender_b_mm, strict=True):
        rows += [[round(100 * value)] for value in point]
    return rows


def heat(profile: Profile) -> list[Row]:
    """Return the rows of HEAT, then v^0.8 in 1/1000 by whole m/s."""
    d, gears = profile.driveline, profile.gearbox
    radius_m = profile.tyres.circumference_m / (2 * math.pi)
    values = {
        "mesh": 1000 * d.mesh_loss,
        "churn": d.churning_W_per_rpm2 * (9.549 * gears.final_drive) ** 2 / 100 * (1 << 20),
        "radius_mm": 1000 * radius_m,
        "residual": 100 * profile.diff_model.residual_degC,
        "hold_s": profile.diff_model.hold_s,
        "settle_s": profile.diff_model.settle_s,
    }
    warning: dict[str, float] = {}
    for alarm in profile.alarm.values():
        if alarm.kind == "above" and alarm.warning is not None:
            warning |= dict.fromkeys(alarm.signals, alarm.warning)
    shares = (d.front_torque_share, 1 - d.front_torque_share)
    for axle, node in enumerate((profile.thermal.diff_front, profile.thermal.diff_rear)):
        signal = profile.roles.diff_temperature[axle]
        if signal not in warning:
            text = f"no alarm of kind above has a warning for {signal}"
            raise Contradiction(("roles", "diff_temperature"), text)
        values |= {
            f"capacity{axle}": node.capacity_J_per_K,
            f"still{axle}": 1000 * node.still_W_per_K,
            f"moving{axle}": 1000 * node.moving_W_per_K,
            f"preload{axle}": d.lsd_preload_Nm[axle],
            f"lock{axle}": 1000 * d.lsd_lock_share[axle],
            f"share{axle}": gears.final_drive * gears.efficiency * shares[axle] * 1024,
            f"warning{axle}": 100 * warning[signal],
        }
    rows = _column(values, st.HEAT_ROWS)
    return rows + [[round(1000 * ms**0.8)] for ms in range(61)]


def watch(profile: Profile, builder: SignalIndex) -> list[Row]:
    """Return the rows of WATCH."""
    t, m = profile.trouble, profile.messages
    values = {
        "stuck_speed": 100 * profile.validity.stuck_kmh,
        "roll_mg": 1000 * t.roll_over_g,
        "roll_n": 10 * t.roll_over_s,
        "spin_speed": 100 * t.stuck_kmh,
        "spin_n": 10 * t.stuck_s,
        "spin_move": t.stuck_mm_per_s / 10 / _damper_mm(profile, builder),
        "hand_kPa": t.handbrake_kPa,
        "hand_speed": 100 * t.handbrake_kmh,
        "hand_n": 10 * t.handbrake_s,
        "summary_s": m.summary_s,
        "engine_rpm": t.engine_rpm,
        "say_s": m.every_s,
        "before_s": m.before_s,
        "after_s": m.after_s,
        "fault": 20 * profile.validity.fault_s,
        "grace_s": profile.validity.grace_s,
        "bridge_ds": 10 * profile.validity.bridge_s,
    }
    return _column(values, st.WATCH_ROWS)


def _damper_mm(profile: Profile, builder: SignalIndex) -> float:
    """Return what one unit of the four damper signals is, mm."""
    scales = {builder.signal(name, ("roles", "damper")).scale for name in profile.roles.damper}
    if len(scales) > 1:
        raise Contradiction(("roles", "damper"), "the four damper signals differ in scale")
    return scales.pop()


def _code_of(builder: SignalIndex, name: str, word: str) -> int:
    if not name or not builder.has(name):
        return -1
    choices = builder.signal(name, ("roles", "flight_state")).choices or {}
    codes = [code for code, text in choices.items() if str(text).lower() == word]
    if not codes:
        raise Contradiction(("roles", "flight_state"), f"{name} has no value '{word}' in the DBC")
    return codes[0]


def _column(values: Mapping[str, float], names: Sequence[str]) -> list[Row]:
    return [[round(values[name])] for name in names]
