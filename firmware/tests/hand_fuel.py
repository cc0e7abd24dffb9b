"""The car of the fuel tests: signal 0 counts ml, 1 and 2 are the senders (0.01 mm), 3 is every
wheel (0.01 km/h).

The tank holds 550 l at 400.00 mm on both: 1.375 cl per 0.01 mm. The car has no acceleration
sensor: it is level. Steps are at ticks 10, 20..; frame k is seen at tick 10 (k + 1).
"""

from hand_table import Car

from slog import signal_table as st

ROLES = {
    st.FUEL_USED: 0,
    st.LEVEL: 1,
    st.LEVEL + 1: 2,
    **dict.fromkeys(range(st.WHEEL, st.WHEEL + 4), 3),
}
ROWS = {
    "unusable": 1500,
    "start": 54000,
    "scale_sigma": 18000,
    "quiet_mg": 50,
    "slope_mg": 120,
    "quiet_speed": 500,
    "quiet_s": 20,
    "sigma_quiet": 400,
    "sigma_moving": 2500,
    "gate": 3,
    "refuel_rise": 1500,
    "refuel_speed": 300,
    "leak": 1000,
    "leak_s": 900,
    "reserve": 1500,
    "ewma_m": 20000,
    "plan": 700,
    "dead_low": 800,
    "dead_high": 39200,
    "first_n": 20,
    "first_m": 300,
    "range_km": 5,
}
HALF = 20000  # 275.00 l


def car_of(refuels=(), **rows):
    return Car(4, roles=ROLES, refuels=refuels, fuel={**ROWS, **rows})


def level(raw):
    return {"s1": raw, "s2": raw}


def standing(raw=HALF, seconds=3, refuels=(), **rows):
    car = car_of(refuels, **rows)
    car.drive(seconds, **level(raw))
    return car
