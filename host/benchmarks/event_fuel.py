"""Fuel on stages of 483 km: the on-car estimate beside the flow alone and plain level means.

Owns the drive through the firmware's detectors piece by piece, and its error at the end of the
stage in per cent of what was truly burned.
"""

import numpy as np
from event_drives import reduced

from stagelog.car import iter_drive
from stagelog.events import Recomputation, read_events

IDS = (0x80, 0xA0, 0x100, 0x103, 0x140)
TARGET_pct = 2.0
MEANS_s = (10, 60, 300)
LEG_km = 50.0


def score_stage(profile, table, seed, scale=1.0):
    """Return the row of one stage; `worst_pct` is the worst of all kilometres."""
    run = Recomputation(table.data, wants_compiled=False)  # its inside is looked at
    fuel = run.detectors.fuel
    t0_us, levels, way, first, worst_l = 0, [], [], None, 0.0
    for piece in iter_drive("loop_483", seed=seed, profile=profile, scale=scale):
        if not len(piece.frames):
            continue
        t0_us = t0_us or int(piece.frames["t_us"][0])
        run.feed(reduced(piece.frames, IDS, t0_us))
        truth = piece.truth.arrays["fuel_l"]
        first = float(truth[0]) if first is None else first
        last = float(truth[-1])
        km = float(piece.truth.arrays["distance_m"][-1]) / 1e3
        if km > 5.0:
            worst_l = max(worst_l, abs(fuel.volume() / 100 - last))
        levels.append(_levels(piece.frames, profile))
        arrays = piece.truth.arrays
        way.append(np.stack([piece.truth.t_us, arrays["distance_m"] / 1e3, truth])[:, ::20])
    burned, level = first - last, np.concatenate(levels)
    row = {
        "seed": seed,
        "km": km,
        "burned_l": burned,
        "error_pct": 100 * (fuel.volume() / 100 - last) / burned,
        "worst_pct": 100 * worst_l / burned,
        "flow_error_pct": 100 * (fuel.metered_ml / 1000 / burned - 1),
        "flow_alone_pct": 100 * (first - fuel.metered_ml / 1000 - last) / burned,
        "flow_scale": fuel.scale / 1e6,
    }
    for seconds in MEANS_s:
        mean = float(level[-20 * seconds :].mean())
        row[f"level_{seconds}s_pct"] = 100 * (mean - last) / burned
    kept = _ranges_kept(read_events(run.events), profile, np.concatenate(way, axis=1))
    return row | dict(zip(("ranges", "p50_kept_pct", "p10_kept_pct"), kept, strict=True))


def _ranges_kept(facts, profile, way):
    """Return (n, share in % of ranges that were not too long by the median, by the P10).

    way  float[3, n]: t_us, km, litres truly in the tank; each range is held against what was truly
         burned per km over the next LEG_km
    """
    spare_l = profile.fuel.unusable_l + profile.fuel_estimate.reserve_l
    t_us, km, litres = way
    kept, volume_l = [], 0.0
    for fact in facts:
        if fact["name"] == "fuel":
            volume_l = fact["volume_l"]
        if fact["name"] != "range":
            continue
        here = np.interp(fact["t_us"], t_us, km)
        if here + LEG_km > km[-1]:
            continue
        burned = -np.diff(np.interp((here, here + LEG_km), km, litres))[0] / LEG_km
        true_km = (volume_l - spare_l) / burned
        kept.append((fact["p50_km"] <= true_km, fact["p10_km"] <= true_km))
    shares = 100 * np.mean(kept, axis=0) if kept else (np.nan, np.nan)
    return len(kept), float(shares[0]), float(shares[1])


def missed(rows):
    """Return what missed the target, as texts."""
    return [
        f"fuel, seed {row['seed']}: {row['error_pct']:.2f} %, target {TARGET_pct:g} %"
        for row in rows
        if abs(row["error_pct"]) > TARGET_pct
    ]


COLUMNS = (  # title, key, digits
    ("seed", "seed", 0),
    ("burned l", "burned_l", 1),
    ("flow meter wrong by %", "flow_error_pct", 2),
    ("**stagelog** %", "error_pct", 2),
    ("its worst on the way %", "worst_pct", 2),
    ("flow alone %", "flow_alone_pct", 2),
    ("range P50 kept %", "p50_kept_pct", 0),
    ("P10 kept %", "p10_kept_pct", 0),
    *((f"level, mean of {s} s %", f"level_{s}s_pct", 2) for s in MEANS_s),
)


def markdown(rows):
    """Return the rows as Markdown; errors are per cent of what was burned."""
    lines = ["| " + " | ".join(c[0] for c in COLUMNS) + " |", "|" + "---:|" * len(COLUMNS)]
    lines += ["| " + " | ".join(f"{r[k]:.{d}f}" for _, k, d in COLUMNS) + " |" for r in rows]
    return "\n".join(lines)


def _levels(frames, profile):
    """Return the tank's volume by the senders alone, litres, at 20 Hz."""
    rows = frames[frames["can_id"] == 0x140]["data"][:, :4].copy().view("<u2") * 0.01
    f = profile.fuel
    a = np.interp(rows[:, 0], f.sender_a_mm, f.sender_volume_l)
    return 0.5 * (a + np.interp(rows[:, 1], f.sender_b_mm, f.sender_volume_l))
