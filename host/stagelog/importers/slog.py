"""Our own logs as a frame stream: session files, extents, card images, remains.

Owns only the mapping to FrameStream; blocks reads. Times are from the epoch where every boot has
an anchor of wall clock, else from each boot's start.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stagelog.importers.diagnostics import HEADER, LOGGER, STAMPS, Diagnostics
from stagelog.importers.stream import FrameStream
from stagelog.model import FrameTable
from stagelog.timeline import HEADER as IN_HEADER
from stagelog.timeline import STAMPS as IN_STAMPS
from stagelog.timeline import find_boots

if TYPE_CHECKING:
    from stagelog.blocks import Session

_CLOCK = {IN_STAMPS: STAMPS, IN_HEADER: HEADER}  # of a log that was converted


def stream_slog(
    path: str | Path, session: str | None = None, sessions: "Sequence[Session] | None" = None
) -> FrameStream:
    """Return a FrameStream over the sessions of a log, or over the one whose name starts with
    `session`, or over `sessions` that were read from it.
    """
    from stagelog.blocks import read_log

    log = read_log(path)
    diagnostics = Diagnostics(source=str(path), kind="slog", times="relative")
    for bad in log.damaged:
        diagnostics.add("bad block", f"byte {bad.offset}", bad.reason)
    for remark in log.diagnostics:
        diagnostics.note(str(remark))
    if sessions is None:
        sessions = log.sessions if session is None else [log.session(session)]
    stream = FrameStream("slog", Path(path), (), diagnostics)
    stream.chunks = _chunks(stream, sessions)
    return stream


def _chunks(stream: FrameStream, sessions: "Sequence[Session]") -> Iterator[FrameTable]:
    boots = find_boots(sessions)
    anchored = all(boot.timeline for boot in boots)
    first = boots[0].timeline if boots else None
    if anchored and first is not None:
        stream.diagnostics.times = "absolute"
        stream.diagnostics.clock = _CLOCK.get(first.source, LOGGER)
    elif len(boots) > 1:
        stream.diagnostics.note(f"{len(boots)} boots without a wall clock: times restart at each")
    n_buses, n_frames = 0, 0
    n_all = max(1, sum(session.n_frames for session in sessions))
    for boot in boots:
        timeline = boot.timeline if anchored else None
        for session in boot.sessions:
            for frames in session.iter_frames():
                if not len(frames):
                    continue
                n_frames += len(frames)
                stream.diagnostics.share = n_frames / n_all
                if timeline is not None:
                    frames["t_us"] = timeline.to_unix_us(frames["t_us"])
                n_buses = max(n_buses, int(frames["bus"].max()) + 1)
                stream.ifaces[:] = [f"can{k}" for k in range(n_buses)]
                yield frames
