"""One day with the fuel detector: ten steps a second, its inputs made here, its word kept.

Tank: two floats with an error of slope and a bow against the profile's curve, end stops, noise;
slosh and a bias while the car moves, slosh that dies away and a tilt of its own at every stop.
Flow meter: wrong by up to 3 % and drifting. Stops of 40 s to 6 minutes, some on a slope, refuels
with the logger on and off.
"""

from dataclasses import dataclass, field

import numpy as np

from campaigns.engine.other_tank.way import KINDS, Way
from detectors.fuel import Fuel
from slog import events as ev
from slog import signal_table as st

HZ = 10
IDLE_ml_s = 0.7
KM_s = (9.0, 15.0)  # quicker than any car, to save time: while it moves only litres and km count
STOP_km = 45.0
STOP_s = (40.0, 360.0)
REFUEL_ml_s = 1000.0
SCALE = 0.03
DRIFT = 0.003  # of the flow meter, standard deviation over 500 km
BOWSER = 0.003  # error of its meter
TILT_l = 3.5  # of one stop, by a slope to the side
IDLE_ml_km = IDLE_ml_s * sum(STOP_s) / 2 / STOP_km
MEAN_s = 60  # of the level, for the peer
SIGNALS = {st.FUEL_USED: 0, st.LEVEL: 1, st.LEVEL + 1: 2}


class Inputs:
    """Stands for the sensors, the trouble detector and the flight detector."""

    def __init__(self):
        self.raw = [0, 0, 0]
        self.valid = [True, True, True]
        self.speed = 0
        self.distance_m = 0
        self.body = self
        self.force = [0, 0, 1000]

    def value(self, role, missing=0):
        return self.raw[SIGNALS[role]]


@dataclass
class Word:
    """A range that was told, and what was true then."""

    km: int
    p50_km: float
    p10_km: float
    volume_l: float
    way: Way


@dataclass
class Day:
    """What came of it, in litres; `true_scale` is true by metered."""

    kind: str
    seed: int
    km: int
    burned_l: float
    volume_l: float
    added_l: float
    metered_l: float
    level_used_l: float
    used_l: float
    left_l: float
    found_l: float
    scale: float
    sigma: float
    words: list[Word] = field(default_factory=list)

    @property
    def true_scale(self) -> float:
        return self.burned_l / self.metered_l


class _Tank:
    """The truth, and what the two floats show of it."""

    def __init__(self, profile, rng):
        f = profile.fuel
        self.rng = rng
        self.curves = (np.array(f.sender_a_mm), np.array(f.sender_b_mm))
        self.litres = np.array(f.sender_volume_l)
        self.ends = f.sender_dead_mm
        self.gain = 1 + rng.normal(0, 0.006) + rng.normal(0, 0.004, 2)
        self.bow = rng.normal(0, 1.2, 2)
        self.phase = rng.uniform(0, 2 * np.pi, 2)

    def show(self, litres, fore_aft_mm):
        """Return the heights of both in 0.01 mm, ints."""
        out = []
        for k, sign in ((0, -1), (1, 1)):
            h = np.interp(litres, self.litres, self.curves[k])
            h = h * self.gain[k] + self.bow[k] * np.sin(2 * np.pi * h / 300 + self.phase[k])
            h = h + sign * fore_aft_mm + self.rng.normal(0, 0.4, len(litres))
            out.append(np.rint(100 * np.clip(h, *self.ends)).astype(int).tolist())
        return out

    def volume_of(self, a, b):
        """Return litres by the curves as the profile has them."""
        found = [
            np.interp(np.array(h) / 100, curve, self.litres)
            for h, curve in zip((a, b), self.curves, strict=True)
        ]
        return float(np.mean(found))


class Drive:
    """Drives one day. `run()` returns it. `entered`: the bowser's meter is read at each refuel."""

    def __init__(self, profile, rows, kind, seed, km, entered=False):
        self.rng = rng = np.random.default_rng([seed, sorted(KINDS).index(kind), 20261121])
        self.kind, self.seed, self.km = kind, seed, km
        self.way = Way(KINDS[kind], rng)
        self.tank = _Tank(profile, rng)
        self.volume = self.start = float(rng.uniform(250, 548))
        self.capacity = profile.fuel.capacity_l
        self.burned = self.metered = self.added = 0.0
        self.gain = rng.uniform(-SCALE, SCALE)
        self.drift = rng.normal(0, DRIFT) / 500
        self.bias_l = rng.uniform(4, 12)
        self.inputs = Inputs()
        self.words, self.sigma = [], 0.0
        i = self.inputs
        self._entered = []
        self._is_entered = entered
        self._bowser = np.random.default_rng([seed, sorted(KINDS).index(kind), 3])
        roles, sections = self._roles(), {st.FUEL: rows}
        self.fuel = Fuel(i, i, i, roles, sections, self._said, self._entered)
        self._at_km = 0
        self._first = self._last = None

    def _roles(self):
        signal = [-1] * 64
        for role, s in SIGNALS.items():
            signal[role] = s
        return signal, None, None

    def _said(self, code, _state, value, extra):
        if code == ev.FLOW_SCALE:
            self.sigma = extra / 1e6
        if code == ev.RANGE:
            here = self.way.continued(None)
            self.words.append(Word(self._at_km, value / 10, extra / 10, self.volume, here))

    def run(self) -> Day:
        """Stand, drive, stop, refuel; a last stop ends the day."""
        self._stop(60.0)
        to_stop = self._next_stop()
        for _ in range(self.km):
            self._at_km += 1
            self._move(self.way.next_ml())
            to_stop -= 1
            if to_stop <= 0 or self.volume < 70:
                self._stop(float(self.rng.uniform(*STOP_s)))
                if self.volume < self.rng.uniform(70, 220):
                    self._refuel()
                to_stop = self._next_stop()
        self._stop(120.0)
        return Day(
            kind=self.kind,
            seed=self.seed,
            km=self.km,
            burned_l=self.burned / 1000,
            volume_l=self.volume,
            added_l=self.added,
            metered_l=self.metered / 1000,
            level_used_l=self._first + self.added - self._last,
            used_l=self.fuel.used_cl / 100,
            left_l=self.fuel.volume() / 100,
            found_l=self.fuel.added_cl / 100,
            scale=self.fuel.scale / 1e6,
            sigma=self.sigma,
            words=self.words,
        )

    def _next_stop(self):
        return max(3, round(self.rng.exponential(STOP_km)))

    def _move(self, ml):
        """One km; the range is told at the end of it."""
        n = round(HZ * self.rng.uniform(*KM_s))
        part = np.arange(1, n + 1) / n
        sway = np.cumsum(self.rng.normal(0, 1, n))
        sway = 6 * np.sin(sway / 3) - self.bias_l
        self.inputs.speed = 360_000 * HZ // n
        start = self.inputs.distance_m
        way_m = (start + 1000 * part).astype(int)
        self.inputs.force[:] = (0, 0, 1600)  # nothing that is quiet
        self._steps(part * ml, -0.001 * part * ml + sway, 8 * np.sin(sway), way_m.tolist())

    def _stop(self, seconds, added=None):
        """Stand for so long; `added`: litres more at each step."""
        n = round(HZ * seconds)
        t = np.arange(1, n + 1) / HZ
        ml = IDLE_ml_s * t
        die = 8 * np.exp(-t / 8) * np.sin(2 * np.pi * 0.6 * t + self.rng.uniform(0, 6))
        if added is None:
            self._tilt = self.rng.normal(0, TILT_l)
            self._slope = self.rng.normal(0, 70)
            added = np.zeros(n)
        self.inputs.speed = 0
        self.inputs.force[:] = (int(self._slope), 0, 1000)
        way_m = [self.inputs.distance_m] * n
        show = added - 0.001 * ml + self._tilt + die
        self._steps(ml, show, np.full(n, 0.45 * self._slope), way_m)
        self.volume += float(added[-1])
        self.added += float(added[-1])

    def _refuel(self):
        litres = self.rng.uniform(300, self.capacity - 2) - self.volume
        if self._is_entered:
            self._entered.append(round(100 * litres * (1 + self._bowser.normal(0, BOWSER))))
        n = round(HZ * 1000 * litres / REFUEL_ml_s)
        added = np.concatenate((litres * np.arange(1, n + 1) / n, np.full(90 * HZ, litres)))
        if self.rng.random() < 0.3:  # the key is off meanwhile
            self.volume += litres
            self.added += litres
            self.fuel.resume()
            self._stop(90.0, np.zeros(90 * HZ))
        else:
            self._stop(len(added) / HZ, added)

    def _steps(self, ml, more_l, fore_aft_mm, way_m):
        gain = 1 + self.gain + self.drift * self._at_km
        counted = (self.metered + gain * ml).astype(int).tolist()
        shown = self.tank.show(np.clip(self.volume + more_l, 0, self.capacity), fore_aft_mm)
        inputs, raw, step = self.inputs, self.inputs.raw, self.fuel.step
        last = len(counted) - 1
        for k, (count, a, b, m) in enumerate(zip(counted, *shown, way_m, strict=True)):
            if k == last:
                self.volume -= float(ml[-1]) / 1000
                self.burned += float(ml[-1])
                self.metered += gain * float(ml[-1])
            raw[:] = (count, a, b)
            inputs.distance_m = m
            step()
        tail = [h[-MEAN_s * HZ :] for h in shown]
        self._last = self.tank.volume_of(*tail)
        if self._first is None:
            self._first = self._last
