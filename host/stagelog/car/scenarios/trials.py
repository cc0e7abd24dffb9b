"""Trials of motion: scenarios 6 to 13 and 19: what looks like a flight, and what is one."""

import numpy as np

from stagelog.car.scenarios.parts import (
    HOPS,
    JUMPS,
    NO_FLIGHT,
    crest,
    no,
    parked,
    ramp,
    slip_face,
    start,
    twist,
    washboard,
)
from stagelog.car.story import Expect, Incident, Leg, Scenario


def stuck_in_dune(scale: float, rng: np.random.Generator) -> Scenario:
    """Eight minutes of digging."""
    return Scenario(
        name="stuck_in_dune",
        number=6,
        summary="stuck in a dune for 8 min: wheels spin, no ground speed, oils heat",
        legs=(
            start(),
            Leg("drive", "dunes", 3000.0 * scale, natural=False, note="dunes"),
            Leg("stuck", "dunes", duration_s=480.0, note="stuck"),
            Leg("drive", "dunes", 2000.0 * scale, natural=False, note="out again"),
        ),
        must=(
            Expect("stuck", on="stuck_in_sand", within_s=60.0),
            Expect("alarm:gearbox_oil", on="stuck_in_sand", within_s=480.0),
        ),
        must_not=(NO_FLIGHT, *no("sensor_fault:*", "fuel_leak")),
        ambient_degC=36.0,
    )


def big_jump(scale: float, rng: np.random.Generator) -> Scenario:
    """One flight of nine tenths of a second."""
    leg = Leg(
        "drive", "track", 1800.0, natural=False, features=(ramp(900.0, 1.15, 96.0),), rough=0.7
    )
    return Scenario(
        name="big_jump",
        number=7,
        summary="a single jump of about 0.9 s with the car's flight mode",
        legs=(start(), leg),
        must=(JUMPS,),
        must_not=(Expect("airborne", at_most=1), *no("sensor_fault:*", "alarm:oil_pressure")),
    )


def small_hops(scale: float, rng: np.random.Generator) -> Scenario:
    """Twenty short flights."""
    features = tuple(
        ramp(500.0 + 240.0 * n, 0.38 + 0.008 * n, 72.0, length_m=11.0, fall_m=2.5)
        for n in range(20)
    )
    return Scenario(
        name="small_hops",
        number=8,
        summary="twenty small hops of 0.2 to 0.35 s",
        legs=(start(), Leg("drive", "track", 5700.0, natural=False, features=features, rough=0.7)),
        must=(HOPS,),
        must_not=no("sensor_fault:*"),
    )


def light_crest(scale: float, rng: np.random.Generator) -> Scenario:
    """A quarter of the weight left, but wheels on the ground."""
    features = tuple(crest(500.0 + 360.0 * n, 120.0, 108.0) for n in range(8))
    return Scenario(
        name="light_crest",
        number=9,
        summary="crests of 120 m radius at 108 km/h: 0.24 g, no lift-off",
        legs=(start(), Leg("drive", "track", 3600.0, natural=False, features=features, rough=0.3)),
        must_not=(NO_FLIGHT, *no("sensor_fault:*")),
    )


def washboard_10Hz(scale: float, rng: np.random.Generator) -> Scenario:
    """Three minutes of waves."""
    features = (washboard(300.0, 3000.0, 1.67, 0.016, 60.0),)
    return Scenario(
        name="washboard_10Hz",
        number=10,
        summary="washboard that shakes the wheels at 10 Hz for 3 min",
        legs=(start(), Leg("drive", "track", 3600.0, natural=False, features=features, rough=0.5)),
        must_not=(NO_FLIGHT, *no("sensor_fault:*", "alarm:damper")),
    )


def dune_descent(scale: float, rng: np.random.Generator) -> Scenario:
    """Steep faces, wheels in the air, but never all."""
    features = (
        slip_face(300.0, 55.0, 16.0),
        twist(500.0, 0.34, 18.0),
        slip_face(700.0, 70.0, 20.0),
        twist(900.0, 0.38, 17.0, 7.0),
        slip_face(1150.0, 60.0, 18.0),
    )
    return Scenario(
        name="dune_descent",
        number=11,
        summary="slip faces of 30 degrees, diagonal lift, see-saw on a lip with three wheels up",
        legs=(
            start(),
            Leg("drive", "dunes", 1400.0, natural=False, features=features, note="dunes"),
            Leg("seesaw", "dunes", duration_s=25.0, note="three wheels up"),
            Leg("drive", "dunes", 500.0, natural=False),
        ),
        must_not=(NO_FLIGHT, *no("sensor_fault:*")),
    )


def on_jacks(scale: float, rng: np.random.Generator) -> Scenario:
    """A wheel change: all wheels hang, the car stands."""
    return Scenario(
        name="on_jacks",
        number=12,
        summary="on jacks, all wheels at full droop, 0 km/h; wheel change",
        legs=(
            start(),
            Leg("drive", "track", 1200.0, natural=False, rough=0.6),
            Leg("jacks", duration_s=240.0, engine=False, note="wheel change"),
            parked(20.0),
            Leg("drive", "track", 1200.0, natural=False, rough=0.6),
        ),
        must_not=(NO_FLIGHT, *no("sensor_fault:*", "alarm:tyre_pressure")),
    )


def roll_over(scale: float, rng: np.random.Generator) -> Scenario:
    """Over, and upside down for two minutes."""
    return Scenario(
        name="roll_over",
        number=13,
        summary="roll-over at speed, then 1 g upside down with all wheels hanging",
        legs=(
            start(),
            Leg("drive", "track", 1500.0, natural=False, limit_kmh=60.0),
            Leg("roll", duration_s=120.0, note="on the roof"),
        ),
        must=(Expect("roll_over", on="roll_over", within_s=10.0),),
        must_not=(NO_FLIGHT, *no("sensor_fault:*")),
    )


def handbrake(scale: float, rng: np.random.Generator) -> Scenario:
    """Right in the hairpin, wrong on the straight."""
    slow = (40.0, 85.0, 130.0)
    hairpins = tuple(
        Incident("handbrake", at + 8.0, 1.2, {"level": 0.8, "proper": True}) for at in slow
    )
    calm = tuple(Incident("limit", at, 12.0, {"kmh": 34.0}) for at in slow)
    abuse = (
        Incident("limit", 160.0, 30.0, {"kmh": 74.0}),
        Incident("handbrake", 185.0, 2.5, {"level": 1.0, "proper": False}),
    )
    return Scenario(
        name="handbrake",
        number=19,
        summary="handbrake turns in hairpins, then abuse at 70 km/h",
        legs=(start(), Leg("drive", "track", 8000.0 * scale, natural=False, note="hairpins")),
        incidents=hairpins + calm + abuse,
        must=(Expect("handbrake_abuse", on="handbrake", where={"proper": (0, 0)}, within_s=5.0),),
        must_not=(Expect("handbrake_abuse", at_most=1), NO_FLIGHT, *no("sensor_fault:*")),
        duration_s=240.0,
    )


SCENARIOS = (
    stuck_in_dune,
    big_jump,
    small_hops,
    light_crest,
    washboard_10Hz,
    dune_descent,
    on_jacks,
    roll_over,
    handbrake,
)
