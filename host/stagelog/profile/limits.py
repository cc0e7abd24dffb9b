"""The part of a car profile that detectors read: validity, flight, fuel estimate, gates, alarms.

Frozen classes, one per table of the TOML file; stagelog.profile reads, checks and fills them.
"""

from dataclasses import dataclass

from stagelog.profile.fields import count, number, numbers, one_of, optional, rising

ALARM_KINDS = (
    "above",
    "below",
    "rate",
    "time_to_limit",
    "below_table",
    "above_table",
    "fan",
    "drop",
    "difference",
    "cooler",
)
DERIVED = ("vehicle_speed_kmh", "airborne", "engine_running")  # channels made on board, no signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Plausible:
    """Plausible range of the signals; stuck_s is 0 where a signal may stay constant."""

    signals: tuple[str, ...]
    min: float = number(-1e6, 1e6)
    max: float = number(-1e6, 1e6)
    max_step_per_s: float = number(0, 1e9)
    stuck_s: float = number(0, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """When a signal is too old or stuck."""

    stale_cycles: int = count(2, 1000)
    stuck_kmh: float = number(0, 300)
    fault_s: float = number(0.1, 10)
    grace_s: float = number(0, 600)
    bridge_s: float = number(0, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Airborne:
    """Thresholds and times of the flight detector. What may be None is of older profiles; nothing
    reads it.
    """

    acc_enter_g: float = number(0.05, 0.9)
    acc_exit_g: float = number(0.1, 1.5)
    acc_filter_Hz: float = number(1, 200)
    droop_mm: float = number(1, 100)
    droop_wheels: float | None = optional(1, 4)
    droop_all_mm: float = number(1, 100)
    flare_kmh_per_s: float = number(1, 500)
    flare_pedal_pct: float = number(0, 100)
    suspect_ms: float | None = optional(0, 1000)
    confirm_ms: float = number(0, 2000)
    landing_compression_m_per_s: float = number(0.05, 10)
    landing_g: float = number(1.01, 20)
    landing_hold_ms: float = number(0, 5000)
    merge_ms: float = number(0, 2000)
    min_airtime_ms: float = number(0, 5000)
    min_airtime_slow_ms: float = number(0, 5000)
    slow_kmh: float = number(0, 200)
    max_airtime_ms: float = number(100, 20000)
    inhibit_below_kmh: float = number(0, 100)
    acc_only_enter_g: float | None = optional(0.05, 0.9)
    acc_only_confirm_ms: float = number(0, 2000)
    landing_severity_g: tuple[float, ...] = rising(1, 50)
    load_share: float = number(0.01, 1)
    mean_share: float = number(0.05, 2)
    cg_error_m: float = number(0, 2)
    lag_ms: float = number(0, 100)
    mean_long_share: float = number(0.01, 2, default=0.22)
    mean_sure_share: float = number(0.01, 2, default=0.11)
    unsprung_share: float = number(0.01, 0.5, default=0.14)
    spring_error: float = number(0, 0.9, default=0.18)
    damping_error: float = number(0, 2, default=0.33)
    damper_jump_mm: float = number(1, 500, default=50.0)
    gap_ms: float = number(0, 100, default=10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentLimits:
    """Stuck, rolled over, handbrake, and when the engine runs."""

    roll_over_g: float = number(-1, 0.5)
    roll_over_s: float = number(0.1, 60)
    stuck_kmh: float = number(1, 100)
    stuck_s: float = number(1, 600)
    stuck_mm_per_s: float = number(0.1, 500)
    handbrake_kPa: float = number(50, 20000)
    handbrake_kmh: float = number(1, 300)
    handbrake_s: float = number(0.1, 60)
    engine_rpm: float = number(50, 5000)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffModel:
    """When the differential's temperature differs too much from its model."""

    residual_degC: float = number(1, 100)
    hold_s: float = number(1, 600)
    settle_s: float = number(60, 36000)


@dataclass(frozen=True, slots=True, kw_only=True)
class GearboxAbuse:
    """Limits of the gearbox abuse that the host finds in the raw log; see events.gearbox."""

    gear_target: str
    shifting: str
    input_speed: str
    output_speed: str
    over_rev_rpm: float = number(1000, 20000)
    shift_torque_Nm: float = number(0, 5000)
    slip_rpm: float = number(10, 5000)
    slip_rpm_s: float = number(1, 1e6)
    stall_torque_Nm: float = number(1, 5000)
    stall_output_rpm: float = number(1, 2000)
    stall_s: float = number(0.1, 600)
    neutral_gear: int = count(0, 255)
    neutral_kmh: float = number(0, 300)
    neutral_s: float = number(0, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """How often alarms and the summary are recorded, and the context stored with an alarm."""

    every_s: float = number(1, 3600)
    before_s: float = number(2, 600)
    after_s: float = number(1, 600)
    summary_s: float = number(1, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class FuelEstimate:
    """When the level may correct the integral of the flow, and what counts as refuel or leak."""

    quiet_ms2: float = number(0.01, 10)
    quiet_slope_ms2: float = number(0.01, 10)
    quiet_kmh: float = number(0, 100)
    quiet_s: float = number(0, 600)
    level_sigma_moving_l: float = number(0.1, 500)
    level_sigma_quiet_l: float = number(0.1, 500)
    gate_sigma: float = number(0.5, 20)
    refuel_rise_l: float = number(1, 500)
    refuel_below_kmh: float = number(0, 50)
    leak_l: float = number(0.5, 500)
    leak_within_s: float = number(1, 36000)
    reserve_l: float = number(0, 500)
    ewma_km: float = number(0.1, 500)
    behind_plan_pct: float = number(0.1, 100)
    first_terrain: str
    first_level_s: float = number(0.1, 600)
    first_level_m: float = number(1, 10000)
    range_every_km: float = number(1, 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A rule that marks a log where a signal goes beyond a level, where it changes, where a
    message comes, or where an event is: one of `above`, `below`, `changes`, `message`, `event`.

    signal    of above, below and changes; a level marks once it was held for `for_s`, and again
              after the signal was back by `clear`
    message   after it was silent for a second
    before_s, after_s   the window that belongs to the mark
    """

    signal: str = ""
    above: float | None = optional(-1e6, 1e6)
    below: float | None = optional(-1e6, 1e6)
    changes: bool = False
    message: str = ""
    event: str = ""
    clear: float = number(0, 1e6, 0.0)
    for_s: float = number(0, 3600, 0.0)
    before_s: float = number(0, 3600, 30.0)
    after_s: float = number(0, 3600, 30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A named condition: signal above or below a value for a time. Exactly one of the two."""

    signal: str
    above: float | None = optional(-1e6, 1e6)
    below: float | None = optional(-1e6, 1e6)
    for_s: float = number(0, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm on one or more signals. See the comments of dbc/profiles/d7xr.toml on `kind`."""

    id: int = count(1, 255)
    signals: tuple[str, ...]
    kind: str = one_of(*ALARM_KINDS)
    unit: str
    warning: float | None = optional(-1e6, 1e6)
    critical: float | None = optional(-1e6, 1e6)
    clear: float = number(0, 1e6)
    debounce_s: tuple[float, ...] = numbers(0, 3600, 2)
    debounce_out_s: float = number(0, 3600)
    gates: tuple[str, ...]
    latch: bool
    window_s: float | None = optional(0.1, 3600)
    floor: float | None = optional(-1e6, 1e6)
    limit: float | None = optional(-1e6, 1e6)
    drop_per_min: float | None = optional(0, 1e6)
    x_signal: str | None = None
    x_signals: tuple[str, ...] | None = None
    x_limit: float | None = optional(-1e6, 1e6)
    table_x: tuple[float, ...] | None = None
    table_y: tuple[float, ...] | None = None
