"""Cars beside each other, with different logs: every number worked out here.

Car A drives 72 km/h, 0.02 km a second, for 100 s; car B 36 km/h, 0.01 km a second, for 100 s. A km
d is passed by A after d / 0.02 s and by B after d / 0.01 s: at 0.5 km B is 25 s behind.
"""

import re

import numpy as np
import pytest

from slog import events as ev
from stagelog.dbc import load_database
from stagelog.events import Detected, compile_table
from stagelog.ledger import BLOCK, Gap
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import compare_facts, plain_facts
from stagelog.report.compare import _passing_s
from stagelog.report.html import render
from stagelog.report.pyramid import EMPTY, unpack_level
from stagelog.report.source import Health, Source
from stagelog.verdict import COMPLETE, Verdict

WHOLE = Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")
WHEELS = ("WhlSpdFL", "WhlSpdFR", "WhlSpdRL", "WhlSpdRR")


@pytest.fixture(scope="module")
def table():
    profile = load_profile("d7xr")
    return compile_table(profile, load_database(dbc_file(profile)))


@pytest.fixture
def cars(make_stage, table):
    """Return a function that makes the Sources of A and B."""

    def make(found=((), ()), a=None, b=None):
        used_a = {"FuelUsedTot": lambda t_s: 10.0 + 0.01 * t_s}  # 1.0 l on 2 km
        used_b = {"FuelUsedTot": lambda t_s: 500.0 + 0.008 * t_s}  # 0.8 l on 1 km
        half = dict.fromkeys(WHEELS, 36.0)
        stages = (
            make_stage(name="A", **used_a | (a or {})),
            make_stage(name="B", **half | used_b | (b or {})),
        )
        pairs = zip(stages, found, strict=True)
        return [
            Source(stage, Health([WHOLE]), list(events), table, None) for stage, events in pairs
        ]

    return make


def rows_of(facts, section, number=0):
    return {
        next(iter(row.values())): row
        for row in plain_facts(facts)["sections"][section]["tables"][number]["rows"]
    }


def chart(facts, name):
    return next(one for one in facts["charts"] if one["id"] == name)


def curve(channel):
    """Return (x, lowest, highest) of the finest level of a channel, empty bins left out."""
    low, high = unpack_level(channel["levels"][0])
    full = low != EMPTY
    x = channel["bin"] * np.flatnonzero(full)
    return (
        x,
        channel["lo"] + low[full] * channel["step"],
        channel["lo"] + high[full] * channel["step"],
    )


def test_each_car_has_its_own_column(cars):
    driven = rows_of(compare_facts(cars()), "cars", 1)
    for fact, unit, a, b in (
        ("distance", "km", 2.0, 1.0),
        ("recorded", "min", 100 / 60, 100 / 60),
        ("moving", "min", 100 / 60, 100 / 60),
        ("mean while moving", "km/h", 72.0, 36.0),
        ("highest speed", "km/h", 72.0, 36.0),
        ("fuel used", "l", 1.0, 0.8),
        ("consumption", "l/100 km", 50.0, 80.0),
    ):
        row = driven[fact]
        assert row["unit"] == unit
        assert row["A"] == pytest.approx(a, rel=2e-3) and row["B"] == pytest.approx(b, rel=2e-3)


def test_time_behind_is_that_of_the_slower_car(cars):
    facts = compare_facts(cars())
    behind = chart(facts, "k-behind")
    assert (behind["title"], behind["unit"], behind["x_unit"]) == ("Time behind A", "s", "km")
    (channel,) = behind["channels"]
    assert channel["name"] == "B"
    km, low, high = curve(channel)
    for wanted_km in (0.1, 0.5, 0.9):
        at = int(np.argmin(np.abs(km - wanted_km)))
        assert low[at] == pytest.approx(50 * wanted_km, abs=0.6)
        assert high[at] == pytest.approx(50 * wanted_km, abs=0.6)
    assert km[-1] <= 1.0  # as far as both came


def test_speed_against_the_first_car_is_by_distance(cars):
    """36 less 72 km/h everywhere; where B drives 90 from 30 s on, it is 18 faster there.

    By then B has driven 30 * 0.01 = 0.3 km, and it speeds up with 8 m/s2, 15 m/s in 1.9 s: 33 m.
    """
    faster = chart(compare_facts(cars()), "k-faster")
    assert (faster["title"], faster["unit"]) == ("Speed against A, more is faster", "km/h")
    km, low, high = curve(faster["channels"][0])
    assert low[km > 0.05].min() == pytest.approx(-36.0, abs=0.2)
    assert high.max() == pytest.approx(-36.0, abs=0.2)
    speed = dict.fromkeys(WHEELS, lambda t_s: np.where(t_s < 29.99, 36.0, 90.0))
    km, low, high = curve(chart(compare_facts(cars(b=speed)), "k-faster")["channels"][0])
    assert high[km < 0.29].max() == pytest.approx(-36.0, abs=0.2)
    assert low[km > 0.35].min() == pytest.approx(18.0, abs=0.2)


def test_a_distance_between_two_moments_is_passed_between_them(cars):
    """72 km/h: 0.0105 km after 0.525 s, between the moments 0.50 and 0.55 s of the grid."""
    (stage, _) = (source.stage for source in cars())
    assert _passing_s(stage, np.array([0.0105]))[0] == pytest.approx(0.525, abs=1e-9)


def test_parts_stand_side_by_side_the_worst_first(cars):
    """A's rear diff is not measured, B's is good; what is partly measured stands before it."""
    facts = compare_facts(cars(a={"DiffOilTempR": None}))
    rows = rows_of(facts, "cars", 2)
    by_part = {row["part"]: (row["A"], row["B"]) for row in rows.values()}
    assert by_part["Rear diff"] == ("not measured", "good")
    kinds = [row["level"] for row in rows.values()]
    assert kinds == sorted(kinds, key=["bad", "partly", "none", "good"].index)
    assert len(kinds) == 22
    page = render(facts)
    places = re.findall('id="(card-(?:1-)?[a-z_]+)"', page.partition('class="beside"')[2])
    assert places.index("card-diff_rear") + 1 == places.index("card-1-diff_rear")
    assert len(places) == 44
    assert [two.removeprefix("card-1-") for two in places[1::2]] == [
        one.removeprefix("card-") for one in places[::2]
    ]


def test_the_faster_car_is_ahead(cars):
    a, b = cars()
    (channel,) = chart(compare_facts([b, a]), "k-behind")["channels"]
    _, low, _ = curve(channel)
    assert channel["name"] == "A" and low[-1] == pytest.approx(-50.0, abs=0.6)


def test_time_counts_from_where_a_car_begins_to_move(cars):
    """B stands for 20 s and then drives as A: it is not behind but by its start with 8 m/s2.

    To 20 m/s that takes 2.5 s for 25 m, which A drives in 1.25 s.
    """
    speed = dict.fromkeys(WHEELS, lambda t_s: 72.0 * (t_s > 19.99))
    (channel,) = chart(compare_facts(cars(b=speed)), "k-behind")["channels"]
    km, low, high = curve(channel)
    assert low[km > 0.1].min() == pytest.approx(1.25, abs=0.3)
    assert high[km > 0.1].max() == pytest.approx(1.25, abs=0.3)


def test_time_standing_counts(cars):
    """B drives 72 km/h as A, and stands from 20 s to 50 s: 30 s behind from 0.4 km on.

    It brakes from 20 m/s to 0 with the 15 m/s2 that the report believes and speeds up with
    8 m/s2: 20 * 20 / 2 / 15 and 20 * 20 / 2 / 8 m are driven meanwhile, 1.33 s and 2.5 s. What
    is lost is half of the latter less half of the former, 1.25 - 0.67 = 0.6 s, and the 30 s.
    """

    def speed(t_s):
        return 72.0 * ~((t_s > 19.99) & (t_s < 49.99))

    facts = compare_facts(cars(b=dict.fromkeys(WHEELS, speed)))
    (channel,) = chart(facts, "k-behind")["channels"]
    km, low, high = curve(channel)
    assert high[km < 0.39].max() < 0.2
    assert low[km > 0.5].min() == pytest.approx(30.6, abs=0.3)
    assert high[km > 0.5].max() == pytest.approx(30.6, abs=0.3)
    moving = rows_of(facts, "cars", 1)["moving"]
    assert moving["B"] * 60 == pytest.approx(71.3, abs=0.3)  # 70 s and the braking, 1.33 s


def test_extremes_go_by_the_side_of_the_limit(cars):
    """The highest of a limit above, the lowest of a limit below; each car its own."""
    a = {"CoolantTemp": lambda t_s: 90.0 + 10.0 * (abs(t_s - 50) < 2), "BattVolt": 13.5}
    b = {
        "CoolantTemp": lambda t_s: 95.0 - 20.0 * (t_s == 50),
        "BattVolt": lambda t_s: 14.0 - t_s / 50,
    }
    facts = compare_facts(cars(a=a, b=b))
    rows = rows_of(facts, "limits")
    assert (rows["CoolantTemp"]["A"], rows["CoolantTemp"]["B"]) == (100.0, 95.0)
    assert rows["CoolantTemp"]["unit"] == "degC"
    assert rows["BattVolt"]["A"] == 13.5 and rows["BattVolt"]["B"] == pytest.approx(12.0)
    assert rows["TyrPresFL"]["A"] == 220.0


def test_a_signal_that_one_car_lacks(cars):
    rows = rows_of(compare_facts(cars(a={"BattVolt": None})), "limits")
    assert rows["BattVolt"]["A"] is None and rows["BattVolt"]["B"] == 14.0


def test_the_verdict_is_that_of_the_worse_car(cars):
    stuck = [Detected(30_000_000, ev.STUCK, ev.ON, 900, 0)]
    rolled = [Detected(50_000_000, ev.ROLL_OVER, ev.ON, -500, 0)]
    verdict = plain_facts(compare_facts(cars((stuck, rolled))))["verdict"]
    assert verdict["level"] == "bad" and verdict["question"] == "Can the cars start tomorrow?"
    assert verdict["answer"] == (
        "A: Yes, after the checks below. B: Not before the work below is done."
    )
    whys = [row["why"] for row in verdict["reasons"]]
    assert whys[0].startswith("B: Roll-over, km 0.5")
    assert whys[1].startswith("A: Stuck with wheels turning, km 0.6")
    verdict = plain_facts(compare_facts(cars((stuck, []))))["verdict"]
    assert verdict["level"] == "warn"
    verdict = plain_facts(compare_facts(cars()))["verdict"]
    assert verdict["level"] == "good"
    assert verdict["answer"] == "A, B: Yes: nothing in this log speaks against it."


def test_each_car_has_its_own_answer_and_list_on_the_page(cars):
    """A was stuck, B rolled over: no mechanic of A reads B's work."""
    stuck = [Detected(30_000_000, ev.STUCK, ev.ON, 900, 0)]
    rolled = [Detected(50_000_000, ev.ROLL_OVER, ev.ON, -500, 0)]
    page = render(compare_facts(cars((stuck, rolled)), title="SS03"))
    assert "<h1>SS03: A · B</h1>" in page
    first, second = page.split('<section class="one-car">')[1:]
    for text, name, answer, work, other in (
        (first, "A", "Yes, after the checks below.", "Stuck with wheels", "Roll-over"),
        (second, "B", "Not before the work below is done.", "Roll-over, km", "Stuck"),
    ):
        text = text.partition("</header>")[0]
        assert f"<h2>{name}</h2>" in text and f"</i>{answer}</p>" in text
        assert work in text and other not in text and text.count('type="checkbox"') == 1
        assert text.count('class="signed"') == 1 and text.count('class="strip"') == 1
    assert "<h1>A · B</h1>" in render(compare_facts(cars()))


def test_no_curve_over_distance_crosses_a_hole(cars):
    """A's log lacks 40 s to 60 s, where its wheels are silent: 72 km/h, 0.8 km, and from there no
    way at all but the braking of 20 m/s with 15 m/s2 that the report believes, 13 m, and 2 s of
    the last speed, 40 m. Neither the silence nor the braking is drawn.
    """
    a, b = cars(b=dict.fromkeys(WHEELS, 72.0))
    for message in a.stage.decoded.messages.values():
        keep = (message.t_us <= 40_000_000) | (message.t_us >= 60_000_000)
        message.t_us, message.bus = message.t_us[keep], message.bus[keep]
        message.signals = {name: values[keep] for name, values in message.signals.items()}
    gap = Gap(0, 40_000_000, 60_000_000, 7, True, BLOCK)
    a.health.gaps.append((gap, "words", 40_000_000, 60_000_000))
    facts = compare_facts([a, b])
    for name in ("k-speed", "k-EngSpd", "k-behind", "k-faster"):
        channel = chart(facts, name)["channels"][0]
        ((start, end),) = channel["gaps"]
        assert start == pytest.approx(0.8, abs=0.002) and 0.8 < end < 0.87
        km, *_ = curve(channel)
        assert not np.any((km > start + 0.011) & (km < end - 0.021)), name  # bins of 10 m
    assert chart(facts, "k-speed")["channels"][1]["gaps"] == []
    _, low, _ = curve(chart(facts, "k-speed")["channels"][0])
    assert low[5:].min() > 60  # the start and what follows the hole are ramps of 8 m/s2
    assert facts["subtitle"] == (
        "Cars drawn over each other by distance. After a hole a car's distance is too short: "
        "A has no data for 20 s at km 0.8: block missing."
    )
    assert compare_facts(cars())["subtitle"] == "Cars drawn over each other by distance."


def test_what_leads_to_a_moment_leads_to_its_distance(cars, table):
    """B drives 0.01 km/s: stuck at 30 s, 0.3 km; its diff oil is highest at 60 s, 0.6 km; a mark
    of the strip at 50 s, 0.5 km. The charts are over distance.
    """
    number = next(n for n, row in table.alarms.items() if row[1] == "DiffOilTempR")
    came = [
        Detected(30_000_000, ev.STUCK, ev.ON, 900, 0),
        Detected(50_000_000, ev.ALARM + number, ev.WARNING, 1200, 0),
    ]
    hot = {"DiffOilTempR": lambda t_s: 90.0 + 20.0 * (t_s > 59.99)}
    facts = compare_facts(cars(((), came), b=hot))
    charts = {one["id"] for one in facts["charts"]}
    car = facts["cars"][1]
    stuck = next(r for r in car["verdict"]["reasons"]["rows"] if r["cells"][0].startswith("Stuck"))
    assert stuck["x_s"] == pytest.approx(0.3, abs=0.001)
    (row,) = next(part for part in car["parts"] if part["place"] == "diff_rear")["rows"]
    assert row["x_s"] == pytest.approx(0.6, abs=0.001)
    assert row["chart"] == "k-DiffOilTempR" and row["chart"] in charts
    (mark,) = car["strip"]["lanes"][1]["marks"]
    assert mark["x_s"] == pytest.approx(0.5, abs=0.001) and mark["x"] == pytest.approx(0.5)
    assert facts["aliases"][mark["chart"]] in charts


def test_rows_of_extremes_have_the_worst_level_of_the_cars(cars, table):
    number = next(n for n, row in table.alarms.items() if row[1] == "BattVolt")
    came = [Detected(30_000_000, ev.ALARM + number, ev.CRITICAL, 1200, 0)]
    rows = rows_of(compare_facts(cars(([], came))), "limits")
    assert rows["BattVolt"]["level"] == "bad" and rows["CoolantTemp"]["level"] == "good"
    assert next(iter(rows)) == "BattVolt"
    overview = rows_of(compare_facts(cars(([], came))), "cars")
    assert (overview["exceedances"]["A"], overview["exceedances"]["B"]) == (0, 1)
    assert (overview["of them critical"]["A"], overview["of them critical"]["B"]) == (0, 1)
    assert overview["verdict"]["B"] == "Not before the work below is done."


def test_channels_lie_over_each_other_by_distance(cars):
    """A's engine turns 2,000 rpm up to 1 km and 4,000 behind it, B's 1,000 rpm all the way."""
    a = {"EngSpd": lambda t_s: 2000.0 + 2000.0 * (t_s > 50)}
    facts = compare_facts(cars(a=a, b={"EngSpd": 1000.0}))
    engine = chart(facts, "k-EngSpd")
    assert (engine["unit"], engine["x_unit"]) == ("rpm", "km")
    assert engine["x1"] == pytest.approx(2.0, abs=0.002)
    first, second = engine["channels"]
    km, low, high = curve(first)
    assert high[km < 0.97].max() == pytest.approx(2000, abs=1)
    assert low[km > 1.03].min() == pytest.approx(4000, abs=1)
    km, low, high = curve(second)
    assert low.min() == pytest.approx(1000, abs=1) and km.max() <= 1.01
    used = chart(facts, "k-FuelUsedTot")
    assert used["title"] == "Fuel used"
    km, low, high = curve(used["channels"][1])  # from 0 on, whatever the counter showed
    assert low.min() == pytest.approx(0, abs=0.01) and high.max() == pytest.approx(0.8, abs=0.01)


def test_a_signal_has_one_row_and_the_lowest_where_a_table_is_below(cars):
    """Coolant has two alarms; oil pressure is judged by a table that it should not be below."""
    b = {"EngOilPres": lambda t_s: 400.0 - 100.0 * (t_s == 50)}
    facts = plain_facts(compare_facts(cars(b=b)))
    rows = facts["sections"]["limits"]["tables"][0]["rows"]
    names = [row["signal"] for row in rows]
    assert len(names) == len(set(names)) and "CoolantTemp" in names
    (oil,) = (row for row in rows if row["signal"] == "EngOilPres")
    assert (oil["A"], oil["B"], oil["unit"], oil["level"]) == (400.0, 300.0, "kPa", "good")
    (tyre,) = (row for row in rows if row["signal"] == "TyrPresFL")
    assert tyre["A"] == 220.0


def test_consumption_needs_fifty_metres(cars):
    """B drives 10 m/s for 4.9 s or 5.1 s, then stands; it slows down with 15 m/s2: 3 m more."""
    used = {"FuelUsedTot": lambda t_s: 1.0 + t_s / 1000}
    for seconds, is_enough in ((4.4, False), (5.1, True)):
        speed = dict.fromkeys(WHEELS, lambda t_s, s=seconds: 36.0 * (t_s < s))
        driven = rows_of(compare_facts(cars(b=speed | used)), "cars", 1)
        assert (driven["consumption"]["B"] is not None) == is_enough
        assert driven["fuel used"]["B"] == pytest.approx(0.1)
    assert driven["moving"]["B"] * 60 == pytest.approx(seconds + 0.65, abs=0.15)


def test_a_car_without_a_counter_of_fuel(cars):
    driven = rows_of(compare_facts(cars(b={"FuelUsedTot": None})), "cars", 1)
    assert (driven["fuel used"]["B"], driven["consumption"]["B"]) == (None, None)
    assert driven["fuel used"]["A"] == pytest.approx(1.0)


def test_temperatures_with_a_limit_have_a_chart_each(cars):
    names = [one["id"] for one in compare_facts(cars())["charts"]]
    assert names[:4] == ["k-behind", "k-faster", "k-speed", "k-EngSpd"]
    assert {"k-CoolantTemp", "k-DiscTempRR", "k-DmpPosFL", "k-FuelUsedTot"} < set(names)
    assert not {"k-BattVolt", "k-FuelPresLo", "k-EngOilPres", "k-Rad1Out"} & set(names)
    assert len(names) == len(set(names))


def test_the_head_says_what_the_tiles_of_each_car_say(cars):
    overview = rows_of(compare_facts(cars()), "cars")
    counted = ["exceedances", "of them critical", "jumps", "landed hard or worse"]
    assert list(overview) == ["verdict", "the log", *counted]
    assert overview["the log"]["A"] == "complete"
    assert (overview["jumps"]["B"], overview["landed hard or worse"]["B"]) == (0, 0)


def test_the_highest_speed_is_no_mean(cars):
    """B drives 36 km/h, and 54 from 50 s to 60 s."""
    speed = dict.fromkeys(WHEELS, lambda t_s: 36.0 + 18.0 * ((t_s > 49.99) & (t_s < 59.99)))
    facts = compare_facts(cars(b=speed))
    assert rows_of(facts, "cars", 1)["highest speed"]["B"] == pytest.approx(54.0)
    (channel,) = chart(facts, "k-behind")["channels"]
    km, _, high = curve(channel)
    assert km[0] == pytest.approx(0.01, abs=0.002) and high[km < 0.02].max() < 1.5
