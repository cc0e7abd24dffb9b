"""Raw values that say that there is no value: "not available", "error", "reserved".

    SAE J1939-71, valid up to 0xFA in the top 8 bits   reserved      error         not available
        8 bits                                         0xFB..0xFD    0xFE          0xFF
        n > 8 bits                                     0xFB...       0xFE...       0xFF...
        2 to 7 bits                                    -             all ones - 1  all ones
    NMEA 2000, also signed: the largest value
        4 bits and more                                -             largest - 1   largest
        2 and 3 bits                                   -             -             largest

Which messages: unsigned signals of J1939, all integers of NMEA 2000 (the PGNs from 126208 on). Not
the messages of the network and of diagnostics, whose bits are no measurements, and not those of a
manufacturer, whose meaning the standards leave open. A value that the value table names is one,
unless its text says that it is none.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Message, Signal
from stagelog.decode.lookup import pgn_key

KINDS = ("valid", "reserved", "error", "not available")
RESERVED, ERROR, NOT_AVAILABLE = 1, 2, 3
NEVER = -1  # raw value: this kind does not occur

_FIRST_OF_NMEA_2000 = 126208
# Acknowledge, request, transport (2), address claimed; diagnostics DM1 to DM6, DM11, DM12
_NO_MEASUREMENTS = {0xE800, 0xEA00, 0xEB00, 0xEC00, 0xEE00}
_NO_MEASUREMENTS |= {*range(0xFECA, 0xFED0), 0xFED3, 0xFED4}
_OF_MANUFACTURER = {0xEF00, 0x1EF00, *range(0xFF00, 0x10000), *range(0x1FF00, 0x20000)}
_NO_VALUE = re.compile(
    r"not.?avail|unavail|\bn/?a\b|\bsna\b|error|fault|fail|invalid|reserved|unknown|undefined"
    r"|out of range|don.?t care|no action",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Special:
    """From which raw value on a signal says that it has none, by kind; NEVER if not at all.

    named  values above that are values all the same: the value table names them
    """

    reserved: int
    error: int
    not_available: int
    named: frozenset[int] = frozenset()

    @property
    def first(self) -> int:
        """Return the lowest raw value of any kind."""
        return min(each for each in (self.reserved, self.error, self.not_available) if each >= 0)

    def kinds_of(self, raw: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return the kind of each raw value, an index of KINDS."""
        kinds = np.zeros(len(raw), np.uint8)
        for kind, low in enumerate((self.reserved, self.error, self.not_available), RESERVED):
            if low != NEVER:
                kinds[raw >= low] = kind
        if self.named:
            kinds[np.isin(raw, list(self.named))] = 0
        return kinds


@dataclass(frozen=True, slots=True)
class Missing:
    """Where a signal of a MessageTable has no value though its frame has come.

    rows   of the table
    kinds  uint8, an index of KINDS for each row
    """

    rows: NDArray[np.intp]
    kinds: NDArray[np.uint8]

    def counts(self) -> dict[str, int]:
        """Return {kind: how often} of the kinds that occur."""
        numbers = np.bincount(self.kinds, minlength=len(KINDS)).tolist()
        return {kind: n for kind, n in zip(KINDS, numbers, strict=True) if n}


Counts: TypeAlias = dict[str, dict[str, int]]  # "Message.Signal": {kind: how often}


def add_counts(total: Counts, more: Counts) -> None:
    """Add the counts of one part of a log to those of the parts before."""
    for name, counts in more.items():
        known = total.setdefault(name, {})
        for kind, n in counts.items():
            known[kind] = known.get(kind, 0) + n


def special_of(message: Message, signal: Signal) -> Special | None:
    """Return the Special of a signal, None if every raw value of it is a value."""
    if not message.is_j1939 or signal.is_float or signal.is_selector or signal.length < 2:
        return None
    pgn = pgn_key(message.can_id) >> 8
    if pgn in _NO_MEASUREMENTS or pgn in _OF_MANUFACTURER:
        return None
    found = (_nmea_2000 if pgn >= _FIRST_OF_NMEA_2000 else _j1939)(signal)
    if found is None or not signal.choices:
        return found
    named = {
        raw
        for raw, text in signal.choices.items()
        if raw >= found.first and not _NO_VALUE.search(text)
    }
    return Special(found.reserved, found.error, found.not_available, frozenset(named))


def _j1939(signal: Signal) -> Special | None:
    if signal.is_signed or signal.length > 63:
        return None
    if signal.length < 8:
        return Special(NEVER, (1 << signal.length) - 2, (1 << signal.length) - 1)
    low = signal.length - 8
    return Special(0xFB << low, 0xFE << low, 0xFF << low)


def _nmea_2000(signal: Signal) -> Special | None:
    n_bits = signal.length - signal.is_signed
    if n_bits < 2 or n_bits > 63:
        return None
    largest = (1 << n_bits) - 1
    return Special(NEVER, largest - 1 if signal.length >= 4 else NEVER, largest)
