"""The verdict on a log as a whole: complete, incomplete, or not to be known.

Every verb and the Python API take their words and their exit code from here. A log is COMPLETE
only where each frame that the logger was given is held and a witness knows the end (ending).
Fails with InputError as the reader does; a defective log is a value.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stagelog.blocks import NO_LOGGER, BadBlock, Identity, Log, Session, read_log
from stagelog.ending import CUT, OPEN, POWER_OFF, find_end
from stagelog.errors import InputError
from stagelog.ledger import OPEN_END, POWER_CUT, Ledger, account, clock_of
from stagelog.timeline import Timeline, find_boots

if TYPE_CHECKING:
    from stagelog.archive import Entry

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


@dataclass(frozen=True, slots=True)
class Account:
    """One session: its counters and what follows from them. `path` is its file."""

    path: Path
    session: Session
    ledger: Ledger
    timeline: Timeline | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class LogAccount:
    """One log: its sessions in the order of recording, and what is wrong with the file itself.

    problems  Verdicts on the file: changed, missing, cut off
    copies    Verdicts on sessions that count elsewhere: all their blocks lie in another file too
    damaged   places that should hold a block
    log       what was read, None where the file is not there
    """

    path: Path
    accounts: tuple[Account, ...] = ()
    problems: tuple[Verdict, ...] = ()
    copies: tuple[Verdict, ...] = ()
    damaged: tuple[BadBlock, ...] = ()
    log: Log | None = None

    @property
    def verdict(self) -> Verdict:
        """Return the worst verdict of the file and its sessions."""
        return worst([*(each.verdict for each in self.accounts), *self.problems, *self.copies])

    def verdict_of(self, account: Account) -> Verdict:
        """Return the verdict on one of the sessions, the file's own problems included."""
        return _worst([account.verdict, *self.problems])


def judge_log(path: str | Path, entry: "Entry | None" = None) -> LogAccount:
    """Read a log of ours and account for it.

    entry  its archive.Entry: the file is compared with the SHA-256 in it, and it is a witness
           of the end
    """
    from stagelog.archive import check_sha256

    path = Path(path)
    wrong = [f"{path}: {what}" for _, what in check_sha256([entry] if entry else [])]
    problems = [Verdict(INCOMPLETE, f"INCOMPLETE: {what}") for what in wrong]
    if entry is not None and not path.is_file():
        return LogAccount(path, problems=tuple(problems))
    log = read_log(path)
    if log.n_cut:
        text = f"{OPEN_LOG}: cannot know what is missing, {path} is cut off: {log.n_cut:,} places "
        problems.append(Verdict(OPEN_LOG, f"{text}of the card are not in it"))
    if not log.sessions:
        text = f"{EMPTY}: {path}: the card holds none that was not released"
        problems.append(Verdict(EMPTY, text))
    accounts = []
    for boot in find_boots(log.sessions):
        for session in boot.sessions:
            end = find_end(session, log.sessions, entry.values if entry else None)
            ledger = account(session, log.damaged, end)
            verdict = judge_session(session, ledger, boot.timeline)
            accounts.append(Account(path, session, ledger, boot.timeline, verdict))
    damaged = tuple(log.damaged)
    return LogAccount(path, tuple(accounts), tuple(problems), damaged=damaged, log=log)


def judge_entry(entry: "Entry") -> Verdict:
    """Return the Verdict on a session of the archive: that of its entry where the file is what was
    entered, else that of the file, which is read only then.
    """
    known = entry.values.get("verdict")
    if isinstance(known, dict) and entry.is_unchanged():
        return Verdict.from_dict(known)
    return judge_file(entry.path, entry)


def judge_unlisted(path: Path) -> Verdict:
    """Return the Verdict on a session file in an archive whose manifest does not name it."""
    text = f"{path} is not in the archive's manifest; the file alone: {judge_file(path).text}"
    return Verdict(INCOMPLETE, f"INCOMPLETE: {text}")


def judge_file(path: Path, entry: "Entry | None" = None) -> Verdict:
    """Return the Verdict on a log of ours as a whole; one that cannot be read is INCOMPLETE."""
    try:
        return judge_log(path, entry).verdict
    except InputError as error:
        return Verdict(INCOMPLETE, f"INCOMPLETE: {error}")


def judge_logs(logs: Iterable[tuple[Path, "Entry | None"]]) -> list[LogAccount]:
    """Account for several logs of ours that are read together: no block counts twice.

    logs  pairs (path, its archive.Entry or None)
    Of a session that several files hold, the file with the most blocks counts; of the others only
    the blocks that it lacks.
    """
    judged = [judge_log(path, entry) for path, entry in logs]
    copies: dict[Identity, list[tuple[int, Account]]] = {}
    for number, log in enumerate(judged):
        for each in log.accounts:
            copies.setdefault(each.session.identity, []).append((number, each))
    for same in copies.values():
        same.sort(key=lambda copy: -copy[1].session.n_blocks)
        kept = _block_keys(same[0][1].session)
        for number, each in same[1:]:
            keys = _block_keys(each.session)
            alone = ~np.isin(keys, kept)
            if not alone.all():
                judged[number] = _without(judged[number], each, alone, same[0][1].path)
            kept = np.concatenate([kept, keys[alone]])
    return judged


def _block_keys(session: Session) -> NDArray[np.uint64]:
    """Return a key of each block within its session, uint64: its number and CRC."""
    return session.headers["seq"].astype(np.uint64) << np.uint64(32) | session.headers["crc"]


def _without(
    log: LogAccount, counted: Account, alone: NDArray[np.bool_], other: Path
) -> LogAccount:
    """Return a LogAccount in which only the blocks `alone` (bool) of one of its sessions count."""
    session = counted.session
    rest, copies = [], list(log.copies)
    if alone.any():
        session = Session(
            session.medium, session.identity, session.headers[alone], session.rows[alone]
        )
        ledger = account(session, log.damaged, counted.ledger.end)
        verdict = judge_session(session, ledger, counted.timeline)
        rest = [replace(counted, session=session, ledger=ledger, verdict=verdict)]
    else:
        name = session.identity.name
        text = f"{SUPERSEDED}: every block of session {name} lies in {other} too, and counts there"
        copies.append(Verdict(SUPERSEDED, text))
    others = [one for one in log.accounts if one is not counted]
    return replace(log, accounts=(*others, *rest), copies=tuple(copies))


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
        known.append(f"its recorder lost {diagnostics.n_dropped:,} frames")
    if known:
        text = f"INCOMPLETE: {', '.join(known)}; what else was lost cannot be known"
        return Verdict(INCOMPLETE, text)
    return Verdict(FOREIGN, f"{FOREIGN}: {_NOBODY_COUNTED}")


def damages_text(n: int) -> str:
    """Return in words that a log is damaged in `n` places."""
    return f"the log is damaged in {n:,} place{'s' * (n != 1)}"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return one Verdict for several, at least one: the first of the worst, and how many more are
    bad.
    """
    verdicts = list(verdicts)
    found = _worst(verdicts)
    n_more = sum(verdict.exit_code for verdict in verdicts) - 1
    if n_more < 1:
        return found
    findings = "finding" if n_more == 1 else "findings"
    return Verdict(found.kind, f"{found.text} (and {n_more:,} more {findings})")


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    return min(verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.kind))


def _lost(ledger: Ledger) -> str:
    """Return what is known to be missing in words, "" if nothing is."""
    if not ledger.closes:
        return f"{len(ledger.breaks):,} blocks contradict their counters"
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
    if not parts and all(gap.exact for gap in gaps):
        blocks = "block that holds" if ledger.n_blocks_missing == 1 else "blocks that hold"
        parts.append(f"{ledger.n_blocks_missing:,} {blocks} no frame missing")
    return ", ".join(parts) or "frames may be missing, and nobody counted them"
