"""Drives to score detectors with: about a minute each, drawn anew from every seed.

Kinds of terrain as in the domain notes 4.3; each drive has flights or traps of its kind with its
own speeds, heights and lengths. Tune with some seeds, score with others.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from stagelog.car.scenarios.parts import (
    HOPS,
    JUMPS,
    NO_FLIGHT,
    crest,
    ramp,
    slip_face,
    start,
    twist,
    washboard,
)
from stagelog.car.story import Expect, Leg, Maker, Scenario
from stagelog.car.terrain import Feature

_FLIES = (JUMPS, HOPS)


def _corpus(
    kind: str,
    summary: str,
    legs: Iterable[Leg],
    must: tuple[Expect, ...],
    must_not: tuple[Expect, ...],
    rng: np.random.Generator,
) -> Scenario:
    return Scenario(
        name=f"corpus_{kind}",
        number=0,
        summary=summary,
        legs=(start(2.0), *legs),
        must=must,
        must_not=must_not,
        ambient_degC=float(rng.uniform(12.0, 42.0)),
        fuel_l=float(rng.uniform(60.0, 540.0)),
    )


def _spots(rng: np.random.Generator, n: int, first: float, gap: float) -> Iterator[float]:
    at = first
    for _ in range(n):
        yield float(at)
        at += gap * rng.uniform(0.8, 1.3)


def _ramp(rng: np.random.Generator, at_m: float, *bounds: tuple[float, float]) -> Feature:
    height, kmh, length, fall = (rng.uniform(*pair) for pair in bounds)
    return ramp(at_m, height, kmh, length, fall)


def _road(
    rng: np.random.Generator,
    terrain: str,
    length_m: float,
    features: Iterable[Feature],
    **more: Any,
) -> Leg:
    rough = float(rng.uniform(0.5, 1.1))
    return Leg(
        "drive", terrain, length_m, natural=False, features=tuple(features), rough=rough, **more
    )


def corpus_jumps(scale: float, rng: np.random.Generator) -> Scenario:
    """Ramps that throw the car for 0.3 to 1.3 s."""
    features = [
        _ramp(rng, at, (0.5, 1.4), (65, 110), (13, 22), (2, 9))
        for at in _spots(rng, 5, 350.0, 300.0)
    ]
    terrain = ("track", "mixed", "sand")[int(rng.integers(3))]
    return _corpus("jumps", "jumps", (_road(rng, terrain, 2000.0, features),), _FLIES, (), rng)


def corpus_hops(scale: float, rng: np.random.Generator) -> Scenario:
    """Short flights of 0.15 to 0.45 s."""
    features = [
        _ramp(rng, at, (0.25, 0.6), (55, 95), (8, 12), (1.5, 4))
        for at in _spots(rng, 8, 300.0, 180.0)
    ]
    return _corpus("hops", "hops", (_road(rng, "track", 1900.0, features),), _FLIES, (), rng)


def corpus_washboard(scale: float, rng: np.random.Generator) -> Scenario:
    """Waves at 7 to 14 Hz."""
    kmh, Hz = rng.uniform(45.0, 80.0), rng.uniform(7.0, 14.0)
    waves = washboard(150.0, 900.0, kmh / 3.6 / Hz, rng.uniform(0.008, 0.022), kmh)
    legs = (_road(rng, "track", 1150.0, [waves]),)
    return _corpus("washboard", "washboard", legs, (), (NO_FLIGHT,), rng)


def corpus_crests(scale: float, rng: np.random.Generator) -> Scenario:
    """Crests that leave 0.2 to 0.5 g."""
    features = []
    for at in _spots(rng, 5, 350.0, 300.0):
        kmh, left_g = rng.uniform(70.0, 130.0), rng.uniform(0.22, 0.5)
        radius = (kmh / 3.6) ** 2 / (9.81 * (1.0 - left_g))
        features.append(crest(at, radius, kmh, length_m=rng.uniform(45.0, 85.0)))
    legs = (_road(rng, "track", 2000.0, features),)
    return _corpus("crests", "crests", legs, (), (NO_FLIGHT,), rng)


def corpus_dunes(scale: float, rng: np.random.Generator) -> Scenario:
    """Slip faces and cross-axle holes."""
    features = []
    for n, at in enumerate(_spots(rng, 4, 150.0, 160.0)):
        if n % 2:
            features.append(twist(at, rng.uniform(0.2, 0.42), rng.uniform(16, 26)))
        else:
            length, kmh = rng.uniform(35, 70), rng.uniform(13, 22)
            features.append(slip_face(at, length, kmh, rng.uniform(0.4, 0.58)))
    legs = (_road(rng, "dunes", 850.0, features),)
    return _corpus("dunes", "dune descents", legs, (), (NO_FLIGHT,), rng)


def corpus_jacks(scale: float, rng: np.random.Generator) -> Scenario:
    """Stops on jacks."""
    road = _road(rng, "track", 400.0, [])
    jack = Leg("jacks", duration_s=30.0, engine=False, note="jacks")
    return _corpus("jacks", "on jacks", (road, jack, road), (), (NO_FLIGHT,), rng)


def corpus_rollover(scale: float, rng: np.random.Generator) -> Scenario:
    """Roll-overs."""
    road = _road(rng, "track", 600.0, [], limit_kmh=float(rng.uniform(35.0, 80.0)))
    roof = Leg("roll", duration_s=25.0, note="on the roof")
    return _corpus("rollover", "roll-over", (road, roof), (), (NO_FLIGHT,), rng)


def corpus_three_wheels(scale: float, rng: np.random.Generator) -> Scenario:
    """See-saws with three wheels up, at walking pace and above."""
    features = [
        twist(at, rng.uniform(0.3, 0.5), rng.uniform(16, 30), rng.uniform(5, 8))
        for at in _spots(rng, 3, 120.0, 70.0)
    ]
    rest = Leg("seesaw", "dunes", duration_s=12.0, note="three wheels up")
    legs = (_road(rng, "dunes", 400.0, features), rest, _road(rng, "dunes", 100.0, []))
    return _corpus("three_wheels", "three wheels up", legs, (), (NO_FLIGHT,), rng)


def _natural(kind: str, terrain: str) -> Maker:
    def maker(scale: float, rng: np.random.Generator) -> Scenario:
        leg = Leg("drive", terrain, 1700.0, pace=float(rng.uniform(0.85, 1.15)))
        return _corpus(kind, f"{terrain} as it comes", (leg,), _FLIES, (), rng)

    maker.__name__ = f"corpus_{kind}"
    return maker


SCENARIOS = (
    corpus_jumps,
    corpus_hops,
    corpus_washboard,
    corpus_crests,
    corpus_dunes,
    corpus_jacks,
    corpus_rollover,
    corpus_three_wheels,
    _natural("track", "track"),
    _natural("mixed", "mixed"),
    _natural("rock", "rock"),
    _natural("sand", "sand"),
)
