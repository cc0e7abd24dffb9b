"""Any log in, frame tables out: damage is reported, the rest is read.

    load_frames(path) -> LogFrames(frames, ifaces, diagnostics, kind)       a whole log in memory
    stream_frames(path) -> FrameStream                                  any size, chunk by chunk
        for frames in stream: ...       then stream.ifaces, stream.diagnostics are complete
    sniff(path) -> "candump", "slog", ...                               by content, not by name

    read_candump(path) -> (frames, diagnostics)      and so on for each kind

Frames are FRAME, or FRAME_FD if any payload is longer than 8 bytes; t_us is from the epoch where
the log says so (`diagnostics.times`), bus numbers index `ifaces`. Diagnostics: source, kind,
times, n_bytes, n_frames, n_other, n_dropped, counts {kind of damage: n}, damages [(kind, place,
detail)], notes, ok, to_json(). Raises InputError for a file that cannot be opened or that is not
a log at all; never for damage inside one.
"""

from collections.abc import Callable
from pathlib import Path

from stagelog.importers.asc import read_asc, stream_asc
from stagelog.importers.blf import read_blf, stream_blf
from stagelog.importers.candump import read_candump, stream_candump
from stagelog.importers.diagnostics import Damage, Diagnostics
from stagelog.importers.mf4 import read_mf4, stream_mf4
from stagelog.importers.python_can import read_can_csv, stream_can_csv, stream_can_sqlite
from stagelog.importers.savvycan import read_savvycan, stream_savvycan
from stagelog.importers.slog import stream_slog
from stagelog.importers.sniff import sniff
from stagelog.importers.stream import FrameStream, LogFrames, collect
from stagelog.importers.trc import read_trc, stream_trc

_STREAMS: dict[str, Callable[[str | Path], FrameStream]] = {
    "asc": stream_asc,
    "blf": stream_blf,
    "can_csv": stream_can_csv,
    "can_sqlite": stream_can_sqlite,
    "candump": stream_candump,
    "mf4": stream_mf4,
    "savvycan": stream_savvycan,
    "slog": stream_slog,
    "trc": stream_trc,
}


def stream_frames(path: str | Path) -> FrameStream:
    """Return a FrameStream over a log of any known kind."""
    return _STREAMS[sniff(path)](path)


def load_frames(path: str | Path) -> LogFrames:
    """Read a whole log of any known kind and return LogFrames."""
    return collect(stream_frames(path))


__all__ = [
    "Damage",
    "Diagnostics",
    "FrameStream",
    "LogFrames",
    "load_frames",
    "read_asc",
    "read_blf",
    "read_can_csv",
    "read_candump",
    "read_mf4",
    "read_savvycan",
    "read_trc",
    "sniff",
    "stream_frames",
]
