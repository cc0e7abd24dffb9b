"""Reads ASC (Vector) and TRC (PEAK) by python-can's readers, which stop at the first bad line.

Owns what lies around them: the text is fed line by line, decoded without failing; at a line that a
reader rejects, the damage is counted and a new reader continues after it, fed with the header
again. Lines that a reader skips silently are counted, as remarks where the format has such lines,
as damage otherwise. A line that contradicts itself is damage too (asc_lines, trc_lines).
"""

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stagelog.can_messages import frames_of
from stagelog.errors import InputError
from stagelog.extras import need
from stagelog.importers import asc_lines, trc_lines
from stagelog.importers.diagnostics import HEADER, Diagnostics
from stagelog.importers.stream import BusNames, FrameStream, collect, line_chunks
from stagelog.model import EARLIEST_US, FrameTable

if TYPE_CHECKING:
    import can

_BATCH = 20_000
_MAX_HEADER_LINES = 64
_ASC_REMARK = re.compile(
    r"\s*$|//|date\s|base\s|(no\s*)?internal events|begin\s+trigger|end\s+trigger"
    r"|\s*\d+\.\d+\s+(Start of measurement|CAN\s+\d+\s+Status|\d+\s+Statistic|\d+\s+J1939TP|log "
    r"|\w+:|(LIN|ETH|FR|SV|EV|AFDX|A429|TestStructure|Trigger|previous)\b)",
    re.IGNORECASE,
)
_ASC_RELATIVE = re.compile(r"base\s+\w+\s+timestamps\s+relative", re.IGNORECASE)
_ASC_DATE = re.compile(r"(date|begin\s+trigger\s*block)\s+(.{8,40})", re.IGNORECASE)
_ASC_START = re.compile(r"\s*(\d+\.\d+)\s+Start of measurement", re.IGNORECASE)
_HEADER_KEY = re.compile(
    r"date\s|base(?=\s+(hex|dec)\b)|internal events|;\$(FILEVERSION|STARTTIME|COLUMNS)\b",
    re.IGNORECASE,
)
_TRC_REMARK = re.compile(r"\s*$|;|\s*\d+\)?\s+[\d.]+\s+(ST|EC|ER|EV|Warng|Error)\b|.*FFFFFFFF")
_TRC_VERSIONS = ("1.0", "1.1", "1.3", "2.0", "2.1")


def stream_asc(path: str | Path) -> FrameStream:
    """Return a FrameStream over an ASC file; t_us from the epoch if it has a date."""
    can = need("can", "can")
    stream = _new_stream(path, "asc")
    # python-can reads lines as header until this one, and drops the first that is not
    feed = _Feed(stream, _ASC_REMARK, _is_asc_header, "internal events logged")
    stream.chunks = _chunks(stream, feed, can.ASCReader, _fits_asc, _AscClock(stream, feed))
    return stream


def _fits_asc(message: "can.Message", line: str, reader: "can.ASCReader") -> bool:
    return asc_lines.fits(message, line, reader.base)


def read_asc(path: str | Path) -> tuple[FrameTable, Diagnostics]:
    """Read a whole ASC file: (frames, Diagnostics)."""
    log = collect(stream_asc(path))
    return log.frames, log.diagnostics


def stream_trc(path: str | Path) -> FrameStream:
    """Return a FrameStream over a TRC file; t_us from the epoch if the file has a start time."""
    can = need("can", "can")
    stream = _new_stream(path, "trc")
    feed = _Feed(stream, _TRC_REMARK, lambda line: line.startswith(";"))
    _check_trc_header(stream, feed.header)
    stream.chunks = _chunks(stream, feed, can.TRCReader, trc_lines.fits, _TrcClock(stream), 1)
    return stream


def read_trc(path: str | Path) -> tuple[FrameTable, Diagnostics]:
    """Read a whole TRC file: (frames, Diagnostics)."""
    log = collect(stream_trc(path))
    return log.frames, log.diagnostics


def _new_stream(path: str | Path, kind: str) -> FrameStream:
    logging.getLogger("can").setLevel(logging.ERROR)
    diagnostics = Diagnostics(source=str(path), kind=kind)
    return FrameStream(kind, Path(path), (), diagnostics)


def _is_asc_header(line: str) -> bool:
    return re.match(r"date\s|base\s|//", line, re.IGNORECASE) is not None


def _check_trc_header(stream: FrameStream, header: list[str]) -> None:
    """Raise InputError for a version that python-can would misread.

    Drop a start time that is none.
    """
    for line in list(header):
        key, _, value = line.partition("=")
        if key == ";$FILEVERSION" and value.strip() not in _TRC_VERSIONS:
            known = ", ".join(_TRC_VERSIONS)
            raise InputError(
                f"{stream.path}: TRC version {value.strip()[:20]!r} cannot be read ({known} can)"
            )
        if key == ";$STARTTIME" and not re.fullmatch(r"\d{1,6}(\.\d*)?", value.strip()):
            stream.diagnostics.add("damaged header", "start time", value[:40])
            header.remove(line)


class _Feed:
    """The text of a log as the file that python-can reads; knows the current line."""

    def __init__(
        self,
        stream: FrameStream,
        remark: re.Pattern[str],
        is_header: Callable[[str], bool],
        last_header_line: str | None = None,
    ) -> None:
        self.stream = stream
        self.remark = remark
        self.number = 0
        self.line = ""
        self.is_pending = False  # the current line has given no message yet
        self.lines = self._all_lines()
        self.dates: dict[str, str] = {}
        self.header: list[str] = []
        self.first: str | None = None
        for line in self.lines:
            if not is_header(line) or len(self.header) >= _MAX_HEADER_LINES:
                self.first = line
                break
            self.header.append(line)
        if last_header_line:
            self.header.append(last_header_line)
        self.again: list[str] = []
        self._shown: list[str] | None = None

    def close(self) -> None:
        """Do nothing: a reader that stops at an error closes its file."""

    def restart(self) -> None:
        """Feed a new reader the header lines that count: of lines with one key the last."""
        if self._shown is None:
            found = ((_HEADER_KEY.match(line), line) for line in self.header)
            self._shown = list({key[0].lower(): line for key, line in found if key}.values())
        self.again = list(self._shown)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.again:
            return self.again.pop(0)
        self.settle()
        self.line = self.first if self.first is not None else next(self.lines)
        self.first = None
        self.is_pending = True
        return self.line

    def settle(self) -> None:
        """Count the current line if no message came of it."""
        if not self.is_pending:
            return
        self.is_pending = False
        if self.remark.match(self.line):
            self.stream.diagnostics.n_other += 1
        else:
            self.refuse()

    def refuse(self) -> None:
        """Count the current line as damage."""
        self.is_pending = False
        self.stream.diagnostics.add("not a frame", f"line {self.number}", self.line[:60])

    def _all_lines(self) -> Iterator[str]:
        for n_cut, block in line_chunks(self.stream.path, self.stream.diagnostics, 1 << 18):
            self.number += n_cut
            for line in block.decode("latin-1").splitlines():
                self.number += 1
                if line[:1] in "dDbB" or " Start of" in line:
                    self._keep_date(line)
                yield line

    def _keep_date(self, line: str) -> None:
        """Keep the dates of an ASC header: "date", "trigger", and "start" where the start of
        measurement lies in a trigger block.
        """
        date = _ASC_DATE.match(line)
        if date:
            self.dates.setdefault("date" if date[1][:1] in "dD" else "trigger", date[2].strip())
        start = _ASC_START.match(line)
        if start and float(start[1]) == 0 and "trigger" in self.dates:
            self.dates.setdefault("start", self.dates["trigger"])


class _Clock(Protocol):
    def set(self, frames: FrameTable) -> FrameTable:
        """Return the frames with their real times."""


def _chunks(
    stream: FrameStream,
    feed: _Feed,
    make_reader: Callable[[Any], Any],
    fits: Callable[["can.Message", str, Any], bool],
    clock: _Clock,
    first_channel: int = 0,
) -> Iterator[FrameTable]:
    """Yield frame tables.

    fits           (message, line, reader) -> True if the message agrees with its line
    first_channel  number that python-can gives to the first bus
    """
    buses = BusNames(stream.ifaces)
    batch: list[can.Message] = []
    is_over = False
    while not is_over:
        feed.restart()
        try:
            reader = make_reader(feed)
            for message in reader:
                if not (_is_possible(message, first_channel) and fits(message, feed.line, reader)):
                    feed.refuse()
                    continue
                feed.is_pending = False
                message.channel = f"can{int(message.channel or 0) - first_channel}"
                batch.append(message)
                if len(batch) >= _BATCH:
                    yield clock.set(frames_of(batch, buses))
                    batch = []
            is_over = True
        except Exception as error:  # whatever a reader raises for a line it cannot read
            if not feed.is_pending:
                raise InputError(f"{stream.path}: damaged header: {error}") from None
            feed.refuse()
    feed.settle()
    if batch:
        yield clock.set(frames_of(batch, buses))


def _is_possible(message: "can.Message", first_channel: int) -> bool:
    """Return whether CAN has such an identifier, and the log such a bus."""
    limit = 0x1FFFFFFF if message.is_extended_id else 0x7FF
    bus = int(str(message.channel or 0)) - first_channel
    return 0 <= message.arbitration_id <= limit and 0 <= bus < 256


class _TrcClock:
    """python-can has added the start time of the header."""

    def __init__(self, stream: FrameStream) -> None:
        self.diagnostics = stream.diagnostics
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


class _AscClock:
    """Times count from the start of measurement, or from the line before.

    That start is the date of the header, or of the trigger block that holds the line "Start of
    measurement". Both are the recorder's local time; no zone stands in the file.
    """

    def __init__(self, stream: FrameStream, feed: _Feed) -> None:
        self.diagnostics = stream.diagnostics
        self.feed = feed
        self.decided = False
        self.is_delta = False
        self.start_us = 0
        self.sum_us = 0

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
        self.is_delta = any(_ASC_RELATIVE.match(line) for line in self.feed.header)
        diagnostics.times = "delta" if self.is_delta else "relative"
        text = self.feed.dates.get("start") or self.feed.dates.get("date")
        if text is None:
            return
        start_us = asc_lines.date_us(text)
        if start_us is None:
            diagnostics.note(f"the date of the header cannot be read: {text[:40]}")
        elif start_us >= EARLIEST_US:
            self.start_us = start_us
            diagnostics.times = "absolute"
            diagnostics.clock = HEADER
