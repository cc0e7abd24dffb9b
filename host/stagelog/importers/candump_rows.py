"""Reads the two usual shapes of candump lines as columns, many lines at once.

Owns the positions of the fields; the grammar is drawn in candump.py. A line that does not fit
keeps `ok` False and is left to candump_lines. Every reader computes whole columns for its
candidate lines and judges them once, at the end.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.importers import columns as col
from stagelog.importers.columns import Bytes, Mask, Rows
from stagelog.importers.line_rows import DLC_OF_LENGTH, Lines
from stagelog.importers.stream import BusNames
from stagelog.model import BRS, ERR, ESI, EXT, FD, RTR

Head: TypeAlias = dict[str, NDArray[Any]]  # columns of the lines that stand before the payload

_MAX_PATTERNS = 64  # different "interface and flags" texts per chunk that are read as columns
_FLAG_TOKENS = {b"TX", b"RX", b"-", b"B", b"E"}
_U = np.uint64


class CandumpLines(Lines):
    """Lines with what stands around the identifier: time in brackets, interface and flags."""

    def __init__(self, block: bytes) -> None:
        super().__init__(block)
        n = len(self.ok)
        self.timed = np.zeros(n, bool)
        self.pattern = np.zeros((n, 4), np.uint64)  # the text between time and identifier
        text = self.text
        opened = self.starts + (text[self.starts] == 32)
        self.open = np.where(text[opened] == 40, opened, -1)
        self.close = col.first_after(np.flatnonzero(text == 41), self.starts, self.ends)

    def name_buses(self, buses: BusNames) -> None:
        """Turn patterns into bus numbers.

        Rows whose pattern names no interface lose their `ok`.
        """
        left = np.flatnonzero(self.ok)
        patterns = self.pattern if len(left) == len(self.ok) else self.pattern[left]
        for _ in range(_MAX_PATTERNS):
            if not len(left):
                return
            same = (patterns == patterns[0]).all(axis=1)
            name = _interface_of(patterns[0].tobytes())
            bus = buses.index(name) if name else None
            if bus is None:
                self.ok[left[same]] = False
            else:
                self.bus[left[same]] = bus
            left, patterns = left[~same], patterns[~same]
        self.ok[left] = False


def _interface_of(pattern: bytes) -> str | None:
    """Return the interface named by the text between time and identifier, or None if the text
    is something else.
    """
    tokens = pattern.strip(b" \0").split()
    if not tokens or not _FLAG_TOKENS.issuperset(tokens[1:]):
        return None
    return tokens[0].decode("ascii", "replace")


def read_log_rows(lines: CandumpLines) -> None:
    """Read the lines of log format; classic, remote and FD."""
    text = lines.text
    hashes = col.first_after(np.flatnonzero(text == 35), lines.starts, lines.ends)
    rows = np.flatnonzero((hashes < lines.ends) & (hashes - lines.starts >= 5))
    if not len(rows):
        return
    at, end = hashes[rows] + 1, lines.ends[rows]
    end = end - 2 * ((text[end - 2] == 32) & np.isin(text[end - 1], (82, 84, 114, 116)))
    is_fd = text[at] == 35
    if is_fd.any():
        fd = np.flatnonzero(is_fd)
        _put_fd(lines, rows[fd], at[fd], end[fd])
        classic = np.flatnonzero(~is_fd)
        rows, at, end = rows[classic], at[classic], end[classic]
    if len(rows):
        _put_classic(lines, rows, at, end)


def _put_classic(lines: CandumpLines, rows: Rows, at: Rows, end: Rows) -> None:
    text = lines.text
    head, good = _read_head(lines, rows, at - 1)
    n_digits = end - at
    remote = ((text[at] | 32) == 114) & (n_digits >= 1)
    n_bytes = np.clip(n_digits, 0, 16) >> 1
    nibbles = col.hex_words(col.windows(text, at, 16))
    if n_bytes.min() < 8:
        n_bytes = np.where(remote, 0, n_bytes)
        nibbles[:, 0] &= col.FIRST[np.minimum(2 * n_bytes, 8)]
        nibbles[:, 1] &= col.FIRST[np.maximum(2 * n_bytes - 8, 0)]
    bytes4 = col.pack_hex(nibbles)
    data = bytes4[:, 0] | (bytes4[:, 1] << _U(32))
    sound = (n_digits == 2 * n_bytes) & ((nibbles[:, 0] | nibbles[:, 1]) & col.HIGH == 0)
    dlc = n_bytes
    if remote.any():
        digit = np.where(n_digits == 2, text[at + 1], 48)
        sound |= remote & (n_digits <= 2) & (digit >= 48) & (digit <= 56)
        dlc = np.where(remote, digit - 48, dlc)
        head["flags"] = head["flags"] | np.where(remote, RTR, 0)
        data = np.where(remote, _U(0), data)
    lines.put(rows, good & sound, n_bytes=n_bytes, dlc=dlc, data=data, **head)


def _put_fd(lines: CandumpLines, rows: Rows, at: Rows, end: Rows) -> None:
    head, good = _read_head(lines, rows, at - 1)
    flag = col.hex_words(col.windows(lines.text, at + 1, 8))[:, 0] & col.FIRST[1]
    n_digits = end - at - 2
    n_bytes = np.clip(n_digits, 0, 128) >> 1
    halves = np.empty((len(rows), 16), np.uint32)
    good &= (n_digits == 2 * n_bytes) & (flag & col.HIGH == 0)
    nibbles = col.hex_words(col.windows(lines.text, at + 2, 128))
    for k in range(16):
        word = nibbles[:, k] & col.FIRST[np.clip(2 * n_bytes - 8 * k, 0, 8)]
        good &= word & col.HIGH == 0
        halves[:, k] = col.pack_hex(word)
    head["flags"] = head["flags"] | (
        FD + BRS * (flag & _U(1)) + (ESI >> 1) * (flag & _U(2))
    ).astype(np.uint8)
    data = halves.view(np.uint8)
    first8 = halves[:, :2].copy().view(np.uint64)[:, 0]
    lines.put(rows, good, n_bytes=n_bytes, dlc=DLC_OF_LENGTH[n_bytes], data=first8, **head)
    lines.put_payloads(rows, good, data, n_bytes)


def read_table_rows(lines: CandumpLines) -> None:
    """Read the lines of table format; a length in one digit is classic, in two digits FD."""
    text = lines.text
    opening = col.first_after(np.flatnonzero(text == 91), lines.starts, lines.ends)
    rows = np.flatnonzero((opening < lines.ends) & ~lines.ok & (opening - lines.starts >= 8))
    at = opening[rows]
    spaced = (text[at - 2] == 32) & (text[at - 1] == 32)
    for width, is_shape in (
        (64, spaced & (text[at + 3] == 93)),
        (8, spaced & (text[at + 2] == 93)),
    ):
        if is_shape.any():
            _put_table(lines, rows[is_shape], at[is_shape], width)


def _put_table(lines: CandumpLines, rows: Rows, at: Rows, width: int) -> None:
    text = lines.text
    n_length = 1 if width == 8 else 2
    head, good = _read_head(lines, rows, at - (4 - n_length))
    n_bytes = text[at + 1].astype(np.int64) - 48
    if width == 64:
        n_bytes = n_bytes * 10 + text[at + 2] - 48
        head["flags"] = head["flags"] | FD
    good &= (n_bytes >= 0) & (n_bytes <= width)
    first = at + n_length + 4
    n_line = lines.ends[rows] - first
    remote = (text[first] == 114) & (n_line >= 14) & (width == 8)
    n_bytes = np.where(good, n_bytes, 0)
    dlc = DLC_OF_LENGTH[n_bytes]
    n_bytes = np.where(remote, 0, n_bytes)
    head["flags"] = head["flags"] | np.where(remote, RTR, 0).astype(np.uint8)
    good &= (n_line >= 3 * n_bytes - 1) | (n_bytes == 0)
    # behind the bytes: nothing, or the text of `candump -a` set off by blanks
    behind = text[np.minimum(first + 3 * n_bytes, lines.ends[rows])]
    good &= (n_line <= 3 * n_bytes) | (behind == 32) | (behind == 39) | remote
    words = col.windows(text, first - 1, 3 * width)
    separators = words.view(np.uint8).reshape(-1, width, 3)[:, :, 0]
    nibbles = col.hex_words(words).view(np.uint8).reshape(-1, width, 3)
    beyond = np.arange(width) >= n_bytes[:, None]
    good &= ((separators == 32) | beyond).all(axis=1)
    good &= (((nibbles[:, :, 1] | nibbles[:, :, 2]) < 16) | beyond).all(axis=1)
    data = np.where(beyond, 0, (nibbles[:, :, 1] << 4) | (nibbles[:, :, 2] & 15)).astype(np.uint8)
    first8 = np.ascontiguousarray(data[:, :8]).view(np.uint64)[:, 0]
    lines.put(rows, good, n_bytes=n_bytes, dlc=dlc, data=first8, **head)
    if width == 64:
        lines.put_payloads(rows, good, data, n_bytes)


def _read_head(lines: CandumpLines, rows: Rows, id_end: Rows) -> tuple[Head, Mask]:
    """Read time, interface and identifier of rows whose identifier ends before `id_end`:
    (columns, good).
    """
    can_id, flags, id_start, good = _read_ids(lines.text, id_end)
    t_us, timed, sound = _read_times(lines, rows)
    good &= sound
    begin = np.where(timed, lines.close[rows] + 1, lines.starts[rows])
    length = id_start - begin
    good &= (length >= 2) & (length <= 32)
    n_words = min(4, max(1, -(-int(length.max()) // 8)))
    pattern = np.zeros((len(rows), 4), np.uint64)
    pattern[:, 4 - n_words :] = col.windows(lines.text, id_start - 8 * n_words, 8 * n_words)
    for k in range(4 - n_words, 4):
        pattern[:, k] &= col.LAST[np.clip(length - 8 * (3 - k), 0, 8)]
    return {
        "can_id": can_id,
        "flags": flags,
        "t_us": t_us,
        "timed": timed,
        "pattern": pattern,
    }, good


def _read_ids(
    text: Bytes, id_end: Rows
) -> tuple[NDArray[np.uint32], NDArray[np.uint8], Rows, Mask]:
    """Return (numbers, EXT or ERR flags, first position, good) of identifiers with 3 or 8
    digits.
    """
    short = text[id_end - 4] == 32
    nibbles = col.hex_words(col.windows(text, id_end - 8, 8))[:, 0]
    if short.all():
        nibbles &= col.LAST[3]
        numbers = col.hex_number(nibbles)
        flags = np.zeros(len(numbers), np.uint8)
        return numbers, flags, id_end - 3, (nibbles & col.HIGH == 0) & (numbers <= 0x7FF)
    nibbles &= np.where(short, col.LAST[3], col.LAST[8])
    numbers = col.hex_number(nibbles)
    error = ~short & ((numbers & np.uint32(0x20000000)) != 0)
    good = (nibbles & col.HIGH == 0) & (short | (text[id_end - 9] == 32)) & (numbers <= 0x3FFFFFFF)
    good &= ~short | (numbers <= 0x7FF)
    flags = np.where(short, 0, np.where(error, ERR, EXT)).astype(np.uint8)
    return numbers & np.uint32(0x1FFFFFFF), flags, np.where(short, id_end - 3, id_end - 8), good


def _read_times(lines: CandumpLines, rows: Rows) -> tuple[NDArray[np.int64], Mask, Mask]:
    """Return (microseconds, has a time, good: sound or no time at all) of `(seconds.fraction)`
    at the line's start.
    """
    text, opening, close = lines.text, lines.open[rows], lines.close[rows]
    timed = opening >= 0
    dot = close - 7
    point = text[dot] == 46
    if not point.all():
        dot = np.where(point, dot, close - 10)
    n_whole = dot - opening - 1
    good = (text[dot] == 46) & (n_whole >= 1) & (n_whole <= 12)
    seconds, bad_whole = col.whole_number(text, dot, np.clip(n_whole, 0, 16))
    part, bad_part = col.digits_of(col.windows(text, dot + 1, 8)[:, 0], col.FIRST[6])
    good &= ~(bad_whole | bad_part)
    t_us = (seconds * _U(1_000_000) + col.decimal_number(part << _U(16))).view(np.int64)
    if not timed.all():
        t_us = np.where(timed, t_us, 0)
        good |= ~timed
    return t_us, timed, good
