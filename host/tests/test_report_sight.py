"""What a report says of flights that could not be seen, against sensors that fail at known times.

Expected from the rules of the detector: without forces and with less than three dampers nothing
is found; without forces or rates, or with less than three dampers, what lasts under 180 ms
(acc_only_confirm_ms of the profile) is not.
"""

import pytest

from slog import events as ev
from stagelog.dbc import load_database
from stagelog.events import compile_table
from stagelog.events.recompute import Detected
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import plain_facts, stage_facts
from stagelog.report.source import Health, Source
from stagelog.verdict import COMPLETE, Verdict


@pytest.fixture(scope="module")
def table():
    profile = load_profile("d7xr")
    return compile_table(profile, load_database(dbc_file(profile)))


@pytest.fixture
def jumps_of(make_stage, table):
    """Return a function of (seconds, signal or message, state).. that gives the lines of the
    section, what stands in place of flights, and the reasons of the verdict.
    """

    def facts_of(*said):
        found = []
        for seconds, name, state in said:
            is_message = name in table.slots
            at = table.slots.index(name) if is_message else table.signals.index(name)
            code = (ev.MESSAGE if is_message else ev.SENSOR) + at
            found.append(Detected(round(seconds * 1e6), code, state, 0, 0))
        stage, whole = make_stage(), Verdict(COMPLETE, "COMPLETE")
        facts = stage_facts(Source(stage, Health([whole]), found, table, None))
        section = next(x for x in facts["sections"] if x["id"] == "jumps")
        reasons = plain_facts(facts)["verdict"]["reasons"]
        empty = section["tables"][0]["empty"]
        return section["lines"], empty, {row["why"]: row["level"] for row in reasons}

    return facts_of


IMU = [(63, f"Acc{axis}", ev.STUCK_VALUE) for axis in "XYZ"]
STUCK = "AccX, AccY, AccZ stuck"
NO_PEAK = "flights under 180 ms cannot be found, others less surely, landings have no peak"


def test_without_faults_a_car_without_flights_did_not_leave_the_ground(jumps_of):
    lines, empty, reasons = jumps_of()
    assert lines == [] and reasons == {}
    assert empty == "The car did not leave the ground."


def test_a_stuck_imu_is_named_with_its_time(jumps_of):
    """63 s are 1:03."""
    lines, empty, reasons = jumps_of(*IMU)
    assert lines == [f"{NO_PEAK} from 1:03 on: {STUCK}"]
    assert empty.startswith("None was found, but for some time not all")
    assert reasons[f"F{NO_PEAK[1:]} from 1:03 on: {STUCK}"] == "info"


def test_without_forces_and_dampers_flights_cannot_be_found(jumps_of):
    """From 70 s to 80 s the message of the dampers is silent, too."""
    lines, empty, reasons = jumps_of(*IMU, (70, "DMP_Pos", ev.STALE), (80, "DMP_Pos", ev.GOOD))
    both = f"flights cannot be found from 1:10 to 1:20: {STUCK}; DMP_Pos silent"
    assert lines == [
        f"{NO_PEAK} from 1:03 to 1:10: {STUCK}",
        both,
        f"{NO_PEAK} from 1:20 on: {STUCK}",
    ]
    assert empty.startswith("None was found, but for some time none")
    assert reasons[f"F{both[1:]}"] == "warn"


def test_what_hides_the_same_without_a_break_is_one_reason(jumps_of):
    """Three accelerations fail one after the other and one is back: four spots, one reason."""
    lines, _, reasons = jumps_of(
        (30, "AccY", ev.IMPLAUSIBLE),
        (31, "AccZ", ev.IMPLAUSIBLE),
        (32, "AccX", ev.STUCK_VALUE),
        (40, "AccZ", ev.GOOD),
        (62, "AccX", ev.GOOD),
        (65, "AccY", ev.GOOD),
        (80, "AccY", ev.IMPLAUSIBLE),
    )
    assert len(lines) == 6
    hidden = f"F{NO_PEAK[1:]}"
    assert [why for why in reasons if why.startswith(hidden)] == [
        f"{hidden} from 0:30 to 1:05: AccY, AccZ implausible; AccX stuck",
        f"{hidden} from 1:20 on: AccY implausible",
    ]


@pytest.mark.parametrize(
    ("n", "line"),
    [
        (1, []),
        (2, ["flights under 180 ms cannot be found, and a light crest may be taken for one"]),
    ],
)
def test_one_damper_may_fail(jumps_of, n, line):
    names = ("DmpPosFL", "DmpPosRR")[:n]
    lines, *_ = jumps_of(*((10, name, ev.IMPLAUSIBLE) for name in names))
    assert lines == [f"{words} from 0:10 on: DmpPosFL, DmpPosRR implausible" for words in line]


def test_rates_that_are_silent(jumps_of):
    lines, *_ = jumps_of((5, "IMU_Gyro", ev.STALE), (50, "IMU_Gyro", ev.GOOD))
    assert lines == [f"{NO_PEAK} from 0:05 to 0:50: IMU_Gyro silent"]


@pytest.mark.parametrize(("n", "known"), [(3, True), (4, False)])
def test_the_speed_is_known_while_one_wheel_tells_it(jumps_of, n, known):
    names = ("WhlSpdFL", "WhlSpdFR", "WhlSpdRL", "WhlSpdRR")[:n]
    lines, *_ = jumps_of(*((10, name, ev.IMPLAUSIBLE) for name in names))
    told = "the speed of take-offs is not known from 0:10 on: " + ", ".join(names)
    assert lines == ([] if known else [f"{told} implausible"])


def test_another_sensor_hides_no_flight(jumps_of):
    lines, *_ = jumps_of((5, "FuelLvlA", ev.STUCK_VALUE))
    assert lines == []


def test_a_landing_that_nothing_measured_is_unknown(make_stage, facts_of_stage):
    onset_us = 50_000_000
    packed = 40 << ev.CONFIDENCE_SHIFT | ev.NO_SEVERITY << ev.SEVERITY_SHIFT
    found = [
        Detected(50_100_000, ev.FLIGHT, ev.TAKEN_OFF, ev.NO_SPEED << 16 | 100, onset_us),
        Detected(51_000_000, ev.FLIGHT, ev.LANDED, 600, packed),
    ]
    facts = facts_of_stage(make_stage(), found)
    (row,) = facts["sections"]["jumps"]["tables"][0]["rows"]
    assert row["severity"] == "unknown" and row["level"] == "warn"
    assert "landing_peak_g" not in row or row["landing_peak_g"] is None
    assert "take_off_kmh" not in row or row["take_off_kmh"] is None
    assert facts["sections"]["jumps"]["lines"][0] == "1 unknown landings"
