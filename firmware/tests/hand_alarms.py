"""Cars with alarms by hand: signal 0 of a `hand_table` is judged."""

from hand_table import Car

from slog import events as ev
from slog import signal_table as st

ALARM = ev.ALARM + 1
ABOVE = {"warning": 120, "critical": 140, "clear": 5}
WHEELS = dict.fromkeys(range(st.WHEEL, st.WHEEL + 4), 1)


def car_of(*alarms, n_signals=1, **more):
    return Car(n_signals, alarms=[{"signal": 0, **alarm} for alarm in alarms], **more)
