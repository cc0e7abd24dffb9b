"""The card before and after a bring-up: no frame of the user's is touched, nothing of ours stays.

Fails with FlashError while the card holds frames that no archive holds.
"""

import struct
from collections.abc import Callable

from slog.block import STORED0
from stagelog.bringup.recorder import CAN_ID, digest_of, fetch_blocks, frames_of
from stagelog.counts import count_text
from stagelog.flash.build import FlashError
from stagelog.link import Link, RequestError, positions_of
from stagelog.replies import ListedSession


def refuse_for_frames(link: Link, is_held: Callable[[ListedSession], bool]) -> None:
    """Raise FlashError if the card holds frames that `is_held` does not know, or if frames are
    being recorded now.
    """
    status = link.status()
    sessions = [
        session
        for session in link.list_sessions()
        if not session.running and n_frames_of(link, session) and not is_held(session)
    ]
    if status.stored0 + status.stored1:
        raise FlashError(
            f"the logger on {link.name} is recording frames",
            hint="a bring-up is for the bench: take it off the car's bus, or --despite-sessions",
        )
    if sessions:
        raise FlashError(
            f"{count_text(len(sessions), 'session')} with frames on the card of {link.name} "
            f"{'was' if len(sessions) == 1 else 'were'} not downloaded",
            hint="'stagelog download' first, or --despite-sessions: what is on the card stays",
        )


def n_frames_of(link: Link, session: ListedSession) -> int:
    """Return how many frames a session's last readable block counts."""
    for position in reversed(positions_of(session)):
        for _, block in link.read_blocks([position]):
            if block is not None:
                return int(sum(struct.unpack_from("<II", block, STORED0)))
    return 0


def erase_ours(link: Link, first_boot: int) -> int:
    """Erase the sessions that a bring-up has left, the oldest first, as the logger does; return
    how many. Ends at the first of a boot before `first_boot`, or with a frame that no bring-up
    sent.
    """
    n = 0
    for session in reversed(link.list_sessions()):
        if session.running or session.boot < first_boot:
            break
        blocks = fetch_blocks(link, session)
        if (frames_of(blocks)["can_id"] != CAN_ID).any():
            break
        try:
            for _ in link.erase(session, digest_of(blocks)):
                pass
        except RequestError:
            break
        n += 1
    return n
