"""Reads TRC (PEAK) by python-can's reader.

Owns the header, and which lines are remarks. A line that contradicts itself is damage (trc_lines).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from stagelog.can_messages import frames_of
from stagelog.errors import InputError
from stagelog.extras import need
from stagelog.importers import trc_lines
from stagelog.importers.can_reader import Feed, Numbered, split_header
from stagelog.importers.diagnostics import HEADER, Diagnostics
from stagelog.importers.stream import BusNames, FrameStream, collect, line_chunks
from stagelog.model import EARLIEST_US, FrameTable

_BATCH = 20_000
_REMARK = re.compile(r"\s*$|;|\s*\d+\)?\s+[\d.]+\s+(ST|EC|ER|EV|Warng|Error)\b|.*FFFFFFFF")
_HEADER_KEY = re.compile(r";\$(FILEVERSION|STARTTIME|COLUMNS)\b", re.IGNORECASE)
_VERSIONS = ("1.0", "1.1", "1.3", "2.0", "2.1")


def stream_trc(path: str | Path) -> FrameStream:
    """Return a FrameStream over a TRC file; t_us from the epoch if the file has a start time."""
    need("can", "can")
    stream = FrameStream("trc", Path(path), (), Diagnostics(source=str(path), kind="trc"))
    header, lines = split_header(_lines(stream), lambda line: line.startswith(";"))
    _check_header(stream, header)
    feed = Feed(stream.diagnostics, _REMARK, header, _HEADER_KEY)
    stream.chunks = _chunks(stream, feed, lines)
    return stream


def read_trc(path: str | Path) -> tuple[FrameTable, Diagnostics]:
    """Read a whole TRC file: (frames, Diagnostics)."""
    log = collect(stream_trc(path))
    return log.frames, log.diagnostics


def _check_header(stream: FrameStream, header: list[str]) -> None:
    """Raise InputError for a version that python-can would misread.

    Drop a start time that is none.
    """
    for line in list(header):
        key, _, value = line.partition("=")
        if key == ";$FILEVERSION" and value.strip() not in _VERSIONS:
            known = ", ".join(_VERSIONS)
            raise InputError(
                f"{stream.path}: TRC version {value.strip()[:20]!r} cannot be read ({known} can)"
            )
        if key == ";$STARTTIME" and not re.fullmatch(r"\d{1,6}(\.\d*)?", value.strip()):
            stream.diagnostics.add("damaged header", "start time", value[:40])
            header.remove(line)


def _lines(stream: FrameStream) -> Iterator[Numbered]:
    number = 0
    for n_cut, block in line_chunks(stream.path, stream.diagnostics, 1 << 18):
        number += n_cut
        for line in block.decode("latin-1").splitlines():
            number += 1
            yield number, line


def _chunks(stream: FrameStream, feed: Feed, lines: Iterator[Numbered]) -> Iterator[FrameTable]:
    import can

    buses, clock = BusNames(stream.ifaces), _Clock(stream.diagnostics)
    batch: list[can.Message] = []
    for message in feed.messages(lines, can.TRCReader, trc_lines.fits, 1):
        batch.append(message)
        if len(batch) >= _BATCH:
            yield clock.set(frames_of(batch, buses))
            batch = []
    if batch:
        yield clock.set(frames_of(batch, buses))


class _Clock:
    """python-can has added the start time of the header."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.decided = False

    def set(self, frames: FrameTable) -> FrameTable:
        """Return the frames with their real times."""
        if not self.decided:
            self.decided = True
            is_absolute = len(frames) and frames["t_us"].max() > EARLIEST_US
            self.diagnostics.times = "absolute" if is_absolute else "relative"
            if is_absolute:
                self.diagnostics.clock = HEADER
        return frames
