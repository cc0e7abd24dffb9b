"""What the report says of an alarm: how long, how bad, before and after, and which limit.

The stage is conftest.CALM, 72 km/h, ten samples a second, one signal of it chosen anew in each
test. Limits are those of dbc/profiles/d7xr.toml, written out here.
"""

import re

import pytest

from slog import events as ev
from stagelog.dbc import load_database
from stagelog.events import Detected, compile_table
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import plain_facts, stage_facts
from stagelog.report.event_tables import limit_text
from stagelog.report.source import Health, Source
from stagelog.verdict import COMPLETE, Verdict

WHOLE = Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")


@pytest.fixture(scope="module")
def table():
    profile = load_profile("d7xr")
    return compile_table(profile, load_database(dbc_file(profile)))


def number_of(table, key, signal):
    return next(n for n, row in table.alarms.items() if (row[0], row[1]) == (key, signal))


def alarm(table, key, signal, *states, value=0.0, kmh=72, rpm=3000):
    """Return the events of an alarm; `states` are (seconds, state)."""
    number = number_of(table, key, signal)
    extra = kmh | rpm // 10 << ev.RPM_SHIFT
    return [
        Detected(round(t_s * 1e6), ev.ALARM + number, state, round(value * 100), extra)
        for t_s, state in states
    ]


def facts_of(stage, found, table):
    return plain_facts(stage_facts(Source(stage, Health([WHOLE]), found, table, None)))


def exceedances(facts):
    return facts["sections"]["exceedances"]["tables"][0]["rows"]


def between(start, end, inside, outside):
    """Return a signal with one value from `start` to just before `end` and another elsewhere."""
    return lambda t_s: outside + (inside - outside) * ((t_s > start - 0.01) & (t_s < end - 0.01))


def test_an_alarm_above_a_limit(make_stage, table):
    """Coolant, warning above 108, critical above 115 degC, debounce 5 s and 3 s.

    110 from 20 s, 117 from 40 s to 46 s, back to 110 until 50 s: 30 s above the warning, of these
    6 s above the critical limit. The episode is from the first message, 25 s, less the debounce of
    5 s, to the clear at 55 s. At 15 s, 10 s before it, it is 90, at 45 s, 20 s after it, 117.
    """

    def coolant(t_s):
        return between(20, 50, 110.0, 90.0)(t_s) + between(40, 46, 7.0, 0.0)(t_s)

    states = (25, ev.WARNING), (43, ev.CRITICAL), (55, ev.CLEAR)
    found = alarm(table, "coolant", "CoolantTemp", *states, value=110.0, kmh=71, rpm=2990)
    facts = facts_of(make_stage(CoolantTemp=coolant), found, table)
    assert exceedances(facts) == [
        {
            "what": "coolant",
            "signal": "CoolantTemp",
            "severity": "critical",
            "at_km": pytest.approx(0.5, abs=0.002),
            "after_min": pytest.approx(25 / 60, abs=1e-6),
            "for_s": pytest.approx(30.0),
            "ended": True,
            "before": 90.0,
            "worst": 117.0,
            "after": 117.0,
            "unit": "degC",
            "limit": 115.0,
            "limit_unit": "degC",
            "limit_kind": "above",
            "speed_kmh": 71,
            "engine_rpm": 2990,
            "level": "bad",
            "t_s": 25.0,
        }
    ]
    why, inspect = (facts["verdict"]["reasons"][0][key] for key in ("why", "inspect"))
    assert why == (
        "Engine cooling: CoolantTemp critical (117 degC, limit > 115 degC); first at km 0.5"
    )
    assert inspect.startswith("coolant level and cap, radiators")
    assert facts["verdict"]["level"] == "bad"


def test_an_alarm_below_a_limit(make_stage, table):
    """Battery, warning below 12.8 V, critical below 12.2 V, debounce 5 s.

    12.5 V from 20 s, 12.0 V from 25 s to 28 s, then 14 V: 8 s below the warning, 3 s of them below
    the critical limit. Worst is the lowest.
    """

    def volts(t_s):
        return between(20, 25, 12.5, 14.0)(t_s) + between(25, 28, -2.0, 0.0)(t_s)

    found = alarm(table, "battery", "BattVolt", (25, ev.WARNING), (33, ev.CLEAR), value=12.5)
    facts = facts_of(make_stage(BattVolt=volts), found, table)
    (row,) = exceedances(facts)
    assert (row["severity"], row["level"], row["limit"]) == ("warning", "warn", 12.8)
    assert row["for_s"] == pytest.approx(8.0) and row["worst"] == 12.0
    assert (row["before"], row["after"]) == (14.0, 14.0)
    verdict = facts["verdict"]
    assert (verdict["level"], verdict["answer"]) == ("warn", "Yes, after the checks below.")
    assert verdict["reasons"][0]["why"] == (
        "Battery and charging: BattVolt warning (12 V, limit < 12.8 V); first at km 0.5"
    )
    (limits,) = facts["sections"]["electrics"]["tables"][0]["rows"]
    assert limits == {
        "signal": "BattVolt",
        "unit": "V",
        "lowest": 12.0,
        # 1,001 samples: 50 at 12.5, 30 at 12.0, 921 at 14.0
        "mean": pytest.approx((50 * 12.5 + 30 * 12.0 + 921 * 14.0) / 1001, abs=1e-6),
        "highest": 14.0,
        "worst_at_km": pytest.approx(0.5, abs=0.002),
        "warning": 12.8,
        "critical": 12.2,
        "limit_unit": "V",
        "limit_kind": "below",
        "beyond_warning_s": pytest.approx(8.0),
        "beyond_critical_s": pytest.approx(3.0),
        "level": "warn",
        "t_s": pytest.approx(25.0),
    }


# key, signal: (text of the warning's limit, text of the critical one)
LIMITS = {
    ("diff_oil", "TrfOilTemp"): ("> 120 degC", "> 140 degC"),
    ("diff_oil_rate", "DiffOilTempR"): ("> 8 degC/min", "> 15 degC/min"),
    ("diff_oil_time", "DiffOilTempF"): ("140 degC within 10 min", "140 degC within 4 min"),
    ("gearbox_oil", "TrnOilTempSump"): ("> 115 degC", "> 130 degC"),
    ("coolant_hard", "CoolantTemp"): (None, "> 118 degC"),
    ("oil_pressure", "EngOilPres"): ("15 % below table", "30 % below table"),
    ("boost", "BoostB2"): ("15 kPa above table", "25 kPa above table"),
    ("fuel_pressure", "FuelPresLo"): ("< 450 kPa", "< 400 kPa"),
    ("air_filter", "AirFltDp"): ("> 4.5 kPa", "> 6.5 kPa"),
    ("tyre_pressure", "TyrPresRL"): ("15 % lost", "30 % lost"),
    ("battery", "BattVolt"): ("< 12.8 V", "< 12.2 V"),
    ("fan", "Fan3Curr"): ("< 2 A at > 50 % duty", "two < 2 A at > 50 % duty"),
    ("radiator_blocked", "Rad2Out"): ("< 40 % of the best", "< 15 % of the best"),
    ("over_rev", "EngSpd"): ("> 6300 rpm", "> 6600 rpm"),
    ("converter_slip", "EngSpd"): ("> 600 rpm off TrnInSpd", "> 1200 rpm off TrnInSpd"),
}


@pytest.mark.parametrize(("key", "signal"), LIMITS)
@pytest.mark.parametrize("state", [ev.WARNING, ev.CRITICAL])
def test_the_limit_of_every_kind_is_said_in_its_own_words(make_stage, table, key, signal, state):
    """The page has the words, the JSON the number of them: the minutes of a time to a limit."""
    found = alarm(table, key, signal, (30, state), (40, ev.CLEAR))
    stage = make_stage()
    facts = facts_of(stage, found, table)
    (row,) = exceedances(facts)
    text = LIMITS[key, signal][state == ev.CRITICAL]
    level = "bad" if state == ev.CRITICAL else "warn"
    assert limit_text(stage.profile.alarm[key], level) == text
    numbers = re.findall(r"[\d.]+", text or "")
    wanted = float(numbers[-1 if "within" in text else 0]) if text else None
    assert (row["limit"], row["level"]) == (wanted, level)
    assert row["limit_unit"] in (text or row["limit_unit"])
    assert row["severity"] == {"bad": "critical", "warn": "warning"}[level]
    assert facts["verdict"]["level"] == level


# key, signal: (values at 32 s and at 36 s, the worse of the two); CALM elsewhere
WORST = {
    ("diff_oil", "DiffOilTempF"): (125.0, 131.0, 131.0),
    ("fuel_pressure", "FuelPresLo"): (440.0, 430.0, 430.0),
    ("oil_pressure", "EngOilPres"): (210.0, 190.0, 190.0),
    ("boost", "BoostB1"): (221.0, 230.0, 230.0),
    ("tyre_pressure", "TyrPresFR"): (180.0, 150.0, 150.0),
    ("fan", "Fan1Curr"): (1.5, 0.5, 0.5),
    ("knock", "KnkRetCyl4"): (5.0, 6.0, 6.0),
}


@pytest.mark.parametrize(("key", "signal"), WORST)
def test_the_worst_is_the_extreme_on_the_side_of_the_limit(make_stage, table, key, signal):
    first, second, worst = WORST[key, signal]
    calm = make_stage.calm[signal]

    def values(t_s):
        return between(32, 34, first, calm)(t_s) + between(36, 38, second - calm, 0.0)(t_s)

    found = alarm(table, key, signal, (34, ev.WARNING), (42, ev.CLEAR))
    (row,) = exceedances(facts_of(make_stage(**{signal: values}), found, table))
    assert row["worst"] == pytest.approx(worst)


# events of one alarm: [(seconds, state)] and what is made of them: [(from, level, ended)]
SPANS = {
    "warning, clear": ([(20, ev.WARNING), (30, ev.CLEAR)], [(20, "warn", True)]),
    "warning to the end": ([(20, ev.WARNING)], [(20, "warn", False)]),
    "warning, then critical": (
        [(20, ev.WARNING), (25, ev.CRITICAL), (30, ev.CLEAR)],
        [(20, "bad", True)],
    ),
    "warning said again": (
        [(20, ev.WARNING), (25, ev.WARNING), (30, ev.CLEAR)],
        [(20, "warn", True)],
    ),
    "critical, then warning stays critical": (
        [(20, ev.CRITICAL), (25, ev.WARNING), (30, ev.CLEAR)],
        [(20, "bad", True)],
    ),
    "latched ends it": ([(20, ev.WARNING), (30, ev.LATCHED)], [(20, "warn", True)]),
    "acknowledged does not": ([(20, ev.WARNING), (25, ev.ACKNOWLEDGED)], [(20, "warn", False)]),
    "acknowledged begins none": ([(20, ev.ACKNOWLEDGED)], []),
    "clear of nothing": ([(20, ev.CLEAR)], []),
    "twice": (
        [(20, ev.WARNING), (30, ev.CLEAR), (40, ev.CRITICAL), (50, ev.CLEAR)],
        [(40, "bad", True), (20, "warn", True)],
    ),
}


@pytest.mark.parametrize("name", SPANS)
def test_messages_of_an_alarm_make_episodes(make_stage, table, name):
    """Critical ones stand first, then they go by time."""
    states, wanted = SPANS[name]
    facts = facts_of(make_stage(), alarm(table, "disc", "DiscTempRL", *states), table)
    rows = [(row["t_s"], row["level"], row["ended"]) for row in exceedances(facts)]
    assert rows == wanted
    worst = {level for _, level, _ in wanted}
    assert facts["verdict"]["level"] == next((x for x in ("bad", "warn") if x in worst), "good")
    n_bad = sum(level == "bad" for _, level, _ in wanted)
    summary = facts["summary"]
    assert (summary["exceedances"], summary["critical_exceedances"]) == (len(wanted), n_bad)


def test_two_alarms_are_kept_apart(make_stage, table):
    found = alarm(table, "disc", "DiscTempRL", (20, ev.WARNING), (40, ev.CLEAR))
    found += alarm(table, "disc", "DiscTempRR", (30, ev.CRITICAL))
    found.sort(key=lambda event: event.t_us)
    facts = facts_of(make_stage(), found, table)
    rows = [(row["signal"], row["t_s"], row["level"], row["ended"]) for row in exceedances(facts)]
    assert rows == [("DiscTempRR", 30.0, "bad", False), ("DiscTempRL", 20.0, "warn", True)]
    why = facts["verdict"]["reasons"][0]["why"]
    # first: that of the critical one
    assert why == (
        "Brakes: DiscTempRL warning (200 degC, limit > 600 degC), "
        "DiscTempRR critical (200 degC, limit > 750 degC); first at km 0.6"
    )


def test_an_alarm_many_times_is_said_once_in_the_verdict(make_stage, table):
    found = []
    for k in range(3):
        states = (20 + 10 * k, ev.WARNING), (25 + 10 * k, ev.CLEAR)
        found += alarm(table, "disc", "DiscTempFL", *states)
    why = facts_of(make_stage(), found, table)["verdict"]["reasons"][0]["why"]
    wanted = "Brakes: DiscTempFL warning (200 degC, limit > 600 degC, 3 times); first at km 0.4"
    assert why == wanted


def test_a_signal_beyond_several_limits_is_said_once_in_the_verdict(make_stage, table):
    """The rear diff reaches 140 degC soon (critical), rises fast (warning), and is above 140 degC
    (critical): of the two critical limits the one on the value, and the card has the others. What
    to do besides after a critical one, changing the oil, comes first.
    """
    found = alarm(table, "diff_oil_time", "DiffOilTempR", (20, ev.CRITICAL))
    found += alarm(table, "diff_oil_rate", "DiffOilTempR", (30, ev.WARNING))
    found += alarm(table, "diff_oil", "DiffOilTempR", (40, ev.WARNING), (50, ev.CRITICAL))
    facts = stage_facts(
        Source(make_stage(DiffOilTempR=153.8), Health([WHOLE]), found, table, None)
    )
    (reason,) = plain_facts(facts)["verdict"]["reasons"]
    assert reason["why"] == (
        "Differentials and transfer box: DiffOilTempR critical (153.8 degC, limit > 140 degC); "
        "first at km 0.4"
    )
    assert reason["inspect"].startswith("change the oil; oil level and colour")
    (part,) = (one for one in facts["cars"][0]["parts"] if one["place"] == "diff_rear")
    assert part["why"] == [
        "Rear diff oil 153.8 degC, limit > 140 degC, km 0.4",
        "Rear diff oil, too: 140 degC within 4 min, > 8 degC/min",
    ]


def test_only_a_critical_alarm_gives_the_work_of_a_critical_one(make_stage, table):
    found = alarm(table, "diff_oil", "DiffOilTempR", (30, ev.WARNING))
    (reason,) = facts_of(make_stage(DiffOilTempR=125.0), found, table)["verdict"]["reasons"]
    assert reason["inspect"] == "oil level and colour, magnet, seals, breathers, shafts"


def test_before_and_after_are_unknown_beyond_the_log(make_stage, table):
    """10 s before 5 s and 20 s after 95 s are not in a log from 0 to 100 s."""
    found = alarm(table, "disc", "DiscTempFL", (5, ev.WARNING), (6, ev.CLEAR))
    found += alarm(table, "disc", "DiscTempFL", (95, ev.WARNING), (96, ev.CLEAR))
    first, second = exceedances(facts_of(make_stage(), found, table))
    assert (first["before"], first["after"]) == (None, 200.0)
    assert (second["before"], second["after"]) == (200.0, None)


def test_at_the_limit_is_not_beyond_it(make_stage, table):
    """108.0 degC is the warning of the coolant, 12.8 V that of the battery: 10 s at each."""
    given = {"CoolantTemp": between(20, 30, 108.0, 90.0), "BattVolt": between(20, 30, 12.8, 14.0)}
    facts = facts_of(make_stage(**given), [], table)["sections"]
    for section, signal in (("cooling", "CoolantTemp"), ("electrics", "BattVolt")):
        rows = facts[section]["tables"][-1]["rows"]
        row = next(row for row in rows if row.get("signal") == signal)
        assert row["beyond_warning_s"] == 0.0
