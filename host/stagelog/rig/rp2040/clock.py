"""Emulated time and its alarms, with the interface that rp2040py's peripherals expect.

Owns the queue of alarms. The time itself is the engine's; it is in femtoseconds inside, in
nanoseconds for rp2040py and in microseconds for the rest of the rig. An alarm fires at its own
time, whatever the instruction that was running when it came due.
"""

import heapq
from collections.abc import Callable
from typing import TypeAlias

from stagelog.rig.rp2040.engine import FS_PER_US, NEVER, Shared

_FS_PER_NS = FS_PER_US // 1000
Token: TypeAlias = tuple[int, int, "Alarm"]  # time, running number, whose setting it is


class Alarm:
    """One thing to do at one time; scheduling it again moves it."""

    __slots__ = ("_clock", "_token", "callback")

    def __init__(self, clock: "Clock", callback: Callable[[], object]) -> None:
        self._clock = clock
        self.callback = callback
        self._token: Token | None = None  # of the present setting

    @property
    def scheduled(self) -> bool:
        """True until it fires or is cancelled."""
        return self._token is not None

    def schedule(self, delta_nanos: float) -> None:
        """Fire after this many nanoseconds."""
        self._set(self._clock.now_fs + int(delta_nanos * _FS_PER_NS))

    def schedule_at(self, t_us: float) -> None:
        """Fire at this time in microseconds; at once if it has passed."""
        self._set(int(t_us * FS_PER_US))

    def schedule_fs(self, at_fs: int) -> None:
        """Fire at this time in femtoseconds; at once if it has passed."""
        self._set(at_fs)

    def cancel(self) -> None:
        """Do not fire."""
        self._token = None

    def _set(self, at_fs: int) -> None:
        self._token = self._clock.push(at_fs, self)

    def fire(self, token: "Token") -> None:
        """Call back, unless it was moved or cancelled since."""
        if token is self._token:
            self._token = None
            self.callback()


class Clock:
    """Invariant: alarms fire in the order of their times; of equal times the first set first."""

    def __init__(self, shared: Shared) -> None:
        self._queue: list[Token] = []
        self._n = 0
        self._firing_fs: int | None = None
        self.shared = shared

    @property
    def now_fs(self) -> int:
        """The time now; the alarm's own time while it fires."""
        return self.shared.now if self._firing_fs is None else self._firing_fs

    @property
    def nanos(self) -> float:
        """The time now in nanoseconds, as rp2040py asks for it."""
        return self.now_fs / _FS_PER_NS

    @property
    def t_us(self) -> float:
        """The time now in microseconds."""
        return self.now_fs / FS_PER_US

    def create_alarm(self, callback: Callable[[], object]) -> Alarm:
        """Return a new alarm, not scheduled."""
        return Alarm(self, callback)

    def push(self, at_fs: int, alarm: Alarm) -> "Token":
        """Queue an alarm and return what identifies this setting of it."""
        token = (at_fs, self._n, alarm)
        self._n += 1
        heapq.heappush(self._queue, token)
        if at_fs < self.shared.deadline:
            self.shared.deadline = at_fs
        return token

    def next_fs(self) -> int:
        """Return the time of the first alarm, or NEVER."""
        queue = self._queue
        while queue and queue[0][2]._token is not queue[0]:
            heapq.heappop(queue)
        return queue[0][0] if queue else NEVER

    def fire_due(self) -> None:
        """Fire all alarms whose time has come."""
        queue = self._queue
        while queue and queue[0][0] <= self.shared.now:
            token = heapq.heappop(queue)
            if token[2]._token is not token:
                continue
            self._firing_fs = token[0]
            try:
                token[2].fire(token)
            finally:
                self._firing_fs = None
