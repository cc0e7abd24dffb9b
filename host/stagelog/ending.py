"""How a session ended, and by which witness: without a witness of the end, no log is complete.

    witness                                        reports
    the session's last block (flag 4, END record)  it was stopped properly, nothing follows
    the manifest of the archive                    how many blocks the logger or the card had
    the card                                       what lies behind the last block in the extent:
                                                   a later session, or space that holds none

A file alone cannot distinguish a power cut from a copy that was cut off. Reads headers only;
never fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slog.layout import N_BUSES

if TYPE_CHECKING:
    from stagelog.blocks import Session

_MOST_TORN = 1  # block that a power cut damages: the one being written
_MOST_SEARCHED = 4096  # places behind the last block: 16 MiB
_PLACES_KEPT = 1  # that a logger leaves free on a full card, for a session's last block

STOPPED = "stopped"
POWER_OFF = "power off"
CUT = "cut short"
OPEN = "open"


@dataclass(frozen=True, slots=True)
class End:
    """The end of a session.

    kind      STOPPED; POWER_OFF: the witness knows of no later block; CUT: it knows of `n_blocks`
              more; OPEN: there is no witness
    witness   which one, "" if there is none
    n_blocks  blocks after the last one held that are not here; None if not known
    n_stored  frames of each bus in the whole session, as the witness counts; None if it does not
    why       why there is no witness, "" if that is not known either
    """

    kind: str
    witness: str = ""
    n_blocks: int | None = 0
    n_stored: tuple[int, ...] | None = None
    why: str = ""

    @property
    def is_known(self) -> bool:
        """True if no later block is known of."""
        return self.kind in (STOPPED, POWER_OFF)


def find_end(
    session: "Session",
    sessions: Sequence["Session"] = (),
    listed: Mapping[str, Any] | None = None,
) -> End:
    """Return the End of a session.

    sessions  all sessions of the same log
    listed    the values of its entry in a manifest, if it has one
    """
    if session.has_last:
        return End(STOPPED, "its END record")
    if listed is not None and _is_of(listed, session):
        return _by_manifest(session, listed)
    return _by_next(session, sessions) or _by_card(session, sessions)


def _is_of(listed: Mapping[str, Any], session: "Session") -> bool:
    return (listed["device_id"], listed["boot"], listed["nonce"]) == (
        session.device_id,
        session.boot,
        session.nonce,
    )


def _by_manifest(session: "Session", listed: Mapping[str, Any]) -> End:
    last_seq = listed.get("last_seq")
    n_more = last_seq - session.last_seq if type(last_seq) is int else 0
    if n_more > 0:
        return End(CUT, "the manifest", n_more, _stored(listed))
    if listed.get("running"):
        return End(OPEN, n_blocks=None, why="it was still being recorded when it was fetched")
    if listed.get("ended", "source" not in listed):
        return End(POWER_OFF, "the manifest")
    return End(OPEN, n_blocks=None, why="the log that it was copied from had no witness either")


def _stored(listed: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the frames of each bus that a manifest counts, None if it has no counts."""
    try:
        stored = {bus["bus"]: int(bus["n_stored"]) for bus in listed["ledger"]["buses"]}
    except (KeyError, OverflowError, TypeError, ValueError):
        return None
    return tuple(stored.get(bus, 0) for bus in range(N_BUSES))


def _by_next(session: "Session", sessions: Sequence["Session"]) -> End | None:
    """Return the End by the session that follows, None if none does.

    Numbers continue from session to session. One may be missing between: that of the block being
    written at the power cut.
    """
    later = [other for other in sessions if other.first_seq > session.last_seq]
    following = min(later, key=lambda other: other.first_seq, default=None)
    if following is None or not following.has_first:
        return None
    n_between = following.first_seq - session.last_seq - 1
    witness = f"the session that follows, {following.identity.name}"
    on_card = session.medium.extent is not None
    if n_between <= on_card:
        return End(POWER_OFF, witness)
    if not on_card:
        return None  # files were put together: blocks or whole sessions may be missing between
    return End(CUT, witness, n_between)


def _by_card(session: "Session", sessions: Sequence["Session"]) -> End:
    """Return the End by what lies behind the last block on the card."""
    medium = session.medium
    if medium.extent is None:
        return End(OPEN, n_blocks=None)
    first, end = medium.extent["data_first"], medium.extent["data_end"]
    behind = first + (int(session.rows[-1]) - first + 1) % (end - first)
    if not medium.ring[0] <= behind < medium.ring[1]:
        return End(OPEN, n_blocks=None, why="the image of the card is cut off there")
    n_later = _later_number(session, behind) - session.last_seq
    if n_later > _MOST_TORN:
        return End(CUT, "what is left of their headers on the card", n_later)
    oldest = _oldest_place(sessions or [session])
    if oldest is not None and (oldest - behind) % (end - first) == _PLACES_KEPT:
        return End(OPEN, n_blocks=None, why="the card was full: what came then was not stored")
    return End(POWER_OFF, "the card, which holds no later block")


def _later_number(session: "Session", behind: int) -> int:
    """Return the highest number of this session in headers behind its last block, which may be
    those of damaged blocks; the session's own last number if there is none.

    Such a header must name the session and the place where it lies.
    """
    medium = session.medium
    places = np.arange(behind, min(behind + _MOST_SEARCHED, medium.ring[1]))
    headers = medium.headers(places)
    last = session.headers[-1]
    same = headers["position"] == places
    for name in ("boot", "nonce"):
        same &= headers[name] == last[name]
    same &= (headers["device_id"] == last["device_id"]).all(1)
    numbers = headers["seq"][same].astype(np.int64)
    near = numbers[(numbers > session.last_seq) & (numbers <= session.last_seq + len(places))]
    return int(near.max(initial=session.last_seq))


def _oldest_place(sessions: Sequence["Session"]) -> int | None:
    """Return where the oldest block lies that was not released, None if all were."""
    released_seq = sessions[0].medium.released_seq
    kept = [session for session in sessions if session.last_seq >= released_seq]
    if not kept:
        return None
    session = min(kept, key=lambda each: each.first_seq)
    return int(session.rows[np.searchsorted(session.headers["seq"], released_seq)])
