"""Which signals may be believed: plausible, moving, not stale, and good by their own status.

Owns one verdict per signal and per message. Each signal is sampled ten times a second, a tenth of
them at each tick. A fault needs evidence for some time, so that one bad frame is none; a single
bad value is never compared all the same.
"""

from array import array

from slog import events as ev
from slog import signal_table as st
from slog.layout import const
from slog.native import micropython, ptr8, ptr16, ptr32

_ALONE = const(0x10000)  # a step beyond all signals
# Columns of SIGNALS, SLOTS and ROLES, held to slog.signal_table by a test.
_S_SLOT = const(0)
_S_LOW = const(8)
_S_HIGH = const(9)
_S_MAX_STEP = const(10)
_S_STUCK = const(11)
_S_STATUS = const(12)
_S_STATUS_GOOD = const(13)
_S_STILL_LOW = const(16)
_S_STILL_HIGH = const(17)
_S_COLUMNS = const(18)
_M_CAN_ID = const(0)
_M_STALE_TICKS = const(2)
_M_COLUMNS = const(7)
_R_ROLE = const(0)
_R_SIGNAL = const(1)
_R_MUL = const(2)
_R_ADD = const(3)
_R_COLUMNS = const(4)
_BAD = const(2)  # weight of a bad sample against good ones
# Words that `_judge` needs.
_TICK = const(0)
_N = const(1)
_SPEED = const(2)
_STUCK_SPEED = const(3)
_FAULT = const(4)
_ONE = const(5)  # 1
_VERDICT = const(6)


class Sensors:
    """`valid[i]` is 1 while signal i may be compared; `last[i]` is its raw value at that time.
    `valid[-1]` stands for the signal of a role that is not filled: never.
    """

    def __init__(self, watch, roles, rows, emit):
        n = watch.n_signals
        self.valid = bytearray(n + 1)
        self.last = array("i", [0] * n)
        self.fault = bytearray(n)
        self.n_faults = 0
        self._watch = watch
        self._signal, self._mul, self._add = roles
        self._emit = emit
        self._score = bytearray(n)
        self._still = array("H", [0] * n)
        self._lost = bytearray(watch.n_slots)
        status = [watch.signals[_S_COLUMNS * i + _S_STATUS] for i in range(n)]
        self._statuses = array("H", sorted({i for i in status if i >= 0}))
        self._words = array("i", [0, n, 0, rows["stuck_speed"], rows["fault"], 1, 0])
        self._grace = rows["grace_s"] * 100  # until a message that never came is missed
        self._since = 0

    def resume(self):
        """Begin anew after a pause: nothing is stale yet, nothing valid."""
        self._since = self._watch.tick
        for i in range(self._watch.n_signals):
            self.valid[i] = 0
            self._still[i] = 0

    def value(self, role, missing=0):
        """Return what plays a role in its unit, or `missing`."""
        i = self._signal[role]
        if i < 0 or not self.valid[i]:
            return missing
        return (self.last[i] * self._mul[role] >> st.SCALE_BITS) + self._add[role]

    def blame(self, i, verdict):
        """Believe signal i no longer, by what another owner knows; for two seconds of good samples
        after its last report.
        """
        self._score[i] = 2 * self._words[_FAULT]
        self.valid[i] = 0
        if not self.fault[i]:
            self.fault[i] = verdict
            self.report(i, verdict)

    def report(self, i, verdict):
        """Report a verdict on signal i, which may be used all the same."""
        if verdict:
            self.n_faults += 1
        self._emit(ev.SENSOR + i, verdict, self._watch.raw(i), 0)

    def step(self, group, speed):
        """Judge every tenth signal and message. speed: 0.01 km/h."""
        watch = self._watch
        words = self._words
        words[_TICK] = watch.tick
        words[_SPEED] = speed
        watch.decode(group, 10)
        for i in self._statuses:
            watch.decode(i, _ALONE)
        i = group
        while True:
            i = _judge(
                words,
                watch.signals,
                watch.slots,
                watch.seen,
                watch.raws,
                self.last,
                self.valid,
                self._score,
                self._still,
                self.fault,
                i,
            )
            if i >= watch.n_signals:
                break
            if words[_VERDICT]:
                self.n_faults += 1
            self._emit(ev.SENSOR + i, words[_VERDICT], watch.raws[i], 0)
            i += 10
        if watch.tick - self._since < self._grace:
            return
        for slot in range(group, watch.n_slots, 10):
            seen = watch.seen[slot]
            lost = seen < 0 or watch.tick - seen > watch.slots[slot * _M_COLUMNS + _M_STALE_TICKS]
            if lost != self._lost[slot]:
                self._lost[slot] = lost
                self._emit(
                    ev.MESSAGE + slot,
                    ev.STALE if lost else ev.GOOD,
                    watch.slots[slot * _M_COLUMNS + _M_CAN_ID],
                    0,
                )


def roles_of(sections):
    """Return (signal, mul, add): three arrays by role; signal is -1 where a role is not filled."""
    signal = array("h", [-1] * st.N_ROLES)
    mul = array("i", [0] * st.N_ROLES)
    add = array("i", [0] * st.N_ROLES)
    rows = sections[st.ROLES]
    for at in range(0, len(rows), _R_COLUMNS):
        role = rows[at + _R_ROLE]
        signal[role] = rows[at + _R_SIGNAL]
        mul[role] = rows[at + _R_MUL]
        add[role] = rows[at + _R_ADD]
    return signal, mul, add


@micropython.viper
def _judge(
    words: ptr32,
    rows: ptr32,
    slots: ptr32,
    seen: ptr32,
    raws: ptr32,
    last: ptr32,
    valid: ptr8,
    scores: ptr8,
    still: ptr16,
    fault: ptr8,
    i: int,
) -> int:
    """Judge signals i, i + 10.. up to one whose fault has come or gone: return it, its verdict in
    `words`; a number above all signals at the end.
    """
    tick = words[_TICK]
    n = words[_N]
    most = words[_FAULT]
    sign = words[_ONE] << 31
    mask = sign | (sign - 1)
    while i < n:
        row = i * _S_COLUMNS
        slot = rows[row + _S_SLOT]
        t_seen = seen[slot]
        if t_seen & sign or tick - t_seen > slots[slot * _M_COLUMNS + _M_STALE_TICKS]:
            valid[i] = 0
            i += 10
            continue
        raw = ((raws[i] & mask) ^ sign) - sign
        before = ((last[i] & mask) ^ sign) - sign
        stuck = rows[row + _S_STUCK]
        status = rows[row + _S_STATUS]
        was_valid = valid[i]
        verdict = 0
        if raw < ((rows[row + _S_LOW] & mask) ^ sign) - sign or raw > rows[row + _S_HIGH]:
            verdict = 1
        elif not status & sign and raws[status] != rows[row + _S_STATUS_GOOD]:
            verdict = 3
        else:
            if was_valid and rows[row + _S_MAX_STEP]:
                step = raw - before
                if step > rows[row + _S_MAX_STEP] or 0 - step > rows[row + _S_MAX_STEP]:
                    verdict = 1
            if stuck:
                if raw != before or words[_SPEED] < words[_STUCK_SPEED]:
                    still[i] = 0
                elif (
                    raw <= ((rows[row + _S_STILL_LOW] & mask) ^ sign) - sign
                    or raw >= rows[row + _S_STILL_HIGH]
                ):
                    still[i] = 0
                elif still[i] < stuck:
                    still[i] = still[i] + 1
                else:
                    verdict = 2
        last[i] = raw
        score = scores[i]
        changed = 0
        if verdict:
            score += _BAD
            if score > 2 * most:
                score = 2 * most
            if score >= most and fault[i] == 0:
                fault[i] = verdict
                changed = 1
        elif score:
            score -= 1
            if score == 0 and fault[i]:
                fault[i] = 0
                changed = 1
        scores[i] = score
        valid[i] = 0
        if verdict == 0 and fault[i] == 0:
            valid[i] = 1
        if changed:
            words[_VERDICT] = verdict
            return i
        i += 10
    return i
