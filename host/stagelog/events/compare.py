"""Compare the events that the car recorded with those that the host finds.

Two lists of events agree when their contents are the same in the same order; the times of the
car's records may lag by the pass of its main loop. They are compared only where both sides saw
the same frames: a hole in the log is not a fault of the car. Nothing is raised for a disagreement.
"""

from dataclasses import dataclass
from difflib import SequenceMatcher

from slog import events as ev
from slog.layout import META_EVENT
from stagelog.blocks import Session
from stagelog.events.recompute import Detected
from stagelog.ledger import BLOCK, CARD, HEAD, RING_FULL, Ledger, clock_of, describe
from stagelog.timeline import Timeline

LAG_US = 1_000_000
MARKS = (ev.MARK, ev.MARK_TEXT)  # of the car only: no frame holds them
_HOST_LACKS = (BLOCK, CARD, HEAD, RING_FULL)  # frames that the car saw and the log does not hold


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a session in which car and host can be compared, from its start on.

    end_us   its end, None if it is the whole session
    why      reason that it is not longer, in words
    """

    end_us: int | None = None
    why: str = ""

    def holds(self, event: Detected) -> bool:
        """Return whether a Detected, with the lag that the other side may have, lies inside."""
        return self.end_us is None or event.t_us <= self.end_us - LAG_US


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One event that only one side has, or that has another time there.

    what   "car only", "host only" or "late"
    """

    what: str
    car: Detected | None
    host: Detected | None


def load_events(session: Session) -> list[Detected]:
    """Return the on-car events of a session (stagelog.blocks) as Detected, in order."""
    found = []
    for meta in session.decoded_meta(META_EVENT):
        code, state = meta.arg & 0xFFFF, meta.arg >> 16
        found.append(Detected(meta.t_us, code, state, meta.values["value"], meta.values["extra"]))
    return found


def find_window(
    ledger: Ledger, recorded: list[Detected], timeline: Timeline | None = None
) -> Window:
    """Return the Window of a session: up to the first hole, or to where the car skipped frames.

    recorded  load_events of the session
    """
    windows = []
    if ledger.breaks:
        windows.append(Window(0, ledger.breaks[0]))
    for gap in ledger.gaps:
        if gap.cause in _HOST_LACKS:
            start_us = 0 if gap.t_start_us is None else gap.t_start_us
            why = f"after {clock_of(gap, timeline)}: {describe(gap, timeline)}"
            windows.append(Window(start_us, why))
    for before, event in zip([None, *recorded], recorded, strict=False):
        if event.code == ev.SKIPPED:
            start_us = before.t_us if before else 0
            windows.append(Window(start_us, "the detectors on board skipped frames"))
    return min(windows, key=lambda window: window.end_us or 0, default=Window())


def compare_events(
    car: list[Detected],
    host: list[Detected],
    until_us: int | None = None,
    window: Window | None = None,
) -> list[Disagreement]:
    """Return the Disagreements of two lists of Detected; [] if they are the same.

    until_us  leave out what the host finds after this time: a log that was cut off ends before
              its last events were written
    window    Window; no disagreement outside of it counts
    """
    window = window or Window()
    car = [event for event in car if event.code not in MARKS]
    if until_us is not None:
        host = [event for event in host if event.t_us <= until_us]
    end_us = window.end_us
    if end_us is not None:
        car, host = ([e for e in side if e.t_us <= end_us] for side in (car, host))
    left, right = [e.content for e in car], [e.content for e in host]
    found = []
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            for on_car, on_host in zip(car[a:b], host[c:d], strict=True):
                if on_host.t_us and not 0 <= on_car.t_us - on_host.t_us <= LAG_US:
                    found.append(Disagreement("late", on_car, on_host))
            continue
        found += [Disagreement("car only", event, None) for event in car[a:b]]
        found += [Disagreement("host only", None, event) for event in host[c:d]]
    return [one for one in found if (event := one.car or one.host) and window.holds(event)]
