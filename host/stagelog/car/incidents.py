"""The incidents of a scenario by time: which of a kind last now, and how severe they are.

Owns the meaning of each kind of incident for driver, heat, tank and electrics; faults of sensors
and of the bus are applied to signals in stagelog.car.faults.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from stagelog.car.story import Incident

KINDS = {
    "engine_cut": "the engine is dead",
    "handbrake": "lever pulled; level: share of full pressure",
    "stop_here": "the driver stops",
    "limit": "the driver keeps below kmh",
    "hot_diff": "axle (front, rear): lock_W more friction in the differential",
    "diff_oil_loss": "axle (front, rear): loss_pct of the oil gone by the end of the incident",
    "fan_dead": "fan (1..4) draws no current",
    "radiator_blocked": "radiator (1..3): share of its core blocked",
    "wading": "the car stands in water: drive_degC of it, sudden cooling, wet wheel sensors",
    "puncture": "wheel (0..3) loses kPa_per_min",
    "fuel_leak": "l_per_h leave the tank without passing the injectors",
    "oil_dip": "oil pressure falls by kPa: surge on a slope",
    "overheat": "W more heat into node",
    "alternator": "charging voltage falls to V",
    "signal": "signals: fault (open, short, stuck, sna, drift, noise, value)",
    "button": "the crew presses: signals, as above",
    "node_silent": "nodes send nothing",
    "bus_errors": "per_s error frames, for the rig to inject",
    "burst": "per_s extra frames with unknown identifiers",
    "logger": "action for the rig: power_cut, media_full, clock_lost, absent, download",
}


class Incidents:
    """The incidents of one drive. Raises KeyError for a kind that is not in KINDS."""

    def __init__(self, incidents: Iterable[Incident]) -> None:
        self.by_kind: dict[str, list[Incident]] = {}
        incidents = list(incidents)
        self.pending = sorted((i for i in incidents if i.at_m is not None), key=_place)
        for incident in incidents:
            if incident.kind not in KINDS:
                raise KeyError(f"incident kind {incident.kind!r} is not one of {', '.join(KINDS)}")
            if incident.at_m is None:
                self.by_kind.setdefault(incident.kind, []).append(incident)

    def passing(self, t: float, s_m: float) -> None:
        """Let those begin at time t (s) whose place the car has reached."""
        while self.pending and _place(self.pending[0]) <= s_m:
            begun = replace(self.pending.pop(0), at_s=t, at_m=None)
            self.by_kind.setdefault(begun.kind, []).append(begun)

    def of(self, kind: str) -> Sequence[Incident]:
        """Return all incidents of a kind."""
        return self.by_kind.get(kind, ())

    def during(self, kind: str, t: float) -> list[Incident]:
        """Return the incidents of a kind that last at time t (s)."""
        return [i for i in self.by_kind.get(kind, ()) if t >= i.at_s and t < end_s(i)]

    def active(self, kind: str, t: float) -> bool:
        """Return whether one of a kind lasts at time t (s)."""
        return kind in self.by_kind and bool(self.during(kind, t))

    def level(self, kind: str, t: float, name: str = "level") -> float:
        """Return the largest value of one fact among those that last at t; 0 without any."""
        if kind not in self.by_kind:
            return 0.0
        return max((i.extra.get(name, 1.0) for i in self.during(kind, t)), default=0.0)

    def speed(self, t: float, wanted: float) -> float:
        """Return the speed in m/s that the driver may want at time t."""
        if self.active("stop_here", t) or self.active("engine_cut", t):
            return 0.0
        for incident in self.during("limit", t):
            wanted = min(wanted, incident.extra["kmh"] / 3.6)
        return wanted


def _place(incident: Incident) -> float:
    return 0.0 if incident.at_m is None else incident.at_m


def end_s(incident: Incident) -> float:
    """Return when an incident ends, infinity if it lasts."""
    return float("inf") if incident.duration_s is None else incident.at_s + incident.duration_s
