"""The verdict on a log as a whole: complete, incomplete, or not to be known.

Every verb and the Python API take their words and their exit code from here. A log is COMPLETE
only where each frame that the logger was given is held and a witness knows the end (ending).
`accounts` reads whole logs and asks here. Never fails: a defective log is a value.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from stagelog.blocks import NO_LOGGER, Session
from stagelog.counts import count_text
from stagelog.ending import CUT, OPEN, POWER_OFF
from stagelog.ledger import HEAD, OPEN_END, POWER_CUT, Ledger, clock_of
from stagelog.timeline import Timeline

COMPLETE = "complete"
INCOMPLETE = "incomplete"
OPEN_LOG = "open end"
FOREIGN = "foreign log"
EMPTY = "no session"
SUPERSEDED = "superseded"
_WORST_FIRST = (INCOMPLETE, OPEN_LOG, EMPTY, FOREIGN, COMPLETE, SUPERSEDED)
_FINE = (COMPLETE, FOREIGN, SUPERSEDED)
_NOBODY_COUNTED = "what its logger lost cannot be known"


class Losses(Protocol):
    """What is known to be missing from a log of another recorder (importers.Diagnostics)."""

    n_dropped: int

    @property
    def n_damages(self) -> int:
        """Return the number of damaged places."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind` is one of the words of this module, `text` a sentence that begins with it.

    An open end is bad: something may be missing that was there. A foreign log is not: nothing
    of it is known to be missing, and more cannot be known.
    """

    kind: str
    text: str

    @property
    def complete(self) -> bool | None:
        """True, False, or None where it cannot be known and nothing is known to be missing."""
        return None if self.kind == FOREIGN else self.kind in _FINE

    @property
    def exit_code(self) -> int:
        """Return the exit code of a command that relies on this log."""
        return 0 if self.kind in _FINE else 1

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {**asdict(self), "complete": self.complete}

    @classmethod
    def from_dict(cls, values: object) -> "Verdict":
        """Return the Verdict that as_dict gave; anything else is an open end."""
        if isinstance(values, dict) and values.get("kind") in _WORST_FIRST:
            return cls(values["kind"], str(values.get("text")))
        return cls(OPEN_LOG, f"{OPEN_LOG}: an older stagelog wrote this without a verdict")


def judge_session(session: Session, ledger: Ledger, timeline: Timeline | None = None) -> Verdict:
    """Return the Verdict on a session by its Ledger."""
    lost = _lost(ledger)
    if ledger.end.kind == OPEN:
        gap = next(gap for gap in ledger.gaps if gap.cause == OPEN_END)
        after = "later than" if timeline is None else "after"
        open_end = f"{OPEN_LOG}: cannot know what is missing {after} {clock_of(gap, timeline)}"
        if ledger.end.why:
            open_end += f" ({ledger.end.why})"
        if lost:
            return Verdict(INCOMPLETE, f"INCOMPLETE: {lost}; {open_end}")
        return Verdict(OPEN_LOG, open_end)
    if lost:
        return Verdict(INCOMPLETE, f"INCOMPLETE: {lost}")
    if session.device_id == NO_LOGGER:
        return Verdict(FOREIGN, f"{FOREIGN}: {_NOBODY_COUNTED}")
    if ledger.end.kind == POWER_OFF:
        gap = next(gap for gap in ledger.gaps if gap.cause == POWER_CUT)
        text = f"COMPLETE up to power-off at {clock_of(gap, timeline)}: {gap.detail}"
        return Verdict(COMPLETE, text)
    return Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")


def judge_foreign(diagnostics: Losses) -> Verdict:
    """Return the Verdict on a log of another recorder that was read to its end
    (importers.Diagnostics).
    """
    known = []
    if diagnostics.n_damages:
        known.append(damages_text(diagnostics.n_damages))
    if diagnostics.n_dropped:
        known.append(f"its recorder lost {count_text(diagnostics.n_dropped, 'frame')}")
    if known:
        text = f"INCOMPLETE: {', '.join(known)}; what else was lost cannot be known"
        return Verdict(INCOMPLETE, text)
    return Verdict(FOREIGN, f"{FOREIGN}: {_NOBODY_COUNTED}")


def damages_text(n: int) -> str:
    """Return in words that a log is damaged in `n` places."""
    return f"the log is damaged in {count_text(n, 'place')}"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return one Verdict for several, at least one: the first of the worst, and how many more are
    bad.
    """
    verdicts = list(verdicts)
    found = most_serious(verdicts)
    n_more = sum(verdict.exit_code for verdict in verdicts) - 1
    if n_more < 1:
        return found
    findings = "finding" if n_more == 1 else "findings"
    return Verdict(found.kind, f"{found.text} (and {n_more:,} more {findings})")


def most_serious(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the first of the worst of several Verdicts, at least one."""
    return min(verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.kind))


def _lost(ledger: Ledger) -> str:
    """Return what is known to be missing in words, "" if nothing is."""
    if not ledger.closes:
        n_breaks = len(ledger.breaks)
        words = "block contradicts its" if n_breaks == 1 else "blocks contradict their"
        return f"{n_breaks:,} {words} counters"
    gaps = [gap for gap in ledger.gaps if gap.cause not in (POWER_CUT, OPEN_END)]
    if not gaps:
        return ""
    n = sum(bus.n_missing + bus.n_dropped + bus.n_at_least for bus in ledger.buses)
    frames = "frame is" if n == 1 else "frames are"
    parts = []
    if n:
        more = "" if all(gap.exact for gap in gaps) else " or more"
        parts.append(f"{n:,}{more} {frames} not here")
    if ledger.end.kind == CUT:
        blocks = "block" if ledger.end.n_blocks == 1 else "blocks"
        parts.append(f"{ledger.end.n_blocks:,} {blocks} at the end missing")
    if not parts and not ledger.n_blocks_missing and all(gap.cause == HEAD for gap in gaps):
        parts.append("the first blocks are missing; they held no frame")
    elif not parts and all(gap.exact for gap in gaps):
        blocks = "block that holds" if ledger.n_blocks_missing == 1 else "blocks that hold"
        parts.append(f"{ledger.n_blocks_missing:,} {blocks} no frame missing")
    return ", ".join(parts) or "frames may be missing, and nobody counted them"
