"""Writes frames as TRC (PEAK) by python-can's writer.

Owns the header: python-can's has the machine's own time zone and the name of the file that is
being written. Times of day are UTC, buses count from 1, both as the importer reads them; a log
without a wall clock starts in 1970. What python-can's writer cannot hold, all but classic data
frames, and a time before the start, is left out and counted in `n_left_out`. Fails with
OutputError.
"""

from pathlib import Path

from stagelog.can_messages import messages_of
from stagelog.export.files import FrameSink, writing
from stagelog.extras import need
from stagelog.model import ERR, FD, RTR, FrameTable


class TrcSink(FrameSink):
    """Writes frame table after frame table into one file."""

    def __init__(self, path: str | Path, *, from_epoch: bool, overwrite: bool = False) -> None:
        super().__init__(overwrite)
        self._from_epoch = from_epoch
        can = need("can", "can")
        self._path = Path(path)
        self._start_us: int | None = None
        part = self.new(self._path)
        with writing(self._path):
            self._file = open(part, "w", encoding="ascii", errors="replace")
            self._writer = can.TRCWriter(self._file)

    def write(self, frames: FrameTable) -> None:
        """Add the frames of one table."""
        is_unable = (frames["flags"] & (FD | RTR | ERR)) != 0
        self.n_left_out += int(is_unable.sum())
        frames = frames[~is_unable]
        if not len(frames):
            return
        with writing(self._path):
            if self._start_us is None:
                first_us = int(frames["t_us"][0])
                whole_us = first_us // 1000 * 1000  # the header has milliseconds
                self._start_us = whole_us if self._from_epoch else min(first_us, 0)
                self._begin(self._start_us)
            for message in messages_of(self.not_before(frames, self._start_us), channel_of=_BUS):
                self._writer.on_message_received(message)

    def _begin(self, start_us: int) -> None:
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


_BUS = {k: k for k in range(256)}  # as numbers: the writer adds 1, and never sees a name
