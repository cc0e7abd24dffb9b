"""The fuel detector's days, scored: ranges against continuations, litres against the truth."""

from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial

import numpy as np

from campaigns.engine.intervals import wilson
from campaigns.engine.other_tank.day import Day, Drive, IDLE_ml_km
from campaigns.engine.other_tank.way import KINDS
from stagelog.events.detector_rows import fuel
from stagelog.profile import load_profile

WORDS = 1  # of a day that is continued: one, so that all are independent
LEAST_l = 30.0  # to spare, or the range is not asked for
LEAST_km = 15
DAY_km = (60, 480)


@cache
def _car():
    profile = load_profile()
    return profile, [value for (value,) in fuel(profile)]


def judge(
    kind: str, seed: int, entered: bool = False
) -> tuple[Day, list[tuple[float, float, float]]]:
    """Return a day and [(P50, P10, true range)] of its continuations, km.

    entered  as in Drive
    """
    profile, rows = _car()
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind), 7])
    day = Drive(profile, rows, kind, seed, int(rng.integers(*DAY_km)), entered).run()
    spare_l = profile.fuel.unusable_l + profile.fuel_estimate.reserve_l
    asked = [w for w in day.words if w.km >= LEAST_km and w.volume_l > spare_l + LEAST_l]
    chosen = rng.permutation(len(asked))[:WORDS]
    found = []
    for i in chosen:
        word = asked[i]
        true_km = word.way.continued(rng).range_km(word.volume_l - spare_l, IDLE_ml_km)
        found.append((word.p50_km, word.p10_km, true_km))
    day.words.clear()
    return day, found


def judge_all(
    kinds: tuple[str, ...], n_days: int, first: int, jobs: int, entered: bool = False
) -> dict[str, list]:
    """Return {kind: [judge(kind, seed, entered)]}."""
    out = {}
    with ProcessPoolExecutor(jobs) as pool:
        for kind in kinds:
            seeds = range(first, first + n_days)
            out[kind] = list(pool.map(partial(judge, kind, entered=entered), seeds))
    return out


def row(judged: list) -> dict:
    """Return the figures of days; intervals are those of 95 %."""
    days = [day for day, _ in judged]
    words = np.array([w for _, found in judged for w in found]).reshape(-1, 3)
    true = words[:, 2]
    out = {"days": len(days), "km": sum(d.km for d in days), "continuations": len(words)}
    for name, told in (("p50", words[:, 0]), ("p10", words[:, 1])):
        hits = int((told <= true).sum())
        out[f"{name}_kept_pct"] = round(100 * hits / max(len(words), 1), 1)
        out[f"{name}_interval_pct"] = [round(x, 1) for x in wilson(hits, len(words))]
        out[f"{name}_by_true"] = round(float(np.median(told / true)), 3)
    burned = np.array([d.burned_l for d in days])
    scale = np.array([d.scale / d.true_scale - 1 for d in days])
    ours = {
        "used": np.array([d.used_l for d in days]) - burned,
        "left": np.array([d.left_l - d.volume_l for d in days]),
        "refuelled": np.array([d.found_l - d.added_l for d in days]),
        "used_flow": np.array([d.metered_l for d in days]) - burned,
        "used_level": np.array([d.level_used_l for d in days]) - burned,
    }
    for name, errors in ours.items():
        out[f"{name}_median_l"] = round(float(np.median(np.abs(errors))), 2)
        out[f"{name}_p95_l"] = round(float(np.percentile(np.abs(errors), 95)), 2)
    flow = np.array([1 / d.true_scale - 1 for d in days])
    for name, errors in (("scale", scale), ("flow_scale", flow)):
        out[f"{name}_median_pct"] = round(100 * float(np.median(np.abs(errors))), 2)
        out[f"{name}_p95_pct"] = round(100 * float(np.percentile(np.abs(errors), 95)), 2)
    return out
