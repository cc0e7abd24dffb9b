"""Parts that scenarios are made of: obstacles, legs, and expectations that many share."""

from typing import Any

from stagelog.car.story import Expect, Leg
from stagelog.car.terrain import Feature

JUMPS = Expect("airborne", on="jump", where={"airtime_s": (0.4, 9.0)}, within_s=0.5)
HOPS = Expect("airborne", on="jump", where={"airtime_s": (0.2, 0.4)}, within_s=0.5)
NO_FLIGHT = Expect("airborne", at_most=0)
QUIET = tuple(
    Expect(what, at_most=0)
    for what in ("alarm:*", "sensor_fault:*", "refuel", "fuel_leak", "stuck", "handbrake_abuse")
)


def no(*detections: str) -> tuple[Expect, ...]:
    """Return the expectations that nothing of this is detected."""
    return tuple(Expect(what, at_most=0) for what in detections)


def ramp(
    at_m: float,
    height_m: float,
    kmh: float | None = None,
    length_m: float = 16.0,
    fall_m: float = 4.0,
) -> Feature:
    """A ramp that throws the car: height_m at its lip, then a fall."""
    extra = {"fall_m": fall_m, "flat": True}
    return Feature("ramp", at_m, length_m, height_m, speed_kmh=kmh, extra=extra)


def crest(at_m: float, radius_m: float, kmh: float, length_m: float = 70.0) -> Feature:
    """A bend of the path over a hill's top."""
    extra = {"radius_m": radius_m, "flat": True}
    return Feature("crest", at_m, length_m, speed_kmh=kmh, extra=extra)


def washboard(at_m: float, length_m: float, wave_m: float, height_m: float, kmh: float) -> Feature:
    """Regular waves across the road, ridden at a set speed."""
    extra = {"wave_m": wave_m, "flat": True}
    return Feature("washboard", at_m, length_m, height_m, speed_kmh=kmh, extra=extra)


def slip_face(at_m: float, length_m: float, kmh: float, face_rad: float = 0.52) -> Feature:
    """A dune's steep side, 30 degrees by default, taken at walking pace over the lip."""
    return Feature(
        "slip_face", at_m, length_m, speed_kmh=kmh, extra={"face_rad": face_rad, "flat": True}
    )


def twist(at_m: float, height_m: float, kmh: float, length_m: float = 6.0) -> Feature:
    """A cross-axle hole: one side up, the other down; wheels lift."""
    return Feature("twist", at_m, length_m, height_m, speed_kmh=kmh)


def start(seconds: float = 5.0) -> Leg:
    """Standing at the start line."""
    return Leg("stop", duration_s=seconds, stage="Liaison", note="start line")


def parked(seconds: float, note: str = "parked", power: bool = True, **more: Any) -> Leg:
    """Standing with the engine off."""
    return Leg("stop", duration_s=seconds, engine=False, power=power, note=note, **more)


def press(*signals: str) -> dict[str, Any]:
    """The facts of a "button" incident."""
    return {"signals": signals, "fault": "value", "value": 1.0}


def tanking(litres: float, seconds: float, stage: str) -> Leg:
    """Standing at the pump."""
    return parked(seconds, "refuel", refuel_l=litres, stage=stage)
