"""A channel as a page can hold it: lowest and highest value per time bin, in levels eight times
apart.

    level 0   bins of `bin_us`; level k bins of bin_us * 8^k, up to the first with at most TOP bins
    a level   low uint16[n], high - low uint16[n]; low as differences; both as planes of low bytes
              and high bytes; deflated; base64
    EMPTY     65535 as low: no sample in the bin

A spike is in every level: bins are merged by minimum and maximum only. Values are cut to 32766
steps between the channel's lowest and highest, rounded outwards, so an envelope is never too
narrow. Owns the numbers; the page's reader is page/report.js.
"""

import base64
import zlib
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.report.series import Mask, Times, Values
from stagelog.report.tables import Facts

Words: TypeAlias = NDArray[np.uint16]

TOP = 2048
FEW = 16384
STEP = 8
EMPTY = 65535
_STEPS = 32766


def build_channel(
    t_us: Times, values: Values, start_us: int, end_us: int, max_bins: int = 65536
) -> Facts:
    """Return the channel as a dict of JSON types: lo, step, bin_us, n, levels [{k, n, data}].

    t_us       int64[n] ascending; values [n], NaN is no sample
    max_bins   of level 0; fewer if the samples come slower
    """
    keep = np.isfinite(values)
    if not keep.all():
        t_us, values = t_us[keep], values[keep]
    n_bins = _bins_for(t_us, start_us, end_us, max_bins)
    bin_us = max(1, -(-(end_us - start_us + 1) // n_bins))
    low, high, present = _envelope(t_us, values, start_us, bin_us, n_bins)
    lo = float(low[present].min()) if present.any() else 0.0
    hi = float(high[present].max()) if present.any() else 0.0
    step = (hi - lo) / _STEPS or 1.0
    steps_low = np.where(present, np.floor((low - lo) / step), EMPTY).astype(np.uint16)
    steps_high = np.where(present, np.ceil((high - lo) / step), 0).astype(np.uint16)
    levels = []
    k = 1
    while True:
        levels.append({"k": k, "n": len(steps_low), "data": _pack(steps_low, steps_high)})
        if len(steps_low) <= TOP:
            return {"lo": lo, "step": step, "bin_us": int(bin_us), "levels": levels}
        steps_low, steps_high = _merge(steps_low, steps_high)
        k *= STEP


def _bins_for(t_us: Times, start_us: int, end_us: int, max_bins: int) -> int:
    """Return how many bins are useful: one a sample if there are few, else four samples a bin.

    At most `max_bins`.
    """
    if len(t_us) < 2:
        return 1
    span = max(1, int(t_us[-1] - t_us[0]))
    wanted = max(len(t_us) / 4, min(len(t_us), FEW)) * (end_us - start_us) / span
    return int(min(max_bins, max(1, wanted)))


def _envelope(
    t_us: Times, values: Values, start_us: int, bin_us: int, n_bins: int
) -> tuple[Values, Values, Mask]:
    """Return (low, high, present) per bin; where nothing is present low and high mean nothing."""
    low = np.zeros(n_bins)
    high = np.zeros(n_bins)
    present = np.zeros(n_bins, bool)
    if len(t_us):
        edges = start_us + bin_us * np.arange(n_bins + 1)
        first = np.searchsorted(t_us, edges)
        present = first[:-1] < first[1:]
        first = first[:-1][present]
        low[present] = np.minimum.reduceat(values, first)
        high[present] = np.maximum.reduceat(values, first)
    return low, high, present


def _merge(low: Any, high: Any) -> tuple[Words, Words]:
    """Return the next coarser level; EMPTY is the highest low, so it gives way to any sample."""
    short = -len(low) % STEP
    low = np.append(low, np.full(short, EMPTY, np.uint16)).reshape(-1, STEP).min(1)
    high = np.append(high, np.zeros(short, np.uint16)).reshape(-1, STEP).max(1)
    return low, high


def _pack(low: Any, high: Any) -> str:
    height = np.where(low == EMPTY, 0, high - low).astype(np.uint16)
    planes = _planes(np.diff(low, prepend=np.uint16(0))) + _planes(height)
    return base64.b64encode(zlib.compress(planes, 6)).decode()


def _planes(words: Words) -> bytes:
    return np.ascontiguousarray(words.view(np.uint8).reshape(-1, 2).T).tobytes()


def unpack_level(level: Facts) -> tuple[Words, Words]:
    """Return (low, high) uint16[n] of one level, as the page's reader does."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(level["data"])), np.uint8)
    n = level["n"]
    words = raw.reshape(2, 2, n).astype(np.uint16)
    low = np.cumsum(words[0, 0] | words[0, 1] << 8, dtype=np.uint16)
    return low, low + (words[1, 0] | words[1, 1] << 8)
