"""The words a scenario is written in: legs, incidents, expectations.

Owns frozen classes only. A scenario is a list of legs driven one after the other; incidents happen
at a time; expectations say what a detector must and must not report.
"""

from dataclasses import dataclass, field

from stagelog.car.terrain import Feature

LEG_KINDS = ("drive", "stop", "stuck", "tow", "jacks", "roll")


@dataclass(frozen=True, slots=True)
class Leg:
    """One piece of the day.

    drive, tow   length_m of road; the rest last duration_s
    engine       running or not; power: ignition on, so that the car's nodes talk
    refuel_l     added while the leg lasts, as fast as the profile's pump
    pace         factor on the speed of the terrain
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
    note: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that happens to the car from at_s on, for duration_s (None: to the end).

    kind is a key of stagelog.car.incidents; what it needs is in `extra`.
    """

    kind: str
    at_s: float
    duration_s: float | None = None
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expect:
    """What a detector must or must not report.

    detection   "airborne", "refuel", "leak", "sensor_fault:<signal>", "alarm:<name>", "stuck", ...
    on          kind of truth event it belongs to; None: anywhere in the drive
    where       bounds on that event's facts: {"airtime_s": (0.4, 9.0)}
    within_s    how soon after the event's start it must come
    """

    detection: str
    on: str | None = None
    where: dict = field(default_factory=dict)
    within_s: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story with its verdict. `number` is that of the catalogue in domain.md, 0 for our own."""

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
