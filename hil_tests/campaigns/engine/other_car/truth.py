"""What truly happened, from the contact forces of the simulation alone.

Flight: the forces of all four tyres are zero, and so are those of the belly and of whatever holds
the car up (crane, jack, tow truck): a car that lies on its belly or hangs does not fly. A touch
that is shorter than JOIN_s and on the whole lighter than a tenth of the weight does not end it.
Onset and landing are the first and the last step without force. Flights of MIN_FLIGHT_s are
scored; shorter ones are kept so that whoever reports them is not held to have invented them.

Landing peak: the largest specific force (all three axes) at the centre of gravity of the body,
behind a first-order low-pass of PEAK_Hz, from the landing until PEAK_s after it. The sensors'
errors have no part in it.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from campaigns.engine.other_car.cars import G_ms2
from campaigns.engine.other_car.dynamics import STEP_s

Array: TypeAlias = NDArray[np.floating]

JOIN_s = 0.03
JOIN_SHARE = 0.10
KEEP_s = 0.03
MIN_FLIGHT_s = 0.1
PEAK_s = 0.30
PEAK_Hz = 25.0  # what the profile's detectors filter by; a number of the truth, not of theirs
LOST_rad = 0.75  # beyond this pitch or roll the linear car is no car


class Flight(NamedTuple):
    """Times in s since the start of the drive; peak in g."""

    onset_s: float
    landing_s: float
    peak_g: float

    @property
    def airtime_s(self) -> float:
        """Return how long it lasted."""
        return self.landing_s - self.onset_s


def flights(forces: Array, weight_N: float, smooth: Array) -> list[Flight]:
    """Return the Flights of one drive.

    forces  [steps] sum of all that carries the car, N
    smooth  [steps] norm of the specific force behind its low-pass, m/s^2; see `low_pass`
    """
    edges = np.diff(np.concatenate(([0], (forces <= 0).view(np.int8), [0])))
    spans = np.flatnonzero(edges).reshape(-1, 2).tolist()
    joined = []
    for a, b in spans:
        if joined:
            touch = slice(joined[-1][1], a)
            short = a - joined[-1][1] <= JOIN_s / STEP_s
            if short and forces[touch].mean() < JOIN_SHARE * weight_N:
                joined[-1][1] = b
                continue
        joined.append([a, b])
    found = []
    for a, b in joined:
        if (b - a) * STEP_s >= KEEP_s and b < len(forces):
            peak = smooth[b : b + round(PEAK_s / STEP_s)].max() / G_ms2
            found.append(Flight(a * STEP_s, b * STEP_s, float(peak)))
    return found


def low_pass(values: Array, corner_Hz: float) -> Array:
    """Return values [steps, ...] behind a first-order low-pass."""
    share = 1 - np.exp(-2 * np.pi * corner_Hz * STEP_s)
    out = np.empty_like(values)
    state = values[0].astype(float)
    for k, value in enumerate(values):
        state = state + share * (value - state)
        out[k] = state
    return out


def valid_steps(pitch: Array, roll: Array) -> int:
    """Return how many steps of a drive count: it ends a second before the car overturns."""
    lost = np.flatnonzero((np.abs(pitch) > LOST_rad) | (np.abs(roll) > LOST_rad))
    return len(pitch) if not len(lost) else max(0, lost[0] - round(1.0 / STEP_s))
