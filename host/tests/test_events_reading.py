"""Events in words and units: the facts of each kind, from the numbers of slog.events."""

from types import SimpleNamespace

import pytest

from slog import events as ev
from stagelog.events import Detected
from stagelog.events.reading import Flight, flights_of, read_event, read_events, summarise

TABLE = SimpleNamespace(
    alarms={7: ("coolant", "CoolantTemp"), 8: ("fan", "Fan1Curr")},
    signals=["EngSpd", "CoolantTemp", "Fan1Curr"],
    units=["rpm", "degC", "A"],
    slots=["ENG_1", "TPMS"],
)


def facts(code, state=ev.ON, value=0, extra=0, table=TABLE):
    read = read_event(Detected(5, code, state, value, extra), table)
    return {key: read[key] for key in read if key not in ("t_us", "name", "state")}


# code: (value, extra, facts)
KINDS = {
    ev.CAR_FLIGHT: (640, 0, {"airtime_ms": 640}),
    ev.ROLL_OVER: (-450, 0, {"vertical_g": -0.45}),
    ev.STUCK: (950, 0, {"wheel_speed_kmh": 9.5}),
    ev.HANDBRAKE: (7210, 900, {"speed_kmh": 72.1, "pressure_kPa": 900}),
    ev.REFUEL: (5010, 20_000, {"added_l": 50.1, "volume_l": 200.0}),
    ev.LEAK: (1210, 30_000, {"lost_l": 12.1, "volume_l": 300.0}),
    ev.FUEL: (30_050, 710, {"volume_l": 300.5, "used_l": 7.1}),
    ev.DIFF_MODEL: (1250, 1, {"residual_degC": 12.5, "axle": "rear"}),
    ev.RESUMED: (12, 0, {"pause_s": 12}),
    ev.SKIPPED: (3, 0, {"blocks": 3}),
    ev.RANGE: (4321, 3104, {"p50_km": 432.1, "p10_km": 310.4}),
    ev.TABLE: (120, 61, {"n_signals": 120, "n_alarms": 61}),
    ev.FLOW_SCALE: (1_020_000, 5_000, {"scale": 1.02, "sigma": 0.005}),
    0x7F: (3, 4, {"value": 3, "extra": 4}),
}


@pytest.mark.parametrize("code", KINDS)
def test_an_event_has_its_facts_in_units(code):
    value, extra, wanted = KINDS[code]
    assert facts(code, ev.ON, value, extra) == wanted
    assert facts(ev.DIFF_MODEL, extra=0)["axle"] == "front"


def test_an_alarm_has_its_signal_speed_and_engine():
    """Speed in 9 bits, above them the engine's speed in 10 rpm: 305 km/h, 6,210 rpm."""
    extra = 305 | 621 << 9
    known = {"number": 7, "value": 117.5, "speed_kmh": 305, "engine_rpm": 6210}
    named = {"alarm": "coolant", "signal": "CoolantTemp", "unit": "degC"}
    assert facts(ev.ALARM + 7, ev.WARNING, 11_750, extra) == known | named
    assert facts(ev.CONTEXT + 7, ev.BEFORE, 11_750, extra) == known | named
    assert facts(ev.ALARM + 7, ev.WARNING, 11_750, extra, None) == known
    assert facts(ev.ALARM + 9, ev.WARNING, 11_750, extra) == known | {"number": 9}


def test_faults_have_the_names_of_the_table():
    assert facts(ev.SENSOR + 1, ev.STALE, 321) == {
        "number": 1,
        "raw": 321,
        "signal": "CoolantTemp",
    }
    assert facts(ev.SENSOR + 3, ev.STALE, 321) == {"number": 3, "raw": 321}
    assert facts(ev.MESSAGE + 1, ev.STALE, 0x1F0) == {"can_id": 0x1F0, "message": "TPMS"}
    assert facts(ev.MESSAGE + 2, ev.STALE, 0x1F0) == {"can_id": 0x1F0}
    assert facts(ev.SENSOR + 1, ev.STALE, 321, table=None) == {"number": 1, "raw": 321}


def test_events_keep_their_times_names_and_states():
    read = read_events([Detected(7, ev.STUCK, ev.OFF, 0, 0), Detected(9, ev.ALARM + 7, 3, 0, 0)])
    assert [(one["t_us"], one["name"], one["state"]) for one in read] == [
        (7, "stuck", "off"),
        (9, "alarm", "clear"),
    ]


def landed(t_us, severity=1, car=ev.CAR_AGREES, airtime_ms=800):
    extra = 415 | 95 << 12 | car << 19 | severity << 21
    return Detected(t_us, ev.FLIGHT, ev.LANDED, airtime_ms, extra)


def taken_off(t_us, onset_us):
    return Detected(t_us, ev.FLIGHT, ev.TAKEN_OFF, 83 << 16 | 110, onset_us & 0xFFFFFFFF)


def test_a_flight_is_its_take_off_and_its_landing():
    """The onset has 32 bits: one of 5,000,000,000 us, 100 ms before the take-off is known."""
    found = flights_of([taken_off(5_000_100_000, 5_000_000_000), landed(5_000_900_000)])
    assert found == [
        Flight(
            onset_us=5_000_000_000,
            speed_kmh=83,
            confirmed_us=5_000_100_000,
            airtime_ms=800,
            peak_g=4.15,
            confidence_pct=95,
            car_agrees=True,
            severity="medium",
        )
    ]


@pytest.mark.parametrize(
    ("severity", "word"),
    [(0, "light"), (1, "medium"), (2, "hard"), (3, "severe"), (4, "severe"), (7, "unknown")],
)
def test_the_severity_of_a_landing(severity, word):
    assert facts(ev.FLIGHT, ev.LANDED, 800, 100 | severity << 21)["severity"] == word


def test_whether_the_car_agrees():
    found = [facts(ev.FLIGHT, ev.LANDED, 1, car << 19)["car_agrees"] for car in range(3)]
    assert found == [None, True, False]


def test_flights_that_end_otherwise_are_left_out():
    """Cancelled, too long, a landing of nothing, a take-off that never ends, another event."""
    cancelled = Detected(3_000_000, ev.FLIGHT, ev.CANCELLED, 90, 0)
    too_long = Detected(9_000_000, ev.FLIGHT, ev.TOO_LONG, 3000, 0)
    found = flights_of(
        [
            landed(500_000),
            taken_off(1_000_000, 900_000),
            cancelled,
            landed(3_500_000),
            taken_off(5_000_000, 4_900_000),
            Detected(5_100_000, ev.STUCK, ev.ON, 1, 1),
            landed(5_700_000, airtime_ms=700),
            landed(5_900_000),
            taken_off(6_000_000, 5_900_000),
            too_long,
            taken_off(10_000_000, 9_900_000),
        ]
    )
    assert [(flight.onset_us, flight.airtime_ms) for flight in found] == [(4_900_000, 700)]
    assert facts(ev.FLIGHT, ev.CANCELLED, 90) == {"airtime_ms": 90}


def test_a_summary_is_whole_or_none():
    """A second one that lacks its last item does not count; one that begins anew does."""
    from slog.event_names import SUMMARY_ITEMS

    def one(t_us, number):
        return [
            Detected(t_us, ev.SUMMARY + k, 1, number, number + k)
            for k in range(len(SUMMARY_ITEMS))
        ]

    first, last = SUMMARY_ITEMS[0][0], SUMMARY_ITEMS[-1][0]
    assert summarise([]) == {}
    assert summarise(one(1, 5)[1:]) == {}
    found = summarise(one(1, 5) + one(2, 9)[:-1])
    assert found[first] == (5, 5) and found[last] == (5, 5 + len(SUMMARY_ITEMS) - 1)
    assert summarise(one(1, 5) + one(2, 9)[:3] + one(3, 11))[first] == (11, 11)
    beyond = Detected(4, ev.SUMMARY + len(SUMMARY_ITEMS), 1, 1, 1)
    assert summarise([*one(1, 5), beyond])[first] == (5, 5)
