"""The route of a whole scenario on a 2 m grid: slope, bends, grip, and how fast to drive there.

Owns the columns by distance that driver and suspension look up. Built once for a drive; a day of
920 km takes some tens of megabytes.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stagelog.car.noise import Array, generator, key, smooth
from stagelog.car.terrain import NAMES, TERRAINS, Feature, Terrain, natural_features

if TYPE_CHECKING:
    from stagelog.car.story import Leg

STEP_m = 2.0
G_ms2 = 9.80665
_CREST_ms2 = 5.5  # change of vertical acceleration that a driver accepts on a crest that he sees
_BRAKING_ms2 = 3.2  # deceleration with which he brakes for a slower part
_LEAD_m = 60.0  # run-up and run-out of a crest or slip face
_PATH = ("crest", "slip_face")


class Route:
    """Columns by distance. legs[i] covers start_m[i] to start_m[i + 1]."""

    def __init__(self, legs: Sequence[Leg], seed: int) -> None:
        lengths = [leg.length_m if leg.kind in ("drive", "tow") else 0.0 for leg in legs]
        self.start_m = np.concatenate(([0.0], np.cumsum(lengths)))
        n = int(self.start_m[-1] / STEP_m) + 200
        self.s = np.arange(n) * STEP_m
        self.terrain = np.zeros(n, np.uint8)
        self.slope = np.zeros(n)
        self.bend = np.zeros(n)
        self.target = np.full(n, 300.0)
        self.roughness = np.zeros(n)
        self.features: list[tuple[float, Feature]] = []  # by their distance from the start
        self._fixed = np.zeros(n, bool)
        rng = generator(seed, "route")
        for leg, low, high in zip(legs, self.start_m, self.start_m[1:], strict=False):
            if high > low:
                self._lay(leg, low, high, rng, seed)
        self._finish()

    def _lay(self, leg: Leg, low: float, high: float, rng: np.random.Generator, seed: int) -> None:
        a, b = int(low / STEP_m), min(int(np.ceil(high / STEP_m)) + 100, len(self.s))
        terrain, s = TERRAINS[leg.terrain], self.s[a:b]
        self.terrain[a:] = NAMES.index(leg.terrain)
        self.roughness[a:] = terrain.roughness * leg.rough**2
        features = leg.features + (natural_features(leg, rng) if leg.natural else ())
        ease = np.ones(len(s))
        for f in features:
            if f.extra.get("flat"):
                near = slice(
                    *np.searchsorted(s - low, (f.at_m - 120.0, f.at_m + f.length_m + 120))
                )
                off = np.abs(s[near] - low - f.at_m - 0.5 * f.length_m)
                ease[near] *= np.clip(off / 40.0 - 1.5, 0.0, 1.0)
        hills = smooth(key(seed, "hill"), s, terrain.hill_m)
        hills += 0.6 * smooth(key(seed, "hill2"), s, terrain.hill_m * 0.37)
        self.slope[a:b] = 1.7 * terrain.slope * hills * ease
        self.bend[a:b] = self._bends(terrain, s, rng) * ease
        mood = 1.0 + 0.14 * smooth(key(seed, "mood"), s, 350.0)
        mood += 0.16 * smooth(key(seed, "nerve"), s, 110.0)
        speed = np.minimum(terrain.speed_kmh * leg.pace * mood, leg.limit_kmh)
        self.target[a:b] = speed / 3.6
        for feature in features:
            self._place(feature, low)

    def _bends(self, terrain: Terrain, s: Array, rng: np.random.Generator) -> Array:
        bend, at = np.zeros(len(s)), s[0]
        while (at := at + rng.exponential(terrain.corner_m) + 25.0) < s[-1]:
            radius = np.exp(rng.uniform(*np.log(terrain.radius_m)))
            length = radius * rng.uniform(0.3, 1.4)
            sign = 1.0 if rng.random() < 0.5 else -1.0
            part = slice(*np.searchsorted(s, (at, at + length)))
            u = (s[part] - at) / length
            bend[part] = sign * np.sin(np.pi * u) ** 2 / radius
            at += length
        return bend

    def _place(self, feature: Feature, low: float) -> None:
        at = low + feature.at_m
        if feature.speed_kmh is not None:
            before = slice(*np.searchsorted(self.s, (at - _LEAD_m, at + feature.length_m)))
            self.target[before] = feature.speed_kmh / 3.6
            self._fixed[before] = True
        if feature.kind not in _PATH:
            self.features.append((at, feature))
            return
        shape = _crest if feature.kind == "crest" else _slip_face
        ends = (at - _LEAD_m, at + feature.length_m + _LEAD_m)
        part = slice(*np.searchsorted(self.s, ends))
        self.slope[part] = shape(feature, self.s[part] - at)

    def _finish(self) -> None:
        self.features.sort(key=lambda pair: pair[0])
        self._feature_at = [at for at, _ in self.features]
        self._longest = max((f.length_m for _, f in self.features), default=0.0)
        self.height_m = np.cumsum(np.sin(self.slope)) * STEP_m
        self.curve = np.gradient(self.slope, STEP_m)
        with np.errstate(divide="ignore"):
            over = np.sqrt(_CREST_ms2 / np.abs(self.curve))
            grips = np.array([TERRAINS[name].grip for name in NAMES])
            around = np.sqrt(0.75 * G_ms2 * grips[self.terrain] / np.abs(self.bend))
        free = np.minimum(self.target, around)
        wanted = np.where(self._fixed, self.target, np.minimum(free, over))
        falling = wanted**2 + 2.0 * _BRAKING_ms2 * self.s
        ahead = np.minimum.accumulate(falling[::-1])[::-1] - 2.0 * _BRAKING_ms2 * self.s
        self.target = np.sqrt(np.maximum(ahead, 4.0))

    def roughness_at(self, s: Array) -> Array:
        """Return the square root of the roughness at s, blended over about 20 m."""
        i = np.clip(s / STEP_m, 0, len(self.s) - 6).astype(np.int64)
        return np.sqrt(0.5 * (self.roughness[i] + self.roughness[i + 5]))

    def features_between(self, low: float, high: float) -> list[tuple[float, Feature]]:
        """Return (at_m, Feature) of those that touch low to high."""
        a = bisect.bisect_left(self._feature_at, low - self._longest)
        b = bisect.bisect_right(self._feature_at, high)
        return [(at, f) for at, f in self.features[a:b] if at + f.length_m > low]

    def column(self, name: str, s: Array) -> Array:
        """Return a column interpolated at s."""
        return np.interp(s, self.s, getattr(self, name))


def _crest(feature: Feature, x: Array) -> Array:
    """Slope over a hill: up, a rounded top of the given radius, down; every bend begins softly."""
    length, step = feature.length_m, STEP_m
    edge = np.clip(np.minimum(x, length - x) / (0.45 * length), 0.0, 1.0)
    top = -(1.0 - np.cos(np.pi * edge)) * 0.5 / feature.extra["radius_m"]
    up = np.clip((x + _LEAD_m) / _LEAD_m, 0.0, 1.0)
    down = np.clip((length + _LEAD_m - x) / _LEAD_m, 0.0, 1.0)
    lead = np.sin(np.pi * np.minimum(up, down)) ** 2
    turn = -top.sum() / lead.sum()
    return np.cumsum(top + turn * lead) * step


def _slip_face(feature: Feature, x: Array) -> Array:
    """Slope over a dune: gently up, over a lip within a few metres, down the steep side."""
    face = feature.extra["face_rad"]
    knots = (-_LEAD_m, -20.0, 0.0, 6.0, feature.length_m - 10.0, feature.length_m + 5.0)
    return np.interp(x, knots, (0.0, 0.12, 0.18, -face, -face, 0.0))
