"""The virtual car as a whole: determinism, cycle times, every frame decodes in range."""

import json

import cantools
import numpy as np
import pytest

from stagelog import car
from stagelog.resources import dbc_path


@pytest.fixture(scope="module")
def database():
    return cantools.database.load_file(dbc_path() / "d7xr.dbc", strict=True)


@pytest.fixture(scope="module")
def stage():
    return car.drive("stage", seed=1, duration_s=60)


def test_drive_is_same_when_seed_is_same(stage):
    again = car.drive("stage", seed=1, duration_s=60)
    assert again.frames.tobytes() == stage.frames.tobytes()
    assert again.truth.to_json() == stage.truth.to_json()


def test_drive_differs_when_seed_differs(stage):
    other = car.drive("stage", seed=2, duration_s=60)
    assert other.frames.tobytes() != stage.frames.tobytes()


def test_drive_is_the_beginning_of_a_longer_one(stage):
    longer = next(iter(car.iter_drive("stage", seed=1, duration_s=90)))
    assert longer.frames.tobytes() == stage.frames.tobytes()


def test_frames_come_at_cycle_times(stage, database):
    assert np.all(np.diff(stage.frames["t_us"]) >= 0)
    assert stage.frames["t_us"][-1] < 60_000_000
    known = set()
    for message in database.messages:
        t_us = stage.frames["t_us"][stage.frames["can_id"] == message.frame_id]
        if "LOGGER" in message.senders:
            assert len(t_us) == 0, message.name
            continue
        known.add(message.frame_id)
        assert len(t_us) == 60_000 // message.cycle_time, message.name
        assert set(np.diff(t_us)) == {message.cycle_time * 1000}, message.name
    assert set(stage.frames["can_id"].tolist()) == known
    assert len(stage.frames) == 60 * 1867


def test_frames_decode_in_range(stage, database):
    for message in database.messages:
        rows = stage.frames[stage.frames["can_id"] == message.frame_id][:: max(1, 8)]
        for row in rows[:400]:
            assert row["n_bytes"] == message.length
            values = message.decode(row["data"].tobytes()[: message.length], decode_choices=False)
            for name, value in values.items():
                signal = message.get_signal_by_name(name)
                assert signal.minimum <= value <= signal.maximum, (message.name, name, value)


def test_counters_go_on_from_minute_to_minute():
    drive = car.drive("stage", seed=1, duration_s=70)
    rows = drive.frames[drive.frames["can_id"] == 0x80]
    assert set(np.diff(rows["data"][:, 6]).tolist()) == {1}
    rows = drive.frames[drive.frames["can_id"] == 0x180]
    assert rows["data"][:, 0].tolist() == [n % 6 for n in range(140)]


def test_nothing_jumps_at_the_turn_of_a_minute():
    """Signals pass from one minute to the next as smoothly as within one."""
    drive = car.drive("stage", seed=3, duration_s=130)
    places = ((0x90, 0, 0.01, 8.0), (0xA0, 0, 0.01, 2.0), (0x100, 0, 0.25, 100.0))
    for can_id, byte, scale, most in places:
        rows = drive.frames[drive.frames["can_id"] == can_id]
        value = (rows["data"][:, byte] + 256.0 * rows["data"][:, byte + 1]) * scale
        for turn_us in (60_000_000, 120_000_000):
            at = np.searchsorted(rows["t_us"], turn_us)
            assert abs(value[at] - value[at - 1]) < most, (hex(can_id), turn_us)


def test_truth_is_json():
    truth = car.drive("stage", seed=1, duration_s=45).truth
    told = json.loads(json.dumps(truth.to_json()))
    assert told["schema"] == "stagelog.truth.v1"
    assert len(told["arrays"]["speed_kmh"]) == len(told["t_us"]) == 900
    assert {e["kind"] for e in told["events"]} >= {"leg", "jump", "overheat"}
    assert [e["t_us"] for e in told["events"]] == sorted(e["t_us"] for e in told["events"])


def test_a_fraction_of_a_second_is_cut_to_the_microsecond():
    drive = car.drive("stage", seed=1, duration_s=0.0507)
    assert drive.frames["t_us"].max() < 50_700
    assert len(drive.frames[drive.frames["can_id"] == 0x90]) == 25
    assert len(drive.truth.t_us) == 2


def test_the_dbc_may_be_another_one():
    drive = car.drive("stage", seed=1, duration_s=2, dbc=dbc_path() / "d7xr_mule.dbc")
    assert 0x122 in drive.frames["can_id"]
    assert drive.dbc.endswith("d7xr_mule.dbc")


def test_a_drive_of_no_time_names_its_dbc():
    """It has no minute that could: the DBC is the one that the scenario's profile names."""
    empty = car.drive("stage", seed=1, duration_s=0)
    assert len(empty.frames) == 0 and empty.dbc == car.drive("stage", seed=1, duration_s=1).dbc
