"""Proposes a DBC from the traffic of a log: identifiers, lengths, rates, bytes that move, counters
and checksums. Every signal is a guess, and its comment says so and why.

What is sampled of each identifier: up to N_SAMPLED of its payloads, spread over the log as they
come. Bytes that never change get no signal. What is called a counter rises by one, modulo its
width, in nearly all frames; what is called a checksum is one in every sampled frame.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Message, Signal
from stagelog.decode.lookup import pgn_key
from stagelog.decode.protocol import protocol_of
from stagelog.model import ERR, EXT, FD, RTR, FrameTable

N_SAMPLED = 20_000  # payloads of an identifier
_MIN_FRAMES = 20  # for a guess of a counter or a checksum
_STEADY = 0.98  # of the steps of a counter are one
_INDEPENDENT = 1 << 31

_Key = tuple[bool, int]  # is_ext, can_id


class Draft(NamedTuple):
    """A message as it was seen, with guesses; `notes` has a reason for each signal by name."""

    message: Message
    n_frames: int
    buses: tuple[int, ...]
    lengths: tuple[int, ...]
    notes: dict[str, str]


@dataclass(slots=True)
class _Seen:
    n: int = 0
    is_fd: bool = False
    buses: set[int] = field(default_factory=set)
    lengths: Counter[int] = field(default_factory=Counter)
    payloads: list[NDArray[np.uint8]] = field(default_factory=list)
    n_kept: int = 0
    steps_us: list[NDArray[np.int64]] = field(default_factory=list)
    last_us: dict[int, int] = field(default_factory=dict)


def draft_messages(tables: Iterable[FrameTable]) -> list[Draft]:
    """Return a Draft of each identifier in frame tables, 11-bit ones first, by number."""
    seen: dict[_Key, _Seen] = {}
    for frames in tables:
        data = frames[(frames["flags"] & (RTR | ERR)) == 0]
        keys = (data["flags"] & EXT).astype(np.int64) << 32 | data["can_id"]
        for key in np.unique(keys).tolist():
            found = seen.setdefault((bool(key >> 32), key & 0x1FFFFFFF), _Seen())
            _see(found, data[keys == key])
    protocol = protocol_of(can_id for is_ext, can_id in seen if is_ext)
    return [_draft(key, each, protocol is not None) for key, each in sorted(seen.items())]


def _see(found: _Seen, frames: FrameTable) -> None:
    found.n += len(frames)
    found.is_fd |= bool((frames["flags"] & FD).any())
    found.buses.update(np.unique(frames["bus"]).tolist())
    found.lengths.update(frames["n_bytes"].tolist())
    for bus in np.unique(frames["bus"]).tolist():
        t_us = frames["t_us"][frames["bus"] == bus]
        if bus in found.last_us:
            t_us = np.concatenate(([found.last_us[bus]], t_us))
        found.last_us[bus] = int(t_us[-1])
        found.steps_us.append(np.diff(t_us)[:N_SAMPLED])
    if found.n_kept < N_SAMPLED:
        first = frames[frames["bus"] == min(found.buses)]["data"][: N_SAMPLED - found.n_kept]
        found.payloads.append(np.pad(first, ((0, 0), (0, 64 - first.shape[1]))))
        found.n_kept += len(first)


def _draft(key: _Key, seen: _Seen, is_j1939: bool) -> Draft:
    is_ext, can_id = key
    steps_us = np.concatenate(seen.steps_us)
    cycle_ms = None
    if len(steps_us) >= 5:
        cycle_ms = round(float(np.median(steps_us)) / 1000) or None
    n_bytes = max(seen.lengths)
    payloads = np.concatenate(seen.payloads)
    signals, notes = _signals(payloads, min(seen.lengths), can_id)
    name = f"ID_{can_id:08X}" if is_ext else f"ID_{can_id:03X}"
    if is_ext and is_j1939:
        pgn = pgn_key(can_id) >> 8
        name = f"PGN_{pgn}_SA_{can_id & 0xFF:02X}"
    message = Message(name, can_id, n_bytes, tuple(signals), is_ext, seen.is_fd, cycle_ms=cycle_ms)
    return Draft(message, seen.n, tuple(sorted(seen.buses)), tuple(sorted(seen.lengths)), notes)


def _signals(
    payloads: NDArray[np.uint8], n_bytes: int, can_id: int
) -> tuple[list[Signal], dict[str, str]]:
    """Return (signals, reason for each by name) of the bytes that every frame has."""
    signals: list[Signal] = []
    notes: dict[str, str] = {}

    def add(name: str, start: int, length: int, why: str, is_motorola: bool = False) -> None:
        signals.append(Signal(name, start, length, is_motorola))
        notes[name] = why

    taken = np.zeros(n_bytes * 2, bool)  # halves of bytes, the lower first
    distinct = len(payloads) >= _MIN_FRAMES
    for place in reversed(range(n_bytes if distinct else 0)):
        why = _checksum(payloads, place, n_bytes, can_id)
        if why:  # one a message: of an exclusive or, every byte is that of the others
            add(f"Checksum_{place}", 8 * place, 8, why)
            taken[2 * place : 2 * place + 2] = True
            break
    for place in range(n_bytes if distinct else 0):
        for start, length in ((0, 8), (0, 4), (4, 4), (0, 2), (6, 2)):
            halves = slice(2 * place + start // 4, 2 * place + max(1, -(-(start + length) // 4)))
            if taken[halves].any():
                continue
            share = _share_of_ones(payloads[:, place] >> start & (1 << length) - 1, length)
            if share >= _STEADY:
                why = f"rises by one in {100 * share:.1f} % of the frames"
                add(f"Counter_{place}" + f"_{start}" * (start > 0), 8 * place + start, length, why)
                taken[halves] = True
    moves = (payloads[:, :n_bytes] != payloads[0, :n_bytes]).any(axis=0)
    place = 0
    while place < n_bytes:
        if not moves[place] or taken[2 * place : 2 * place + 2].all():
            place += 1
            continue
        if taken[2 * place] or taken[2 * place + 1]:
            half = int(taken[2 * place])
            nibble = payloads[:, place] >> 4 * half & 15
            if (nibble != nibble[0]).any():
                add(f"Half_{place}", 8 * place + 4 * half, 4, f"moves: {_span(nibble)}")
            place += 1
            continue
        pair = place + 1 < n_bytes and not taken[2 * place + 2 : 2 * place + 4].any()
        order = _order_of(payloads[:, place], payloads[:, place + 1]) if pair else ""
        if order == "Intel":
            add(
                f"Word_{place}", 8 * place, 16, "two bytes that move as one number, low byte first"
            )
        elif order == "Motorola":
            why = "two bytes that move as one number, high byte first"
            add(f"Word_{place}", 8 * place + 7, 16, why, True)
        else:
            add(f"Byte_{place}", 8 * place, 8, f"moves: {_span(payloads[:, place])}")
        place += 2 if order else 1
    return signals, notes


def _span(values: NDArray[Any]) -> str:
    return f"{values.min()} to {values.max()}, {len(np.unique(values))} values"


def _share_of_ones(values: NDArray[Any], length: int) -> float:
    """Return the share of steps that are one, modulo the width; 0 if it never came round."""
    whole = values.astype(np.int64)
    steps = (whole[1:] - whole[:-1]) % (1 << length)
    if len(values) < 2 or len(np.unique(values)) < min(1 << length, len(values)):
        return 0.0
    return float((steps == 1).mean())


def _order_of(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> str:
    """Return in which order two bytes are one number: "Intel", "Motorola", or "" if in none.

    Of one number the high byte changes seldom, by one, and mostly while the low byte comes round.
    """
    for low, high, order in ((first, second, "Intel"), (second, first, "Motorola")):
        low_steps, high_steps = (np.diff(each.astype(np.int64)) for each in (low, high))
        carried = high_steps != 0
        if not carried.any() or carried.mean() > 0.5 * (low_steps != 0).mean():
            continue
        word = np.abs(np.diff(low.astype(np.int64) + 256 * high.astype(np.int64)))
        if word[carried].mean() < 64 and np.abs(high_steps[carried]).max() <= 2:
            return order
    return ""


def _checksum(payloads: NDArray[np.uint8], place: int, n_bytes: int, can_id: int) -> str:
    """Return which checksum of the other bytes a byte is in every frame; "" if none is known."""
    own = payloads[:, place]
    if len(np.unique(own)) < 8:
        return ""
    others = np.delete(payloads[:, :n_bytes], place, axis=1)
    if (others == others[0]).all() or (others == own[:, None]).all(axis=0).any():
        return ""  # a copy of another byte is none, whatever the sums say
    for what, function in _CHECKSUMS.items():
        if (function(others, can_id, n_bytes) == own).all():
            return f"{what}, in all {len(own)} frames examined"
    return ""


def _sum(others: NDArray[np.uint8], can_id: int, n_bytes: int) -> NDArray[np.int64]:
    return others.sum(axis=1, dtype=np.int64) & 0xFF


def _sum_with_id(others: NDArray[np.uint8], can_id: int, n_bytes: int) -> NDArray[np.int64]:
    return _sum(others, can_id, n_bytes) + can_id & 0xFF


def _toyota(others: NDArray[np.uint8], can_id: int, n_bytes: int) -> NDArray[np.int64]:
    return _sum(others, can_id, n_bytes) + (can_id >> 8) + (can_id & 0xFF) + n_bytes & 0xFF


def _xor(others: NDArray[np.uint8], can_id: int, n_bytes: int) -> NDArray[np.int64]:
    return np.bitwise_xor.reduce(others, axis=1).astype(np.int64)


def _crc(polynomial: int, start: int, final: int) -> Callable[..., NDArray[np.int64]]:
    table = np.arange(256, dtype=np.int64)
    for _ in range(8):
        table = np.where(table & 0x80, table << 1 ^ polynomial, table << 1) & 0xFF

    def crc(others: NDArray[np.uint8], can_id: int, n_bytes: int) -> NDArray[np.int64]:
        found = np.full(len(others), start, np.int64)
        for column in others.T:
            found = table[found ^ column]
        return found ^ final

    return crc


_CHECKSUMS: dict[str, Callable[..., NDArray[np.int64]]] = {
    "sum of the other bytes": _sum,
    "sum of the other bytes and the identifier": _sum_with_id,
    "sum of the other bytes, the identifier's bytes and the length (Toyota)": _toyota,
    "exclusive or of the other bytes": _xor,
    "CRC-8 SAE J1850 of the other bytes": _crc(0x1D, 0xFF, 0xFF),
    "CRC-8 with polynomial 0x2F of the other bytes (AUTOSAR)": _crc(0x2F, 0xFF, 0xFF),
    "CRC-8 with polynomial 0x07 of the other bytes": _crc(0x07, 0x00, 0x00),
}


def dbc_text(drafts: Iterable[Draft], source: str) -> str:
    """Return drafts as a DBC; `source` names the log in its comment."""
    drafts = list(drafts)
    lines = ['VERSION ""', "", "NS_ :", "", "BS_:", "", "BU_: Unknown", ""]
    notes = [f'CM_ "Guesses by stagelog from the traffic of {_text(source)}: check each.";']
    cycles = []
    for draft in drafts:
        message = draft.message
        number = message.can_id | (_INDEPENDENT if message.is_ext else 0)
        lines.append(f"BO_ {number} {message.name}: {message.n_bytes} Unknown")
        for signal in message.signals:
            place = f"{signal.start}|{signal.length}@{0 if signal.is_motorola else 1}+"
            lines.append(f' SG_ {signal.name} : {place} (1,0) [0|0] "" Vector__XXX')
            why = draft.notes[signal.name]
            notes.append(f'CM_ SG_ {number} {signal.name} "Guess: {_text(why)}.";')
        lines.append("")
        lengths = " or ".join(map(str, draft.lengths))
        on = ", ".join(map(str, draft.buses))
        notes.append(
            f'CM_ BO_ {number} "{draft.n_frames} frames of {lengths} bytes on bus {on}.";'
        )
        if message.cycle_ms is not None:
            cycles.append(f'BA_ "GenMsgCycleTime" BO_ {number} {message.cycle_ms};')
    lines += notes
    lines += ['BA_DEF_ BO_ "GenMsgCycleTime" INT 0 3600000;']
    lines += ['BA_DEF_DEF_ "GenMsgCycleTime" 0;', *cycles]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c not in '"\\')
