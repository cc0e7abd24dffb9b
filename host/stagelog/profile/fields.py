"""Bounds of profile entries, declared beside each field of the schema classes.

Owns the declarations only; stagelog.profile enforces them.
"""

from dataclasses import MISSING, field
from typing import Any


def number(low: float, high: float, default: Any = MISSING) -> Any:
    """Declare a float within [low, high]; with a default, profiles need not have it."""
    return field(default=default, metadata={"low": low, "high": high})


def count(low: int, high: int) -> Any:
    """Declare an integer within [low, high]."""
    return field(metadata={"low": low, "high": high, "integer": True})


def numbers(low: float, high: float, n: int | None = None) -> Any:
    """Declare a tuple of floats within [low, high]; n elements, or any number but none."""
    return field(metadata={"low": low, "high": high, "n": n, "list": True})


def rising(low: float, high: float) -> Any:
    """Declare a tuple of at least two floats, each larger than the one before."""
    return field(metadata={"low": low, "high": high, "n": None, "list": True, "rising": True})


def optional(low: float, high: float) -> Any:
    """Declare a float that may be missing (None)."""
    return field(default=None, metadata={"low": low, "high": high})


def one_of(*choices: str) -> Any:
    """Declare a text out of a fixed list."""
    return field(metadata={"choices": choices})
