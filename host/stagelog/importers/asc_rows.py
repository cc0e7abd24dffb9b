"""Reads the usual ASC lines as columns, many lines at once: frames of any spacing, in hexadecimal,
classic ones in decimal numbers, too.

    0     1      2     3   4     5   6 ..                        word of the line
    t     1      123   Rx  d     2   01 02  [Length = ..]        classic; x behind 29 bits
    t     1      ErrorFrame
    t     CANFD  1     Rx  123   [name]  1  0  9  12  00 .. 0B  duration length flags ..
                                         BRS, ESI, DLC, number of bytes

Owns the positions of the words. A line that does not fit, or contradicts itself, keeps `ok` False
and is left to python-can's reader (asc.py). What is read here is what python-can reads.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.importers import columns as col
from stagelog.importers.columns import Bytes, Mask, Rows
from stagelog.importers.line_rows import BACK, FRONT, Lines
from stagelog.model import BRS, ERR, ESI, EXT, FD, FD_LENGTHS

Places: TypeAlias = int | NDArray[np.int64]  # of a word in each line

_U = np.uint64
_IS_BLANK = np.isin(np.arange(256), (9, 10, 13, 32))
_BLANK_WORD = _U(0x2020202020202020)
# of a payload in words, by its room: the characters in use for n bytes, those that are blanks
_USED = {
    width: np.repeat(np.tri(width + 1, width, -1, np.uint8) * 255, 3, axis=1).view(np.uint64)
    for width in (8, 64)
}
_BLANK_AT = {
    width: np.tile(np.array([255, 0, 0], np.uint8), width).view(np.uint64) for width in (8, 64)
}
_NIBBLE = np.frombuffer(bytes(range(256)).translate(col.NIBBLES), np.uint8)
_FLAG_FD = _U(0x1000)


def read_rows(lines: Lines, is_hex: bool = True) -> None:
    """Read every line of the usual shapes; the other rows keep `ok` False.

    is_hex  False for a log with decimal numbers: its CAN FD is left to python-can
    """
    words = _words_of(lines)
    if not len(words.begins):
        return
    first = lines.text[words.begin(1)]
    classic = np.flatnonzero((words.n >= 6) & (first != ord("C")))
    if len(classic):
        _put_classic(lines, words.of(classic), is_hex)
    fd = np.flatnonzero((words.n >= 12) & (first == ord("C")))
    if len(fd) and is_hex:
        _put_fd(lines, words.of(fd))
    if not lines.ok.all():
        errors = np.flatnonzero((words.n >= 3) & (lines.text[words.begin(2)] == ord("E")))
        if len(errors):
            _put_errors(lines, words.of(errors))


@dataclass(frozen=True, slots=True)
class _Words:
    """Where the words of lines begin and end.

    begins, ends   of all words of the text
    first, n       number of a line's first word among them, and how many it has
    rows           of the lines
    """

    text: Bytes
    begins: Rows
    ends: Rows
    first: Rows
    n: Rows
    rows: Rows

    def of(self, rows: Rows) -> "_Words":
        """Return the words of some of the lines."""
        return replace(self, first=self.first[rows], n=self.n[rows], rows=self.rows[rows])

    def without_first(self, left_out: Mask) -> "_Words":
        """Return the words less the first of some lines."""
        return replace(self, first=self.first + left_out, n=self.n - left_out)

    def begin(self, k: Places) -> Rows:
        """Return where word k of each line begins."""
        return self.begins.take(self.first + k, mode="clip")

    def end(self, k: Places) -> Rows:
        """Return where word k of each line ends."""
        return self.ends.take(self.first + k, mode="clip")

    def are(self, k: int, spelled: bytes) -> Mask:
        """Return whether word k of each line is this one."""
        at = self.begin(k)
        same = self.end(k) - at == len(spelled)
        for j, character in enumerate(spelled):
            same &= self.text[at + j] == character
        return same


class _Numbers(NamedTuple):
    values: NDArray[Any]
    good: Mask


def _put_classic(lines: Lines, words: _Words, is_hex: bool) -> None:
    t_us, good = _times(words)
    bus, sound = _buses(words, 1)
    good &= sound & _is_direction(words, 3) & words.are(4, b"d")
    can_id, flags, sound = _identifiers(words, 2, is_hex)
    good &= sound
    n_bytes, sound = _nibbles(words, 5)
    good &= sound & (n_bytes <= 8)
    n_bytes = np.where(good, n_bytes, 0).astype(np.int64)
    data, sound = _payloads(words, 6, n_bytes, 8) if is_hex else _decimal_bytes(words, 6, n_bytes)
    good &= sound
    longer = words.n > 6 + n_bytes
    if longer.any():  # `Length = 240000`, but no further byte
        n_next = words.end(6 + n_bytes) - words.begin(6 + n_bytes)
        good &= ~longer | (n_next > (2 if is_hex else 3))
    first8 = np.ascontiguousarray(data).view(np.uint64)[:, 0]
    lines.put(
        words.rows,
        good,
        t_us=t_us,
        bus=bus,
        can_id=can_id,
        flags=flags,
        n_bytes=n_bytes,
        dlc=n_bytes,
        data=first8,
    )


def _put_fd(lines: Lines, words: _Words) -> None:
    t_us, good = _times(words)
    bus, sound = _buses(words, 2)
    good &= sound & words.are(1, b"CANFD") & _is_direction(words, 3)
    can_id, flags, sound = _identifiers(words, 4)
    good &= sound
    words = words.without_first(lines.text[words.begin(5)] > ord("9"))  # a name: not counted
    brs, has_brs = _nibbles(words, 5)
    esi, has_esi = _nibbles(words, 6)
    dlc, has_dlc = _nibbles(words, 7)
    good &= has_brs & has_esi & has_dlc & (brs <= 1) & (esi <= 1)
    n_bytes, sound = _decimals(words, 8, 2)
    good &= sound & (n_bytes >= 1) & (n_bytes <= 64)
    n_bytes = np.where(good, n_bytes, 0).astype(np.int64)
    data, sound = _payloads(words, 9, n_bytes, 64)
    good &= sound & (words.n > 11 + n_bytes)
    shown, sound = _hex_words(words, 11 + n_bytes)
    good &= sound
    is_fd = ((shown & _FLAG_FD) != 0) | (n_bytes > 8)
    good &= n_bytes == np.where(is_fd, FD_LENGTHS[dlc & 15], np.minimum(dlc, 8))
    flags = flags | np.where(is_fd, FD, 0) | BRS * brs | ESI * esi
    lines.put(
        words.rows,
        good,
        t_us=t_us,
        bus=bus,
        can_id=can_id,
        flags=flags.astype(np.uint8),
        n_bytes=n_bytes,
        dlc=np.where(is_fd, dlc, n_bytes),
        data=np.ascontiguousarray(data[:, :8]).view(np.uint64)[:, 0],
    )
    lines.put_payloads(words.rows, good, data, n_bytes)


def _put_errors(lines: Lines, words: _Words) -> None:
    t_us, good = _times(words)
    bus, sound = _buses(words, 1)
    good &= sound & words.are(2, b"ErrorFrame")
    flags = np.full(len(good), EXT | ERR, np.uint8)  # as python-can reads it
    lines.put(words.rows, good, t_us=t_us, bus=bus, flags=flags)


def _words_of(lines: Lines) -> _Words:
    text = lines.text
    is_blank = text <= 32
    edges = np.flatnonzero(is_blank[:-1] != is_blank[1:]) + 1
    begins, ends = np.ascontiguousarray(edges[0::2]), np.ascontiguousarray(edges[1::2])
    first = np.searchsorted(begins, lines.starts)
    n = np.diff(first, append=np.searchsorted(begins, lines.ends[-1:]))
    n[_odd_rows(lines)] = 0
    return _Words(text, begins, ends, first, n, np.arange(len(n)))


def _odd_rows(lines: Lines) -> Rows:
    """Return the rows with a character that is no plain text: some of them part words, too."""
    inside = lines.text[FRONT:-BACK]
    low = np.flatnonzero(inside < 32)
    odd = low[~_IS_BLANK[inside[low]]]
    if inside.max() >= 127:
        odd = np.append(odd, np.flatnonzero(inside >= 127))
    return np.unique(np.searchsorted(lines.starts, odd + FRONT, side="right") - 1)


def _is_direction(words: _Words, k: int) -> Mask:
    return words.are(k, b"Rx") | words.are(k, b"Tx")


def _times(words: _Words) -> tuple[NDArray[np.int64], Mask]:
    """Return (microseconds, good) of the first words: 1 to 9 decimals, rounded to 6.

    Half a microsecond is left to python-can, whose float decides.
    """
    text, begin, end = words.text, words.begin(0), words.end(0)
    dot = end - 7
    if not (text[dot] == ord(".")).all():
        dot = col.first_after(np.flatnonzero(text == ord(".")), begin, end)
    n_whole, n_part = dot - begin, end - dot - 1
    good = (n_whole >= 1) & (n_whole <= 12) & (n_part >= 1) & (n_part <= 9)
    seconds, bad = col.whole_number(text, dot, np.clip(n_whole, 0, 16))
    good &= ~bad
    part, bad = col.digits_of(
        col.windows(text, dot + 1, 8)[:, 0], col.FIRST[np.clip(n_part, 0, 8)]
    )
    good &= ~bad
    part = col.decimal_number(part)
    if (n_part > 6).any():
        good &= (n_part < 9) | (text[end - 1] - ord("0") < 10)  # a byte below "0" wraps
        good &= part % _U(100) != 50
        part = part + _U(50)
    t_us = seconds * _U(1_000_000) + part // _U(100)
    return t_us.view(np.int64), good


def _buses(words: _Words, k: int) -> tuple[NDArray[np.uint8], Mask]:
    """Return (bus, good) of channels, which count from 1."""
    channel, good = _decimals(words, k, 3)
    return (channel - 1).astype(np.uint8), good & (channel >= 1) & (channel <= 256)


def _decimals(words: _Words, k: int, n_most: int) -> _Numbers:
    """Return word k as decimal numbers of at most `n_most` digits."""
    end = words.end(k)
    n = end - words.begin(k)
    digits, bad = col.digits_of(
        col.windows(words.text, end - 8, 8)[:, 0], col.LAST[np.clip(n, 0, 8)]
    )
    return _Numbers(col.decimal_number(digits).view(np.int64), ~bad & (n <= n_most))


def _hex_words(words: _Words, k: Places, is_cut: Any = 0) -> _Numbers:
    """Return word k as hexadecimal numbers of 1 to 8 digits, less `is_cut` characters behind."""
    end = words.end(k) - is_cut
    n = end - words.begin(k)
    nibbles = col.hex_words(col.windows(words.text, end - 8, 8))[:, 0]
    nibbles &= col.LAST[np.clip(n, 0, 8)]
    good = (n >= 1) & (n <= 8) & (nibbles & col.HIGH == 0)
    return _Numbers(col.hex_number(nibbles), good)


def _nibbles(words: _Words, k: int) -> _Numbers:
    """Return word k as hexadecimal numbers of one digit."""
    at = words.begin(k)
    values = _NIBBLE[words.text[at]]
    return _Numbers(values, (words.end(k) - at == 1) & (values < 16))


def _identifiers(
    words: _Words, k: int, is_hex: bool = True
) -> tuple[NDArray[np.uint32], NDArray[np.uint8], Mask]:
    """Return (identifiers, EXT or 0, good) of word k; x stands behind 29 bits."""
    end = words.end(k)
    is_ext = (words.text[end - 1] | 32) == ord("x")
    if is_hex:
        can_id, good = _hex_words(words, k, is_ext)
    else:
        n = end - is_ext - words.begin(k)
        number, bad = col.whole_number(words.text, end - is_ext, np.clip(n, 0, 16))
        good = ~bad & (n >= 1) & (n <= 9)
        can_id = np.where(good, number, 0).astype(np.uint32)
    good &= can_id <= np.where(is_ext, np.uint32(0x1FFFFFFF), np.uint32(0x7FF))
    return can_id, np.where(is_ext, EXT, 0).astype(np.uint8), good


def _payloads(
    words: _Words, k: int, n_bytes: NDArray[np.int64], width: int
) -> tuple[NDArray[np.uint8], Mask]:
    """Return (payloads, good): `n_bytes` words of two digits from word k on, one blank apart."""
    at = words.begin(k)
    window = col.windows(words.text, at - 1, 3 * width)  # " 01 02 03"
    nibbles = col.hex_words(window)
    used, blanks = _USED[width][n_bytes], _BLANK_AT[width]
    wrong = ((window ^ _BLANK_WORD) & blanks | nibbles & col.HIGH & ~blanks) & used
    good = np.bitwise_or.reduce(wrong, axis=1) == 0
    digits = (nibbles & used).view(np.uint8).reshape(-1, width, 3)
    behind = words.text[at + 3 * n_bytes - 1]
    data = digits[:, :, 1] << np.uint8(4) | digits[:, :, 2]
    return data, good & (_IS_BLANK[behind] | (n_bytes == 0))


def _decimal_bytes(
    words: _Words, k: int, n_bytes: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], Mask]:
    """Return (payloads of 8 bytes, good): `n_bytes` words of up to three digits from word k on."""
    data = np.zeros((len(n_bytes), 8), np.uint8)
    good = words.n >= k + n_bytes
    for at in range(8):
        is_used = n_bytes > at
        values, sound = _decimals(words, k + at, 3)
        good &= ~is_used | (sound & (values <= 255))
        data[:, at] = np.where(is_used, values, 0)
    return data, good
