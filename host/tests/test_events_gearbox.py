"""Abuse of gearbox and converter: where it begins, what ends it, what is said of it.

On the grid of 10 ms; limits of dbc/profiles/d7xr.toml: 6,500 rpm, 450 Nm, slip of 300 rpm and
4,000 rpm s, 250 Nm below 60 rpm for 5 s, above 20 km/h for 2 s.
"""

import numpy as np
import pytest

from stagelog.events.gearbox import GearAbuse, find_gear_abuse
from stagelog.profile import load_profile

CALM = {"GearAct": 4, "GearTgt": 4, "ShiftInProg": 0, "EngSpd": 2500, "EngTrqAct": 200}
CALM |= {"TrnInSpd": 2480, "TrnOutSpd": 1500, "WhlSpdFL": 60}


@pytest.fixture(scope="module")
def found():
    profile = load_profile("d7xr")

    def call(end_s=20.0, **changed):
        """Return the facts; a value is (outside, *(from, to, inside))."""
        t_us = np.arange(0, round(end_s * 1e6) + 1, 10_000)
        series = {}
        for name, calm in CALM.items():
            outside, *spans = changed.get(name, (calm,))
            values = np.full(len(t_us), float(outside))
            for start_s, stop_s, inside in spans:
                values[(t_us >= start_s * 1e6) & (t_us < stop_s * 1e6)] = inside
            if outside is not None:
                series[name] = (t_us, values)
        return find_gear_abuse(series.get, profile)

    return call


def kinds(facts):
    return [(fact.t_us / 1e6, fact.kind) for fact in facts]


def test_a_downshift_that_would_over_rev(found):
    """Output 2,000 rpm: into the second of 3.52 are 7,040 rpm, into the third of 2.2 4,400."""
    (fact,) = found(GearTgt=(4, (5, 5.5, 2)), TrnOutSpd=(2000,))
    assert fact == GearAbuse(
        t_us=5_000_000,
        kind="downshift_over_rev",
        value=7040.0,
        unit="rpm",
        text="4 to 2 would turn the engine at 7040 rpm",
    )
    assert found(GearTgt=(4, (5, 5.5, 3)), TrnOutSpd=(2000,)) == []
    # the first gear has a ratio too: 5.5 * 1,182 = 6,501
    assert kinds(found(GearAct=(2,), GearTgt=(2, (5, 5.5, 1)), TrnOutSpd=(1182,)))
    # up is no downshift; reverse (14), park (13) and neutral are no gears
    assert found(GearTgt=(4, (5, 5.5, 8)), TrnOutSpd=(9000,)) == []
    assert found(GearTgt=(4, (5, 5.5, 0)), TrnOutSpd=(9000,)) == []
    assert found(GearAct=(14,), GearTgt=(2,), TrnOutSpd=(9000,)) == []
    # the highest speed of the request counts, not that at its begin
    assert found(GearTgt=(4, (5, 6, 2)), TrnOutSpd=(1000, (5.5, 5.6, 1900)))[0].value == 6688.0


def test_a_shift_under_load_is_judged_in_its_middle(found):
    """Torque 600 Nm for a third of the shift is not its middle, for two thirds it is."""
    shift = {"ShiftInProg": (0, (5, 5.3, 1))}
    assert found(**shift, EngTrqAct=(100, (5, 5.1, 600))) == []
    up = found(**shift, EngTrqAct=(100, (5, 5.2, 600)), GearTgt=(4, (5, 5.3, 5)))
    assert [(fact.text, fact.value) for fact in up] == [("upshift at 600 Nm", 600.0)]
    down = found(**shift, EngTrqAct=(451,), GearTgt=(4, (5, 5.3, 3)))
    assert [fact.text for fact in down] == ["downshift at 451 Nm"]
    assert found(**shift, EngTrqAct=(450,)) == []


def test_slip_of_the_converter_adds_up_over_short_breaks(found):
    """1,000 rpm for 2 s and again for 2.1 s, 0.3 s apart: one piece, and the break counts with the
    20 rpm of slip that there is then. 0.31 s apart they are two, neither of which is 4,000 rpm s.
    """
    slip = (2480, (5, 7, 1500), (7.3, 9.4, 1500))
    (fact,) = found(TrnInSpd=slip)
    assert (fact.t_us, fact.kind, fact.unit) == (5_000_000, "converter_slip", "rpm s")
    assert fact.value == pytest.approx(2000 + 2100 + 0.3 * 20)
    assert fact.text == "slip of 933 rpm for 4.4 s"  # 4,106 / 4.4
    assert found(TrnInSpd=(2480, (5, 7, 1500), (7.31, 9.41, 1500))) == []
    assert found(TrnInSpd=slip, EngTrqAct=(0,)) == []
    assert found(TrnInSpd=(2200,)) == []  # 300 rpm of slip are not more than 300
    assert len(found(TrnInSpd=(2199,))) == 1


def test_torque_against_wheels_that_stand(found):
    """59 rpm are standing, 60 not; 5 s are not longer than 5; neutral is no stall."""
    still, torque = (1500, (5, 11, 59)), (400,)
    (fact,) = found(TrnOutSpd=still, EngTrqAct=torque)
    assert (fact.value, fact.unit) == (6.0, "s")
    assert fact.text == "400 Nm against wheels that stand"
    assert found(TrnOutSpd=(1500, (5, 11, 60)), EngTrqAct=torque) == []
    assert found(TrnOutSpd=(1500, (5, 10, 59)), EngTrqAct=torque) == []
    assert found(TrnOutSpd=still, EngTrqAct=(250,)) == []
    for gear in (0, 13, 14):
        assert "stall_torque" not in [
            fact.kind for fact in found(TrnOutSpd=still, EngTrqAct=torque, GearAct=(gear,))
        ]
    assert kinds(found(TrnOutSpd=still, EngTrqAct=torque, GearAct=(8,), GearTgt=(8,)))


def test_coasting_out_of_gear(found):
    """More than 2 s above 20 km/h; the fastest is said."""
    (fact,) = found(GearAct=(4, (5, 8, 0)), WhlSpdFL=(60, (6, 6.5, 75)))
    assert (fact.value, fact.text) == (3.0, "out of gear at 75 km/h")
    assert found(GearAct=(4, (5, 7, 0))) == []
    assert found(GearAct=(4, (5, 8, 0)), WhlSpdFL=(20,)) == []
    assert found(GearAct=(4, (5, 8, 13))) == []


def test_facts_go_by_time(found):
    facts = found(
        GearAct=(4, (3, 6, 0)),
        TrnInSpd=(2480, (10, 15, 1000)),
        ShiftInProg=(0, (8, 8.2, 1)),
        EngTrqAct=(200, (7.9, 8.3, 500)),
    )
    assert kinds(facts) == [
        (3.0, "neutral_coasting"),
        (8.0, "shift_under_load"),
        (10.0, "converter_slip"),
    ]


def test_a_signal_without_a_value_is_one_that_the_log_does_not_hold():
    """Raised IndexError: the gear of a log whose messages of it are all too short."""
    t_us = np.arange(0, 1_000_001, 10_000)
    empty = (np.array([], np.int64), np.array([]))
    series = {"WhlSpdFL": (t_us, np.full(len(t_us), 60.0)), "GearAct": empty}
    assert find_gear_abuse(series.get, load_profile("d7xr")) == []
