"""Refuels whose volumes were entered: `stagelog report --refuel`.

The car stands, drives 1.5 km, takes 100 l and stands on. The senders are wrong by a few litres.
"""

import json

import numpy as np
import pytest

from slog import events as ev
from stagelog.blocks import Identity, pack_session
from stagelog.car import drive
from stagelog.car.story import Leg, Scenario
from stagelog.cli import main
from stagelog.events import compile_table, parallel, recompute
from stagelog.profile import dbc_file, load_profile

WATCHED = (0x80, 0xA0, 0x100, 0x103, 0x140)  # forces, wheels, engine, injectors' sum, senders
STAGE = Scenario(
    name="tanking",
    number=0,
    summary="100 l after 1.5 km",
    legs=(
        Leg("stop", duration_s=40.0),
        Leg("drive", "mixed", 1500.0, natural=False),
        Leg("stop", duration_s=150.0, engine=False, refuel_l=100.0),
    ),
    fuel_l=220.0,
)


@pytest.fixture(scope="module")
def frames():
    made = drive(STAGE, seed=4).frames
    return made[np.isin(made["can_id"], WATCHED)]


@pytest.fixture(scope="module")
def table():
    profile = load_profile()
    return compile_table(profile, dbc_file(profile)).data


@pytest.fixture(scope="module")
def log(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("refuels") / "tanking.slog"
    path.write_bytes(pack_session(frames, Identity("0a" * 8, 1, 7)).tobytes())
    return str(path)


def fuel_of(capsys, *args):
    """Return the lines of the fuel section."""
    with pytest.raises(SystemExit) as ended:
        main(["report", *args, "--json"])
    assert not ended.value.code
    return json.loads(capsys.readouterr().out)["sections"]["fuel"]["lines"]


def added_of(events):
    return [event.value for event in events if event.code == ev.REFUEL]


def test_both_forms_of_the_detectors_take_what_was_entered(frames, table):
    (by_senders,) = added_of(recompute(frames, table))
    assert by_senders == pytest.approx(10_000, abs=1000) and by_senders != 10_000
    pure = recompute(frames, table, wants_compiled=False, refuels=(10_000,))
    assert added_of(pure) == [10_000]
    assert recompute(frames, table, refuels=(10_000,)) == pure


def test_volumes_are_those_of_the_key_cycles_in_order_and_the_car_knew_none(frames, table):
    """Two key cycles with a refuel each; the second volume is that of the second."""

    class Whole:
        def iter_frames(self, _):
            yield frames

    jobs, entered = [[Whole()], [Whole()]], (10_000, 10_100)
    n = 2 * len(frames)
    choose, progress = (lambda f: f), (lambda share: None)
    with parallel.ParallelDetectors(jobs, table, choose, n, progress, entered) as detectors:
        found = [detectors.result(k) for k in (0, 1)]
    assert [added_of(each.whole) for each in found] == [[10_000], [10_100]]
    plain = recompute(frames, table)
    assert [each.alone for each in found] == [[plain], [plain]]


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        ([], []),
        (["0"], []),
        (["100"], ["refuel 1: 100 l entered, used for the estimate"]),
        (
            ["100", "60"],
            [
                "refuel 1: 100 l entered, used for the estimate",
                "refuel 2: 60 l entered, NOT used: seen in this log: 1",
            ],
        ),
    ],
)
def test_the_report_says_which_volume_it_used(log, capsys, entered, said):
    lines = fuel_of(capsys, log, *(word for litres in entered for word in ("--refuel", litres)))
    assert [line for line in lines if line.startswith("refuel ")] == said
    assert any(line.endswith(", 100 l refuelled") for line in lines) == bool(said)


def test_a_volume_that_the_senders_contradict_is_not_used(log, capsys):
    lines = fuel_of(capsys, log, "--refuel", "300")
    (said,) = [line for line in lines if line.startswith("refuel ")]
    assert said.startswith("refuel 1: 300 l entered, NOT used: the senders show ")


def test_volumes_need_one_log_of_a_car_with_a_profile(log, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", log, log, "--refuel", "100", "--json"])
    assert ended.value.code == 2 and "one log" in capsys.readouterr().err
    dbc = tmp_path / "other.dbc"
    dbc.write_text('VERSION ""\n\nBU_: A\n\nBO_ 291 X: 8 A\n SG_ S : 0|8@1+ (1,0) [0|0] "" A\n')
    with pytest.raises(SystemExit) as ended:
        main(["report", log, "--dbc", str(dbc), "--refuel", "100", "--json"])
    assert ended.value.code == 2 and "whole profile" in capsys.readouterr().err
