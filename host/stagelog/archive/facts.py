"""What is known of a session file when it enters the archive: digests, ledger, its own records.

Reads the finished file, not the memory of its writer. Fails with OutputError.
"""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slog.layout import (
    BLOCK_BYTES,
    HASH_FIRMWARE,
    HASH_SETTINGS,
    HASH_SIGNALS,
    HEADER_BYTES,
    META_HASH,
    META_SESSION,
    VERSION,
)
from stagelog.archive.manifest import Entry, put_entry, sha256_of
from stagelog.blocks import read_log
from stagelog.ending import find_end
from stagelog.ledger import account
from stagelog.replies import ListedSession, version_text
from stagelog.timeline import find_timeline
from stagelog.verdict import judge_session

_HASHES = {
    HASH_SETTINGS: "settings_sha256_head",
    HASH_SIGNALS: "signals_sha256_head",
    HASH_FIRMWARE: "firmware_sha256_head",
}


def complete_session(
    path: Path, session: ListedSession, facts: Mapping[str, Any] | None = None
) -> Entry:
    """Enter a session file that has its final name into the manifest; return the Entry.

    facts    more fields of the entry; `ended` of a session that comes from a copy: False where
             nothing says that it ended there
    """
    device_id = session.device_id.hex()
    values = {
        "file": path.name,
        "sha256": sha256_of(path),
        "n_bytes": path.stat().st_size,
        "mtime_ns": path.stat().st_mtime_ns,
        "format_version": VERSION,
        "device_id": device_id,
        "boot": session.boot,
        "nonce": session.nonce,
        "first_seq": session.first_seq,
        "n_blocks": session.n_blocks,
        "position": session.position,
        "data_first": session.data_first,
        "data_end": session.data_end,
        "running": bool(session.running),
        "ended": not session.running,
        "erase_digest": erase_digest(path),
        "archived_unix_us": time.time_ns() // 1000,
        **(facts or {}),
    }
    values.update(facts_of_blocks(path, values))
    return put_entry(path.parent, values)


def erase_digest(path: Path) -> str:
    """Return the SHA-256 of the first 64 bytes of every block: the proof that ERASE asks for."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block[:HEADER_BYTES])
    return digest.hexdigest()


def facts_of_blocks(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the blocks of a file contain, as fields of the entry of `values`."""
    key = (values["device_id"], values["boot"], values["nonce"])
    log = read_log(path)
    session = next(s for s in log.sessions if (s.device_id, s.boot, s.nonce) == key)
    ledger = account(session, log.damaged, find_end(session, log.sessions, values))
    timeline = find_timeline([session])
    found = {
        "complete": ledger.complete,
        "verdict": judge_session(session, ledger, timeline).as_dict(),
        "last_seq": session.last_seq,
        "n_frames": session.n_frames,
        "n_damaged": len(log.damaged),
        "t_first_us": session.t_first_us,
        "t_last_us": session.t_last_us,
        "t_first_unix_us": timeline.to_unix_us(session.t_first_us) if timeline else None,
        "damaged": [str(bad) for bad in log.damaged[:100]],
        "ledger": ledger.as_dict(),
    }
    for meta in session.decoded_meta(META_SESSION)[:1]:
        found["firmware"] = version_text(meta.values["firmware"])
    for meta in session.decoded_meta(META_HASH):
        if meta.arg in _HASHES:
            found[_HASHES[meta.arg]] = meta.values["sha256_head"].hex()
    return found
