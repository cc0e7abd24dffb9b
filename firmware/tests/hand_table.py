"""A signal table written by hand, and frames for it at exact times: what the detectors say of them
can be computed with pencil and paper.

Every signal is alone in a message of its own: identifier 0x100 + its index, 16 bits from byte 0,
little-endian, and its hundredths are its raw value. A frame of `drive` at 0.1 s x k is seen at
tick 10 (k + 1), as a tick comes before the first frame after it.
"""

import struct
from dataclasses import dataclass

from detectors.events import Events
from slog import signal_table as st

GOOD_HIGH = 60000  # a raw value above it is "not available"
MISSING = 65535
NEVER = 0x3FFFFFFF
_ROW = {
    "kind": st.U16,
    "step": 1,
    "n": 2,
    "bits": 16,
    "high": GOOD_HIGH,
    "status": -1,
    "centi_mul": 1 << st.SCALE_BITS,
    "still_low": -NEVER,
    "still_high": NEVER,
}
_ALARM = {
    "number": 1,
    "x": -1,
    "warning": NEVER,
    "critical": NEVER,
    "clear": 1,
    "in_warning": 1,
    "in_critical": 1,
    "out": 1,
}
_WATCH = {
    "stuck_speed": 2000,
    "roll_mg": -300,
    "roll_n": 10,
    "spin_speed": 600,
    "spin_n": 150,
    "spin_move": 10,
    "hand_kPa": 500,
    "hand_speed": 6000,
    "hand_n": 30,
    "summary_s": 3600,
    "engine_rpm": 430,
    "say_s": 60,
    "before_s": 30,
    "after_s": 20,
    "fault": 10,
    "grace_s": 3600,
    "bridge_ds": 30,
}
# Forces are not filtered, and the wheels weigh nothing unless a test gives `unsprung`; a damper at
# 80.00 mm carries 250 per mille of the weight by its spring.
_FLIGHT = {
    "filter": 256,
    "acc_enter2": 350**2,
    "acc_exit2": 700**2,
    "landing": 1500,
    "jump": 20000,
    "gap": 1,
    "droop": 1200,
    "droop_all": 2000,
    "load": 35,
    "load_out": 140,
    "mean": 70,
    "mean_end": 105,
    "mean_sure": 35,
    "flare": 150,
    "flare_pedal": 200,
    "confirm": 7,
    "only_confirm": 18,
    "compress": 1400,
    "hold": 25,
    "merge": 6,
    "shortest": 9,
    "shortest_slow": 15,
    "slow": 4000,
    "longest": 300,
    "inhibit": 1500,
    "severity1": 3000,
    "severity2": 5000,
    "severity3": 8000,
    "airborne_code": 2,
    **{f"spring{i}": 512 for i in range(4)},
}
_FUEL = {"start": 54000, "plan": 700, "ewma_m": 20000, "range_km": 5, "dead_high": 39200}
_TANK = (0, 0, 0, 55000, 40000, 40000)  # two points: cl, 0.01 mm of A and B
_HEAT = {"radius_mm": 430, "settle_s": 1200, "capacity0": 19000, "capacity1": 19000}
_AIR = (0, 1000)  # v^0.8 in 1/1000 at 0 and 1 m/s


@dataclass(frozen=True)
class Said:
    """One event and the tick at which it came."""

    tick: int
    code: int
    state: int
    value: int
    extra: int


class Car:
    """Detectors with a table of `n_signals` signals, and what they said.

    signals   {index: {column: value}} where a signal differs
    roles     {role: signal, or (signal, factor, offset)}
    refuels   entered volumes, as detectors.fuel.Fuel takes them
    others    rows of their sections by column name
    """

    def __init__(self, n_signals, signals=(), roles=(), slots=(), refuels=(), **sections):
        self.said = []
        self.n_signals = n_signals
        self._t_us = 0
        self.held = {}
        table = self._table(n_signals, dict(signals), dict(roles), dict(slots), sections)
        self.events = None
        self.data = st.pack(0, table)  # as a logger gets it
        self.events = Events(st.load(self.data), self._take, list(refuels))

    def _table(self, n, signals, roles, slots, sections):
        slot = {"n_bytes": 2, "stale_ticks": 50}
        watch = {**_WATCH, **sections.get("watch", {})}
        flight = {**_FLIGHT, **sections.get("flight", {})}
        fuel = {**_FUEL, **sections.get("fuel", {})}
        heat = {**_HEAT, **sections.get("heat", {})}
        return {
            st.SLOTS: [
                _row(st.SLOTS, {"can_id": 0x100 + i, **slot, **slots.get(i, {})}) for i in range(n)
            ],
            st.SIGNALS: [
                _row(st.SIGNALS, {"slot": i, **_ROW, **signals.get(i, {})}) for i in range(n)
            ],
            st.ROLES: [_role(role, plays) for role, plays in roles.items()],
            st.GATES: [_row(st.GATES, gate) for gate in sections.get("gates", ())],
            st.ALARMS: [
                _row(st.ALARMS, {**_ALARM, **alarm}) for alarm in sections.get("alarms", ())
            ],
            st.POINTS: [list(point) for point in sections.get("points", ())],
            st.FLIGHT: _column(st.FLIGHT_ROWS, flight),
            st.FUEL: _column(st.FUEL_ROWS, fuel) + [[x] for x in sections.get("tank", _TANK)],
            st.HEAT: _column(st.HEAT_ROWS, heat) + [[x] for x in sections.get("air", _AIR)],
            st.WATCH: _column(st.WATCH_ROWS, watch),
        }

    def _take(self, code, state, value, extra):
        tick = self.events.watch.tick if self.events else 0
        self.said.append(Said(tick, code, state, value, extra))

    def frame(self, t_us, can_id, data, dlc=None, kind=0):
        """Give one frame; `kind` is bus | rtr << 1 | ext << 2."""
        dlc = len(data) if dlc is None else dlc
        head = struct.pack("<II", t_us & 0xFFFFFFF | dlc << 28, can_id | kind << 29)
        self.events.scan(head + bytes(data).ljust(8, b"\0"), 0, 1, t_us >> 28)

    def drive(self, seconds, every_ms=100, **values):
        """Send every signal every `every_ms` for some time. s3=7 sets signal 3 to 7 from now on;
        None sends it no longer; a function is asked with the number of the period.
        """
        self.held.update({int(name[1:]): value for name, value in values.items()})
        for k in range(round(seconds * 1000 / every_ms)):
            for i in range(self.n_signals):
                raw = self.held.get(i, 0)
                raw = raw(k) if callable(raw) else raw
                if raw is not None:
                    self.frame(self._t_us + 1, 0x100 + i, struct.pack("<H", raw & 0xFFFF))
            self._t_us += every_ms * 1000

    def pause(self, seconds):
        """Let time pass without a frame."""
        self._t_us += round(seconds * 1_000_000)

    def of(self, code, n=1):
        """Return [(tick, state, value)] of the events with codes from `code` on, `n` of them."""
        return [(e.tick, e.state, e.value) for e in self.said if code <= e.code < code + n]

    def states(self, code):
        """Return the states of the events with this code."""
        return [e.state for e in self.said if e.code == code]


def _row(tag, values):
    unknown = set(values) - set(st.COLUMNS[tag])
    assert not unknown, unknown
    return [values.get(name, 0) for name in st.COLUMNS[tag]]


def _column(names, values):
    assert set(values) <= set(names), set(values) - set(names)
    return [[values.get(name, 0)] for name in names]


def _role(role, plays):
    signal, factor, offset = plays if isinstance(plays, tuple) else (plays, 1, 0)
    return [role, signal, round(factor * (1 << st.SCALE_BITS)), offset]
