"""The player: waits until a frame is due, sends it, and notes how late that was.

    |<------- until due ------->|
    build | sleep      | spin   ^ send          slack is used to build the next messages

Sleeping ends before the frame is due by as much as sleepers wake late: a window that is measured
all the time, `_Window`. The rest is a busy wait on the clock, short, for the time that it takes is
missing later: a scheduler lets those wait that used more than their share. Messages are built in
the time left over, at most LOOK_AHEAD of them, so memory is bounded and a dense burst finds its
messages ready. Lateness is the time from due to the call of `send`.

Several threads may wait for the same frame, each on a processor of its own: the first that wakes
sends it. A busy machine keeps one thread waiting for milliseconds now and then, seldom all. One
lock is held from reading the clock to the end of `send`, so frames go out once and in order;
who wakes and sees that the frame is gone sleeps again without it.
"""

import contextlib
import os
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from stagelog.model import FrameTable
from stagelog.replay.schedule import Schedule

GUARD_NS = 50_000  # the window of the busy wait at first
MOST_GUARD_NS = 500_000  # who wakes later than this was kept waiting by the scheduler
UP_NS, DOWN_NS = (
    475,
    25,
)  # of the window, for a sleeper later and earlier than it: 95 % are earlier
N_THREADS = 4
LONGEST_SLEEP_NS = 100_000_000  # then it checks if a thread has ended the replay
LEAD_NS = 50_000_000  # from the call to the first frame
LOOK_AHEAD = 8192  # messages
BATCH = 4  # messages built at once, about 20 us
ROOM_NS = 80_000  # slack in which a batch is built
FOLD_AT = 4096  # delays
FOLD_NS = 1_000_000  # slack in which they are added up
BIN_NS = 100
N_BINS = 1_000_000


Build: TypeAlias = Callable[[FrameTable], Iterable[Any]]  # messages, whatever `send` takes


class Ticks(Protocol):
    """What play() reads the time from and sleeps by: Clock, or a test's own."""

    def now_ns(self) -> int:
        """Return a time that never falls, in ns."""

    def sleep_ns(self, n: int) -> None:
        """Sleep for `n` ns, or longer."""


class Clock:
    """The machine's monotonic clock."""

    now_ns = staticmethod(time.perf_counter_ns)

    @staticmethod
    def sleep_ns(n: int) -> None:
        """Sleep for `n` ns, or longer."""
        time.sleep(n * 1e-9)


@dataclass(frozen=True, slots=True)
class Report:
    """How a replay went. Lateness is the time from due to handed over, of all frames handed over.

    n_due        frames that were to be sent; None for a loop without end
    n_not_sent   refused by the interface, `error` is the first reason, or left when interrupted
    n_late       later than `bound_us`
    early_us     how long before it was due the earliest frame went out: 0
    p50_us, p99_us   to 0.1 us, beyond 100 ms the worst; worst_us exact
    """

    n_due: int | None
    n_sent: int
    n_not_sent: int
    n_late: int
    bound_us: float
    early_us: float
    p50_us: float
    p99_us: float
    worst_us: float
    duration_s: float
    interrupted: bool
    error: str | None

    @property
    def good(self) -> bool:
        """True if every frame was sent and none was later than the bound."""
        return not (self.n_late or self.n_not_sent)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {"good": self.good, **asdict(self)}


class _Tally:
    """Delays, added up when there is time for it.

    Invariant: `counts` and the other totals hold all delays but those in `late_ns`.
    """

    def __init__(self, bound_ns: int) -> None:
        self.late_ns = array("q")
        self.counts = np.zeros(N_BINS, np.int64)
        self.bound_ns = bound_ns
        self.n_late = 0
        self.worst_ns = 0
        self.least_ns = 0
        self.n_refused = 0
        self.error: str | None = None

    def refused(self, error: Exception) -> None:
        self.n_refused += 1
        if self.error is None:
            self.error = str(error) or type(error).__name__

    def fold(self) -> None:
        if not self.late_ns:
            return
        late = np.array(self.late_ns, np.int64)
        del self.late_ns[:]
        np.add.at(self.counts, np.clip(late // BIN_NS, 0, N_BINS - 1), 1)
        self.n_late += int((late > self.bound_ns).sum())
        self.worst_ns = max(self.worst_ns, int(late.max()))
        self.least_ns = min(self.least_ns, int(late.min()))

    def percentile_us(self, pct: float) -> float:
        """Return the upper end of the bin in which the percentile lies; of the last one, which has
        none, the worst.
        """
        total = int(self.counts.sum())
        if not total:
            return 0.0
        at = int(np.searchsorted(np.cumsum(self.counts), total * pct / 100))
        upper_ns = (at + 1) * BIN_NS if at < N_BINS - 1 else self.worst_ns
        return min(upper_ns, self.worst_ns) / 1000


class _Feed:
    """Messages in the order of sending: appends (due_ns, message) to `ready`, batch by batch."""

    def __init__(self, schedule: Schedule, build: Build) -> None:
        self.ready: deque[tuple[int, Any]] = deque()
        self._schedule = schedule
        self._build = build
        self._at = 0
        self._pass = 0

    def fill(self) -> bool:
        """Build the next batch; return False at the end of the last pass."""
        schedule = self._schedule
        if self._at == len(schedule.frames):
            self._pass += 1
            self._at = 0
        if schedule.n_loops and self._pass == schedule.n_loops:
            return False
        part = slice(self._at, self._at + BATCH)
        shift_ns = self._pass * schedule.loop_ns
        due_ns = (schedule.due_ns[part] + shift_ns).tolist()
        self.ready.extend(zip(due_ns, self._build(schedule.frames[part]), strict=True))
        self._at = min(self._at + BATCH, len(schedule.frames))
        return True


class _Window:
    """How long before a frame is due its sleeper is woken: what 95 % of the sleepers are late."""

    def __init__(self) -> None:
        self.ns = GUARD_NS

    def learn(self, late_ns: int) -> None:
        if late_ns < MOST_GUARD_NS:
            self.ns = max(self.ns + (UP_NS if late_ns > self.ns else -DOWN_NS), 0)


def play(
    schedule: Schedule,
    build: Build,
    send: Callable[[Any], object],
    clock: Ticks | type[Clock] = Clock,
    *,
    bound_us: float = 1000.0,
    refusals: Iterable[type[Exception]] = (),
    n_threads: int = 1,
) -> Report:
    """Send every frame of a Schedule when it is due; return the Report.

    build     FRAME[k] -> iterable of k messages, whatever `send` takes
    clock     .now_ns() and .sleep_ns(n)
    refusals  exceptions of `send` that mean that a frame was not sent
    n_threads that wait for each frame; `build` and `send` are called by one at a time
    Ctrl-C    ends the replay with a report of what was played.
    """
    tally = _Tally(round(bound_us * 1000))
    feed = _Feed(schedule, build)
    while len(feed.ready) < LOOK_AHEAD and feed.fill():
        pass
    start_ns = clock.now_ns() + LEAD_NS
    crew = _Crew(feed, tally, send, clock, start_ns, tuple(refusals))
    interrupted = False
    try:
        crew.work(n_threads)
    except KeyboardInterrupt:
        interrupted = True
    end_ns = crew.end_ns or clock.now_ns()
    tally.fold()
    n_called = int(tally.counts.sum())
    n_sent = n_called - tally.n_refused
    n_due = schedule.n_frames
    return Report(
        n_due=n_due,
        n_sent=n_sent,
        n_not_sent=tally.n_refused if n_due is None else n_due - n_sent,
        n_late=tally.n_late,
        bound_us=bound_us,
        early_us=-tally.least_ns / 1000 if tally.least_ns else 0.0,
        p50_us=tally.percentile_us(50),
        p99_us=tally.percentile_us(99),
        worst_us=tally.worst_ns / 1000,
        duration_s=max(0, end_ns - start_ns) / 1e9,
        interrupted=interrupted,
        error=tally.error,
    )


class _Crew:
    """Threads that send the frames of a feed, whichever is awake when one is due.

    Invariant: feed and tally are used, and the next frame is set, by the holder of the lock only.
    """

    def __init__(
        self,
        feed: _Feed,
        tally: _Tally,
        send: Callable[[Any], object],
        clock: Ticks | type[Clock],
        start_ns: int,
        refusals: tuple[type[Exception], ...],
    ) -> None:
        self._feed = feed
        self._tally = tally
        self._send = send
        self._clock = clock
        self._start_ns = start_ns
        self._refusals = refusals
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._due_ns: int | None = None  # of the next frame; None after the last
        self._is_over = False
        self.end_ns = 0  # when the last was sent; 0 before

    def work(self, n_threads: int) -> None:
        """Send all frames; return when all threads have ended, raise what one of them raised."""
        self._next()
        if n_threads == 1:
            self._work()
            return
        threads = [
            threading.Thread(target=self._work_on, args=(number,)) for number in range(n_threads)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.1)  # not for ever: on Windows nothing interrupts that
        finally:
            self._is_over = True
            for thread in threads:
                thread.join()
        if self._error is not None:
            raise self._error

    def _work_on(self, processor: int) -> None:
        _stay_on(processor)
        try:
            self._work()
        except BaseException as error:
            self._error, self._is_over = error, True

    def _work(self) -> None:
        ready, now_ns, sleep, lock = (
            self._feed.ready,
            self._clock.now_ns,
            self._clock.sleep_ns,
            self._lock,
        )
        send, note, window, refusals = (
            self._send,
            self._tally.late_ns.append,
            _Window(),
            self._refusals,
        )
        while (due_ns := self._due_ns) is not None and not self._is_over:
            left_ns = due_ns - now_ns()
            sleep_ns = min(left_ns - window.ns, LONGEST_SLEEP_NS)
            if sleep_ns > 0:
                sleep(sleep_ns)
                if self._due_ns == due_ns:  # else another thread was awake earlier
                    window.learn(now_ns() - due_ns + left_ns - sleep_ns)
                continue
            with lock:
                if self._due_ns != due_ns:
                    continue
                t_ns = now_ns()
                while t_ns < due_ns:
                    t_ns = now_ns()
                note(t_ns - due_ns)
                try:
                    send(ready.popleft()[1])
                except refusals as error:
                    self._tally.refused(error)
                self._next()

    def _next(self) -> None:
        """Set when the next frame is due, None after the last; use the time until then."""
        ready, fill, now_ns = self._feed.ready, self._feed.fill, self._clock.now_ns
        if not (ready or fill()):
            self._due_ns, self.end_ns = None, now_ns()
            return
        self._due_ns = due_ns = ready[0][0] + self._start_ns
        left_ns = due_ns - now_ns()
        while left_ns > ROOM_NS and len(ready) < LOOK_AHEAD and fill():
            left_ns = due_ns - now_ns()
        if left_ns > FOLD_NS and len(self._tally.late_ns) >= FOLD_AT:
            self._tally.fold()


def _stay_on(processor: int) -> None:
    """Keep this thread on one of the processors that it may use, where the system can."""
    with contextlib.suppress(AttributeError, OSError):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[processor % len(allowed)]})
