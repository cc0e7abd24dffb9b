"""From an event to the word of the verdict: one row for each kind of event.

The stage is a car at 72 km/h for 100 s (conftest.CALM): 0.02 km a second, so what happens at 30 s
is at km 0.6. Values of events are in the units of slog.events: mg, 0.01 km/h, cl, 0.01 degC.
"""

import pytest

from slog import events as ev
from stagelog.dbc import load_database
from stagelog.ending import End
from stagelog.events import Detected, compile_table
from stagelog.ledger import BusLedger, Ledger
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import plain_facts, stage_facts
from stagelog.report.health import lost_text
from stagelog.report.source import Health, Source
from stagelog.verdict import COMPLETE, Verdict

WHOLE = Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")
NOT_YET = "Not before the work below is done."
AFTER_CHECKS = "Yes, after the checks below."
NOTHING = "Yes: nothing in this log speaks against it."


@pytest.fixture(scope="module")
def profile():
    return load_profile("d7xr")


@pytest.fixture(scope="module")
def table(profile):
    return compile_table(profile, load_database(dbc_file(profile)))


def at(seconds, code, state, value=0, extra=0):
    return Detected(round(seconds * 1e6), code, state, value, extra)


def facts_of(stage, found, table):
    return plain_facts(stage_facts(Source(stage, Health([WHOLE]), found, table, None)))


def judged(facts):
    """Return (level, answer, [(level, why, inspect)])."""
    verdict = facts["verdict"]
    rows = [(row["level"], row["why"], row["inspect"]) for row in verdict["reasons"]]
    return verdict["level"], verdict["answer"], rows


def landed(centi_g, severity, airtime_ms=900, car=ev.CAR_AGREES, confidence=95):
    """Return the value and the extra of a landing: see slog.events."""
    packed = centi_g | confidence << ev.CONFIDENCE_SHIFT
    return airtime_ms, packed | car << ev.CAR_SHIFT | severity << ev.SEVERITY_SHIFT


def flight(seconds, centi_g, severity, **more):
    """Return a take-off at 80 km/h with its onset `seconds` in, confirmed 0.1 s later, and its
    landing.
    """
    onset_us = round(seconds * 1e6)
    taken_off = at(seconds + 0.1, ev.FLIGHT, ev.TAKEN_OFF, 80 << 16 | 100, onset_us)
    return [taken_off, at(seconds + 1.0, ev.FLIGHT, ev.LANDED, *landed(centi_g, severity, **more))]


def test_a_calm_stage_may_start(make_stage, table):
    assert judged(facts_of(make_stage(), [], table)) == ("good", NOTHING, [])


ROLLED = (
    "cage, shell, glass, harnesses, all fluids; engine only after oil has drained from the "
    "cylinders"
)
LANDING = (
    "dampers and mounts, suspension arms and ball joints, wheel bearings, shafts and joints, "
    "bash plate, geometry"
)
SENSOR = "the sensor, its connector and wiring"
# name: (events, level, answer, [(level, why, inspect)])
ROWS = {
    "roll-over": (
        [at(30, ev.ROLL_OVER, ev.ON, -450), at(40, ev.ROLL_OVER, ev.OFF)],
        "bad",
        NOT_YET,
        [
            ("bad", "Roll-over, km 0.6", ROLLED),
        ],
    ),
    "fuel leak": (
        [at(45, ev.LEAK, ev.ON, 1300, 20_000)],
        "bad",
        NOT_YET,
        [
            (
                "bad",
                "Fuel leak: 13 l beside the flow, km 0.9",
                "tank, lines, couplings, pump; no start before it is found",
            )
        ],
    ),
    "stuck twice": (
        [
            at(20, ev.STUCK, ev.ON, 1500),
            at(25, ev.STUCK, ev.OFF),
            at(60, ev.STUCK, ev.ON, 900),
            at(65, ev.STUCK, ev.OFF),
        ],
        "warn",
        AFTER_CHECKS,
        [
            (
                "warn",
                "Stuck with wheels turning, km 0.4, 2 times",
                "gearbox and diff oil, radiators and grilles for sand, shafts",
            )
        ],
    ),
    "handbrake": (
        [at(50, ev.HANDBRAKE, ev.ON, 7300, 5000)],
        "warn",
        AFTER_CHECKS,
        [("warn", "Handbrake at 73 km/h, km 1.0", "rear brakes, shafts and joints, gearbox oil")],
    ),
    "front diff hot": (
        [at(50, ev.DIFF_MODEL, ev.ON, 1400, 0)],
        "warn",
        AFTER_CHECKS,
        [
            (
                "warn",
                "Front diff 14 degC hotter than its load explains: low oil?, km 1.0",
                "diff oil level and colour, magnet, seals; bearings by hand",
            )
        ],
    ),
    "rear diff hot": (
        [at(50, ev.DIFF_MODEL, ev.ON, 1100, 1)],
        "warn",
        AFTER_CHECKS,
        [
            (
                "warn",
                "Rear diff 11 degC hotter than its load explains: low oil?, km 1.0",
                "diff oil level and colour, magnet, seals; bearings by hand",
            )
        ],
    ),
    "detectors too slow": (
        [at(50, ev.SKIPPED, ev.ON, 3)],
        "warn",
        AFTER_CHECKS,
        [("warn", "The detectors on board were too slow, km 1.0", None)],
    ),
    "refuelled": ([at(50, ev.REFUEL, ev.ON, 6000, 30_000)], "good", NOTHING, []),
    "bus silent": ([at(50, ev.RESUMED, ev.ON, 12)], "good", NOTHING, []),
    "car alone airborne": ([at(50, ev.CAR_FLIGHT, ev.ON, 400)], "good", NOTHING, []),
    "light landing": (flight(50, 250, 0), "good", NOTHING, []),
    "medium landing": (flight(50, 400, 1), "good", NOTHING, []),
    "hard landing": (
        flight(50, 600, 2),
        "warn",
        AFTER_CHECKS,
        [("warn", "1 hard landing, the worst 6.0 g at km 1.0", LANDING)],
    ),
    "severe landing": (
        flight(50, 910, 3),
        "bad",
        NOT_YET,
        [("bad", "1 severe landing, the worst 9.1 g at km 1.0", LANDING)],
    ),
    "two severe landings and a hard one": (
        [*flight(20, 610, 2), *flight(40, 850, 3), *flight(60, 1230, 3)],
        "bad",
        NOT_YET,
        [
            ("bad", "2 severe landings, the worst 12.3 g at km 1.2", LANDING),
            ("warn", "1 hard landing, the worst 6.1 g at km 0.4", LANDING),
        ],
    ),
    "flight mode asleep": (
        [*flight(20, 250, 0), *flight(40, 250, 0, car=ev.CAR_SILENT)],
        "warn",
        AFTER_CHECKS,
        [
            (
                "warn",
                "Flight mode did not react in 1 of 2 flights",
                "the switch, the control unit's sensors and its settings",
            )
        ],
    ),
    "flight mode not on the bus": (flight(20, 250, 0, car=ev.CAR_UNKNOWN), "good", NOTHING, []),
    "cancelled flight": (
        [at(20, ev.FLIGHT, ev.TAKEN_OFF, 80 << 16, 20_000_000), at(21, ev.FLIGHT, ev.CANCELLED)],
        "good",
        NOTHING,
        [],
    ),
    "lasting fault of a sensor": (
        [at(50, ev.SENSOR + 20, ev.IMPLAUSIBLE)],
        "warn",
        AFTER_CHECKS,
        [("warn", "Faulty to the end: {signal20}", SENSOR)],
    ),
    "passing fault of a sensor": (
        [at(50, ev.SENSOR + 20, ev.STUCK_VALUE), at(60, ev.SENSOR + 20, ev.GOOD)],
        "good",
        NOTHING,
        [("info", "Faulty for a while: {signal20}", SENSOR)],
    ),
    "fault that changes its kind and lasts": (
        [at(50, ev.SENSOR + 20, ev.STATUS_BAD), at(60, ev.SENSOR + 20, ev.STALE)],
        "warn",
        AFTER_CHECKS,
        [
            ("warn", "Faulty to the end: {signal20}", SENSOR),
            ("info", "Faulty for a while: {signal20}", SENSOR),
        ],
    ),
    "silent message": (
        [at(50, ev.MESSAGE + 8, ev.STALE, 0x110)],
        "warn",
        AFTER_CHECKS,
        [("warn", "Faulty to the end: {message8}", SENSOR)],
    ),
    "the end of something that never began": (
        [at(50, ev.ROLL_OVER, ev.OFF), at(51, ev.STUCK, ev.OFF), at(52, ev.DIFF_MODEL, ev.OFF)],
        "good",
        NOTHING,
        [],
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_an_event_is_judged(make_stage, table, name):
    found, level, answer, reasons = ROWS[name]
    names = {"signal20": table.signals[20], "message8": table.slots[8]}
    reasons = [(one, why.format(**names), inspect) for one, why, inspect in reasons]
    assert judged(facts_of(make_stage(), found, table)) == (level, answer, reasons)


# event: (what, value, unit, level) of the table "Other events"
OTHERS = {
    "roll-over": (at(30, ev.ROLL_OVER, ev.ON, -450), "Roll-over", -0.45, "g", "bad"),
    "leak": (at(30, ev.LEAK, ev.ON, 1310), "Fuel leak", 13.1, "l", "bad"),
    "stuck": (
        at(30, ev.STUCK, ev.ON, 1525),
        "Stuck: wheels turn, the car does not move",
        15.25,
        "km/h",
        "warn",
    ),
    "handbrake": (
        at(30, ev.HANDBRAKE, ev.ON, 7350, 900),
        "Handbrake at speed",
        73.5,
        "km/h",
        "warn",
    ),
    "refuel": (at(30, ev.REFUEL, ev.ON, 6020, 30_000), "Refuelled", 60.2, "l", "info"),
    "diff": (
        at(30, ev.DIFF_MODEL, ev.ON, 1450, 1),
        "Diff hotter than its load explains, rear",
        14.5,
        "degC",
        "warn",
    ),
    "resumed": (at(30, ev.RESUMED, ev.ON, 12), "Bus was silent", 12, "s", "info"),
    "skipped": (
        at(30, ev.SKIPPED, ev.ON, 3),
        "On-car detectors were too slow",
        3,
        "blocks",
        "warn",
    ),
    "car alone": (
        at(30, ev.CAR_FLIGHT, ev.ON, 420),
        "Only the car reported airborne",
        420,
        "ms",
        "info",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_event_stands_among_the_others_with_its_value(make_stage, table, name):
    event, what, value, unit, level = OTHERS[name]
    facts = facts_of(make_stage(), [event], table)
    (row,) = facts["sections"]["others"]["tables"][0]["rows"]
    assert row == {
        "what": what,
        "at_km": pytest.approx(0.6, abs=0.002),
        "after_min": 0.5,
        "value": pytest.approx(value),
        "unit": unit,
        "level": level,
        "t_s": 30.0,
    }


FAULTS = {
    ev.IMPLAUSIBLE: "impossible value",
    ev.STUCK_VALUE: "stuck",
    ev.STATUS_BAD: "reports itself as faulty",
    ev.STALE: "silent",
}


@pytest.mark.parametrize("state", FAULTS)
def test_a_fault_has_its_kind_place_and_length(make_stage, table, state):
    found = [at(50, ev.SENSOR + 20, state), at(57.5, ev.SENSOR + 20, ev.GOOD)]
    found.append(at(60, ev.SENSOR + 4, state))
    facts = facts_of(make_stage(), found, table)
    first, second = facts["sections"]["sensors"]["tables"][0]["rows"]
    assert first["signal_or_message"] == table.signals[20] and first["fault"] == FAULTS[state]
    assert first["at_km"] == pytest.approx(1.0, abs=0.002) and first["for_s"] == 7.5
    assert second["signal_or_message"] == table.signals[4]
    assert (first["ended"], second["ended"], second["for_s"]) == (True, False, None)


def test_a_flight_stands_among_the_jumps_with_its_facts(make_stage, table):
    """Dampers compress 100 mm from 51.0 s to 51.1 s: 1 m/s; the car says airborne at 50.2 s."""

    def compress(t_s):
        return 150.0 + 100.0 * (t_s > 51.05)

    stage = make_stage(
        DmpPosRL=compress,
        FlightState=lambda t_s: 2.0 * ((t_s > 50.15) & (t_s < 51.0)),
        EngTrqAct=lambda t_s: 300.0 - 100.0 * (t_s > 50.5),
    )
    found = flight(50, 640, 2, airtime_ms=1050)
    (row,) = facts_of(stage, found, table)["sections"]["jumps"]["tables"][0]["rows"]
    assert row == {
        "flight": 1,
        "at_km": pytest.approx(1.0, abs=0.002),
        "after_min": pytest.approx(50 / 60, abs=1e-6),
        "take_off_kmh": 80,
        "airtime_ms": 1050,
        "landing_peak_g": 6.4,
        "severity": "hard",
        "compression_m_per_s": pytest.approx(1.0),
        "flight_mode": "reacted",
        "reacted_after_ms": 200.0,
        "torque_at_landing_Nm": 200.0,
        "confidence_pct": 95,
        "level": "warn",
        "t_s": 50.0,
    }


def test_lines_over_the_jumps_sum_them_up(make_stage, table):
    found = [*flight(10, 250, 0), *flight(30, 250, 0, airtime_ms=1800)]
    found += flight(50, 850, 3, airtime_ms=700, car=ev.CAR_SILENT)
    found += flight(70, 250, 0, airtime_ms=600, car=ev.CAR_UNKNOWN)
    facts = facts_of(make_stage(), found, table)
    assert facts["sections"]["jumps"]["lines"] == [
        "3 light, 1 severe landings",
        "4.0 s in the air, longest 1,800 ms",
        "the car's flight mode reacted in 2 of 3",
    ]
    assert (facts["summary"]["jumps"], facts["summary"]["hard_landings"]) == (4, 1)
    values = facts["sections"]["jumps"]["values"]
    assert (values["landings_light"], values["landings_severe"]) == (3, 1)
    assert (values["flight_mode_reacted"], values["flight_mode_on_bus"]) == (2, 3)
    assert values["longest_flight_ms"] == 1800


def test_dampers_at_full_travel_are_a_reason(make_stage, table):
    """Full travel is from 97 % on: of the front 330 mm 320.1, of the rear 340 mm 329.8."""
    stage = make_stage(
        DmpPosFL=lambda t_s: 150 + 171.0 * ((t_s == 10) | (t_s == 20)),  # 321 mm
        DmpPosFR=lambda t_s: 150 + 170.0 * (t_s == 10),  # 320 mm: not yet
        DmpPosRL=lambda t_s: 150 + 179.0 * (t_s == 10),  # 329 mm: not yet
        DmpPosRR=lambda t_s: 150 + 180.0 * (t_s >= 99.9),  # 330 mm, to the end
    )
    facts = facts_of(stage, [], table)
    level, answer, ((one, why, inspect),) = judged(facts)
    assert (level, answer, one) == ("warn", AFTER_CHECKS, "warn")
    assert why == "Dampers at full travel: DmpPosFL 2 times, DmpPosRR 1 time"
    assert inspect == "bump stops, damper oil and rods, mounts, tyres and rims"
    rows = {row["damper"]: row for row in facts["sections"]["dampers"]["tables"][0]["rows"]}
    assert [rows[f"DmpPos{w}"]["at_full_travel_times"] for w in ("FL", "FR", "RL", "RR")] == [
        2,
        0,
        0,
        1,
    ]
    # up 171 mm in one step of 0.1 s: 1.71 m/s
    assert rows["DmpPosFL"]["compression_highest_m_per_s"] == pytest.approx(1.71)
    assert rows["DmpPosFL"]["travel_used_pct"] == pytest.approx(100 * 321 / 330)


def test_a_signal_without_data_is_a_reason(make_stage, table):
    stage = make_stage(BattVolt=None, CoolantTemp=None)
    level, answer, rows = judged(facts_of(stage, [], table))
    assert (level, answer) == ("warn", AFTER_CHECKS)
    assert rows == [
        (
            "warn",
            "No data, so no limit was watched: CoolantTemp, BattVolt",
            "the sensor, its wiring, its control unit",
        )
    ]


def test_a_log_without_most_signals_says_nothing(make_stage, table, profile):
    """Of n signals with a limit more than half are not there: the log does not say."""
    limits = {name for alarm in profile.alarm.values() for name in alarm.signals}
    some = sorted(limits)[: len(limits) // 2 + 1]
    facts = facts_of(make_stage(**dict.fromkeys(some)), [], table)
    assert judged(facts)[:2] == (
        "warn",
        "The log does not say: too little of the car is in it.",
    )
    some.pop()
    assert judged(facts_of(make_stage(**dict.fromkeys(some)), [], table))[1] == AFTER_CHECKS


def test_the_worst_reason_stands_first(make_stage, table):
    found = [at(20, ev.SENSOR + 20, ev.STALE), at(25, ev.SENSOR + 20, ev.GOOD)]
    found += [at(30, ev.STUCK, ev.ON, 900), at(50, ev.ROLL_OVER, ev.ON, -500)]
    level, _, rows = judged(facts_of(make_stage(), found, table))
    assert level == "bad" and [row[0] for row in rows] == ["bad", "warn", "info"]


def test_what_was_lost_is_named_for_what_it_is():
    """7 dropped by the logger, 5 or more by the controller, 3 not in the file, 2 bad blocks."""
    bus = BusLedger(0, n_stored=100, n_held=97, n_missing=3, n_dropped=7, n_at_least=5)
    ledger = Ledger("x", (bus,), (), (), 4, 0, End("stopped"), None)
    health = Health([WHOLE], ledgers=[ledger], damaged=["one", "two"])
    assert lost_text(health) == (
        "7 dropped, 5 or more lost in hardware, 3 missing from the file, 2 damaged blocks"
    )
    assert lost_text(Health([WHOLE], damaged=["one"])) == "1 damaged block"


def test_a_car_that_reacts_long_before_the_onset_did_not_react_to_it(make_stage, table):
    """Airborne at 49.5 s, 0.5 s before the onset at 50 s, is another matter than this flight."""
    stage = make_stage(FlightState=lambda t_s: 2.0 * ((t_s > 49.45) & (t_s < 49.55)))
    (row,) = facts_of(stage, flight(50, 250, 0), table)["sections"]["jumps"]["tables"][0]["rows"]
    assert row["reacted_after_ms"] is None
