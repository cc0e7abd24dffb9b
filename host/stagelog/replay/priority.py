"""Keep other work off while a replay runs: real-time priority where allowed, else a short time
slice; no collection of garbage.

Owns what is changed in this process and undoes all of it. Never fails: what is not allowed is left
out, and the text names what was granted.
"""

import contextlib
import ctypes
import gc
import os
import platform
import struct
import sys
from collections.abc import Iterator

import numpy as np

from stagelog.replay.player import GUARD_NS
from stagelog.replay.schedule import Schedule

PRIORITY = 50
LEAST_SLEEP_pct = 20  # the kernel stops a real-time process that takes over 95 % of a second
_SECOND_NS = 1_000_000_000
SLICE_NS = 100_000  # the shortest that Linux takes
_SCHED_CALLS = {"x86_64": (315, 314), "aarch64": (275, 274)}  # sched_getattr, sched_setattr
# size, policy, flags, nice, priority, runtime (of a normal task: its slice), deadline, period
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
_TIMER_SLACK, _GET_TIMER_SLACK = 29, 30  # prctl


@contextlib.contextmanager
def keep_time(schedule: Schedule | None = None, real_time: bool = True) -> Iterator[str]:
    """Yield a text that says how this process is scheduled as long as the context lasts.

    A schedule that leaves the player too little sleep gets no real-time priority: the kernel would
    stop it for 50 ms in every second.
    """
    was_collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with _fine_timers(), _short_slice():
            if not real_time:
                yield "normal priority"
            elif schedule is not None and sleep_pct(schedule) < LEAST_SLEEP_pct:
                yield "normal priority: the frames come too densely for real time"
            else:
                with _real_time() as how:
                    yield how
    finally:
        gc.unfreeze()
        if was_collecting:
            gc.enable()


def sleep_pct(schedule: Schedule) -> float:
    """Return the share of its densest second in which the player sleeps, percent."""
    sleeps = np.maximum(np.diff(schedule.due_ns, prepend=0) - GUARD_NS, 0)
    second = schedule.due_ns // _SECOND_NS
    n_seconds = int(second[-1]) + 1
    if n_seconds > 100 * len(sleeps) + 1000:
        return 100.0  # nearly nothing to do
    slept_ns = np.bincount(second, sleeps, n_seconds)
    slept_ns[np.bincount(second, minlength=n_seconds) == 0] = _SECOND_NS
    whole = slept_ns[:-1] if n_seconds > 1 else slept_ns * _SECOND_NS / max(1, schedule.loop_ns)
    return 100 * float(min(whole.min(), _SECOND_NS)) / _SECOND_NS


@contextlib.contextmanager
def _real_time() -> Iterator[str]:
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except (AttributeError, OSError):
        yield "normal priority: real time is not allowed here"
        return
    locked = _call("mlockall", 1)
    try:
        yield f"real-time priority {PRIORITY}" + (", memory locked" if locked else "")
    finally:
        if locked:
            _call("munlockall")
        os.sched_setscheduler(0, *before)


@contextlib.contextmanager
def _fine_timers() -> Iterator[None]:
    """Let the kernel wake this thread to the microsecond, not to 50 of them."""
    libc = _libc()
    prctl = getattr(libc, "prctl", None)
    before = prctl(_GET_TIMER_SLACK, 0, 0, 0, 0) if prctl else -1
    if prctl and before > 0:
        prctl(_TIMER_SLACK, 1, 0, 0, 0)
    try:
        yield
    finally:
        if prctl and before > 0:
            prctl(_TIMER_SLACK, before, 0, 0, 0)


@contextlib.contextmanager
def _short_slice() -> Iterator[None]:
    """Ask for a time slice of SLICE_NS, which everybody may: Linux 6.12 and later let a task with
    a short slice run as soon as it wakes, where it has not used more than its share. Threads that
    are started meanwhile inherit it.
    """
    done = _set_slice(SLICE_NS)
    try:
        yield
    finally:
        if done:
            _set_slice(0)


def _set_slice(slice_ns: int) -> bool:
    """Set the slice of this thread, 0 for the system's own; return whether that was possible."""
    numbers = _SCHED_CALLS.get(platform.machine()) if sys.platform == "linux" else None
    syscall = getattr(_libc(), "syscall", None)
    if numbers is None or syscall is None:
        return False
    get, put = numbers
    attributes = ctypes.create_string_buffer(_SCHED_ATTR.size)
    if syscall(get, 0, attributes, _SCHED_ATTR.size, 0):
        return False
    size, policy, flags, nice, priority, _, *rest = _SCHED_ATTR.unpack(attributes)
    wanted = _SCHED_ATTR.pack(size, policy, flags, nice, priority, slice_ns, *rest)
    return policy == os.SCHED_OTHER and not syscall(put, 0, wanted, 0)


def _libc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None


def _call(name: str, *arguments: int) -> bool:
    function = getattr(_libc(), name, None)
    return function is not None and bool(function(*arguments) == 0)
