"""The ground: kinds of terrain, large shape, roughness and obstacles, all functions of distance.

Two scales. The large shape (slope, crests, dunes) bends the car's path: it is felt as gravity
along the path and as v^2 times curvature. The small one (roughness, washboard, ramps, rocks) is a
height under each wheel track, which the suspension rides over. Nothing here knows the car.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from stagelog.car.noise import Array, key, smooth

if TYPE_CHECKING:
    from stagelog.car.route import Route
    from stagelog.car.story import Leg

SMALL_STEP_m = 0.1
_OCTAVES_m = (0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
_COMMON = (0.1, 0.2, 0.4, 0.7, 0.9, 0.97)  # share of an octave that both tracks have in common


@dataclass(frozen=True, slots=True)
class Terrain:
    """One kind of ground.

    roughness    ISO 8608 spectrum at 0.1 cycles/m, 1e-6 m^3 (a good road 16, class E 4096)
    slope        rms of the path's slope, rad, built from hills of hill_m metres
    corner_m     mean distance between corners; radius_m their smallest and largest radius
    stiffness    longitudinal force by slip and weight: low in sand
    plan         key of the profile's fuel plan
    natural      obstacles per km: jumps, bumps, rocks, washboards
    """

    name: str
    speed_kmh: float
    roughness: float
    rolling: float
    grip: float
    stiffness: float
    slope: float
    hill_m: float
    corner_m: float
    radius_m: tuple[float, float]
    plan: str
    natural: tuple[float, ...]


# Columns in the order of the class above; natural: jumps, bumps, rocks, washboards.
_TABLE = """
name   kmh  rough rolling grip stiff slope hill corner r_min r_max plan     natural, per km
road    95     60   0.024 0.95  25   0.012  400    900   150   800 liaison  0    0   0   0
track  125   1700   0.080 0.60  13   0.016  220    300    40   320 track    0.10 0.5 0.1 0.10
mixed   98   4500   0.150 0.60  10   0.028  130    200    24   200 mixed    0.16 1.0 0.4 0.06
rock    58   9500   0.210 0.64  11   0.040   90    120    14   110 rock     0.03 1.6 3.0 0
sand    86   1700   0.245 0.52   5   0.040  140    320    40   240 dunes    0.12 0.6 0   0.02
dunes   54   1300   0.320 0.56   4.5 0.110   85    200    25   160 dunes    0.22 0.6 0   0
wadi    66   7000   0.190 0.54   7   0.024  110    160    22   150 mixed    0.05 2.0 1.0 0
"""


def _read(row: str) -> Terrain:
    name, *numbers, plan, jumps, bumps, rocks, waves = row.split()
    kmh, rough, rolling, grip, stiff, slope, hill, corner, low, high = map(float, numbers)
    natural = tuple(map(float, (jumps, bumps, rocks, waves)))
    return Terrain(
        name, kmh, rough, rolling, grip, stiff, slope, hill, corner, (low, high), plan, natural
    )


TERRAINS = {t.name: t for t in map(_read, _TABLE.split("\n")[2:-1])}
NAMES = tuple(TERRAINS)


@dataclass(frozen=True, slots=True)
class Feature:
    """An obstacle at a distance from the start of its leg.

    kind     ramp, bump, hole, washboard, twist: heights under the tracks;
             crest, slip_face: bends of the path
    side     both, left or right
    """

    kind: str
    at_m: float
    length_m: float
    height_m: float = 0.0
    side: str = "both"
    speed_kmh: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def natural_features(leg: Leg, rng: np.random.Generator) -> tuple[Feature, ...]:
    """Return the obstacles that a leg of this terrain happens to have, drawn by rng."""
    features, km = [], leg.length_m * 1e-3
    for kind, per_km in zip(_NATURAL, TERRAINS[leg.terrain].natural, strict=True):
        for at in rng.uniform(60.0, max(leg.length_m - 200.0, 61.0), rng.poisson(per_km * km)):
            features.append(_NATURAL[kind](float(at), rng))
    return tuple(sorted(features, key=lambda f: f.at_m))


def _jump(at_m: float, rng: np.random.Generator) -> Feature:
    length, fall = rng.uniform(9.0, 22.0), rng.uniform(2.0, 9.0)
    height = (length - fall) * rng.uniform(0.03, 0.105)
    return Feature("ramp", at_m, length, height, extra={"fall_m": fall, "flat": True})


def _bump(at_m: float, rng: np.random.Generator) -> Feature:
    kind = "bump" if rng.random() < 0.5 else "hole"
    length = rng.uniform(3.0, 14.0)
    return Feature(kind, at_m, length, length * rng.uniform(0.012, 0.035))


def _rock(at_m: float, rng: np.random.Generator) -> Feature:
    side = "left" if rng.random() < 0.5 else "right"
    return Feature("bump", at_m, rng.uniform(0.9, 1.8), rng.uniform(0.06, 0.16), side)


def _washboard(at_m: float, rng: np.random.Generator) -> Feature:
    wave = {"wave_m": rng.uniform(1.2, 2.6)}
    return Feature(
        "washboard", at_m, rng.uniform(60.0, 400.0), rng.uniform(0.01, 0.03), extra=wave
    )


_NATURAL = {"jump": _jump, "bump": _bump, "rock": _rock, "washboard": _washboard}


def heights(route: Route, seed: int, low_m: float, high_m: float) -> tuple[Array, Array, Array]:
    """Return (s, left, right): heights on a 0.1 m grid that covers low_m to high_m."""
    first, last = int(np.floor(low_m / SMALL_STEP_m)) - 2, int(np.ceil(high_m / SMALL_STEP_m)) + 3
    s = np.arange(first, last) * SMALL_STEP_m
    gain = route.roughness_at(s)
    sides = [np.zeros(len(s)), np.zeros(len(s))]
    for n, (wavelength, common) in enumerate(zip(_OCTAVES_m, _COMMON, strict=True)):
        rms = np.sqrt(0.01 * wavelength * 1e-6)  # ISO 8608, one octave, times the gain below
        both = smooth(key(seed, "both", n), s, wavelength)
        for side, name in zip(sides, ("left", "right"), strict=True):
            own = smooth(key(seed, name, n), s, wavelength)
            side += (2.0 * rms) * (np.sqrt(common) * both + np.sqrt(1.0 - common) * own)
    for side in sides:
        side *= gain
    for at_m, feature in route.features_between(s[0], s[-1]):
        part = slice(*np.searchsorted(s, (at_m, at_m + feature.length_m)))
        shape = _shape(feature, s[part] - at_m)
        if feature.side != "right":
            sides[0][part] += shape
        if feature.side != "left":
            sides[1][part] += -shape if feature.kind == "twist" else shape
    return s, sides[0], sides[1]


def _shape(feature: Feature, x: Array) -> Array:
    u, height = x / feature.length_m, feature.height_m
    if feature.kind == "ramp":
        return _ramp(feature, x)
    if feature.kind == "washboard":
        fade = np.clip(np.minimum(u, 1.0 - u) * 12.0, 0.0, 1.0)
        return height * fade * np.sin(2.0 * np.pi * x / feature.extra["wave_m"])
    bump = 0.5 * (1.0 - np.cos(2.0 * np.pi * u))
    return -height * bump if feature.kind == "hole" else height * bump


def _ramp(feature: Feature, x: Array) -> Array:
    """A run-up that curves into a straight ramp, a lip, and a fall back to the ground."""
    lip = feature.length_m - feature.extra["fall_m"]
    curve = 0.5 * lip
    slope = feature.height_m / (lip - 0.5 * curve)
    up = np.where(x < curve, 0.5 * slope * x * x / curve, slope * (x - 0.5 * curve))
    down = 0.5 * (1.0 + np.cos(np.pi * np.clip((x - lip) / feature.extra["fall_m"], 0.0, 1.0)))
    return np.where(x < lip, up, feature.height_m * down)
