"""The detectors over the key cycles of a log, in processes of their own beside other work.

Each key cycle is a job: the detectors start from their initial state there. Where processes cannot
be forked, and for short logs, a job is done in this process when its result is requested. The
events are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.sharedctypes import Synchronized
from typing import NamedTuple, Protocol, Self, TypeAlias

from stagelog.events.recompute import Detected, Recomputation, count_refuels
from stagelog.model import FrameTable
from stagelog.platform.processes import forks, spare_processors

PIECE_FRAMES = 1 << 18  # at a time: their memory is small beside that of the signals
_MANY_FRAMES = 1 << 20  # from here on a process of its own is worth its start

Jobs: TypeAlias = "Sequence[Sequence[Frames]]"
Choose: TypeAlias = Callable[[FrameTable], FrameTable]


class Frames(Protocol):
    """The frames of one session."""

    def iter_frames(self, max_frames: int, /) -> Iterator[FrameTable]:
        """Yield all frames in order, in tables of at most about `max_frames`."""


class KeyCycleEvents(NamedTuple):
    """Events of a key cycle.

    whole   all sessions in one run, as a report shows them
    alone   for each session those of a run that starts with it, as the car's detectors do
    """

    whole: list[Detected]
    alone: list[list[Detected]]


class ParallelDetectors:
    """A context: `with ... as detectors: detectors.result(k)` returns KeyCycleEvents of job k.

    jobs      the sessions of each key cycle
    table     bytes of the signal table
    choose    function from a frame table to the one that the detectors get
    n_frames  in all jobs together
    progress  is given the share that is done, 0 to 1, during `result`
    refuels   entered volumes as Recomputation takes them, of all jobs: with them the jobs are done
              one after the other, in this process
    """

    def __init__(
        self,
        jobs: Jobs,
        table: bytes,
        choose: Choose,
        n_frames: int,
        progress: Callable[[float], None],
        refuels: Sequence[int] = (),
    ) -> None:
        self._jobs = jobs
        self._table = table
        self._choose = choose
        self._n_frames = n_frames
        self._progress = progress
        self._refuels = refuels
        self._pool: ProcessPoolExecutor | None = None
        self._futures: list[Future[KeyCycleEvents]] = []
        self._done = 0

    def __enter__(self) -> Self:
        n_free = spare_processors()
        if n_free > 0 and self._n_frames >= _MANY_FRAMES and not self._refuels:
            global _forked
            context = forks()
            self._counter: Synchronized[int] = context.Value("q", 0)
            # A fork inherits this: nothing is pickled.
            _forked = _Forked(self._jobs, self._table, self._choose, self._counter)
            self._pool = ProcessPoolExecutor(min(n_free, len(self._jobs)), context)
            self._futures = [self._pool.submit(_detect_forked, k) for k in range(len(self._jobs))]
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def result(self, k: int) -> KeyCycleEvents:
        """Return the KeyCycleEvents of job k, once each and in order: wait for its process, or do
        it now.
        """
        if self._pool is None:
            found = _detect(self._jobs[k], self._table, self._choose, self._count, self._refuels)
            self._refuels = self._refuels[count_refuels(found.whole) :]
            return found
        while not self._futures[k].done():
            self._progress(self._counter.value / self._n_frames)
            time.sleep(0.02)
        return self._futures[k].result()

    def _count(self, n: int) -> None:
        self._done += n
        self._progress(self._done / self._n_frames)


class _Forked(NamedTuple):
    """What a forked process inherits."""

    jobs: Jobs
    table: bytes
    choose: Choose
    counter: Synchronized[int]  # frames that are done, of all processes


_forked: _Forked


def _detect_forked(k: int) -> KeyCycleEvents:
    def count(n: int) -> None:
        with _forked.counter.get_lock():
            _forked.counter.value += n

    return _detect(_forked.jobs[k], _forked.table, _forked.choose, count)


def _detect(
    sessions: Sequence[Frames],
    table: bytes,
    choose: Choose,
    count: Callable[[int], None],
    refuels: Sequence[int] = (),
) -> KeyCycleEvents:
    run = Recomputation(table, refuels=refuels)
    alone = []
    for session in sessions:
        # The car's detectors start anew with each session, those of a report with each key cycle,
        # and know nothing that was entered.
        each = run if len(sessions) == 1 and not refuels else Recomputation(table)
        for frames in session.iter_frames(PIECE_FRAMES):
            chosen = choose(frames)
            run.feed(chosen)
            if each is not run:
                each.feed(chosen)
            count(len(frames))
        alone.append(each.events)
    return KeyCycleEvents(run.events, alone)
