"""The catalogue: 28 numbers, verdicts on both sides, and each scenario has what it promises."""

import json

import numpy as np
import pytest

from stagelog import car
from stagelog.car.scenarios import find_scenario
from stagelog.car.story import Leg, Scenario, find_windows
from stagelog.car.truth import Event
from stagelog.errors import UsageError

ALL = car.list_scenarios()
# Each is tried for a while only, long days at a fraction of their length: (scale, seconds).
TRIED = {
    "clean_stage": (0.01, 60.0),
    "loop_483": (0.006, 60.0),
    "long_day": (0.003, 300.0),
    "marathon_48h": (0.002, 400.0),
    "all_sand": (0.008, 60.0),
    "stuck_in_dune": (1.0, 260.0),
    "roll_over": (1.0, 120.0),
    "rock_strike": (0.01, 200.0),
    "puncture": (0.2, 100.0),
    "diff_oil_loss": (1.0, 320.0),
    "fan_and_radiator": (1.0, 230.0),
    "wading": (1.0, 270.0),
    "refuel": (0.02, 120.0),
    "fuel_leak": (0.05, 60.0),
    "bus_trouble": (1.0, 100.0),
    "oil_pressure_dip": (1.0, 180.0),
}
# What must be in the truth of each by then.
EVENTS = {
    "stage": ("jump", "fan_dead", "overheat", "exceedance"),
    "long_day": ("refuel",),
    "marathon_48h": ("refuel",),
    "stuck_in_dune": ("stuck_in_sand",),
    "big_jump": ("jump",),
    "small_hops": ("jump",),
    "on_jacks": ("on_jacks",),
    "roll_over": ("roll_over",),
    "rock_strike": ("signal",),
    "puncture": ("puncture",),
    "diff_oil_loss": ("diff_oil_loss",),
    "fan_and_radiator": ("fan_dead", "radiator_blocked"),
    "wading": ("wading",),
    "handbrake": ("handbrake",),
    "refuel": ("refuel",),
    "fuel_leak": ("fuel_leak",),
    "sensor_faults": ("signal",),
    "bus_trouble": ("bus_errors", "node_silent", "burst"),
    "logger_trouble": ("logger",),
    "logger_never_started": ("logger",),
    "alarm_chatter": ("signal",),
    "oil_pressure_dip": ("oil_dip", "jump"),
}


def arrays_of(name, *columns, seed=2, **how):
    drive = car.drive(name, seed=seed, **how)
    return drive, *(drive.truth.arrays[c] for c in columns)


def test_the_catalogue_is_complete():
    assert {s.number for s in ALL} == set(range(29))
    assert len({s.name for s in ALL}) == len(ALL)
    for scenario in ALL:
        assert scenario.summary
        assert scenario.must or scenario.must_not, scenario.name
        assert all(e.at_most is not None for e in scenario.must_not), scenario.name


def test_every_incident_that_a_verdict_speaks_of_is_in_the_story():
    for scenario in ALL:
        told = [Event(i.kind, 0, None, 0.0, i.extra) for i in scenario.incidents]
        kinds = {e.kind for e in told}
        for expect in scenario.must:
            assert expect.at_most is None
            if expect.on in kinds:
                assert find_windows(expect, told), (scenario.name, expect)


def test_an_unknown_name_is_refused_with_the_list():
    with pytest.raises(UsageError, match="washboard_10Hz"):
        find_scenario("moon")


@pytest.mark.parametrize("name", [s.name for s in ALL if 0 < s.number])
def test_scenario_has_its_truth_events(name):
    kinds, speeds = set(), []
    scale, seconds = TRIED.get(name, (1.0, 90.0))
    for part in car.iter_drive(name, seed=2, duration_s=seconds, scale=scale):
        kinds |= {e.kind for e in part.truth.events}
        json.dumps(part.truth.events and part.truth.to_json()["events"])
        speeds.append(part.truth.arrays["speed_kmh"].max(initial=0.0))
        t_us = part.frames["t_us"]
        assert np.all(np.diff(t_us) >= 0)
    assert {"leg", *EVENTS.get(name, ())} <= kinds
    assert 10.0 < max(speeds) < 175.0
    expected_on = {e.on for e in find_scenario(name).must if e.on} - {"jump", "roll_over"}
    assert expected_on <= kinds, "the verdict speaks of an event that does not happen"


@pytest.mark.parametrize(
    "name", ["light_crest", "washboard_10Hz", "dune_descent", "on_jacks", "roll_over", "handbrake"]
)
def test_traps_have_no_flight(name):
    jumps = car.drive(name, seed=5).truth.of("jump")
    assert max((j.airtime_s for j in jumps), default=0.0) < 0.15


def test_light_crest_leaves_a_quarter_of_the_weight():
    drive, force = arrays_of("light_crest", "force_z_ms2")
    light = np.sort(force)[: len(force) // 100]
    assert 0.05 < np.median(light) / 9.81 < 0.35


def test_washboard_shakes_at_ten_hertz():
    drive = car.drive("washboard_10Hz", seed=2, duration_s=120.0)
    rows = drive.frames[drive.frames["can_id"] == 0x90]
    travel = rows["data"][:, 0].astype(float) + 256.0 * rows["data"][:, 1]
    late = travel[-20_000:] - travel[-20_000:].mean()
    power = np.abs(np.fft.rfft(late)) ** 2
    assert 9.0 < np.fft.rfftfreq(len(late), 0.002)[power.argmax()] < 11.0


def test_small_hops_are_short():
    times = [j.airtime_s for j in car.drive("small_hops", seed=2).truth.of("jump")]
    assert sum(0.15 <= t <= 0.4 for t in times) >= 18


def test_stuck_car_digs_without_moving():
    drive, kmh, metres = arrays_of("stuck_in_dune", "speed_kmh", "distance_m")
    event = drive.truth.of("stuck_in_sand")[0]
    inside = (drive.truth.t_us > event.t_us) & (drive.truth.t_us < event.end_us)
    assert np.ptp(metres[inside]) == 0.0
    rows = drive.frames[drive.frames["can_id"] == 0xA0]
    wheel = (rows["data"][:, 4] + 256.0 * rows["data"][:, 5]) * 0.01
    wheel = wheel[(rows["t_us"] > event.t_us) & (rows["t_us"] < event.end_us)]
    assert np.percentile(wheel, 60) > 15.0
    rise = drive.truth.arrays["gearbox_degC"][inside]
    assert rise[-1] - rise[0] > 15.0


def test_differential_without_oil_rises_before_it_is_hot():
    drive, rear = arrays_of("diff_oil_loss", "diff_rear_degC")
    per_min = (rear[120 * 20 :] - rear[: -120 * 20]) / 2.0
    when_rate = np.flatnonzero((per_min > 8.0) & (rear[120 * 20 :] > 90.0))[0] + 120 * 20
    assert when_rate < np.flatnonzero(rear > 120.0)[0]


def test_refuel_adds_what_it_says():
    drive, fuel = arrays_of("refuel", "fuel_l", scale=0.02)
    assert np.diff(fuel).clip(0.0).sum() == pytest.approx(180.0, abs=2.0)


def test_sensor_faults_read_as_the_readme_says():
    drive = car.drive("sensor_faults", seed=2, duration_s=200.0)
    rows = drive.frames[drive.frames["can_id"] == 0x120]
    during = (rows["t_us"] > 61e6) & (rows["t_us"] < 149e6)
    rear = (rows["data"][:, 2] + 256.0 * rows["data"][:, 3]) * 0.1 - 60.0
    status = rows["data"][:, 6] >> 2 & 3
    assert np.allclose(rear[during], -51.9)
    assert set(status[during].tolist()) == {1}
    assert set(status[~during].tolist()) >= {0}
    assert rear[rows["t_us"] < 59e6].min() > 30.0
    rows = drive.frames[drive.frames["can_id"] == 0x90]
    stuck = (rows["t_us"] > 121e6) & (rows["t_us"] < 199e6)
    assert len(np.unique(rows["data"][stuck, 4:6], axis=0)) == 1
    rows = drive.frames[drive.frames["can_id"] == 0x130]
    lost = (rows["t_us"] > 181e6) & (rows["t_us"] < 199e6)
    assert set(rows["data"][lost, 0].tolist()) == {0xFF}


def test_silent_node_and_burst_show_in_the_frames():
    drive = car.drive("bus_trouble", seed=2)
    ids, t_us = drive.frames["can_id"], drive.frames["t_us"]
    assert not np.any((ids == 0x90) & (t_us >= 40_000_000) & (t_us < 43_000_000))
    assert np.any((ids == 0xA0) & (t_us >= 40_000_000) & (t_us < 43_000_000))
    in_burst = (t_us >= 60_000_000) & (t_us < 70_000_000)
    assert 44_500 < in_burst.sum() < 45_500
    assert np.any(ids[in_burst] >= 0x600)


def test_no_frames_come_without_power():
    legs = (
        Leg("stop", duration_s=30.0),
        Leg("stop", duration_s=100.0, engine=False, power=False),
        Leg("stop", duration_s=30.0, engine=False),
    )
    drive = car.drive(Scenario("key", 0, "key cycle", legs), seed=1)
    t_s = drive.frames["t_us"] * 1e-6
    assert not np.any((t_s > 30.1) & (t_s < 129.9))
    assert np.any(t_s < 30.0)
    assert t_s.max() == pytest.approx(160.0, abs=0.2)


def test_fleet_speaks_three_dialects():
    drives = [car.drive(f"fleet_{n}", seed=2, duration_s=20.0) for n in (1, 2, 3)]
    kinds = [set(d.frames["can_id"].tolist()) for d in drives]
    assert 0x1E0 in kinds[0] and 0x1E0 not in kinds[1]
    assert 0x120 in kinds[0] and 0x120 not in kinds[2] and 0x122 in kinds[2]
    assert drives[2].dbc.endswith("d7xr_mule.dbc")


def test_corpus_drives_differ_from_seed_to_seed():
    names = [s.name for s in ALL if s.name.startswith("corpus_")]
    assert len(names) == 12
    heights = {find_scenario("corpus_hops", seed=n).legs[1].features[0].height_m for n in range(3)}
    assert len(heights) == 3
