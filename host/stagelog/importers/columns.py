"""Text to numbers, many rows at once: gathers of fixed windows, hexadecimal and decimal digits by
word arithmetic.

Owns no format. Every function takes and returns whole columns; an invalid digit is reported
per row, never raised. A window is 8 or 16 bytes read at any byte position as little-endian words:
the first character is the lowest byte.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Words: TypeAlias = NDArray[np.uint64]
Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.intp]  # positions: of rows, or in a text

_U = np.uint64
_nibbles = bytearray(b"\x80" * 256)
for _k, _c in enumerate(b"0123456789ABCDEF"):
    _nibbles[_c] = _k
for _k, _c in enumerate(b"abcdef"):
    _nibbles[_c] = 10 + _k
NIBBLES = bytes(_nibbles)

# keep the first / the last n characters of a window of 8
FIRST = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)
LAST = np.array([((1 << 64) - 1) ^ ((1 << (8 * (8 - n))) - 1) for n in range(9)], np.uint64)
HIGH = _U(0x8080808080808080)


def windows(text: Bytes, at: Rows, width: int) -> Words:
    """Return `width` bytes from each position as words, shape (len(at), width // 8).

    The caller pads the text.
    """
    view = np.ndarray((len(text) - width + 1,), f"V{width}", text, strides=(1,))
    return view[at].view(np.uint64).reshape(len(at), width // 8)


def hex_words(words: Words) -> Words:
    """Return nibbles in place of hexadecimal characters.

    0x80 (see HIGH) where a character is none.
    """
    return np.frombuffer(bytearray(words.tobytes().translate(NIBBLES)), np.uint64).reshape(
        words.shape
    )


def pack_hex(nibbles: Words) -> Words:
    """Join 8 nibbles in character order to 4 bytes in the same order, low half of the result."""
    pairs = ((nibbles << _U(4)) | (nibbles >> _U(8))) & _U(0x00FF00FF00FF00FF)
    pairs = (pairs | (pairs >> _U(8))) & _U(0x0000FFFF0000FFFF)
    return (pairs | (pairs >> _U(16))) & _U(0xFFFFFFFF)


def hex_number(nibbles: Words) -> NDArray[np.uint32]:
    """Return the number that 8 hexadecimal characters spell, most significant first."""
    return pack_hex(nibbles).astype(np.uint32).byteswap()


def digits_of(words: Words, mask: Words | np.uint64) -> tuple[Words, Mask]:
    """Return (digits under the mask, zero elsewhere.

    True per row where a character is no decimal digit).
    """
    digits = (words ^ _U(0x3030303030303030)) & mask
    bad = ((digits | ((digits & ~HIGH) + _U(0x7676767676767676))) & HIGH) != 0
    return digits, bad


def decimal_number(digits: Words) -> Words:
    """Return the number that 8 decimal digits spell, most significant first."""
    pairs = (digits * _U(10) + (digits >> _U(8))) & _U(0x00FF00FF00FF00FF)
    fours = (pairs * _U(100) + (pairs >> _U(16))) & _U(0x0000FFFF0000FFFF)
    return (fours * _U(10_000) + (fours >> _U(32))) & _U(0xFFFFFFFF)


def whole_number(text: Bytes, end: Rows, n_digits: NDArray[np.int64]) -> tuple[Words, Mask]:
    """Return (number, True per row where a character is no digit) of up to 16 decimal digits that
    end before `end`.
    """
    words = windows(text, end - 16, 16)
    high, bad_high = digits_of(words[:, 0], LAST[np.maximum(n_digits - 8, 0)])
    low, bad_low = digits_of(words[:, 1], LAST[np.minimum(n_digits, 8)])
    same = len(high) > 0 and bool((high == high[0]).all())
    hundreds = decimal_number(high[:1] if same else high)  # one for all where they are equal
    return decimal_number(low) + hundreds * _U(100_000_000), bad_high | bad_low


def first_after(marks: Rows, starts: Rows, ends: Rows) -> Rows:
    """Return per row the first mark in [start, end), or `end` where there is none.

    `marks` ascends.
    """
    if len(marks) == len(starts) and (marks >= starts).all() and (marks < ends).all():
        return marks
    if not len(marks):
        return ends
    k = np.searchsorted(marks, starts)
    found = marks[np.minimum(k, len(marks) - 1)]
    return np.where((k < len(marks)) & (found < ends), np.maximum(found, starts), ends)
