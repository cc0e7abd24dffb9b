"""What really happened: arrays at 20 Hz and a list of events, beside the frames.

Owns the ground truth's shape. Detectors never see it; what scores them does.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.car.build import NODES
from stagelog.car.flight import Jump
from stagelog.car.incidents import Incidents, end_s
from stagelog.car.minute import Minute
from stagelog.car.noise import generator
from stagelog.car.route import Route, STEP_m
from stagelog.car.story import Scenario
from stagelog.car.terrain import NAMES
from stagelog.model import FRAME, FrameTable

RATE_Hz = 20
_NOT_EVENTS = ("limit", "stop_here")  # the driver does these on purpose


@dataclass(frozen=True, slots=True)
class Event:
    """Something that began at t_us and ended at end_us (None: not within the drive)."""

    kind: str
    t_us: int
    end_us: int | None
    at_km: float
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Truth:
    """Ground truth at 20 Hz; events in order of time."""

    t_us: NDArray[np.int64]
    arrays: dict[str, NDArray[np.float32]]
    events: Sequence[Event | Jump]

    def of(self, kind: str) -> list[Event | Jump]:
        """Return the events of one kind."""
        return [e for e in self.events if e.kind == kind]

    def to_json(self) -> dict[str, Any]:
        """Return the truth as plain lists and numbers."""
        return {
            "schema": "stagelog.truth.v1",
            "rate_Hz": RATE_Hz,
            "t_us": self.t_us.tolist(),
            "arrays": {k: np.round(v.astype(float), 4).tolist() for k, v in self.arrays.items()},
            "events": [{"kind": e.kind, **dataclasses.asdict(e)} for e in self.events],
        }


def truth_arrays(
    minute: Minute, end_us: int
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]:
    """Return (t_us, arrays) of a minute at 20 Hz."""
    n = min(minute.seconds * RATE_Hz, -(-(end_us - round(minute.t0_s * 1e6)) // 50_000))
    t_us = round(minute.t0_s * 1e6) + np.arange(n, dtype=np.int64) * 50_000
    slow, motion = minute.slow, minute.motion
    arrays = {
        "distance_m": slow["s_m"],
        "speed_kmh": slow["v_ms"] * 3.6,
        "engine_rpm": slow["rpm"],
        "engine_torque_Nm": slow["torque_Nm"],
        "pedal_pct": 100.0 * slow["pedal"],
        "gear": slow["gear"],
        "leg": slow["leg"],
        "fuel_l": slow["fuel_l"],
        "fuel_flow_l_h": slow["flow_l_h"],
        "slope_rad": slow["slope"],
        "terrain": slow["terrain"],
        "leak_l_h": slow["leak_l_h"],
        "load": motion.load.reshape(-1, 25).min(axis=1),
        "force_z_ms2": motion.force_ms2[::25, 2],
    }
    at, grid = np.arange(n) * 0.05, np.arange(len(minute.heat["temp"])) * 0.5
    for name in NODES:
        arrays[f"{name}_degC"] = np.interp(at, grid, minute.heat["temp"][:, NODES.index(name)])
    for i, wheel in enumerate(("fl", "fr", "rl", "rr")):
        arrays[f"travel_{wheel}_mm"] = motion.travel_m[::25, i] * 1e3
    return t_us, {k: np.asarray(v[:n], np.float32) for k, v in arrays.items()}


class Diary:
    """Records legs and incidents as events during the drive."""

    def __init__(self, scenario: Scenario, route: Route, incidents: Incidents) -> None:
        self.scenario, self.route, self.incidents = scenario, route, incidents
        self._leg: int | None = None

    def name_at(self, s_m: float) -> tuple[str, str]:
        """Return (terrain, note of the leg) at a distance."""
        terrain = NAMES[int(self.route.terrain[min(int(s_m / STEP_m), len(self.route.s) - 1)])]
        leg = int(np.searchsorted(self.route.start_m, s_m, "right")) - 1
        leg = min(leg, len(self.scenario.legs) - 1)
        return terrain, self.scenario.legs[leg].note

    def feed(self, minute: Minute, last: bool) -> list[Event]:
        """Return the events that begin in a minute."""
        events: list[Event] = []
        slow = minute.slow
        n = minute.seconds * RATE_Hz
        legs = slow["leg"][:n].astype(int)
        for step in np.flatnonzero(np.diff(legs, prepend=-1 if self._leg is None else self._leg)):
            leg = self.scenario.legs[legs[step]]
            facts = {"leg_kind": leg.kind, "terrain": leg.terrain, "stage": leg.stage}
            facts |= {"note": leg.note, "power": leg.power, "engine": leg.engine}
            facts |= {"number": int(legs[step]), "refuel_l": leg.refuel_l}
            end = round(leg.duration_s * 1e6) if leg.duration_s else None
            t_us = round((minute.t0_s + step * 0.05) * 1e6)
            kind = {"jacks": "on_jacks", "roll": "roll_over", "stuck": "stuck_in_sand"}.get(
                leg.kind, "leg"
            )
            kind = "refuel" if leg.refuel_l > 0.0 else kind
            at_km = round(float(slow["s_m"][step]) * 1e-3, 4)
            events.append(Event(kind, t_us, None if end is None else t_us + end, at_km, facts))
        self._leg = int(legs[-1])
        events += self._incidents(minute)
        return events

    def _incidents(self, minute: Minute) -> Iterator[Event]:
        t0, t1 = minute.t0_s, minute.t0_s + minute.seconds
        for kind, incidents in self.incidents.by_kind.items():
            if kind in _NOT_EVENTS:
                continue
            for incident in incidents:
                if not t0 <= incident.at_s < t1:
                    continue
                end = end_s(incident)
                step = min(int((incident.at_s - t0) * RATE_Hz), len(minute.slow["s_m"]) - 1)
                yield Event(
                    kind,
                    round(incident.at_s * 1e6),
                    None if np.isinf(end) else round(end * 1e6),
                    round(float(minute.slow["s_m"][step]) * 1e-3, 4),
                    dict(incident.extra),
                )

    def add_noise_frames(self, frames: FrameTable, minute: Minute, end_us: int) -> FrameTable:
        """Merge frames with identifiers that no DBC knows into a minute, where a burst lasts."""
        extra = []
        for n, incident in enumerate(self.incidents.of("burst")):
            low = max(round(incident.at_s * 1e6), round(minute.t0_s * 1e6))
            high = min(end_s(incident) * 1e6, end_us, (minute.t0_s + minute.seconds) * 1e6)
            count = int(max(high - low, 0) * 1e-6 * incident.extra["per_s"])
            if count:
                extra.append(_burst(low, high, count, generator(7, "burst", n, minute.number)))
        if not extra:
            return frames
        both = np.concatenate([frames, *extra])
        return both[np.argsort(both["t_us"], kind="stable")]


def _burst(low_us: int, high_us: float, count: int, rng: np.random.Generator) -> FrameTable:
    frames = np.zeros(count, FRAME)
    frames["t_us"] = np.sort(rng.integers(low_us, int(high_us), count))
    frames["can_id"] = rng.integers(0x600, 0x6FF, count)
    frames["dlc"] = frames["n_bytes"] = 8
    frames["data"] = rng.integers(0, 256, (count, 8))
    return frames
