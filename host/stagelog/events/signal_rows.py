"""One signal of a DBC as a row of the signal table: where its bytes are, what it can be."""

import math

from slog import signal_table as st

_CAP = 0x3FFFFFFF
_STEPS_per_s = 10


def to_raw(signal, phys):
    """Return a physical value in raw units of a signal, not rounded."""
    return (phys - signal.offset) / signal.scale


def signal_row(signal, slot, rule, status, rest=None):
    """Return the row.

    rule    the profile's plausible entry, or None
    status  (index, good value) of the signal that reports whether this one works
    rest    (low, high) where the reading may stay constant: ends of a sender
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


def _bytes_of(signal):
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


def _rest_of(signal, rest):
    if rest is None:
        return -_CAP, _CAP
    low, high = sorted(to_raw(signal, end) for end in rest)
    return math.ceil(low), math.floor(high)


def _range_of(signal, rule):
    if rule is not None:
        bounds = (rule.min, rule.max)
    elif signal.minimum is not None and signal.minimum < signal.maximum:
        bounds = (signal.minimum, signal.maximum)
    else:
        return -_CAP, _CAP
    low, high = sorted(to_raw(signal, bound) for bound in bounds)
    return max(math.ceil(low - 1e-6), -_CAP), min(math.floor(high + 1e-6), _CAP)
