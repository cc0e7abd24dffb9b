"""The nouns of a car profile as frozen classes: one per table of the TOML file.

Each field declares its own bounds; stagelog.profile reads, checks and fills them. Units are in
the names. Four-element tuples are ordered FL, FR, RL, RR; two-element ones front, rear.
What detectors read is in stagelog.profile.limits, what only the virtual car reads in
stagelog.profile.simulation.
"""

from dataclasses import dataclass, field

from stagelog.profile.fields import count, number, numbers, optional, rising
from stagelog.profile.limits import (
    Airborne,
    Alarm,
    DiffModel,
    FuelEstimate,
    Gate,
    GearboxAbuse,
    IncidentLimits,
    Mark,
    Messages,
    Plausible,
    Validity,
)
from stagelog.profile.report_parts import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """Which car this is and which DBC it uses. `dbc` is a file name in the DBC folder."""

    name: str
    number: int = count(0, 511)
    dbc: str
    not_fitted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """Masses and where they are."""

    without_fuel_kg: float = number(300, 20000)
    cg_behind_front_axle_m: float = number(0.2, 6)
    tank_behind_front_axle_m: float = number(-1, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """Springs, dampers and stops; travel is 0 at full droop."""

    travel_mm: tuple[float, ...] = numbers(50, 600, 4)
    spring_N_per_m: tuple[float, ...] = numbers(5e3, 5e5, 4)
    preload_N: tuple[float, ...] = numbers(0, 2e4, 4)
    bump_damping_Ns_per_m: tuple[float, ...] = numbers(200, 5e4, 4)
    rebound_damping_Ns_per_m: tuple[float, ...] = numbers(200, 5e4, 4)
    bump_stop_from_mm: tuple[float, ...] = numbers(20, 600, 4)
    bump_stop_N_per_m2: float = number(1e5, 1e8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Idle speed, and the power that the regulations allow, None for no limit."""

    power_limit_kW: float | None = optional(20, 1500)
    idle_rpm: float = number(300, 2000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gearbox:
    """Ratios from first gear upwards. The efficiency is that from engine to wheels."""

    ratios: tuple[float, ...] = numbers(0.2, 20)
    final_drive: float = number(1, 10)
    efficiency: float = number(0.5, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driveline:
    """Losses of the two limited-slip differentials."""

    front_torque_share: float = number(0, 1)
    mesh_loss: float = number(0, 0.2)
    churning_W_per_rpm2: float = number(0, 0.1)
    lsd_preload_Nm: tuple[float, ...] = numbers(0, 5000, 2)
    lsd_lock_share: tuple[float, ...] = numbers(0, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tyres:
    """The circumference is what the wheel speed signals assume."""

    circumference_m: float = number(1, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooling:
    """How many radiators and fans there are."""

    radiators: int = count(1, 3)
    fans: int = count(1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatNode:
    """One lump: C dT/dt = P - (still + moving * v^0.8) * (T - ambient)."""

    capacity_J_per_K: float = number(100, 5e6)
    still_W_per_K: float = number(0, 1000)
    moving_W_per_K: float = number(0, 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thermal:
    """The differentials, whose temperature is compared with a model."""

    diff_front: HeatNode
    diff_rear: HeatNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuel:
    """Tank, senders and the team's plan by terrain."""

    capacity_l: float = number(5, 2000)
    unusable_l: float = number(0, 200)
    start_l: float = number(0, 2000)
    density_kg_per_l: float = number(0.5, 1.2)
    flow_scale_error_max: float = number(0, 0.2)
    sender_volume_l: tuple[float, ...] = rising(0, 2000)
    sender_a_mm: tuple[float, ...] = rising(0, 2000)
    sender_b_mm: tuple[float, ...] = rising(0, 2000)
    sender_dead_mm: tuple[float, ...] = rising(0, 2000)
    plan_l_per_100km: dict[str, float]
    plan_of_mode: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImuSensor:
    """Where the IMU is."""

    offset_m: tuple[float, ...] = numbers(-5, 5, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class DamperSensor:
    """Slow zero drift of the travel sensors."""

    zero_drift_mm: float = number(0, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """Sensors that a detector has to know."""

    imu: ImuSensor
    damper: DamperSensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which signal of the DBC has which role; "" where no signal has it."""

    acceleration: tuple[str, ...]
    acceleration_clip: str = ""
    rates: tuple[str, ...]
    damper: tuple[str, ...]
    wheel_speed: tuple[str, ...]
    flight_state: str = ""
    engine_speed: str = ""
    engine_torque: str = ""
    throttle: str = ""
    pedal: str = ""
    gear: str = ""
    fuel_flow: str = ""
    fuel_used: str = ""
    fuel_level: tuple[str, ...]
    refuel_flap: str = ""
    diff_temperature: tuple[str, ...]
    axle_slip: tuple[str, ...]
    output_torque: str = ""
    ambient_temperature: str = ""
    brake_pressure: tuple[str, ...]
    handbrake_pressure: str = ""
    steering: str = ""
    acknowledge: str = ""
    drive_mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A car profile, checked: vehicle, detection, report. `path` is where it came from.

    What only the virtual car needs is not here: see stagelog.profile.simulation.
    """

    schema: str
    car: Car
    mass: Mass
    suspension: Suspension
    engine: Engine
    gearbox: Gearbox
    driveline: Driveline
    tyres: Tyres
    cooling: Cooling
    thermal: Thermal
    fuel: Fuel
    sensors: Sensors
    roles: Roles
    validity: Validity
    airborne: Airborne
    trouble: IncidentLimits
    diff_model: DiffModel
    messages: Messages
    fuel_estimate: FuelEstimate
    path: str
    status: dict[str, tuple[str, int]] = field(default_factory=dict)
    plausible: tuple[Plausible, ...] = ()
    gearbox_abuse: GearboxAbuse | None = None
    gate: dict[str, Gate] = field(default_factory=dict)
    alarm: dict[str, Alarm] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    mark: dict[str, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortCar:
    """Which car this is; `dbc` is a file beside the profile, "" for none."""

    name: str = "car"
    dbc: str = ""
    not_fitted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortProfile:
    """A short profile, checked. Roles that no signal has are empty."""

    schema: str
    car: ShortCar
    roles: Roles
    plausible: tuple[Plausible, ...] = ()
    alarm: dict[str, Alarm] = field(default_factory=dict)
    mark: dict[str, Mark] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    path: str = ""
