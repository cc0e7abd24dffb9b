"""Blocks: read a log of any kind, wherever its blocks lie; what is wrong with it becomes values.

    log = read_log("C03.slog")        session file, extent, card image, card, or remains of one
    for session in log.sessions:
        for frames in session.iter_frames():    FRAME tables, memory bounded by one chunk

`medium` finds the places, `placement` decides which blocks count, `records` turns them into
columns, `reader` holds it together, `writer` makes blocks from frames. Fails with InputError.
"""

from stagelog.blocks.placement import NO_LOGGER, BadBlock, Diagnostic, Identity
from stagelog.blocks.reader import Log, Scan, Session, read_log
from stagelog.blocks.records import Meta, decode_meta
from stagelog.blocks.writer import GapRecord, pack_session, seal

__all__ = [
    "NO_LOGGER",
    "BadBlock",
    "Diagnostic",
    "GapRecord",
    "Identity",
    "Log",
    "Meta",
    "Scan",
    "Session",
    "decode_meta",
    "pack_session",
    "read_log",
    "seal",
]
