"""Roll-over and handbrake: numbers worked out by hand.

Signals 0 to 3 are wheels (0.01 km/h), 4 the handbrake (kPa), 5 to 7 accelerations (mg, 7 is
vertical). Steps are at ticks 10, 20..
"""

from hand_table import Car

from slog import events as ev
from slog import signal_table as st

ROLES = {
    **{st.WHEEL + i: i for i in range(4)},
    st.HANDBRAKE: 4,
    **{st.ACC_X + i: 5 + i for i in range(3)},
}
SIGNED = {i: {"kind": st.S16, "signed": 1, "low": -32000, "high": 32000} for i in (5, 6, 7)}


def car_of():
    car = Car(8, signals=SIGNED, roles=ROLES)
    car.drive(1, s7=1000)
    return car


def wheels(*kmh):
    return {f"s{i}": round(100 * v) for i, v in enumerate(kmh)}


def test_roll_over_is_upside_down_for_a_second_and_over_when_it_stands_again():
    """-301 mg from frame 10 on: ten steps from tick 110 on, tick 200. Up from frame 40 on: the
    tenth is tick 500. -300 is not below -300.
    """
    car = car_of()
    car.drive(3, s7=-301)
    car.drive(3, s7=1000)
    assert car.of(ev.ROLL_OVER) == [(200, ev.ON, -301), (500, ev.OFF, 1000)]
    car = car_of()
    car.drive(20, s7=-300)
    assert car.of(ev.ROLL_OVER) == []


def test_a_roll_of_just_a_second_is_over_a_second_later():
    """Ten steps upside down, frames 10 to 19: at tick 200. Frame 20 is the first of ten upright:
    tick 210 + 9 x 10.
    """
    car = car_of()
    car.drive(1, s7=-1000)
    car.drive(2, s7=1000)
    assert car.of(ev.ROLL_OVER) == [(200, ev.ON, -1000), (300, ev.OFF, 1000)]


def test_a_moment_upside_down_is_no_roll_over():
    car = car_of()
    for _ in range(5):
        car.drive(0.9, s7=-1000)
        car.drive(0.1, s7=1000)
    assert car.of(ev.ROLL_OVER) == []


def test_handbrake_at_speed_is_abuse_at_once():
    """Faster than 60 km/h: the second step with 500 kPa, tick 120. Said once until released."""
    car = car_of()
    car.drive(1, **wheels(0, 0, 0, 61))
    car.drive(5, s4=500)
    car.drive(1, s4=499)
    car.drive(1, s4=900)
    # frame 20 is seen at tick 210, frame 80 at 810
    assert [(e.tick, e.state, e.value, e.extra) for e in car.said if e.code == ev.HANDBRAKE] == [
        (220, ev.ON, 6100, 500),
        (820, ev.ON, 6100, 900),
    ]
    assert car.events.incidents.n_abuses == 2


def test_handbrake_for_long_is_abuse_at_any_speed():
    """Above 6 km/h for more than 30 steps: the 31st, tick 10 (10 + 31)."""
    car = car_of()
    car.drive(10, s4=500, **wheels(0, 0, 0, 6.01))
    assert [(t, s) for t, s, _ in car.of(ev.HANDBRAKE)] == [(410, ev.ON)]
    car = car_of()
    car.drive(10, s4=500, **wheels(6, 6, 6, 6))
    assert car.of(ev.HANDBRAKE) == []
    car = car_of()
    car.drive(20, s4=499, **wheels(90, 90, 90, 90))
    assert car.of(ev.HANDBRAKE) == []
