"""Flight: is the car in the air? Ground, suspect, airborne, landing, inhibited, at 100 Hz.

Three cues. A: the specific force at the centre of gravity, corrected for rotation, is small. B:
the wheels carry nothing: each hangs at full droop, or extends as fast as its spring can push its
damper (tyre force = spring force less damper force). C: the wheels race. Flight needs A and B;
without dampers A alone for longer, without acceleration B alone for longer, both at low
confidence. The onset is dated back to the first tick at which both held. What was no flight after
all is withdrawn: too short for its speed, not light enough on the whole, or never with all wheels
hanging. Nothing here commands anything.

Integers only: mg, 0.01 mm, per mille of the car's weight, ticks of 10 ms.
"""

from array import array

from detectors.native import micropython
from slog import events as ev
from slog import signal_table as st
from slog.layout import const

GROUND = const(0)
SUSPECT = const(1)
AIRBORNE = const(2)
LANDING = const(3)
INHIBITED = const(4)
_BITS = st.SCALE_BITS
_CAP = const(20000)  # mg


class Flight:
    """A flight gives TAKEN_OFF when it is confirmed and LANDED at its end. `state`: see above."""

    def __init__(self, watch, sensors, roles, rows, emit):
        self.state = GROUND
        self.n_flights = 0
        self.longest_ms = 0
        self.air_ms = 0
        self.n_missed = 0
        self.peak_cg = 0
        self.by_severity = [0, 0, 0, 0]
        self.speed = 0
        self.flare = 0
        self.acc_z = 1000
        self.acc2 = 1_000_000
        self.load = 1000
        self._watch = watch
        self._sensors = sensors
        self._signal, self._mul, self._add = roles
        self._emit = emit
        self._rows = rows
        self._wheel = []
        for i in range(4):
            # spring, preload, bump, rebound, stop_from
            self._wheel.append(array("i", [rows[st.WHEEL_ROWS + 4 * n + i] for n in range(5)]))
        self._x = array("i", [0] * 8)  # two ticks of four positions
        self._rate = array("i", [0] * 6)  # two ticks of three rates
        self._zero = array("i", [rows["drift"]] * 4)
        self._f = array("i", [0, 0, 1000])
        self._sum = array("i", [0, 0, 0])
        self._n_sum = 0
        self._spin2 = 0
        self._fast_spin = 0
        self._reset()

    def resume(self):
        """Begin anew after a pause."""
        self.state = GROUND
        self._reset()

    def _reset(self):
        self._n_low = 0
        self._low_tick = 0
        self._up_tick = 0
        self._n_up = 0
        self._hold = 0
        self._peak2 = 0
        self._onset_tick = 0
        self._confidence = 0
        self._was_small = True
        self._rested = False
        self._compress = 0
        self._car_ticks = 0
        self._car_alone = 0
        self._warm = 4

    def step(self):
        """Do one tick."""
        valid = self._sensors.valid
        signal = self._signal
        acc_ok = valid[signal[st.ACC_X]] and valid[signal[st.ACC_Y]] and valid[signal[st.ACC_Z]]
        low_a = self._acceleration() if acc_ok else 0
        n_valid = 0
        for i in range(4):
            n_valid += valid[signal[st.DAMPER + i]]
        n_hang = self._dampers()
        rows = self._rows
        carry = rows["load_out"] if self.state == AIRBORNE else rows["load"]
        low_b = n_valid >= 3 and n_hang >= min(rows["wheels"], n_valid) and self.load < carry
        if self._warm:
            self._warm -= 1
            return
        if acc_ok and n_valid >= 3:
            low = low_a and low_b
            need = rows["confirm"]
            confidence = 70 + 5 * n_hang
            if self.flare:
                confidence += 10
        elif acc_ok:
            low = low_a and self.acc2 < rows["only_enter2"]
            need = rows["only_confirm"]
            confidence = 35
        else:
            low = low_b and n_hang >= n_valid
            need = rows["only_confirm"]
            confidence = 40
        if not acc_ok and n_valid < 3:
            if self.state != INHIBITED:
                self.state = INHIBITED
                self._n_low = 0
            return
        self._compare()
        self._move(low, low_a or low_b, need, confidence, acc_ok)

    def _move(self, low, hint, need, confidence, acc_ok):
        rows = self._rows
        tick = self._watch.tick
        if low:
            if not self._n_low:
                self._low_tick = tick
                self._n_sum = 0
                self._fast_spin = 0
                self._sum[0] = self._sum[1] = self._sum[2] = 0
            self._n_low += 1
            self._add_up()
        elif self._n_low:
            self._n_low = max(0, self._n_low - 3)
        state = self.state
        if state == AIRBORNE:
            self._fly(low, acc_ok, tick)
        elif state == LANDING:
            self._hold -= 1
            if acc_ok and self._raw2 > self._peak2:
                self._peak2 = self._raw2
            if self._hold <= 0:
                self._land()
        elif self.speed < rows["inhibit"]:
            self.state = INHIBITED
            self._n_low = 0
        elif self._n_low >= need and (not acc_ok or self._is_small(rows["mean"])):
            self._take_off(tick, confidence, acc_ok)
        elif self._n_low >= rows["suspect"] or (hint and self._n_low):
            self.state = SUSPECT
        else:
            self.state = GROUND

    def _add_up(self):
        f = self._f
        total = self._sum
        self._n_sum += 1
        self._fast_spin = max(self._fast_spin, self._spin2)
        total[0] += f[0]
        total[1] += f[1]
        total[2] += f[2]

    def _is_small(self, limit):
        """Tell whether the mean force since the wheels let go is that of a flight: a crest may
        leave little, and stretch the springs, but not nothing. The faster the car turns, the more
        an error of the centre of gravity counts.
        """
        total = self._sum
        n = self._n_sum
        x = total[0] // n
        y = total[1] // n
        z = total[2] // n
        limit += self._fast_spin * self._rows["mean_spin"] >> 10
        return x * x + y * y + z * z < limit * limit

    def _take_off(self, tick, confidence, acc_ok):
        rows = self._rows
        self.state = AIRBORNE
        self._confidence = min(confidence, 100)
        self._n_up = 0
        self._rested = False
        self._car_ticks = 0
        self._onset_tick = self._low_tick
        back = rows["back"] if acc_ok else rows["only_back"]
        age_us = (tick - self._low_tick) * 10_000 + back
        onset = (self._watch.t_us() - age_us) & 0xFFFFFFFF
        kmh = min(self.speed // 100, 400)
        self._emit(ev.FLIGHT, ev.TAKEN_OFF, age_us // 1000 | kmh << 16, onset)

    def _fly(self, low, acc_ok, tick):
        rows = self._rows
        if low:
            self._n_up = 0
            if tick - self._onset_tick > rows["longest"]:
                self._emit(ev.FLIGHT, ev.TOO_LONG, (tick - self._onset_tick) * 10, 0)
                self.state = GROUND
                self._n_low = 0
            return
        if not self._n_up:
            self._up_tick = tick
        self._n_up += 1
        hard = acc_ok and self._raw2 > rows["landing2"]
        if hard or self._compress >= 2 or self._n_up >= rows["merge"]:
            self.state = LANDING
            self._was_small = not acc_ok or not self._n_sum or self._is_small(rows["mean_end"])
            self._hold = rows["hold"]
            self._peak2 = self._raw2 if acc_ok else 0
            self._n_low = 0

    def _land(self):
        rows = self._rows
        self.state = GROUND
        airtime_ms = (self._up_tick - self._onset_tick) * 10 + rows["back"] // 1000
        shortest = rows["shortest"] if self.speed > rows["slow"] else rows["shortest_slow"]
        if airtime_ms < shortest * 10 or not (self._was_small and self._rested):
            self._emit(ev.FLIGHT, ev.CANCELLED, airtime_ms, 0)
            return
        peak = min(root(self._peak2) // 10, ev.PEAK_MASK)
        severity = 0
        for k in range(st.SEVERITY_ROWS, st.SEVERITY_ROWS + 3):
            if peak * 10 > rows[k]:
                severity += 1
        car = ev.CAR_UNKNOWN
        signal = self._signal[st.FLIGHT_STATE]
        if signal >= 0 and self._sensors.valid[signal]:
            car = ev.CAR_AGREES if self._car_ticks else ev.CAR_SILENT
            if car == ev.CAR_SILENT:
                self.n_missed += 1
        self.n_flights += 1
        self.by_severity[severity] += 1
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

    @micropython.native
    def _acceleration(self):
        """Update the force at the centre of gravity; tell whether it is small."""
        watch = self._watch
        rows = self._rows
        signal = self._signal
        mul = self._mul
        ax = watch.raw(signal[st.ACC_X]) * mul[st.ACC_X] >> _BITS
        ay = watch.raw(signal[st.ACC_Y]) * mul[st.ACC_Y] >> _BITS
        az = watch.raw(signal[st.ACC_Z]) * mul[st.ACC_Z] >> _BITS
        if self._sensors.valid[signal[st.RATE_Y]]:
            p = watch.raw(signal[st.RATE_X]) * mul[st.RATE_X] >> _BITS
            q = watch.raw(signal[st.RATE_Y]) * mul[st.RATE_Y] >> _BITS
            r = watch.raw(signal[st.RATE_Z]) * mul[st.RATE_Z] >> _BITS
            old = self._rate
            dp = p - old[0]
            dq = q - old[1]
            dr = r - old[2]
            old[0] = old[3]
            old[1] = old[4]
            old[2] = old[5]
            old[3] = p
            old[4] = q
            old[5] = r
            x = rows["spin_x"]
            y = rows["spin_y"]
            z = rows["spin_z"]
            ax -= (dq * z - dr * y) >> 8
            ay -= (dr * x - dp * z) >> 8
            az -= (dp * y - dq * x) >> 8
            x = rows["arm_x"]
            y = rows["arm_y"]
            z = rows["arm_z"]
            pq = p * q >> 10
            pr = p * r >> 10
            qr = q * r >> 10
            pp = p * p >> 10
            qq = q * q >> 10
            rr = r * r >> 10
            self._spin2 = pp + qq + rr
            ax -= (pq * y + pr * z - (qq + rr) * x) >> 10
            ay -= (pq * x + qr * z - (pp + rr) * y) >> 10
            az -= (pr * x + qr * y - (pp + qq) * z) >> 10
        ax = max(-_CAP, min(_CAP, ax))
        ay = max(-_CAP, min(_CAP, ay))
        az = max(-_CAP, min(_CAP, az))
        self._raw2 = (ax * ax >> 2) + (ay * ay >> 2) + (az * az >> 2) << 2
        f = self._f
        k = rows["filter"]
        f[0] += (ax - f[0]) * k >> 8
        f[1] += (ay - f[1]) * k >> 8
        f[2] += (az - f[2]) * k >> 8
        self.acc_z = f[2]
        self.acc2 = f[0] * f[0] + f[1] * f[1] + f[2] * f[2]
        limit = rows["acc_exit2"] if self.state == AIRBORNE else rows["acc_enter2"]
        return self.acc2 < limit

    @micropython.native
    def _dampers(self):
        """Update the load on the wheels; return how many carry nothing."""
        watch = self._watch
        valid = self._sensors.valid
        signal = self._signal
        rows = self._rows
        hang_below = rows["droop"]
        none_below = rows["load_out"]
        old = self._x
        zero = self._zero
        rest_below = rows["droop_all"]
        load = n = n_hang = n_rest = compress = 0
        for i in range(4):
            s = signal[st.DAMPER + i]
            if not valid[s]:
                continue
            n += 1
            x = watch.raw(s)
            v = x - old[i]
            old[i] = old[i + 4]
            old[i + 4] = x
            if v > rows["compress"]:
                compress += 1
            x -= zero[i]
            if x < rest_below:
                n_rest += 1
            if x < hang_below:
                n_hang += 1
                if self.state == AIRBORNE:
                    zero[i] = max(0, zero[i] + (x >> 4))
                continue
            c = self._wheel[i]
            force = x * c[0] + c[1] + v * (c[2] if v > 0 else c[3])
            over = x - c[4]
            if over > 0:
                over >>= 4
                force += over * over * rows["stop"]
            force >>= _BITS
            if force < none_below:
                n_hang += 1
            load += max(force, -20)
        self.load = load * 4 // n if n else 1000
        self._compress = compress  # a tuple would be allocated
        if n_rest == n and self.state == AIRBORNE:
            self._rested = True
        return n_hang


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
