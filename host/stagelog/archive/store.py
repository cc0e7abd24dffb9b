"""Sessions from a card in the laptop's reader: the same file and the same entry as by cable.

Fails with OutputError if the archive cannot be written, InputError if the positions that the
blocks state cannot be those of the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slog.layout import BLOCK_BYTES
from stagelog.archive.manifest import Entry
from stagelog.archive.part import PartFile
from stagelog.blocks import Log, Session
from stagelog.ending import OPEN, find_end
from stagelog.errors import InputError
from stagelog.replies import ListedSession


def store_session(
    log: Log, session: Session, folder: str | Path, facts: Mapping[str, Any] | None = None
) -> Entry:
    """Copy a session of a log that was read (blocks.Log) into a folder; return its Entry.

    On a card the places between its first and its last block are copied as they are, damaged ones
    too. Without a signature, the places are those that the blocks were written for.
    """
    medium = session.medium
    positions = session.headers["position"].astype(np.int64)
    if medium.extent is not None:
        first, end = medium.ring
        content = medium.view
        row_of = {int(row): int(row) for row in range(first, end)}
    else:
        first, end = int(positions.min()), int(positions.max()) + 1
        content = medium.view
        row_of = dict(zip(positions.tolist(), session.rows.tolist(), strict=True))
    start = int(positions[0])
    behind = _first_of_next(log, session)
    n_blocks = (int(positions[-1]) - start) % (end - first) + 1
    if behind is not None:
        n_blocks = (behind - start) % (end - first)
    if n_blocks > len(medium.offsets):
        raise InputError(
            f"{log.path}: blocks of session {session.identity.name} state that they lie on "
            f"{n_blocks:,} places, in a file of {len(medium.offsets):,}"
        )
    listed = ListedSession(
        running=False,
        boot=session.boot,
        nonce=session.nonce,
        device_id=bytes.fromhex(session.device_id),
        first_seq=session.first_seq,
        position=start,
        n_blocks=n_blocks,
        data_first=first,
        data_end=end,
    )
    ended = find_end(session, log.sessions).kind != OPEN
    with PartFile.open(folder, listed) as part:
        for position in part.missing():
            row = row_of.get(position)
            block = bytes(BLOCK_BYTES) if row is None else content[row].tobytes()
            part.put(position, block)
        return part.finish({"ended": ended, "source": log.path.name, **(facts or {})})


def _first_of_next(log: Log, session: Session) -> int | None:
    """Return the place of the session after this one on a card, None if it is not there.

    The places up to it belong to this session: LIST counts them in the same way.
    """
    if session.medium.extent is None:
        return None
    later = [other for other in log.sessions if other.first_seq > session.last_seq]
    following = min(later, key=lambda other: other.first_seq, default=None)
    return int(following.rows[0]) if following and following.has_first else None
