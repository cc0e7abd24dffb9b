"""What is in the tank, and what its two senders report.

Slosh is a lightly damped surface driven by the car's acceleration, and a bias: while the car
shakes, the fuel is elsewhere than at the senders, so the mean reading is wrong too, as in the
measured log of the domain notes.
"""

import numpy as np

from stagelog.car.build import Build
from stagelog.car.driver import STEP_s
from stagelog.car.noise import Array, generator
from stagelog.car.nominal import NominalCar
from stagelog.car.route import G_ms2


class Tank:
    """The surface of the fuel between minutes."""

    def __init__(self, profile: NominalCar, build: Build, seed: int) -> None:
        self.profile, self.build, self.seed = profile, build, seed
        self.tilt = self.tilt_rate = self.swell = self.swell_rate = self.shake = 0.0

    def run(self, minute: int, volume_l: Array, ax: Array, ay: Array, az: Array) -> Array:
        """Return sender heights A and B in mm, float[n, 2], at 20 Hz.

        ax, ay, az  specific force in m/s2 at 20 Hz; volume_l the truth at 20 Hz
        """
        fuel = self.profile.fuel
        omega = 2.0 * np.pi * fuel.slosh_Hz
        damping = 2.0 * fuel.slosh_damping * omega
        shaking = np.sqrt((ax - ax.mean()) ** 2 + ay**2 + (az - G_ms2) ** 2)
        tilts, swells, shakes = [], [], []
        for x, y, rough in zip(ax.tolist(), ay.tolist(), shaking.tolist(), strict=True):
            self.tilt_rate += STEP_s * (
                omega**2 * (x / G_ms2 - self.tilt) - damping * self.tilt_rate
            )
            self.tilt += STEP_s * self.tilt_rate
            push = omega**2 * 1.7 * (0.35 * y / G_ms2 - self.swell)
            self.swell_rate += STEP_s * (push - 1.3 * damping * self.swell_rate)
            self.swell += STEP_s * self.swell_rate
            self.shake += (rough - self.shake) * (STEP_s / 6.0)
            tilts.append(self.tilt)
            swells.append(self.swell)
            shakes.append(self.shake)
        seen = volume_l + self.build.slosh_bias * np.minimum(np.array(shakes), 4.0)
        half = 0.5e3 * fuel.sender_spacing_m
        tilt, swell = np.clip(tilts, -0.5, 0.5), np.clip(swells, -0.4, 0.4)
        noise = generator(self.seed, "sender", minute).standard_normal((2, len(ax)))
        heights = np.empty((len(ax), 2))
        for i, (table, sign) in enumerate(((fuel.sender_a_mm, -1.0), (fuel.sender_b_mm, 1.0))):
            level = np.interp(seen, fuel.sender_volume_l, table)
            level += sign * half * tilt + (0.6 + 0.4 * i) * half * swell
            level += self.profile.sensors.fuel.noise_mm * noise[i]
            heights[:, i] = np.clip(level, *fuel.sender_dead_mm)
        return heights
