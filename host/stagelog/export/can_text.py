"""Writes frames as ASC (Vector) and TRC (PEAK): the lines of TRC by python-can's writer, those of
ASC many at a time by asc_text.

Owns the headers: python-can's have the machine's own time zone and the name of the file that is
being written. Times of day are UTC, buses count from 1, both as the importers read them; a log
without a wall clock starts in 1970. What a format cannot hold is left out and counted in
`n_left_out`: TRC by python-can has classic data frames only, neither has a time before its start.
Fails with OutputError.
"""

import datetime
from pathlib import Path

from stagelog.can_messages import messages_of
from stagelog.export.asc_text import asc_text
from stagelog.export.files import FrameSink, writing
from stagelog.extras import need
from stagelog.model import EARLIEST_US, ERR, FD, RTR, FrameTable

ROWS = 1 << 15
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class CanTextSink(FrameSink):
    """Writes frame table after frame table into one file. `kind` is "asc" or "trc"."""

    def __init__(self, path: str | Path, kind: str, *, overwrite: bool = False) -> None:
        super().__init__(overwrite)
        can = need("can", "can")
        self._path = Path(path)
        self._is_asc = kind == "asc"
        self._unable = {"asc": 0, "trc": FD | RTR | ERR}[kind]
        self._begin = {"asc": self._begin_asc, "trc": self._begin_trc}[kind]
        self._start_us: int | None = None
        part = self.new(self._path)
        with writing(self._path):
            self._file = open(part, "w", encoding="ascii", errors="replace")
            self._writer = {"asc": can.ASCWriter, "trc": can.TRCWriter}[kind](self._file)
            if kind == "asc":  # it has written a header with the time of this moment
                self._file.seek(0)
                self._file.truncate()

    def write(self, frames: FrameTable) -> None:
        """Add the frames of one table."""
        if self._unable:
            is_unable = (frames["flags"] & self._unable) != 0
            self.n_left_out += int(is_unable.sum())
            frames = frames[~is_unable]
        if not len(frames):
            return
        with writing(self._path):
            if self._start_us is None:
                first_us = int(frames["t_us"][0])
                whole_us = first_us // 1000 * 1000  # the headers have milliseconds
                self._start_us = whole_us if first_us >= EARLIEST_US else min(first_us, 0)
                self._begin(self._start_us)
            frames = self.not_before(frames, self._start_us)
            if self._is_asc:
                for at in range(0, len(frames), ROWS):
                    self._file.write(asc_text(frames[at : at + ROWS], self._start_us))
                return
            for message in messages_of(frames, channel_of=_BUS):
                self._writer.on_message_received(message)

    def _begin_asc(self, start_us: int) -> None:
        text = _date_text(start_us)
        self._file.write(f"date {text}\nbase hex  timestamps absolute\ninternal events logged\n")
        self._file.write(f"Begin Triggerblock {text}\n 0.000000 Start of measurement\n")
        self._writer.header_written = True
        self._writer.started = self._writer.last_timestamp = start_us / 1e6

    def _begin_trc(self, start_us: int) -> None:
        self._writer.filepath = self._path.name
        self._writer.msgnr = 1
        self._writer.first_timestamp = start_us / 1e6
        self._writer.write_header(start_us / 1e6)

    def finish(self) -> None:
        """Close the file."""
        if self._start_us is None:
            self._begin(0)
        self._writer.stop()

    def release(self) -> None:
        """Close the file."""
        self._file.close()


_BUS = {k: k for k in range(256)}  # as numbers: the writers add 1, and never see a name


def _date_text(t_us: int) -> str:
    """Return `Tue Nov 14 22:13:20.000 2023`, UTC, in English on every machine."""
    t = datetime.datetime.fromtimestamp(t_us // 1000 / 1000, datetime.UTC)
    clock = f"{t:%H:%M:%S}.{t_us // 1000 % 1000:03d}"
    return f"{_DAYS[t.weekday()]} {_MONTHS[t.month - 1]} {t.day:02d} {clock} {t.year}"
