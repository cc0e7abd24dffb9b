"""What a scenario is made of: legs, incidents, expectations.

Owns frozen classes only. A scenario is a list of legs driven one after the other; incidents happen
at a time; expectations say what a detector must and must not report.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from stagelog.car.terrain import Feature


@dataclass(frozen=True, slots=True)
class Leg:
    """One piece of the day. Its kind:

    drive, tow   length_m of road; the rest last duration_s
    stop, stuck  standing; stuck with spinning wheels
    jacks        lifted, all wheels hanging
    seesaw       the belly rests on a dune's lip, one wheel on the ground
    roll         over onto the roof, and left there
    engine       running or not; power: ignition on, so that the car's nodes talk
    refuel_l     added while the leg lasts, as fast as the profile's pump
    pace         factor on the speed of the terrain
    rough        factor on the height of its roughness
    natural      the terrain's own bumps, rocks and jumps; off where a leg is a controlled trial
    """

    kind: str = "drive"
    terrain: str = "track"
    length_m: float = 0.0
    duration_s: float = 0.0
    pace: float = 1.0
    limit_kmh: float = 170.0
    engine: bool = True
    power: bool = True
    refuel_l: float = 0.0
    stage: str = "Stage"
    features: tuple[Feature, ...] = ()
    natural: bool = True
    rough: float = 1.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that happens to the car from at_s on, for duration_s (None: to the end).

    With at_m it begins when the car passes that distance from the start of the drive instead.
    kind is a key of stagelog.car.incidents; what it needs is in `extra`.
    """

    kind: str
    at_s: float
    duration_s: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    at_m: float | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """What a detector must or must not report.

    detection   "airborne", "refuel", "fuel_leak", "stuck", "handbrake_abuse", "not_logging",
                "roll_over", "alarm:<name>", "alarm:<name>.<signal>",
                "sensor_fault:<signal>", "bus:<what>", "log:<what>"; * for any name
    on          kind of truth event it belongs to; None: anywhere in the drive
    where       facts of that event, as (low, high), the value, or one of its values:
                {"airtime_s": (0.4, 9.0)}, {"signals": "DmpPosFR"}
    within_s    how soon after the event's start it must come
    at_most     how often it may come in the whole drive
    """

    detection: str
    on: str | None = None
    where: dict[str, Any] = field(default_factory=dict)
    within_s: float | None = None
    at_most: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A drive and what must be detected in it.

    number   in the catalogue of the domain notes, 0 for our own
    """

    name: str
    number: int
    summary: str
    legs: tuple[Leg, ...]
    incidents: tuple[Incident, ...] = ()
    must: tuple[Expect, ...] = ()
    must_not: tuple[Expect, ...] = ()
    duration_s: float | None = None
    ambient_degC: float = 28.0
    fuel_l: float | None = None
    warm: bool = True
    profile: str | None = None
    dbc: str | None = None


Maker: TypeAlias = Callable[[float, np.random.Generator], Scenario]  # scale, rng


def find_windows(expect: Expect, events: Iterable[Any]) -> list[tuple[int, int | None, Any]]:
    """Return [(from_us, to_us, event)] in which an expectation may be met, one for each event.

    events  those of the truth. Without `on` there is one window, the whole drive, and no event.
    """
    if expect.on is None:
        return [(0, None, None)]
    windows = []
    for event in events:
        if event.kind == expect.on and all(_fits(event, *pair) for pair in expect.where.items()):
            to_us = None if expect.within_s is None else event.t_us + round(expect.within_s * 1e6)
            windows.append((event.t_us, to_us, event))
    return windows


def _fits(event: Any, name: str, wanted: object) -> bool:
    facts = getattr(event, "facts", None)
    value = facts.get(name) if facts is not None else getattr(event, name)
    if isinstance(value, tuple):
        return wanted in value
    if isinstance(wanted, tuple):
        return value is not None and wanted[0] <= value <= wanted[1]
    return value == wanted
