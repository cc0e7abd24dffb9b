"""Small lines of a stage: a signal, or the speed, as a band of few points that crosses no hole.

A band is the lowest and the highest value in each bin of time, cut into runs wherever the log has
a hole, the power was off, or the signal itself was silent. Owns numbers only, no drawing.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from stagelog.report.series import Series, Spans, Times, Values, silences
from stagelog.report.source import Health
from stagelog.report.stage import Stage

BINS = 160


def holes(stage: Stage, health: Health) -> Spans:
    """Return [(start_us, end_us)] of time without data: no power, or a hole of the log."""
    cycles = stage.key_cycles
    spans = [(a.end_us, b.start_us) for a, b in zip(cycles, cycles[1:], strict=False)]
    spans += [
        (start_us, end_us)
        for _, _, start_us, end_us in health.gaps
        if start_us is not None and end_us is not None and end_us > start_us
    ]
    return sorted(spans)


def spark(
    stage: Stage,
    health: Health,
    series: Series,
    limits: Iterable[tuple[float, str]] = (),
    n_bins: int = BINS,
) -> dict[str, Any]:
    """Return {"runs": [[[x, low, high], ...]], "low", "high", "limits"}; x is 0 to 1.

    low, high  of the axis: all values, and every limit
    """
    spans = sorted([*holes(stage, health), *silences(series.t_us)])
    found = runs(stage, series.t_us, series.values, spans, n_bins)
    values = [point[1] for run in found for point in run]
    values += [point[2] for run in found for point in run]
    values += [value for value, _ in limits]
    return {
        "runs": found,
        "low": min(values),
        "high": max(values),
        "limits": [{"y": value, "level": level} for value, level in limits],
    }


def runs(
    stage: Stage, t_us: Times, values: Values, spans: Spans, n_bins: int
) -> list[list[list[float]]]:
    """Return runs of [x, low, high] that no span of `spans` lies between.

    t_us int64[n] ascending, values float64[n] finite. A bin that a span cuts is two points.
    """
    if not len(t_us):
        return []
    whole_us = max(1, stage.end_us - stage.start_us)
    edges_us = stage.start_us + -(-np.arange(1, n_bins) * whole_us // n_bins)  # rounded up
    ends_us = np.array(sorted(end for _, end in spans), np.int64)
    first = np.unique(np.searchsorted(t_us, np.concatenate((edges_us, ends_us))))
    first = np.concatenate(([0], first[(first > 0) & (first < len(t_us))]))
    low, high = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    last = np.append(first[1:], len(t_us)) - 1
    middle = (t_us[first] + t_us[last]) / 2
    x = np.round((middle - stage.start_us) / whole_us, 4)
    points = np.column_stack((x, low, high)).tolist()
    run = np.searchsorted(ends_us, t_us[first], side="right")
    starts = [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(points)]
    return [points[a:b] for a, b in pairwise(starts)]
