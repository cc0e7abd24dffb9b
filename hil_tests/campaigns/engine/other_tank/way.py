"""What a car burns on its way, km by km: stretches of terrain, each with its own mean, and noise.

Shares nothing with stagelog.car or with the detector. A way can be continued again and again from
where it is: the stretch goes on for what is left of it, all else is drawn anew.
"""

import copy
from dataclasses import dataclass

import numpy as np

TERRAIN_ml_km = (270.0, 460.0, 580.0, 720.0, 830.0, 1040.0)  # road to soft dunes
CAR = 0.08  # one car and driver differ from these by, as standard deviation of the logarithm
EVEN_ml_km = (450.0, 950.0)  # one terrain all day


@dataclass(frozen=True)
class Kind:
    """`stretch_km` is the mean length; None: one terrain all day. `noise` of a km, `alike` with
    the one before it. `steady`: stretches have at least half the mean length.
    """

    stretch_km: float | None
    noise: float
    alike: float
    n_terrains: int = 6
    steady: bool = False


TUNING = {
    "plateau": Kind(None, 0.08, 0.6),
    "patchwork": Kind(10, 0.10, 0.5),
    "valleys": Kind(35, 0.10, 0.5, steady=True),
    "dunes_and_plains": Kind(20, 0.15, 0.7, n_terrains=3),
}
SCORING = {
    "track": Kind(None, 0.12, 0.97),
    "stony": Kind(None, 0.25, 0.0),
    "two_faces": Kind(15, 0.08, 0.4, n_terrains=2),
    "long_legs": Kind(70, 0.08, 0.6, steady=True),
    "rally": Kind(25, 0.12, 0.6),
}
KINDS = TUNING | SCORING


class Way:
    """`next_ml()` is what the next km burns."""

    def __init__(self, kind: Kind, rng: np.random.Generator):
        self.kind = kind
        self._rng = rng
        car = np.exp(rng.normal(0, CAR))
        if kind.stretch_km is None:
            self._means = np.array([rng.uniform(*EVEN_ml_km)])
        else:
            self._means = rng.permutation(TERRAIN_ml_km)[: kind.n_terrains] * car
        self._left_km = 0
        self._at = -1
        self._noise = rng.normal()

    def next_ml(self) -> float:
        """Go on by a km."""
        kind, rng = self.kind, self._rng
        if self._left_km <= 0:
            others = [i for i in range(len(self._means)) if i != self._at] or [0]
            self._at = rng.choice(others)
            self._left_km = self._length_km()
        self._left_km -= 1
        self._noise = kind.alike * self._noise + np.sqrt(1 - kind.alike**2) * rng.normal()
        return float(
            self._means[self._at] * np.exp(kind.noise * self._noise - 0.5 * kind.noise**2)
        )

    def _length_km(self):
        mean_km = self.kind.stretch_km
        if mean_km is None:
            return 1_000_000
        least = 0.5 * mean_km * self.kind.steady
        return max(1, round(least + self._rng.exponential(mean_km - least)))

    def continued(self, rng: np.random.Generator) -> "Way":
        """Return another way that goes on from here."""
        other = copy.copy(self)
        other._rng = rng
        return other

    def range_km(self, litres: float, idle_ml_km: float) -> float:
        """Return how far so many litres last."""
        left_ml, km = 1000 * litres, 0
        while True:
            burned = self.next_ml() + idle_ml_km
            if burned >= left_ml:
                return km + left_ml / burned
            left_ml -= burned
            km += 1
