"""Trouble on the bus and with the logger: scenarios 23 to 25 and 28.

The car drives as usual; incidents of kind "logger" and "bus_errors" are done by the rig.
"""

import numpy as np

from stagelog.car.scenarios.parts import JUMPS, ramp, start
from stagelog.car.story import Expect, Incident, Leg, Maker, Scenario


def _drive(scale: float, km: float = 6.0) -> tuple[Leg, Leg]:
    jump = ramp(700.0, 0.95, 88.0)
    leg = Leg("drive", "track", km * 1e3 * scale, features=(jump,), note="stage")
    return (start(), leg)


def bus_trouble(scale: float, rng: np.random.Generator) -> Scenario:
    """Error frames, a node that goes bus-off, 4,500 frames/s, foreign identifiers."""
    return Scenario(
        name="bus_trouble",
        number=23,
        summary="error frames, bus-off of a node, 4,500 frames/s, unknown identifiers",
        legs=_drive(scale),
        incidents=(
            Incident("bus_errors", 20.0, 5.0, {"per_s": 200.0}),
            Incident("node_silent", 40.0, 3.0, {"nodes": ("CHAS",)}),
            Incident("burst", 60.0, 10.0, {"per_s": 2633.0}),
            Incident("node_silent", 90.0, 2.0, {"nodes": ("ECU", "TCU")}),
        ),
        must=(
            JUMPS,
            Expect("bus:errors", on="bus_errors", within_s=2.0),
            Expect("bus:stale", on="node_silent", within_s=2.0),
            Expect("bus:unknown_ids", on="burst", within_s=5.0),
        ),
        must_not=(Expect("log:lost_frames", at_most=0),),
        duration_s=120.0,
    )


def logger_trouble(scale: float, rng: np.random.Generator) -> Scenario:
    """Medium full, power cut in a write, clock of the year 2000."""
    actions = (("clock_lost", 0.0), ("power_cut", 40.0), ("media_full", 80.0))
    return Scenario(
        name="logger_trouble",
        number=24,
        summary="medium full, power cut in a write, clock lost (year 2000)",
        legs=_drive(scale),
        incidents=tuple(Incident("logger", at, 1.0, {"action": what}) for what, at in actions),
        must=(
            JUMPS,
            Expect("log:clock_lost", on="logger", where={"action": "clock_lost"}),
            Expect("log:power_cut", on="logger", where={"action": "power_cut"}),
            Expect("log:media_full", on="logger", where={"action": "media_full"}),
        ),
        duration_s=120.0,
    )


def logger_never_started(scale: float, rng: np.random.Generator) -> Scenario:
    """The case of Dakar 2022: a stage without the logger."""
    return Scenario(
        name="logger_never_started",
        number=25,
        summary="the logger is not powered at the start of the stage",
        legs=_drive(scale),
        incidents=(Incident("logger", 0.0, None, {"action": "absent"}),),
        must=(Expect("not_logging", on="logger", within_s=5.0, note="before the stage starts"),),
        duration_s=90.0,
    )


def _fleet(car: int, profile: str) -> Maker:
    def maker(scale: float, rng: np.random.Generator) -> Scenario:
        return Scenario(
            name=maker.__name__,
            number=28,
            summary=f"car {car} of three with different DBC and profile versions in one download",
            legs=_drive(scale),
            must=(JUMPS,),
            must_not=(Expect("sensor_fault:*", at_most=0),),
            profile=profile,
            duration_s=90.0,
        )

    maker.__name__ = f"fleet_{car}"
    return maker


SCENARIOS = (
    bus_trouble,
    logger_trouble,
    logger_never_started,
    _fleet(1, "d7xr"),
    _fleet(2, "d7xr_2"),
    _fleet(3, "d7xr_mule"),
)
