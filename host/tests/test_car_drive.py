"""The virtual car as a whole: determinism, cycle times, every frame decodes in range."""

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
