"""Sessions from a card in the laptop take the same way as those by cable: same file, same entry.

Fails with OutputError if the archive cannot be written, InputError if the blocks' own places
cannot be those of the file.
"""

import numpy as np

from slog.layout import BLOCK_BYTES
from stagelog.archive.part import PartFile
from stagelog.errors import InputError


def store_session(log, session, folder, facts=None):
    """Copy a session of a log that was read (blocks.Log) into a folder; return its Entry.

    On a card the places between its first and its last block are copied as they are, damaged ones
    too. Where no signature tells the places, they are those that the blocks were written for.
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
    n_blocks = (int(positions[-1]) - start) % (end - first) + 1
    if n_blocks > len(medium.offsets):
        raise InputError(
            f"{log.path}: blocks of session {session.identity.name} say that they lie on "
            f"{n_blocks:,} places, in a file of {len(medium.offsets):,}"
        )
    listed = {
        "device_id": bytes.fromhex(session.device_id),
        "boot": session.boot,
        "nonce": session.nonce,
        "first_seq": session.first_seq,
        "position": start,
        "n_blocks": n_blocks,
        "data_first": first,
        "data_end": end,
        "running": False,
    }
    with PartFile.open(folder, listed) as part:
        for position in part.missing():
            row = row_of.get(position)
            block = bytes(BLOCK_BYTES) if row is None else content[row].tobytes()
            part.put(position, block)
        return part.finish({"source": log.path.name, **(facts or {})})
