"""Body and four wheels on springs, dampers and tyres: seven degrees of freedom at 500 Hz.

Owns the vertical dynamics, and with them every lift-off, flight and landing: nothing is scripted.
Heave, pitch and roll are relative to the path; the path's bends enter as gravity normal to it.

    z up; travel p = zw - zb, 0 at full droop, rising with compression
    corner i of the body: zb = z - x_i * pitch + y_i * roll    (ISO 8855: pitch positive nose down)

A time step is cheap but Python's loop is not, so a minute is cut into pieces of one second that
are integrated side by side. A piece starts where the one before it ended in the last pass; passes
are repeated for the pieces whose start moved until none does. The dampers make an old state
irrelevant quickly, so a few passes are enough; the result is that of one long integration, to the
tolerance below.

Of each step all that is linear is two matrix products over the columns of the pieces:

    state 14 = place (z pitch roll, zw x 4), speed (the same)     seen 16 = SEE @ state
    seen  16 = p x 4, v x 4, linear force of springs and dampers x 4, linear force of tyres x 4
    force  8 = suspension x 4, tyres x 4                          acc   8 = PULL @ force
    acc    8 = acceleration of place x 7, load as a share of the weight
"""

import numpy as np
from numpy.typing import NDArray

from stagelog.car.build import Build
from stagelog.car.noise import Array, Columns
from stagelog.car.nominal import NominalCar
from stagelog.car.route import G_ms2

RATE_Hz = 500
DT_s = 1.0 / RATE_Hz
PIECE = RATE_Hz
_TOLERANCE = 5e-5  # metres and radians; 20 times that for their rates
_MAX_PASSES = 80
_SUPPORT_per_s2, _SUPPORT_per_s = 400.0, 30.0


class Suspension:
    """The mechanics of one build. `state` float[14] is where the last run ended."""

    def __init__(self, profile: NominalCar, build: Build) -> None:
        s, m = profile.suspension, profile.mass
        self.profile = profile
        self.body_kg_empty = build.mass_kg - sum(m.unsprung_kg)
        self.unsprung_kg = np.array(m.unsprung_kg)
        bump = np.array(s.bump_damping_Ns_per_m) * build.damping
        rebound = np.array(s.rebound_damping_Ns_per_m) * build.damping
        self.bump, self.rebound = bump, rebound
        self._uneven = (0.5 * (bump - rebound))[:, None]
        self._preload = np.array(s.preload_N)[:, None]
        self._bump_from = np.array(s.bump_stop_from_mm)[:, None] * 1e-3
        self._longest = np.array(s.travel_mm)[:, None] * 1e-3
        springs = np.diag(np.array(s.spring_N_per_m) * build.spring)
        for axle, rate in enumerate(s.anti_roll_N_per_m):
            a, b = 2 * axle, 2 * axle + 1
            springs[[a, b], [a, b]] += rate
            springs[[a, b], [b, a]] -= rate
        self._springs = springs
        self.state: Array | None = None

    def load(self, fuel_kg: float) -> tuple[float, float]:
        """Set the sprung mass and its centre for the fuel on board; return both."""
        m, s = self.profile.mass, self.profile.suspension
        body_kg = self.body_kg_empty + fuel_kg
        moment = self.body_kg_empty * m.cg_behind_front_axle_m
        cg_m = (moment + fuel_kg * m.tank_behind_front_axle_m) / body_kg
        half = 0.5 * m.track_m
        x = np.array([cg_m, cg_m, cg_m - m.wheelbase_m, cg_m - m.wheelbase_m])
        y = np.array([half, -half, half, -half])
        corners = np.stack([np.ones(4), -x, y], axis=1)
        travel = np.hstack([-corners, np.eye(4)])
        see, one = np.zeros((16, 14)), np.eye(4)
        see[0:4, :7], see[4:8, 7:] = travel, travel
        see[8:12, :7] = self._springs @ travel
        see[8:12, 7:] = (0.5 * (self.bump + self.rebound))[:, None] * travel
        see[12:16, 3:7], see[12:16, 10:14] = -s.tyre_N_per_m * one, -s.tyre_damping_Ns_per_m * one
        pull = np.zeros((8, 8))
        inertia = np.array([body_kg, m.pitch_inertia_kgm2, m.roll_inertia_kgm2])
        pull[:3, :4] = corners.T / inertia[:, None]
        pull[3:7, :4], pull[3:7, 4:] = -one / self.unsprung_kg, one / self.unsprung_kg
        pull[7, 4:] = 1.0 / (G_ms2 * (body_kg + self.unsprung_kg.sum()))
        self._see, self._pull = see, pull
        return body_kg, cg_m

    def rest(self) -> Array:
        """Return the state at rest on level ground: the linear balance, clear of all stops."""
        linear = np.vstack([self._see[8:12, :7], self._see[12:16, :7]])
        preload = np.concatenate([self._preload[:, 0], np.zeros(4)])
        pull = self._pull[:7]
        weight = np.array([G_ms2, 0.0, 0.0, G_ms2, G_ms2, G_ms2, G_ms2])
        place = np.linalg.solve(pull @ linear, weight - pull @ preload)
        return np.concatenate([place, np.zeros(7)])

    def travel(self) -> Array:
        """Return the travel of the four wheels in `state`, metres."""
        assert self.state is not None
        return np.asarray(self._see[:4] @ self.state)

    def run(
        self, ground: Array, ground_rate: Array, inertial: Array, hold: Array | None = None
    ) -> Columns:
        """Integrate a whole number of seconds on from `state`.

        ground, ground_rate  float[n, 4], height under each wheel and its time derivative
        inertial             float[n, 4]: gravity normal to the path; pitch and roll acceleration
                             by ground forces, which fade as the tyres lift; pitch of the path
        hold                 None, or float[n, 2]: whether a support holds the body, and how high
        Returns columns {travel_m [n, 4], tyre_N [n, 4], acc [n, 3], rate [n, 3], place [n, 3]}.
        """
        n, s = len(ground) // PIECE, self.profile.suspension
        if self.state is None:
            self.state = self.rest()
        push = s.tyre_N_per_m * ground + s.tyre_damping_Ns_per_m * ground_rate
        outer = np.zeros((len(ground), 7))
        outer[:, [0, 3, 4, 5, 6]] = -inertial[:, :1]
        outer[:, 1] = inertial[:, 3]
        parts = [_pieces(a, n) for a in (push, outer, inertial[:, 1:3])]
        holds = None if hold is None else _pieces(hold, n)
        start, out, todo = np.repeat(self.state[:, None], n, axis=1), _Out(PIECE, n), np.arange(n)
        for _ in range(_MAX_PASSES):
            end, part = start[:, todo], out if len(todo) == n else _Out(PIECE, len(todo))
            held = None if holds is None else holds[:, :, todo]
            pushed, pulled, turned = (a[:, :, todo] for a in parts)
            self._integrate(end, pushed, pulled, turned, held, part)
            if part is not out:
                out.put(todo, part)
            if todo[-1] == n - 1:
                self.state = end[:, -1].copy()
            follow = todo[todo + 1 < n] + 1
            new = end[:, : len(follow)]
            far = np.abs(start[:, follow] - new) > _TOLERANCE * _SCALE
            moved = far.any(axis=0)
            start[:, follow[moved]] = new[:, moved]
            todo = follow[moved]
            if not len(todo):
                break
        return out.columns()

    def _integrate(
        self,
        state: Array,
        push: Array,
        outer: Array,
        turning: Array,
        hold: Array | None,
        out: "_Out",
    ) -> None:
        """Step through all rows of the inputs; `state` is advanced in place."""
        n, stops = state.shape[1], self.profile.suspension
        bump_N, end_N = stops.bump_stop_N_per_m2, stops.end_stop_N_per_m
        see, pull = self._see, self._pull
        columns = (self._uneven, self._preload, self._bump_from, self._longest)
        uneven, preload, bump_from, longest = (np.repeat(c, n, axis=1) for c in columns)
        place, speed, step = state[:7], state[7:], np.empty((7, n))
        work, grip = np.empty((4, n)), np.empty(n)
        for k in range(len(push)):
            seen, force, acc = out.seen[k], out.force[k], out.acc[k]
            np.dot(see, state, out=seen)
            p, f, tyre = seen[:4], force[:4], force[4:]
            np.abs(seen[4:8], out=f)
            f *= uneven
            f += seen[8:12]
            f += preload
            np.subtract(p, bump_from, out=work)
            np.maximum(work, 0.0, out=work)
            work *= work
            work *= bump_N
            f += work
            np.minimum(p, longest, out=work)
            np.maximum(work, 0.0, out=work)
            np.subtract(p, work, out=work)
            work *= end_N
            f += work
            np.add(seen[12:16], push[k], out=tyre)
            np.maximum(tyre, 0.0, out=tyre)
            np.dot(pull, force, out=acc)
            np.minimum(acc[7], 1.0, out=grip)
            acc[:7] += outer[k]
            acc[1:3] += turning[k] * grip
            if hold is not None:
                acc[:3] += hold[k, 0] * (-_SUPPORT_per_s2 * place[:3] - _SUPPORT_per_s * speed[:3])
                acc[0] += hold[k, 0] * hold[k, 1] * _SUPPORT_per_s2
            np.multiply(acc[:7], DT_s, out=step)
            speed += step
            np.multiply(speed, DT_s, out=step)
            place += step
            out.state[k] = state


_SCALE = np.repeat([1.0, 20.0], 7)[:, None]


class _Out:
    """The results of each step: [step, row, piece]."""

    NAMES = ("seen", "force", "acc", "state")

    def __init__(self, steps: int, n: int) -> None:
        self.seen, self.force = np.empty((steps, 16, n)), np.empty((steps, 8, n))
        self.acc, self.state = np.empty((steps, 8, n)), np.empty((steps, 14, n))

    def put(self, pieces: NDArray[np.int64], other: "_Out") -> None:
        for name in self.NAMES:
            getattr(self, name)[:, :, pieces] = getattr(other, name)

    def columns(self) -> Columns:
        """Return the columns in the order of time."""
        return {
            "travel": _in_time(self.seen[:, 0:4]),
            "tyre": _in_time(self.force[:, 4:8]),
            "acc": _in_time(self.acc[:, 0:3]),
            "rate": _in_time(self.state[:, 7:10]),
            "place": _in_time(self.state[:, 0:3]),
        }


def _in_time(rows: Array) -> Array:
    return rows.transpose(2, 0, 1).reshape(-1, rows.shape[1])


def _pieces(column: Array, n: int) -> Array:
    """Cut float[n * PIECE, m] into float[PIECE, m, n]."""
    return np.ascontiguousarray(column.reshape(n, PIECE, -1).transpose(1, 2, 0))
