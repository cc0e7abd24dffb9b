"""Memory of the process: what large arrays leave behind goes back to the system at once.

Works with glibc; elsewhere nothing happens, and nothing fails.
"""

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3  # of malloc.h
_LARGE_BYTES = 1 << 24


def map_large_arrays() -> None:
    """Give arrays of 16 MB and more memory of their own, which ends with them. Without it glibc
    puts those below 32 MB into the heap, once the first was freed, and keeps the holes.
    """
    _call("mallopt", _M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Give back what is free in the heap."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another library
        getattr(ctypes.CDLL(None), name)(*arguments)
