"""Writes MF4 by asammdf: decoded signals as integers with their conversion, and bus logs.

Owns the mapping. Signals are stored raw with a linear conversion (or a value table, where scale is
1 and offset 0), one group per message and one per multiplexed signal, times in seconds from the
start of measurement. Bus logs follow the ASAM layout for CAN (CAN_DataFrame, CAN_RemoteFrame,
CAN_ErrorFrame; BusChannel from 1). Fails with OutputError.
"""

import datetime
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Signal as DbcSignal
from stagelog.decode.tables import Decoded, MessageTable
from stagelog.export.files import FrameSink, SignalSink, Sink, writing
from stagelog.extras import need
from stagelog.model import BRS, ERR, ESI, EXT, FD, RTR, FrameTable


class _Mf4Sink(Sink):
    """What both writers share: the file, its start of measurement, groups that grow.

    compression   0 none, 1 deflate, 2 transposed and deflated
    from_epoch    times count from 1970: the file says when the measurement began
    """

    def __init__(
        self,
        path: str | Path,
        *,
        from_epoch: bool,
        compression: int = 2,
        overwrite: bool = False,
    ) -> None:
        super().__init__(overwrite)
        self._from_epoch = from_epoch
        need("asammdf", "mf4")
        from asammdf import MDF

        self._path = Path(path)
        # asammdf needs its own extension; the file is renamed at the end as for every writer
        self._part = self.new(self._path)
        self._mdf: Any = MDF(version="4.10")
        self._compression = compression
        self._start_us: int | None = None
        self._groups: dict[Hashable, Any] = {}

    def _begin(self, t_us: int) -> None:
        if self._start_us is None:
            self._start_us = t_us if self._from_epoch else 0
            start = datetime.datetime.fromtimestamp(self._start_us / 1e6, datetime.UTC)
            self._mdf.header.start_time = start

    def _put(self, key: Hashable, signals: list[Any], name: str) -> None:
        """Append samples to the group of a key, which is made at the first call."""
        if key not in self._groups:
            self._groups[key] = self._mdf.append(signals, acq_name=name, common_timebase=True)
            return
        pairs = [(signals[0].timestamps, None), *((s.samples, None) for s in signals)]
        self._mdf.extend(self._groups[key], pairs)

    def finish(self) -> None:
        """Save the file."""
        temporary = self._part.with_suffix(".mf4")
        try:
            self._mdf.save(temporary, overwrite=True, compression=self._compression)
            temporary.replace(self._part)
        finally:
            temporary.unlink(missing_ok=True)
            self._mdf.close()

    def release(self) -> None:
        """Close the files of asammdf."""
        self._mdf.close()


class Mf4SignalSink(_Mf4Sink, SignalSink):
    """Writes Decoded (mode "raw") after Decoded."""

    mode = "raw"

    def write(self, decoded: Decoded) -> None:
        """Add the samples of one Decoded."""
        tables = [t for t in decoded.messages.values() if len(t)]
        if tables:
            self._begin(min(int(t.t_us[0]) for t in tables))
        with writing(self._path):
            for table in tables:
                whole = [n for n in table.signals if n not in table.rows]
                if whole:
                    self._put(table.name, self._signals(table, whole, table.t_us), table.name)
                for name in table.rows:
                    t_us, values = table.series(name)
                    if len(values):
                        signals = self._signals(table, [name], t_us)
                        self._put((table.name, name), signals, f"{table.name}.{name}")

    def _signals(
        self, table: MessageTable, names: list[str], t_us: NDArray[np.int64]
    ) -> list[Any]:
        from asammdf import Signal

        seconds = (t_us - (self._start_us or 0)) / 1e6
        return [
            Signal(
                table.signals[name],
                seconds,
                name=name,
                unit=table.message.signal(name).unit,
                conversion=conversion_of(table.message.signal(name)),
                comment=table.message.signal(name).comment or "",
            )
            for name in names
        ]


def conversion_of(signal: DbcSignal) -> dict[str, Any] | None:
    """Return asammdf's conversion of a signal: texts, a line, or None."""
    is_identity = signal.scale == 1 and signal.offset == 0
    if signal.choices and is_identity and not signal.is_float:
        table: dict[str, Any] = {}
        for k, (value, text) in enumerate(sorted(signal.choices.items())):
            table[f"val_{k}"], table[f"text_{k}"] = value, text.encode()
        return {**table, "default_addr": b""}
    return None if is_identity else {"a": float(signal.scale), "b": float(signal.offset)}


class Mf4FrameSink(_Mf4Sink, FrameSink):
    """Writes frame table after frame table as a bus log."""

    def write(self, frames: FrameTable) -> None:
        """Add the frames of one table."""
        if not len(frames):
            return
        self._begin(int(frames["t_us"][0]))
        flags = frames["flags"]
        is_error, is_remote = (flags & ERR) != 0, (flags & RTR) != 0
        with writing(self._path):
            self._put_frames("CAN_DataFrame", frames[~(is_error | is_remote)])
            self._put_frames("CAN_RemoteFrame", frames[is_remote & ~is_error])
            self._put_frames("CAN_ErrorFrame", frames[is_error])

    def _put_frames(self, name: str, frames: FrameTable) -> None:
        if not len(frames):
            return
        from asammdf import Signal
        from asammdf.blocks.v4_blocks import SourceInformation
        from asammdf.blocks.v4_constants import BUS_TYPE_CAN, SOURCE_BUS

        source = SourceInformation(source_type=SOURCE_BUS, bus_type=BUS_TYPE_CAN)
        seconds = (frames["t_us"] - (self._start_us or 0)) / 1e6
        for width in (8, 64):
            fits = (frames["n_bytes"] <= 8) == (width == 8)
            if fits.any():
                samples = bus_records(frames[fits], name, width)
                signal = Signal(samples, seconds[fits], name=name, source=source)
                self._put((name, width), [signal], name)


def bus_records(frames: FrameTable, name: str, width: int) -> NDArray[Any]:
    """Return frames as the records of an ASAM bus log, payloads of 8 or 64 bytes."""
    fields: list[Any] = [
        ("BusChannel", "<u1"),
        ("ID", "<u4"),
        ("IDE", "<u1"),
        ("DLC", "<u1"),
        ("DataLength", "<u1"),
        ("DataBytes", "u1", (width,)),
        ("Dir", "<u1"),
        ("EDL", "<u1"),
        ("BRS", "<u1"),
        ("ESI", "<u1"),
    ]
    records = np.zeros(len(frames), [(f"{name}.{f[0]}", *f[1:]) for f in fields])
    flags = frames["flags"]
    take = min(width, frames["data"].shape[1])
    records[f"{name}.DataBytes"][:, :take] = frames["data"][:, :take]
    for field, values in (
        ("BusChannel", np.minimum(frames["bus"].astype(np.int32) + 1, 255)),
        ("ID", frames["can_id"]),
        ("IDE", (flags & EXT) != 0),
        ("DLC", frames["dlc"]),
        ("DataLength", frames["n_bytes"]),
        ("EDL", (flags & FD) != 0),
        ("BRS", (flags & BRS) != 0),
        ("ESI", (flags & ESI) != 0),
    ):
        records[f"{name}.{field}"] = values
    return records
