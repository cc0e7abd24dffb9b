"""A node on the simulated bus: its clock, its controller, the queue of what it has to send.

Owns when a frame is due and which is next. Does not own the bus. A source is an iterable of chunks
(due_ns int64[n], FRAME[n]); it may be endless, it is read only as far as the bus gets. Frames
leave a node in the order of its source, each not before it is due: messages that must be able to
overtake each other need nodes of their own.

Rejected frames (see canbits.check_frames) and impossible clocks are UsageErrors.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import UsageError
from stagelog.model import FRAME, FrameTable
from stagelog.rig.bus import canbits
from stagelog.rig.bus.controller import Controller, Frame, to_transmit
from stagelog.rig.bus.faults import NEVER_PS

LAST_NS = NEVER_PS // 1000
LOW_bps, HIGH_bps = 10_000, 1_000_000
Chunk: TypeAlias = tuple[NDArray[np.int64], FrameTable]  # due_ns, frames
Source: TypeAlias = Iterable[Chunk]
# due_ps, arbitration keys, lengths in bits, frames
Loaded: TypeAlias = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64], FrameTable]
_EMPTY = (np.empty(0, np.int64), np.empty(0, FRAME))


class Queue:
    """Frames to send, oldest first. Invariant: the first is due at head_ps; NEVER_PS: none."""

    def __init__(self, source: Source | None) -> None:
        self._chunks = iter(source or ())
        self._given: deque[Chunk] = deque()
        self._last_ps = 0
        self._take_chunk(*_EMPTY)
        self._find_head()

    def append(self, due_ns: int, frame: Frame) -> None:
        """Add one frame behind those already loaded."""
        chunk = np.array([due_ns], np.int64), to_table([frame])
        _check_chunk(*chunk)
        self._given.append(chunk)
        self._find_head()

    @property
    def head(self) -> Frame:
        """The first frame."""
        row = self.frames[self._i]
        return Frame(int(row["can_id"]), int(row["flags"]), int(row["dlc"]), self._payload(row))

    def pop(self) -> None:
        """Drop the first frame."""
        self._i += 1
        self._find_head()

    def load(self, due_before_ps: int, n_bits: int) -> Loaded:
        """Read on until all that is due before `due_before_ps` is at hand, or `n_bits` of frames.

        Returns the arrays (due_ps, keys, bits, frames) of these, head first; drop() takes them
        off.
        """
        parts = [self._rest()]
        n_loaded = int(parts[0][2].sum())
        while n_loaded < n_bits and self._last_ps < due_before_ps and self._next_chunk():
            parts.append(self._rest())
            n_loaded += int(parts[-1][2].sum())
        if len(parts) > 1:
            joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
            self.due_ps, self.keys, self.bits, self.frames = joined
            self._i = 0
            self._find_head()
        n = int(np.searchsorted(self.due_ps[self._i :], due_before_ps))
        n = min(n, n_bits // canbits.SHORTEST_FRAME_BITS + 1)
        due_ps, keys, bits, frames = self._rest()
        return due_ps[:n], keys[:n], bits[:n], frames[:n]

    def drop(self, n: int) -> None:
        """Drop the first n of what load returned."""
        self._i += n
        self._find_head()

    def _rest(self) -> Loaded:
        i = self._i
        return self.due_ps[i:], self.keys[i:], self.bits[i:], self.frames[i:]

    def _find_head(self) -> None:
        while self._i >= len(self.due_ps):
            if not self._next_chunk():
                self.head_ps = NEVER_PS
                return
        self.head_ps = int(self.due_ps[self._i])
        self.head_key = int(self.keys[self._i])
        self.head_bits = int(self.bits[self._i])

    def _next_chunk(self) -> bool:
        chunk = self._given.popleft() if self._given else next(self._chunks, None)
        if chunk is not None:
            self._take_chunk(*chunk)
        return chunk is not None

    def _take_chunk(self, due_ns: NDArray[np.int64], frames: FrameTable) -> None:
        due_ns = np.asarray(due_ns, np.int64)
        _check_chunk(due_ns, frames)
        self.due_ps = np.maximum(np.maximum.accumulate(due_ns * 1000), self._last_ps)
        if len(due_ns):
            self._last_ps = int(self.due_ps[-1])
        self.frames = frames
        self.keys = canbits.arbitration_keys(frames)
        self.bits = canbits.frame_bits(frames)
        self._i = 0

    @staticmethod
    def _payload(row: np.void) -> bytes:
        n_bytes = canbits.n_bytes_of(int(row["flags"]), int(row["dlc"]))
        return row["data"][:n_bytes].tobytes()


def _check_chunk(due_ns: NDArray[np.int64], frames: FrameTable) -> None:
    canbits.check_frames(frames)
    if len(due_ns) and not 0 <= due_ns.min() <= due_ns.max() < LAST_NS:
        raise UsageError(
            f"a frame due at {int(due_ns.min())}..{int(due_ns.max())} ns of bus time",
            "count from the start of the bus, not from an epoch",
        )


class Node:
    """A node. `drove_dominant` stays False until it drives the bus, to acknowledge included."""

    alien = False  # sends what no classic controller understands

    def __init__(
        self,
        name: str,
        index: int,
        bitrate_bps: int,
        source: Source | None = None,
        controller: Controller | None = None,
        clock_ppm: int = 0,
        sample_pct: int = 80,
    ) -> None:
        self.name = name
        self.index = index
        self.controller = controller or Controller()
        self.queue = Queue(source)
        self.online = True
        self.drove_dominant = False
        self.clock_ppm = clock_ppm
        self._sample_pct = sample_pct
        if source is not None and self.listen_only:
            raise UsageError(f"node '{name}' is listen-only and has a source", "it sends nothing")
        self._set_clock(bitrate_bps)
        # What the wire keeps about the node (bus.medium); t_event < 0 until it joins.
        self.t_bit = 0
        self.sampling = self.synced = False
        self.drive = self.view = self.sampled = 1

    def __repr__(self) -> str:
        return f"<Node {self.index} '{self.name}' TEC {self.tec} REC {self.rec}>"

    @property
    def tec(self) -> int:
        """Transmit error counter, as of the end of the last frame begun."""
        return self.controller.tec

    @property
    def rec(self) -> int:
        """Receive error counter, as of the end of the last frame begun."""
        return self.controller.rec

    @property
    def state(self) -> int:
        """Error state: tape.ACTIVE, WARNING, PASSIVE or BUS_OFF."""
        return self.controller.state

    @property
    def n_attempts(self) -> int:
        """Transmissions begun on the bit level (near faults, alone); clean ones do not count."""
        return self.controller.n_attempts

    @property
    def listen_only(self) -> bool:
        """True if it may not drive the bus; may be changed between two runs."""
        return self.controller.listen_only

    @listen_only.setter
    def listen_only(self, on: bool) -> None:
        self.controller.listen_only = on

    def _set_clock(self, bitrate_bps: int) -> None:
        if not LOW_bps <= bitrate_bps <= HIGH_bps:
            raise UsageError(
                f"{bitrate_bps} bit/s for node '{self.name}'", f"CAN has {LOW_bps} to {HIGH_bps}"
            )
        self.bitrate_bps = bitrate_bps
        self.bit_ps = bit_time_ps(bitrate_bps, self.clock_ppm)
        self.sample_ps = self.bit_ps * self._sample_pct // 100
        self.jump_ps = self.bit_ps * min(20, 100 - self._sample_pct) // 100
        self.t_event = -1

    def retime(self, bitrate_bps: int) -> None:
        """Change the bit rate, as an autobaud search does; the controller integrates anew."""
        self._set_clock(bitrate_bps)
        self.controller.integrate()

    def switch(self, on: bool) -> None:
        """Cut its power or restore it: then it starts with zero counters and integrates."""
        if on and not self.online:
            self.controller.reset()
            self.t_event = -1
        self.online = on

    def recover(self) -> None:
        """Ask a bus-off node without automatic recovery to come back."""
        self.controller.recover()

    def send(self, frame: Frame, due_ns: int = 0) -> None:
        """Queue one frame (bus.controller.Frame) behind those queued before it."""
        if self.listen_only:
            raise UsageError(
                f"node '{self.name}' is listen-only and was asked to send",
                "a listener sends nothing",
            )
        self.queue.append(due_ns, frame)

    def offer(self) -> None:
        """Hand the head of the queue to the controller."""
        self.controller.ready = to_transmit(self.queue.head)

    def sent(self) -> int:
        """Take the frame that has just gone through out of the queue; returns when it was due."""
        due_ps = self.queue.head_ps
        self.queue.pop()
        self.controller.ready = None
        return due_ps


def bit_time_ps(bitrate_bps: int, clock_ppm: int = 0) -> int:
    """Return one bit time in ps, rounded: exact for the usual rates, else within 0.5 ppm."""
    return round(10**18 / (bitrate_bps * (10**6 + clock_ppm)))


def to_table(frames: Sequence[Frame]) -> FrameTable:
    """Return frames (bus.controller.Frame) as a frame table (model.FRAME)."""
    table = np.zeros(len(frames), FRAME)
    for row, frame in zip(table, frames, strict=True):
        data = bytes(frame.data)
        if len(data) != canbits.n_bytes_of(frame.flags, frame.dlc):
            raise UsageError(f"{frame} carries {len(data)} bytes", "its DLC says otherwise")
        row["can_id"], row["flags"], row["dlc"] = frame.can_id, frame.flags, frame.dlc
        row["n_bytes"] = len(data)
        row["data"][: len(data)] = list(data)
    return table
