"""Flight: is the car in the air? Ground, suspect, airborne, landing, inhibited, at 100 Hz.

In the air the tyres carry nothing, whatever the springs and dampers are, and Newton's law gives
their force (detectors.body). A flight is a time during which it is small at each tick and next to
nothing in the mean: a crest leaves some, and ends softly. Without dampers the body's force stands
for it, for longer; without acceleration or rates the dampers alone: each hangs or extends as fast
as the softest spring of its kind can push the hardest damper, until all four hang. Both at low
confidence. The onset is dated back to the first tick. Nothing here commands anything.

Integers only: mg, 0.01 mm, per mille of the car's weight, ticks of 10 ms.
"""

from array import array

from detectors.body import DELAY
from slog import events as ev
from slog import signal_table as st
from slog.layout import const

GROUND = const(0)
SUSPECT = const(1)
AIRBORNE = const(2)
LANDING = const(3)
INHIBITED = const(4)
_MEAN_RISE = const(3)  # mg per tick
_PAST = const(24)  # ticks, more than only_confirm
_SETTLED = const(35)  # mg above what the tyres carry in the air: still on the ground
_SURE = const(2)  # long flights after which the zero is known
_LONG = const(15)  # ticks in the air: a flight to learn from
_MOST_ZERO = const(60)  # mg
_CERTAIN = const(18)  # ticks in the air: no crest is light for so long
# Wheels that roll over a crest carry a little and come down softly. So a short flight lands with
# _SOFT (0.01 g) at least, and with _HARDER more for each mg that the tyres seemed to carry.
_SOFT = const(20)
_HARDER = const(8)
_NOTHING = const(-1000)  # mg: no landing is too soft
_BRAKING = const(55)  # 0.01 km/h in a tick, 1.5 g: wheels that slow faster have left the ground
_WARM = const(8)  # ticks until all differences are of values after a pause


class Flight:
    """A flight gives TAKEN_OFF when it is confirmed and LANDED at its end. `state`: see above."""

    def __init__(self, watch, sensors, motion, body, roles, rows, emit):
        self.state = GROUND
        self.n_flights = 0
        self.longest_ms = 0
        self.air_ms = 0
        self.n_missed = 0
        self.peak_cg = 0
        self.by_severity = [0, 0, 0, 0]
        self._watch = watch
        self._sensors = sensors
        self._motion = motion
        self._body = body
        self._signal = roles[0]
        self._emit = emit
        self._rows = rows
        self.zero = 0  # mg that the tyres seem to carry in the air
        self._n_zero = 0
        self._speed = 0  # 0.01 km/h, that of the wheels but for what no brake can do
        self._across = [0, 0]  # sums of horizontal forces at low ticks
        self._n_across = 1
        self._spin2 = 0
        self._past = array("h", [0] * _PAST)  # of the tyres' force
        self._reset()

    def resume(self):
        """Begin anew after a pause."""
        self.state = GROUND
        self._reset()

    def _reset(self):
        self._n_low = 0
        self._gap = 0
        self._low_tick = 0
        self._up_tick = 0
        self._n_up = 0
        self._hold = 0
        self._peak2 = 0
        self._onset_tick = 0
        self._confidence = 0
        self._was_small = True
        self._rested = False
        self._lost = False  # forces were missing
        self._peak_known = False
        self._carried = 0
        self._first_n = 0
        self._first_total = 0
        self._from_tick = 0
        self._air_total = 0
        self._air_n = 0
        self._car_ticks = 0
        self._car_alone = 0
        self._warm = _WARM

    def is_on_ground(self):
        """Return whether the wheels turn as fast as the car drives."""
        return self.state == GROUND or self.state == INHIBITED

    def step(self):
        """Do one tick."""
        body = self._body
        rows = self._rows
        body.step(self.state == AIRBORNE)
        if self._warm:
            self._warm -= 1
            return
        self._compare()
        n = body.n_dampers
        acc_ok = body.acc_ok and (body.gyro_ok or n < 3)
        if acc_ok:
            limit = rows["load_out"]
            low = -2 * limit < body.tyres < limit and body.across2 < rows["acc_exit2"]
        elif n >= 3:
            low = body.n_free >= n
            if self.state == AIRBORNE:
                self._lost = True
                if body.n_rest >= n:
                    self._rested = True
        else:
            self._go_blind()
            return
        if low:
            self._count(body)
        elif self._n_low:
            self._gap += 1
            if self._gap > rows["gap"]:
                self._n_low = 0
        if acc_ok:
            self._past[self._watch.tick % _PAST] = body.tyres
        self._move(low, acc_ok, n)

    def _go_blind(self):
        """Neither force nor dampers: a flight without its landing is none; one that has landed
        is.
        """
        if self.state == AIRBORNE:
            self._cancel((self._watch.tick - self._onset_tick) * 10)
        elif self.state == LANDING:
            self._land()
        self.state = INHIBITED
        self._n_low = 0

    def _move(self, low, acc_ok, n):
        rows = self._rows
        state = self.state
        if state == AIRBORNE:
            self._fly(low, acc_ok)
            return
        known = self._motion.known_speed
        self._speed = max(known, self._speed - _BRAKING)
        need = rows["confirm"] if acc_ok and n >= 3 else rows["only_confirm"]
        self._from_tick = self._low_tick
        ready = self._n_low >= need and (not acc_ok or self._is_flight(need))
        if state == LANDING:
            self._hold -= 1
            if acc_ok:
                self._peak2 = max(self._peak2, self._body.peak2())
            if self._hold > 0 and not ready:
                return
            self._land()
        if known >= 0 and self._speed < rows["inhibit"]:
            self.state = INHIBITED
            self._n_low = 0
        elif ready:
            self._take_off(acc_ok, n)
        else:
            self.state = SUSPECT if self._n_low else GROUND

    def _count(self, body):
        """Count a tick at which the tyres carry nothing."""
        across = self._across
        if not self._n_low:
            self._low_tick = self._watch.tick
            self._n_across = 0
            self._spin2 = 0
            across[0] = across[1] = 0
        self._n_low += 1
        self._gap = 0
        self._n_across += 1
        self._spin2 = max(self._spin2, body.spin2)
        force = body.force
        across[0] += force[0]
        across[1] += force[1]

    def _is_flight(self, need):
        """Find since when the tyres carry what they do now, which may be a while after they began
        to carry little; return whether that is nothing.
        """
        past = self._past
        tick = self._watch.tick
        level = _SETTLED
        for k in range(4):
            level += past[(tick - k) % _PAST] >> 2
        first = max(self._low_tick, tick - _PAST + 1)
        onset = tick
        total = past[tick % _PAST]
        while onset > first and (
            past[(onset - 1) % _PAST] < level or past[(onset - 2) % _PAST] < level
        ):
            onset -= 1
            total += past[onset % _PAST]
        self._from_tick = onset - DELAY
        n = tick - onset + 1
        self._first_n = n - 2  # without the newest two, which `_fly` adds
        self._first_total = total - past[tick % _PAST] - past[(tick - 1) % _PAST]
        return self._is_nothing(total // n, self._n_low - need)

    def _is_nothing(self, mean, n):
        """Return whether a mean of the tyres' force is that of a flight: the shorter, the smaller,
        and the more so once the error of the sensors is known; without dampers what the wheels'
        acceleration adds is not known. The faster the car turns, the more an error of the centre
        of gravity counts.
        """
        rows = self._rows
        limit = rows["mean_end"]
        if self._body.n_dampers >= 3:
            short = rows["mean_sure"] if self._n_zero >= _SURE else rows["mean"]
            limit = min(limit, short + n * _MEAN_RISE)
        limit += self._spin2 * rows["mean_spin"] >> 10
        across = self._across
        x = across[0] // self._n_across
        y = across[1] // self._n_across
        return abs(mean - self.zero) < limit and x * x + y * y < rows["acc_enter2"]

    def _learn(self, mean):
        """Learn the error of the sensors from a long flight."""
        error = max(-_MOST_ZERO, min(_MOST_ZERO, mean)) - self.zero
        self._n_zero = min(self._n_zero + 1, 4)
        self.zero += error // self._n_zero

    def _take_off(self, acc_ok, n):
        rows = self._rows
        tick = self._watch.tick
        self.state = AIRBORNE
        if acc_ok and n >= 3:
            confidence = 70 + 5 * self._body.n_hang
            if self._motion.flare:
                confidence += 10
            self._confidence = min(confidence, 100)
        else:
            self._confidence = 35 if acc_ok else 40
        self._n_up = 0
        self._rested = False
        self._air_total = 0
        self._air_n = 0
        self._lost = not acc_ok
        self._car_ticks = 0
        self._onset_tick = self._from_tick
        back = rows["back"] if acc_ok else rows["only_back"]
        age_us = (tick - self._onset_tick) * 10_000 + back
        onset = (self._watch.t_us() - age_us) & 0xFFFFFFFF
        speed = self._motion.known_speed
        kmh = ev.NO_SPEED if speed < 0 else min(speed // 100, 400)
        self._emit(ev.FLIGHT, ev.TAKEN_OFF, age_us // 1000 | kmh << 16, onset)

    def _fly(self, low, acc_ok):
        rows = self._rows
        tick = self._watch.tick
        if low:
            self._n_up = 0
            self._air_n += 1
            self._air_total += self._past[(tick - 2) % _PAST]
            if tick - self._onset_tick > rows["longest"]:
                self._emit(ev.FLIGHT, ev.TOO_LONG, (tick - self._onset_tick) * 10, 0)
                self.state = GROUND
                self._n_low = 0
            return
        if not self._n_up:
            self._up_tick = tick - (DELAY if acc_ok else 0)
            self._peak2 = 0
        self._n_up += 1
        if acc_ok:
            self._peak2 = max(self._peak2, self._body.peak2())
            hard = self._body.tyres > rows["landing"]
        else:
            hard = self._body.n_compress >= 2
        if hard or self._n_up >= rows["merge"]:
            self.state = LANDING
            self._carried = _NOTHING
            self._was_small = self._is_over(acc_ok)
            self._peak_known = not self._lost and self._body.gyro_ok and not self._body.is_still()
            self._hold = rows["hold"] - self._n_up
            self._n_low = 0

    def _is_over(self, acc_ok):
        """Tell whether what ends here was a flight."""
        if self._lost or not acc_ok:
            return self._rested
        n = self._air_n
        if n < _CERTAIN and self._body.n_dampers >= 3:
            whole = (self._first_total + self._air_total) // max(1, self._first_n + n)
            self._carried = whole - self.zero
        if n < 3:
            return True
        mean = self._air_total // n
        if not self._is_nothing(mean, n):
            return False
        if n >= _LONG:
            self._learn(mean)
        return True

    def _cancel(self, airtime_ms):
        self._emit(ev.FLIGHT, ev.CANCELLED, airtime_ms, 0)

    def _land(self):
        rows = self._rows
        self.state = GROUND
        airtime_ms = (self._up_tick - self._onset_tick) * 10 + rows["back"] // 1000
        is_slow = self._motion.known_speed >= 0 and self._speed <= rows["slow"]
        shortest = rows["shortest_slow"] if is_slow else rows["shortest"]
        peak = severity = 0
        if self._peak_known:
            peak = min(root(self._peak2) // 5, ev.PEAK_MASK)
            if self._carried * _HARDER > peak - _SOFT:
                self._was_small = False
        if airtime_ms < shortest * 10 or not self._was_small:
            self._cancel(airtime_ms)
            return
        if self._peak_known:
            for k in range(st.SEVERITY_ROWS, st.SEVERITY_ROWS + 3):
                if peak * 10 > rows[k]:
                    severity += 1
            self.by_severity[severity] += 1
        else:
            severity = ev.NO_SEVERITY
        car = ev.CAR_UNKNOWN
        signal = self._signal[st.FLIGHT_STATE]
        if signal >= 0 and self._sensors.valid[signal]:
            car = ev.CAR_AGREES if self._car_ticks else ev.CAR_SILENT
            if car == ev.CAR_SILENT:
                self.n_missed += 1
        self.n_flights += 1
        self.air_ms += airtime_ms
        self.longest_ms = max(self.longest_ms, airtime_ms)
        self.peak_cg = max(self.peak_cg, peak)
        packed = peak | self._confidence << ev.CONFIDENCE_SHIFT
        packed |= car << ev.CAR_SHIFT | severity << ev.SEVERITY_SHIFT
        self._emit(ev.FLIGHT, ev.LANDED, airtime_ms, packed)

    def _compare(self):
        """Follow the car's own flight state."""
        signal = self._signal[st.FLIGHT_STATE]
        if signal < 0 or not self._sensors.valid[signal]:
            return
        if self._watch.raw(signal) == self._rows["airborne_code"]:
            if self.state == AIRBORNE or self.state == LANDING:
                self._car_ticks += 1
                self._car_alone = 0
            else:
                self._car_alone += 1
        elif self._car_alone:
            if self.state != AIRBORNE and self._car_alone >= self._rows["shortest"]:
                self._emit(ev.CAR_FLIGHT, ev.ON, self._car_alone * 10, 0)
            self._car_alone = 0


def root(n):
    """Return the whole part of the square root of n >= 0."""
    if n < 2:
        return n
    x = 1 << ((_bits(n) + 1) >> 1)
    while True:
        y = (x + n // x) >> 1
        if y >= x:
            return x
        x = y


def _bits(n):
    bits = 0
    while n:
        bits += 1
        n >>= 1
    return bits
