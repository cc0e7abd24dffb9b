"""The scenarios by name. Each is a function of scale: 1 is the real length of the day."""

from stagelog.car.story import Expect, Incident, Leg, Scenario
from stagelog.car.terrain import Feature
from stagelog.errors import UsageError


def ramp(at_m, height_m, kmh=None, length_m=16.0, fall_m=4.0):
    """Return a ramp that throws the car: height_m at its lip."""
    extra = {"fall_m": fall_m, "flat": True}
    return Feature("ramp", at_m, length_m, height_m, speed_kmh=kmh, extra=extra)


def _stage(scale):
    jumps = tuple(
        ramp(at, height, kmh)
        for at, height, kmh in (
            (750.0, 0.95, 88.0),
            (1350.0, 0.55, 80.0),
            (3400.0, 1.15, 96.0),
            (6400.0, 0.8, 85.0),
            (9500.0, 1.3, 100.0),
        )
    )
    return Scenario(
        name="stage",
        number=0,
        summary="ten minutes of a stage: jumps, a hot rear differential, a dead fan",
        legs=(
            Leg("stop", duration_s=4.0, stage="Liaison", note="start line"),
            Leg(
                "drive", "track", 6000.0 * scale, pace=0.95, features=jumps[:3], note="fast track"
            ),
            Leg("drive", "dunes", 3000.0 * scale, note="dunes"),
            Leg("drive", "mixed", 9000.0 * scale, features=(), note="plateau"),
        ),
        incidents=(
            Incident("fan_dead", 150.0, None, {"fan": 2}),
            Incident("overheat", 60.0, 420.0, {"node": "diff_rear", "W": 5200.0}),
        ),
        must=(
            Expect("airborne", on="jump", where={"airtime_s": (0.4, 9.0)}),
            Expect("alarm:fan", on="fan_dead"),
            Expect("alarm:diff_oil", on="overheat"),
        ),
        duration_s=600.0,
    )


_SCENARIOS = {"stage": _stage}


def find_scenario(name, scale=1.0):
    """Return the Scenario of a name; raises UsageError with the list of those that are."""
    if name not in _SCENARIOS:
        known = ", ".join(_SCENARIOS)
        raise UsageError(f"no scenario is called {name!r}", hint=f"there are: {known}")
    return _SCENARIOS[name](scale)


def list_scenarios():
    """Return all scenarios in the order of the catalogue."""
    return [make(1.0) for make in _SCENARIOS.values()]
