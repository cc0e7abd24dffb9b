"""Fetch sessions from a logger into the archive, and erase what the archive holds.

Owns the order of the steps; the exchange is `link`, the files are `archive`. Nothing received is
lost: a pulled cable is a DeviceError, and the next call continues after the last good block on the
disk. Nothing is erased unless the file in the archive still has the SHA-256 of its entry,
and the logger finds the same digest on its card.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slog import messages as m
from slog.layout import BLOCK_BYTES, BUS_SILENT
from stagelog.archive import Entry, Key, PartFile, check_sha256, find_session, home_of
from stagelog.errors import UsageError
from stagelog.line_rate import fast_line
from stagelog.link import Link, RequestError
from stagelog.replies import Hello, ListedSession

HELD = "held already"
FETCHED = "fetched"
SO_FAR = "fetched so far, still being recorded"


@dataclass(frozen=True, slots=True)
class Fetched:
    """One session after a download: n_new blocks came, n_unread places could not be read."""

    session: ListedSession
    entry: Entry
    verdict: str
    n_new: int
    n_unread: int


def finish_running(link: Link, always: bool = False) -> int | None:
    """Close the session that is being recorded so that it can be fetched whole.

    Without `always` only if all buses are silent. Returns the boot counter to start again with, or
    None if nothing was stopped.
    """
    hello = link.hello()
    if hello.state == m.STATE_IDLE:
        return None
    status = link.status()
    silent = all(bus.state == BUS_SILENT for bus in status.buses)
    if not (silent or always):
        return None
    link.control(m.CONTROL_STOP, hello.boot)
    return hello.boot


def place_of(root: str | Path, session: ListedSession, folder: str | Path) -> Path:
    """Return the folder of a session: where the archive below `root` has
    some of it already, else `folder`.
    """
    return home_of(root, _key(session), folder)


def fetch_session(
    link: Link,
    session: ListedSession,
    folder: str | Path,
    facts: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], object] | None = None,
    again: bool = False,
) -> Fetched:
    """Fetch one session into `folder`; continue it if a part is there.

    progress  called with (blocks held, blocks of the session) as they come
    again     read once more the places that were damaged in a finished session, and check the
              SHA-256 of what is there
    Raises    DeviceError if the logger goes away or the session was overwritten; OutputError.
    """
    with PartFile.open(folder, session, again) as part:
        if part.entry is not None:
            return Fetched(session, part.entry, HELD, 0, 0)
        missing = part.missing()
        n_unread = 0
        with fast_line(link, str((facts or {}).get("board", "")), len(missing)):
            for n, (position, block) in enumerate(link.read_blocks(missing), 1):
                n_unread += block is None
                part.put(position, bytes(BLOCK_BYTES) if block is None else block)
                if progress:
                    progress(session.n_blocks - len(missing) + n, session.n_blocks)
        entry = part.finish(facts)
    verdict = SO_FAR if session.running else FETCHED
    return Fetched(session, entry, verdict, len(missing), n_unread)


def fetch_if_missing(
    link: Link,
    root: str | Path,
    session: ListedSession,
    folder: str | Path,
    facts: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], object] | None = None,
    again: bool = False,
) -> Fetched:
    """Fetch one session as fetch_session does, unless the archive below `root` holds it whole; to
    where some of it is already, else to `folder`.
    """
    entry = None if again else is_held(root, session)
    if entry is not None:
        return Fetched(session, entry, HELD, 0, 0)
    place = place_of(root, session, folder)
    return fetch_session(link, session, place, facts, progress, again)


def is_held(root: str | Path, session: ListedSession) -> Entry | None:
    """Return the Entry of a session that the archive holds whole, wherever, or None.

    Its file is checked: by its size, and by its SHA-256 if it was written since it was entered.
    """
    entry = _listed(root, session)
    return entry if entry is not None and entry.is_unchanged() else None


def _listed(root: str | Path, session: ListedSession) -> Entry | None:
    """Return the Entry that says that the archive holds all of a session, or None."""
    entry = find_session(root, *_key(session))
    if entry is None or session.running or entry.values.get("running"):
        return None
    return entry if entry.values["n_blocks"] == session.n_blocks else None


def _key(session: ListedSession) -> Key:
    return session.device_id.hex(), session.boot, session.nonce, session.first_seq


def facts_of(hello: Hello) -> dict[str, str]:
    """Return the facts of a logger's HELLO for the manifest."""
    return {
        "car": hello.car_name,
        "board": hello.board_name,
        "firmware": hello.firmware_text,
        "contract": hello.contract.hex(),
    }


def erase_held(
    link: Link,
    root: str | Path,
    sessions: Sequence[ListedSession],
    progress: Callable[[ListedSession, int], object] | None = None,
) -> Iterator[tuple[ListedSession, Entry | None, str]]:
    """Erase sessions from the oldest on, as far as the archive holds them whole.

    sessions  of LIST, newest first
    progress  called with (session, percent)
    Yields    (session, Entry or None, text): None where it stops, with the reason
    """
    for session in reversed(sessions):
        if session.running:
            yield session, None, "it is being recorded"
            return
        entry = _listed(root, session)
        if entry is None:
            yield session, None, "the archive does not hold it"
            return
        wrong = check_sha256([entry])
        if wrong:
            yield session, None, wrong[0][1]
            return
        try:
            for pct in link.erase(session, bytes.fromhex(entry.values["erase_digest"])):
                if progress:
                    progress(session, pct)
        except RequestError as error:
            if error.status in (m.WRONG_DIGEST, m.WRONG_SESSION, m.REFUSED):
                yield session, None, str(error)
                return
            raise
        yield session, entry, "erased"


def set_clock(link: Link, clock: Callable[[], int] = time.time_ns) -> int:
    """Send the laptop's wall clock to the logger as an anchor in its log; return its us."""
    return link.set_time(clock() // 1000)


def choose_sessions(
    sessions: Sequence[ListedSession], boots: Collection[int]
) -> Sequence[ListedSession]:
    """Return the sessions of the named boots, or all; UsageError for a boot without a session."""
    if not boots:
        return sessions
    unknown = set(boots) - {session.boot for session in sessions}
    if unknown:
        raise UsageError(
            f"no session of boot {min(unknown)} on the card",
            "'stagelog status' lists the sessions",
        )
    return [session for session in sessions if session.boot in boots]
