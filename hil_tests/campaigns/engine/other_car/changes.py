"""One setting changed at a time: the near cars, each on the ground it always has.

What a detector loses by a change is its dependence on that number of the profile.
"""

from dataclasses import replace

import numpy as np

from campaigns.engine.other_car import cars
from campaigns.engine.other_car.cars import Cars

# label: (parameter, factor, summand)
CHANGES = {
    "unchanged": ("rebound", 1.0, 0.0),
    "rebound x 0.8": ("rebound", 0.8, 0.0),
    "rebound x 1.1": ("rebound", 1.1, 0.0),
    "rebound x 1.2": ("rebound", 1.2, 0.0),
    "rebound x 1.4": ("rebound", 1.4, 0.0),
    "springs x 0.85": ("spring", 0.85, 0.0),
    "preload -500 N": ("preload_N", 1.0, -500.0),
    "friction x 2": ("friction_N", 2.0, 0.0),
    "sprung mass x 1.08": ("sprung_kg", 1.08, 0.0),
}


def draw_cars(seeds: list[int], labels: list[str], profile: str = "d7xr") -> Cars:
    """Return cars by seed; a label is near, far or a change to a near car."""
    distances = ["near" if label in CHANGES else label for label in labels]
    drawn = cars.draw_cars(seeds, distances, profile)
    for label, (name, factor, summand) in CHANGES.items():
        which = np.array([one == label for one in labels])
        value = getattr(drawn, name)
        drawn = replace(drawn, **{name: np.where(which, value * factor + summand, value)})
    return drawn
