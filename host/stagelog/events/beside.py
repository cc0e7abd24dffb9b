"""The detectors over the key cycles of a log, in processes of their own beside other work.

Each key cycle is a job, as the detectors begin anew there. Where processes cannot be forked, and
for short logs, a job is done when its result is asked for. The events are the same.
"""

import time
from concurrent.futures import Future, ProcessPoolExecutor
from typing import NamedTuple

from stagelog.events.recompute import Recomputation
from stagelog.platform.processes import forks, spare_processors

PIECE_FRAMES = 1 << 18  # at a time: their memory is small beside that of the signals
_MANY_FRAMES = 1 << 20  # from here on a process of its own is worth its start


class Found(NamedTuple):
    """Events of a key cycle: `whole` as one run, `alone` a list for each session, begun anew."""

    whole: list
    alone: list


class Beside:
    """A context. `result(k)` returns Found of job k.

    jobs      lists of sessions: what yields frame tables from `iter_frames(n)`
    table     bytes of the signal table
    choose    function from a frame table to that which the detectors get
    n_frames  in all jobs
    progress  called with a share of 1, while a result is waited for
    """

    def __init__(self, jobs, table, choose, n_frames, progress):
        self._jobs = jobs
        self._work = (table, choose)
        self._n_frames = n_frames
        self._progress = progress
        self._pool = None
        self._futures: list[Future] = []
        self._done = 0

    def __enter__(self):
        n_free = spare_processors()
        if n_free > 0 and self._n_frames >= _MANY_FRAMES:
            global _FORKED
            context = forks()
            self._counter = context.Value("q", 0)
            _FORKED = (self._jobs, *self._work, self._counter)  # a fork needs no pickling
            self._pool = ProcessPoolExecutor(min(n_free, len(self._jobs)), context)
            self._futures = [self._pool.submit(_forked, k) for k in range(len(self._jobs))]
        return self

    def __exit__(self, *_):
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def result(self, k):
        """Return Found of a job; wait for it, or do it now."""
        if self._pool is None:
            return _detect(self._jobs[k], *self._work, self._count)
        while not self._futures[k].done():
            self._progress(self._counter.value / self._n_frames)
            time.sleep(0.02)
        return self._futures[k].result()

    def _count(self, n):
        self._done += n
        self._progress(self._done / self._n_frames)


_FORKED: tuple = ()


def _forked(k):
    jobs, table, choose, counter = _FORKED

    def count(n):
        with counter.get_lock():
            counter.value += n

    return _detect(jobs[k], table, choose, count)


def _detect(sessions, table, choose, count):
    run = Recomputation(table)
    alone = []
    for session in sessions:
        # The car's detectors begin anew with each session, those of a report with each key cycle.
        each = run if len(sessions) == 1 else Recomputation(table)
        for frames in session.iter_frames(PIECE_FRAMES):
            chosen = choose(frames)
            run.feed(chosen)
            if each is not run:
                each.feed(chosen)
            count(len(frames))
        alone.append(each.events)
    return Found(run.events, alone)
