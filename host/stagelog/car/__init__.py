"""The virtual car: deterministic CAN traffic of the car with its ground truth beside it.

    drive = stagelog.car.drive("stage", seed=1, duration_s=60)
    drive.frames      FRAME table, t_us from the start of the drive, each message at its due time
    drive.truth       arrays at 20 Hz and the list of events
    drive.scenario    what must and must not be detected

Same scenario, seed, profile and DBC: same bytes. Nothing here is imported by the logger, the
decoder or a detector.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stagelog.car.nominal import nominal_car
from stagelog.car.scenarios import find_scenario, list_scenarios
from stagelog.car.story import Scenario
from stagelog.car.truth import Event, Truth
from stagelog.model import FRAME, FrameTable
from stagelog.profile import dbc_file, load_profile
from stagelog.profile.schema import Profile

__all__ = ["Drive", "Event", "Truth", "drive", "iter_drive", "list_scenarios"]


@dataclass(frozen=True, slots=True)
class Drive:
    """A minute of a drive, or all of it. Times are microseconds since the drive's start."""

    frames: FrameTable
    truth: Truth
    scenario: Scenario
    dbc: str


def iter_drive(
    scenario: str | Scenario = "stage",
    seed: int = 1,
    duration_s: float | None = None,
    dbc: str | Path | None = None,
    profile: Profile | str | Path | None = None,
    scale: float = 1.0,
) -> Iterator[Drive]:
    """Yield a Drive for each minute; memory does not grow with the number of minutes.

    scenario    a name (see list_scenarios) or a Scenario
    duration_s  cut the story here; None: the story's own length
    dbc         a path; None: the one that scenario or profile name
    profile     Profile, path or name; None: the scenario's own, or d7xr
    scale       factor on the story's distances and times, to try a long day quickly
    Raises UsageError for an unknown scenario, InputError for a bad profile or DBC.
    """
    from stagelog.car.world import World

    story, chosen, dbc = _chosen(scenario, seed, dbc, profile, scale)
    if duration_s is None:
        duration_s = story.duration_s
    world = World(story, seed, nominal_car(chosen), dbc, duration_s)
    for frames, (t_us, arrays), events in world.minutes():
        yield Drive(frames, Truth(t_us, arrays, events), story, str(dbc))


def _chosen(
    scenario: str | Scenario,
    seed: int,
    dbc: str | Path | None,
    profile: Profile | str | Path | None,
    scale: float,
) -> tuple[Scenario, Profile, str | Path]:
    """Return the story, the profile and the DBC of the arguments of iter_drive."""
    story = find_scenario(scenario, scale, seed) if isinstance(scenario, str) else scenario
    if profile is None or isinstance(profile, str | Path):
        profile = load_profile(profile or story.profile, dbc)
    return story, profile, dbc or story.dbc or dbc_file(profile)


def drive(
    scenario: str | Scenario = "stage",
    seed: int = 1,
    duration_s: float | None = None,
    dbc: str | Path | None = None,
    profile: Profile | str | Path | None = None,
    scale: float = 1.0,
    show: Callable[[float, float], object] | None = None,
) -> Drive:
    """Return the whole Drive at once; the arguments are those of iter_drive.

    show  called with (seconds driven, seconds in all) after each minute
    """
    parts = []
    for part in iter_drive(scenario, seed, duration_s, dbc, profile, scale):
        parts.append(part)
        if show is not None:
            show(float(part.truth.t_us[-1]) / 1e6, duration_s or part.scenario.duration_s or 0.0)
    if not parts:
        story, _, dbc = _chosen(scenario, seed, dbc, profile, scale)
        return Drive(np.zeros(0, FRAME), Truth(np.zeros(0, np.int64), {}, []), story, str(dbc))
    arrays = parts[0].truth.arrays
    truth = Truth(
        np.concatenate([p.truth.t_us for p in parts]),
        {name: np.concatenate([p.truth.arrays[name] for p in parts]) for name in arrays},
        sorted((e for p in parts for e in p.truth.events), key=lambda e: e.t_us),
    )
    frames = np.concatenate([p.frames for p in parts])
    return Drive(frames, truth, parts[0].scenario, parts[0].dbc)
