"""How good a database is: its own defects, and how it agrees with a log.

Owns the facts of `stagelog dbc check` as data; prints nothing. Works through a log of any size
chunk by chunk.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Database, Signal
from stagelog.decode.engine import iter_joined
from stagelog.decode.missing import Counts, add_counts
from stagelog.decode.origins import Origins
from stagelog.decode.plan import compile_plan
from stagelog.decode.tables import Decoded, MessageTable
from stagelog.model import FrameTable

MAX_GAPS = 200_000  # per message, enough for a median of the cycle time
CYCLE_TOLERANCE = 0.1  # of the median, relative
LATE_FACTOR = 1.5  # a gap longer than this many cycles counts as late
MAX_LATE_SHARE = 0.01
MIN_ROWS_STUCK = 100


def check_database(database: Database) -> dict[str, Any]:
    """Return what a database holds and what is wrong with it, as JSON types."""
    plan = compile_plan(database)
    return {
        "path": str(database.path),
        "kind": database.kind,
        "encoding": database.encoding,
        "sha256": database.sha256,
        "n_messages": len(database.messages),
        "n_signals": database.n_signals,
        "defects": [{"line": d.line, "what": d.what, "done": d.done} for d in database.defects],
        "not_decoded": [{"signal": name, "why": why} for name, why in plan.left_out.items()],
    }


def check_log(database: Database, chunks: Iterable[FrameTable]) -> dict[str, Any]:
    """Return how a log agrees with a database, as JSON types.

    `chunks` are frame tables in order.
    """
    check = LogCheck(database)
    for frames, decoded in iter_joined(chunks, check.plan):
        check.feed(frames, decoded)
    return check.result()


@dataclass(slots=True)
class _MessageFacts:
    n: int = 0
    n_short: int = 0
    n_long: int = 0
    least_bytes: int = 255
    last_us: int | None = None
    gaps: list[NDArray[np.int64]] = field(default_factory=list)
    n_gaps: int = 0


@dataclass(slots=True)
class _SignalFacts:
    n: int = 0
    low: float = np.inf
    high: float = -np.inf
    n_outside: int = 0
    n_unnamed: int = 0


class LogCheck:
    """Collects from frame tables; `result()` gives the verdict at any time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.plan = compile_plan(database)
        self.n_frames = 0
        self.origins = Origins()
        self.unknown: dict[tuple[int, bool], int] = {}
        self.n_incomplete = 0
        self.messages = {p.message.name: _MessageFacts() for p in self.plan.messages}
        self.signals: dict[tuple[str, str], _SignalFacts] = {}
        self.missing: Counts = {}
        lengths = [p.message.n_bytes for p in self.plan.messages]
        self.n_bytes_of_code = np.array([*lengths, 0, 0, 0, 0], np.int64)

    def feed(self, frames: FrameTable, decoded: Decoded) -> None:
        """Take one frame table, with messages of several frames put together, and its values."""
        self.n_frames += decoded.n_frames
        self.origins.add(decoded)
        add_counts(self.missing, decoded.missing)
        for key, n in decoded.unknown.items():
            self.unknown[key] = self.unknown.get(key, 0) + n
        self.n_incomplete += decoded.n_incomplete
        self._feed_lengths(frames)
        for table in decoded.messages.values():
            self._feed_times(table)
            for name in table.signals:
                self._feed_values(table, name)

    def _feed_lengths(self, frames: FrameTable) -> None:
        codes = self.plan.lookup.codes(frames, False)
        lengths = frames["n_bytes"].astype(np.int64)
        is_known = codes < len(self.plan.messages)
        specified = self.n_bytes_of_code[codes]
        for code in np.unique(codes[is_known & (lengths != specified)]).tolist():
            facts = self.messages[self.plan.messages[code].message.name]
            found = lengths[codes == code]
            facts.n_short += int((found < self.n_bytes_of_code[code]).sum())
            facts.n_long += int((found > self.n_bytes_of_code[code]).sum())
            facts.least_bytes = min(facts.least_bytes, int(found.min()))

    def _feed_times(self, table: MessageTable) -> None:
        facts = self.messages[table.name]
        facts.n += len(table)
        t_us = table.t_us
        if facts.last_us is not None:
            t_us = np.concatenate(([facts.last_us], t_us))
        facts.last_us = int(t_us[-1])
        if facts.n_gaps < MAX_GAPS:
            facts.gaps.append(np.diff(t_us))
            facts.n_gaps += len(t_us) - 1

    def _feed_values(self, table: MessageTable, name: str) -> None:
        values = table.signals[name]
        if not len(values):
            return
        signal = table.message.signal(name)
        facts = self.signals.setdefault((table.name, name), _SignalFacts())
        facts.n += len(values)
        facts.low = min(facts.low, float(np.fmin.reduce(values)))
        facts.high = max(facts.high, float(np.fmax.reduce(values)))
        if _has_limits(signal):
            outside = (values < signal.minimum) | (values > signal.maximum)
            facts.n_outside += int(np.count_nonzero(outside))
        if signal.choices and signal.length <= 8:
            raw = np.rint((values - float(signal.offset)) / float(signal.scale))
            facts.n_unnamed += int(np.count_nonzero(~np.isin(raw, list(signal.choices))))

    def result(self) -> dict[str, Any]:
        """Return the facts as JSON types; `ok` if nothing contradicts the database."""
        facts: dict[str, Any] = {
            "n_frames": self.n_frames,
            "warnings": self.origins.warnings("compared together"),
            "unknown_ids": [
                {"can_id": f"{can_id:08X}" if is_ext else f"{can_id:03X}", "n_frames": n}
                for (can_id, is_ext), n in sorted(self.unknown.items(), key=lambda i: -i[1])
            ],
            "n_incomplete": self.n_incomplete,
            "absent_messages": [name for name, f in self.messages.items() if not f.n],
            "lengths": self._lengths(),
            "cycles": self._cycles(),
            "missing": self.missing,
            "stuck": [],
            "out_of_range": [],
            "without_text": [],
        }
        for (message, name), f in self.signals.items():
            signal = self.database.message(message).signal(name)
            full = f"{message}.{name}"
            if f.n >= MIN_ROWS_STUCK and f.low == f.high:
                facts["stuck"].append({"signal": full, "value": f.low, "n_values": f.n})
            if f.n_outside:
                facts["out_of_range"].append(
                    {
                        "signal": full,
                        "n_outside": f.n_outside,
                        "n_values": f.n,
                        "seen": [f.low, f.high],
                        "specified": [signal.minimum, signal.maximum],
                        "unit": signal.unit,
                    }
                )
            if f.n_unnamed:
                facts["without_text"].append({"signal": full, "n_values": f.n_unnamed})
        bad = ("unknown_ids", "lengths", "out_of_range", "without_text")
        late = any(not c["kept"] for c in facts["cycles"])
        facts["ok"] = not late and not any(facts[key] for key in bad)
        return facts

    def _lengths(self) -> list[dict[str, Any]]:
        return [
            {
                "message": name,
                "specified_bytes": self.database.message(name).n_bytes,
                "n_shorter": f.n_short,
                "n_longer": f.n_long,
                "least_bytes": f.least_bytes,
            }
            for name, f in self.messages.items()
            if f.n_short or f.n_long
        ]

    def _cycles(self) -> list[dict[str, Any]]:
        """Return the cycle times of messages that have one, as specified and as seen."""
        rows = []
        for name, f in self.messages.items():
            cycle_ms = self.database.message(name).cycle_ms
            gaps = np.concatenate(f.gaps) if f.gaps else np.empty(0, np.int64)
            if not cycle_ms or len(gaps) < 5:
                continue
            median_ms = float(np.median(gaps)) / 1000
            late = float(np.mean(gaps > LATE_FACTOR * 1000 * cycle_ms))
            on_time = abs(median_ms - cycle_ms) <= CYCLE_TOLERANCE * cycle_ms
            rows.append(
                {
                    "message": name,
                    "specified_ms": cycle_ms,
                    "median_ms": round(median_ms, 3),
                    "longest_ms": round(float(gaps.max()) / 1000, 3),
                    "late_pct": round(100 * late, 3),
                    "kept": bool(on_time and late <= MAX_LATE_SHARE),
                }
            )
        return rows


def _has_limits(signal: Signal) -> bool:
    """Return whether a signal has limits: [0|0] means none."""
    low, high = signal.minimum, signal.maximum
    return low is not None and high is not None and low < high
