"""The part of a car profile that only the virtual car reads: the tables below [simulation].

Frozen classes as in stagelog.profile.schema; stagelog.profile.reading reads and checks them.
A profile without this part is complete for a report, for the signal table and for the detectors.
"""

from dataclasses import dataclass

from stagelog.profile.fields import count, number, numbers, rising
from stagelog.profile.schema import HeatNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """Unsprung masses, geometry and inertias."""

    unsprung_kg: tuple[float, ...] = numbers(5, 500, 4)
    wheelbase_m: float = number(1, 8)
    track_m: float = number(0.8, 3)
    steering_ratio: float = number(2, 40)
    cg_height_m: float = number(0.1, 3)
    pitch_inertia_kgm2: float = number(50, 1e5)
    roll_inertia_kgm2: float = number(20, 5e4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aero:
    """Air resistance."""

    drag_area_m2: float = number(0.2, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """What the springs, dampers and tyres do beyond the vehicle's own entries."""

    end_stop_N_per_m: float = number(1e5, 2e6)
    anti_roll_N_per_m: tuple[float, ...] = numbers(0, 1e5, 2)
    tyre_N_per_m: float = number(5e4, 1e6)
    tyre_damping_Ns_per_m: float = number(0, 5e3)
    rear_dampers_per_wheel: int = count(1, 3)
    sprung_moment_share: float = number(0, 1)
    bump_drag: float = number(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Torque, friction, fuel and the pressures to expect, by engine speed."""

    torque_rpm: tuple[float, ...] = rising(0, 20000)
    torque_Nm: tuple[float, ...] = numbers(0, 5000)
    friction_Nm: tuple[float, ...] = numbers(0, 1000)
    pumping_share: float = number(0, 1)
    cranking_rpm: float = number(50, 1000)
    cranking_s: float = number(0, 10)
    ignition_deg: tuple[float, ...] = numbers(-20, 70, 2)
    limiter_rpm: float = number(1500, 20000)
    inertia_kgm2: float = number(0.01, 10)
    indicated_g_per_kWh: float = number(120, 500)
    full_load_lambda: float = number(0.6, 1.6)
    idle_l_per_h: float = number(0.2, 20)
    knock_deg: float = number(0, 25)
    boost_rpm: tuple[float, ...] = rising(0, 20000)
    boost_max_kPa: tuple[float, ...] = numbers(50, 409)
    oil_pressure_rpm: tuple[float, ...] = rising(0, 20000)
    oil_pressure_kPa: tuple[float, ...] = numbers(10, 1200)
    fuel_pressure_kPa: float = number(50, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gearbox:
    """When it shifts, and the converter."""

    shift_ms: float = number(5, 2000)
    stall_gain: float = number(1, 4)
    upshift_full_rpm: float = number(1000, 20000)
    upshift_light_rpm: float = number(500, 20000)
    downshift_light_rpm: float = number(300, 20000)
    downshift_full_rpm: float = number(300, 20000)
    stall_rpm: float = number(500, 6000)
    lockup_kmh: float = number(0, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tyres:
    """Pressure and inertia of the wheels."""

    cold_kPa: float = number(30, 600)
    cold_degC: float = number(-30, 50)
    wheel_inertia_kgm2: float = number(0.2, 50)
    spares: int = count(0, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brakes:
    """Line pressures and what they do."""

    max_kPa: float = number(1000, 20000)
    decel_ms2_per_kPa: float = number(1e-5, 0.1)
    front_share: float = number(0, 1)
    handbrake_kPa: float = number(500, 20000)
    handbrake_grip: float = number(0, 1)
    handbrake_opener: float = number(0, 1)
    rear_line_share: float = number(0, 2)
    pedal_pct_per_kPa: float = number(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooling:
    """Radiators, fans and thermostat."""

    fan_on_degC: float = number(40, 140)
    fan_full_degC: float = number(40, 140)
    fan_full_A: float = number(1, 63)
    thermostat_degC: float = number(40, 120)
    thermostat_open_degC: float = number(40, 130)
    radiator_W_per_K: tuple[float, ...] = numbers(10, 5000)
    fan_equals_ms: float = number(0, 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightModeUnit:
    """The car's own control unit, as the virtual car plays it."""

    delay_ms: tuple[float, ...] = numbers(0, 2000, 2)
    cut_share: float = number(0, 1)
    cut_load: float = number(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Shares of power that become heat, and where."""

    gearbox_share: float = number(0, 0.5)
    converter_share: float = number(0, 1)
    transfer_share: float = number(0, 0.5)
    transfer_W_per_rpm2: float = number(0, 0.1)
    coolant_share: float = number(0, 2)
    coolant_idle_W: float = number(0, 1e5)
    coolant_W_per_rpm: float = number(0, 100)
    engine_oil_share: float = number(0, 0.5)
    engine_oil_W_per_rpm: float = number(0, 100)
    oil_to_coolant_W_per_K: float = number(0, 1e4)
    tyre_slip_share: float = number(0, 1)
    tyre_rolling_share: float = number(0, 1)
    gearbox_cooler_drop: float = number(0, 1)
    fan_for_gearbox_degC: float = number(40, 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gas:
    """Exhaust, charge air and the pressures of filter and crankcase."""

    exhaust_idle_degC: float = number(50, 900)
    exhaust_degC_per_kW: float = number(0, 20)
    exhaust_lag_s: float = number(0.1, 60)
    exhaust_after_turbine: float = number(0.1, 1)
    charge_above_ambient_degC: float = number(0, 60)
    charge_degC_per_kPa: float = number(0, 5)
    charge_still_degC_ms: float = number(0, 1000)
    charge_lag_s: float = number(0.1, 120)
    compressor_degC_per_kPa: float = number(0, 5)
    filter_kPa: tuple[float, ...] = numbers(0, 20, 2)
    crankcase_kPa: tuple[float, ...] = numbers(-50, 50, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuel:
    """The pump, and how the fuel moves in the tank."""

    refuel_l_per_min: float = number(1, 1000)
    sender_spacing_m: float = number(0, 5)
    slosh_Hz: float = number(0.1, 5)
    slosh_damping: float = number(0.005, 1)
    slosh_bias_l_per_ms2: float = number(-100, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Electrics:
    """Supply and power distribution."""

    nominal_V: float = number(9, 60)
    rest_V: float = number(6, 60)
    cranking_V: float = number(3, 60)
    base_A: float = number(1, 400)
    fuel_pump_A: float = number(0.5, 60)
    channels: int = count(1, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImuSensor:
    """How good the IMU is."""

    range_ms2: float = number(10, 2000)
    noise_ms2: float = number(0, 10)
    bias_ms2: float = number(0, 5)
    ring_Hz: float = number(5, 240)
    ring_damping: float = number(0.005, 1)
    ring_from_g: float = number(0, 50)
    ring_gain: float = number(0, 10)
    gyro_noise_degs: float = number(0, 20)
    gyro_bias_degs: float = number(0, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class DamperSensor:
    """Noise of the travel sensors."""

    noise_mm: float = number(0, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelSensor:
    """Noise of the wheel speed sensors, and the speed below which they read 0."""

    noise_kmh: float = number(0, 10)
    min_kmh: float = number(0, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureSensor:
    """Noise, lag, and the reading of an open circuit."""

    noise_degC: float = number(0, 10)
    lag_s: float = number(0.01, 120)
    open_degC: float = number(-300, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class FuelSensor:
    """Electrical noise of a level sender."""

    noise_mm: float = number(0, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One standard deviation, as a factor, of one built car against this profile."""

    mass: float = number(0, 0.3)
    damping: float = number(0, 0.3)
    spring: float = number(0, 0.3)
    thermal: float = number(0, 0.3)
    engine: float = number(0, 0.3)
    tyre: float = number(0, 0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thermal:
    """The heat capacities beside those of the differentials."""

    transfer: HeatNode
    gearbox: HeatNode
    engine: HeatNode
    engine_oil: HeatNode
    disc_front: HeatNode
    disc_rear: HeatNode
    damper: HeatNode
    tyre: HeatNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """All kinds of sensor."""

    imu: ImuSensor
    damper: DamperSensor
    wheel: WheelSensor
    temperature: TemperatureSensor
    fuel: FuelSensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """How the virtual car behaves, checked. Where a table of Profile has this name, too, the two
    are one for the virtual car.
    """

    mass: Mass
    aero: Aero
    suspension: Suspension
    engine: Engine
    gearbox: Gearbox
    tyres: Tyres
    brakes: Brakes
    cooling: Cooling
    flight_mode: FlightModeUnit
    losses: Losses
    gas: Gas
    thermal: Thermal
    fuel: Fuel
    electrics: Electrics
    sensors: Sensors
    spread: Spread
