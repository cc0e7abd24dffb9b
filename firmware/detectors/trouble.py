"""How fast and how far, and three troubles that no limit sees: stuck, rolled over, handbrake.

Owns the vehicle speed (the middle of four wheels), the distance and whether the engine runs, ten
times a second. When the wheels may be off the ground, and when stuck, they lie: the speed before
counts.
"""

from array import array

from detectors.airborne import GROUND, INHIBITED
from slog import events as ev
from slog import signal_table as st


class Trouble:
    """speed and fastest in 0.01 km/h, distance_m, rpm, gear."""

    def __init__(self, watch, sensors, flight, roles, rows, emit):
        self.speed = 0
        self.fastest = 0
        self.top_speed = 0
        self.distance_m = 0
        self.rpm = 0
        self.power_ds = 0
        self.engine_ds = 0
        self.n_shifts = 0
        self.n_abuses = 0
        self.stuck = False
        self._watch = watch
        self._sensors = sensors
        self._flight = flight
        self._signal, self._mul, self._add = roles
        self._rows = rows
        self._emit = emit
        self._way = 0
        self._n_wheels = 0
        self._x = array("i", [0] * 4)
        self.resume()

    def resume(self):
        """Begin anew after a pause."""
        self._n_spin = 0
        self._n_rolled = 0
        self._n_hand = 0
        self._hand_told = False
        self._gear = -1
        self._rolled = False

    def value(self, role, missing=0):
        """Return what plays a role in its unit, or `missing`."""
        i = self._signal[role]
        if i < 0 or not self._sensors.valid[i]:
            return missing
        return (self._sensors.last[i] * self._mul[role] >> st.SCALE_BITS) + self._add[role]

    def step(self):
        """Do a tenth of a second."""
        self.power_ds += 1
        self.rpm = self.value(st.RPM)
        running = self.rpm > self._rows["engine_rpm"]
        if running:
            self.engine_ds += 1
        before = self.speed
        self._find_speed()
        self._flight.speed = self.speed if self._n_wheels else -1
        rise = self.fastest - before
        pedal = self.value(st.PEDAL)
        flight_rows = self._flight._rows
        self._flight.flare = rise > flight_rows["flare"] and pedal > flight_rows["flare_pedal"]
        self._find_stuck(running)
        if not self.stuck:
            self._way += self.speed
            self.distance_m += self._way // 3600
            self._way %= 3600
        self.top_speed = max(self.top_speed, self.speed)
        gear = self.value(st.GEAR, -1)
        if gear != self._gear:
            if gear > 0 and self._gear > 0:
                self.n_shifts += 1
            self._gear = gear
        self._find_roll()
        self._find_handbrake()

    def _find_speed(self):
        low = high = total = n = 0
        valid = self._sensors.valid
        for role in range(st.WHEEL, st.WHEEL + 4):
            i = self._signal[role]
            if not valid[i]:
                continue
            v = self._watch.raw(i) * self._mul[role] >> st.SCALE_BITS
            low = min(low, v) if n else v
            high = max(high, v)
            total += v
            n += 1
        self.fastest = high
        self._n_wheels = n
        state = self._flight.state
        if n and (state == GROUND or state == INHIBITED):
            self.speed = (total - low - high) // (n - 2) if n > 2 else total // n

    def _find_stuck(self, running):
        """Wheels turn, and nothing shakes: the car does not move."""
        moved = n = 0
        for i in range(4):
            s = self._signal[st.DAMPER + i]
            if self._sensors.valid[s]:
                x = self._watch.raw(s)
                moved += abs(x - self._x[i])
                self._x[i] = x
                n += 1
        rows = self._rows
        if (
            n >= 3
            and running
            and self.speed > rows["spin_speed"]
            and moved < rows["spin_move"] * n
        ):
            self._n_spin = min(self._n_spin + 1, rows["spin_n"])
            if self._n_spin == rows["spin_n"] and not self.stuck:
                self.stuck = True
                self._emit(ev.STUCK, ev.ON, self.speed, 0)
        else:
            self._n_spin = max(self._n_spin - 5, 0)
            if self.stuck and not self._n_spin:
                self.stuck = False
                self._emit(ev.STUCK, ev.OFF, self.speed, 0)

    def _find_roll(self):
        rows = self._rows
        if not self._sensors.valid[self._signal[st.ACC_Z]]:
            return
        over = self._flight.body.force[2] < rows["roll_mg"]
        if over == self._rolled:
            self._n_rolled = 0
            return
        self._n_rolled += 1
        if self._n_rolled >= rows["roll_n"]:
            self._rolled = over
            self._n_rolled = 0
            self._emit(ev.ROLL_OVER, ev.ON if over else ev.OFF, self._flight.body.force[2], 0)

    def _find_handbrake(self):
        rows = self._rows
        kPa = self.value(st.HANDBRAKE)
        if kPa < rows["hand_kPa"]:
            self._n_hand = 0
            self._hand_told = False
            return
        self._n_hand += 1
        long = self._n_hand > rows["hand_n"] and self.fastest > rows["spin_speed"]
        fast = self._n_hand >= 2 and self.fastest > rows["hand_speed"]
        if (long or fast) and not self._hand_told:
            self._hand_told = True
            self.n_abuses += 1
            self._emit(ev.HANDBRAKE, ev.ON, self.fastest, kPa)
