"""Which signals may be believed: plausible, moving, not stale, and good by their own status.

Owns one verdict per signal and per message. Each signal is looked at ten times a second, a tenth
of them at each tick. A fault needs evidence for some time, so that one bad frame is none; a single
bad value is never compared all the same.
"""

from array import array

from logger.native import micropython
from logger.watch import SIGNAL_COLUMNS, SLOT_COLUMNS
from slog import events as ev
from slog import signal_table as st
from slog.layout import const

_BAD = const(2)  # one bad look against good ones
_CAP = const(0x3FFFFFFF)


class Sensors:
    """`valid[i]` is 1 while signal i may be compared; `last[i]` is its raw value at that time."""

    def __init__(self, watch, rows, emit):
        n = watch.n_signals
        self.valid = bytearray(n)
        self.last = array("i", [0] * n)
        self.fault = bytearray(n)
        self.n_faults = 0
        self._watch = watch
        self._emit = emit
        self._score = bytearray(n)
        self._still = array("H", [0] * n)
        self._lost = bytearray(watch.n_slots)
        self._stuck_speed = rows["stuck_speed"]
        self._fault = rows["fault"]
        self._grace = rows["grace_s"] * 100  # until a message that never came is missed
        self._since = 0

    def resume(self):
        """Begin anew after a pause: nothing is stale yet, nothing valid."""
        watch = self._watch
        self._since = watch.tick
        for i in range(watch.n_slots):
            watch.seen[i] = -1
        for i in range(watch.n_signals):
            self.valid[i] = 0
            self._still[i] = 0

    def step(self, group, speed):
        """Look at every tenth signal and message. speed: 0.01 km/h."""
        watch = self._watch
        for i in range(group, watch.n_signals, 10):
            self._look(i, speed)
        if watch.tick - self._since < self._grace:
            return
        for slot in range(group, watch.n_slots, 10):
            seen = watch.seen[slot]
            lost = seen < 0 or watch.tick - seen > watch.slots[slot * SLOT_COLUMNS + 2]
            if lost != self._lost[slot]:
                self._lost[slot] = lost
                self._emit(
                    ev.MESSAGE + slot,
                    ev.STALE if lost else ev.GOOD,
                    watch.slots[slot * SLOT_COLUMNS],
                    0,
                )

    @micropython.native
    def _look(self, i, speed):
        watch = self._watch
        if not watch.is_fresh(i):
            self.valid[i] = 0
            return
        raw = min(watch.raw(i), _CAP)
        row = watch.signals
        at = i * SIGNAL_COLUMNS
        verdict = ev.GOOD
        last = self.last[i]
        if raw == last and self.valid[i] and not self._score[i]:
            if not row[at + 11] and row[at + 12] < 0:
                return
        if raw < row[at + 8] or raw > row[at + 9]:
            verdict = ev.IMPLAUSIBLE
        elif row[at + 12] >= 0 and watch.raw(row[at + 12]) != row[at + 13]:
            verdict = ev.STATUS_BAD
        else:
            if row[at + 10] and self.valid[i]:
                step = raw - last
                if step > row[at + 10] or -step > row[at + 10]:
                    verdict = ev.IMPLAUSIBLE
            if row[at + 11]:
                if raw != last or speed < self._stuck_speed:
                    self._still[i] = 0
                elif not row[at + 16] < raw < row[at + 17]:
                    self._still[i] = 0
                elif self._still[i] < row[at + 11]:
                    self._still[i] += 1
                else:
                    verdict = ev.STUCK_VALUE
        self.last[i] = raw
        score = self._score[i]
        if verdict:
            score = min(score + _BAD, 2 * self._fault)
            if score >= self._fault and not self.fault[i]:
                self.fault[i] = verdict
                self.n_faults += 1
                self._emit(ev.SENSOR + i, verdict, raw, 0)
        elif score:
            score -= 1
            if not score and self.fault[i]:
                self.fault[i] = 0
                self._emit(ev.SENSOR + i, ev.GOOD, raw, 0)
        self._score[i] = score
        self.valid[i] = not verdict and not self.fault[i]


def roles_of(sections):
    """Return (signal, mul, add): three arrays by role; signal is -1 where a role is not filled."""
    signal = array("h", [-1] * st.N_ROLES)
    mul = array("i", [0] * st.N_ROLES)
    add = array("i", [0] * st.N_ROLES)
    rows = sections[st.ROLES]
    for at in range(0, len(rows), 4):
        role = rows[at]
        signal[role] = rows[at + 1]
        mul[role] = rows[at + 2]
        add[role] = rows[at + 3]
    return signal, mul, add
