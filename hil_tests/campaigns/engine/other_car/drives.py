"""Drives of the second virtual car: made many at once, kept in the cache.

A drive is fully named by (kind, distance, number); tuning and scoring never share one.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from campaigns.engine.other_car import cars as cars_module
from campaigns.engine.other_car import changes, dynamics, frames, sensors, terrain, truth
from campaigns.engine.other_car.ground import DRIVE_s
from campaigns.engine.other_car.world import World
from stagelog.profile import dbc_file, load_profile, load_simulation
from stagelog.rig.runtimes import cache_path

_SOURCES = (
    "cars",
    "dynamics",
    "frames",
    "ground",
    "sensors",
    "shapes",
    "terrain",
    "truth",
    "world",
)
_BATCH = 160  # an array of 40 costs a step nearly what one of 160 does
_SLICE = 40
CARRIED_STEPS = 10
_FORMAT = 2  # of the files in the cache


class Name(NamedTuple):
    """Which drive: kind of terrain, near or far (or a change to a near car), number."""

    kind: str
    distance: str
    number: int

    @property
    def seed(self) -> int:
        """Return what car, ground and sensors are drawn from."""
        first = terrain.FIRST_SEED[terrain.set_of(self.kind)]
        place = 2 * terrain.KINDS.index(self.kind) + (self.distance == "far")
        return first + 10_000 * place + self.number


@dataclass(slots=True)
class Drive:
    """Frames of the car's bus and what truly happened."""

    name: Name
    frames: np.ndarray
    flights: list
    carried: np.ndarray  # what holds the car up, in per cent of its weight, every 10 ms
    km: float
    seconds: float


def names_of(kinds: tuple[str, ...], distances: tuple[str, ...], n_drives: int) -> list[Name]:
    """Return the Names of a set; of kinds in which the car stands a quarter is enough."""
    names = []
    for kind in kinds:
        count = max(1, n_drives // 4) if kind in terrain.STANDING else n_drives
        names += [Name(kind, d, i) for d in distances for i in range(count)]
    return names


def load_drive(name: Name, profile: str = "d7xr") -> Drive:
    """Return a Drive that `make_drives` has made."""
    with np.load(_path(name, profile)) as kept:
        facts = json.loads(str(kept["facts"]))
        flights = [truth.Flight(*row) for row in facts["flights"]]
        return Drive(name, kept["frames"], flights, kept["carried"], facts["km"], facts["seconds"])


def make_drives(
    names: list[Name],
    jobs: int = 1,
    profile: str = "d7xr",
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Make the drives that the cache lacks."""
    missing = [name for name in names if not _path(name, profile).exists()]
    batches = [missing[i : i + _BATCH] for i in range(0, len(missing), _BATCH)]
    if not batches:
        return
    if jobs == 1 or len(batches) == 1:
        for done, batch in enumerate(batches, 1):
            _make_batch(profile, batch)
            progress(done, len(batches))
        return
    with ProcessPoolExecutor(jobs) as pool:
        run = functools.partial(_make_batch, profile)
        for done, _ in enumerate(pool.map(run, batches), 1):
            progress(done, len(batches))


def _make_batch(profile, names):
    seeds = [name.seed for name in names]
    cars = changes.draw_cars(seeds, [name.distance for name in names], profile)
    seconds = DRIVE_s
    grounds = [terrain.make_ground(name.kind, name.seed) for name in names]
    kept = dynamics.simulate(cars, World(grounds, cars, seconds, seeds), seconds)
    for first in range(0, len(names), _SLICE):
        some = slice(first, first + _SLICE)
        part = {column: array[..., some] for column, array in kept.items()}
        _finish(profile, names[some], cars.take(some), part)


def _finish(profile, names, cars, kept):
    """Add sensors and truth to simulated drives, and save them."""
    rng = np.random.default_rng([name.seed for name in names])
    car = load_profile(profile)
    force = sensors.specific_force(kept)
    smooth = np.linalg.norm(truth.low_pass(force, truth.PEAK_Hz), axis=-1)
    acc, rates = sensors.imu(cars, kept, force, rng)
    damper = sensors.dampers(cars, kept, rng)
    wheel = sensors.wheels(cars, kept, rng, car.tyres.circumference_m)
    weight = (cars.sprung_kg + cars.unsprung_kg.sum(0)) * cars_module.G_ms2
    for i, name in enumerate(names):
        steps = truth.valid_steps(kept["pitch"][:, i], kept["roll"][:, i])
        carried = kept["tyres"][:steps, i] + kept["other"][:steps, i]
        found = truth.flights(carried, weight[i], smooth[:, i])
        readings = frames.readings_of(cars, i, profile, acc, rates, damper, wheel, kept)
        table = frames.frames_of(readings, steps, name.seed, profile)
        share = np.minimum(100 * carried / weight[i], 255).astype(np.uint8)[::CARRIED_STEPS]
        km = float(kept["at"][max(steps - 1, 0), i] - kept["at"][0, i]) / 1e3
        facts = {"flights": found, "km": km, "seconds": steps * dynamics.STEP_s}
        _save(_path(name, profile), facts, frames=table, carried=share)


def _save(path, facts, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part.npz")
    np.savez_compressed(part, facts=json.dumps(facts), **arrays)
    part.replace(path)


def _path(name, profile):
    file = f"{name.kind}-{name.distance.replace(' ', '_')}-{name.number}.npz"
    return cache_path() / "other_car" / _digest(profile) / file


@functools.cache
def _digest(profile):
    """Return a name for these drives: of the sources, the DBC, and what cars are drawn around.

    The rest of the profile may change, the detectors' limits above all: the drives stay.
    """
    car = load_profile(profile)
    extra = load_simulation(car)
    drawn = (
        *(car.mass, car.suspension, car.fuel, car.tyres, car.sensors),
        *(extra.mass, extra.suspension, extra.aero, extra.tyres),
    )
    digest = hashlib.sha256(repr((_FORMAT, drawn)).encode())
    for path in (*(Path(__file__).parent / f"{name}.py" for name in _SOURCES), dbc_file(car)):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:12]
