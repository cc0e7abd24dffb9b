"""Motion: how fast the car drives, how far it has driven, and what its engine does.

Owns the vehicle speed (the mean of the middle two of four wheels), the distance, the engine, and
whether the wheels turn while the car stands. Computed once in a tenth of a second, before the
detectors that use it. While the wheels may be off the ground, and while the car is stuck, they
turn at other speeds than the car drives: the speed before counts.
"""

from array import array

from slog import events as ev
from slog import signal_table as st


class Motion:
    """All of it is read by the other detectors and written here alone.

    speed         0.01 km/h, the last one known
    known_speed   the same; -1 while no wheel is valid
    fastest       0.01 km/h, of the fastest wheel
    rpm           1/min; 0 while it is not known
    flare         the wheels race ahead of the car under power
    stuck         they turn, and the car does not move
    """

    def __init__(self, watch, sensors, roles, rows, flight_rows, emit):
        self.speed = 0
        self.known_speed = 0
        self.fastest = 0
        self.rpm = 0
        self.flare = False
        self.stuck = False
        self.top_speed = 0
        self.distance_m = 0
        self.n_shifts = 0
        self.power_ds = 0
        self.engine_ds = 0
        self._watch = watch
        self._sensors = sensors
        self._signal, self._mul, _ = roles
        self._rows = rows
        self._flare_above = flight_rows["flare"]
        self._flare_pedal = flight_rows["flare_pedal"]
        self._emit = emit
        self._way = 0
        self._x = array("i", [0] * 4)
        self.resume()

    def resume(self):
        """Begin anew after a pause."""
        self._n_spin = 0
        self._gear = -1

    def step(self, on_ground):
        """Do a tenth of a second. on_ground: the wheels turn as fast as the car drives."""
        sensors = self._sensors
        self.power_ds += 1
        self.rpm = sensors.value(st.RPM)
        running = self.rpm > self._rows["engine_rpm"]
        if running:
            self.engine_ds += 1
        before = self.speed
        self._find_speed(on_ground)
        rise = self.fastest - before
        self.flare = rise > self._flare_above and sensors.value(st.PEDAL) > self._flare_pedal
        self._find_stuck(running)
        if not self.stuck:
            self._way += self.speed
            self.distance_m += self._way // 3600
            self._way %= 3600
        self.top_speed = max(self.top_speed, self.speed)
        gear = sensors.value(st.GEAR, -1)
        if gear != self._gear:
            if gear > 0 and self._gear > 0:
                self.n_shifts += 1
            self._gear = gear

    def _find_speed(self, on_ground):
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
        if n and on_ground:
            self.speed = (total - low - high) // (n - 2) if n > 2 else total // n
        self.known_speed = self.speed if n else -1

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
