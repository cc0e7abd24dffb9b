"""Processes beside this one."""

import multiprocessing
import os
import sys
from multiprocessing.context import BaseContext


def processors() -> int:
    """Return how many processors this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spare_processors() -> int:
    """Return how many processors this process may use beside one, 0 where it cannot fork.

    A fork shares what is mapped and needs no pickling; macOS warns of it, Windows has none.
    """
    return processors() - 1 if sys.platform == "linux" else 0


def forks() -> BaseContext:
    """Return the context of multiprocessing that forks."""
    return multiprocessing.get_context("fork")
