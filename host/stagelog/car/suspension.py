"""Body and four wheels on springs, dampers and tyres: seven degrees of freedom at 500 Hz.

Owns the vertical dynamics, and with them every lift-off, flight and landing: nothing is scripted.
Heave, pitch and roll are relative to the path; the path's bends enter as gravity normal to it.

A time step is cheap but Python's loop is not, so a minute is cut into pieces of one second that
are integrated side by side. A piece starts where the one before it ended in the last pass; passes are
repeated for the pieces whose start moved until none does. The dampers forget quickly, so a few
passes do, and what comes out is what one long integration would give, to the tolerance below.

    z up, p = zw - zb: travel, 0 at full droop, rising with compression
    corner i of the body: zb = z - x_i * pitch + y_i * roll    (ISO 8855: pitch positive nose down)
"""

import numpy as np

RATE_Hz = 500
DT_s = 1.0 / RATE_Hz
PIECE = RATE_Hz
_TOLERANCE = 2e-4  # metres, radians, and 20 times that for their rates
_MAX_PASSES = 80


class Suspension:
    """The mechanics of one build. `state` is q (3), qd (3), zw (4), vw (4) at the last step."""

    def __init__(self, profile, build):
        s, m = profile.suspension, profile.mass
        self.profile = profile
        self.body_kg_empty = build.mass_kg - sum(m.unsprung_kg)
        self.unsprung_kg = np.array(m.unsprung_kg)
        self.preload = np.array(s.preload_N)
        roll = np.zeros((4, 4))
        for axle, rate in enumerate(s.anti_roll_N_per_m):
            a, b = 2 * axle, 2 * axle + 1
            roll[a, a] = roll[b, b] = rate
            roll[a, b] = roll[b, a] = -rate
        self.spring = np.diag(np.array(s.spring_N_per_m) * build.spring) + roll
        bump = np.array(s.bump_damping_Ns_per_m) * build.damping
        rebound = np.array(s.rebound_damping_Ns_per_m) * build.damping
        self.damp_mean, self.damp_diff = 0.5 * (bump + rebound), 0.5 * (bump - rebound)
        self.bump_from = np.array(s.bump_stop_from_mm) * 1e-3
        self.metal_from = np.array(s.travel_mm) * 1e-3
        self.state = None

    def load(self, fuel_kg):
        """Set the sprung mass and its centre for the fuel on board; return both."""
        m = self.profile.mass
        self.body_kg = self.body_kg_empty + fuel_kg
        moment = (
            self.body_kg_empty * m.cg_behind_front_axle_m + fuel_kg * m.tank_behind_front_axle_m
        )
        self.cg_m = moment / self.body_kg
        half = 0.5 * m.track_m
        x = np.array([self.cg_m, self.cg_m, *(2 * [self.cg_m - m.wheelbase_m])])
        y = np.array([half, -half, half, -half])
        self.corners = np.stack([np.ones(4), -x, y])
        inertia = np.array([self.body_kg, m.pitch_inertia_kgm2, m.roll_inertia_kgm2])
        self.to_body = self.corners.T / inertia
        self.inertia = inertia
        return self.body_kg, self.cg_m

    def rest(self):
        """Return the state at rest on level ground, by relaxing from a guess."""
        ground = np.zeros((PIECE * 6, 4))
        still = np.zeros((PIECE * 6, 4))
        still[:, 0] = 9.80665
        q = np.array([[-0.12, 0.0, 0.0]])
        state = (q, np.zeros((1, 3)), np.zeros((1, 4)), np.zeros((1, 4)))
        out = _Out(PIECE * 6, 1)
        end = self._integrate(ground[:, None], ground[:, None], still[:, None], None, state, out)
        return tuple(part[0] for part in end)

    def run(self, ground, ground_rate, inertial, hold=None):
        """Integrate a whole number of seconds on from `state`.

        ground, ground_rate  float[n, 4], height under each wheel and its time derivative
        inertial             float[n, 4]: gravity normal to the path; pitch and roll acceleration
                             by ground forces, which fade as the tyres lift; pitch of the path
        hold                 None, or float[n, 2]: whether a support holds the body, and how high
        Returns {travel_m [n, 4], tyre_N [n, 4], acc [n, 3], rate [n, 3]} as views of fresh arrays.
        """
        n = len(ground) // PIECE
        if self.state is None:
            self.state = self.rest()
        cut = [None if a is None else _pieces(a, n) for a in (ground, ground_rate, inertial, hold)]
        start = [np.repeat(part[None], n, axis=0) for part in self.state]
        out, todo = _Out(PIECE, n), np.arange(n)
        for _ in range(_MAX_PASSES):
            part = _Out(PIECE, len(todo))
            inputs = [None if a is None else a[:, todo] for a in cut]
            end = self._integrate(*inputs, tuple(a[todo] for a in start), part)
            out.put(todo, part)
            moved = np.zeros(n, bool)
            last = todo + 1 < n
            follow = todo[last] + 1
            for now, new, scale in zip(start, end, (1.0, 0.05, 1.0, 0.05), strict=True):
                far = np.abs(now[follow] - new[last]).max(axis=1) * scale > _TOLERANCE
                moved[follow] |= far
                now[follow] = np.where(far[:, None], new[last], now[follow])
            if n - 1 in todo:
                self.state = tuple(a[-1] for a in end)
            todo = np.flatnonzero(moved)
            if not len(todo):
                break
        return out.columns()

    def _integrate(self, ground, ground_rate, inertial, hold, state, out):
        s = self.profile.suspension
        kt, ct = s.tyre_N_per_m, s.tyre_damping_Ns_per_m
        q, qd, zw, vw = (np.array(part) for part in state)
        corners, to_body, spring = self.corners, self.to_body, self.spring
        bump_2, droop, metal = s.bump_stop_N_per_m2, s.droop_stop_N_per_m, 2.0e6
        inv_wheel = DT_s / self.unsprung_kg
        inv_weight = 1.0 / (9.80665 * (self.body_kg + self.unsprung_kg.sum()))
        for k in range(len(ground)):
            p = zw - q @ corners
            v = vw - qd @ corners
            f = p @ spring
            f += self.preload
            f += self.damp_mean * v
            f += self.damp_diff * np.abs(v)
            over = np.maximum(p - self.bump_from, 0.0)
            f += bump_2 * over * over
            f += metal * np.maximum(p - self.metal_from, 0.0)
            f += droop * np.minimum(p, 0.0)
            gap = ground[k] - zw
            tyre = kt * gap
            tyre += ct * (ground_rate[k] - vw)
            np.maximum(tyre, 0.0, out=tyre)
            tyre *= gap > 0.0
            acc = f @ to_body
            grip = tyre.sum(axis=1)
            grip *= inv_weight
            np.minimum(grip, 1.0, out=grip)
            acc[:, 0] -= inertial[k, :, 0]
            acc[:, 1] += inertial[k, :, 1] * grip + inertial[k, :, 3]
            acc[:, 2] += inertial[k, :, 2] * grip
            if hold is not None:
                acc += self._support(hold[k], q, qd)
            vw += (tyre - f) * inv_wheel
            vw -= inertial[k, :, :1] * DT_s
            qd += acc * DT_s
            q += qd * DT_s
            zw += vw * DT_s
            out.travel[k], out.tyre[k], out.acc[k], out.rate[k], out.place[k] = p, tyre, acc, qd, q
        return q, qd, zw, vw

    def _support(self, hold, q, qd):
        """A jack, a roof or a belly: a stiff, damped support on all three body coordinates."""
        wanted = np.zeros_like(q)
        wanted[:, 0] = hold[:, 1]
        return hold[:, :1] * ((wanted - q) * 400.0 - qd * 30.0)


class _Out:
    def __init__(self, steps, n):
        self.travel, self.tyre = np.empty((steps, n, 4)), np.empty((steps, n, 4))
        self.acc, self.rate, self.place = (np.empty((steps, n, 3)) for _ in range(3))

    def put(self, pieces, other):
        for name in ("travel", "tyre", "acc", "rate", "place"):
            getattr(self, name)[:, pieces] = getattr(other, name)

    def columns(self):
        """Return the columns in the order of time."""
        return {
            name: np.swapaxes(getattr(self, name), 0, 1).reshape(-1, getattr(self, name).shape[2])
            for name in ("travel", "tyre", "acc", "rate", "place")
        }


def _pieces(column, n):
    return np.ascontiguousarray(column.reshape(n, PIECE, -1).swapaxes(0, 1))
