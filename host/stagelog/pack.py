"""Any frames as a session file of ours, so that every tool of stagelog works on them.

Owns the identity of such a file: no logger recorded it, so its device id is zero and its random
number is derived from the frames. Times from the epoch become times since a start, with one
anchor for the wall clock. Fails with UsageError for frames that a record cannot hold, OutputError
if it cannot be written.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slog.layout import GAP_CONTROLLER, GAP_COPIED, N_BUSES
from stagelog.accounts import Account
from stagelog.blocks import NO_LOGGER, GapRecord, Identity, pack_session
from stagelog.errors import UsageError
from stagelog.export.files import FrameSink, writing
from stagelog.importers.stream import join_frames
from stagelog.ledger import OPEN_END, POWER_CUT, Gap, on_clock
from stagelog.model import ERR, FD, FRAME, FrameTable
from stagelog.timeline import STAMPS
from stagelog.verdict import INCOMPLETE, OPEN_LOG, Losses, Verdict

_UNCOUNTED = Gap(None, None, None, None, False, "")
_LONGEST_US = (1 << 32) - 1  # before its own time that a gap record can name


@dataclass(frozen=True, slots=True)
class Known:
    """What is known to be missing from a log that is packed, on the clock of its frames."""

    gaps: tuple[Gap, ...] = ()
    is_end_known: bool = True


def known_of_ours(accounts: Iterable[Account], problems: Iterable[Verdict], times: str) -> Known:
    """Return what is Known of sessions of ours.

    problems  Verdicts on their file
    times     "absolute" or "relative", as the stream of their frames has them
    """
    gaps: list[Gap] = []
    is_end_known = True
    for each in accounts:
        timeline = each.timeline if times == "absolute" else None
        for gap in each.ledger.gaps:
            if gap.cause == OPEN_END:
                is_end_known = False
            elif gap.cause != POWER_CUT:
                gaps.append(gap if timeline is None else on_clock(gap, timeline))
        if not each.ledger.closes:
            gaps.append(_UNCOUNTED)
    kinds = {problem.kind for problem in problems}
    if INCOMPLETE in kinds:
        gaps.append(_UNCOUNTED)
    return Known(tuple(gaps), is_end_known and OPEN_LOG not in kinds)


def known_of_foreign(diagnostics: Losses) -> Known:
    """Return what is Known of a log of another recorder (importers.Diagnostics)."""
    gaps = []
    if diagnostics.n_damages:
        gaps.append(_UNCOUNTED)
    if diagnostics.n_dropped:
        gaps.append(Gap(None, None, None, diagnostics.n_dropped, True, ""))
    return Known(tuple(gaps))


class SlogSink(FrameSink):
    """Takes frame table after frame table and writes one session file; a context, complete at its
    end.

    from_epoch   True: t_us count from 1970, and the file has an anchor of the wall clock; None:
                 not known yet, to be set before the first write
    source       of that anchor: timeline.STAMPS or timeline.HEADER of the log that it was in
    n_left_out   error frames, which carry no data
    known        what is known to be missing, which the file states too; to be set before the end
    """

    def __init__(
        self,
        path: str | Path,
        *,
        from_epoch: bool | None,
        source: int = STAMPS,
        overwrite: bool = False,
    ) -> None:
        super().__init__(overwrite)
        self.from_epoch = from_epoch
        self.n_left_out = 0
        self.known = Known()
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
        self._tables.append(_checked(frames, self._path))

    def finish(self) -> None:
        """Pack and write all frames."""
        frames = join_frames([np.empty(0, FRAME), *self._tables])
        frames = frames[np.argsort(frames["t_us"], kind="stable")]
        anchors: list[tuple[int, int]] = []
        zero_us = 0
        if len(frames) and self.from_epoch:
            t0_unix_us = int(frames["t_us"][0])
            zero_us = t0_unix_us
            anchors.append((0, t0_unix_us))
        elif len(frames):
            zero_us = min(0, int(frames["t_us"][0]))
        frames["t_us"] -= zero_us
        identity = Identity(NO_LOGGER, 1, zlib.crc32(frames.tobytes()))
        span = (int(frames["t_us"][0]), int(frames["t_us"][-1])) if len(frames) else (0, 0)
        blocks = pack_session(
            frames,
            identity,
            anchors=anchors,
            source=self._source,
            gaps=[_record(gap, zero_us, *span) for gap in self.known.gaps],
            stopped=self.known.is_end_known,
        )
        with writing(self._path):
            self._part.write_bytes(blocks.tobytes())


def _record(gap: Gap, zero_us: int, first_us: int, last_us: int) -> GapRecord:
    """Return a gap as a record between the first frame and the last one."""
    start_us = first_us if gap.t_start_us is None else gap.t_start_us - zero_us
    end_us = last_us if gap.t_end_us is None else gap.t_end_us - zero_us
    end_us = min(max(end_us, first_us), last_us)
    start_us = min(max(start_us, first_us, end_us - _LONGEST_US), end_us)
    cause = GAP_COPIED if gap.exact or gap.n is None else GAP_CONTROLLER
    return GapRecord(gap.bus or 0, start_us, end_us, min(gap.n or 0, 0xFFFFFFFF), cause)


def _checked(frames: FrameTable, path: Path) -> FrameTable:
    """Return a copy; UsageError for what records cannot hold."""
    is_classic = frames["flags"] & FD == 0
    for is_foreign, what in (
        ((frames["n_bytes"] > 8) & is_classic, "a classic frame of more than 8 bytes"),
        (frames["bus"] >= N_BUSES, f"a frame of bus {int(frames['bus'].max(initial=0))}"),
    ):
        if is_foreign.any():
            raise UsageError(
                f"{path} cannot hold {what}",
                f"a session file holds {N_BUSES} buses; choose another format",
            )
    table = np.empty(len(frames), FRAME if is_classic.all() else frames.dtype)
    for name in FRAME.names or ():
        table[name] = frames[name][:, : table["data"].shape[1]] if name == "data" else frames[name]
    table["dlc"] = np.where(is_classic, np.minimum(table["dlc"], 8), table["dlc"])
    return table
