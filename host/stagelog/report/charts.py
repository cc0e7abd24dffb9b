"""The charts of a report: channels over time or over distance, as pyramids the page can zoom."""

import numpy as np

from .pyramid import build_channel

MAX_BINS = 65536
KM_STEP = 0.01


def chart_over_time(chart_id, title, series, stage, marks=(), height=170):
    """Return a chart of Series with one unit over the seconds of a stage.

    marks  [{"x": seconds, "level": "bad"|"warn"|"good"|"info"}] drawn as vertical lines
    """
    channels = []
    for one in series:
        channel = build_channel(one.t_us, one.values, stage.start_us, stage.end_us, MAX_BINS)
        channel["bin"] = channel.pop("bin_us") / 1e6
        channels.append({"name": one.name, **channel})
    return {
        "id": chart_id,
        "title": title,
        "unit": series[0].unit,
        "x_unit": "s",
        "x0": 0.0,
        "x1": (stage.end_us - stage.start_us) / 1e6,
        "height": height,
        "marks": list(marks),
        "channels": channels,
    }


def chart_over_km(chart_id, title, unit, curves, height=170):
    """Return a chart over distance: `curves` are (name, km float64[n] rising, values float64[n]).

    Cars are laid over each other by distance; a car that stands still keeps the range it saw.
    """
    end_km = max(float(km[-1]) for _, km, _ in curves)
    steps = max(1, int(end_km / KM_STEP))
    channels = []
    for name, km, values in curves:
        at = np.minimum((km / KM_STEP).astype(np.int64), steps)
        channel = build_channel(at, values, 0, steps, MAX_BINS)
        channel["bin"] = channel.pop("bin_us") * KM_STEP
        channels.append({"name": name, **channel})
    return {
        "id": chart_id,
        "title": title,
        "unit": unit,
        "x_unit": "km",
        "x0": 0.0,
        "x1": end_km,
        "height": height,
        "marks": [],
        "channels": channels,
    }
