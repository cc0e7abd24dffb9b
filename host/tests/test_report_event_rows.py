"""Tables of what happened: single events, faults of sensors, many alarms, car and laptop.

The stage is conftest.CALM, 72 km/h for 100 s: what happens at 30 s is at km 0.6. Values of events
are in the units of slog.events: mg, 0.01 km/h, cl, 0.01 degC, ms.
"""

import struct
from dataclasses import replace

import numpy as np
import pytest
from stage_values import during

from slog import events as ev
from stagelog.dbc import load_database
from stagelog.events import Detected, compile_table
from stagelog.events.compare import Disagreement
from stagelog.profile import dbc_file, load_profile
from stagelog.profile.limits import Mark
from stagelog.report import event_tables
from stagelog.report.build import plain_facts, stage_facts
from stagelog.report.source import Health, Source
from stagelog.report.stage import KeyCycle
from stagelog.verdict import COMPLETE, Verdict

WHOLE = Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")


@pytest.fixture(scope="module")
def table():
    profile = load_profile("d7xr")
    return compile_table(profile, load_database(dbc_file(profile)))


def at(seconds, code, state=ev.ON, value=0, extra=0):
    return Detected(round(seconds * 1e6), code, state, value, extra)


def source_of(stage, found, table, disagreed=None, **health):
    return Source(stage, Health([WHOLE], **health), list(found), table, disagreed)


def alarm(table, key, signal, *states):
    """Return the events of an alarm; `states` are (seconds, state)."""
    number = next(n for n, row in table.alarms.items() if row[:2] == (key, signal))
    extra = 72 | 300 << ev.RPM_SHIFT
    return [at(t_s, ev.ALARM + number, state, 10_000, extra) for t_s, state in states]


# Single events: title, level, value and unit of each kind, made at 30 s.
SINGLES = {
    ev.ROLL_OVER: ((-500, 0), ("Roll-over", "bad", -0.5, "g")),
    ev.STUCK: (
        (950, 0),
        ("Stuck: wheels turn, the car does not move", "warn", 9.5, "km/h"),
    ),
    ev.HANDBRAKE: ((7_210, 900), ("Handbrake at speed", "warn", 72.1, "km/h")),
    ev.REFUEL: ((5_010, 20_000), ("Refuelled", "info", 50.1, "l")),
    ev.LEAK: ((1_210, 30_000), ("Fuel leak", "bad", 12.1, "l")),
    ev.DIFF_MODEL: (
        (1_250, 1),
        ("Diff hotter than its load explains, rear", "warn", 12.5, "degC"),
    ),
    ev.RESUMED: ((12, 0), ("Bus was silent", "info", 12, "s")),
    ev.SKIPPED: ((3, 0), ("On-car detectors were too slow", "warn", 3, "blocks")),
    ev.CAR_FLIGHT: ((640, 0), ("Only the car reported airborne", "info", 640, "ms")),
}


@pytest.mark.parametrize("code", SINGLES)
def test_a_single_event_has_a_row_with_its_value(make_stage, table, code):
    (value, extra), (title, level, shown, unit) = SINGLES[code]
    source = source_of(make_stage(), [at(30, code, ev.ON, value, extra)], table)
    facts = plain_facts(stage_facts(source))
    assert facts["sections"]["others"]["tables"][0]["rows"] == [
        {
            "what": title,
            "at_km": pytest.approx(0.6),
            "after_min": 0.5,
            "value": shown,
            "unit": unit,
            "level": level,
            "t_s": 30.0,
        }
    ]
    assert source.events.marks(source.stage) == [{"x": 30.0, "level": level, "text": title}]


def test_the_front_diff_and_the_end_of_an_event(make_stage, table):
    """What ends is no event of its own; without any there is no section."""
    found = [at(20, ev.DIFF_MODEL, ev.ON, 1_100, 0), at(40, ev.DIFF_MODEL, ev.OFF, 0, 0)]
    facts = plain_facts(stage_facts(source_of(make_stage(), found, table)))
    (row,) = facts["sections"]["others"]["tables"][0]["rows"]
    assert row["what"] == "Diff hotter than its load explains, front"
    assert event_tables.others(make_stage(), source_of(make_stage(), [], table).events) is None


def test_marks_go_by_time_with_their_levels(make_stage, table):
    """An alarm at 50 s, a severe landing of a flight from 20 s on, a refuelling at 10 s."""
    packed = 900 | 95 << ev.CONFIDENCE_SHIFT | 3 << ev.SEVERITY_SHIFT
    found = [
        at(10, ev.REFUEL, ev.ON, 3_000),
        at(20.1, ev.FLIGHT, ev.TAKEN_OFF, 80 << 16 | 100, 20_000_000),
        at(21, ev.FLIGHT, ev.LANDED, 800, packed),
        *alarm(table, "disc", "DiscTempFL", (50, ev.CRITICAL)),
    ]
    stage = make_stage()
    assert source_of(stage, found, table).events.marks(stage) == [
        {"x": 10.0, "level": "info", "text": "Refuelled"},
        {"x": 20.0, "level": "bad", "text": "flight, 800 ms"},
        {"x": 50.0, "level": "bad", "text": "disc, DiscTempFL"},
    ]


def test_faults_of_sensors_and_messages(make_stage, table):
    """Each until it is good again or another fault; the last one to the end of the log."""
    front = ev.SENSOR + table.signals.index("DiffOilTempF")
    rear = ev.SENSOR + table.signals.index("DiffOilTempR")
    tyres = ev.MESSAGE + table.slots.index("TPMS")
    found = [
        at(10, front, ev.IMPLAUSIBLE),
        at(12, rear, ev.STATUS_BAD),
        at(15, front, ev.STUCK_VALUE),
        at(20, tyres, ev.STALE, 0x1F0),
        at(22.5, tyres, ev.GOOD, 0x1F0),
        at(30, front, ev.GOOD),
    ]
    section = plain_facts(stage_facts(source_of(make_stage(), found, table)))["sections"][
        "sensors"
    ]
    rows = [
        (row["signal_or_message"], row["fault"], row["after_min"] * 60, row["for_s"])
        for row in section["tables"][0]["rows"]
    ]
    assert rows == [
        ("DiffOilTempF", "impossible value", pytest.approx(10, abs=1e-3), 5.0),
        ("DiffOilTempR", "reports itself as faulty", pytest.approx(12, abs=1e-3), None),
        ("DiffOilTempF", "stuck", pytest.approx(15, abs=1e-3), 15.0),
        ("TPMS", "silent", pytest.approx(20, abs=1e-3), 2.5),
    ]
    first = section["tables"][0]["rows"][0]
    assert (first["at_km"], first["level"], first["t_s"]) == (pytest.approx(0.2), "warn", 10.0)
    assert (
        "sensors" not in plain_facts(stage_facts(source_of(make_stage(), [], table)))["sections"]
    )


def test_many_alarms_are_summed_by_limit(make_stage, table):
    """26 alarms are one more than stand without a sum: 25 of the disc, 2 s beyond 600 degC each.

    They are each 4 s from 0 s on, debounced by 2 s, and clear 1 s later; the tenth is critical.
    The first one is at 2 s, km 0.04. Another of the battery, at 99 s, km 1.98, is no sum of them.
    """

    def disc(t_s):
        return np.where((t_s % 4 < 1.95) & (t_s < 100), 650.0, 200.0)

    found = []
    for k in range(25):
        state = ev.CRITICAL if k == 9 else ev.WARNING
        found += alarm(table, "disc", "DiscTempFL", (4 * k + 2, state), (4 * k + 3, ev.CLEAR))
    stage = make_stage(DiscTempFL=disc)
    only = event_tables.exceedances(stage, source_of(stage, found, table).events)["tables"]
    assert [len(one["rows"]) for one in only] == [25]
    found += alarm(table, "battery", "BattVolt", (99, ev.WARNING))
    facts = plain_facts(stage_facts(source_of(stage, found, table)))
    summed, each = facts["sections"]["exceedances"]["tables"]
    assert summed["title"] == "By limit" and len(each["rows"]) == 26
    row, battery = summed["rows"]
    assert (row["what"], row["signal"], row["times"], row["level"]) == (
        "disc",
        "DiscTempFL",
        25,
        "bad",
    )
    assert row["together_s"] == pytest.approx(25 * 2.0, abs=0.01)
    assert (row["first_at_km"], row["t_s"]) == (pytest.approx(0.04), 2.0)
    assert (battery["times"], battery["level"], battery["t_s"]) == (1, "warn", 99.0)
    assert each["rows"][0]["level"] == "bad" and each["rows"][0]["t_s"] == 38.0
    times = [one["t_s"] for one in each["rows"][1:]]
    assert times == sorted(times)


def test_an_alarm_that_never_ended_lasts_to_the_end(make_stage, table):
    """Coolant 110 degC from 60 s to the end at 100 s: 40 s, the last sample holds no time."""
    found = alarm(table, "coolant", "CoolantTemp", (65, ev.WARNING))
    stage = make_stage(CoolantTemp=during(60, 200, 110.0, 90.0))
    (episode,) = source_of(stage, found, table).events.alarms
    assert (episode.end_us, episode.lasted_s) == (None, pytest.approx(40.0))


def test_an_alarm_on_no_value_itself_lasts_as_long_as_its_messages(make_stage, table):
    """A fan, the rate of a diff's temperature: from the first message to the end, 12 s each."""
    for key, signal in (("fan", "Fan1Curr"), ("diff_oil_rate", "DiffOilTempF")):
        found = alarm(table, key, signal, (30, ev.WARNING), (42, ev.CLEAR))
        (episode,) = source_of(make_stage(), found, table).events.alarms
        assert (episode.lasted_s, episode.end_us) == (12.0, 42_000_000)


def test_beyond_is_not_at_the_limit(make_stage, table):
    """The part before the alarm, as long as the longer debounce, belongs to it: 10 s for a diff.

    Rear diff 121 degC from 21 s to 35 s, 120 until 41 s; the warning came at 31 s.
    """
    values = during(21, 35, 121.0, 90.0)
    stage = make_stage(
        DiffOilTempR=lambda t_s: np.where((t_s >= 34.99) & (t_s < 40.99), 120.0, values(t_s))
    )
    found = alarm(table, "diff_oil", "DiffOilTempR", (31, ev.WARNING), (46, ev.CLEAR))
    (episode,) = source_of(stage, found, table).events.alarms
    assert (episode.lasted_s, episode.peak) == (pytest.approx(14.0), 121.0)


def test_lives_are_those_of_each_key_cycle(make_stage, table):
    """A summary at the very end of the first key cycle is of that one: both add up."""
    names = range(ev.SUMMARY, ev.SUMMARY + 64)
    stage = make_stage()
    stage.key_cycles = (KeyCycle(0, 50_000_000), KeyCycle(55_000_000, 100_000_000))
    from slog.event_names import SUMMARY_ITEMS

    found = [
        Detected(t_us, code, 1, 100, 100)
        for t_us in (50_000_000, 100_000_000)
        for code in names[: len(SUMMARY_ITEMS)]
    ]
    assert source_of(stage, found, table).events.lives["engine_s"] == (200, 200)


# Car and laptop


def agreement(stage, table, disagreed, **health):
    return event_tables.agreement(stage, disagreed, Health([WHOLE], **health))


def test_events_that_agree_are_counted(make_stage, table):
    found = agreement(make_stage(), table, [], n_said=1200, n_compared=1100, not_compared=["why"])
    assert found["note"] == (
        "All 1,100 of 1,200 events of the car that can be compared are found again in the raw "
        "log, and no other."
    )
    assert found["lines"] == ["why"] and "tables" not in found


def test_a_car_without_events_is_not_said_to_agree(make_stage, table):
    note = agreement(make_stage(), table, None)["note"]
    assert note.startswith("The car recorded no events on board")
    found = agreement(make_stage(), table, None, not_compared=["session a: a hole"])
    assert found["note"].startswith("None of the car's events can be compared")
    assert found["lines"] == ["session a: a hole"]


def test_events_that_differ_have_a_row_each(make_stage, table):
    """Where both sides have one, the car's is named: it came late, at 31 s."""
    rolled, refuelled = at(30, ev.ROLL_OVER), at(31, ev.REFUEL)
    disagreed = [
        Disagreement("car only", rolled, None),
        Disagreement("host only", None, at(20, ev.STUCK)),
        Disagreement("late", refuelled, at(29, ev.REFUEL)),
    ]
    found = agreement(make_stage(), table, disagreed, n_said=40)
    assert found["note"] == (
        "3 events differ; the car recorded 40 on board. All numbers of this report are the "
        "laptop's."
    )
    cells = [(row["cells"], row["x_s"]) for row in found["tables"][0]["rows"]]
    assert cells == [
        (["car only", "roll_over", "on", pytest.approx(0.6)], 30.0),
        (["host only", "stuck", "on", pytest.approx(0.4)], 20.0),
        (["late", "refuel", "on", pytest.approx(0.62)], 31.0),
    ]
    other = agreement(make_stage(), table, disagreed, n_said=40, same_table=False)["note"]
    assert other.startswith("The car watched ANOTHER SIGNAL TABLE than this profile's. 3 events")


def test_marks_have_their_source_and_text_and_no_markup(make_stage, table):
    """By the button at 30 s, by a host at 40 s; its 11 bytes come in two pieces, 8 and 3."""
    found = [
        at(40, ev.MARK, ev.HOST, 2, 11),
        Detected(40_000_100, ev.MARK_TEXT, 0, *struct.unpack("<iI", b"<b>big h")),
        Detected(40_000_200, ev.MARK_TEXT, 1, *struct.unpack("<iI", b"it\x1b\0\0\0\0\0")),
        at(30, ev.MARK, ev.BUTTON, 1, 0),
    ]
    source = source_of(make_stage(), found, table)
    facts = stage_facts(source)
    rows = plain_facts(facts)["sections"]["others"]["tables"][0]["rows"]
    assert [(row["what"], row["t_s"], row["level"]) for row in rows] == [
        ("Mark (button)", 30.0, "info"),
        ("Mark (host): <b>big hit ", 40.0, "info"),
    ]
    marks = source.events.marks(source.stage)
    assert [mark["text"] for mark in marks] == [row["what"] for row in rows]


def test_a_rule_of_the_profile_marks_the_stage(make_stage, table):
    """72 km/h from 0 s on, held for 5 s: a mark at 5 s. The event at 30 s is another."""
    rules = {
        "fast": Mark(signal="WhlSpdRL", above=70.0, for_s=5.0),
        "rolled": Mark(event="roll_over"),
    }
    stage = make_stage()
    stage.profile = replace(stage.profile, mark=rules)
    source = source_of(stage, [at(30, ev.ROLL_OVER, ev.ON, -500, 0)], table)
    rows = plain_facts(stage_facts(source))["sections"]["others"]["tables"][0]["rows"]
    assert [(row["what"], row["t_s"]) for row in rows] == [
        ("Mark (rule): fast", 5.0),
        ("Roll-over", 30.0),
        ("Mark (rule): rolled", 30.0),
    ]
