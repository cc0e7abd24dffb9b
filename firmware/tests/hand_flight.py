"""A car on a `hand_table` that can fly: it stands on the ground until a test lifts it.

Signals 0 to 2 are accelerations (mg), 3 to 6 dampers (0.01 mm), 7 to 10 wheels (0.01 km/h), 11 the
car's own flight state, 12 to 14 rates (1024 is 1 rad/s), 15 the pedal (0.1 %). Forces are not
filtered. Frames come every 10 ms, frame k at 10 k ms + 1 us, and tick k + 1 sees it.
"""

from hand_table import Car

from slog import events as ev
from slog import signal_table as st

ROLES = {
    **{st.ACC_X + i: i for i in range(3)},
    **{st.DAMPER + i: 3 + i for i in range(4)},
    **{st.WHEEL + i: 7 + i for i in range(4)},
    st.FLIGHT_STATE: 11,
    **{st.RATE_X + i: 12 + i for i in range(3)},
    st.PEDAL: 15,
}
SIGNED = {"kind": st.S16, "signed": 1, "low": -32000, "high": 32000}
GROUND = {"s0": 0, "s1": 0, "s2": 1000, **{f"s{i}": 8000 for i in range(3, 7)}}
AIR = {"s2": 0, **{f"s{i}": 0 for i in range(3, 7)}}
SPEED = {f"s{i}": 6000 for i in range(7, 11)}


def car_of(speed=SPEED, **flight):
    """Five seconds on the ground at 60 km/h: the next frame is the 500th."""
    car = Car(16, signals=dict.fromkeys((0, 1, 2, 12, 13, 14), SIGNED), roles=ROLES, flight=flight)
    car.drive(5, every_ms=10, **GROUND, **speed)
    return car


def go(car, seconds, **values):
    car.drive(seconds, every_ms=10, **values)


def flights(car):
    return [(e.tick, e.state, e.value, e.extra) for e in car.said if e.code == ev.FLIGHT]
