"""One signal of a DBC as a row of the signal table: where its bytes are, what it can be."""

import math
from typing import Protocol, TypeAlias

from slog import signal_table as st
from stagelog.dbc.model import Signal
from stagelog.profile.limits import Plausible
from stagelog.profile.toml_lines import Keys

_CAP = 0x3FFFFFFF
_STEPS_per_s = 10


Row: TypeAlias = list[int]


class SignalIndex(Protocol):
    """The signals of a table in the making, by name. `entry` is the profile's, for errors."""

    def has(self, name: str) -> bool:
        """Return whether this car sends the signal."""

    def signal(self, name: str, entry: Keys) -> Signal:
        """Return the signal; TableProblem if it can't be watched."""

    def index(self, name: str, entry: Keys = ...) -> int:
        """Return the index of a signal in the table, which is added if it is not there."""


def to_raw(signal: Signal, phys: float) -> float:
    """Return a physical value in raw units of a signal, not rounded."""
    return (phys - signal.offset) / signal.scale


def signal_row(
    signal: Signal,
    slot: int,
    rule: Plausible | None,
    status: tuple[int, int],
    rest: tuple[float, ...] | None = None,
) -> Row:
    """Return the row of SIGNALS.

    slot    index of its message in SLOTS
    rule    the profile's plausible entry, or None
    status  (index, good value) of the signal that reports whether this one works, (-1, 0) if none
    rest    (low, high) between which the reading may stay constant: the ends of a sender
    """
    kind, first, step, n, shift = _bytes_of(signal)
    low, high = _range_of(signal, rule)
    max_step = stuck = 0
    if rule is not None:
        max_step = math.ceil(rule.max_step_per_s / _STEPS_per_s / abs(signal.scale))
        stuck = round(rule.stuck_s * _STEPS_per_s)
    mul = round(signal.scale * 100 * (1 << st.SCALE_BITS))
    return [
        slot,
        kind,
        first,
        step,
        n,
        shift,
        signal.length,
        int(signal.is_signed),
        low,
        high,
        min(max_step, _CAP),
        stuck,
        *status,
        mul,
        round(signal.offset * 100),
        *_rest_of(signal, rest),
    ]


def _bytes_of(signal: Signal) -> tuple[int, int, int, int, int]:
    """Return (kind, first byte, step, bytes, shift): most significant byte first."""
    if signal.is_motorola:
        first = signal.start // 8
        at = 7 - signal.start % 8 + signal.length  # bits from the top of the first byte
        n = (at + 7) // 8
        return st.ANY, first, 1, n, 8 * n - at
    low = signal.start // 8
    n = (signal.start % 8 + signal.length + 7) // 8
    shift = signal.start % 8
    if not shift and signal.length == 8 and not signal.is_signed:
        return st.U8, low, 1, 1, 0
    if not shift and signal.length == 16:
        return (st.S16 if signal.is_signed else st.U16), low, 1, 2, 0
    return st.ANY, low + n - 1, -1, n, shift


def _rest_of(signal: Signal, rest: tuple[float, ...] | None) -> tuple[int, int]:
    if rest is None:
        return -_CAP, _CAP
    low, high = sorted(to_raw(signal, end) for end in rest)
    return math.ceil(low), math.floor(high)


def _range_of(signal: Signal, rule: Plausible | None) -> tuple[int, int]:
    bounds = (signal.minimum, signal.maximum) if rule is None else (rule.min, rule.max)
    if bounds[0] is None or bounds[1] is None or (rule is None and bounds[0] >= bounds[1]):
        return -_CAP, _CAP
    low, high = sorted(to_raw(signal, bound) for bound in bounds if bound is not None)
    return max(math.ceil(low - 1e-6), -_CAP), min(math.floor(high + 1e-6), _CAP)
