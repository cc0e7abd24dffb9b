"""Small lines of a stage: a signal, or the speed, as a band of few points that crosses no hole.

A band is the lowest and the highest value in each bin of time, cut into runs wherever the log has
a hole, the power was off, or the signal itself was silent. Owns numbers only, no drawing.
"""

import numpy as np

BINS = 160
_SILENT_US = 2_000_000


def holes(stage, health):
    """Return [(start_us, end_us)] of time without data: no power, or a hole of the log."""
    cycles = stage.key_cycles
    spans = [(a.end_us, b.start_us) for a, b in zip(cycles, cycles[1:], strict=False)]
    spans += [
        (start_us, end_us)
        for _, _, start_us, end_us in health.gaps
        if None not in (start_us, end_us) and end_us > start_us
    ]
    return sorted(spans)


def silences(series):
    """Return [(start_us, end_us)] between two samples farther apart than the signal's usual step.

    Two seconds at least, or five times the usual step.
    """
    steps_us = np.diff(series.t_us)
    if not len(steps_us):
        return []
    long = np.flatnonzero(steps_us > max(_SILENT_US, 5 * float(np.median(steps_us))))
    return [(int(series.t_us[i]), int(series.t_us[i + 1])) for i in long]


def spark(stage, health, series, limits=(), n_bins=BINS):
    """Return {"runs": [[[x, low, high], ...]], "low", "high", "limits"}; x is 0 to 1.

    low, high  of the axis: all values, and every limit
    """
    spans = sorted([*holes(stage, health), *silences(series)])
    values = [float(series.values.min()), float(series.values.max())]
    values += [value for value, _ in limits]
    return {
        "runs": runs(stage, series.t_us, series.values, spans, n_bins),
        "low": min(values),
        "high": max(values),
        "limits": [{"y": value, "level": level} for value, level in limits],
    }


def runs(stage, t_us, values, spans, n_bins):
    """Return runs of [x, low, high] that no span of `spans` lies between.

    t_us int64[n] ascending, values float64[n] finite. A bin that a span cuts is two points.
    """
    if not len(t_us):
        return []
    whole_us = max(1, stage.end_us - stage.start_us)
    bins = np.minimum((t_us - stage.start_us) * n_bins // whole_us, n_bins - 1)
    ends = np.array([end for _, end in spans], np.int64)
    run = np.searchsorted(np.sort(ends), t_us, side="right")
    first = np.flatnonzero((np.diff(bins, prepend=-1) != 0) | (np.diff(run, prepend=-1) != 0))
    low, high = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    last = np.append(first[1:], len(t_us)) - 1
    middle = (t_us[first] + t_us[last]) / 2
    x = (middle - stage.start_us) / whole_us
    found = {}
    for key, at, a, b in zip(run[first].tolist(), x, low, high, strict=True):
        found.setdefault(key, []).append([round(float(at), 4), float(a), float(b)])
    return list(found.values())
