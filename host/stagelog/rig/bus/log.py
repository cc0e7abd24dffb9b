"""What happened on a simulated bus, as one NumPy table, and the views that are taken from it.

Owns the dtype of the outcome, who saw what, and the figures (waiting time, load). Does not own how
it came about.

A row is a frame that went through, or what one node noticed: an error, a change of its state, an
overload. On a clean bus one row stands for all (observer EVERY, less those in `missed_by`); where
nodes may differ, each has its own rows, and the sender's SENT row says that the frame went
through.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import UsageError
from stagelog.model import FD, FRAME, FrameTable
from stagelog.rig.bus import canbits
from stagelog.rig.bus.controller import SENT, Frame, Report
from stagelog.rig.bus.node import Node
from stagelog.rig.tape import FRAME as FRAME_ROW
from stagelog.rig.tape import STATE, TAPE, TAPE_FD

EVERY = 255  # observer: all nodes but the sender and those in missed_by
NOBODY = 254  # sender: of a row that reports what its observer noticed
MAX_NODES = 64

# t_ns       end of the last EOF bit, or of the bit in which an error was noticed, since bus start
# due_ns     when the sender wanted to begin (frames), else t_ns
# missed_by  bit i: node i took no part, or was not there yet (only where observer is EVERY)
# can_id     of an error: the unstuffed bit of the frame, from SOF = 0, in which it was noticed
# code       of errors: BIT_ERROR, ... ; state: ACTIVE, WARNING, PASSIVE, BUS_OFF, all of tape
LOG = np.dtype(
    [
        ("t_ns", "<i8"),
        ("due_ns", "<i8"),
        ("missed_by", "<u8"),
        ("can_id", "<u4"),
        ("tec", "<u2"),
        ("rec", "<u2"),
        ("kind", "u1"),
        ("observer", "u1"),
        ("sender", "u1"),
        ("flags", "u1"),
        ("dlc", "u1"),
        ("n_bytes", "u1"),
        ("state", "u1"),
        ("code", "u1"),
        ("data", "u1", (8,)),
    ]
)
LOG_FD = np.dtype(LOG.descr[:-1] + [("data", "u1", (64,))])  # of a bus with nodes of CAN FD


class Event(NamedTuple):
    """A row of the log, as advance() yields it; `frame` is None unless kind is FRAME or SENT."""

    t_ns: int
    kind: int
    observer: int
    sender: int
    frame: Frame | None
    due_ns: int
    tec: int = 0
    rec: int = 0
    state: int = 0
    code: int = 0
    missed_by: int = 0
    position: int = 0

    def seen_by(self, node: Node) -> bool:
        """Return True if `node` saw this, as against having sent it or not taken part."""
        if self.observer == EVERY:
            return self.sender != node.index and not self.missed_by >> node.index & 1
        return self.observer == node.index and self.kind != SENT


@dataclass(frozen=True, slots=True)
class Log:
    """The outcome of a run: rows (dtype LOG or LOG_FD) in time order, the nodes' names, the bus it
    was.
    """

    rows: NDArray[Any]
    nodes: tuple[str, ...]
    bitrate_bps: int
    bus: int = 0

    def __add__(self, other: "Log") -> "Log":
        """Return this log and the one of the next run of the same bus."""
        if (self.bitrate_bps, self.bus) != (other.bitrate_bps, other.bus):
            raise UsageError(
                f"joining logs of bus {self.bus} and bus {other.bus}", "join runs of one bus"
            )
        return Log(
            np.concatenate([self.rows, other.rows]), other.nodes, self.bitrate_bps, self.bus
        )

    @property
    def sent(self) -> NDArray[Any]:
        """Rows of the classic frames that went through, once each: the log of a perfect logger.

        A frame that two nodes send at the same time, bit for bit, is one frame.
        """
        rows = self.rows
        through = (rows["kind"] == SENT) & (rows["flags"] & FD == 0)
        rows = rows[through | ((rows["kind"] == FRAME_ROW) & (rows["observer"] == EVERY))]
        again = np.zeros(len(rows), bool)
        again[1:] = np.diff(rows["t_ns"]) == 0
        return rows[~again]

    @property
    def frames(self) -> FrameTable:
        """The frames that went through, as a frame table (model.FRAME), t_us at end of frame."""
        return as_frames(self.sent, self.bus)

    def seen_by(self, node: str) -> NDArray[Any]:
        """Return the rows of one node (name): frames it received, errors and changes noticed."""
        index = self.nodes.index(node)
        rows = self.rows
        own = (rows["observer"] == index) & (rows["kind"] != SENT)
        shared = (rows["observer"] == EVERY) & (rows["sender"] != index)
        missed = (rows["missed_by"] >> np.uint64(index) & np.uint64(1)).astype(bool)
        return rows[own | (shared & ~missed)]

    def tape(self, node: str) -> NDArray[Any]:
        """Return what one node saw as a tape (tape.TAPE; TAPE_FD if CAN FD is among it): frames,
        error frames, state changes.
        """
        rows = self.seen_by(node)
        rows = rows[rows["kind"] <= STATE]
        out = np.zeros(len(rows), TAPE_FD if (rows["flags"] & FD).any() else TAPE)
        width = out["data"].shape[1]
        out["t_us"] = rows["t_ns"] // 1000
        out["bus"] = self.bus
        for name in ("kind", "dlc", "flags", "can_id", "state"):
            out[name] = rows[name]
        out["data"][:, : rows["data"].shape[1]] = rows["data"][:, :width]
        out["code"] = rows["code"]
        for name in ("tec", "rec"):
            out[name] = np.minimum(rows[name], 255)
        return out

    def waits_ns(self) -> NDArray[np.int64]:
        """Return for each row of `sent` how long the frame waited, errors and retries included."""
        rows = self.sent
        bit_ns = 10**9 / self.bitrate_bps
        on_wire = (canbits.frame_bits(rows) - canbits.IFS_BITS) * bit_ns
        return rows["t_ns"] - rows["due_ns"] - np.rint(on_wire).astype(np.int64)

    def load_pct(self, end_ns: int, bin_ns: int) -> NDArray[np.float64]:
        """Return the share of each bin taken by good frames and their intermission, float64[n].

        A frame counts in the bin of its end, so that a bin may exceed 100 by one frame. Errors are
        not in it: see Bus.busy_ns.
        """
        rows = self.sent
        n_bins = -(-end_ns // bin_ns)
        which = np.minimum(rows["t_ns"] // bin_ns, n_bins - 1)
        bits = np.bincount(which, weights=canbits.frame_bits(rows), minlength=n_bins)
        return np.asarray(bits * (1e11 / self.bitrate_bps / bin_ns), np.float64)


def as_frames(rows: NDArray[Any], bus: int = 0) -> FrameTable:
    """Return log rows of classic frames as a frame table (model.FRAME)."""
    out = np.zeros(len(rows), FRAME)
    out["t_us"] = rows["t_ns"] // 1000
    out["bus"] = bus
    for name in ("can_id", "flags", "dlc", "n_bytes"):
        out[name] = rows[name]
    out["data"] = rows["data"][:, :8]
    return out


def bit_event(t_ps: int, node: Node, report: Report, due_ps: int | None) -> Event:
    """Return a controller's report as an event; frames carry no counters."""
    kind, code, position, frame, tec, rec, state = report
    if frame is not None:
        tec = rec = state = 0
    t_ns = t_ps // 1000
    due_ns = t_ns if due_ps is None else due_ps // 1000
    sender = node.index if kind == SENT else NOBODY
    return Event(t_ns, kind, node.index, sender, frame, due_ns, tec, rec, state, code, 0, position)


def row_event(row: np.void) -> Event:
    """Return a row of a clean frame as an event."""
    data = row["data"][: row["n_bytes"]].tobytes()
    frame = Frame(int(row["can_id"]), int(row["flags"]), int(row["dlc"]), data)
    t_ns, due_ns, missed_by = (int(row[name]) for name in ("t_ns", "due_ns", "missed_by"))
    return Event(t_ns, FRAME_ROW, EVERY, int(row["sender"]), frame, due_ns, missed_by=missed_by)


def frame_rows(frames: FrameTable, log: np.dtype[Any] = LOG) -> NDArray[Any]:
    """Return a frame table as rows that all nodes see; times and sender are left to the caller."""
    rows = np.zeros(len(frames), log)
    rows["kind"] = FRAME_ROW
    rows["observer"] = EVERY
    for name in ("can_id", "flags", "dlc", "n_bytes"):
        rows[name] = frames[name]
    rows["data"][:, : frames["data"].shape[1]] = frames["data"]
    return rows


def to_rows(events: list[Event], log: np.dtype[Any] = LOG) -> NDArray[Any]:
    """Return events as rows."""
    rows = np.zeros(len(events), log)
    columns = dict(zip(Event._fields, zip(*events, strict=True), strict=False))
    for name in LOG.names or ():
        if name in columns:
            rows[name] = columns[name]
    for row, event in zip(rows, events, strict=True):
        if event.frame is None:
            row["can_id"] = event.position
            continue
        row["can_id"], row["flags"], row["dlc"], data = event.frame
        row["n_bytes"] = len(data)
        row["data"][: len(data)] = list(data)
    return rows
