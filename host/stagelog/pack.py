"""Any frames as a session file of ours, so that every tool of stagelog works on them.

Owns the identity of such a file: no logger recorded it, so its device id is zero and its random
number is derived from the frames. Times from the epoch become times since a start, with one
anchor for the wall clock. Fails with UsageError for frames that a record cannot hold, OutputError
if it cannot be written.
"""

import zlib
from pathlib import Path

import numpy as np

from slog.layout import N_BUSES
from stagelog.blocks import NO_LOGGER, Identity, pack_session
from stagelog.errors import UsageError
from stagelog.export.files import FrameSink, writing
from stagelog.model import ERR, FD, FRAME, FrameTable
from stagelog.timeline import STAMPS


class SlogSink(FrameSink):
    """Takes frame table after frame table and writes one session file; a context, complete at its
    end.

    from_epoch   True: t_us count from 1970, and the file has an anchor of the wall clock
    source       of that anchor: timeline.STAMPS or timeline.HEADER of the log that it was in
    n_left_out   error frames, which carry no data
    """

    def __init__(
        self, path: str | Path, *, from_epoch: bool, source: int = STAMPS, overwrite: bool = False
    ) -> None:
        super().__init__(overwrite)
        self.from_epoch = from_epoch
        self.n_left_out = 0
        self._source = source
        self._path = Path(path)
        self._part = self.new(path)
        self._tables: list[FrameTable] = []

    def write(self, frames: FrameTable) -> None:
        """Add frames (FRAME or FRAME_FD); a copy is kept."""
        is_error = frames["flags"] & ERR != 0
        if is_error.any():
            self.n_left_out += int(is_error.sum())
            frames = frames[~is_error]
        self._tables.append(_classic(frames, self._path))

    def finish(self) -> None:
        """Pack and write all frames."""
        frames = np.concatenate([np.empty(0, FRAME), *self._tables])
        frames = frames[np.argsort(frames["t_us"], kind="stable")]
        anchors = []
        if len(frames) and self.from_epoch:
            t0_unix_us = int(frames["t_us"][0])
            frames["t_us"] -= t0_unix_us
            anchors.append((0, t0_unix_us))
        if len(frames) and frames["t_us"][0] < 0:
            frames["t_us"] -= frames["t_us"][0]
        identity = Identity(NO_LOGGER, 1, zlib.crc32(frames.tobytes()))
        blocks = pack_session(frames, identity, anchors=anchors, source=self._source)
        with writing(self._path):
            self._part.write_bytes(blocks.tobytes())


def _classic(frames: FrameTable, path: Path) -> FrameTable:
    """Return a copy as FRAME; UsageError for what a record cannot hold."""
    for is_foreign, what in (
        (frames["flags"] & FD != 0, "a CAN FD frame"),
        (frames["n_bytes"] > 8, "a frame of more than 8 bytes"),
        (frames["bus"] >= N_BUSES, f"a frame of bus {int(frames['bus'].max(initial=0))}"),
    ):
        if is_foreign.any():
            raise UsageError(
                f"{path} cannot hold {what}",
                f"a session file holds classic CAN of {N_BUSES} buses; choose another format",
            )
    table = np.empty(len(frames), FRAME)
    for name in FRAME.names or ():
        table[name] = frames["data"][:, :8] if name == "data" else frames[name]
    table["dlc"] = np.minimum(table["dlc"], 8)
    return table
