"""Writes frames as ASC (Vector) and TRC (PEAK) by python-can's writers.

Owns only the way there. What a format cannot hold is left out and counted in `n_left_out`: TRC by
python-can has classic data frames only. Fails with OutputError.
"""

from pathlib import Path

from stagelog.export.can_messages import messages_of
from stagelog.export.files import Sink, writing
from stagelog.extras import need
from stagelog.model import ERR, FD, RTR


class CanTextSink(Sink):
    """Writes frame table after frame table into one file. `kind` is "asc" or "trc"."""

    def __init__(self, path, kind, *, overwrite=False):
        super().__init__(overwrite)
        can = need("can", "can")
        self._path = Path(path)
        self._unable = {"asc": 0, "trc": FD | RTR | ERR}[kind]
        # channels as numbers: ASC counts them from 1 by itself, TRC does not
        self._channel_of = {k: k + (kind == "trc") for k in range(256)}
        part = self.new(self._path)
        with writing(self._path):
            self._file = open(part, "w", encoding="ascii", errors="replace")
            self._writer = {"asc": can.ASCWriter, "trc": can.TRCWriter}[kind](self._file)

    def write(self, frames):
        """Add the frames of one table."""
        if self._unable:
            is_unable = (frames["flags"] & self._unable) != 0
            self.n_left_out += int(is_unable.sum())
            frames = frames[~is_unable]
        with writing(self._path):
            for message in messages_of(frames, channel_of=self._channel_of):
                self._writer.on_message_received(message)

    def finish(self):
        """Close the file."""
        self._writer.stop()

    def release(self):
        """Close the file."""
        self._file.close()
