"""Drives in blocks, of two sessions of one logger, to be cut at a known place, and their verdict.

One block has 252 records. In `drive_blocks` the first holds 2 meta records (session, anchor) and
250 frames, each further one 252 frames, 500 us apart; the last record of all is END.
"""

import numpy as np

from stagelog.blocks import Identity, pack_session
from stagelog.model import FRAME

ALICE = Identity("e66038b7130f2e29", 12, 0x9F3C2A11)
BOB = Identity("e66038b7130f2e29", 13, 0x77)
T_UNIX_US = 1_768_658_602_120_000  # 2026-01-17 14:03:22.120 UTC


def drive_blocks(n_frames=60_000, identity=ALICE, **more):
    frames = np.zeros(n_frames, FRAME)
    frames["t_us"] = 1_000_000 + np.arange(n_frames) * 500
    frames["can_id"] = 0x100
    frames["dlc"] = frames["n_bytes"] = 8
    return pack_session(frames, identity, anchors=[(1_000_000, T_UNIX_US)], **more)


def write(path, blocks):
    path.write_bytes(blocks.tobytes())
    return path


def says(out):
    """Return the lines of a verdict."""
    words = ("COMPLETE", "INCOMPLETE", "open end", "foreign log")
    return [line.strip() for line in out.splitlines() if line.strip().startswith(words)]
