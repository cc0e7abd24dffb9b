"""What a car went through, from the last blocks of its session: within seconds of plugging in.

The logger writes its counters again and again (detectors.summary), so the last blocks hold them;
the header of the last block holds the ledger. Nothing is stopped, nothing erased. Fails as Link
does.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from slog.layout import N_BUSES
from stagelog.blocks import Session
from stagelog.counts import count_text
from stagelog.link import Link
from stagelog.park.peek import read_part, tail_of
from stagelog.park.unit import BAD, GOOD, WARN, Outcome, Unit
from stagelog.park.works import checked_hello
from stagelog.replies import ListedSession

TAIL_BLOCKS = 160  # at 8 full blocks a second twice the period of the counters, 10 s
_MOST_SESSIONS = 4
Counters = dict[str, tuple[int, int]]


class Summarise:
    """The work: the counters of the newest sessions, those with blocks in them."""

    def __init__(self, unit: Unit, n_sessions: int = _MOST_SESSIONS) -> None:
        self._unit = unit
        self._n_sessions = n_sessions

    def __call__(self, link: Link) -> Outcome:
        """Read the ends of the sessions; the red flags are the verdict."""
        checked_hello(self._unit)
        self._unit.begin("read the list")
        sessions = [s for s in link.list_sessions() if s.n_blocks][: self._n_sessions]
        return self.of_sessions(link, sessions)

    def text(self, link: Link, session: ListedSession) -> str:
        """Return what one session holds, in words."""
        return self.of_sessions(link, [session]).text

    def of_sessions(self, link: Link, sessions: Iterable[ListedSession]) -> Outcome:
        """Return what some sessions hold together."""
        from stagelog.events import add_lives, load_events, read_events, summarise

        found: list[Counters] = []
        events: list[dict[str, Any]] = []
        ledger = {"n_stored": 0, "n_dropped": 0, "n_at_least": 0}
        for session in sessions:
            self._unit.begin("summary")
            part = read_part(link, session, tail_of(session, TAIL_BLOCKS))
            if part is None:
                continue
            recorded = load_events(part)
            found.append(summarise(recorded))
            events += [e for e in read_events(recorded) if e["name"] not in ("summary", "fuel")]
            for name, n in ledger_of(part).items():
                ledger[name] += n
        counters = add_lives(found)
        facts = {
            "counters": {name: list(values) for name, values in counters.items()},
            "ledger": ledger,
            "last_events": events[-20:],
        }
        text = text_of(counters, ledger) + text_of_marks(events)
        return Outcome(level_of(counters, ledger), text, facts)


def ledger_of(part: Session) -> dict[str, int]:
    """Return the counts of all buses at the end of a part, from the header of its last block.

    The header counts what left the ring, also what never went onto a card that was full: a block
    behind the one before it that counts more frames than it holds. Those are dropped.
    """
    last = part.headers[-1]
    names = {"n_stored": "stored", "n_dropped": "dropped", "n_at_least": "at_least"}
    found = {
        name: sum(int(last[f"{field}{bus}"]) for bus in range(N_BUSES))
        for name, field in names.items()
    }
    follows = np.diff(part.headers["seq"].astype(np.int64)) == 1
    for bus in range(N_BUSES):
        counted = np.diff(part.headers[f"stored{bus}"].astype(np.int64))
        n_off = int((counted - part.scan.n_frames[1:, bus])[follows].sum())
        found["n_stored"] -= n_off
        found["n_dropped"] += n_off
    return found


def level_of(counters: Counters, ledger: dict[str, int]) -> str:
    """Return BAD for a critical alarm or a severe landing, WARN for a hard one, a warning or a
    lost frame.
    """
    if _first(counters, "alarm_critical_s") or _first(counters, "landings_severe"):
        return BAD
    warns = ("landings_hard", "alarm_warning_s")
    if any(_first(counters, name) for name in warns) or ledger["n_dropped"]:
        return WARN
    return WARN if ledger["n_at_least"] else GOOD


def text_of(counters: Counters, ledger: dict[str, int]) -> str:
    """Return counters and ledger as a line for people."""
    n_lost = ledger["n_dropped"] + ledger["n_at_least"]
    lost = f"{n_lost:,} or more lost" if ledger["n_at_least"] else f"{n_lost:,} lost"
    frames = f"{count_text(ledger['n_stored'], 'frame')} stored, {lost}"
    if not counters:
        return f"no counters in its last blocks (no signal table?); {frames}"
    km = _first(counters, "distance_m") / 1000
    longest_s = counters.get("flights", (0, 0))[1] / 1000
    peak_g = counters.get("landings_light", (0, 0))[1] / 100
    hard, severe = _first(counters, "landings_hard"), _first(counters, "landings_severe")
    front, rear = (_first(counters, f"diff_{axle}_max") / 100 for axle in ("front", "rear"))
    warned, critical = _first(counters, "alarm_warning_s"), _first(counters, "alarm_critical_s")
    return (
        f"{km:.1f} km; {_first(counters, 'flights')} jumps, {hard} hard, {severe} severe, "
        f"longest {longest_s:.2f} s, peak {peak_g:.1f} g; "
        f"differentials {front:.0f} and {rear:.0f} degC; "
        f"alarms {warned} s warning, {critical} s critical; {frames}"
    )


def text_of_marks(events: Iterable[dict[str, Any]]) -> str:
    """Return how many marks there are among events, "" if there is none."""
    marks = [event for event in events if event["name"] == "mark"]
    if not marks:
        return ""
    last = f" '{marks[-1]['text']}'" if marks[-1]["text"] else f" by {marks[-1]['state']}"
    return f"; {len(marks)} mark{'s' * (len(marks) > 1)} in its last blocks, the last{last}"


def _first(counters: Counters, name: str) -> int:
    return counters.get(name, (0, 0))[0]
