"""The report's columns: the values of one decoding of everything, to the bit, in less memory."""

import weakref

import numpy as np
import pytest

from stagelog.car import drive
from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode
from stagelog.profile import dbc_file, load_profile
from stagelog.report import stage as stage_of
from stagelog.report.axis import OnAxis
from stagelog.report.charts import stage_charts
from stagelog.report.columns import Columns, Steps
from stagelog.report.stage import Stage


@pytest.fixture(scope="module")
def plan():
    return compile_plan(load_database(dbc_file(load_profile())))


@pytest.fixture(scope="module")
def frames():
    """Return 20 s of the car with frames cut short, and with 9 s of nothing but damper frames."""
    frames = drive("stage", seed=4, duration_s=20).frames.copy()
    frames["n_bytes"][::97] = np.minimum(frames["n_bytes"][::97], 3)
    t_us = frames["t_us"]
    return frames[(t_us < 5_000_000) | (t_us > 14_000_000) | (frames["can_id"] == 0x90)]


def columns_of(frames, plan, cuts, shift_us=0):
    columns = Columns()
    for piece in np.split(frames, cuts):
        columns.add(decode(piece, plan, "raw"), OnAxis(shift_us).times)
    columns.finish()
    return columns


@pytest.mark.parametrize("n_cuts", [0, 1, 40])
def test_values_and_times_are_those_of_one_decoding(plan, frames, n_cuts):
    cuts = np.sort(np.random.default_rng(n_cuts).integers(0, len(frames), n_cuts))
    whole = decode(frames, plan)
    columns = columns_of(frames, plan, cuts)
    assert list(columns.messages) == sorted(whole.messages)
    n_signals = 0
    for name, table in whole.messages.items():
        assert np.array_equal(columns.messages[name].t_us, table.t_us)
        for signal in table.signals:
            t_us, values = table.series(signal)
            found_us, found = columns.series(f"{name}.{signal}")
            assert found.dtype == np.float64 and found_us.dtype == np.int64
            assert np.array_equal(found_us, t_us), signal
            assert np.array_equal(found, values, equal_nan=True), signal
            n_signals += len(values) > 0
    assert n_signals > 100
    assert any(len(table.rows) for table in whole.messages.values())  # multiplexed, short


def test_a_day_takes_a_quarter_of_the_decoded_memory(plan, frames):
    whole = decode(frames, plan)
    decoded = sum(
        table.t_us.nbytes + sum(values.nbytes for values in table.signals.values())
        for table in whole.messages.values()
    )
    kept = 0
    for column in columns_of(frames, plan, [len(frames) // 2]).messages.values():
        kept += sum(times.steps.nbytes for times in column.times)
        kept += sum(raw.nbytes for held in column.signals.values() for _, raw, _ in held)
    assert kept < decoded / 4


# By hand: first, then differences in the smallest type that holds the largest of them.
@pytest.mark.parametrize(
    ("t_us", "dtype"),
    [
        ([7], np.int64),
        ([5, 5, 260], np.uint8),
        ([5, 65_540, 65_541], np.uint16),
        ([1 << 41, (1 << 41) + 65_536], np.uint32),
        ([0, 1 << 33], np.uint64),
        ([10, 4, 6], np.int64),  # times that go back stay as they are
    ],
)
def test_steps_give_the_times_again(t_us, dtype):
    steps = Steps.of(np.array(t_us, np.int64))
    out = np.empty(len(t_us), np.int64)
    steps.put(out)
    assert out.tolist() == t_us and len(steps) == len(t_us)
    assert steps.steps.dtype == dtype


def test_series_that_were_let_go_are_the_same_again(plan, frames, monkeypatch):
    """10,000 positions take 16 bytes each: one such series may be kept."""
    monkeypatch.setattr(stage_of, "_KEPT_BYTES", 160_000)
    stage = Stage(columns_of(frames, plan, [1000]), load_profile())
    first = stage.find_valid("DmpPosFL")
    assert stage.find_valid("DmpPosFL") is first
    values, t_us = first.values.copy(), first.t_us.copy()
    stage.find_valid("EngSpd")
    again = stage.find_valid("DmpPosFL")
    assert again is not first
    assert np.array_equal(again.values, values) and np.array_equal(again.t_us, t_us)
    assert stage.find("NoSuchSignal") is None and stage.find_valid("NoSuchSignal") is None


def test_a_series_larger_than_all_that_is_kept_is_not_kept(plan, frames, monkeypatch):
    monkeypatch.setattr(stage_of, "_KEPT_BYTES", 159_999)
    stage = Stage(columns_of(frames, plan, [1000]), load_profile())
    speed = stage.find_valid("FuelLvlA")
    first = stage.find_valid("DmpPosFL")
    assert stage.find_valid("DmpPosFL") is not first
    assert stage.find_valid("FuelLvlA") is not speed  # it gave way to the large one


def test_whether_a_signal_is_there_is_known_without_making_it(plan, frames, monkeypatch):
    stage = Stage(columns_of(frames, plan, [1000]), load_profile())
    assert stage.decoded.count("DmpPosFL") == len(stage.find("DmpPosFL").t_us) == 10_000
    assert stage.decoded.count("DMP_Pos.DmpPosFL") == 10_000
    assert stage.decoded.count("NoSuchSignal") == stage.decoded.count("TPMS.DmpPosFL") == 0
    assert stage.find_valid("DmpPosFL") is not None
    monkeypatch.setattr(Stage, "_find", None)  # nothing is made from here on
    assert stage.has("EngSpd") and stage.has_valid("DmpPosFL")
    assert not stage.has("NoSuchSignal")


@pytest.mark.parametrize("n_cuts", [0, 7])
def test_rows_that_are_left_out_take_no_memory_and_change_no_other(plan, frames, n_cuts):
    cuts = np.linspace(0, len(frames), n_cuts + 2).astype(int)[1:-1].tolist()
    columns = columns_of(frames, plan, cuts)
    t_us, values = columns.series("DmpPosFL")
    for rows in ([0], [len(values) - 1], list(range(3, len(values), 5))):
        found_us, found = columns.series("DmpPosFL", np.array(rows))
        assert np.array_equal(found_us, np.delete(t_us, rows))
        assert np.array_equal(found, np.delete(values, rows))
        assert found.base is None and found_us.base is None


def test_charts_hold_one_signal_at_a_time(plan, frames, monkeypatch):
    """A day of one is 100 MB: when the next is made, nothing may hold the one before."""
    monkeypatch.setattr(stage_of, "_KEPT_BYTES", 0)
    stage = Stage(columns_of(frames, plan, [1000]), load_profile())
    made, alive = [], []
    find = stage._find

    def watched(name, without=None):
        alive.append(sum(one() is not None for one in made))
        series = find(name, without)
        if series is not None:
            made.append(weakref.ref(series.values))
        return series

    monkeypatch.setattr(stage, "_find", watched)
    stage_charts(stage)
    assert len(made) > 20 and max(alive) == 0
