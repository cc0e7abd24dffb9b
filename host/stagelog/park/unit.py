"""One logger of a run over many: who it is, what is being done with it, how that ended.

Owns what a row shows: car, logger, step, progress, rate, time left, verdict. A Unit is changed by
the one thread that works on it and by the run that finds its port; others only read it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stagelog.replies import Hello

GOOD = "good"
WARN = "warn"
BAD = "bad"
WAITS = "waits for its port"
_RATE_S = 3.0  # over which the rate is measured


class StopRun(BaseException):
    """The run ends early: raised in a unit's thread at its next sign of progress."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work on a logger ended: GOOD, WARN or BAD, why, and the facts for a program."""

    verdict: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Unit:
    """A logger that a run works on. `outcome` is None until it has ended.

    device_id   16 hex digits
    car, place  as the fleet file has them; without one the car of the logger's settings
    hello       what it answered last
    """

    def __init__(
        self,
        device_id: str,
        car: str,
        place: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device_id = device_id
        self.car = car
        self.place = place
        self.hello: Hello | None = None
        self.port: str | None = None
        self.step = WAITS
        self.done = 0
        self.total = 0
        self.unit = ""
        self.note = ""  # what is known before the end, as the summary of the newest session
        self.outcome: Outcome | None = None
        self.n_lost = 0  # times the cable was pulled or the logger fell silent
        self.n_fruitless = 0  # of these, one after the other without progress between them
        self.lost_at_s: float | None = None
        self.is_stopped = False
        self._clock = clock
        self._marks: list[tuple[float, int]] = []
        self._most: dict[str, int] = {}  # that was done in each step, over all attempts

    @property
    def name(self) -> str:
        """Return what people call it: its place in the car, or the end of its id."""
        return self.place or self.device_id[-8:]

    def begin(self, step: str, total: int = 0, unit: str = "") -> None:
        """Begin a step of `total` units (bytes, blocks, %), 0 if nobody knows."""
        self._stop_here()
        self.step, self.done, self.total, self.unit = step, 0, total, unit
        self._marks.clear()

    def advance(self, done: int, total: int | None = None) -> None:
        """Report that `done` units of the step are done."""
        self._stop_here()
        if done > self._most.get(self.step, 0):
            self._most[self.step] = done
            self.n_fruitless = 0
        self.done = done
        self.total = self.total if total is None else total
        now = self._clock()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > _RATE_S:
            del self._marks[0]

    def end(self, outcome: Outcome) -> None:
        """Set the outcome."""
        self.outcome = outcome

    @property
    def rate(self) -> float | None:
        """Return units per second over the last seconds, None if that cannot be said."""
        if len(self._marks) < 2:
            return None
        (t0, n0), (t1, n1) = self._marks[0], self._marks[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else None

    @property
    def left_s(self) -> float | None:
        """Return the seconds that the step still takes at this rate, or None."""
        rate = self.rate
        return (self.total - self.done) / rate if rate and self.total else None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        found = self.outcome
        return {
            "car": self.car,
            "logger": self.device_id,
            "place": self.place,
            "port": self.port,
            "step": self.step,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "rate": round(self.rate, 1) if self.rate else None,
            "left_s": round(self.left_s, 1) if self.left_s is not None else None,
            "n_lost": self.n_lost,
            "note": self.note,
            "verdict": found.verdict if found else None,
            "text": found.text if found else None,
        }

    def _stop_here(self) -> None:
        if self.is_stopped:
            raise StopRun
