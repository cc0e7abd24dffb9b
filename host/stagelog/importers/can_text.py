"""Reads ASC (Vector) and TRC (PEAK) by python-can's readers, which give up at the first bad line.

Owns what lies around them: the text is fed line by line, decoded without failing; at a line that a
reader refuses, the damage is noted and a new reader goes on behind it, with the header shown to it
again. Lines that a reader passes over in silence are counted, as remarks where the format has such
lines, as damage otherwise.
"""

import logging
import re
from pathlib import Path

import numpy as np

from stagelog.errors import InputError
from stagelog.export.can_messages import frames_of
from stagelog.extras import need
from stagelog.importers.diagnostics import Diagnostics
from stagelog.importers.stream import BusNames, FrameStream, collect, line_chunks

_BATCH = 20_000
_MAX_HEADER_LINES = 64
_ASC_REMARK = re.compile(
    r"\s*$|//|date\s|base\s|(no\s*)?internal events|begin\s+trigger|end\s+trigger"
    r"|\s*\d+\.\d+\s+(Start of measurement|CAN\s+\d+\s+Status|\d+\s+Statistic|\d+\s+J1939TP|log "
    r"|\w+:|(LIN|ETH|FR|SV|EV|AFDX|A429|TestStructure|Trigger|previous)\b)",
    re.IGNORECASE,
)
_ASC_RELATIVE = re.compile(r"base\s+\w+\s+timestamps\s+relative", re.IGNORECASE)
_ASC_DATE = re.compile(r"(?:date|begin triggerblock)\s+(.{8,40})", re.IGNORECASE)
_HEADER_KEY = re.compile(
    r"date\s|base(?=\s+(hex|dec)\b)|internal events|;\$(FILEVERSION|STARTTIME|COLUMNS)\b",
    re.IGNORECASE,
)
_TRC_REMARK = re.compile(r"\s*$|;|\s*\d+\)?\s+[\d.]+\s+(ST|EC|ER|EV|Warng|Error)\b|.*FFFFFFFF")
_TRC_VERSIONS = ("1.0", "1.1", "1.3", "2.0", "2.1")


def stream_asc(path):
    """Return a FrameStream over an ASC file; t_us from the start of measurement."""
    can = need("can", "can")
    stream = _new_stream(path, "asc")
    stream.diagnostics.times = "relative"
    # python-can takes lines for header until this one, and drops the one that is none
    feed = _Feed(stream, _ASC_REMARK, _is_asc_header, "internal events logged")
    stream.chunks = _chunks(stream, feed, can.ASCReader)
    return stream


def read_asc(path):
    """Read a whole ASC file: (frames, Diagnostics)."""
    log = collect(stream_asc(path))
    return log.frames, log.diagnostics


def stream_trc(path):
    """Return a FrameStream over a TRC file; t_us from the epoch if the file has a start time."""
    can = need("can", "can")
    stream = _new_stream(path, "trc")
    feed = _Feed(stream, _TRC_REMARK, lambda line: line.startswith(";"))
    _check_trc_header(stream, feed.header)
    stream.chunks = _chunks(stream, feed, can.TRCReader)
    return stream


def read_trc(path):
    """Read a whole TRC file: (frames, Diagnostics)."""
    log = collect(stream_trc(path))
    return log.frames, log.diagnostics


def _new_stream(path, kind):
    logging.getLogger("can").setLevel(logging.ERROR)
    diagnostics = Diagnostics(source=str(path), kind=kind)
    return FrameStream(kind, Path(path), None, diagnostics)


def _is_asc_header(line):
    return re.match(r"date\s|base\s|//", line, re.IGNORECASE) is not None


def _check_trc_header(stream, header):
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
    """The text of a log as the file that python-can reads; knows the line in hand."""

    def __init__(self, stream, remark, is_header, last_header_line=None):
        self.stream = stream
        self.remark = remark
        self.number = 0
        self.line = ""
        self.is_pending = False  # the line in hand has given no message yet
        self.lines = self._all_lines()
        self.header = []
        self.first = None
        for line in self.lines:
            if not is_header(line) or len(self.header) >= _MAX_HEADER_LINES:
                self.first = line
                break
            self.header.append(line)
        if last_header_line:
            self.header.append(last_header_line)
        self.again = []
        self._shown = None

    def close(self):
        """Do nothing: a reader that gives up closes its file."""

    def restart(self):
        """Show a new reader what counts of the header: of lines with one key the last."""
        if self._shown is None:
            found = ((_HEADER_KEY.match(line), line) for line in self.header)
            self._shown = list({key[0].lower(): line for key, line in found if key}.values())
        self.again = list(self._shown)

    def __iter__(self):
        return self

    def __next__(self):
        if self.again:
            return self.again.pop(0)
        self.settle()
        self.line = self.first if self.first is not None else next(self.lines)
        self.first = None
        self.is_pending = True
        return self.line

    def settle(self):
        """Judge the line in hand if no message came of it."""
        if not self.is_pending:
            return
        self.is_pending = False
        if self.remark.match(self.line):
            self.stream.diagnostics.n_other += 1
        else:
            self.refuse()

    def refuse(self):
        """Count the line in hand as damage."""
        self.is_pending = False
        self.stream.diagnostics.add("not a frame", f"line {self.number}", self.line[:60])

    def _all_lines(self):
        for n_cut, block in line_chunks(self.stream.path, self.stream.diagnostics, 1 << 18):
            self.number += n_cut
            for line in block.decode("latin-1").splitlines():
                self.number += 1
                yield line


def _chunks(stream, feed, make_reader):
    buses = BusNames(stream.ifaces)
    clock = _Clock(stream, feed)
    batch = []
    is_over = False
    while not is_over:
        feed.restart()
        try:
            for message in make_reader(feed):
                if _is_short(message):
                    feed.refuse()
                    continue
                feed.is_pending = False
                batch.append(message)
                if len(batch) >= _BATCH:
                    yield clock.set(frames_of(batch, buses))
                    batch = []
            is_over = True
        except Exception as error:  # whatever a reader does with a line it cannot take
            if not feed.is_pending:
                raise InputError(f"{stream.path}: damaged header: {error}") from None
            feed.refuse()
    feed.settle()
    if batch:
        yield clock.set(frames_of(batch, buses))


def _is_short(message):
    """Tell whether a line holds fewer bytes than it says."""
    if message.is_remote_frame or message.is_error_frame:
        return False
    n = message.dlc if message.is_fd else min(message.dlc, 8)
    return len(message.data or b"") < n


class _Clock:
    """Reads from the header how times are meant."""

    def __init__(self, stream, feed):
        self.stream = stream
        self.feed = feed
        self.sum_us = 0
        self.decided = False

    def set(self, frames):
        """Return the frames with times as they are meant."""
        diagnostics = self.stream.diagnostics
        if not self.decided:
            self.decided = True
            self._decide(frames, diagnostics)
        if diagnostics.times == "delta":
            frames["t_us"] = np.cumsum(frames["t_us"]) + self.sum_us
            self.sum_us = int(frames["t_us"][-1])
        return frames

    def _decide(self, frames, diagnostics):
        if self.stream.kind == "trc":
            is_absolute = len(frames) and frames["t_us"].max() > 100_000_000_000_000
            diagnostics.times = "absolute" if is_absolute else "relative"
            return
        for line in self.feed.header:
            if _ASC_RELATIVE.match(line):
                diagnostics.times = "delta"
            date = _ASC_DATE.match(line)
            if date:
                diagnostics.note(f"measured {date[1].strip()}, local time of the recorder")
