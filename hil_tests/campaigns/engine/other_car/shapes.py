"""The shapes of the ground, one function a kind: it changes a flat Ground.

Heights in m; steepness and lengths are this author's own, drawn anew for every drive.
"""

import functools

import numpy as np

from campaigns.engine.other_car.ground import DRIVE_s, GRID_m, Ground, LENGTH_m

RUN_IN_m = 60.0


def _rough(rng, ground, size, longest_m=25.0, alone=0.5):
    """Add a random surface: amplitude falls with the wave length, `size` is its rms in m."""
    n = len(ground.left)
    f = np.fft.rfftfreq(n, GRID_m)
    with np.errstate(divide="ignore"):
        gain = np.where((f > 1 / longest_m) & (f < 3.0), f**-1.1, 0.0)

    def wave():
        noise = rng.normal(size=len(f)) + 1j * rng.normal(size=len(f))
        out = np.fft.irfft(noise * gain, n)
        return out / out.std()

    both = wave()
    ground.left += size * ((1 - alone) * both + alone * wave())
    ground.right += size * ((1 - alone) * both + alone * wave())


def _smooth(heights, length_m):
    """Return heights rounded over a length: twice a moving mean."""
    n = max(1, round(0.5 * length_m / GRID_m))
    kernel = np.ones(n) / n
    full = np.convolve(np.convolve(heights, kernel), kernel)
    cut = n - 1
    return full[cut : cut + len(heights)]


def _line(points):
    """Return heights along straight lines between (m, height m), and the length in cells."""
    xs, hs = zip(*points, strict=True)
    return np.interp(np.arange(0, xs[-1], GRID_m), xs, hs)


def _features(ground, rng, make, gap_m, speed_ms):
    """Set make(rng, v) -> (heights or (left, right), soft m) one after another, with gaps."""
    at = RUN_IN_m + rng.uniform(0, 20)
    while at < LENGTH_m - 150:
        v = rng.uniform(*speed_ms)
        shape, soft = make(rng, v)
        pair = shape if isinstance(shape, tuple) else (shape, shape)
        n = len(pair[0])
        first = round(at / GRID_m)
        pad = round(3 / GRID_m)
        for lane, heights in zip((ground.left, ground.right), pair, strict=True):
            padded = np.pad(heights, pad)
            lane[first : first + len(padded)] += _smooth(padded, soft)
        end_m = at + n * GRID_m
        ground.speed_ms[max(0, int(at - 50)) : int(end_m) + 20] = v
        at = end_m + rng.uniform(*gap_m)


def table_top(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.004, 0.02))

    def make(rng, v):
        height = rng.uniform(0.3, 1.6)
        up, down = rng.uniform(0.06, 0.22), rng.uniform(0.12, 0.40)
        flat = rng.uniform(2, 14)
        x1 = height / up
        x2 = x1 + flat
        end = x2 + height / down
        return _line([(0, 0), (x1, height), (x2, height), (end, 0), (end + 2, 0)]), (
            rng.uniform(0.5, 3.0)
        )

    _features(ground, rng, make, (35, 80), (10, 27))


def kicker(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.004, 0.02))

    def make(rng, v):
        slope, height = rng.uniform(0.05, 0.20), rng.uniform(0.2, 1.1)
        x = height / slope
        lip = [(0, 0), (0.5 * x, 0.4 * height), (x, height), (x + rng.uniform(0.4, 4), 0)]
        return _line([*lip, (lip[-1][0] + 2, 0)]), 0.6

    _features(ground, rng, make, (40, 90), (9, 28))


def drop_off(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.004, 0.02))

    def make(rng, v):
        height, climb = rng.uniform(0.2, 1.8), rng.uniform(30, 55)
        fall = rng.uniform(0.3, 2.0)
        flat = rng.uniform(8, 20)
        x = climb + flat
        return _line([(0, 0), (climb, height), (x, height), (x + fall, 0), (x + fall + 2, 0)]), (
            rng.uniform(0.2, 0.8)
        )

    _features(ground, rng, make, (30, 60), (8, 24))


def dune_lip(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.004, 0.015))

    def make(rng, v):
        height, slope = rng.uniform(1.0, 3.5), rng.uniform(0.10, 0.22)
        x = height / slope
        face = height / rng.uniform(0.4, 0.62)
        run = [(0, 0), (0.3 * x, 0.2 * height), (x, height), (x + face, 0), (x + face + 2, 0)]
        return _line(run), rng.uniform(0.8, 3.0)

    _features(ground, rng, make, (35, 70), (9, 20))


def ridges(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.005, 0.02))

    def make(rng, v):
        length = rng.uniform(3, 9)
        height = length * rng.uniform(0.02, 0.055)
        wave = height * np.sin(np.pi * np.arange(0, length, GRID_m) / length) ** 2
        return wave, 0.3

    _features(ground, rng, make, (25, 60), (14, 28))


def camel_grass(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.01, 0.025))
    ground.speed_ms[:] = 12.0
    at = RUN_IN_m
    while at < LENGTH_m - 60:
        length, height = rng.uniform(1.2, 3.5), rng.uniform(0.08, 0.38)
        wave = height * np.sin(np.pi * np.arange(0, length, GRID_m) / length) ** 2
        first = round(at / GRID_m)
        which = rng.uniform()
        if which < 0.7:
            ground.left[first : first + len(wave)] += wave
        if which > 0.3:
            ground.right[first : first + len(wave)] += wave * rng.uniform(0.6, 1.2)
        at += rng.uniform(3.0, 14.0)
    metre = 0
    while metre < LENGTH_m:
        span = int(rng.uniform(40, 120))
        ground.speed_ms[metre : metre + span] = rng.uniform(8, 19)
        metre += span


def whoops(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.004, 0.02))

    def make(rng, v):
        length, count = rng.uniform(7, 18), rng.integers(3, 9)
        height = length * rng.uniform(0.02, 0.05)
        u = np.arange(0, length * count, GRID_m)
        return 0.5 * height * (1 - np.cos(2 * np.pi * u / length)), 0.2

    _features(ground, rng, make, (35, 70), (9, 24))


def _crest(rng, v, left_g=(0.3, 0.6)):
    """Return a crest that leaves so many g at speed v for 0.4 to 1.3 s: no flight."""
    bend = (1 - rng.uniform(*left_g)) * 9.81 / v**2
    top = v * rng.uniform(0.4, 1.3)
    foot = top * rng.uniform(0.9, 1.5)
    ease = 0.22 * v  # the curvature begins over so much way
    rise = 0.5 * bend * top / foot
    points = [(0, 0), (ease, rise), (foot - ease, rise), (foot, 0)]
    points += [(foot + ease, -bend), (foot + top - ease, -bend), (foot + top, 0)]
    points += [(foot + top + ease, rise), (2 * foot + top - ease, rise), (2 * foot + top, 0)]
    curve = _line(points)
    half = round((foot + top / 2) / GRID_m)
    for part in (slice(0, half), slice(half, None)):
        positive = np.maximum(curve[part], 0).sum()
        negative = -np.minimum(curve[part], 0).sum()
        if positive:
            curve[part] = np.where(curve[part] > 0, curve[part] * negative / positive, curve[part])
    slope = np.cumsum(curve) * GRID_m
    height = np.cumsum(slope) * GRID_m
    return height - np.linspace(0, height[-1], len(height)), 0.3


def crest_smooth(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.001, 0.006))
    _features(ground, rng, _crest, (30, 60), (18, 33))


def crest_rough(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.006, 0.016), longest_m=12)
    _features(ground, rng, _crest, (30, 60), (18, 33))


def crest_light(ground: Ground, rng: np.random.Generator) -> None:
    """As light as can be without flying: the wheels still carry, the body hardly knows."""
    _rough(rng, ground, rng.uniform(0.003, 0.012), longest_m=12)
    crest = functools.partial(_crest, left_g=(0.1, 0.3))
    _features(ground, rng, crest, (30, 60), (18, 33))


def rollers(ground: Ground, rng: np.random.Generator) -> None:
    """Long waves that leave 0.05 to 0.35 g at their tops: the lightest wheels that still roll."""
    _rough(rng, ground, rng.uniform(0.003, 0.012), longest_m=12)

    def make(rng, v):
        period_s, left_g = rng.uniform(1.0, 2.8), rng.uniform(0.05, 0.35)
        length = period_s * v
        n_tops = rng.integers(1, 1 + int(140 / length))
        phase = 2 * np.pi * np.arange(0, n_tops * length, GRID_m) / length
        height = (1 - left_g) * 9.81 * (period_s / (2 * np.pi)) ** 2
        return height * (1 - np.cos(phase)), 0.3

    _features(ground, rng, make, (30, 60), (12, 30))


def see_saw(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.003, 0.012))

    def make(rng, v):
        height, up, down = rng.uniform(0.5, 1.6), rng.uniform(0.2, 0.38), rng.uniform(0.2, 0.45)
        x = height / up
        return _line([(0, 0), (x, height), (x + height / down, 0), (x + height / down + 1, 0)]), (
            rng.uniform(0.4, 1.5)
        )

    _features(ground, rng, make, (20, 45), (4.4, 7.5))


def kerbs(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.002, 0.008))

    def make(rng, v):
        height, length = rng.uniform(0.06, 0.17), rng.uniform(0.6, 8)
        shape = _line(
            [(0, 0), (0.1, height), (length, height), (length + 0.1, 0), (length + 1, 0)]
        )
        flat = np.zeros_like(shape)
        which = rng.uniform()
        return (shape if which < 0.75 else flat, shape if which > 0.25 else flat), 0.1

    _features(ground, rng, make, (8, 40), (6, 20))


def washboard(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.002, 0.008))
    ground.speed_ms[:] = rng.uniform(10, 26)
    u = np.arange(len(ground.left)) * GRID_m
    length, height = rng.uniform(0.6, 1.4), rng.uniform(0.012, 0.04)
    on = np.convolve(
        np.sin(2 * np.pi * u / rng.uniform(150, 400)) > -0.3, np.ones(60) / 60, "same"
    )
    ground.left += 0.5 * height * on * np.cos(2 * np.pi * u / length)
    ground.right += 0.5 * height * on * np.cos(2 * np.pi * u / length + rng.uniform(-1, 1))


def one_side_up(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.003, 0.012))

    def make(rng, v):
        height, rise, hold = rng.uniform(0.25, 0.65), rng.uniform(1.5, 4), rng.uniform(2, 9)
        shape = _line(
            [(0, 0), (rise, height), (rise + hold, height), (2 * rise + hold, 0),
             (2 * rise + hold + 1, 0)]
        )  # fmt: skip
        flat = np.zeros_like(shape)
        return (shape, flat) if rng.uniform() < 0.5 else (flat, shape), rng.uniform(0.4, 1.5)

    _features(ground, rng, make, (20, 45), (5, 13))


def rocks(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.02, 0.035), longest_m=8, alone=0.85)
    ground.speed_ms[:] = 8
    metre = 0
    while metre < LENGTH_m:
        span = int(rng.uniform(30, 90))
        ground.speed_ms[metre : metre + span] = rng.uniform(4.5, 10)
        metre += span


def wading(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.006, 0.015))
    ground.water_m = np.zeros(round(LENGTH_m))
    at = RUN_IN_m
    while at < LENGTH_m - 100:
        span, deep = rng.uniform(15, 60), rng.uniform(0.4, 1.0)
        bed = _smooth(np.pad(np.full(round(span / GRID_m), -deep), 100), 6)
        first = round(at / GRID_m) - 100
        ground.left[first : first + len(bed)] += bed
        ground.right[first : first + len(bed)] += bed
        ground.water_m[int(at) - 4 : int(at + span) + 4] = deep
        ground.speed_ms[int(at - 40) : int(at + span)] = rng.uniform(4, 9)
        at += span + rng.uniform(40, 90)


def ferry(ground: Ground, rng: np.random.Generator) -> None:
    ground.parked, ground.locked = True, True
    sway = rng.uniform(0.2, 1.2), rng.uniform(0.08, 0.2)
    tilt = rng.uniform(0.01, 0.06, 2), rng.uniform(0.07, 0.15, 2)
    ground.deck = (*sway, tilt[0][0], tilt[1][0], tilt[0][1], tilt[1][1], 0)


def trailer(ground: Ground, rng: np.random.Generator) -> None:
    ground.parked, ground.locked = True, True
    ground.strap_N = rng.uniform(5e3, 2.5e4)
    ground.deck = (
        rng.uniform(0.01, 0.05), rng.uniform(1.2, 2.2), rng.uniform(0.004, 0.02),
        rng.uniform(1.0, 2.0), rng.uniform(0.004, 0.02), rng.uniform(0.8, 1.5),
        rng.uniform(10, 40),
    )  # fmt: skip


def _lifts(rng, high_m, sudden):
    """Return [(s, lift m)]: up, held, down, now and then let go for the last centimetres."""
    points, t = [(0.0, -1.0)], rng.uniform(3, 8)
    while t < DRIVE_s - 12:
        up, hold, down = rng.uniform(2, 6), rng.uniform(3, 10), rng.uniform(0.8, 5)
        points += [(t, -0.4), (t + up, high_m), (t + up + hold, high_m)]
        t += up + hold
        if rng.uniform() < sudden:
            points += [(t + down, 0.12), (t + down + 0.02, -0.4)]
        else:
            points.append((t + down, -0.4))
        t += down + rng.uniform(2, 8)
    return points


def crane(ground: Ground, rng: np.random.Generator) -> None:
    ground.parked, ground.locked = True, bool(rng.uniform() < 0.5)
    points = _lifts(rng, rng.uniform(0.6, 1.5), 0.3)
    ground.hold = [(1.3, points), (-1.3, points)]


def jack_spin(ground: Ground, rng: np.random.Generator) -> None:
    ground.parked = True
    points = _lifts(rng, rng.uniform(0.45, 0.7), 0.1)
    ground.hold = [(1.2, points), (-1.2, points)]
    for a, b in zip(points[2::4], points[3::4], strict=False):
        ground.spin.append((a[0] + 0.3, b[0] - 0.3, rng.uniform(3, 20)))


def tow(ground: Ground, rng: np.random.Generator) -> None:
    _rough(rng, ground, rng.uniform(0.008, 0.03))
    ground.towed = True
    ground.speed_ms[:] = rng.uniform(6, 17)
    if rng.uniform() < 0.5:  # by its front, lifted
        ground.hold = [(1.9, [(0.0, 0.35), (DRIVE_s, 0.35)])]
