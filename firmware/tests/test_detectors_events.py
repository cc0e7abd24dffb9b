"""What is said first, the running summary, and that every detector has its turn and its pause."""

import ast

import pytest
from hand_table import Car

from slog import events as ev
from slog import signal_table as st
from slog.event_names import SUMMARY_ITEMS
from stagelog.resources import firmware_path

DETECTORS = firmware_path() / "detectors"


def test_the_first_event_counts_signals_and_alarms():
    car = Car(3, alarms=[{"signal": 0}, {"signal": 1, "number": 2}])
    first = car.said[0]
    assert (first.code, first.state, first.value, first.extra) == (ev.TABLE, ev.ON, 3, 2)
    assert car.events.n_events == 1


def test_a_pause_is_reported_in_whole_seconds():
    car = Car(1)
    car.drive(1)
    car.pause(7.5)
    car.drive(1)
    assert [(e.state, e.value, e.extra) for e in car.said if e.code == ev.RESUMED] == [
        (ev.ON, 7, 0)
    ]


def test_the_summary_comes_every_period():
    """Steps are at ticks 7, 17..: the tenth of a second; 10 s are 100 of them, tick 997."""
    car = Car(1, watch={"summary_s": 10})
    car.drive(25)
    n = len(SUMMARY_ITEMS)
    said = [e for e in car.said if ev.SUMMARY <= e.code < ev.SUMMARY + n]
    assert [e.tick for e in said] == [997] * n + [1997] * n
    assert [e.code - ev.SUMMARY for e in said] == [*range(n), *range(n)]
    assert {e.state for e in said} == {ev.ON}


def test_each_row_of_the_summary_is_the_counter_of_its_name():
    car = Car(1, watch={"summary_s": 1})
    car.drive(0.5)
    events = car.events
    events.motion.engine_ds, events.motion.power_ds = 1239, 4560
    events.motion.distance_m, events.motion.top_speed = 7001, 18000
    events.motion.n_shifts, events.incidents.n_abuses = 31, 2
    flight = events.flight
    flight.n_flights, flight.longest_ms = 12, 1310
    flight.by_severity[:] = [5, 4, 2, 1]
    flight.peak_cg, flight.air_ms, flight.n_missed = 811, 7770, 3
    events.fuel.used_cl, events.fuel.added_cl = 2222, 1500
    events.alarms.warning_ds, events.alarms.critical_ds, events.alarms.n_came = 99, 45, 6
    events.sensors.n_faults = 8
    events.diffs.max[:] = [10100, 11100]
    events.diffs.over_s[:] = [17, 18]
    found = {SUMMARY_ITEMS[i][0]: pair for i, pair in enumerate(events.summary.values())}
    assert found == {
        "engine_s": (123, 456),
        "distance_m": (7001, 18000),
        "flights": (12, 1310),
        "landings_light": (5, 811),
        "landings_medium": (4, 0),
        "landings_hard": (2, 0),
        "landings_severe": (1, 0),
        "air_ms": (7770, 3),
        "fuel_used_cl": (2222, 54000),
        "fuel_added_cl": (1500, 0),
        "alarm_warning_s": (9, 6),
        "alarm_critical_s": (4, 8),
        "diff_front_max": (10100, 17),
        "diff_rear_max": (11100, 18),
        "shifts": (31, 2),
    }
    events.fuel._volume = -50
    assert events.summary.values()[8] == (2222, 0)


def test_codes_of_kinds_do_not_meet():
    """Alarm 3, signal 2 and slot 2 have codes of their own: see the table of slog.events."""
    car = Car(
        3,
        alarms=[{"signal": 0, "number": 3, "warning": 5}],
        signals={2: {"high": 5}},
        watch={"grace_s": 1},
    )
    car.drive(2, s0=6, s1=None, s2=9)
    assert {e.code for e in car.said} == {ev.TABLE, 0x103, 0x803, 0x202, 0x401}


def test_detectors_are_stepped_at_their_tenth():
    """Motion, incidents, fuel at 10, 20.., the differentials at 5, 15.., the summary at 7, 17.."""
    car = Car(1)
    steps = []
    for name in ("motion", "incidents", "fuel", "diffs", "summary", "flight"):
        detector = getattr(car.events, name)

        def step(*given, name=name, inner=detector.step):
            steps.append((car.events.watch.tick, name))
            inner(*given)

        detector.step = step
    car.drive(0.3)
    car.drive(0.1)
    assert [at for at, name in steps if name == "flight"] == list(range(1, 31))
    rest = [(at, name) for at, name in steps if name != "flight"]
    assert rest == [
        row
        for n in (0, 10, 20)
        for row in (
            (n + 5, "diffs"),
            (n + 7, "summary"),
            (n + 10, "motion"),
            (n + 10, "incidents"),
            (n + 10, "fuel"),
        )
    ]


def test_a_pause_reaches_every_detector():
    car = Car(1)
    car.drive(1)
    told = []
    names = ["alarms", "body", "diffs", "flight", "fuel", "incidents", "motion", "sensors"]
    for name in names:
        setattr(getattr(car.events, name), "resume", lambda *seconds, name=name: told.append(name))
    car.pause(5)
    car.drive(0.2)
    assert sorted(told) == names


def test_speed_of_the_wheels_reaches_the_sensors_check():
    """A signal that stands still is stuck at 20 km/h: the speed is that of the wheels."""
    car = Car(
        2,
        signals={0: {"stuck": 10}},
        roles=dict.fromkeys(range(st.WHEEL, st.WHEEL + 4), 1),
    )
    car.drive(10, s0=5, s1=2000)
    assert car.states(ev.SENSOR) == [ev.STUCK_VALUE]


@pytest.mark.parametrize("path", sorted(DETECTORS.glob("*.py")), ids=lambda path: path.stem)
def test_no_detector_reaches_into_another(path):
    """A field is written by its own class alone, and a private one is read by it alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Attribute):
                assert ast.unparse(target.value) == "self", ast.unparse(target)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            assert ast.unparse(node.value) == "self", ast.unparse(node)
