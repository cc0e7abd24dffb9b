"""The drive, minute by minute: driver, suspension, heat, tank, then signals and frames.

Owns the order of things and what passes from one minute to the next. Memory does not grow with the
length of the drive, apart from the route and the list of events.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.car.build import NODES, build_car
from stagelog.car.driver import Driver, RATE_Hz, STEP_s
from stagelog.car.emit import Emitter
from stagelog.car.exceed import Exceedances
from stagelog.car.faults import Faults
from stagelog.car.flight import FlightMode, Jump, TrueFlights
from stagelog.car.heat import Heat, losses
from stagelog.car.incidents import Incidents
from stagelog.car.minute import SECONDS, Lags, Minute
from stagelog.car.motion import Motion, Mover
from stagelog.car.noise import Array, Columns, generator, low_pass
from stagelog.car.nominal import NominalCar
from stagelog.car.route import Route
from stagelog.car.signals_chassis import chassis_columns
from stagelog.car.signals_power import power_columns
from stagelog.car.story import Scenario
from stagelog.car.suspension import Suspension
from stagelog.car.tank import Tank
from stagelog.car.truth import Diary, Event, truth_arrays
from stagelog.car.wheels import wheel_columns
from stagelog.model import FRAME, FrameTable

# frames, (t_us, arrays) of the truth, events
MinuteOfDrive: TypeAlias = tuple[
    FrameTable,
    tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]],
    list[Event | Jump],
]


class World:
    """One drive in progress. `minutes()` may be consumed once."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        profile: NominalCar,
        dbc: str | Path,
        duration_s: float | None,
    ) -> None:
        self.scenario, self.seed, self.profile = scenario, seed, profile
        self.build = build_car(profile, seed)
        self.incidents = Incidents(scenario.incidents)
        self.route = Route(scenario.legs, seed)
        self.duration_s = duration_s
        self._used_l = float(generator(seed, "used").uniform(500.0, 9000.0))
        self.driver = Driver(profile, self.build, scenario, self.route, self.incidents, seed)
        self.suspension = Suspension(profile, self.build)
        self.mover = Mover(profile, self.suspension, self.route, scenario.legs, seed)
        self.heat = Heat(profile, self.build, scenario.ambient_degC, scenario.warm, self.incidents)
        self.tank = Tank(profile, self.build, seed)
        self.emitter = Emitter(dbc, profile, Faults(profile, self.incidents, seed), seed)
        self.flight_mode = FlightMode(profile, generator(seed, "flight mode"))
        self.flights = TrueFlights()
        self.diary = Diary(scenario, self.route, self.incidents)
        self.exceedances = Exceedances(profile)
        self._lags: Lags = {}
        self._next_row: dict[str, float] | None = None  # where the next minute begins

    def minutes(self) -> Iterator[MinuteOfDrive]:
        """Yield (frames, arrays, events) for one minute after the other until the story ends."""
        number, ended = 0, False
        while not ended:
            t0_s = number * float(SECONDS)
            slow, ended = self._drive(number, t0_s)
            steps = len(slow["s_m"]) - 1
            if steps <= 0:
                break
            seconds = int(np.ceil(steps / RATE_Hz))
            end_us = round((t0_s + steps * STEP_s) * 1e6)
            if self.duration_s is not None and t0_s + seconds >= self.duration_s:
                end_us, ended = round(self.duration_s * 1e6), True
            if not slow["power"].any():
                yield self._sleep(number, t0_s, seconds, slow, end_us, ended)
                number += 1
                continue
            minute = self._minute(number, t0_s, seconds, slow)
            events: list[Event | Jump] = []
            events += self.flights.feed(t0_s, minute.motion, self.diary.name_at, last=ended)
            events += self.diary.feed(minute, ended)
            columns = chassis_columns(minute, self._lags) | power_columns(minute, self._lags)
            events += self.exceedances.feed(minute, columns, ended)
            frames = self.emitter.frames(minute, columns, end_us)
            frames = self.diary.add_noise_frames(frames, minute, end_us)
            yield frames, truth_arrays(minute, end_us), sorted(events, key=lambda e: e.t_us)
            number += 1

    def _sleep(
        self, number: int, t0_s: float, seconds: int, slow: Columns, end_us: int, ended: bool
    ) -> MinuteOfDrive:
        """Return a minute without power: the car cools, nothing is sent."""
        minute = self._bare(number, t0_s, seconds, slow, self.mover.parked(slow, seconds))
        minute.wheels = {"axle_kmh": np.zeros((seconds * 100, 2))}
        self._warm(minute)
        events: list[Event | Jump] = []
        events += self.flights.feed(t0_s, minute.motion, self.diary.name_at, last=ended)
        events += self.diary.feed(minute, ended)
        return np.zeros(0, FRAME), truth_arrays(minute, end_us), events

    def _drive(self, number: int, t0_s: float) -> tuple[Columns, bool]:
        """Run the driver one minute on, with one more row: where the next minute begins."""
        begun = self._next_row
        ahead = 0 if begun is None else 1
        first, want = number * SECONDS * RATE_Hz + ahead, SECONDS * RATE_Hz + 1 - ahead
        if self.duration_s is not None:
            left = int(np.ceil((self.duration_s - t0_s) / 1.0)) * RATE_Hz + 1 - ahead
            want = min(want, left)
        rows = self.driver.run(first, want)
        if begun is not None:
            rows = {k: np.concatenate(([begun[k]], v)) for k, v in rows.items()}
        ended = len(rows["s_m"]) < want + ahead
        self._next_row = {k: v[-1] for k, v in rows.items()} if len(rows["s_m"]) else None
        if ended and len(rows["s_m"]):
            short = -(len(rows["s_m"]) - 1) % RATE_Hz
            rows = {k: np.concatenate((v, np.repeat(v[-1:], short))) for k, v in rows.items()}
        return rows, ended

    def _minute(self, number: int, t0_s: float, seconds: int, slow: Columns) -> Minute:
        fuel_kg = float(slow["fuel_l"].mean()) * self.profile.fuel.density_kg_per_l
        motion = self.mover.run(slow, self.build.mass_kg + fuel_kg, fuel_kg, seconds)
        minute = self._bare(number, t0_s, seconds, slow, motion)
        minute.heat["flat"] = self._flat()
        minute.wheels = wheel_columns(minute, self.flight_mode)
        self._warm(minute)
        self._fill_tank(minute)
        return minute

    def _bare(
        self, number: int, t0_s: float, seconds: int, slow: Columns, motion: Motion
    ) -> Minute:
        return Minute(
            number=number,
            seconds=seconds,
            t0_s=t0_s,
            profile=self.profile,
            build=self.build,
            incidents=self.incidents,
            seed=self.seed,
            slow=slow,
            motion=motion,
            cg_m=self.mover.cg_m,
        )

    def _flat(self) -> Array:
        lost = self.heat.lost_kPa[:4] / self.profile.tyres.cold_kPa
        return np.clip(lost, 0.0, 1.0)

    def _warm(self, minute: Minute) -> None:
        slow, seconds = minute.slow, minute.seconds
        speed = np.diff(minute.motion.travel_m, axis=0, prepend=minute.motion.travel_m[:1]) * 500.0
        s = self.profile.suspension
        bump = np.array(s.bump_damping_Ns_per_m), np.array(s.rebound_damping_Ns_per_m)
        watts = speed * speed * np.where(speed > 0.0, *bump)
        damper = watts.reshape(seconds * 2, 250, 4).mean(axis=1)
        rows = {k: v[: seconds * RATE_Hz] for k, v in slow.items()}
        power = losses(self.profile, rows, damper, minute.wheels["axle_kmh"][::5])
        every = slice(0, seconds * RATE_Hz, RATE_Hz // 2)
        heat = self.heat.run(
            minute.t0_s,
            power,
            rows["v_ms"][every],
            rows["rpm"][every],
            rows["power"][every] > 0,
            rows["engine"][every] == 2.0,
        )
        lag = self.profile.sensors.temperature.lag_s
        start = self._lags.get("seen", heat["temp"][0])
        seen = low_pass(heat["temp"], 0.5, lag, start)
        self._lags["seen"] = seen[-1]
        minute.heat |= heat
        minute.heat["seen_degC"] = seen
        minute.ambient_degC = float(self.heat.ambient)
        engine = heat["temp"][:, NODES.index("engine")]
        minute.heat["cabin_degC"] = self.heat.ambient + 0.15 * np.maximum(engine - 40.0, 0.0)

    def _fill_tank(self, minute: Minute) -> None:
        n = minute.seconds * RATE_Hz
        force = minute.motion.force_ms2.reshape(n, 25, 3).mean(axis=1)
        volume = minute.slow["fuel_l"][:n]
        minute.senders_mm = self.tank.run(minute.number, volume, *force.T)
        flow = minute.slow["flow_l_h"] * self.build.flow_scale * STEP_s / 3600.0
        used = self._used_l + np.concatenate(([0.0], np.cumsum(flow[:-1])))
        self._used_l = used[-1]
        minute.fuel["used_l"] = used
        legs = self.scenario.legs
        minute.fuel["flap"] = np.array([legs[int(i)].refuel_l > 0.0 for i in minute.slow["leg"]])
