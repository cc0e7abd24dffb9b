"""Rows of gates and alarms in the signal table, in raw units: each number worked out here.

A temperature of 0.5 degC a bit from -40 degC on: 120 degC are (120 + 40) / 0.5 = 320. A voltage of
0.1 V a bit: 12.8 V are 128. An engine's speed of 0.25 rpm a bit.
"""

from types import SimpleNamespace

import pytest

from slog import signal_table as st
from stagelog.dbc import Signal
from stagelog.events.alarm_rows import alarm_sections

NEVER = 0x3FFFFFFF
SIGNALS = {
    "Temp": Signal("Temp", 0, 8, scale=0.5, offset=-40.0),
    "Other": Signal("Other", 0, 8, scale=0.5, offset=-40.0),
    "Volt": Signal("Volt", 0, 8, scale=0.1, offset=0.0),
    "Rpm": Signal("Rpm", 0, 16, scale=0.25, offset=0.0),
    "Duty": Signal("Duty", 0, 8, scale=0.4, offset=0.0),
}


class Builder:
    """What a table knows of its signals; their index is their place in SIGNALS."""

    def has(self, name):
        return name in SIGNALS

    def signal(self, name, entry):
        return SIGNALS[name]

    def index(self, name, entry=None):
        return list(SIGNALS).index(name)


class Problem(Exception):
    pass


def alarm(kind, **more):
    given = {
        "id": 10,
        "kind": kind,
        "signals": ("Temp",),
        "unit": "degC",
        "warning": None,
        "critical": None,
        "clear": 0.0,
        "debounce_s": (0.0, 0.0),
        "debounce_out_s": 0.0,
        "gates": (),
        "latch": False,
        "x_signal": None,
        "x_signals": None,
        "x_limit": None,
        "window_s": None,
        "floor": None,
        "limit": None,
        "drop_per_min": None,
        "table_x": None,
        "table_y": None,
    }
    return SimpleNamespace(**given | more)


def gate(signal, above=None, below=None, for_s=0.0):
    return SimpleNamespace(signal=signal, above=above, below=below, for_s=for_s)


def sections(gates=None, **alarms):
    profile = SimpleNamespace(
        gate=gates or {}, alarm=alarms, engine=SimpleNamespace(idle_rpm=720.0)
    )
    names, made = alarm_sections(profile, Builder(), lambda profile, entry, text: Problem(text))
    rows = [dict(zip(st.COLUMNS[st.ALARMS], row, strict=True)) for row in made[st.ALARMS]]
    return names, rows, made


def only(**alarms):
    (row,) = sections(**alarms)[1]
    return row


def limits(row):
    return row["warning"], row["critical"], row["clear"]


def past(row):
    return row["window"], row["floor"], row["limit"], row["drop"]


def test_above_and_below_a_limit():
    """Above: the last raw value that is not beyond, so 120.3 degC are 320. Below: negative, the
    first that is not beyond: 12.83 V are 129. Without a level it never comes.
    """
    row = only(a=alarm("above", warning=120.3, critical=140.0, clear=5.0))
    assert limits(row) == (320, 360, 10) and past(row) == (0, 0, 0, 0)
    assert limits(only(a=alarm("above", critical=118.0)))[:2] == (NEVER, 316)
    row = only(a=alarm("below", signals=("Volt",), warning=12.83, critical=12.2, clear=0.3))
    assert limits(row) == (-129, -122, 3)
    assert limits(only(a=alarm("below", signals=("Volt",), warning=12.8)))[:2] == (-128, NEVER)
    assert limits(only(a=alarm("above", warning=1.0, clear=0.1)))[2] == 1  # at least one bit


def test_the_rise_in_a_window():
    """8 degC a minute over 120 s are 16 degC, 32 bits; 15 are 60. 90 degC are 260.

    The oldest of eight intervals is up to eight of 7.5 old: 1,200 samples * 8 / 7.5 = 1,280.
    """
    more = {"window_s": 120.0, "floor": 90.0}
    row = only(a=alarm("rate", warning=8.0, critical=15.0, clear=3.0, **more))
    assert limits(row) == (32, 60, 12) and past(row) == (1280, 260, 0, 0)


def test_the_time_until_a_limit():
    """Tenths of minutes, negative: less is worse. 1 degC a minute over 120 s are 4 bits."""
    more = {"window_s": 120.0, "floor": 1.0, "limit": 140.0}
    row = only(a=alarm("time_to_limit", warning=10.0, critical=4.0, clear=2.0, **more))
    assert limits(row) == (-100, -40, 20) and past(row) == (1280, 4, 360, 1200)


def test_a_drop_below_what_was_learned():
    """Tenths of percent; 20 V a minute over 30 s are 10 V, 100 bits; 30 s are 300 samples."""
    more = {"signals": ("Volt",), "window_s": 30.0}
    row = only(a=alarm("drop", warning=15.0, critical=30.0, clear=5.0, drop_per_min=20.0, **more))
    assert limits(row) == (150, 300, 50) and past(row) == (300, 0, 0, 100)
    assert past(only(a=alarm("drop", warning=15.0, **more)))[3] == 0


def test_a_difference_and_the_best_of_several():
    """600 rpm are 2,400 bits whatever the offset; percent of the best are negative."""
    more = {"signals": ("Temp",), "x_signal": "Other"}
    row = only(a=alarm("difference", warning=60.0, critical=120.5, clear=10.0, **more))
    assert limits(row) == (120, 241, 20) and row["x"] == 1
    row = only(a=alarm("cooler", warning=40.0, critical=15.0, clear=12.0, floor=8.2, **more))
    assert limits(row) == (-40, -15, 12) and past(row) == (0, 17, 0, 0)  # 8.2 / 0.5 = 16.4


def test_signals_that_are_subtracted_have_one_scale():
    for kind in ("difference", "cooler"):
        with pytest.raises(Problem, match="Temp and Volt differ in scale or offset"):
            sections(a=alarm(kind, warning=1.0, floor=1.0, x_signal="Volt"))


def test_a_fan_asked_for_and_not_turning():
    """Below 2 A: 20 of 0.1 A; above 50.1 % duty: 125 of 0.4 %."""
    more = {"signals": ("Volt",), "x_signals": ("Duty",), "x_limit": 50.1}
    row = only(a=alarm("fan", warning=2.0, clear=1.0, **more))
    assert limits(row) == (-20, NEVER, 10) and past(row) == (0, 0, 125, 0)
    assert (row["kind"], row["x"]) == (st.FAN, 4)


TABLE = {"x_signal": "Rpm", "table_x": (700.0, 3000.0), "table_y": (100.0, 300.0)}


def test_a_table_of_limits():
    """15 % and 30 % below 100 and 300 degC: 85, 70 and 255, 210; in bits 250, 220, 590, 500.

    10 % of the table's mean of 200 to clear: 20 degC, 40 bits. 700 rpm are 2,800 bits.
    """
    names, (row,), made = sections(
        a=alarm("below_table", unit="%", warning=15.0, critical=30.0, clear=10.0, **TABLE)
    )
    assert limits(row) == (0, 0, 40) and (row["points"], row["n_points"]) == (0, 2)
    assert made[st.POINTS] == [[2800, -250, -220], [12_000, -590, -500]]
    names, rows, made = sections(
        first=alarm("above_table", warning=15.0, critical=25.0, clear=5.0, **TABLE),
        second=alarm("above_table", id=20, warning=1.0, clear=5.0, **TABLE),
    )
    assert limits(rows[0]) == (0, 0, 10)
    assert [(row["points"], row["n_points"]) for row in rows] == [(0, 2), (2, 2)]
    # above 115, 125, 315, 325 and 101, 301
    assert made[st.POINTS] == [
        [2800, 310, 330],
        [12_000, 710, 730],
        [2800, 282, NEVER],
        [12_000, 682, NEVER],
    ]


def test_names_numbers_gates_and_samples():
    """Signals that the bus lacks have no row, but keep their number. 10 s of ten samples a second
    begin and end with one: 101; 0.3 s are 4.
    """
    names, rows, made = sections(
        gates={"moving": gate("vehicle_speed_kmh", above=10.0), "warm": gate("Temp", above=60.0)},
        first=alarm("above", warning=1.0, debounce_s=(10.0, 0.3), debounce_out_s=5.0, latch=True),
        second=alarm(
            "below", id=20, signals=("Volt", "Gone", "Rpm"), unit="V", warning=1.0, gates=("warm",)
        ),
        third=alarm("above", id=30, warning=1.0, gates=("warm", "moving")),
    )
    assert names == {
        10: ("first", "Temp", "degC"),
        20: ("second", "Volt", "V"),
        22: ("second", "Rpm", "V"),
        30: ("third", "Temp", "degC"),
    }
    keys = ("number", "kind", "signal", "x", "gates", "latch", "group")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        (10, st.ABOVE, 0, -1, 0, 1, 0),
        (20, st.BELOW, 2, -1, 0b10, 0, 1),
        (22, st.BELOW, 3, -1, 0b10, 0, 1),
        (30, st.ABOVE, 0, -1, 0b11, 0, 2),
    ]
    assert [rows[0][key] for key in ("in_warning", "in_critical", "out")] == [101, 4, 51]
    assert [rows[1][key] for key in ("in_warning", "in_critical", "out")] == [1, 1, 1]


def test_gates():
    """Speed in 0.01 km/h; airborne and the engine per mille and rpm of idle; a signal in bits."""
    made = sections(
        gates={
            "moving": gate("vehicle_speed_kmh", above=10.0, for_s=30.0),
            "grounded": gate("airborne", below=0.5, for_s=0.5),
            "running": gate("engine_running", above=0.5),
            "warm": gate("Temp", above=60.3, for_s=2.0),
            "weak": gate("Volt", below=12.83),
        }
    )[2]
    assert [dict(zip(st.COLUMNS[st.GATES], row, strict=True)) for row in made[st.GATES]] == [
        {"source": st.OF_SPEED, "signal": -1, "limit": 1000, "falls": 0, "steps": 300},
        {"source": st.OF_AIRBORNE, "signal": -1, "limit": 500, "falls": 1, "steps": 5},
        {"source": st.OF_ENGINE, "signal": -1, "limit": 360, "falls": 0, "steps": 0},
        {"source": st.OF_SIGNAL, "signal": 0, "limit": 200, "falls": 0, "steps": 20},
        {"source": st.OF_SIGNAL, "signal": 2, "limit": 129, "falls": 1, "steps": 0},
    ]


def test_more_gates_than_bits_are_refused():
    many = {f"g{n}": gate("Temp", above=1.0) for n in range(28)}
    assert len(sections(many)[2][st.GATES]) == 28
    with pytest.raises(Problem, match="29 gates, at most 28 fit"):
        sections(many | {"more": gate("Temp", above=1.0)})
