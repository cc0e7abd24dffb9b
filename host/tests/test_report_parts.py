"""The state of each part that the page draws, from events and signals chosen by hand.

The stage is conftest.CALM, 72 km/h for 100 s: what happens at 30 s is at km 0.6. CALM lacks the
pressures of brakes and handbrake, the tyres' temperatures and the fuel senders; MEASURED has them.
"""

import re
from dataclasses import replace

import pytest

from slog import events as ev
from stagelog.dbc import load_database
from stagelog.errors import InputError
from stagelog.events import Detected, compile_table
from stagelog.ledger import BLOCK, POWER_CUT, Gap
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import compare_facts, stage_facts
from stagelog.report.html import render
from stagelog.report.html_words import SIGNS, WORDS
from stagelog.report.parts import STATES
from stagelog.report.source import Health, Source
from stagelog.report.stage import KeyCycle
from stagelog.verdict import COMPLETE, FOREIGN, INCOMPLETE, Verdict

WHOLE = Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")
CORNERS = ("FL", "FR", "RL", "RR")
MEASURED = {
    **{f"TyrTemp{corner}": 40.0 for corner in CORNERS},
    "BrkPresF": 0.0,
    "BrkPresR": 0.0,
    "HndBrkLinePres": 0.0,
    "FuelLvlA": 200.0,
    "FuelLvlB": 220.0,
}
PROFILE = load_profile("d7xr")


@pytest.fixture(scope="module")
def table():
    return compile_table(PROFILE, load_database(dbc_file(PROFILE)))


@pytest.fixture
def facts_of(make_stage, table):
    """Return a function of events, gaps and what make_stage takes, that gives the page's facts."""

    def make(found=(), gaps=(), **given):
        stage = make_stage(**MEASURED | given)
        return stage_facts(
            Source(stage, Health([WHOLE], gaps=list(gaps)), list(found), table, None)
        )

    return make


@pytest.fixture
def parts(facts_of):
    def make(found=(), **given):
        (car,) = facts_of(found, **given)["cars"]
        return {part["place"]: part for part in car["parts"]}

    return make


def at(seconds, code, state, value=0, extra=0):
    return Detected(round(seconds * 1e6), code, state, value, extra)


def alarm(table, key, signal, *states):
    number = next(n for n, row in table.alarms.items() if (row[0], row[1]) == (key, signal))
    return [at(t_s, ev.ALARM + number, state) for t_s, state in states]


def not_good(parts):
    return {place: part["state"] for place, part in parts.items() if part["state"] != "good"}


def test_a_calm_car_that_is_measured_whole_is_good(parts):
    found = parts()
    assert len(found) == 22 and not_good(found) == {}
    assert {part["word"] for part in found.values()} == {"good"}
    assert not any(part["why"] for part in found.values())


def test_a_part_over_its_limit_has_the_limit_s_level(parts, table):
    """Rear diff: warning 120, critical 140 degC; it was 125 in one stage, 145 in another."""
    warned = alarm(table, "diff_oil", "DiffOilTempR", (30, ev.WARNING))
    found = parts(warned, DiffOilTempR=125.0)
    assert not_good(found) == {"diff_rear": "warn"}
    # The alarm is raised 10 s after the limit: its worst value is the signal's.
    assert found["diff_rear"]["why"] == ["Rear diff oil 125 degC, limit > 120 degC, km 0.6"]
    assert found["diff_rear"]["word"] == "check"
    critical = alarm(table, "diff_oil", "DiffOilTempR", (30, ev.WARNING), (40, ev.CRITICAL))
    found = parts(critical, DiffOilTempR=145.0)
    assert not_good(found) == {"diff_rear": "bad"}
    assert found["diff_rear"]["word"] == "critical"


def test_a_part_of_which_the_log_holds_nothing_is_not_measured(parts):
    found = parts(HndBrkLinePres=None, DiffOilTempF=None)
    assert not_good(found) == {"handbrake": "none", "diff_front": "none"}
    assert found["handbrake"]["word"] == "not measured"
    assert found["diff_front"]["why"] == ["not measured: Front diff oil"]


def test_a_part_that_lacks_one_signal_is_partly_measured(parts):
    found = parts(FuelPresLo=None)
    assert not_good(found) == {"tank": "partly"}
    assert found["tank"]["why"] == ["not measured: Fuel pressure"]


def test_values_beyond_what_is_plausible_measure_nothing(parts):
    """The profile's range of diff oil ends at 220 degC."""
    assert not_good(parts(DiffOilTempF=221.0)) == {"diff_front": "none"}


def test_a_fault_to_the_end_is_a_fault_and_one_that_passed_a_part_unseen(parts, table):
    sensor = ev.SENSOR + table.signals.index("CoolantTemp")
    found = parts([at(50, sensor, ev.STUCK_VALUE)])
    assert not_good(found) == {"radiators": "fault"}
    assert found["radiators"]["why"] == ["Coolant: stuck to the end, km 1.0"]
    found = parts([at(50, sensor, ev.STUCK_VALUE), at(60, sensor, ev.GOOD)])
    assert not_good(found) == {"radiators": "partly"}
    assert found["radiators"]["why"] == ["Coolant: stuck for a while, km 1.0"]


def test_a_silent_message_is_a_fault_of_each_part_that_it_speaks_of(parts, table):
    """BRK_Temp carries the four disc temperatures and nothing else of a part."""
    message = table.slots.index("BRK_Temp")
    found = parts([at(50, ev.MESSAGE + message, ev.STALE)])
    assert not_good(found) == {f"brake_{corner.lower()}": "fault" for corner in CORNERS}
    assert found["brake_fl"]["why"] == ["Front left disc: silent to the end, km 1.0"]


def test_a_limit_exceeded_counts_more_than_a_fault_or_a_missing_signal(parts, table):
    sensor = ev.SENSOR + table.signals.index("EngOilTemp")
    came = [*alarm(table, "coolant", "CoolantTemp", (30, ev.WARNING)), at(50, sensor, ev.STALE)]
    found = parts(came, EngOilPres=None)
    assert not_good(found) == {"engine": "fault", "radiators": "warn"}
    assert found["engine"]["why"] == [
        "Engine oil: silent to the end, km 1.0",
        "not measured: Engine oil pressure",
    ]


def test_an_alarm_that_a_part_calls_its_own_is_of_no_other(parts, table):
    """The converter's slip is read from the engine's speed, but it is the gearbox that heats."""
    came = alarm(table, "converter_slip", "EngSpd", (30, ev.WARNING))
    assert not_good(parts(came)) == {"gearbox": "warn"}
    came = alarm(table, "over_rev", "EngSpd", (30, ev.CRITICAL))
    assert not_good(parts(came)) == {"engine": "bad"}


SINGLES = {
    "leak": (at(45, ev.LEAK, ev.ON, 1300, 20_000), "tank", "bad", "leak, 13 l, km 0.9"),
    "handbrake": (
        at(50, ev.HANDBRAKE, ev.ON, 7300, 5000),
        *("handbrake", "warn", "pulled at 73 km/h, km 1.0"),
    ),
    "front diff": (
        at(50, ev.DIFF_MODEL, ev.ON, 1400, 0),
        *("diff_front", "warn", "14 degC hotter than its load explains, km 1.0"),
    ),
    "rear diff": (
        at(50, ev.DIFF_MODEL, ev.ON, 1100, 1),
        *("diff_rear", "warn", "11 degC hotter than its load explains, km 1.0"),
    ),
}


@pytest.mark.parametrize("name", SINGLES)
def test_an_event_is_of_its_part(parts, name):
    event, place, state, why = SINGLES[name]
    found = parts([event])
    assert not_good(found) == {place: state} and found[place]["why"] == [why]


@pytest.mark.parametrize(
    ("severity", "state"),
    [(0, None), (1, None), (2, "warn"), (3, "bad"), (ev.NO_SEVERITY, "warn")],
)
def test_a_hard_landing_is_of_the_four_dampers(parts, severity, state):
    """Light and medium are none; hard, severe, and one that nothing measured are."""
    landed = 900, 600 | 95 << ev.CONFIDENCE_SHIFT | severity << ev.SEVERITY_SHIFT
    came = [
        at(50.1, ev.FLIGHT, ev.TAKEN_OFF, 80 << 16 | 100, 50_000_000),
        at(51.0, ev.FLIGHT, ev.LANDED, *landed),
    ]
    wanted = {f"damper_{corner.lower()}": state for corner in CORNERS} if state else {}
    assert not_good(parts(came)) == wanted


def test_a_damper_at_full_travel_is_one_to_check(parts):
    """330 mm in front: full from 97 % on, 320.1 mm; it was there from 20 s to 21 s."""
    found = parts(DmpPosFR=lambda t_s: 150.0 + 171.0 * ((t_s > 19.95) & (t_s < 21.0)))
    assert not_good(found) == {"damper_fr": "warn"}
    assert found["damper_fr"]["why"] == ["at full travel 1 time"]


def test_a_row_has_names_extremes_and_limits(parts):
    (row,) = parts(DiffOilTempR=lambda t_s: 60.0 + t_s / 2)["diff_rear"]["rows"]
    assert (row["name"], row["signal"], row["unit"]) == ("Rear diff oil", "DiffOilTempR", "degC")
    assert (row["low"], row["high"]) == (60.0, 110.0) and row["x_s"] == 100.0
    assert [limit["text"] for limit in row["limits"]][:2] == ["> 120 degC", "> 140 degC"]
    assert (row["spark"]["low"], row["spark"]["high"]) == (60.0, 140.0)
    assert row["spark"]["limits"] == [{"y": 120.0, "level": "warn"}, {"y": 140.0, "level": "bad"}]


def test_the_row_nearest_to_a_limit_is_first(parts):
    """Coolant at 100 of 108 is 0.93; the cores have no limit on the value."""
    rows = parts(CoolantTemp=100.0)["radiators"]["rows"]
    assert rows[0]["signal"] == "CoolantTemp" and rows[0]["share"] == pytest.approx(100 / 108)


def battery(parts, starts_s, *dips):
    """Return the row of the battery: 14 V, an engine that starts once, dips (from, to, volts)."""

    def volts(t_s):
        found = 14.0 + 0 * t_s
        for start, end, value in dips:
            found[(t_s > start - 0.01) & (t_s < end + 0.01)] = value
        return found

    found = parts(BattVolt=volts, EngSpd=lambda t_s: 3000.0 * (t_s > starts_s - 0.01))
    (row,) = found["battery"]["rows"]
    return row, found["battery"]["state"]


def test_a_battery_at_the_starter_is_not_below_its_limit(parts):
    """The limit counts while the engine has run for 2 s: from 12.0 s on where it starts at 10 s.
    9.6 V until 11.9 s are none of its; 13.5 V at 50 s are its lowest, at km 1.0.
    """
    row, state = battery(parts, 10, (8, 11.9, 9.6), (50, 55, 13.5))
    assert (row["low"], row["high"], row["all"]) == (13.5, 14.0, (9.6, 14.0))
    assert row["x_s"] == pytest.approx(50.0) and row["km"] == pytest.approx(1.0, abs=0.002)
    assert state == "good" and row["spark"]["low"] == 9.6  # the line shows all of it
    row, _ = battery(parts, 10, (8, 12.1, 9.6))
    assert row["low"] == 9.6 and row["x_s"] == pytest.approx(12.0, abs=0.01)


def test_where_no_limit_ever_counts_all_of_a_signal_is_shown(parts):
    row, _ = battery(parts, 200, (50, 55, 11.0))
    assert (row["low"], row["all"]) == (11.0, None)


def test_a_signal_with_one_limit_that_always_counts_is_shown_whole(parts):
    """Coolant: 108 degC counts after 30 s at speed, 118 degC always."""
    rows = parts(CoolantTemp=lambda t_s: 90.0 + 20.0 * (t_s < 5))["radiators"]["rows"]
    (coolant,) = (row for row in rows if row["signal"] == "CoolantTemp")
    assert (coolant["high"], coolant["all"]) == (110.0, None)


def test_the_card_says_what_lies_where_no_limit_counts(facts_of):
    facts = facts_of(
        BattVolt=lambda t_s: 14.0 - 4.4 * (t_s < 1), EngSpd=lambda t_s: 3000.0 * (t_s > 3)
    )
    card = re.search('id="card-battery".*?</article>', render(facts))[0]
    assert "14.0 … 14.0 V<small> worst at km 0.1; 9.60 … 14.0 where no limit counts, too" in card


def test_a_damper_at_full_travel_shows_its_position_first(facts_of):
    """From 97 % of 330 mm in front on, 320 mm; its temperature folds out."""
    facts = facts_of(DmpPosFR=lambda t_s: 150.0 + 171.0 * ((t_s > 19.95) & (t_s < 21.0)))
    (car,) = facts["cars"]
    (part,) = (one for one in car["parts"] if one["place"] == "damper_fr")
    first = part["rows"][0]
    assert (first["signal"], first["level"], first["chart"]) == ("DmpPosFR", "warn", "c-damper")
    assert first["limits"] == [{"text": "full travel from 320 mm", "level": "warn"}]
    assert first["spark"]["limits"] == [{"y": pytest.approx(0.97 * 330), "level": "warn"}]
    shown, _, folded = re.search('id="card-damper_fr".*?</article>', render(facts))[0].partition(
        "<details>"
    )
    assert "DmpPosFR" in shown and "DmpTempFR" not in shown and "DmpTempFR" in folded


def test_a_card_shows_what_exceeded_a_limit_and_folds_the_rest(facts_of, table):
    """Of seven signals of the radiators two were beyond a limit; of a good part one is shown."""
    came = [
        *alarm(table, "coolant", "CoolantTemp", (30, ev.WARNING)),
        *alarm(table, "radiator_blocked", "Rad2Out", (40, ev.WARNING)),
    ]
    page = render(facts_of(came))
    for place, n_shown in (("radiators", 2), ("engine", 1)):
        card = re.search(f'id="card-{place}".*?</article>', page)[0]
        assert card.partition("<details>")[0].count('class="signal"') == n_shown


def test_no_line_crosses_a_hole(facts_of):
    """100 s with a hole from 40 s to 60 s: the runs end at 0.4 and begin at 0.6 of the width."""
    hole = Gap(0, 40_000_000, 60_000_000, 7, True, BLOCK)
    facts = facts_of(gaps=[(hole, "words", 40_000_000, 60_000_000)])
    (car,) = facts["cars"]
    strip = car["strip"]
    first, last = strip["speed"]
    assert first[-1][0] == pytest.approx(0.4, abs=0.002)
    assert last[0][0] == pytest.approx(0.6, abs=0.002)
    (shaded,) = strip["holes"]
    assert (shaded["x0"], shaded["x1"], shaded["is_loss"]) == (0.4, 0.6, True)
    assert shaded["text"] == "no data for 20 s at km 0.8: block missing"
    page = render(facts)
    assert 'class="hole loss"' in page and "<small>1 hole in the log</small>" in page


def test_a_silence_of_one_signal_cuts_its_line_alone(make_stage, table):
    """Ten samples a second; those of the rear diff between 30 s and 50 s are missing."""
    stage = make_stage(**MEASURED)
    message = next(m for m in stage.decoded.messages.values() if "DiffOilTempR" in m.signals)
    keep = (message.t_us <= 30_000_000) | (message.t_us >= 50_000_000)
    message.t_us, message.bus = message.t_us[keep], message.bus[keep]
    message.signals = {name: values[keep] for name, values in message.signals.items()}
    facts = stage_facts(Source(stage, Health([WHOLE]), [], table, None))
    found = {part["place"]: part for part in facts["cars"][0]["parts"]}
    first, last = found["diff_rear"]["rows"][0]["spark"]["runs"]
    assert first[-1][0] == pytest.approx(0.3, abs=0.01)
    assert last[0][0] == pytest.approx(0.5, abs=0.01)
    assert len(found["battery"]["rows"][0]["spark"]["runs"]) == 1
    (chart,) = (c for c in facts["charts"] if c["id"] == "c-alarm-diff_oil")
    gaps = {channel["name"]: channel["gaps"] for channel in chart["channels"]}
    assert gaps["DiffOilTempR"] == [[30.0, 50.0]] and gaps["DiffOilTempF"] == [[30.0, 50.0]]
    speed = next(c for c in facts["charts"] if c["id"] == "c-speed")
    assert all(channel["gaps"] == [] for channel in speed["channels"])


def test_time_without_power_is_no_loss(make_stage, table):
    stage = make_stage(**MEASURED)
    stage.key_cycles = (KeyCycle(0, 45_000_000), KeyCycle(50_000_000, 100_000_000))
    cut = Gap(None, 45_000_000, None, None, False, POWER_CUT)
    health = Health([WHOLE], gaps=[(cut, "words", 45_000_000, None)])
    (car,) = stage_facts(Source(stage, health, [], table, None))["cars"]
    (hole,) = car["strip"]["holes"]
    assert (hole["x0"], hole["x1"], hole["is_loss"]) == (0.45, 0.5, False)
    assert hole["text"] == "power off"


def test_marks_of_one_place_are_one_mark_of_the_worst(facts_of, table):
    """150 places in 100 s: 30.0 s and 30.2 s are one of them, 60 s another."""
    came = [
        *alarm(table, "coolant", "CoolantTemp", (30, ev.WARNING)),
        *alarm(table, "diff_oil", "DiffOilTempR", (30.2, ev.CRITICAL)),
        *alarm(table, "battery", "BattVolt", (60, ev.WARNING)),
    ]
    (car,) = facts_of(came)["cars"]
    jumps, over = car["strip"]["lanes"]
    assert jumps["marks"] == []
    first, second = over["marks"]
    assert (first["level"], first["n"], first["x_s"]) == ("bad", 2, 30.2)
    assert first["text"] == "km 0.6: diff oil: Rear diff oil 80 degC, and 1 more here"
    assert (second["level"], second["n"], second["x"]) == ("warn", 1, 0.6)


def test_the_distance_stands_along_the_strip(facts_of):
    """2 km in 100 s: ticks each 0.5 km, at quarters of the width; at its end to the left of it."""
    facts = facts_of()
    (car,) = facts["cars"]
    ticks = [(tick["text"], tick["x"]) for tick in car["strip"]["km"]]
    assert car["strip"]["total_km"] == pytest.approx(2.0, abs=0.002)
    assert [text for text, _ in ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert [x for _, x in ticks] == pytest.approx([0, 0.25, 0.5, 0.75, 1.0], abs=0.002)
    drawn = re.findall(
        '<span( class="end")? style="left:([0-9.]+)%">([0-9.]+)</span>', render(facts)
    )
    assert [(end, text) for end, _, text in drawn][-2:] == [("", "1.5"), (' class="end"', "2")]


def test_a_strip_says_what_was_not_there_to_see(facts_of):
    """CALM has no accelerations: no jump was found, without them. No wheel: no speed, no km."""
    (car,) = facts_of(AccX=0.0, AccY=0.0, AccZ=9.8)["cars"]
    assert [lane["empty"] for lane in car["strip"]["lanes"]] == ["none found", "none found"]
    assert car["strip"]["top_kmh"] == 72.0
    gone = dict.fromkeys(f"{what}{corner}" for what in ("WhlSpd", "DmpPos") for corner in CORNERS)
    facts = facts_of(**gone)
    (car,) = facts["cars"]
    wanted = "none found, without accelerations, dampers, wheel speeds"
    assert car["strip"]["lanes"][0]["empty"] == wanted
    assert car["strip"]["speed"] == [] and car["strip"]["km"] == []
    assert car["strip"]["total_km"] is None
    assert "Speed<small>not measured</small>" in render(facts)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (COMPLETE, "no hole in the log"),
        (INCOMPLETE, "log not complete"),
        (FOREIGN, "holes not known"),
    ],
)
def test_a_strip_says_that_there_is_no_hole_only_where_that_is_known(
    make_stage, table, kind, says
):
    health = Health([Verdict(kind, "made here")])
    facts = stage_facts(Source(make_stage(), health, [], table, None))
    assert facts["cars"][0]["strip"]["said"] == says
    assert f"<small>{says}</small>" in render(facts)


def test_each_state_has_its_own_sign_and_word_on_drawing_and_card(facts_of, table):
    came = [
        *alarm(table, "coolant", "CoolantTemp", (30, ev.CRITICAL)),
        *alarm(table, "disc", "DiscTempFL", (30, ev.WARNING)),
        at(50, ev.SENSOR + table.signals.index("TrfOilTemp"), ev.STALE),
    ]
    page = render(facts_of(came, FuelPresLo=None, HndBrkLinePres=None))
    drawing = page[
        page.index('<svg class="car"') : page.index("</svg>", page.index('class="car"'))
    ]
    places = {
        "radiators": "bad",
        "brake_fl": "warn",
        "transfer": "fault",
        "tank": "partly",
        "handbrake": "none",
        "battery": "good",
    }
    assert set(places.values()) == set(STATES) and len(set(SIGNS.values())) == len(SIGNS)
    for place, state in places.items():
        link = re.search(f'<a class="part {state}" href="#card-{place}".*?</a>', drawing)[0]
        shown = "".join(re.findall("<text[^>]*>([^<]*)</text>", link))
        assert SIGNS[state] in shown and f": {WORDS[state]}" in link
        assert f"</i><b>{WORDS[state]}:</b> " in page or state == "good"
        card = re.search(f'<article class="card {state}" id="card-{place}".*?</article>', page)[0]
        assert f">{SIGNS[state]}</i>{WORDS[state]}</b>" in card


def test_the_answer_names_the_parts_that_are_not_good(facts_of, table):
    """Four corners of a kind are one; three of them are named. In the order of the profile."""
    came = [
        *alarm(table, "coolant", "CoolantTemp", (30, ev.CRITICAL)),
        *(one for c in CORNERS for one in alarm(table, "disc", f"DiscTemp{c}", (30, ev.WARNING))),
        *(
            one
            for c in CORNERS[:3]
            for one in alarm(table, "tyre_pressure", f"TyrPres{c}", (40, ev.WARNING))
        ),
    ]
    page = render(facts_of(sorted(came, key=lambda event: event.t_us)))
    (said,) = re.findall('<p class="which">(.*?)</p>', page)
    words = " ".join(re.sub("<i .*?</i>|<[^>]*>", "", said).split())
    assert words == (
        "critical: Radiators check: all brakes, Front left tyre, Front right tyre, Rear left tyre"
    )
    assert '<p class="which">' not in render(facts_of())


def test_every_part_drawn_has_a_card_to_go_to(facts_of):
    page = render(facts_of())
    links = re.findall('<a class="part [a-z]+" href="#([^"]+)"', page)
    assert len(links) == 22 and all(page.count(f'id="{link}"') == 1 for link in links)


def test_two_cars_have_ids_of_their_own(make_stage, table):
    sources = [Source(make_stage(name=n), Health([WHOLE]), [], table, None) for n in ("A", "B")]
    page = render(compare_facts(sources))
    ids = re.findall(' id="([^"]+)"', page)
    links = re.findall('href="#([^"]+)"', page)
    assert page.count('<svg class="car"') == 2
    assert set(links) <= set(ids)
    assert [one for one in set(ids) if ids.count(one) > 1] in ([], ["hatch"])


def test_a_profile_without_parts_has_a_page_without_a_drawing(make_stage, table):
    stage = make_stage()
    report = replace(PROFILE.report, part=None, names=None)
    stage.profile = replace(PROFILE, report=report)
    page = render(stage_facts(Source(stage, Health([WHOLE]), [], table, None)))
    assert '<svg class="car"' not in page and 'class="card' not in page
    assert "Work before the start" in page and 'class="strip"' in page


def test_a_part_that_the_drawing_has_no_place_for_is_refused(tmp_path):
    text = 'extends = "d7xr.toml"\nschema = "stagelog.profile.v1"\n[report.part.wing]\n'
    path = tmp_path / "mine.toml"
    base = tmp_path / "d7xr.toml"
    base.write_text(open(PROFILE.path, encoding="utf-8").read(), encoding="utf-8")
    path.write_text(text + 'name = "Wing"\nsignals = ["EngSpd"]\n', encoding="utf-8")
    with pytest.raises(InputError, match="part wing has no place on the drawing"):
        load_profile(path)
    path.write_text(
        text.replace("wing", "battery") + 'own_alarms = ["batery"]\n', encoding="utf-8"
    )
    with pytest.raises(InputError, match="part battery names alarm batery, which is not defined"):
        load_profile(path)


@pytest.mark.parametrize("name", ["d7xr", "d7xr_2", "d7xr_mule"])
def test_every_signal_of_a_part_has_a_name_for_people(name):
    report = load_profile(name).report
    signals = {signal for part in report.part.values() for signal in part.signals}
    assert signals <= set(report.names)
    assert len(set(report.names.values())) == len(report.names)


def test_every_name_is_of_a_signal_of_the_dbc():
    messages = load_database(dbc_file(PROFILE)).messages
    known = {signal.name for message in messages for signal in message.signals}
    assert set(PROFILE.report.names) <= known
