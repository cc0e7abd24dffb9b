"""The part of a car profile that only the report reads: which alarms belong to which component,
what to inspect after one of them, the parts that its page draws, and the signals that no detector
needs.

Frozen classes; stagelog.profile reads, checks and fills them.
"""

from dataclasses import dataclass

from stagelog.profile.fields import one_of

SECTIONS = ("engine", "driveline", "cooling", "brakes", "dampers", "tyres", "electrics")
_CORNERS = ("fl", "fr", "rl", "rr")
PLACES = (
    *("radiators", "fans", "engine", "gearbox", "transfer", "diff_front", "diff_rear"),
    *("handbrake", "tank", "battery"),
    *(f"{what}_{corner}" for corner in _CORNERS for what in ("damper", "brake", "tyre")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A part of the car as the workshop knows it. `inspect` is what to check after an alarm,
    `if_critical` what to do besides after a critical one.
    """

    name: str
    section: str = one_of(*SECTIONS)
    alarms: tuple[str, ...]
    inspect: str
    if_critical: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that the page draws: its signals, and the alarms that speak of this part alone."""

    name: str
    signals: tuple[str, ...]
    own_alarms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Signals that the report alone reads, and the components; "" and () where a car has none.

    radiators  (in, out) of each
    part       by its place on the drawing, one of PLACES; None in older profiles: no drawing
    names      what people call a signal, by its name in the DBC
    """

    limiter: str = ""
    converter: str = ""
    radiators: tuple[tuple[str, ...], ...] = ()
    tyre_temperature: tuple[str, ...] = ()
    landing_inspect: str = ""
    bottoming_inspect: str = ""
    roll_over_inspect: str = ""
    leak_inspect: str = ""
    stuck_inspect: str = ""
    handbrake_inspect: str = ""
    diff_model_inspect: str = ""
    flight_mode_inspect: str = ""
    component: tuple[Component, ...] = ()
    part: dict[str, Part] | None = None
    names: dict[str, str] | None = None
