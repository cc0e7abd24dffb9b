"""The second virtual car's physics against hand computation, and its scores against small cases.

Every expected value is worked out in the test's docstring; nothing comes from the first car.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from campaigns.engine.intervals import wilson
from campaigns.engine.other_car import (
    cars,
    changes,
    drives,
    dynamics,
    faults,
    frames,
    scores,
    sensors,
    terrain,
    truth,
)
from campaigns.engine.other_car.ground import GRID_m, Ground, LENGTH_m
from campaigns.engine.other_car.world import World
from stagelog.export.candump import candump_text, names_of

G = 9.80665
CELLS = round(LENGTH_m / GRID_m)


def flat(**more):
    return Ground(
        left=np.zeros(CELLS),
        right=np.zeros(CELLS),
        speed_ms=np.zeros(round(LENGTH_m)),
        yaw_rads=np.zeros(round(LENGTH_m)),
        **more,
    )


def drive(ground, car=None, seconds=4.0, speed0=None):
    car = car or cars.nominal_car()
    return dynamics.simulate(car, World([ground], car, seconds, [0]), seconds, speed0)


def test_a_car_at_rest_stands_as_deep_as_its_weight_and_springs_say():
    """Moments about the rear axle: front axle carries ms*g*rear/(front+rear), each spring half of
    it, less the preload: c = (F - P)/k. The tyres carry (ms + mu)*g.
    """
    car = cars.nominal_car()
    kept = drive(flat(parked=True), car, 2.0)
    ms, a, b = car.sprung_kg[0], car.front_m[0], car.rear_m[0]
    front = ms * G * b / (a + b) / 2
    rear = ms * G * a / (a + b) / 2
    c = kept["damper"][-1, :, 0]
    assert c[:2] == pytest.approx((front - 1200) / 40000, abs=0.0005)
    assert c[2:] == pytest.approx((rear - 1200) / 45000, abs=0.0005)
    assert kept["tyres"][-1, 0] == pytest.approx((ms + 390) * G, rel=1e-3)
    assert kept["fz"][-1, 0] == pytest.approx(G, abs=0.01)


@pytest.mark.parametrize("height", [0.3, 1.2])
def test_a_dropped_car_falls_for_the_square_root_of_2_h_by_g(height):
    """Held by a crane with hanging wheels, let go, wheels h above the ground: t = sqrt(2h/g),
    0.247 s for 0.3 m and 0.495 s for 1.2 m. While the hooks hold, nothing flies.
    """
    car = cars.nominal_car()
    hold = [(0.0, -1.0), (0.5, -0.4), (4.0, 1.9), (6.0, 1.9), (6.005, -1.0), (9.0, -1.0)]
    ground = flat(parked=True, hold=[(1.3, hold), (-1.3, hold)])
    kept = drive(ground, car, 7.5)
    before = kept["other"][5900, 0]
    assert before == pytest.approx((car.sprung_kg[0] + 390) * G, rel=0.02)
    assert kept["tyres"][5900, 0] == 0
    # A second world, lifted less, so that the wheels hang `height` above the ground.
    clear = _clearance(kept, car)
    lift = 1.9 - (clear - height)
    hold = [(t, min(z, lift) if z > 0 else z) for t, z in hold]
    kept = drive(flat(parked=True, hold=[(1.3, hold), (-1.3, hold)]), car, 7.5)
    carried = kept["tyres"][:, 0] + kept["other"][:, 0]
    smooth = np.abs(kept["fz"][:, 0])
    found = truth.flights(carried, (car.sprung_kg[0] + 390) * G, smooth)
    assert found[0].onset_s == pytest.approx(6.0, abs=0.01)
    assert found[0].airtime_s == pytest.approx((2 * height / G) ** 0.5, rel=0.04)


def _clearance(kept, car):
    """Return how high the wheels hang, from where the hooks hold the body.

    The hook's spring gives by weight/stiffness; the stop stretches by (P + mu g)/k_stop.
    """
    give = (car.sprung_kg[0] + 390) * G / 2 / 4.0e5
    droop = (car.sprung_kg[0] * G / 4 - 1200) / car.spring[:, 0].mean()
    hang = (1200 + 97.5 * G) / dynamics.DROOP_STOP
    return 1.9 - droop - give - hang


def test_a_hanging_wheel_rings_on_its_stop_with_the_root_of_k_by_m():
    """Full droop, body held: sqrt((6.0e5 + 4.0e4)/95) / 2 pi = 13.06 Hz for a front wheel."""
    car = cars.nominal_car()
    c, v, crossings = np.full((4, 1), -0.0005), np.zeros((4, 1)), []
    rest = -(1200 + 95 * G) / (dynamics.DROOP_STOP + 40000)
    for k in range(1000):
        force = dynamics.spring_force(car, c)
        v = v + dynamics.STEP_s * (-force / car.unsprung_kg - G)
        before, c = c, c + dynamics.STEP_s * v
        if (before[0, 0] - rest) * (c[0, 0] - rest) < 0 and v[0, 0] > 0:
            crossings.append(k)
    period_s = np.diff(crossings).mean() * dynamics.STEP_s
    assert 1 / period_s == pytest.approx(13.06, rel=0.02)


def test_the_damper_gives_what_the_profile_says_at_its_rated_speed():
    """4,800 Ns/m at 1 m/s is 4,800 N against extension, 3,400 N against compression."""
    car = cars.nominal_car()
    car.after_knee[:] = 0.6
    speed = np.full((4, 1), 1.0)
    assert dynamics.damper_force(car, -speed)[0, 0] == pytest.approx(-4800)
    assert dynamics.damper_force(car, speed)[0, 0] == pytest.approx(3400)
    # Below the knee of 0.25 m/s: 0.25 + 0.6 * 0.75 = 0.70, so 1/0.70 of the rated slope.
    assert dynamics.damper_force(car, 0.1 * speed)[0, 0] == pytest.approx(340 / 0.70)


def over_a_cliff(car):
    """Return the kept columns of a car that rolls over an edge at 40 m/s, and the steps in the
    air: the wheels have only begun to extend when the last one leaves the ground.
    """
    ground = flat(towed=True)
    ground.speed_ms[:] = 40.0
    ground.left[800:] = ground.right[800:] = -8.0
    kept = drive(ground, car, 1.2, speed0=[40.0])
    free = np.flatnonzero(kept["tyres"][:, 0] + kept["other"][:, 0] == 0)
    assert len(free) > 250
    assert np.ptp(free) == len(free) - 1
    return kept, slice(free[0] + 1, free[-1])


def moving_parts(kept, air, car):
    """Return (body speed, pitch rate, wheel speeds, compression); heave from 0 at the start."""
    fz, c = kept["fz"][:, 0].astype(float), kept["damper"][:, :, 0].astype(float)
    body = np.cumsum(fz - G)[air] * 1e-3
    pitch_rate = kept["pitch_rate"][:, 0].astype(float)[air]
    x = np.array([car.front_m[0]] * 2 + [-car.rear_m[0]] * 2)
    closing = (c[air] - c[air.start - 1 : air.stop - 1]) / 1e-3
    return body, pitch_rate, body[:, None] - pitch_rate[:, None] * x + closing, c[air]


def test_in_the_air_the_centre_of_gravity_falls_freely():
    """No force from outside: momentum of body and wheels together changes by g and no more."""
    car = cars.nominal_car()
    kept, air = over_a_cliff(car)
    body, _, wheels, _ = moving_parts(kept, air, car)
    momentum = car.sprung_kg[0] * body + wheels @ car.unsprung_kg[:, 0]
    fall = np.polyfit(np.arange(len(body)) * 1e-3, momentum / (car.sprung_kg[0] + 390), 1)[0]
    assert fall == pytest.approx(-G, abs=0.02)


@pytest.mark.parametrize("damped", [False, True])
def test_no_energy_appears_in_the_air(damped):
    """Movement about the common centre + springs: never more than before, dampers or none.
    sqrt(6.4e5/95) = 82/s on the stops: the step's own error is 82/s * 1 ms / 2 = 4 %.
    """
    car = cars.nominal_car()
    if not damped:
        car.bump[:] = car.rebound[:] = 0.0
    kept, air = over_a_cliff(car)
    body, pitch_rate, wheels, c = moving_parts(kept, air, car)
    m, mu = car.sprung_kg[0], car.unsprung_kg[:, 0]
    common = (m * body + wheels @ mu) / (m + mu.sum())
    moving = 0.5 * m * (body - common) ** 2 + 0.5 * car.pitch_kgm2[0] * pitch_rate**2
    moving += 0.5 * (wheels - common[:, None]) ** 2 @ mu
    stiff = car.spring[:, 0] + np.where(c > 0, 0.0, dynamics.DROOP_STOP)
    stored = (0.5 * stiff * c**2 + 1200 * c).sum(axis=1)
    energy = moving + stored
    swing = np.ptp(stored)
    assert swing > 400
    growth = energy - np.minimum.accumulate(energy)
    assert growth.max() < 0.04 * swing
    if damped:
        assert energy[0] - energy[-1] > 0.5 * swing


def test_a_tyre_gives_back_the_momentum_that_it_took():
    """A wheel alone on an undamped tyre leaves with the speed it came with: 2 m/s down, 2 m/s up.
    sqrt(k/m) = 58.04/s; half a period 54.1 ms and, since it rests 2.9 mm deep and goes 34.5 mm,
    2*atan(2.9/34.5)/58.04 = 2.9 ms more.
    """
    car = cars.nominal_car()
    car.tyre_damping[:] = 0.0
    z, v, touched = np.zeros((4, 1)), np.full((4, 1), -2.0), 0
    while z[0, 0] <= 0:
        v = v + dynamics.STEP_s * (dynamics.tyre_force(car, -z, -v) / car.unsprung_kg - G)
        z = z + dynamics.STEP_s * v
        touched += 1
    assert v[0, 0] == pytest.approx(2.0, rel=0.02)
    assert touched == pytest.approx(57, abs=2)
    assert dynamics.tyre_force(car, -z, -v)[0, 0] == 0


def test_wheels_spin_up_only_without_load():
    """On the ground slip stays below 30 %; torque in the air turns wheels faster than the road."""
    ground = flat()
    ground.speed_ms[:] = 15.0
    ground.left[2000:2300] = ground.right[2000:2300] = np.linspace(0, 1.5, 300)
    kept = drive(ground, seconds=14.0, speed0=[15.0])
    on = kept["tyres"][:, 0] > 20e3
    air = kept["tyres"][:, 0] == 0
    slip = kept["wheel"][:, :, 0].max(1) / np.maximum(kept["speed"][:, 0], 1)
    assert air.sum() > 200
    assert np.median(slip[on]) < 1.1
    assert slip[air].max() > slip[on & (kept["at"][:, 0] < 95)].max()


def test_tuning_and_scoring_share_neither_kind_nor_seed():
    assert not set(terrain.TUNING) & set(terrain.SCORING)
    seeds = {which: set() for which in ("tuning", "scoring")}
    for name in drives.names_of(terrain.KINDS, cars.DISTANCES, 50):
        seeds[terrain.set_of(name.kind)].add(name.seed)
    assert not seeds["tuning"] & seeds["scoring"]
    assert sum(map(len, seeds.values())) == len(drives.names_of(terrain.KINDS, cars.DISTANCES, 50))


def test_near_and_far_cars_stay_within_what_the_issue_names():
    """Near: springs within 10 %; far: springs to 18 % (and sides 5 % of that), friction 0.5-2."""
    near = cars.draw_cars(list(range(200)), ["near"] * 200)
    far = cars.draw_cars(list(range(200)), ["far"] * 200)
    nominal = np.array([40000, 40000, 45000, 45000.0])[:, None]
    assert np.abs(near.spring / nominal - 1).max() < 0.10
    assert 0.15 < np.abs(far.spring / nominal - 1).max() < 0.25
    assert far.friction_N.max() / far.friction_N.min() > 3


def test_a_flight_ends_with_a_real_touch_and_not_with_a_brush():
    """100 ms free, 20 ms with 5 % of the weight, 100 ms free: one flight of 220 ms. With 20 % of
    the weight: two of 100 ms. Half a weight of belly: no flight.
    """
    weight, smooth = 30000.0, np.full(1000, 2 * G)
    forces = np.full(1000, weight)
    forces[300:400] = forces[420:520] = 0
    forces[400:420] = 0.05 * weight
    assert [round(f.airtime_s, 3) for f in truth.flights(forces, weight, smooth)] == [0.22]
    forces[400:420] = 0.20 * weight
    found = truth.flights(forces, weight, smooth)
    assert [round(f.airtime_s, 3) for f in found] == [0.1, 0.1]
    assert found[0].peak_g == pytest.approx(2.0)
    assert truth.flights(forces + weight / 2, weight, smooth) == []


def test_scores_of_a_hand_made_drive():
    """True: 10.0-10.3, 20.0-20.6 s. Found: 10.05-10.32 (share 0.25/0.32), 20.5-20.65 (0.1/0.65,
    too little, but no invention), 30.0-30.3 (false).
    """
    true = [truth.Flight(10.0, 10.3, 2.0), truth.Flight(20.0, 20.6, 4.0)]
    found = [
        scores.Found(10.05, 10.32, 2.2, 90),
        scores.Found(20.5, 20.65, 4.0, 90),
        scores.Found(30.0, 30.3, 1.0, 40),
    ]
    score = scores.score_drive(true, found, 1.0, 60.0)
    assert score.found == {"0.2-0.4 s": 1}
    assert score.overlapped == {"0.2-0.4 s": 1, "0.4-0.8 s": 1}
    assert score.n_false == 1
    assert score.onset == pytest.approx([0.05])
    assert score.peak == pytest.approx([1.1])
    assert score.notes == ["lost: 20.000 s, 600 ms, 4.0 g", "false: 30.000 s, 300 ms, 1.0 g"]


def test_a_flight_into_which_the_drive_ends_is_not_asked_for():
    """A landing is reported 0.3 s after it, and the filters take 0.1 s: of a drive of 20 s, a
    flight that lands at 19.5 s is asked for, one at 19.7 s is neither asked for nor false.
    """
    true = [truth.Flight(19.0, 19.5, 2.0), truth.Flight(19.55, 19.7, 2.0)]
    found = [scores.Found(19.0, 19.5, 2.0, 90), scores.Found(19.65, 19.75, 2.0, 90)]
    score = scores.score_drive(true, found, 1.0, 20.0)
    assert (score.true, score.found) == ({"0.4-0.8 s": 1}, {"0.4-0.8 s": 1})
    assert score.n_false == 0


def test_a_false_flight_skims_if_the_tyres_carried_less_than_the_wheels_weigh():
    """10 % of the weight from 5 s to 6 s, all of it at other times: a report within is a skim, one
    that is half outside (mean 55 %) is not.
    """
    carried = np.full(2000, 100, np.uint8)
    carried[500:600] = 10
    inside, across = scores.Found(5.2, 5.6, 2.0, 90), scores.Found(5.8, 6.2, 2.0, 90)
    one = scores.score_drive([], [inside], 1.0, 20.0, carried=carried)
    two = scores.score_drive([], [across], 1.0, 20.0, carried=carried)
    assert (one.n_false, one.n_skims) == (1, 1)
    assert json.loads(json.dumps(scores.row(one)))["skims"] == 1
    assert (two.n_false, two.n_skims) == (1, 0)


def test_a_peak_that_is_not_known_is_no_ratio():
    """Without accelerations a landing has no peak: found, and no figure of its peak."""
    blind, late = scores.Found(10.0, 10.3, None, 35), scores.Found(20.0, 20.3, None, 35)
    score = scores.score_drive([truth.Flight(10.0, 10.3, 2.0)], [blind, late], 1.0, 60.0)
    assert score.found == {"0.2-0.4 s": 1}
    assert scores.row(score)["peak_p50"] is None
    assert score.notes == ["false: 20.000 s, 300 ms, ? g"]


def test_wilson_as_in_the_books():
    """8 of 10: 49.0 to 94.3 % (Brown, Cai, DasGupta 2001, by hand); 0 of 10: 0 to 27.8 %."""
    assert wilson(8, 10) == pytest.approx((49.0, 94.3), abs=0.1)
    assert wilson(0, 10) == pytest.approx((0.0, 27.8), abs=0.1)


def test_frames_carry_what_the_dbc_says():
    """AccZ 9.805 m/s^2 by 0.005 is raw 1961; a damper of 123.45 mm raw 12345; 200 IMU and 500
    damper frames in a second.
    """
    readings = {"AccX": 0.0, "AccY": 0.0, "AccZ": 9.805, "ImuStatus": 1, "DmpPosFL": 123.45}
    table = frames.frames_of(readings, 1000, seed=1)
    imu, dampers = table[table["can_id"] == 0x80], table[table["can_id"] == 0x90]
    assert (len(imu), len(dampers)) == (200, 500)
    assert imu["data"][0].view("<i2")[2] == 1961
    assert dampers["data"][0].view("<u2")[0] == 12345
    assert (np.diff(table["t_us"]) >= 0).all()


def test_faults_change_what_they_name_and_nothing_before():
    readings = {f"DmpPos{c}": 100.0 for c in ("FL", "FR", "RL", "RR")}
    table = frames.frames_of(readings | {"AccX": 0.0, "AccY": 0.0, "AccZ": 9.8}, 20000, seed=1)
    before = table["t_us"] < frames.START_us + faults.SINCE_s * 1e6
    for fault in faults.FAULTS:
        changed = faults.apply(fault, table, 1)
        early = changed[changed["t_us"] < frames.START_us + faults.SINCE_s * 1e6]
        assert (early == table[before]).all(), fault
    gone = faults.apply("damper_gone", table, 1)
    late = gone[(gone["can_id"] == 0x90) & (gone["t_us"] > frames.START_us + 16e6)]
    assert (late["data"].view("<u2")[:, 0] == 0xFFFF).all()
    assert not (faults.apply("wheels_gone", table, 1)["can_id"][-500:] == 0xA0).any()


def test_a_change_is_of_one_setting_and_of_its_own_drives_only():
    """Seeds 1 and 2 near, seed 2 again with rebound x 1.2: only that column differs, by 1.2."""
    three = changes.draw_cars([1, 2, 2], ["near", "near", "rebound x 1.2"])
    assert three.rebound[:, 2] == pytest.approx(1.2 * three.rebound[:, 1])
    assert three.spring[:, 2] == pytest.approx(three.spring[:, 1])
    plain = cars.draw_cars([1], ["near"])
    assert three.rebound[:, 0] == pytest.approx(plain.rebound[:, 0])


def test_a_score_sees_the_flights_that_a_report_shows(tmp_path):
    """One jump of 1.5 m up and nothing after it, as candump text through `stagelog report`."""
    name = drives.Name("kicker", "near", 0)
    car = cars.draw_cars([name.seed], ["near"])
    ground = flat()
    ground.speed_ms[:] = 15.0
    ground.left[2000:2300] = ground.right[2000:2300] = np.linspace(0, 1.5, 300)
    kept = drive(ground, car, 14.0, speed0=[15.0])
    rng = np.random.default_rng(0)
    acc, rates = sensors.imu(car, kept, sensors.specific_force(kept), rng)
    damper, wheel = sensors.dampers(car, kept, rng), sensors.wheels(car, kept, rng, 2.7)
    readings = frames.readings_of(car, 0, "d7xr", acc, rates, damper, wheel, kept)
    table = frames.frames_of(readings, len(kept["fx"]), name.seed)
    found, _ = scores.detect(table)
    assert found
    log = tmp_path / "drive.log"
    log.write_bytes(candump_text(table, names_of(["can0"])))
    run = [sys.executable, "-c", "from stagelog.cli import main; main()"]
    page = subprocess.run([*run, "report", str(log), "--json"], capture_output=True, check=True)
    rows = json.loads(page.stdout)["sections"]["jumps"]["tables"][0]["rows"]
    start_s = (frames.START_us - int(table["t_us"][0])) / 1e6
    shown = [(row["t_s"] - start_s, row["airtime_ms"], row["landing_peak_g"]) for row in rows]
    for (onset_s, airtime_ms, peak_g), one in zip(shown, found, strict=True):
        assert onset_s == pytest.approx(one.onset_s, abs=0.011)
        assert airtime_ms == round(1e3 * (one.landing_s - one.onset_s))
        assert peak_g == one.peak_g
