"""What the car said beside what the host finds: equal, or a list of disagreements.

Two lists of events agree when their contents are the same in the same order; the times of the
car's records may lag by the pass of its main loop. Nothing is raised for a disagreement.
"""

from dataclasses import dataclass
from difflib import SequenceMatcher

from slog.layout import META_EVENT
from stagelog.events.recompute import Detected

LAG_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One event that only one side has, or that came at another time. `what` is "car only",
    "host only" or "late".
    """

    what: str
    car: Detected | None
    host: Detected | None


def load_events(session):
    """Return the on-car events of a session (stagelog.blocks) as Detected, in order."""
    found = []
    for meta in session.decoded_meta(META_EVENT):
        code, state = meta.arg & 0xFFFF, meta.arg >> 16
        found.append(Detected(meta.t_us, code, state, meta.values["value"], meta.values["extra"]))
    return found


def compare_events(car, host, until_us=None):
    """Return the Disagreements of two lists of Detected; [] if they are the same.

    until_us  leave out what the host finds after this time: a log that was cut off ends before
              its last events were written
    """
    if until_us is not None:
        host = [event for event in host if event.t_us <= until_us]
    left, right = [e.content for e in car], [e.content for e in host]
    found = []
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            for said, seen in zip(car[a:b], host[c:d], strict=True):
                if seen.t_us and not 0 <= said.t_us - seen.t_us <= LAG_US:
                    found.append(Disagreement("late", said, seen))
            continue
        found += [Disagreement("car only", event, None) for event in car[a:b]]
        found += [Disagreement("host only", None, event) for event in host[c:d]]
    return found
