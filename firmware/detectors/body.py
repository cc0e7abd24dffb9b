"""What the tyres carry, by Newton's law alone: the body's force and the wheels' acceleration.

All that pushes a car up is its tyres, so their force is the sum over its parts of mass times
specific force. Of the body the IMU measures it (corrected for rotation to the centre of gravity);
the wheels' differs from it by the second derivative of the dampers' travel:

    tyres / weight = force + unsprung share * travel''      (in g)

Springs, dampers and friction do not appear: whatever they are, in the air this is nothing.

Owns the sums and filters. All of it is integers: mg, 0.01 mm, ticks of 10 ms.
"""

from array import array

from slog import events as ev
from slog import signal_table as st
from slog.layout import const
from slog.native import micropython

DELAY = const(3)  # ticks: `tyres` is that of so long ago
_BITS = st.SCALE_BITS
_CAP = const(20000)  # mg
_RING = const(8)  # vectors of force that are kept
_OUTLIERS = const(3)  # in a row: it did jump
# A force or a rate that stays exactly the same for so many ticks in which dampers move is stuck:
# 0.5 s of a rough road; wheels that fall to full droop take less.
_FROZEN = const(50)
_STILL = const(10)
_MOVED = const(50)  # damper units, of their sum in a tick
_OUTLIER = const(100)  # what one adds to the doubt; a tick without one takes 1: 1 % is no doubt
_DOUBT = const(500)
_S_LOW = const(8)  # columns of SIGNALS, held to slog.signal_table by a test
_S_HIGH = const(9)
_S_COLUMNS = const(18)


class Body:
    """acc_ok, gyro_ok, n_dampers: what may be used. tyres: mg, of the weight. force: filtered."""

    def __init__(self, watch, sensors, roles, rows):
        self.acc_ok = False
        self.gyro_ok = False
        self.n_dampers = 0
        self.tyres = 1000
        self.across2 = 0
        self.spin2 = 0
        self.n_hang = 0
        self.n_free = 0
        self.n_rest = 0
        self.n_compress = 0
        self.force = array("i", [0, 0, 1000])
        self.zero = array("i", [rows["drift"]] * 4)
        self._watch = watch
        self._sensors = sensors
        self._signal, self._mul, self._add = roles
        self._rows = rows
        self._wheel = []
        for i in range(4):
            # spring, preload, rebound
            self._wheel.append(array("i", [rows[st.WHEEL_ROWS + 4 * n + i] for n in range(3)]))
        self._x = array("i", [0] * 8)  # two ticks of four positions
        self._outliers = bytearray(4)
        self._sum = array("i", [0] * 4)  # of positions, four ticks
        self._bend = array("i", [0, 0])  # second differences of it, two ticks
        self._used = 0
        self._seen = 0
        self._doubt = array("H", [0] * 4)
        self._doubted = bytearray(4)
        self._moved = False
        self._n_bad = 0
        self._n_same = bytearray(2)  # ticks: force, rates
        self._rate = array("i", [0] * 6)  # two ticks of three rates
        self._acc = array("i", [0, 0, 1000])  # of the tick before
        self._ring = array("i", [0, 0, 1000] * _RING)
        self._at = 0

    def resume(self):
        """Begin anew after a pause."""
        self._seen = 0

    def step(self, learn):
        """Do one tick. learn: the car is in the air, so what hangs shows the end of its travel."""
        valid = self._sensors.valid
        signal = self._signal
        self.acc_ok = (
            valid[signal[st.ACC_X]] and valid[signal[st.ACC_Y]] and valid[signal[st.ACC_Z]]
        )
        self.gyro_ok = (
            valid[signal[st.RATE_X]] and valid[signal[st.RATE_Y]] and valid[signal[st.RATE_Z]]
        )
        bend = self._dampers(learn)
        old = self._bend
        total = bend + old[0] + old[1]
        old[0] = old[1]
        old[1] = bend
        frozen = self._n_same[0] >= _FROZEN
        if frozen:
            self._blame(st.ACC_X)
        if self._n_same[1] >= _FROZEN:
            self._blame(st.RATE_X)
        if self.acc_ok or frozen:
            self._forces()
        if not self.acc_ok:
            return
        ring = self._ring
        at = self._at + 2  # of z
        z = ring[at] + 3 * (ring[(at + 21) % 24] + ring[(at + 15) % 24])
        z += 4 * ring[(at + 18) % 24] + ring[(at + 12) % 24]
        self.tyres = (z >> 2) // 3
        if self.n_dampers > 2:
            self.tyres += (total * self._rows["unsprung"] >> 12) // (3 * self.n_dampers)
        f = self.force
        self.across2 = f[0] * f[0] + f[1] * f[1]

    def is_still(self):
        """Return whether the force has not changed at all for some ticks: no IMU does that."""
        return self._n_same[0] >= _STILL

    def _blame(self, first):
        for role in range(first, first + 3):
            self._sensors.blame(self._signal[role], ev.STUCK_VALUE)

    def peak2(self):
        """Return the square of half the force, without what rings or shakes: 0.93 of it at 10 Hz
        as a first-order filter of 25 Hz has it, 0.67 at 20 Hz, nothing at 50 Hz.
        """
        ring = self._ring
        total = 0
        for axis in range(3):
            at = self._at + axis
            f = 2 * ring[(at + 18) % 24] + ring[(at + 21) % 24] + ring[(at + 15) % 24]
            f = 33 * f >> 8
            total += f * f
        return total

    @micropython.native
    def _forces(self):
        """Put the force at the centre of gravity a tick ago into the ring, and filter it."""
        watch = self._watch
        rows = self._rows
        signal = self._signal
        mul = self._mul
        acc = self._acc
        ax = acc[0]
        ay = acc[1]
        az = acc[2]
        bad = False
        for i in range(3):
            s = signal[st.ACC_X + i]
            raw = watch.raw(s)
            s *= _S_COLUMNS
            if watch.signals[s + _S_LOW] <= raw <= watch.signals[s + _S_HIGH]:
                acc[i] = raw * mul[st.ACC_X + i] >> _BITS
            else:
                bad = True
        if not bad:
            self._n_bad = 0
        elif self._n_bad < _OUTLIERS:
            self._n_bad += 1  # the last one is used on
        else:
            self.acc_ok = False
        same = self._n_same
        if ax != acc[0] or ay != acc[1] or az != acc[2]:
            same[0] = 0
        elif self._moved and same[0] < _FROZEN:
            same[0] += 1
        if self.gyro_ok or same[1] >= _FROZEN:
            old = self._rate
            p = watch.raw(signal[st.RATE_X]) * mul[st.RATE_X] >> _BITS
            q = watch.raw(signal[st.RATE_Y]) * mul[st.RATE_Y] >> _BITS
            r = watch.raw(signal[st.RATE_Z]) * mul[st.RATE_Z] >> _BITS
            dp = p - old[0]
            dq = q - old[1]
            dr = r - old[2]
            if p != old[3] or q != old[4] or r != old[5]:
                same[1] = 0
            elif self._moved and same[1] < _FROZEN:
                same[1] += 1
            old[0] = old[3]
            old[1] = old[4]
            old[2] = old[5]
            old[3] = p
            old[4] = q
            old[5] = r
            p = old[0]
            q = old[1]
            r = old[2]
        if self.gyro_ok:
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
            self.spin2 = pp + qq + rr
            ax -= (pq * y + pr * z - (qq + rr) * x) >> 10
            ay -= (pq * x + qr * z - (pp + rr) * y) >> 10
            az -= (pr * x + qr * y - (pp + qq) * z) >> 10
        at = self._at = (self._at + 3) % 24
        ring = self._ring
        ring[at] = ax = max(-_CAP, min(_CAP, ax))
        ring[at + 1] = ay = max(-_CAP, min(_CAP, ay))
        ring[at + 2] = az = max(-_CAP, min(_CAP, az))
        f = self.force
        k = rows["filter"]
        f[0] += (ax - f[0]) * k >> 8
        f[1] += (ay - f[1]) * k >> 8
        f[2] += (az - f[2]) * k >> 8

    def _weigh(self, i, s):
        """Forget some of the doubt in a damper; report when it has become great, or is over.
        Where one position in twenty is none, the others are not used either.
        """
        doubt = self._doubt
        doubt[i] -= 1
        if doubt[i] >= _DOUBT:
            doubt[i] -= 3
            if not self._doubted[i]:
                self._doubted[i] = 1
                self._sensors.report(s, ev.IMPLAUSIBLE)
            elif doubt[i] > 2 * _DOUBT - 2 * _OUTLIER:
                self._doubted[i] = 2
        elif self._doubted[i]:
            if doubt[i]:
                self._doubted[i] = 1
            else:
                self._doubted[i] = 0
                self._sensors.report(s, ev.GOOD)

    @micropython.native
    def _dampers(self, learn):
        """Count what the dampers do; return the second difference of their sum over 20 ms."""
        watch = self._watch
        valid = self._sensors.valid
        signal = self._signal
        rows = self._rows
        old = self._x
        jump = rows["jump"]
        bound = rows["compress"]
        hang_below = rows["droop"]
        rest_below = rows["droop_all"]
        model = not (self.acc_ok and self.gyro_ok)
        zeros = self.zero
        outliers = self._outliers
        doubt = self._doubt
        anew = False
        seen = used = total = n = n_hang = n_free = n_rest = n_compress = 0
        for i in range(4):
            s = signal[st.DAMPER + i]
            if not valid[s]:
                continue
            seen += 1 << i
            x = watch.raw(s)
            before = old[i]
            last = old[i + 4]
            guess = last + last - before
            if doubt[i]:
                self._weigh(i, s)
            if not self._seen >> i & 1:
                before = last = x
            elif guess - jump <= x <= guess + jump:
                outliers[i] = 0
            elif outliers[i] < _OUTLIERS:
                outliers[i] += 1
                x = guess
                doubt[i] = min(doubt[i] + _OUTLIER, 2 * _DOUBT)
            else:
                before = last = x
                anew = True
            old[i] = last
            old[i + 4] = x
            if self._doubted[i] > 1:
                continue
            n += 1
            used += 1 << i
            total += x
            v = x - before
            if v > bound:
                n_compress += 1
            x -= zeros[i]
            if x < rest_below:
                n_rest += 1
            if x < hang_below:
                n_hang += 1
                n_free += 1
                if learn:
                    zeros[i] = max(0, zeros[i] + (x >> 4))
            elif v < 0:
                n_hang += 1
                if model:
                    c = self._wheel[i]
                    if x * c[0] + c[1] + v * c[2] >> _BITS < rows["load"]:
                        n_free += 1
        self._seen = seen
        self.n_dampers = n
        self.n_hang = n_hang
        self.n_free = n_free
        self.n_rest = n_rest
        self.n_compress = n_compress
        h = self._sum
        moved = total - h[3]
        self._moved = moved > _MOVED or -moved > _MOVED
        if anew or used != self._used:
            self._used = used
            for i in range(4):
                h[i] = total
            return 0
        bend = total - 2 * h[2] + h[0]
        h[0] = h[1]
        h[1] = h[2]
        h[2] = h[3]
        h[3] = total
        return bend
