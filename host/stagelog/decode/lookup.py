"""From an identifier to a dense code in one table access, so that frames can be grouped by a radix
sort.

Codes 0..n-1 are messages in the plan's order; n "unknown", n + 1 "not data", n + 2 "suspect",
n + 3 "other bus".

    11-bit identifiers    a table of 2,048 codes
    29-bit identifiers    exact, or J1939: the PGN with or without the source address

J1939 (SAE J1939-21): bits 28..26 priority, 25..8 PGN, 7..0 source address. If the PDU format (bits
23..16) is below 240, bits 15..8 are a destination and not part of the PGN.
"""

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Message
from stagelog.model import ERR, EXT, RTR, SUSPECT, FrameTable

_HASH_BITS = 16
_TRIES = 200


class Lookup:
    """Codes of the frames of one plan. Raises nothing.

    messages   of the plan, in its order
    database   all messages of the database, in its order; the ones that are not in the plan get
               the code "unknown". Which message a frame belongs to never depends on the selection.
    """

    def __init__(
        self, messages: Sequence[Message], database: Sequence[Message] | None = None
    ) -> None:
        self.n = len(messages)
        self.dtype: type[np.uint8] | type[np.uint16] = np.uint8 if self.n <= 252 else np.uint16
        self.unknown, self.not_data = self.n, self.n + 1
        self.suspect, self.other_bus = self.n + 2, self.n + 3
        self.standard = np.full(2049, self.unknown, self.dtype)
        exact: dict[int, int] = {}
        by_source: dict[int, list[tuple[int, int]]] = {}
        by_pgn: dict[int, int] = {}
        code_of = {id(message): code for code, message in enumerate(messages)}
        for message in messages if database is None else database:
            code = code_of.get(id(message), self.unknown)
            if not message.is_ext:
                self.standard[message.can_id] = code
            elif not message.is_j1939:
                exact[message.can_id] = code
            else:
                by_source.setdefault(pgn_key(message.can_id), []).append(
                    (message.can_id & 0xFF, code)
                )
        with_source: dict[int, int] = {}
        for key, entries in by_source.items():
            if len(entries) > 1:
                with_source.update({key | source: code for source, code in entries})
            by_pgn[key] = entries[0][1]
        self.tables: list[tuple[int | None, _Keys]] = [
            (None, _Keys(exact)),
            (0xFF, _Keys(with_source)),
            (0x00, _Keys(by_pgn)),
        ]

    def codes(self, frames: FrameTable, with_suspects: bool) -> NDArray[np.uint8 | np.uint16]:
        """Return one code per frame."""
        flags = frames["flags"]
        seen = int(np.bitwise_or.reduce(flags)) if len(flags) else 0
        ids = frames["can_id"]
        codes = self.standard.take(ids, mode="clip")
        if seen & EXT:
            rows = slice(None) if (flags & EXT).all() else np.flatnonzero(flags & EXT)
            codes[rows] = self._extended(np.ascontiguousarray(ids[rows]))
        if seen & SUSPECT and not with_suspects:
            codes[(flags & SUSPECT) != 0] = self.suspect
        if seen & (RTR | ERR):
            codes[(flags & (RTR | ERR)) != 0] = self.not_data
        return codes

    def _extended(self, ids: NDArray[np.uint32]) -> NDArray[np.uint8 | np.uint16]:
        codes = np.full(len(ids), self.unknown, self.dtype)
        for kept_source, keys in reversed(self.tables):
            if not keys.n:
                continue
            found, hit = keys.find(ids if kept_source is None else pgn_key(ids, kept_source))
            codes = np.where(hit, found.astype(self.dtype), codes)
        return codes


class BusLookup:
    """Codes as Lookup gives them, where each bus has messages of its own; frames of a bus that
    has none get the code "other bus".
    """

    def __init__(self, messages: Sequence[Message], database: Sequence[Message]) -> None:
        self.n = len(messages)
        self.dtype: type[np.uint8] | type[np.uint16] = np.uint8 if self.n <= 252 else np.uint16
        self.unknown, self.not_data = self.n, self.n + 1
        self.suspect, self.other_bus = self.n + 2, self.n + 3
        self.by_bus: dict[int, tuple[Lookup, NDArray[Any]]] = {}
        code_of = {id(message): code for code, message in enumerate(messages)}
        for bus in sorted({message.bus for message in database if message.bus is not None}):
            own = [message for message in messages if message.bus == bus]
            codes = [code_of[id(message)] for message in own]
            codes += [self.unknown, self.not_data, self.suspect, self.other_bus]
            lookup = Lookup(own, [message for message in database if message.bus == bus])
            self.by_bus[bus] = lookup, np.array(codes, self.dtype)

    def codes(self, frames: FrameTable, with_suspects: bool) -> NDArray[np.uint8 | np.uint16]:
        """Return one code per frame."""
        found = np.full(len(frames), self.other_bus, self.dtype)
        for bus, (lookup, codes) in self.by_bus.items():
            rows = np.flatnonzero(frames["bus"] == bus)
            if len(rows):
                found[rows] = codes[lookup.codes(frames[rows], with_suspects)]
        return found


@overload
def pgn_key(ids: int, source_mask: int = 0) -> int: ...


@overload
def pgn_key(ids: NDArray[np.uint32], source_mask: int = 0) -> NDArray[np.uint32]: ...


def pgn_key(ids: int | NDArray[np.uint32], source_mask: int = 0) -> int | NDArray[np.uint32]:
    """Return identifiers without priority, destination and (unless masked in) source address."""
    if isinstance(ids, int):
        return int(pgn_key(np.array([ids], np.uint32), source_mask)[0])
    is_pdu2 = (ids & np.uint32(0xFF0000)) >= np.uint32(0xF00000)
    mask = np.where(is_pdu2, np.uint32(0x03FFFF00), np.uint32(0x03FF0000))
    return ids & (mask | np.uint32(source_mask))


class _Keys:
    """Finds 32-bit keys: a collision-free multiplicative hash where one is found, else binary
    search.
    """

    def __init__(self, code_of: Mapping[int, int]) -> None:
        self.n = len(code_of)
        self.keys = np.array(sorted(code_of), np.uint32)
        self.codes = np.array([code_of[k] for k in sorted(code_of)], np.uint16)
        self.factor: np.uint32 | None = self._find_factor() if self.n else None
        if self.factor is not None:
            self.slots = np.zeros(1 << _HASH_BITS, np.uint16)
            self.slots[self._hash(self.keys, self.factor)] = np.arange(self.n)

    def find(self, ids: NDArray[np.uint32]) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Return (codes, True where the key is known)."""
        if self.factor is not None:
            at = self.slots[self._hash(ids, self.factor)]
        else:
            at = np.minimum(np.searchsorted(self.keys, ids), self.n - 1)
        return self.codes[at], self.keys[at] == ids

    def _hash(self, ids: NDArray[np.uint32], factor: np.uint32) -> NDArray[np.uint32]:
        return (ids * factor) >> np.uint32(32 - _HASH_BITS)

    def _find_factor(self) -> np.uint32 | None:
        factor = 2654435769  # 2**32 divided by the golden ratio, odd
        for _ in range(_TRIES if self.n < 1000 else 0):
            if len(np.unique(self._hash(self.keys, np.uint32(factor)))) == self.n:
                return np.uint32(factor)
            factor = (factor * 1664525 + 1013904223) % (1 << 32) | 1
        return None
