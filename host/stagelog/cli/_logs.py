"""What verbs about logs share: which files a log is, its buses, its verdict, who recorded it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stagelog.cli._common import Facts, duration_text, time_text
from stagelog.counts import count_text
from stagelog.errors import InputError
from stagelog.replies import version_text

if TYPE_CHECKING:
    from stagelog.archive import Entry
    from stagelog.blocks import Session
    from stagelog.importers.stream import FrameStream
    from stagelog.model import FrameTable
    from stagelog.pack import Known
    from stagelog.timeline import Timeline
    from stagelog.verdict import Verdict


def find_logs(path: str | Path) -> list[tuple[Path, Entry | None]]:
    """Return [(Path, archive entry or None)] of a log, or of all session files in a folder;
    FOLDER/DEVICE_ID are those of one logger in it, without copies that another folder holds.
    """
    from stagelog.archive import entry_of, find_sessions, find_unlisted

    path = Path(path)
    if not path.is_dir():
        return _of_logger(path) or [(path, entry_of(path))]
    entries = find_sessions(path)
    others = find_unlisted(path, entries)
    if not entries and not others:
        raise InputError(f"{path} holds no session file", "name a folder of the archive or a log")
    return [(entry.path, entry) for entry in entries] + [(found, None) for found in others]


def _of_logger(path: Path) -> list[tuple[Path, Entry | None]]:
    """Return what find_logs does of FOLDER/DEVICE_ID, [] for any other path."""
    from stagelog.archive import of_logger

    if not re.fullmatch("[0-9a-f]{16}", path.name) or path.exists():
        return []
    return [(entry.path, entry) for entry in of_logger(path.parent, path.name)]


def one_log(path: str | Path) -> Path:
    """Return the Path of a log, or of the only session file in a folder."""
    found = find_logs(path)
    if len(found) > 1:
        raise InputError(f"{path} holds {len(found)} session files", f"name one: {found[0][0]}")
    return found[0][0]


def on_buses(tables: Iterable[FrameTable], buses: Sequence[int]) -> Iterator[FrameTable]:
    """Yield the frames of some buses, of all if none is named; no empty table."""
    import numpy as np

    for frames in tables:
        chosen = frames[np.isin(frames["bus"], buses)] if buses else frames
        if len(chosen):
            yield chosen


def check_buses(log: str | Path, buses: Sequence[int], tables: Iterable[FrameTable]) -> None:
    """Fail with InputError if no frame of a log (frame tables) is of one of the buses.

    Reads on only until it finds one; nothing if no bus is named.
    """
    import numpy as np

    found: set[int] = set()
    for frames in tables if buses else ():
        found.update(np.unique(frames["bus"]).tolist())
        if found.intersection(buses):
            return
    if buses:
        asked, held = (", ".join(map(str, sorted(numbers))) for numbers in (buses, found))
        hint = f"it has frames of bus {held}" if found else "it has none of any bus"
        raise InputError(f"{log} holds no frame of bus {asked}", hint)


def judge_stream(stream: FrameStream, session: str | None = None) -> tuple[Verdict, Known]:
    """Return (Verdict, pack.Known) on a FrameStream that was read to its end.

    session  the start of a name, if not all sessions of the log were read
    """
    from stagelog.accounts import judge_log
    from stagelog.archive import entry_of
    from stagelog.pack import known_of_foreign, known_of_ours
    from stagelog.verdict import judge_foreign, worst

    if stream.kind != "slog":
        return judge_foreign(stream.diagnostics), known_of_foreign(stream.diagnostics)
    judged = judge_log(stream.path, entry_of(stream.path))
    chosen = [a for a in judged.accounts if a.session.identity.name.startswith(session or "")]
    verdict = worst([*judged.problems, *(account.verdict for account in chosen)])
    return verdict, known_of_ours(chosen, judged.problems, stream.diagnostics.times)


def session_facts(session: Session, timeline: Timeline | None) -> Facts:
    """Return the facts of a session as JSON types."""
    from slog.layout import HASH_FIRMWARE, HASH_SETTINGS, HASH_SIGNALS, META_HASH, META_SESSION

    facts: Facts = {
        "session": session.identity.name,
        "device_id": session.device_id,
        "boot": session.boot,
        "nonce": session.nonce,
        "n_blocks": session.n_blocks,
        "first_seq": session.first_seq,
        "last_seq": session.last_seq,
        "n_frames": session.n_frames,
        "t_first_us": session.t_first_us,
        "t_last_us": session.t_last_us,
        "t_first_unix_us": timeline.to_unix_us(session.t_first_us) if timeline else None,
        "drift_ppm": round(timeline.drift_ppm, 2) if timeline else None,
    }
    for meta in session.decoded_meta(META_SESSION)[:1]:
        facts["firmware"] = version_text(meta.values["firmware"])
        facts["listen_only"] = bool(meta.values["listen_only"])
        facts["flush_ms"] = meta.values["flush_ms"]
    names = {HASH_SETTINGS: "settings", HASH_SIGNALS: "signals", HASH_FIRMWARE: "firmware"}
    for meta in session.decoded_meta(META_HASH):
        name = names.get(meta.arg, f"hash{meta.arg}")
        facts[f"{name}_sha256_head"] = meta.values["sha256_head"].hex()
    return facts


def session_line(session: Session, timeline: Timeline | None) -> str:
    """Return one line: who recorded, when, for how long."""
    when = "no wall clock"
    if timeline is not None:
        when = f"{time_text(timeline.to_unix_us(session.t_first_us))} UTC"
    duration = duration_text(session.t_last_us - session.t_first_us)
    return (
        f"session {session.identity.name}: boot {session.boot}, {when}, {duration}, "
        f"{count_text(session.n_frames, 'frame')} in {count_text(session.n_blocks, 'block')}"
    )
