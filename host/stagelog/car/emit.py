"""From columns to frames: when each message is due, what it carries, in the order of time.

Owns due times, counters of nodes, multiplexers, and the frames that a silent node or an ignition
that is off leaves out. A message's offset within its cycle is fixed by its place in the DBC.
Messages that the logger itself would send, and those the profile lists as not fitted, are omitted.
"""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.car.encode import MessageEncoder, make_encoders
from stagelog.car.faults import Faults
from stagelog.car.minute import Minute, Sampler, SignalColumns
from stagelog.car.noise import Columns
from stagelog.car.nominal import NominalCar
from stagelog.model import EXT, FRAME, FrameTable

# {message: its due times in a minute}, and the order of all of them in time
Layout: TypeAlias = tuple[dict[str, NDArray[np.int64]], NDArray[np.intp]]
_SPREAD_us = 370  # steps between the offsets of messages, so that they do not all fall on one tick


class Emitter:
    """Encodes minutes of a drive; `messages` are those the car sends."""

    def __init__(self, dbc: str | Path, profile: NominalCar, faults: Faults, seed: int) -> None:
        skipped = set(profile.car.not_fitted)
        encoders = make_encoders(dbc).values()
        self.messages = [
            e
            for e in encoders
            if "LOGGER" not in e.senders and e.name not in skipped and e.cycle_ms
        ]
        self.offset_us = {
            e.name: n * _SPREAD_us % (e.cycle_ms * 1000) for n, e in enumerate(self.messages)
        }
        self.faults, self.seed = faults, seed
        self._layouts: dict[int, Layout] = {}

    def frames(self, minute: Minute, columns: SignalColumns, end_us: int) -> FrameTable:
        """Return the FRAME table of a minute, cut at end_us (us since the drive's start)."""
        t0_us = round(minute.t0_s * 1e6)
        span_us = min(end_us - t0_us, minute.seconds * 1_000_000)
        due, order = self._layout(span_us)
        total = sum(len(t) for t in due.values())
        frames = np.zeros(total, FRAME)
        words = np.empty(total, np.uint64)
        ids, lengths = np.empty(total, np.uint32), np.empty(total, np.uint8)
        flags = np.zeros(total, np.uint8)
        times, keep, at = np.empty(total, np.int64), np.ones(total, bool), 0
        for encoder in self.messages:
            t_us = due[encoder.name]
            part = slice(at, at + len(t_us))
            at += len(t_us)
            words[part] = self._encode(encoder, minute, columns, t_us)
            times[part] = t_us + t0_us
            ids[part], lengths[part] = encoder.can_id, encoder.n_bytes
            flags[part] = EXT if encoder.extended else 0
            keep[part] = self.faults.sent(encoder, minute, t_us)
        frames["t_us"], frames["can_id"] = times[order], ids[order]
        frames["dlc"] = frames["n_bytes"] = lengths[order]
        frames["flags"] = flags[order]
        frames["data"].view("<u8")[:, 0] = words[order]
        kept = keep[order]
        return frames if kept.all() else frames[kept]

    def _encode(
        self,
        encoder: MessageEncoder,
        minute: Minute,
        columns: SignalColumns,
        t_us: NDArray[np.int64],
    ) -> NDArray[np.uint64]:
        n = len(t_us)
        sampler = Sampler(t_us * 1e-6, self.seed, encoder.can_id, minute.number)
        cycle_us = encoder.cycle_ms * 1000
        first = round(minute.t0_s * 1e6) // cycle_us
        count = first + np.arange(n)
        mux = None
        if encoder.mux is not None and len(encoder.mux_values):
            mux = encoder.mux_values[count % len(encoder.mux_values)]
        values: Columns = {}
        for name, layout in encoder.signals.items():
            column = columns.get(name)
            if column is not None:
                values[name] = sampler.read(column)
            elif layout.measures:
                values[name] = np.full(n, np.nan)  # the car has no such sensor
        self.faults.apply(encoder, values, minute, t_us)
        return encoder.encode(values, n, mux, count)

    def _layout(self, span_us: int) -> Layout:
        """Return the Layout of a minute; it is the same for each."""
        if span_us not in self._layouts:
            due = {
                e.name: np.arange(self.offset_us[e.name], span_us, e.cycle_ms * 1000)
                for e in self.messages
            }
            order = np.argsort(np.concatenate(list(due.values())), kind="stable")
            self._layouts = {span_us: (due, order)}
        return self._layouts[span_us]
