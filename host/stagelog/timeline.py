"""From time since boot to wall clock: by the anchors in a log, and not at all where it has none.

An anchor is the wall-clock time at one moment of the logger's clock. Anchors of the
best source count (GNSS, then host, then the real-time clock); several that lie far enough apart
give the drift of the logger's crystal too. Anchors never change a record. Never fails.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from slog.layout import (
    ANCHOR_GNSS,
    ANCHOR_HEADER,
    ANCHOR_HOST,
    ANCHOR_RTC,
    ANCHOR_STAMPS,
    META_ANCHOR,
)

if TYPE_CHECKING:
    from stagelog.blocks import Session

HOST, GNSS, RTC = ANCHOR_HOST, ANCHOR_GNSS, ANCHOR_RTC  # of a logger
STAMPS, HEADER = (
    ANCHOR_STAMPS,
    ANCHOR_HEADER,
)  # of a log that was converted: nobody set a logger's clock
SOURCE_TEXT = {
    HOST: "set by host",
    GNSS: "set by GNSS",
    RTC: "set by RTC",
    STAMPS: "from the stamps of the log that was converted",
    HEADER: "from the header of the log that was converted",
}
_BEST_FIRST = (GNSS, HOST, RTC, STAMPS, HEADER)
MIN_SPAN_US = 600_000_000  # between first and last anchor, before a drift is believed
MAX_DRIFT_ppm = 300  # a crystal is better; beyond, the wall clock was set
STEP_US = 1_000_000  # an anchor so far from the rest shows that a clock was set


@dataclass(frozen=True, slots=True)
class Timeline:
    """t_unix_us = t0_unix_us + (t_us - t0_us) * (1 + drift_ppm / 1e6).

    source   of the anchors used, see SOURCE_TEXT
    n        anchors used
    n_off    anchors left out because they are more than a second away from the others
    error_us largest distance of a used anchor from the line
    """

    t0_us: int
    t0_unix_us: int
    drift_ppm: float
    source: int
    n: int
    n_off: int
    error_us: int

    @overload
    def to_unix_us(self, t_us: int) -> int: ...

    @overload
    def to_unix_us(self, t_us: NDArray[np.int64]) -> NDArray[np.int64]: ...

    def to_unix_us(self, t_us: int | NDArray[np.int64]) -> int | NDArray[np.int64]:
        """Return wall-clock time, UTC since 1970, of `t_us` (int or int64 array)."""
        passed = np.asarray(t_us, np.int64) - self.t0_us
        drift = np.rint(passed * (self.drift_ppm * 1e-6)).astype(np.int64)
        unix = self.t0_unix_us + passed + drift
        return unix if np.ndim(t_us) else int(unix)


@dataclass(frozen=True, slots=True)
class Boot:
    """One key cycle: from power-on to power-off of a logger, with the sessions in it."""

    device_id: str
    boot: int
    sessions: "tuple[Session, ...]"
    timeline: Timeline | None

    @property
    def t_last_us(self) -> int:
        """Return how long the logger was on at least."""
        return max(session.t_last_us for session in self.sessions)


def find_timeline(sessions: "Sequence[Session]") -> Timeline | None:
    """Return the Timeline of sessions of one boot, or None where no anchor was stored."""
    rows = np.concatenate([s.meta[s.meta["kind"] == META_ANCHOR] for s in sessions])
    for source in _BEST_FIRST:
        chosen = rows[rows["arg"] == source]
        if len(chosen):
            t_unix_us = np.ascontiguousarray(chosen["data"]).view("<u8")[:, 0].astype(np.int64)
            return fit(chosen["t_us"], t_unix_us, source)
    return None


def fit(t_us: NDArray[np.int64], t_unix_us: NDArray[np.int64], source: int = HOST) -> Timeline:
    """Return the Timeline through anchors (int64 arrays of equal length, at least one)."""
    offset = t_unix_us - t_us
    median = int(np.sort(offset)[len(offset) // 2])
    near = np.abs(offset - median) < STEP_US
    t_us, offset = t_us[near], offset[near]
    t0_us = int(t_us[0])
    drift_ppm, middle = 0.0, int(np.median(offset))
    if t_us[-1] - t_us[0] >= MIN_SPAN_US:
        slope, start = np.polyfit((t_us - t0_us) * 1.0, (offset - middle) * 1.0, 1)
        if abs(slope) * 1e6 <= MAX_DRIFT_ppm:
            drift_ppm, middle = float(slope * 1e6), middle + round(start)
    line = middle + (t_us - t0_us) * (drift_ppm * 1e-6)
    error_us = int(np.abs(offset - line).max())
    n = len(t_us)
    return Timeline(t0_us, t0_us + middle, drift_ppm, source, n, len(near) - n, error_us)


def find_boots(sessions: "Iterable[Session]") -> list[Boot]:
    """Return the [Boot] of the sessions, in the order in which they were recorded."""
    in_order = sorted(sessions, key=lambda session: session.first_seq)
    boots = []
    for (device_id, boot), group in groupby(in_order, lambda s: (s.device_id, s.boot)):
        together = tuple(group)
        boots.append(Boot(device_id, boot, together, find_timeline(together)))
    return boots
