"""Physical values of raw ones, for texts: exact where a float64 has too few bits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Signal

_FLOAT64_BITS = 53


def physical(raw: NDArray[Any], signal: Signal) -> NDArray[np.float64] | Sequence[int]:
    """Return raw * scale + offset: float64, or Python's integers where only these are exact."""
    is_whole = float(signal.scale).is_integer() and float(signal.offset).is_integer()
    if signal.length > _FLOAT64_BITS and is_whole and not signal.is_float:
        scale, offset = int(signal.scale), int(signal.offset)
        return [value * scale + offset for value in raw.tolist()]
    with np.errstate(over="ignore", invalid="ignore"):  # float signals hold what they hold
        values: NDArray[np.float64] = raw.astype(np.float64) * signal.scale + signal.offset
    return values
