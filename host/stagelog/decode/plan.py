"""Compiles a database into what the engine does per message: groups of signals that need the same
steps.

A payload is read as 64-bit words. Every signal is brought to the top of a word by a left shift and
down again by a right shift, which is arithmetic for signed signals: no masks, no sign tables, all
signals of a group in one two-dimensional operation.

    Intel      word = bytes o..o+7, little-endian     left = 64 - (start - 8 o) - length
    Motorola   the same word with its bytes swapped   left = index of the first bit as sent
    both       right = 64 - length

A signal over nine bytes (only in CAN FD payloads) is put together from a word and a byte.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import translate
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Condition, Database, Message, Ranges, Signal, last_byte
from stagelog.decode.lookup import BusLookup, Lookup
from stagelog.decode.missing import Special, special_of
from stagelog.errors import UsageError

MOST_BYTES = 255  # of a message that is put together from several frames
_FRAME_BYTES = 64
_FLOATS: dict[int, type[np.floating[Any]]] = {16: np.float16, 32: np.float32, 64: np.float64}


WordKey: TypeAlias = tuple[int, bool, bool]  # word, is_motorola, is_split


@dataclass(slots=True)
class Group:
    """Signals of one message that are read from the same word in the same way; one row each.

    kind          "signed", "unsigned", "wide" (64 bits, unsigned), "float"
    is_split      the signals lie over nine bytes
    key           (word, is_motorola, is_split): what the same word can be reused for
    left, right   uint64[n, 1], right of signed groups int64;
    scale, offset  float64[n, 1] or None where all are 1 or 0
    special       per signal the raw values that are none, or None; `first` int64[n, 1] is the
                  lowest of them, None if no signal of the group has any
    """

    key: WordKey
    kind: str
    raw_dtype: np.dtype[Any]
    row: int
    names: list[str]
    needs: list[int]
    left: NDArray[np.uint64]
    right: NDArray[Any]
    scale: NDArray[np.float64] | None
    offset: NDArray[np.float64] | None
    special: list[Special | None]
    first: NDArray[np.int64] | None


@dataclass(slots=True)
class Branch:
    """Signals that are present while `selector` lies in one of `ranges`.

    `parent` is an index, -1 for the message.
    """

    selector: str
    reader: Group
    ranges: Ranges
    parent: int
    groups: list[Group] = field(default_factory=list)


@dataclass(slots=True)
class MessagePlan:
    """What to do with the frames of one message.

    `need` is the most bytes that any of its signals takes.
    """

    message: Message
    groups: list[Group]
    branches: list[Branch]
    need: int
    columns: list[str]
    rows: list[int] | None
    n_rows: int


@dataclass(slots=True)
class Plan:
    """A database compiled for decoding.

    `left_out` names the signals that cannot be decoded, with the reason.
    """

    messages: list[MessagePlan]
    lookup: Lookup | BusLookup
    need_of_code: NDArray[np.uint8]
    buses: tuple[int, ...] | None
    sha256: str
    left_out: dict[str, str]

    @property
    def n_signals(self) -> int:
        """Return the number of signals that are decoded."""
        groups = [g for m in self.messages for g in m.groups]
        groups += [g for m in self.messages for b in m.branches for g in b.groups]
        return sum(len(g.names) for g in groups)

    @property
    def assembles(self) -> bool:
        """Return whether messages may come in several frames: J1939 and NMEA 2000."""
        return any(plan.message.is_j1939 for plan in self.messages)


def compile_plan(
    database: Database,
    signals: str | Iterable[str] | None = None,
    buses: Iterable[int] | None = None,
) -> Plan:
    """Compile a Database, or a part of it, into a Plan.

    signals   names or patterns: "EngSpd", "ENG_1.EngSpd", "ENG_1", "*Temp*"; None for all
    buses     bus numbers whose frames are meant; None for all
    Raises    UsageError for a name that is not in the database, with the nearest one that is
    """
    wanted = _selection(database, signals)
    left_out: dict[str, str] = {}
    plans = []
    for message in database.messages:
        names = wanted.get(message.name)
        if names or (signals is None and not message.signals):
            plan = _compile_message(message, names or set(), left_out)
            if plan.groups or plan.branches or signals is None:
                plans.append(plan)
    kind = BusLookup if any(m.bus is not None for m in database.messages) else Lookup
    lookup = kind([p.message for p in plans], database.messages)
    need_of_code = np.array([p.need for p in plans] + [0] * 4, np.uint8)
    wanted_buses = None if buses is None else tuple(buses)
    return Plan(plans, lookup, need_of_code, wanted_buses, database.sha256, left_out)


def _selection(database: Database, signals: str | Iterable[str] | None) -> dict[str, set[str]]:
    """Return message name -> set of signal names."""
    everything = {m.name: {s.name for s in m.signals} for m in database.messages}
    if signals is None:
        return everything
    wanted: dict[str, set[str]] = {}
    for pattern in [signals] if isinstance(signals, str) else signals:
        n_found = 0
        fits = re.compile(translate(pattern)).match
        for message, names in everything.items():
            found = {n for n in names if fits(n) or fits(f"{message}.{n}") or fits(message)}
            if found:
                wanted.setdefault(message, set()).update(found)
                n_found += len(found)
        if not n_found:
            known = [n for names in everything.values() for n in names]
            known += [f"{m}.{n}" for m, names in everything.items() for n in names]
            near = get_close_matches(pattern, [*known, *everything], 1)
            raise UsageError(
                f'no signal "{pattern}" in {database.path}',
                f"did you mean {near[0]}?" if near else "'stagelog dbc show' lists all names",
            )
    return wanted


def _compile_message(message: Message, wanted: set[str], left_out: dict[str, str]) -> MessagePlan:
    by_name = {s.name: s for s in message.signals}
    plain: list[Signal] = []
    muxed: dict[Condition, list[Signal]] = {}
    for signal in message.signals:
        if signal.name not in wanted:
            continue
        why = _why_not(signal, by_name, MOST_BYTES if message.is_j1939 else _FRAME_BYTES)
        if why:
            left_out[f"{message.name}.{signal.name}"] = why
        elif signal.selector:
            muxed.setdefault((signal.selector, signal.selector_ranges), []).append(signal)
        else:
            plain.append(signal)
    branches: list[Branch] = []
    index: dict[Condition, int] = {}
    for condition, members in muxed.items():
        at = _branch(condition, by_name, branches, index)
        branches[at].groups = _compile_groups(members, message)
    groups = _compile_groups(plain, message)
    everything = [*groups, *(g for b in branches for g in (*b.groups, b.reader))]
    need = max((n for g in everything for n in g.needs), default=0)
    names = [name for g in groups for name in g.names]
    decoded = {name for g in everything for name in g.names} & set(wanted)
    columns = [s.name for s in message.signals if s.name in decoded]
    row_of = {name: row for row, name in enumerate(names)}
    rows = None if branches else [row_of[name] for name in columns]
    return MessagePlan(message, groups, branches, need, columns, rows, len(names))


def _why_not(signal: Signal, by_name: dict[str, Signal], most: int) -> str | None:
    """Return why a signal cannot be decoded, or None; `most` bytes are in a payload at most."""
    if not 1 <= signal.length <= 64:
        return f"{signal.length} bits; at most 64 can be decoded"
    if signal.is_float and signal.length not in _FLOATS:
        return f"a float of {signal.length} bits"
    if signal.n_bytes > most:
        kind = "a frame" if most == _FRAME_BYTES else "a message of several frames"
        return f"needs {signal.n_bytes} payload bytes; {kind} has at most {most}"
    seen = set()
    while signal.selector:
        if signal.selector not in by_name or signal.selector in seen:
            return f"its selector {signal.selector} cannot be read"
        seen.add(signal.selector)
        signal = by_name[signal.selector]
        if signal.is_float or not 1 <= signal.length <= 64 or signal.n_bytes > most:
            return f"its selector {signal.name} cannot be read"
    return None


def _branch(
    condition: Condition,
    by_name: dict[str, Signal],
    branches: list[Branch],
    index: dict[Condition, int],
) -> int:
    """Return the index of the branch of a condition; its parents come before it."""
    if condition not in index:
        selector = by_name[condition[0]]
        parent = -1
        if selector.selector:
            above = (selector.selector, selector.selector_ranges)
            parent = _branch(above, by_name, branches, index)
        reader = _compile_groups([selector])[0]
        branches.append(Branch(selector.name, reader, condition[1], parent))
        index[condition] = len(branches) - 1
    return index[condition]


def _compile_groups(signals: Iterable[Signal], message: Message | None = None) -> list[Group]:
    """Return signals grouped by what has to be done with them; rows are numbered through.

    message  whose signals they are; None for selectors, whose every value is one
    """
    places: dict[tuple[WordKey, str, str], list[Signal]] = {}
    for signal in signals:
        places.setdefault(_place(signal)[:3], []).append(signal)
    groups, row = [], 0
    for (key, kind, raw), members in places.items():
        shifts = np.array([_place(s)[3] for s in members], np.uint64)[:, None]
        lengths = np.array([s.length for s in members], np.uint64)[:, None]
        scale = np.array([float(s.scale) for s in members])[:, None]
        offset = np.array([float(s.offset) for s in members])[:, None]
        special = [special_of(message, s) if message else None for s in members]
        groups.append(
            Group(
                key=key,
                kind=kind,
                raw_dtype=np.dtype(raw),
                row=row,
                names=[s.name for s in members],
                needs=[s.n_bytes for s in members],
                left=shifts,
                right=(np.uint64(64) - lengths).view(np.int64 if kind == "signed" else np.uint64),
                scale=None if (scale == 1).all() else scale,
                offset=None if (offset == 0).all() else offset,
                special=special,
                first=_first_special(special),
            )
        )
        row += len(members)
    return groups


def _first_special(special: list[Special | None]) -> NDArray[np.int64] | None:
    if not any(special):
        return None
    most = np.iinfo(np.int64).max
    return np.array([each.first if each else most for each in special], np.int64)[:, None]


def _place(signal: Signal) -> tuple[WordKey, str, str, int]:
    """Return (word, is_motorola, kind, raw dtype, left shift) of a signal.

    The word begins at a multiple of 8 if the signal fits into it, else at the signal's first byte.
    For "split" the shift is the number of bits before the signal in its first byte.
    """
    end = last_byte(signal.start, signal.length, signal.is_motorola)
    first = signal.start // 8
    word = first - first % 8 if end // 8 == first // 8 else first
    raw = _raw_dtype(signal)
    kind = "signed" if signal.is_signed else "unsigned"
    if signal.is_float:
        kind = "float"
    elif signal.length == 64 and not signal.is_signed:
        kind = "wide"
    inside = 7 - signal.start % 8 if signal.is_motorola else signal.start % 8
    is_split = end - word > 7
    key = (word, signal.is_motorola, is_split)
    if is_split:
        return key, kind, raw, inside
    if signal.is_motorola:
        return key, kind, raw, (first - word) * 8 + inside
    return key, kind, raw, 64 - (signal.start - word * 8) - signal.length


def _raw_dtype(signal: Signal) -> str:
    """Return the smallest dtype that holds all raw values of a signal."""
    if signal.is_float:
        return np.dtype(_FLOATS[signal.length]).str
    n = 1 << max(0, (-(-signal.length // 8) - 1).bit_length())
    return f"<{'i' if signal.is_signed else 'u'}{n}"
