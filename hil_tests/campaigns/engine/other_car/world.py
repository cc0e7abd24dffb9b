"""The worlds of many drives as arrays: ground below each wheel, decks, cranes, water."""

import numpy as np

from campaigns.engine.other_car.cars import Cars, Column, G_ms2
from campaigns.engine.other_car.dynamics import STEP_s, within
from campaigns.engine.other_car.ground import GRID_m, Ground

HOLD_N_per_m = 4.0e5
HOLD_DAMPING = 1.5e4
_TABLE_s = 0.01
_SLOPE_MAX = 0.8


class World:
    """What `dynamics.simulate` asks of the grounds of n drives. Times are steps of 1 ms."""

    def __init__(self, grounds: list[Ground], cars: Cars, seconds: float, seeds: list[int]):
        n = len(grounds)
        self.n, self.cells = n, len(grounds[0].left)
        radius = float(cars.radius_m.mean())
        lanes = np.stack(
            [
                [_rolled(g.left, radius) for g in grounds],
                [_rolled(g.right, radius) for g in grounds],
            ]
        )
        self.heights = lanes.astype(np.float32).ravel()
        raw = np.stack([0.5 * (g.left + g.right) for g in grounds])
        self.raw = raw.astype(np.float32).ravel()
        car = np.arange(n) * self.cells
        self.base = np.stack([car, car + n * self.cells] * 2)
        self.car = car
        self.metres = len(grounds[0].speed_ms)
        self.metre_base = np.arange(n) * self.metres
        self.speeds = np.stack([g.speed_ms for g in grounds]).ravel()
        self.yaws = np.stack([g.yaw_rads for g in grounds]).ravel()
        self.start_m = np.full(n, 8.0)
        self.parked = np.array([g.parked for g in grounds])
        self.locked = np.array([g.locked for g in grounds])
        self.driven = 1.0 - np.array([g.towed for g in grounds], float)
        self.strap_N = np.array([g.strap_N for g in grounds])
        depth = [np.zeros(self.metres) if g.water_m is None else g.water_m for g in grounds]
        self.depth = np.stack(depth).ravel()
        self.wet = any(g.water_m is not None for g in grounds)
        times = np.arange(0, seconds + 1, _TABLE_s)
        self._decks(grounds, times, seeds)
        self._holds(grounds, times, cars)
        self.spins = [g.spin for g in grounds]
        self.spinning = any(self.spins)

    def _decks(self, grounds, times, seeds):
        self.decked = any(g.deck for g in grounds)
        self.deck = np.zeros((len(times), 3, self.n))
        for i, g in enumerate(grounds):
            if not g.deck:
                continue
            rng = np.random.default_rng([seeds[i], 9])
            amp, f, pitch, fp, roll, fr, bumps = g.deck
            ease = np.minimum(times / 5.0, 1.0)
            phase = rng.uniform(0, 6.28, 3)
            for k, (a, hz) in enumerate(((amp, f), (pitch, fp), (roll, fr))):
                self.deck[:, k, i] = ease * a * np.sin(2 * np.pi * hz * times + phase[k])
            for at in np.cumsum(rng.exponential(60 / bumps, 200)) if bumps else ():
                width, high = rng.uniform(0.08, 0.3), rng.uniform(0.01, 0.07)
                self.deck[:, 0, i] += ease * high * np.exp(-(((times - at) / width) ** 2))

    def _holds(self, grounds, times, cars):
        self.holding = any(g.hold for g in grounds)
        self.hold_x = np.zeros((2, self.n))
        self.hold_z = np.full((len(times), 2, self.n), -99.0)
        droop = (cars.sprung_kg * G_ms2 / 4 - cars.preload_N.mean(0)) / cars.spring.mean(0)
        for i, g in enumerate(grounds):
            for k, (x, points) in enumerate(g.hold[:2]):
                ts, lifts = zip(*points, strict=True)
                self.hold_x[k, i] = x
                # 0 is where the body stands by itself: lifted by more than the droop it hangs
                self.hold_z[:, k, i] = np.interp(times, ts, lifts) - droop[i]

    def ground(self, s: Column, k: int) -> tuple[Column, Column]:
        """Return (height, slope) below wheels at s [4, n]."""
        return self._at(self.heights, self.base, s)

    def middle(self, s: Column, k: int, at: float) -> tuple[Column, Column]:
        """Return (height, slope) below the belly."""
        height, slope = self._at(self.raw, self.car, s)
        if self.decked:
            height = height + self._table(self.deck[:, 0], k)
        return height, slope

    def _at(self, flat, base, s):
        cell = s * (1 / GRID_m)
        low = within(cell.astype(np.intp), 0, self.cells - 2)
        part = cell - low
        low += base
        h0 = flat.take(low)
        step = flat.take(low + 1) - h0
        return h0 + part * step, within(step * (1 / GRID_m), -_SLOPE_MAX, _SLOPE_MAX)

    def _table(self, rows, k):
        at = k * STEP_s / _TABLE_s
        low = int(at)
        return rows[low] + (at - low) * (rows[low + 1] - rows[low])

    def lift(self, k: int, x: Column, y: Column) -> Column | float:
        """Return how far a moving deck has lifted the ground below each wheel."""
        if not self.decked:
            return 0.0
        heave, pitch, roll = self._table(self.deck, k)
        return heave - x * pitch + y * roll

    def speed_plan(self, s: Column) -> Column:
        """Return what the driver wants to drive a little ahead, m/s."""
        return self.speeds.take(self._metre(s + 6.0))

    def yaw_plan(self, s: Column, v: Column) -> Column:
        """Return the yaw rate of the way, rad/s."""
        return self.yaws.take(self._metre(s)) * np.minimum(v * 0.1, 1.0)

    def _metre(self, s):
        return within(s.astype(np.intp), 0, self.metres - 1) + self.metre_base

    def idle_turn(self, t: float, turn: Column, cars: Cars) -> Column | float:
        """Return the force at the rims by which somebody turns wheels that hang free."""
        if not self.spinning:
            return 0.0
        want = np.zeros(self.n)
        for i, spans in enumerate(self.spins):
            for a, b, rim in spans:
                if a <= t < b:
                    want[i] = rim
        asked = np.array([bool(s) for s in self.spins])
        return np.where(asked, 300.0 * within(want - turn.mean(0) * cars.radius_m, -8, 8), 0.0)

    def water_drag(self, s: Column, v: Column) -> Column | float:
        """Return the force of the water against the car."""
        if not self.wet:
            return 0.0
        deep = self.depth.take(self._metre(s))
        return -900.0 * deep * v * np.abs(v)

    def held(
        self,
        k: int,
        s: Column,
        z: Column,
        th: Column,
        ph: Column,
        vz: Column,
        vth: Column,
        vph: Column,
    ) -> tuple[Column, Column, Column, Column]:
        """Return (force up, pitch moment, roll moment, force that counts as carried)."""
        up = np.zeros(self.n)
        pitch, roll, total = up, up, up
        if self.holding:
            for point, x in enumerate(self.hold_x):
                aim = self._table(self.hold_z[:, point], k)
                deep = aim - (z - x * th)
                force = np.maximum(HOLD_N_per_m * deep - HOLD_DAMPING * (vz - x * vth), 0.0)
                force = np.where(deep > 0, force, 0.0)
                up, pitch, total = up + force, pitch - x * force, total + force
                roll = roll - np.where(deep > 0, 2e4 * ph + 8e3 * vph, 0.0)
        if self.wet:
            deep = self.depth.take(self._metre(s))
            up = up + 9000.0 * np.maximum(deep - 0.45, 0.0)
        return up, pitch, roll, total


def _rolled(heights, radius_m):
    """Return the height of the lowest point of a wheel that rolls over heights.

    A wheel of this radius touches what is highest below its circle, so no gap narrower than it
    is felt and a kerb is climbed on an arc.
    """
    reach = int(radius_m / GRID_m * 0.95)
    out = heights.copy()
    for k in range(1, reach + 1):
        drop = radius_m - np.sqrt(radius_m**2 - (k * GRID_m) ** 2)
        out[:-k] = np.maximum(out[:-k], heights[k:] - drop)
        out[k:] = np.maximum(out[k:], heights[:-k] - drop)
    return out
