"""The player: waits until a frame is due, sends it, and notes how late that was.

    |<------- until due ------->|
    build | sleep      | spin   ^ send          slack is used to build the next messages

Sleeping ends GUARD_NS before the frame is due, because a sleeper wakes late by tens of us; the
rest is a busy wait on the clock. Messages are built in the time left over, at most
LOOK_AHEAD of them, so memory is bounded and a dense burst finds its messages ready. Lateness is
the time from due to the call of `send`.
"""

import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from stagelog.model import FrameTable
from stagelog.replay.schedule import Schedule

GUARD_NS = 100_000
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


def play(
    schedule: Schedule,
    build: Build,
    send: Callable[[Any], object],
    clock: Ticks | type[Clock] = Clock,
    *,
    bound_us: float = 1000.0,
    refusals: Iterable[type[Exception]] = (),
) -> Report:
    """Send every frame of a Schedule when it is due; return the Report.

    build     FRAME[k] -> iterable of k messages, whatever `send` takes
    clock     .now_ns() and .sleep_ns(n)
    refusals  exceptions of `send` that mean that a frame was not sent
    Ctrl-C    ends the replay with a report of what was played.
    """
    tally = _Tally(round(bound_us * 1000))
    feed = _Feed(schedule, build)
    ready = feed.ready
    while len(ready) < LOOK_AHEAD and feed.fill():
        pass
    start_ns = clock.now_ns() + LEAD_NS
    interrupted = False
    try:
        _play(feed, tally, send, clock, start_ns, tuple(refusals))
    except KeyboardInterrupt:
        interrupted = True
    end_ns = clock.now_ns()
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


def _play(
    feed: _Feed,
    tally: _Tally,
    send: Callable[[Any], object],
    clock: Ticks | type[Clock],
    start_ns: int,
    refusals: tuple[type[Exception], ...],
) -> None:
    ready, fill, now_ns = feed.ready, feed.fill, clock.now_ns
    note = tally.late_ns.append
    while ready or fill():
        due_ns, message = ready.popleft()
        due_ns += start_ns
        left_ns = due_ns - now_ns()
        while left_ns > ROOM_NS and len(ready) < LOOK_AHEAD and fill():
            left_ns = due_ns - now_ns()
        if left_ns > FOLD_NS and len(tally.late_ns) >= FOLD_AT:
            tally.fold()
            left_ns = due_ns - now_ns()
        if left_ns > GUARD_NS:
            clock.sleep_ns(left_ns - GUARD_NS)
        t_ns = now_ns()
        while t_ns < due_ns:
            t_ns = now_ns()
        note(t_ns - due_ns)
        try:
            send(message)
        except refusals as error:
            tally.refused(error)
