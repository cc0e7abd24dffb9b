"""Alarms: limits of the car profile with two levels, hysteresis, debounce in and out, and gates.

Owns the state of every alarm. Each is sampled ten times a second, a tenth of them at each tick,
and comes only while its signals are valid: a sensor fault is no exceedance. Times go on while a
signal, or that of a gate, is not valid for at most `bridge_s`; after a longer gap they begin anew.
An alarm says at most one thing a minute, but that it is critical it says at once; when the minute
is over it says the worst that came meanwhile, even if that is past. Levels and sums are those of
the moment. A latched alarm stays until it is acknowledged. One that comes reports, beside its
message, what its signal was before and is some time after it.

All comparisons are in raw units: a value that must not fall is compared as its negative.
"""

from array import array

from slog import events as ev
from slog import signal_table as st
from slog.layout import const
from slog.native import micropython, ptr8, ptr16, ptr32

# Columns of ALARMS, GATES and POINTS, held to slog.signal_table by a test.
_A_NUMBER = const(0)
_A_KIND = const(1)
_A_SIGNAL = const(2)
_A_X = const(3)
_A_WARNING = const(4)
_A_CRITICAL = const(5)
_A_CLEAR = const(6)
_A_IN_WARNING = const(7)
_A_IN_CRITICAL = const(8)
_A_OUT = const(9)
_A_GATES = const(10)
_A_LATCH = const(11)
_A_WINDOW = const(12)
_A_FLOOR = const(13)
_A_LIMIT = const(14)
_A_DROP = const(15)
_A_POINTS = const(16)
_A_N_POINTS = const(17)
_A_GROUP = const(18)
_A_COLUMNS = const(19)
_G_SOURCE = const(0)
_G_SIGNAL = const(1)
_G_LIMIT = const(2)
_G_FALLS = const(3)
_G_STEPS = const(4)
_G_COLUMNS = const(5)
_P_X = const(0)
_P_WARNING = const(1)
_P_CRITICAL = const(2)
_P_COLUMNS = const(3)
_NEVER = const(0x3FFFFFFF)
_PARTS = const(8)  # pieces of the window of a rate
_MOST = const(60000)  # samples that are counted
_CLEAR = const(3)  # as in slog.events
_ACKNOWLEDGED = const(5)


class Alarms:
    """`level[i]`: 0 none, 1 warning, 2 critical."""

    def __init__(self, watch, sensors, motion, roles, rows, sections, emit):
        self._rows = sections[st.ALARMS]
        self._points = sections[st.POINTS]
        self._gate_rows = sections[st.GATES]
        self.n = len(self._rows) // _A_COLUMNS
        self.level = bytearray(self.n)
        self.warning_ds = 0
        self.critical_ds = 0
        self.n_came = 0
        self._watch = watch
        self._sensors = sensors
        self._motion = motion
        self._acknowledge = roles[0][st.ACKNOWLEDGE]
        self._emit = emit
        self._shown = bytearray([ev.CLEAR] * self.n)
        self._pause = rows["say_s"] * 100
        self._said = array("i", [-self._pause] * self.n)
        self._worst = bytearray(self.n)  # since it said something
        self._half = rows["before_s"] * 5
        self._wait = rows["after_s"] * 100
        self._after = array("i", [0] * self.n)  # tick of what is reported after it came
        self._new = array("i", [0] * (self.n + 1))  # values, then speed and engine speed
        self._old = array("i", self._new)
        self._latched = bytearray(self.n)
        self._in1 = array("H", [0] * self.n)
        self._in2 = array("H", [0] * self.n)
        self._out = array("H", [0] * self.n)
        self._gap = array("H", [0] * self.n)  # consecutive samples that could not judge
        self._bridge = rows["bridge_ds"]
        self._gates = 0
        self._unknown = 0  # gates that were open before a gap of their signal
        self._engine = roles[0][st.RPM]
        self._gate_n = array("H", [0] * (len(self._gate_rows) // _G_COLUMNS))
        self._gate_gap = array("H", self._gate_n)
        self._acked = 0
        self._past = {}
        for i in range(self.n):
            kind = self._rows[i * _A_COLUMNS + _A_KIND]
            if kind == st.RATE or kind == st.TIME_TO_LIMIT or kind == st.DROP:
                self._past[i] = array("i", [-1] * _PARTS + [0] * 4)

    def resume(self, seconds):
        """Go on after a pause as after a gap of every signal."""
        n_samples = min(seconds * 10, _MOST)
        for i in range(self.n):
            self._miss(i, n_samples)
        for k in range(len(self._gate_n)):
            self._miss_gate(k, n_samples)

    def _miss(self, i, n_samples):
        """Take note of samples that could not judge: times go on, up to the longest gap."""
        gap = self._gap[i] = min(self._gap[i] + n_samples, _MOST)
        for times in (self._in1, self._in2, self._out):
            if times[i]:
                times[i] = min(times[i] + n_samples, _MOST) if gap <= self._bridge else 0
        past = self._past.get(i)
        if past is None:
            return
        past[_PARTS + 1] -= n_samples
        if gap > self._rows[i * _A_COLUMNS + _A_WINDOW] // _PARTS:
            for k in range(_PARTS + 2):
                past[k] = -1 if k < _PARTS else 0

    def _miss_gate(self, k, n_samples):
        gap = self._gate_gap[k] = min(self._gate_gap[k] + n_samples, _MOST)
        if self._gate_n[k]:
            self._gate_n[k] = min(self._gate_n[k] + n_samples, _MOST) if gap <= self._bridge else 0

    def step(self, group, airborne):
        """Judge every tenth alarm; the gates once in ten ticks."""
        if not group:
            self._open_gates(airborne)
            self._take_acknowledge()
            if self._watch.tick // 10 % self._half == 0:
                self._remember()
        i = group
        while True:
            i = _next(
                self._rows,
                self._sensors.last,
                self._sensors.valid,
                self.level,
                self._worst,
                self._latched,
                self._in1,
                self._in2,
                self._after,
                self._shown,
                i,
                self.n,
            )
            if i >= self.n:
                break
            self._check(i)
            level = self.level[i]
            if level == 2:
                self.critical_ds += 1
            elif level:
                self.warning_ds += 1
            self._report(i)
            i += 10

    def _check(self, i):
        rows = self._rows
        at = i * _A_COLUMNS
        kind = rows[at + _A_KIND]
        s = rows[at + _A_SIGNAL]
        x = rows[at + _A_X]
        valid = self._sensors.valid
        last = self._sensors.last
        if (
            not valid[s]
            or (x >= 0 and not valid[x])
            or rows[at + _A_GATES] & self._unknown
            or (kind == st.FAN and last[x] <= rows[at + _A_LIMIT])
        ):
            self._miss(i, 1)
            return
        self._gap[i] = 0
        v = last[s]
        warning = rows[at + _A_WARNING]
        critical = rows[at + _A_CRITICAL]
        if kind == st.BELOW or kind == st.FAN:
            v = -v
        elif kind == st.BELOW_TABLE or kind == st.ABOVE_TABLE:
            if kind == st.BELOW_TABLE:
                v = -v
            warning, critical = self._between(
                last[x], rows[at + _A_POINTS], rows[at + _A_N_POINTS]
            )
        elif kind == st.DIFFERENCE:
            v -= last[x]
        elif kind == st.COOLER:
            v = self._share(at)
        elif kind != st.ABOVE:
            v = self._of_past(i, kind, at, v)
        if rows[at + _A_GATES] & ~self._gates:
            v = -_NEVER
        self._judge(i, at, v, warning, critical)
        if kind == st.FAN and self.level[i] == 1 and self._n_in_group(rows[at + _A_GROUP]) > 1:
            self.level[i] = 2

    def _judge(self, i, at, v, warning, critical):
        rows = self._rows
        self._in1[i] = min(self._in1[i] + 1, _MOST) if v > warning else 0
        self._in2[i] = min(self._in2[i] + 1, _MOST) if v > critical else 0
        level = self.level[i]
        if level < 2 and self._in2[i] and self._in2[i] >= rows[at + _A_IN_CRITICAL]:
            self.level[i] = 2
        elif not level:
            if self._in1[i] and self._in1[i] >= rows[at + _A_IN_WARNING]:
                self.level[i] = 1
        else:
            limit = critical if level == 2 and critical < _NEVER else warning
            if v >= limit - rows[at + _A_CLEAR]:
                self._out[i] = 0
                return
            self._out[i] += 1
            if self._out[i] < rows[at + _A_OUT]:
                return
            self.level[i] = 1 if level == 2 and v >= warning - rows[at + _A_CLEAR] else 0
        self._out[i] = 0
        if self.level[i] and rows[at + _A_LATCH]:
            self._latched[i] = 1

    def _of_past(self, i, kind, at, v):
        """Return what a rate, a time to limit or a drop is compared with."""
        rows = self._rows
        past = self._past[i]
        if kind == st.DROP and past[_PARTS + 3] < rows[at + _A_WINDOW]:
            n = past[_PARTS + 3] = past[_PARTS + 3] + 1
            past[_PARTS + 2] += (v - past[_PARTS + 2] + n // 2) // n
        past[_PARTS + 1] -= 1
        if past[_PARTS + 1] < 0:
            past[_PARTS + 1] += rows[at + _A_WINDOW] // _PARTS
            k = past[_PARTS]
            past[_PARTS] = (k + 1) % _PARTS
            past[k] = v
        oldest = past[past[_PARTS]]
        if kind == st.DROP:
            return self._fallen(past, v, oldest, rows[at + _A_DROP])
        if oldest < 0:
            return -_NEVER
        rise = v - oldest
        if kind == st.RATE:
            return rise if v > rows[at + _A_FLOOR] else -_NEVER
        if rise <= rows[at + _A_FLOOR]:
            return -_NEVER
        left = max(rows[at + _A_LIMIT] - v, 0)
        return -(left * rows[at + _A_WINDOW] // (rise * 60))  # tenths of a minute

    def _fallen(self, past, v, oldest, most):
        """Return the drop below the reference in per mille; a rise makes a new reference."""
        reference = past[_PARTS + 2]
        if reference <= 0:
            return -_NEVER
        fallen = (reference - v) * 1000 // reference
        if fallen < -250:
            past[_PARTS + 2] = v
        if most and oldest >= 0 and oldest - v > most:
            return _NEVER - 1
        return fallen

    def _between(self, x, first, n):
        """Return (warning, critical) of a table at x."""
        points = self._points
        at = first * _P_COLUMNS
        last = at + (n - 1) * _P_COLUMNS
        if x <= points[at + _P_X]:
            return points[at + _P_WARNING], points[at + _P_CRITICAL]
        while at < last and x > points[at + (_P_COLUMNS + _P_X)]:
            at += _P_COLUMNS
        if at >= last:
            return points[last + _P_WARNING], points[last + _P_CRITICAL]
        after = at + _P_COLUMNS
        width = points[after + _P_X] - points[at + _P_X]
        part = x - points[at + _P_X]
        warning = points[at + _P_WARNING]
        critical = points[at + _P_CRITICAL]
        return (
            warning + (points[after + _P_WARNING] - warning) * part // width,
            critical + (points[after + _P_CRITICAL] - critical) * part // width,
        )

    def _share(self, mine):
        """Return the negative of what this cooler takes off, in per cent of the best one."""
        rows = self._rows
        last = self._sensors.last
        valid = self._sensors.valid
        best = 0
        for at in range(0, len(rows), _A_COLUMNS):
            if (
                rows[at + _A_GROUP] == rows[mine + _A_GROUP]
                and valid[rows[at + _A_SIGNAL]]
                and valid[rows[at + _A_X]]
            ):
                best = max(best, last[rows[at + _A_X]] - last[rows[at + _A_SIGNAL]])
        if best < rows[mine + _A_FLOOR]:
            return -_NEVER
        return (last[rows[mine + _A_SIGNAL]] - last[rows[mine + _A_X]]) * 100 // best

    def _n_in_group(self, group):
        n = 0
        for i in range(self.n):
            if self.level[i] and self._rows[i * _A_COLUMNS + _A_GROUP] == group:
                n += 1
        return n

    def _open_gates(self, airborne):
        rows = self._gate_rows
        motion = self._motion
        is_open = unknown = 0
        for k in range(len(self._gate_n)):
            at = k * _G_COLUMNS
            source = rows[at + _G_SOURCE]
            s = self._engine if source == st.OF_ENGINE else rows[at + _G_SIGNAL]
            if source == st.OF_SPEED:
                v = motion.speed
            elif source == st.OF_AIRBORNE:
                v = 1000 if airborne else 0
            elif s >= 0 and self._sensors.valid[s]:
                v = self._sensors.last[s] if source == st.OF_SIGNAL else motion.rpm
            else:
                self._miss_gate(k, 1)
                if self._gate_n[k] > rows[at + _G_STEPS]:
                    unknown |= 1 << k
                continue
            self._gate_gap[k] = 0
            opens = v < rows[at + _G_LIMIT] if rows[at + _G_FALLS] else v > rows[at + _G_LIMIT]
            self._gate_n[k] = min(self._gate_n[k] + 1, _MOST) if opens else 0
            if self._gate_n[k] > rows[at + _G_STEPS]:
                is_open |= 1 << k
        self._gates = is_open
        self._unknown = unknown

    def _take_acknowledge(self):
        s = self._acknowledge
        pressed = int(s >= 0 and self._sensors.valid[s] and self._watch.raw(s) > 0)
        if pressed and not self._acked:
            for i in range(self.n):
                if self._latched[i]:
                    self._latched[i] = 0
        self._acked = pressed

    def _report(self, i):
        tick = self._watch.tick
        level = self.level[i]
        if level > self._worst[i]:
            self._worst[i] = level
        if self._after[i] and tick >= self._after[i]:
            self._after[i] = 0
            self._send(i, ev.CONTEXT, ev.AFTER, self._value(i), self._driving())
        shown = self._shown[i]
        is_worse = self._worst[i] == ev.CRITICAL != shown
        if tick - self._said[i] < self._pause and not is_worse:
            return
        state = self._worst[i] or (ev.LATCHED if self._latched[i] else ev.CLEAR)
        if state == ev.CLEAR and shown > ev.CLEAR:
            state = ev.ACKNOWLEDGED
        self._worst[i] = level
        if state == shown:
            return
        self._shown[i] = state
        self._said[i] = tick
        if state <= ev.CRITICAL < shown:
            self.n_came += 1
            self._after[i] = tick + self._wait
            self._send(i, ev.CONTEXT, ev.BEFORE, self._old[i], self._old[self.n])
        self._send(i, ev.ALARM, state, self._value(i), self._driving())

    def _remember(self):
        """Keep what there is now, and what there was half of before_s ago."""
        new = self._old
        self._old = self._new
        self._new = new
        for i in range(self.n):
            new[i] = self._value(i)
        new[self.n] = self._driving()

    def _value(self, i):
        return self._sensors.last[self._rows[i * _A_COLUMNS + _A_SIGNAL]]

    def _driving(self):
        """Return speed and engine speed, packed."""
        context = min(self._motion.speed // 100, 511)
        return context | min(max(self._motion.rpm, 0) // 10, 1023) << ev.RPM_SHIFT

    def _send(self, i, code, state, raw, driving):
        rows = self._rows
        value = self._watch.centi(rows[i * _A_COLUMNS + _A_SIGNAL], raw)
        self._emit(code + rows[i * _A_COLUMNS + _A_NUMBER], state, value, driving)


@micropython.viper
def _next(
    rows: ptr32,
    last: ptr32,
    valid: ptr8,
    level: ptr8,
    worst: ptr8,
    latched: ptr8,
    in1: ptr16,
    in2: ptr16,
    after: ptr32,
    shown: ptr8,
    i: int,
    n: int,
) -> int:
    """Return the first of the alarms i, i + 10.. that must be evaluated, a number from `n` on if
    none must. An alarm ABOVE or BELOW need not if it is quiet and its signal within its limits.
    """
    sign = 1
    sign = sign << 31
    mask = sign | (sign - 1)
    while i < n:
        row = i * _A_COLUMNS
        below = rows[row + _A_KIND]
        if below > 1 or rows[row + _A_X] & sign == 0:
            return i
        if level[i] or worst[i] or latched[i] or in1[i] or in2[i] or after[i]:
            return i
        if shown[i] != _CLEAR and shown[i] != _ACKNOWLEDGED:
            return i
        s = rows[row + _A_SIGNAL]
        if valid[s]:
            v = ((last[s] & mask) ^ sign) - sign
            if below:
                v = 0 - v
            if v > ((rows[row + _A_WARNING] & mask) ^ sign) - sign:
                return i
            if v > ((rows[row + _A_CRITICAL] & mask) ^ sign) - sign:
                return i
        i += 10
    return i
