"""Seven degrees of freedom, many cars at once: body (heave, pitch, roll) and four wheels.

Springs with preload, dampers that open at a knee, static friction, bump stops, droop stops, belly,
tyres that push and never pull, the turn of each wheel. Semi-implicit Euler at 1 ms. Heights are
linear in pitch and roll, so energy is that of a linear frame; only what the IMU sees is turned.
Axes as in the DBC: x forward, y left, z up, pitch positive nose down, roll positive to the right.

Compression is wheel height less body height above that wheel: 0 where it hangs at full droop.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from campaigns.engine.other_car.cars import Cars, Column, G_ms2

if TYPE_CHECKING:
    from campaigns.engine.other_car.world import World

STEP_s = 1e-3
DROOP_STOP = 6.0e5  # N/m, rubber
DROOP_DAMPING = 900.0
END_STOP = 8.0e5
STOP_DAMPING = 5000.0  # rubber gives back less than it takes
BELLY = 3.0e5
BELLY_DAMPING = 4000.0
BELLY_AT_m = (1.5, 0.2, -1.1)
_POWER_W = 255e3
_RATIOS = np.array([5.5, 3.52, 2.2, 1.72, 1.317, 1.0, 0.823, 0.64]) * 4.1
_UP_ms = np.array([6.0, 10.0, 15.0, 20.0, 27.0, 34.0, 44.0])
_ENGINE_kgm2 = 0.42
_IDLE_rads = 75.0
_LIMIT_rads = 650.0

# What is kept of each step, by column; wheels take four columns.
COLUMNS = (
    "fx", "fy", "fz", "roll", "roll_rate", "pitch", "pitch_rate", "yaw_rate",
    "damper", "wheel", "tyres", "other", "speed", "engine", "pedal", "torque", "at",
)  # fmt: skip


def within(values: Column, low: Column | float, high: Column | float) -> Column:
    """Return values held between two ends: np.clip without its overhead."""
    return np.minimum(np.maximum(values, low), high)


def spring_force(cars: Cars, c: Column) -> Column:
    """Return the force of springs and stops that pushes body and wheel apart, [4, n]."""
    share = np.maximum(c, 0.0) / cars.end_m
    force = cars.preload_N + cars.spring * c * (1 + cars.rising * (share * share - 0.16))
    into = np.maximum(c - cars.bump_from_m, 0.0)
    force += cars.bump_stop * into * into + END_STOP * np.maximum(c - cars.end_m, 0.0)
    return force + DROOP_STOP * np.minimum(c, 0.0)


def tyre_force(cars: Cars, deep: Column, speed_in: Column) -> Column:
    """Return what tyres push with that are pressed in `deep`, [4, n]; they never pull."""
    force = np.maximum(cars.tyre * deep + cars.tyre_damping * speed_in, 0.0)
    return force * (deep > 0)


def damper_force(cars: Cars, vc: Column) -> Column:
    """Return the digressive damper's force against a compression speed, [4, n].

    Below the knee it is stiffer, beyond it softer; what the profile says holds at one speed.
    """
    knee, after = cars.knee_ms, cars.after_knee
    speed = np.abs(vc)
    inner = np.minimum(speed, knee)
    curve = inner + after * (speed - inner)
    norm = cars.rated_ms / (knee + after * (cars.rated_ms - knee))
    return np.where(vc > 0, cars.bump, cars.rebound) * np.sign(vc) * curve * norm


def friction_force(cars: Cars, vc: Column) -> Column:
    """Return the friction of seals and joints: more at the start of a movement, [4, n]."""
    slow = vc * (1 / 0.03)
    more = 1 + 0.4 / (1 + slow * slow)
    return cars.friction_N * more * within(vc * (1 / 0.006), -1.0, 1.0)


def settle(cars: Cars, ground: Column) -> tuple[tuple[Column, Column, Column], Column]:
    """Return ((z, pitch, roll), wheel heights) of cars at rest on ground heights [4, n]."""
    n = ground.shape[1]
    z, vz = ground.mean(axis=0) - 0.1, np.zeros(n)
    zu, vu = ground - 0.02, np.zeros_like(ground)
    zb, th, ph, vth, vph = z, np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    x, y = _places(cars)
    for _ in range(4000):
        c = zu - (zb - x * th + y * ph)
        vc = vu - (vz - x * vth + y * vph)
        force = spring_force(cars, c) + 3 * cars.bump * vc
        tyre = np.maximum(cars.tyre * (ground - zu) - 3e3 * vu, 0.0)
        vz = vz + STEP_s * (force.sum(0) / cars.sprung_kg - G_ms2)
        vth = vth + STEP_s * (-x * force).sum(0) / cars.pitch_kgm2
        vph = vph + STEP_s * (y * force).sum(0) / cars.roll_kgm2
        vu = vu + STEP_s * ((tyre - force) / cars.unsprung_kg - G_ms2)
        zb, th, ph = zb + STEP_s * vz, th + STEP_s * vth, ph + STEP_s * vph
        zu = zu + STEP_s * vu
    return (zb, th, ph), zu


def _places(cars):
    x = np.stack([cars.front_m, cars.front_m, -cars.rear_m, -cars.rear_m])
    y = np.stack([cars.half_track_m, -cars.half_track_m] * 2)
    return x, y


def simulate(
    cars: Cars, world: "World", seconds: float, speed0: list[float] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Return {column: array [steps, (4,) n]} of float32, one row per millisecond.

    world  a world.World of as many cars
    """
    n = len(cars.sprung_kg)
    steps = round(seconds / STEP_s)
    kept = {
        name: np.zeros((steps, 4, n) if name in ("damper", "wheel") else (steps, n), np.float32)
        for name in COLUMNS
    }
    x, y = _places(cars)
    s = np.zeros(n) + world.start_m
    v = np.zeros(n) if speed0 is None else np.array(speed0, float)
    height, _ = world.ground(s + x, 0)
    (z, th, ph), zu = settle(cars, height + world.lift(0, x, y))
    vz, vth, vph = np.zeros(n), np.zeros(n), np.zeros(n)
    vu = np.zeros((4, n))
    turn = np.repeat((v / cars.radius_m)[None], 4, 0)
    total_kg = cars.sprung_kg + cars.unsprung_kg.sum(0)
    weight = total_kg * G_ms2
    load = weight / 4 * np.ones((4, n))
    yaw, lat, drive = np.zeros(n), np.zeros(n), np.zeros(n)
    air_s = np.zeros(n)
    share = np.array([0.225, 0.225, 0.275, 0.275])[:, None]
    heave_old = world.lift(0, x, y)
    for k in range(steps):
        # the driver, every 10 ms
        if k % 10 == 0:
            carried = load.sum(0) > 0.02 * weight
            air_s = np.where(carried, 0.0, air_s + 0.01)
            want = world.speed_plan(s)
            accel = within(1.2 * (want - v), -6.0, 4.5)
            force = total_kg * accel + 0.6 * cars.drag_m2 * v * v
            force = np.minimum(force, np.minimum(_POWER_W / np.maximum(v, 4.0), 22e3))
            aware = air_s > cars.reaction_s
            force = np.where(aware, np.maximum(force, 0.0) * cars.air_pedal, force)
            force = np.where(aware & (cars.air_brake > 0), -6e3, force)
            gear = (v[:, None] > _UP_ms).sum(1)
            ratio = _RATIOS[gear]
            spinning = within(turn.mean(0) * ratio, _IDLE_rads, _LIMIT_rads + 50)
            force = np.where(spinning > _LIMIT_rads, np.minimum(force, 0.0), force)
            force = np.where(world.parked, 0.0, force) + world.idle_turn(k * STEP_s, turn, cars)
            most = np.minimum(_POWER_W / np.maximum(v, 8.0), 22e3)
            pedal = within(force / most, 0.0, 1.0)
            inertia = cars.wheel_kgm2 + 0.25 * _ENGINE_kgm2 * ratio**2 * (ratio < 15)
            want_yaw = world.yaw_plan(s, v)
        drive += (force - drive) * 0.012
        # ground, tyres
        height, slope = world.ground(s + x, k)
        heave = world.lift(k, x, y)
        deep = height + heave - zu
        speed_in = slope * v + (heave - heave_old) * (1 / STEP_s) - vu
        heave_old = heave
        load = tyre_force(cars, deep, speed_in)
        # struts
        c = zu - (z - x * th + y * ph)
        vc = vu - (vz - x * vth + y * vph)
        strut = spring_force(cars, c) + damper_force(cars, vc) + friction_force(cars, vc)
        strut += np.where(c < 0, DROOP_DAMPING * vc, 0.0)
        strut += np.where((c > cars.bump_from_m) & (vc > 0), STOP_DAMPING * vc, 0.0)
        bar = 0.5 * cars.roll_bar * (c - c[[1, 0, 3, 2]])
        strut += bar
        # belly and what else holds the car
        b_up, b_pitch, b_total = _belly(cars, world, s, v, z, th, vz, vth, k)
        h_up, h_pitch, h_roll, h_total = world.held(k, s, z, th, ph, vz, vth, vph)
        # turning wheels
        rim = turn * cars.radius_m
        base = np.maximum(np.maximum(np.abs(rim), np.abs(v)), 3.0)
        slip = (rim - v) / (base * cars.slip_peak)
        grip = np.tanh(slip)
        push = cars.grip * load * grip
        stiff = cars.grip * load * (1 - grip * grip) * cars.radius_m / (base * cars.slip_peak)
        torque = drive * share * cars.radius_m * world.driven
        brake = torque < 0
        torque = np.where(brake, torque * within(turn * 2, 0, 1), torque)
        even = cars.coupling * (turn.mean(0) - turn)
        rate = torque + even - push * cars.radius_m - 0.012 * load * cars.radius_m * (turn > 0.1)
        rate /= inertia + STEP_s * stiff * cars.radius_m
        turn = np.maximum(turn + STEP_s * rate, 0.0)
        turn = np.where(world.locked, 0.0, turn)
        push = push + STEP_s * stiff * rate
        # along and across
        along = (push - load * slope).sum(0) + drive * (1 - world.driven) + world.water_drag(s, v)
        fx = (along - 0.6 * cars.drag_m2 * v * v - b_total * 0.4 * np.sign(v)) / total_kg
        v_new = np.where(world.parked, 0.0, np.maximum(v + STEP_s * fx, 0.0))
        fx = (v_new - v) * (1 / STEP_s)
        v = v_new
        on_ground = np.minimum(load.sum(0) / weight, 1.0)
        yaw += (want_yaw - yaw) * 0.004 * on_ground
        lat = within(yaw * v, -0.6 * G_ms2, 0.6 * G_ms2) * on_ground
        # body
        lever = 0.75 * cars.height_m - cars.radius_m
        up = strut.sum(0) + b_up + h_up - world.strap_N
        az = up / cars.sprung_kg - G_ms2
        nose = (-x * strut - lever * push - torque).sum(0) + b_pitch + h_pitch
        side = (y * strut).sum(0) + 0.6 * cars.height_m * total_kg * lat + h_roll
        vz = vz + STEP_s * az
        vth = vth + STEP_s * nose / cars.pitch_kgm2
        vph = vph + STEP_s * side / cars.roll_kgm2
        vu = vu + STEP_s * ((load - strut) / cars.unsprung_kg - G_ms2)
        z, th, ph = z + STEP_s * vz, th + STEP_s * vth, ph + STEP_s * vph
        zu = zu + STEP_s * vu
        s = s + STEP_s * v
        row = (
            fx, lat, az + G_ms2, ph, vph, th, vth, yaw, c, rim, load.sum(0), b_total + h_total,
            v, spinning, pedal, torque.sum(0), s,
        )  # fmt: skip
        for name, value in zip(COLUMNS, row, strict=True):
            kept[name][k] = value
    return kept


def _belly(cars, world, s, v, z, th, vz, vth, k):
    up, pitch, total = 0.0, 0.0, 0.0
    for at in BELLY_AT_m:
        height, slope = world.middle(s + at, k, at)
        deep = height - (z - at * th) - cars.belly_m
        if not (deep > 0).any():
            continue
        fast = slope * v - (vz - at * vth)
        force = np.where(deep > 0, np.maximum(BELLY * deep + BELLY_DAMPING * fast, 0.0), 0.0)
        up, pitch, total = up + force, pitch - at * force, total + force
    zero = np.zeros_like(z)
    return up + zero, pitch + zero, total + zero
