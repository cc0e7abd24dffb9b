"""Signals at a fixed rate: the last value that was on the bus, chunk after chunk.

Owns the state between chunks. A point of the grid holds the newest value at or before it, NaN
before a signal's first. No interpolation: a value that was never sent is never shown.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.decode.plan import Plan
from stagelog.decode.tables import Decoded
from stagelog.errors import InputError, UsageError

Columns: TypeAlias = dict[tuple[str, str], str]  # (message, signal): column name

MAX_ROWS = 5_000_000  # per chunk; more means that the log's times jump


class Resampler:
    """Turns Decoded, in the order of time, into rows of a grid.

    signals   {(message, signal): column name} as of column_names(plan), or a part of it
    t0_us     where the grid begins; by default with the first frame
    """

    def __init__(self, signals: Columns, rate_Hz: float, t0_us: int | None = None) -> None:
        if not 0 < rate_Hz <= 1_000_000:
            raise UsageError(f"a rate of {rate_Hz} Hz", "give one above 0 and up to 1,000,000 Hz")
        self.rate_Hz = rate_Hz
        self.signals = signals
        self.names = list(self.signals.values())
        self.last = np.full(len(self.names), np.nan)
        self.t0_us = t0_us
        self.n_done = 0  # rows given so far

    def feed(self, decoded: Decoded) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return (t_us int64[k], values float64[k, names]) of the rows that this chunk completes.

        A row is complete when a frame later than it has been seen.
        """
        span = span_of(decoded)
        if span is None:
            return np.empty(0, np.int64), np.empty((0, len(self.names)))
        if self.t0_us is None:
            self.t0_us = span[0]
        n = int((span[1] - self.t0_us) * self.rate_Hz / 1e6) + 1
        if n - self.n_done > MAX_ROWS:
            raise InputError(
                f"the times of the log jump: {n - self.n_done} rows at {self.rate_Hz} Hz",
                "choose a window of time, or a lower rate",
            )
        return self._rows(decoded, n, self.t0_us)

    def _rows(
        self, decoded: Decoded, n: int, t0_us: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        numbers = np.arange(self.n_done, max(n, self.n_done))
        t_us = t0_us + np.rint(numbers * (1e6 / self.rate_Hz)).astype(np.int64)
        values = np.empty((len(t_us), len(self.names)))
        for column, (message, signal) in enumerate(self.signals):
            table = decoded.messages.get(message)
            if table is None or signal not in table.signals or not len(table.signals[signal]):
                values[:, column] = self.last[column]
                continue
            at_us, data = table.series(signal)
            at_us = np.maximum.accumulate(at_us)  # with several interfaces it steps back
            k = np.searchsorted(at_us, t_us, side="right")
            held = data[np.maximum(k - 1, 0)].astype(np.float64)
            values[:, column] = np.where(k > 0, held, self.last[column])
            self.last[column] = data[-1]
        self.n_done = max(n, self.n_done)
        return t_us, values


def span_of(decoded: Decoded) -> tuple[int, int] | None:
    """Return (first, last) t_us of all messages, or None if there are none."""
    ends = [(t.t_us[0], t.t_us[-1]) for t in decoded.messages.values() if len(t)]
    return (int(min(e[0] for e in ends)), int(max(e[1] for e in ends))) if ends else None


def column_names(plan: Plan) -> Columns:
    """Return {(message, signal): column name}, unique and short."""
    pairs = [(p.message.name, name) for p in plan.messages for name in p.columns]
    count: dict[str, int] = {}
    for _, name in pairs:
        count[name] = count.get(name, 0) + 1
    return {(m, s): s if count[s] == 1 else f"{m}.{s}" for m, s in pairs}
