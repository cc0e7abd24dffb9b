"""Differentials by their losses: how hot each should be, and how far from it it is.

C dT/dt = P - (still + moving v^0.8) (T - ambient), once a second in micro-degrees, with
P = mesh + churning + locking torque x slip / 2. The model follows the measurement slowly, so that
a constant error of the parameters stays small; what grows faster than the losses explain is the
residual. Little oil shows in it before the level reaches a limit.
"""

from slog import events as ev
from slog import signal_table as st


class Diffs:
    """`residual[axle]` in 0.01 degC, `max[axle]` and `over_s[axle]` for the summary."""

    def __init__(self, sensors, motion, sections, emit):
        self.residual = [0, 0]
        self.max = [-10000, -10000]
        self.over_s = [0, 0]
        self.is_on = [False, False]
        self._sensors = sensors
        self._motion = motion
        self._emit = emit
        rows = sections[st.HEAT]
        self._rows = st.named(rows, st.HEAT_ROWS)
        self._air = rows  # v^0.8 in 1/1000 by m/s, from N_HEAT on
        self.resume()

    def resume(self):
        """Begin anew after a pause: from what is measured."""
        self._micro = [None, None]
        self._joule = [0, 0]
        self._n = 0
        self._speed = 0
        self._high = [0, 0]

    def step(self):
        """Add a tenth of a second; each second, move the model on."""
        rows = self._rows
        sensors = self._sensors
        speed = self._motion.speed
        omega = speed * 2778 // (10 * rows["radius_mm"])  # 0.01 rad/s
        torque = abs(sensors.value(st.OUT_TORQUE))
        w = omega // 10
        churn = w * w * rows["churn"] >> 20
        for axle in (0, 1):
            at = st.AXLE_ROWS + st.N_AXLE * axle
            axle_Nm = torque * rows[at + st.SHARE] >> 10
            lock = rows[at + st.PRELOAD] + axle_Nm * rows[at + st.LOCK] // 1000
            slip = abs(sensors.value(st.SLIP + axle)) * 2778 // (10 * rows["radius_mm"])
            mesh = axle_Nm * omega // 100 * rows["mesh"] // 1000
            self._joule[axle] += mesh + churn + lock * slip // 200
        self._speed += speed
        self._n += 1
        if self._n < 10:
            return
        ms = min(self._speed // 3600, len(self._air) - 1 - st.N_HEAT)
        self._speed = 0
        self._n = 0
        ambient = sensors.value(st.AMBIENT, 2500)
        for axle in (0, 1):
            watts = self._joule[axle] // 10
            self._joule[axle] = 0
            self._second(axle, st.AXLE_ROWS + st.N_AXLE * axle, watts, ms, ambient)

    def _second(self, axle, at, watts, ms, ambient):
        rows = self._rows
        seen = self._sensors.value(st.DIFF + axle, None)
        if seen is None:
            self._micro[axle] = None
            self._high[axle] = 0
            return
        self.max[axle] = max(self.max[axle], seen)
        if seen > rows[at + st.HEAT_WARNING]:
            self.over_s[axle] += 1
        micro = self._micro[axle]
        if micro is None:
            self._micro[axle] = seen * 10_000
            return
        air = self._air[st.N_HEAT + ms]
        leave = rows[at + st.STILL] + rows[at + st.MOVING] * air // 1000  # mW/K
        lost = leave * (micro // 1000 - ambient * 10) // 1000
        micro += (watts * 1000 - lost) * 1000 // rows[at + st.CAPACITY]
        micro += (seen * 10_000 - micro) // rows["settle_s"]
        self._micro[axle] = micro
        residual = seen - micro // 10_000
        self.residual[axle] = residual
        self._report(axle, residual)

    def _report(self, axle, residual):
        rows = self._rows
        limit = rows["residual"]
        high = residual < limit // 2 if self.is_on[axle] else residual > limit
        self._high[axle] = self._high[axle] + 1 if high else 0
        if self._high[axle] >= rows["hold_s"]:
            self._high[axle] = 0
            self.is_on[axle] = not self.is_on[axle]
            self._emit(ev.DIFF_MODEL, ev.ON if self.is_on[axle] else ev.OFF, residual, axle)
