"""Our own logs as a frame stream: session files, extents, card images, remains.

Owns only the mapping to FrameStream; blocks reads. Times are from the epoch where every boot has
an anchor of wall clock, else from each boot's start.
"""

from pathlib import Path

from stagelog.importers.diagnostics import HEADER, LOGGER, STAMPS, Diagnostics
from stagelog.importers.stream import FrameStream
from stagelog.timeline import HEADER as IN_HEADER
from stagelog.timeline import STAMPS as IN_STAMPS
from stagelog.timeline import find_boots

_CLOCK = {IN_STAMPS: STAMPS, IN_HEADER: HEADER}  # of a log that was converted


def stream_slog(path, session=None, sessions=None):
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
    stream = FrameStream("slog", Path(path), None, diagnostics)
    stream.chunks = _chunks(stream, sessions)
    return stream


def _chunks(stream, sessions):
    boots = find_boots(sessions)
    anchored = all(boot.timeline for boot in boots)
    if anchored and boots:
        stream.diagnostics.times = "absolute"
        stream.diagnostics.clock = _CLOCK.get(boots[0].timeline.source, LOGGER)
    elif len(boots) > 1:
        stream.diagnostics.note(
            f"{len(boots)} boots without a wall clock: times begin anew at each"
        )
    n_buses = 0
    for boot in boots:
        for session in boot.sessions:
            for frames in session.iter_frames():
                if not len(frames):
                    continue
                if anchored:
                    frames["t_us"] = boot.timeline.to_unix_us(frames["t_us"])
                n_buses = max(n_buses, int(frames["bus"].max()) + 1)
                stream.ifaces[:] = [f"can{k}" for k in range(n_buses)]
                yield frames
