"""Reads ASC (Vector): the usual lines as columns (asc_rows), every other line by python-can.

Owns the header, the dates, and which lines are remarks. A line that contradicts itself is damage
(asc_lines).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stagelog.can_messages import frames_of
from stagelog.extras import need
from stagelog.importers import asc_lines, asc_rows
from stagelog.importers.can_reader import Feed, Numbered, split_header
from stagelog.importers.diagnostics import HEADER, Diagnostics
from stagelog.importers.line_rows import Lines
from stagelog.importers.stream import BusNames, FrameStream, collect, line_chunks
from stagelog.model import EARLIEST_US, FrameTable

if TYPE_CHECKING:
    import can

_REMARK = re.compile(
    r"\s*$|//|date\s|base\s|(no\s*)?internal events|begin\s+trigger|end\s+trigger"
    r"|\s*\d+\.\d+\s+(Start of measurement|CAN\s+\d+\s+Status|\d+\s+Statistic|\d+\s+J1939TP|log "
    r"|\w+:|(LIN|ETH|FR|SV|EV|AFDX|A429|TestStructure|Trigger|previous)\b)",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"base\s+\w+\s+timestamps\s+relative", re.IGNORECASE)
_DATE = re.compile(r"(date|begin\s+trigger\s*block)\s+(.{8,40})", re.IGNORECASE)
_START = re.compile(r"\s*(\d+\.\d+)\s+Start of measurement", re.IGNORECASE)
_HEADER = re.compile(r"date\s|base\s|//", re.IGNORECASE)
_HEADER_KEY = re.compile(r"date\s|base(?=\s+(hex|dec)\b)|internal events", re.IGNORECASE)
_BASE = re.compile(r"base\s+(hex|dec)\b", re.IGNORECASE)


def stream_asc(path: str | Path) -> FrameStream:
    """Return a FrameStream over an ASC file; t_us from the epoch if it has a date."""
    stream = FrameStream("asc", Path(path), (), Diagnostics(source=str(path), kind="asc"))
    stream.chunks = _chunks(stream)
    return stream


def read_asc(path: str | Path) -> tuple[FrameTable, Diagnostics]:
    """Read a whole ASC file: (frames, Diagnostics)."""
    log = collect(stream_asc(path))
    return log.frames, log.diagnostics


def _chunks(stream: FrameStream) -> Iterator[FrameTable]:
    log = None
    first_line = 1
    for n_cut, block in line_chunks(stream.path, stream.diagnostics):
        first_line += n_cut
        lines = Lines(block)
        if log is None:
            log = _Log(stream, block, first_line)
        asc_rows.read_rows(lines, log.is_hex)
        for bus in np.flatnonzero(np.bincount(lines.bus[lines.ok])).tolist():
            log.buses.index(f"can{bus}")
        if not lines.ok.all():
            log.read_rest(lines, first_line)
        stream.diagnostics.n_other += lines.n_lines - len(lines.ok)
        first_line += lines.n_lines
        if lines.ok.any():
            yield log.clock.set(lines.table())


class _Log:
    """What holds for a whole log: its header, the names of its buses, the meaning of its times."""

    def __init__(self, stream: FrameStream, block: bytes, first_line: int) -> None:
        text = enumerate(block.decode("latin-1").splitlines(), first_line)
        header, _ = split_header(text, lambda line: _HEADER.match(line) is not None)
        self.header_end = first_line + len(header)  # number of the line behind it
        bases = [found[1].lower() for found in map(_BASE.match, header) if found]
        self.is_hex = bases[-1:] != ["dec"]
        # python-can reads lines as header until this one, and drops the first that is not
        shown = [_BASE.sub(lambda found: found[0].lower(), line) for line in header]
        shown.append("internal events logged")
        self.feed = Feed(stream.diagnostics, _REMARK, shown, _HEADER_KEY)
        self.buses = BusNames(stream.ifaces)
        self.clock = _Clock(stream.diagnostics, header)
        for line in header:
            self.clock.keep_date(line)

    def read_rest(self, lines: Lines, first_line: int) -> None:
        """Read every line not yet read: fill its row, or count it."""
        rest = list(self._rest(lines, first_line))
        if not rest:
            return
        reader = need("can", "can").ASCReader
        numbers: list[int] = []
        messages: list[can.Message] = []
        for message in self.feed.messages(rest, reader, _fits):
            numbers.append(self.feed.number)
            messages.append(message)
        if messages:
            rows = np.searchsorted(lines.number, np.array(numbers) - first_line)
            lines.put_frames(rows, frames_of(messages, self.buses))

    def _rest(self, lines: Lines, first_line: int) -> Iterator[Numbered]:
        for row in np.flatnonzero(~lines.ok).tolist():
            number = first_line + int(lines.number[row])
            if number < self.header_end:
                continue
            line = lines.line(row).decode("latin-1")
            if _REMARK.match(line):  # none is a frame to python-can, which takes a second to load
                self.clock.keep_date(line)
                self.feed.diagnostics.n_other += 1
            else:
                yield number, line


def _fits(message: "can.Message", line: str, reader: Any) -> bool:
    return asc_lines.fits(message, line, reader.base)


class _Clock:
    """Times count from the start of measurement, or from the line before.

    That start is the date of the header, or of the trigger block that holds the line "Start of
    measurement". Both are the recorder's local time; no zone stands in the file.
    """

    def __init__(self, diagnostics: Diagnostics, header: list[str]) -> None:
        self.diagnostics = diagnostics
        self.header = header
        self.dates: dict[str, str] = {}
        self.decided = False
        self.is_delta = False
        self.start_us = 0
        self.sum_us = 0

    def keep_date(self, line: str) -> None:
        """Keep the dates of an ASC header: "date", "trigger", and "start" where the start of
        measurement lies in a trigger block.
        """
        date = _DATE.match(line)
        if date:
            self.dates.setdefault("date" if date[1][:1] in "dD" else "trigger", date[2].strip())
        start = _START.match(line)
        if start and float(start[1]) == 0 and "trigger" in self.dates:
            self.dates.setdefault("start", self.dates["trigger"])

    def set(self, frames: FrameTable) -> FrameTable:
        """Return the frames with their real times."""
        if not self.decided:
            self.decided = True
            self._decide()
        t_us = frames["t_us"]
        if self.is_delta:
            t_us[:] = np.cumsum(t_us) + self.sum_us
            self.sum_us = int(t_us[-1])
        t_us += self.start_us
        return frames

    def _decide(self) -> None:
        diagnostics = self.diagnostics
        self.is_delta = any(_RELATIVE.match(line) for line in self.header)
        diagnostics.times = "delta" if self.is_delta else "relative"
        text = self.dates.get("start") or self.dates.get("date")
        if text is None:
            return
        start_us = asc_lines.date_us(text)
        if start_us is None:
            diagnostics.note(f"the date of the header cannot be read: {text[:40]}")
        elif start_us >= EARLIEST_US:
            self.start_us = start_us
            diagnostics.times = "absolute"
            diagnostics.clock = HEADER
