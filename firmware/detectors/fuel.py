"""Fuel: the volume by integrating the injectors' flow, corrected by the level only at rest.

The level is biased while the car moves, so it counts only when the car has stood level and quiet
for long enough. There a Kalman step of two states, with their covariance, corrects the volume and
learns the scale of the flow; what was used is then all that was metered by the new scale. A rise
at rest is a refuel, a fall beyond the flow a leak. A refuel whose volume somebody has entered adds
that much and forgets nothing: the levels before it go on teaching the scale; one that the senders
contradict is not used. Volumes in cl, scale in 1e-6.
"""

from detectors.airborne import root
from detectors.consumption import Consumption
from slog import events as ev
from slog import signal_table as st

_ONE = 1_000_000
_NEAR = 100  # of a sender's end: 1 mm
_DRIFT = 250  # of the scale: variance per metered cl, 0.3 % in 350 l
_REPORT = 100  # a scale that has changed by less is not reported


class Fuel:
    """`volume()` is in the tank, `used_cl` burned and `added_cl` refuelled since the start.

    refuels  list of entered volumes of the refuels to come, in order, cl, 0 where one is not
             known; those of refuels that came are removed
    """

    def __init__(self, sensors, motion, body, roles, sections, emit, refuels=()):
        self.used_cl = 0
        self.added_cl = 0
        self.scale = _ONE
        self.leaking = False
        self.metered_ml = 0
        self._sensors = sensors
        self._motion = motion
        self._body = body
        self._signal = roles[0]
        self._emit = emit
        self._refuels = refuels
        rows = sections[st.FUEL]
        self._rows = st.named(rows, st.FUEL_ROWS)
        self._curve = rows  # from N_FUEL on; a copy of it is memory that the ring lacks
        self._volume = self._rows["start"]
        self._var_v = 0
        self._cov = 0  # of volume and scale, 1e-6 cl
        self._reported_scale = _ONE
        self._var_s = self._rows["scale_sigma"] * self._rows["scale_sigma"]
        self._known = False
        self._ml = None  # FUEL_USED when last seen
        self._since_ml = 0  # metered since the volume was set
        self._every_km = self._rows["range_km"]
        self._burns = Consumption(self._rows["plan"], self._rows["ewma_m"], 1000 * self._every_km)
        self._km = 0
        self._stretch_km = 0
        self._stretch_ml = 0
        self._early = None
        self._anchored = False
        self._force = [0, 0, 8000]  # eight times the mean force, mg
        self.resume()

    def resume(self):
        """Begin anew after a pause: the flow goes on from what the counter says."""
        self._quiet = 0
        self._full = False  # a sender is at its upper end, above which it says nothing
        self._level = None
        self._rest = None
        self._rest_ml = 0
        self._rest_n = 0
        self._rising = 0

    def volume(self):
        """Return the volume in cl."""
        return self._volume - self._by_scale(self._since_ml)

    def step(self):
        """Do a tenth of a second."""
        self._meter()
        level = self._read_level()
        rows = self._rows
        if self._is_quiet(level):
            self._quiet += 1
            self._level = (
                level if self._level is None else self._level + (level - self._level) // 8
            )
            if not self._known and self._quiet >= rows["first_n"]:
                self._set_first(self._level, rows["sigma_quiet"])
            elif self._quiet >= rows["quiet_s"] * 10 and self._quiet % 100 == 0:
                self._stand(self._level)
        else:
            self._quiet = 0
            self._level = None
            if self._motion.speed > rows["refuel_speed"]:
                self._rest = None
                self._rising = 0
        if not self._known and level is not None:
            self._early = (
                level if self._early is None else self._early + (level - self._early) // 64
            )
            if self._motion.distance_m > rows["first_m"]:
                self._set_first(self._early, rows["sigma_moving"])
        self._count_km()

    def _meter(self):
        ml = self._sensors.value(st.FUEL_USED, -1)
        if ml < 0:
            return
        if self._ml is not None and 0 <= ml - self._ml < 20_000:
            self._since_ml += ml - self._ml
            self.metered_ml += ml - self._ml
            self.used_cl = self._by_scale(self.metered_ml)
        self._ml = ml

    def _by_scale(self, ml):
        litres = ml // 1000  # apart from the rest: within 30 bits
        rest = ml - litres * 1000
        whole = litres * 100 + (litres * (self.scale - _ONE) + 5000) // 10_000
        return whole + rest * (self.scale // 100) // 100_000

    def _read_level(self):
        """Return the mean volume of the senders in cl; None unless both are in their range."""
        total = 0
        full = False
        rows = self._rows
        for k in (0, 1):
            s = self._signal[st.LEVEL + k]
            if s < 0 or not self._sensors.valid[s]:
                return None
            mm = self._sensors.value(st.LEVEL + k)
            if mm <= rows["dead_low"]:
                return None
            if mm > rows["dead_high"] - _NEAR:
                full = True
                mm = rows["dead_high"]
            total += self._convert(mm, 1 + k)
        self._full = full
        return total // 2

    def _convert(self, mm, column):
        curve = self._curve
        at = st.N_FUEL
        last = len(curve) - 3
        while at < last - 3 and mm > curve[at + 3 + column]:
            at += 3
        low = curve[at + column]
        width = curve[at + 3 + column] - low
        return curve[at] + (curve[at + 3] - curve[at]) * (mm - low) // width

    def _is_quiet(self, level):
        rows = self._rows
        f = self._force
        new = self._body.force
        for k in (0, 1, 2):
            f[k] += new[k] - (f[k] >> 3)
        quiet = rows["quiet_mg"]
        return (
            level is not None
            and self._motion.speed < rows["quiet_speed"]
            and -rows["slope_mg"] < f[0] >> 3 < rows["slope_mg"]
            and -quiet < f[1] >> 3 < quiet
            and -quiet < (f[2] >> 3) - 1000 < quiet
        )

    def _set_first(self, level, sigma):
        rows = self._rows
        self._known = True
        if self._full:
            level = max(level, rows["start"])
            sigma *= 2
        self._set(level, sigma * sigma)

    def _set(self, level, var):
        self._since_ml = 0
        self._volume = level
        self._var_v = var
        self._cov = 0

    def _stand(self, level):
        """Every ten seconds of quiet: refuelled, leaking, or an anchor."""
        rows = self._rows
        if self._rest is None:
            self._rest = level
            self._rest_ml = self._since_ml
            self._rest_n = 0
            if level - self.volume() < rows["refuel_rise"]:
                self._anchor(level)
                self._rest_ml = self._since_ml
                return
            self._rest = self.volume()
        self._rest_n += 1
        rise = level - self._rest + self._by_scale(self._since_ml - self._rest_ml)
        if rise > rows["refuel_rise"]:
            if level - self._rising < 100 and self._rising:
                self._refuelled(level)
            self._rising = level
        elif -rise > rows["leak"] and self._rest_n * 10 <= rows["leak_s"] and not self.leaking:
            self._leak(-rise, level)
        elif self._rest_n * 10 > rows["leak_s"]:
            self._rest = level
            self._rest_ml = self._since_ml
            self._rest_n = 0

    def _refuelled(self, level):
        sigma = self._rows["sigma_quiet"] * (1 + self._full)
        added = level - self.volume()
        entered = self._refuels.pop(0) if self._refuels else 0
        off = (added - entered) // self._rows["gate"]
        is_entered = entered and off * off < self._var_after(self._since_ml // 10) + sigma * sigma
        if is_entered:
            added = entered
            self._volume += added
        else:
            self._set(level, sigma * sigma)
        self.added_cl += max(added, 0)
        self._emit(ev.REFUEL, ev.ON, added, level)
        if is_entered:
            self._anchor(level)
        self._rest = level
        self._rest_ml = self._since_ml
        self._rest_n = 0
        self._rising = 0

    def _leak(self, lost, level):
        self.leaking = True
        self._set(level, self._rows["sigma_quiet"] ** 2)
        self._rest = level
        self._rest_ml = 0
        self._emit(ev.LEAK, ev.ON, lost, level)

    def _anchor(self, level):
        """One Kalman step on volume and scale."""
        rows = self._rows
        if self._full:
            return
        flow = self._since_ml // 10
        noise = rows["sigma_quiet"] * rows["sigma_quiet"]
        var = self._var_after(flow)
        cov = self._cov - flow * self._var_s // _ONE
        first = rows["scale_sigma"] * rows["scale_sigma"]
        var_s = min(self._var_s + _DRIFT * flow, max(first, self._var_s))
        total = var + noise
        error = level - self.volume()
        if error * error > rows["gate"] * rows["gate"] * total:
            if self._anchored and error < -rows["leak"] and not self.leaking:
                self._leak(-error, level)
            elif not self._anchored:
                self._set(level, noise)
            self._anchored = True
            return
        self._anchored = True
        volume = self.volume() + error * var // total
        self.scale += cov * error // total
        self._var_s = var_s - cov * cov // total
        self._set(volume, var * noise // total)
        self._cov = cov * noise // total
        self.used_cl = self._by_scale(self.metered_ml)
        if flow > 1000 or abs(self.scale - self._reported_scale) >= _REPORT:
            self._reported_scale = self.scale
            self._emit(ev.FLOW_SCALE, ev.ON, self.scale, root(self._var_s) // 100 * 100)

    def _var_after(self, flow):
        """Return the volume's variance when so many cl more are metered than when it was set."""
        by_scale = flow * self._var_s // _ONE
        return max(self._var_v - 2 * flow * self._cov // _ONE + flow * by_scale // _ONE, 1)

    def _count_km(self):
        km = self._motion.distance_m // 1000
        if km == self._km:
            return
        rows = self._rows
        self._km = km
        volume = max(self.volume(), 0)
        self._emit(ev.FUEL, ev.ON, volume, self.used_cl)
        if km % self._every_km == 0:
            self._burns.add((self.metered_ml - self._stretch_ml) // (km - self._stretch_km))
            self._stretch_km = km
            self._stretch_ml = self.metered_ml
            left = max(volume - rows["unusable"] - rows["reserve"], 0)
            sigma = root(self._var_after(self._since_ml // 10 + left))
            p50, p10 = self._burns.ranges(left, sigma, self.scale, self._every_km)
            self._emit(ev.RANGE, ev.ON, p50, p10)
