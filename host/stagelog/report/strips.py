"""Strip charts as a picture: one strip per group of signals, over one time axis.

Owns the picture only. A strip never hides a spike: where samples are denser than pixels, the
lowest and the highest of each pixel are drawn. Fails with OutputError when the file can't be
written.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stagelog.errors import OutputError
from stagelog.extras import need
from stagelog.platform.files import write_atomic
from stagelog.report.series import Times, Values

PIXELS = 1600
LIMIT_COLOUR = "#a3001d"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")


@dataclass(frozen=True, slots=True)
class Trace:
    """One signal: t_us int64[n] ascending, values float64[n] in `unit`."""

    name: str
    unit: str
    t_us: np.ndarray
    values: np.ndarray


def envelope(
    t_us: Times, values: Values, start_us: int, end_us: int, n_bins: int = PIXELS
) -> tuple[Times, Values]:
    """Return (t_us, values) with at most 2 points a bin, its lowest and its highest in time order.

    Shapes   t_us int64[n] ascending, values [n]; result at most 2 * n_bins long.
    """
    if len(t_us) <= 2 * n_bins:
        return t_us, values
    edges = np.linspace(start_us, end_us, n_bins + 1)
    first = np.unique(np.searchsorted(t_us, edges[:-1]))
    first = first[first < len(t_us)]
    keep = np.empty((len(first), 2), np.int64)
    low = np.minimum.reduceat(values, first)
    high = np.maximum.reduceat(values, first)
    ends = np.append(first[1:], len(values))
    group = np.repeat(np.arange(len(first)), ends - first)
    inside = np.arange(first[0], len(values))
    for column, extreme in enumerate((low, high)):
        hits = np.flatnonzero(values[first[0] :] == extreme[group])
        rows, at = np.unique(group[hits], return_index=True)
        keep[rows, column] = inside[hits[at]]
    rows = np.unique(np.sort(keep, axis=1).ravel())
    return t_us[rows], values[rows]


def save_strips(
    path: str | Path,
    strips: Any,
    title: str = "",
    limit: float | None = None,
    marks: Sequence[tuple[int, str]] = (),
) -> None:
    """Draw `strips` (lists of Trace with one unit each) into an image file; its suffix is the
    format. Traces of one name are parts of one line.

    limit  a value to draw across each strip
    marks  (t_us, text) of moments to draw through all strips
    """
    need("matplotlib", "report")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    strips = [strip for strip in strips if strip]
    figure = Figure(figsize=(16, 1.2 + 1.9 * len(strips)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(strips), 1, sharex=True, squeeze=False)[:, 0]
    start_us = min(int(trace.t_us[0]) for strip in strips for trace in strip)
    end_us = max(int(trace.t_us[-1]) for strip in strips for trace in strip)
    for axis, strip in zip(axes, strips, strict=True):
        names = list(dict.fromkeys(trace.name for trace in strip))
        for number, trace in enumerate(strip):
            t_us, values = envelope(trace.t_us, trace.values, start_us, end_us)
            colour = COLOURS[names.index(trace.name) % len(COLOURS)]
            is_first = trace.name not in (each.name for each in strip[:number])
            label = trace.name if is_first else None
            axis.plot((t_us - start_us) / 1e6, values, color=colour, lw=0.9, label=label)
        if limit is not None:
            axis.axhline(limit, color=LIMIT_COLOUR, lw=1.2, ls="--")
        for at_us, _ in marks:
            axis.axvline((at_us - start_us) / 1e6, color="0.5", lw=0.8)
        axis.set_ylabel(strip[0].unit)
        axis.legend(loc="upper left", ncols=len(names), fontsize="small", frameon=False)
        axis.grid(alpha=0.3)
        axis.margins(x=0)
    for at_us, text in marks:
        place = ((at_us - start_us) / 1e6, 1.0)
        axes[0].annotate(
            text, place, (2, 2), xycoords=("data", "axes fraction"), textcoords="offset points"
        )
    axes[0].set_title(title, loc="left", pad=20 if marks else None)
    axes[-1].set_xlabel("s")
    picture = io.BytesIO()
    try:
        figure.savefig(picture, dpi=100, format=os.path.splitext(path)[1].lstrip(".") or "png")
    except ValueError as error:
        raise OutputError(f"cannot write {path}: {error}", "choose .png, .svg or .pdf") from None
    write_atomic(path, picture.getvalue())
