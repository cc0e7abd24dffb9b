"""The law of the drives: which kinds of terrain are for tuning and which are only for scoring.

Whoever tunes a detector may see drives of TUNING alone. SCORING is separate by kind and by seed.
"""

import numpy as np

from campaigns.engine.other_car import shapes
from campaigns.engine.other_car.ground import GRID_m, Ground, LENGTH_m

# Kinds with flights, and traps: kinds in which flights are rare or cannot be.
TUNING_FLIGHTS = ("table_top", "camel_grass", "whoops")
TUNING_TRAPS = ("crest_smooth", "kerbs", "washboard", "one_side_up", "ferry", "jack_spin")
SCORING_FLIGHTS = ("kicker", "drop_off", "dune_lip", "ridges")
SCORING_TRAPS = (
    "crest_rough",
    "see_saw",
    "rocks",
    "wading",
    "trailer",
    "crane",
    "tow",
    "crest_light",
)
TUNING_LATER = ("rollers",)  # a trap
SCORING = SCORING_FLIGHTS + SCORING_TRAPS
# Seeds are made of the places in KINDS: new kinds go to its end.
KINDS = TUNING_FLIGHTS + TUNING_TRAPS + SCORING + TUNING_LATER
TUNING = TUNING_FLIGHTS + TUNING_TRAPS + TUNING_LATER
TRAPS = TUNING_TRAPS + SCORING_TRAPS + TUNING_LATER
STANDING = ("ferry", "jack_spin", "trailer", "crane")  # the car does not drive by itself
# Seeds of a kind begin here, so that no drive of one set repeats numbers of the other.
FIRST_SEED = {"tuning": 1_000, "scoring": 500_000}


def set_of(kind: str) -> str:
    """Return "tuning" or "scoring"."""
    return "tuning" if kind in TUNING else "scoring"


def make_ground(kind: str, seed: int) -> Ground:
    """Return the ground of a drive."""
    rng = np.random.default_rng([seed, KINDS.index(kind), 5])
    ground = Ground(
        left=np.zeros(round(LENGTH_m / GRID_m)),
        right=np.zeros(round(LENGTH_m / GRID_m)),
        speed_ms=np.full(round(LENGTH_m), 20.0),
        yaw_rads=np.zeros(round(LENGTH_m)),
    )
    _winding(ground, rng)
    getattr(shapes, kind)(ground, rng)
    _slow_start(ground)
    return ground


def _winding(ground, rng):
    """Let the way wind: up to some 3 m/s^2 to the side at 15 m/s."""
    n = len(ground.yaw_rads)
    span = int(rng.uniform(25, 70))
    noise = rng.normal(0, 1, n // span + 3)
    ground.yaw_rads = rng.uniform(0, 0.1) * np.interp(
        np.arange(n) / span, range(len(noise)), noise
    )


def _slow_start(ground):
    """Drive the first metres slowly enough to gain speed on even ground."""
    if ground.parked:
        return
    metres = np.arange(len(ground.speed_ms))
    ground.speed_ms = np.minimum(ground.speed_ms, 4.0 + 0.5 * metres)
