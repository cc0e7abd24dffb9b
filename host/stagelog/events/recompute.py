"""The car's own detectors, run again on the host over the frames of a log.

Owns the step from a frame table to the 16-byte records that the firmware scans. The detectors are
the firmware's files, or what `compiled` makes of them; there is no second implementation. A table
that they reject is an InputError.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slog import events as ev
from slog import signal_table as st
from slog.layout import TIME_BITS
from slog.signal_table import TableError, load
from stagelog.errors import InputError
from stagelog.events.compile import SignalTable
from stagelog.events.compiled import Detectors, find_form
from stagelog.model import ERR, EXT, FD, RTR, FrameTable

__all__ = ["Detected", "Recomputation", "recompute", "records_of"]

_PAUSE_US = 1_000_000
_LOW = (1 << TIME_BITS) - 1
_RECORD = np.dtype([("w0", "<u4"), ("w1", "<u4"), ("data", "u1", (8,))])


@dataclass(frozen=True, slots=True)
class Detected:
    """One event: the four numbers of slog.events, and t_us since boot of the detectors' tick, or
    of the record that the car wrote it with.
    """

    t_us: int
    code: int
    state: int
    value: int
    extra: int

    @property
    def content(self) -> tuple[int, int, int, int]:
        """The values that must be equal on the car and on the host."""
        return self.code, self.state, self.value, self.extra


class Recomputation:
    """Detectors that get frames table by table; their events are added to `events`.

    data            bytes of the signal table
    wants_compiled  False: use the pure form even where there is a compiled one
    refuels         entered volumes of the refuels to come, in order, cl; 0 where one is not known
    Invariant       the times of the frames never go back
    """

    def __init__(
        self, data: bytes, wants_compiled: bool = True, refuels: Sequence[int] = ()
    ) -> None:
        self.events: list[Detected] = []
        self._last_us: int | None = None
        self._detectors: Detectors | None = None  # until they exist: their start sends an event
        try:
            table = load(data)
            form = find_form(wants_compiled and not _is_wide(table))
            self.is_compiled = form.is_compiled
            self.detectors = self._detectors = form.events(table, self._take, [*refuels])
        except TableError as error:
            raise InputError(f"the signal table can't be used: {error}") from error

    def feed(self, frames: FrameTable) -> None:
        """Run the detectors over a frame table, which continues the one before."""
        if not len(frames):
            return
        t_us = frames["t_us"]
        before = t_us[0] if self._last_us is None else self._last_us
        cuts = np.flatnonzero(np.diff(t_us, prepend=before) > _PAUSE_US)
        self._last_us = int(t_us[-1])
        records = records_of(frames)
        edges = [0, *(int(cut) for cut in cuts if cut), len(frames)]
        for first, end in zip(edges, edges[1:], strict=False):
            part = records[first:end]
            block = part.view(np.uint8) if self.is_compiled else part.tobytes()
            try:
                self.detectors.scan(block, 0, end - first, int(t_us[first]) >> TIME_BITS)
            except OverflowError as error:
                raise InputError(
                    f"the detectors calculate beyond 64 bits: {error}",
                    "correct the profile's limits" + self.is_compiled * ", or set STAGELOG_PURE=1",
                ) from error

    def _take(self, code: int, state: int, value: int, extra: int) -> None:
        watch = self._detectors.watch if self._detectors else None
        t_us = (watch.lo | watch.hi << TIME_BITS) if watch else 0
        self.events.append(Detected(t_us, code, state, value, extra))


def count_refuels(events: Iterable[Detected]) -> int:
    """Return how many refuels are among events."""
    return sum(event.code == ev.REFUEL for event in events)


def _is_wide(table: Any) -> bool:
    """Return whether a signal takes eight bytes: the compiled form has 64 bits with sign."""
    columns = st.COLUMNS[st.SIGNALS]
    n_bytes = table[1][st.SIGNALS][columns.index("n") :: len(columns)]
    return any(n >= 8 for n in n_bytes)


def recompute(
    frames: FrameTable | Iterable[FrameTable],
    table: SignalTable | bytes,
    wants_compiled: bool = True,
    refuels: Sequence[int] = (),
) -> list[Detected]:
    """Return the events (Detected, in order) of a frame table, or of an iterable of them.

    table           a signal table, or its bytes
    wants_compiled, refuels  as in Recomputation
    """
    data = table if isinstance(table, bytes) else table.data
    run = Recomputation(data, wants_compiled, refuels)
    for each in [frames] if isinstance(frames, np.ndarray) else frames:
        run.feed(each)
    return run.events


def records_of(frames: FrameTable) -> NDArray[Any]:
    """Return frames as the records that the ring holds, a structured array of 16 bytes each.

    What a classic controller can't store (error frames, CAN FD) becomes a record with a 29-bit
    identifier, which no detector watches. The ring has two buses: each but bus 0 is bus 1 there.
    """
    out = np.empty(len(frames), _RECORD)
    flags = frames["flags"].astype(np.uint32)
    odd = (flags & (ERR | FD)) != 0
    dlc = np.minimum(frames["dlc"], 8).astype(np.uint32)
    out["w0"] = (frames["t_us"] & _LOW).astype(np.uint32) | dlc << 28
    kind = (frames["bus"] != 0).astype(np.uint32)
    kind |= np.where(flags & RTR, 2, 0).astype(np.uint32)
    kind |= np.where((flags & EXT) | odd, 4, 0).astype(np.uint32)
    out["w1"] = frames["can_id"] | kind << 29
    out["data"] = frames["data"][:, :8]
    return out
