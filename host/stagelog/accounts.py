"""Account for whole logs: read them, find each session's end, and judge them together.

Owns what a log of ours amounts to (LogAccount), and the rule that no block counts twice. The words
come from `verdict`, the counting from `ledger`, the end from `ending`. Fails with InputError as
the reader does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stagelog.archive import Entry, check_sha256, check_signature
from stagelog.blocks import BadBlock, Identity, Log, Session, read_log
from stagelog.ending import find_end
from stagelog.errors import InputError
from stagelog.ledger import Ledger, account
from stagelog.proof import Standing
from stagelog.timeline import Timeline, find_boots
from stagelog.verdict import (
    EMPTY,
    INCOMPLETE,
    OPEN_LOG,
    SUPERSEDED,
    Verdict,
    judge_session,
    most_serious,
    worst,
)


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

    problems  Verdicts on the file: changed, missing, cut off, its entry altered or not trusted
    copies    Verdicts on sessions that count elsewhere: all their blocks lie in another file too
    damaged   places that should hold a block
    log       what was read, None where the file is not there
    signature what the signature of its entry is worth; None without an entry
    """

    path: Path
    accounts: tuple[Account, ...] = ()
    problems: tuple[Verdict, ...] = ()
    copies: tuple[Verdict, ...] = ()
    damaged: tuple[BadBlock, ...] = ()
    log: Log | None = None
    signature: Standing | None = None

    @property
    def verdict(self) -> Verdict:
        """Return the worst verdict of the file and its sessions."""
        return worst([*(each.verdict for each in self.accounts), *self.problems, *self.copies])

    def verdict_of(self, account: Account) -> Verdict:
        """Return the verdict on one of the sessions, the file's own problems included."""
        return most_serious([account.verdict, *self.problems])


def judge_log(path: str | Path, entry: Entry | None = None) -> LogAccount:
    """Read a log of ours and account for it.

    entry  its archive.Entry: the file is compared with the SHA-256 in it, and it is a witness
           of the end
    """
    path = Path(path)
    wrong = [f"{path}: {what}" for _, what in check_sha256([entry] if entry else [])]
    signature = None if entry is None else check_signature(entry)
    if signature is not None and signature.is_bad:
        wrong.append(f"{path}: {signature.text}")
    problems = [Verdict(INCOMPLETE, f"INCOMPLETE: {what}") for what in wrong]
    if entry is not None and not path.is_file():
        return LogAccount(path, problems=tuple(problems), signature=signature)
    log = read_log(path)
    if log.n_cut:
        text = f"{OPEN_LOG}: cannot know what is missing, {path} is cut off: {log.n_cut:,} places "
        problems.append(Verdict(OPEN_LOG, f"{text}of the card are not in it"))
    for lost in log.unreadable:
        blocks = "block of it is" if lost.n_blocks == 1 else "blocks of it are"
        text = f"no block of session {lost.identity.name} can be read, {lost.n_blocks:,} {blocks}"
        problems.append(Verdict(INCOMPLETE, f"INCOMPLETE: {path}: {text} there"))
    if not log.sessions and not log.unreadable:
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
    return LogAccount(path, tuple(accounts), tuple(problems), (), damaged, log, signature)


def judge_entry(entry: Entry) -> Verdict:
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


def judge_file(path: Path, entry: Entry | None = None) -> Verdict:
    """Return the Verdict on a log of ours as a whole; one that cannot be read is INCOMPLETE."""
    try:
        return judge_log(path, entry).verdict
    except InputError as error:
        return Verdict(INCOMPLETE, f"INCOMPLETE: {error}")


def judge_logs(logs: Iterable[tuple[Path, Entry | None]]) -> list[LogAccount]:
    """Account for several logs of ours that are read together: no block counts twice.

    logs  pairs (path, its archive.Entry or None)
    Of a session that several files hold, the file with the most blocks counts; of the others only
    the blocks that it lacks. A file that cannot be read is a problem of its LogAccount, and an
    InputError if it is the only one.
    """
    pairs = list(logs)
    judged = [_judge_readable(path, entry, len(pairs) > 1) for path, entry in pairs]
    copies: dict[Identity, list[tuple[int, Account]]] = {}
    for number, log in enumerate(judged):
        for each in log.accounts:
            copies.setdefault(each.session.identity, []).append((number, each))
    for same in copies.values():
        same.sort(key=lambda copy: -copy[1].session.n_blocks)
        counted = [(same[0][1].path, _block_keys(same[0][1].session))]
        for number, each in same[1:]:
            keys = _block_keys(each.session)
            found = [(path, np.isin(keys, kept)) for path, kept in counted]
            alone = ~np.any([there for _, there in found], axis=0)
            if not alone.all():
                others = [path for path, there in found if there.any()]
                judged[number] = _without(judged[number], each, alone, others)
            counted.append((each.path, keys[alone]))
    return judged


def _judge_readable(path: Path, entry: Entry | None, goes_on: bool) -> LogAccount:
    try:
        return judge_log(path, entry)
    except InputError as error:
        if not goes_on:
            raise
        return LogAccount(path, problems=(Verdict(INCOMPLETE, f"INCOMPLETE: {error}"),))


def _block_keys(session: Session) -> NDArray[np.uint64]:
    """Return a key of each block within its session, uint64: its number and CRC."""
    return session.headers["seq"].astype(np.uint64) << np.uint64(32) | session.headers["crc"]


def _without(
    log: LogAccount, counted: Account, alone: NDArray[np.bool_], others: list[Path]
) -> LogAccount:
    """Return a LogAccount in which only the blocks `alone` (bool) of one of its sessions count.

    others  the files in which its other blocks count
    """
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
        where = " or ".join(map(str, others))
        text = f"every block of session {session.identity.name} lies in {where} too"
        copies.append(Verdict(SUPERSEDED, f"{SUPERSEDED}: {text}, and counts there"))
    same = [one for one in log.accounts if one is not counted]
    return replace(log, accounts=(*same, *rest), copies=tuple(copies))
