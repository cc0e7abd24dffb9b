"""Drives that flights are scored on: made once, kept in the cache, reduced to what detectors see.

Owns the corpus kinds and the cache's key: what the generator makes of each kind in its first
half minute, and what counts as a true flight. So drives stay while limits and detectors change,
and go when the car or the truth does.
"""

import functools
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from stagelog.car import drive, flight
from stagelog.events import compile_table
from stagelog.profile import dbc_file, load_profile
from stagelog.rig.runtimes import cache_path

KINDS = (
    "jumps",
    "hops",
    "washboard",
    "crests",
    "dunes",
    "jacks",
    "rollover",
    "three_wheels",
    "track",
    "mixed",
    "rock",
    "sand",
)
IDS = (0x80, 0x81, 0x90, 0xA0, 0xB0, 0x100)  # all that the flight detector reads
_PROBE_s = 30


def load_drive(kind, seed, profile="d7xr"):
    """Return (reduced frames, [(onset_s, end_s)] of true flights, km) of a corpus drive."""
    folder = cache_path() / "drives" / key_of(profile)
    path = folder / f"{kind}-{seed}.npz"
    if not path.exists():
        made = drive(f"corpus_{kind}", seed=seed, profile=_car(profile))
        way = made.truth.arrays["distance_m"]
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            frames=reduced(made.frames, IDS),
            truth=np.array(true_flights(made)).reshape(-1, 2),
            km=float(way[-1] - way[0]) / 1e3 if len(way) else 0.0,
        )
        part.replace(path)
    with np.load(path) as kept:
        truth = [tuple(row) for row in kept["truth"].tolist()]
        return kept["frames"], truth, float(kept["km"])


@functools.cache
def flight_table(profile):
    """Return the signal table of a shipped profile without the alarms that flights do not need:
    the same flights, sooner.
    """
    car = load_profile(profile)
    oils = set(car.roles.diff_temperature)  # the diff model asks for their limits
    needed = {key: alarm for key, alarm in car.alarm.items() if oils & set(alarm.signals)}
    return compile_table(replace(car, alarm=needed), dbc_file(car))


@functools.cache
def key_of(profile):
    """Return a name for what the virtual car makes of the corpus today."""
    digest = hashlib.sha256()
    for kind in KINDS:
        made = drive(f"corpus_{kind}", seed=0, duration_s=_PROBE_s, profile=_car(profile))
        digest.update(reduced(made.frames, IDS).tobytes())
    digest.update(Path(flight.__file__).read_bytes())
    return f"{profile}-{digest.hexdigest()[:12]}"


_car = functools.cache(load_profile)


def true_flights(made):
    """Return [(onset_s, end_s)] of a drive's truth."""
    return [(j.t_us / 1e6, j.end_us / 1e6) for j in made.truth.of("jump")]


def reduced(frames, ids, t0_us=0):
    """Return the last frame of each identifier before each tick of 10 ms: all that detectors
    see.
    """
    keep = np.isin(frames["can_id"], ids)
    keep[:1] = True
    frames = frames[keep]
    bucket = (frames["t_us"] - (frames["t_us"][0] if not t0_us else t0_us)) // 10_000
    key = bucket * 4096 + frames["can_id"]
    _, back = np.unique(key[::-1], return_index=True)
    chosen = np.unique(np.append(len(frames) - 1 - back, 0))
    return frames[chosen]
