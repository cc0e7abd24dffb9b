"""The physics of the virtual car: balances that must close, flights that must be flights."""

from types import SimpleNamespace

import numpy as np
import pytest

from stagelog import car
from stagelog.car.build import build_car
from stagelog.car.encode import make_encoders
from stagelog.car.flight import TrueFlights
from stagelog.car.noise import decay, key, lattice, low_pass, smooth
from stagelog.car.nominal import nominal_car
from stagelog.car.scenarios.parts import ramp
from stagelog.car.story import Incident, Leg, Scenario
from stagelog.car.suspension import PIECE, Suspension
from stagelog.profile import load_profile
from stagelog.resources import dbc_path

G = 9.80665
ENCODERS = make_encoders(dbc_path() / "d7xr.dbc")


def read(drive, message, signal):
    """Return (t_s, phys) of an Intel signal, by shifts of 64-bit words."""
    encoder = ENCODERS[message]
    rows = drive.frames[drive.frames["can_id"] == encoder.can_id]
    layout = encoder.signals[signal]
    words = np.ascontiguousarray(rows["data"]).view("<u8")[:, 0]
    raw = (words >> np.uint64(layout.shift)) & np.uint64((1 << layout.length) - 1)
    raw = raw.astype(np.int64)
    if layout.signed:
        raw -= (raw >> (layout.length - 1)) << layout.length
    return rows["t_us"] * 1e-6, raw * layout.scale + layout.offset


@pytest.fixture(scope="module")
def profile():
    return nominal_car(load_profile())


@pytest.fixture(scope="module")
def jump_drive():
    features = (ramp(500.0, 1.15, 96.0), ramp(900.0, 0.9, 90.0))
    legs = (
        Leg("stop", duration_s=10.0),
        Leg("drive", "track", 1300.0, natural=False, features=features, rough=0.6),
        Leg("stop", duration_s=15.0),
    )
    return car.drive(Scenario("two_jumps", 0, "two jumps", legs), seed=4)


def test_pieces_side_by_side_equal_one_after_the_other(profile):
    """The parallel-in-time integration is the sequential one, to a fraction of a millimetre."""
    rng, n = np.random.default_rng(1), 12 * PIECE
    rough = low_pass(rng.normal(0.0, 0.25, (n, 4)), 0.002, 0.08, np.zeros(4))
    rough[5 * PIECE : 5 * PIECE + 60] += 0.25  # a step that throws the car
    rate = np.gradient(rough, 0.002, axis=0)
    inertial = np.zeros((n, 4))
    inertial[:, 0] = G
    inertial[8 * PIECE : 8 * PIECE + 350, 0] = 0.3  # a crest: long flight over a joint of pieces
    whole, steps = (Suspension(profile, build_car(profile, 1)) for _ in range(2))
    whole.load(300.0)
    steps.load(300.0)
    together = whole.run(rough, rate, inertial)
    parts = [
        steps.run(*(a[i : i + PIECE] for a in (rough, rate, inertial))) for i in range(0, n, PIECE)
    ]
    for name, tolerance in (("travel", 1e-3), ("place", 1e-3), ("rate", 2e-2)):
        apart = np.concatenate([part[name] for part in parts])
        assert np.abs(together[name] - apart).max() < tolerance, name
    assert together["tyre"].sum(axis=1).min() == 0.0  # it did fly


def test_rest_carries_the_weight(profile):
    suspension = Suspension(profile, build_car(profile, 2))
    loads = {}
    for fuel_kg in (20.0, 410.0):
        body_kg, _ = suspension.load(fuel_kg)
        suspension.state = None
        ground = np.zeros((2 * PIECE, 4))
        inertial = np.zeros((2 * PIECE, 4))
        inertial[:, 0] = G
        out = suspension.run(ground, ground, inertial)
        weight = (body_kg + suspension.unsprung_kg.sum()) * G
        assert out["tyre"][-1].sum() == pytest.approx(weight, rel=1e-6)
        assert np.abs(out["rate"]).max() < 1e-9
        loads[fuel_kg] = out["travel"][-1]
    settled_mm = (loads[410.0] - loads[20.0]) * 1e3
    assert np.all(settled_mm[2:] > 25.0)  # the rear sinks under the tank
    assert np.all(settled_mm[2:] > settled_mm[:2] + 15.0)


def test_flight_is_free_fall_with_full_droop_and_a_hard_landing(jump_drive):
    jumps = [j for j in jump_drive.truth.of("jump") if j.airtime_s > 0.4]
    assert len(jumps) == 2
    t_acc, az = read(jump_drive, "IMU_Accel", "AccZ")
    _, ax = read(jump_drive, "IMU_Accel", "AccX")
    t_dmp, travel = read(jump_drive, "DMP_Pos", "DmpPosFL")
    t_whl, wheel = read(jump_drive, "WHL_Speed", "WhlSpdRL")
    for jump in jumps:
        off, on = jump.t_us * 1e-6, jump.end_us * 1e-6
        flying = (t_acc > off + 0.05) & (t_acc < on - 0.02)
        assert np.abs(az[flying]).mean() / G < 0.15
        assert np.hypot(ax, az)[flying].max() / G < 0.6
        assert -0.12 < ax[flying].mean() / G < 0.06  # drag only: no tyre pulls in the air
        assert travel[(t_dmp > off + 0.35) & (t_dmp < on)].max() < 15.0
        after = (t_acc > on) & (t_acc < on + 0.4)
        assert az[after].max() / G > 2.0
        assert travel[(t_dmp > on) & (t_dmp < on + 0.4)].max() > 200.0
        moved = wheel[(t_whl > on - 0.1) & (t_whl < on)].mean() - jump.speed_kmh
        assert abs(moved) > 5.0  # racing under throttle, or slowed by the engine


@pytest.mark.parametrize(("touch", "n"), [(0.08, 1), (0.2, 2)])
def test_a_light_touch_does_not_end_a_true_flight_and_a_real_one_does(touch, n):
    """100 ms without load, 30 ms with 8 % of the weight, 100 ms without: one flight of 230 ms, for
    a tenth is a touch. With 20 %, as of tyres that skip over a washboard: two of 100 ms.
    """
    load = np.ones(2000)
    load[500:550] = load[565:615] = 0.0  # 500 Hz
    load[550:565] = touch
    still = np.zeros(2000)
    motion = SimpleNamespace(
        t_s=np.arange(2000) / 500, load=load, force_ms2=np.zeros((2000, 3)), s_m=still,
        v_ms=still, rates=np.zeros((2000, 3)),
    )  # fmt: skip
    found = TrueFlights().feed(0.0, motion, lambda _: ("track", "leg"), last=True)
    assert [f.airtime_s for f in found] == ([0.23] if n == 1 else [0.1, 0.1])


def test_airtime_is_that_of_a_thrown_body(jump_drive):
    """Time up and down from the vertical speed at lift-off, within what the ramp's fall allows."""
    for jump in jump_drive.truth.of("jump"):
        if jump.airtime_s < 0.4:
            continue
        height_m = 1.3
        assert jump.airtime_s < 2.0 * np.sqrt(2.0 * height_m / G) * 1.3
        assert jump.least_force_g < 0.15


def test_standing_car_reads_one_g(jump_drive):
    t_s, az = read(jump_drive, "IMU_Accel", "AccZ")
    assert az[(t_s > 2) & (t_s < 9)].mean() == pytest.approx(G, abs=0.3)
    for wheel in ("FL", "FR", "RL", "RR"):
        t_s, kmh = read(jump_drive, "WHL_Speed", f"WhlSpd{wheel}")
        assert kmh[t_s < 9].max() == 0.0


def test_distance_is_the_integral_of_speed(jump_drive):
    truth = jump_drive.truth.arrays
    metres = np.cumsum(truth["speed_kmh"] / 3.6) * 0.05
    assert metres[-1] == pytest.approx(truth["distance_m"][-1], rel=2e-3)
    t_s, kmh = read(jump_drive, "GNSS_Vel", "GnssSpd")
    assert np.sum(kmh / 3.6 * 0.1) == pytest.approx(metres[-1], rel=5e-3)


def test_fuel_balance_closes_and_the_ecu_is_wrong_by_its_scale(profile):
    legs = (
        Leg("drive", "mixed", 3000.0),
        Leg("stop", duration_s=120.0, engine=False, refuel_l=60.0),
        Leg("drive", "track", 2000.0),
    )
    leak = Incident("fuel_leak", 30.0, 60.0, {"l_per_h": 120.0})
    story = Scenario("balance", 0, "fuel balance", legs, incidents=(leak,), fuel_l=200.0)
    drive = car.drive(story, seed=9)
    truth = drive.truth.arrays
    burned = truth["fuel_flow_l_h"].sum() * 0.05 / 3600.0
    leaked = truth["leak_l_h"].sum() * 0.05 / 3600.0
    assert leaked == pytest.approx(2.0, rel=0.02)
    change = truth["fuel_l"][-1] - truth["fuel_l"][0]
    assert change == pytest.approx(60.0 - burned - leaked, abs=0.11)  # two steps of the pump
    _, used = read(drive, "ENG_Fuel", "FuelUsedTot")
    scale = build_car(profile, 9).flow_scale
    assert abs(scale - 1.0) <= profile.fuel.flow_scale_error_max
    assert used[-1] - used[0] == pytest.approx(burned * scale, abs=0.02)
    assert np.all(np.diff(used) >= -1e-9)


def test_energy_of_the_fuel_covers_the_work_of_the_engine():
    legs = (Leg("drive", "sand", 4000.0, natural=False),)
    drive = car.drive(Scenario("work", 0, "work", legs), seed=3)
    truth = drive.truth.arrays
    watts = np.maximum(truth["engine_torque_Nm"], 0.0) * truth["engine_rpm"] * np.pi / 30.0
    burned_kg = (truth["fuel_l"][0] - truth["fuel_l"][-1]) * 0.745
    efficiency = watts.sum() * 0.05 / (burned_kg * 42.5e6)
    assert 0.22 < efficiency < 0.38
    assert watts.max() * 1e-3 < 291.0 * 1.03


def test_level_of_fuel_is_right_at_rest_and_biased_on_the_move(profile):
    legs = (
        Leg("stop", duration_s=40.0),
        Leg("drive", "mixed", 5000.0),
        Leg("stop", duration_s=90.0),
    )
    drive = car.drive(Scenario("level", 0, "level", legs, fuel_l=300.0), seed=5)
    t_s, a = read(drive, "FUEL_Raw", "FuelLvlA")
    _, b = read(drive, "FUEL_Raw", "FuelLvlB")
    fuel = profile.fuel
    seen = np.interp(a, fuel.sender_a_mm, fuel.sender_volume_l)
    seen = 0.5 * (seen + np.interp(b, fuel.sender_b_mm, fuel.sender_volume_l))
    error = seen - np.interp(t_s, drive.truth.t_us * 1e-6, drive.truth.arrays["fuel_l"])
    end = t_s[-1]
    assert abs(error[(t_s > 5) & (t_s < 38)].mean()) < 5.0
    moving = error[(t_s > 60) & (t_s < end - 100)]
    assert moving.std() > 10.0
    assert abs(moving.mean()) > 10.0


def test_hot_differential_cools_when_the_cause_ends():
    heat = Incident("overheat", 10.0, 120.0, {"node": "diff_rear", "W": 9000.0})
    legs = (Leg("drive", "track", 9000.0, natural=False),)
    story = Scenario("hot", 0, "hot", legs, incidents=(heat,), duration_s=240.0)
    rear = car.drive(story, seed=2).truth.arrays["diff_rear_degC"]
    front = car.drive(story, seed=2).truth.arrays["diff_front_degC"]
    gained = rear[130 * 20] - rear[10 * 20]
    assert 40.0 < gained < 9000.0 * 120.0 / 20500.0 * 1.3
    assert rear[-1] < rear[130 * 20]
    assert front[-1] - front[0] < 20.0


def test_noise_has_no_state():
    seed, x = key(3, "x"), np.linspace(-500.0, 500.0, 4001)
    whole = smooth(seed, x, 7.0)
    assert np.array_equal(whole[1000:1500], smooth(seed, x[1000:1500], 7.0))
    assert np.abs(np.diff(whole)).max() < 0.2
    values = lattice(seed, np.arange(100_000))
    assert abs(values.mean()) < 0.02
    assert values.std() == pytest.approx(1 / np.sqrt(3), rel=0.02)


def test_decay_equals_the_recurrence():
    rng = np.random.default_rng(0)
    u, a, x, wanted = rng.normal(size=5000), 0.97, 2.5, []
    for value in u:
        x = a * x + value
        wanted.append(x)
    assert decay(u, a, 2.5) == pytest.approx(wanted, rel=1e-9, abs=1e-9)
