"""Writes decoded signals as MCAP with JSON messages, which Foxglove and PlotJuggler open.

Owns the mapping: one topic `/Message` per message with a JSON schema that names the units, log
time in nanoseconds, messages in the order of time within a chunk. A signal that is absent from a
frame is absent from its message. The texts of a whole column are made at once (pyarrow). Fails
with OutputError.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Signal
from stagelog.decode.tables import Decoded, MessageTable
from stagelog.export.files import SignalSink, writing
from stagelog.export.mcap_file import MESSAGE, McapFile, message_heads
from stagelog.export.physical import physical
from stagelog.extras import need

if TYPE_CHECKING:
    import pyarrow


_SHORT_BITS = 12


class McapSink(SignalSink):
    """Writes Decoded (mode "raw") after Decoded. `compression` is "zstd", "lz4" or "none"."""

    mode = "raw"

    def __init__(
        self, path: str | Path, *, compression: str = "zstd", overwrite: bool = False
    ) -> None:
        super().__init__(overwrite)
        for module in ("mcap", "pyarrow"):
            need(module, "export")
        self._path = Path(path)
        self._channels: dict[str, int] = {}
        self._texts: dict[tuple[str, str, bool], _Texts] = {}  # by message, signal, is it first
        part = self.new(self._path)
        with writing(self._path):
            self._file = open(part, "wb")
            self._mcap = McapFile(self._file, compression, "stagelog")

    def write(self, decoded: Decoded) -> None:
        """Add the messages of one Decoded."""
        import pyarrow

        tables = [t for t in decoded.messages.values() if len(t)]
        if not tables:
            return
        log_ns = [np.maximum(t.t_us, 0) * 1000 for t in tables]
        numbers = [self._channel(table) for table in tables]
        records = [self._messages(*each) for each in zip(tables, numbers, log_ns, strict=True)]
        times_ns = np.concatenate(log_ns)
        channels = np.repeat(np.array(numbers, np.uint16), [len(t) for t in tables])
        order = np.argsort(times_ns, kind="stable")
        messages = pyarrow.concat_arrays(records).take(pyarrow.array(order))
        with writing(self._path):
            self._mcap.add(messages, channels[order], times_ns[order])

    def _messages(
        self, table: MessageTable, channel: int, log_ns: NDArray[np.int64]
    ) -> "pyarrow.BinaryArray":
        """Return one message with its head per row of a table, in the order of its rows."""
        import pyarrow

        if not table.rows:
            return self._joined(table, table.signals, channel, log_ns)
        alike = _alike(table)
        parts = [self._joined(table, values, channel, log_ns[rows]) for rows, values in alike]
        order = np.argsort(np.concatenate([rows for rows, _ in alike]))
        return pyarrow.concat_arrays(parts).take(pyarrow.array(order))

    def _joined(
        self,
        table: MessageTable,
        signals: dict[str, NDArray[Any]],
        channel: int,
        log_ns: NDArray[np.int64],
    ) -> "pyarrow.BinaryArray":
        """Return messages with their heads, of rows that have the same signals."""
        import pyarrow
        from pyarrow import compute

        texts: list[Any] = []
        n_bytes = np.full(len(log_ns), 1 if signals else 2)
        for name, values in signals.items():
            key = (table.name, name, not texts)
            if key not in self._texts:
                before = "," if texts else "{"
                self._texts[key] = _Texts(table.message.signal(name), before)
            texts.append(self._texts[key].of(values))
            n_bytes += compute.binary_length(texts[-1]).to_numpy()
        heads = message_heads(channel, log_ns, n_bytes)
        kind = pyarrow.binary(MESSAGE.itemsize)
        fixed = pyarrow.Array.from_buffers(kind, len(heads), [None, pyarrow.py_buffer(heads)])
        end = b"}" if texts else b"{}"
        return compute.binary_join_element_wise(fixed.cast(pyarrow.binary()), *texts, end, b"")

    def _channel(self, table: MessageTable) -> int:
        name = table.name
        if name not in self._channels:
            schema = json.dumps(schema_of(table)).encode()
            self._channels[name] = self._mcap.add_channel(name, schema)
        return self._channels[name]

    def finish(self) -> None:
        """Write the index and close the file."""
        self._mcap.finish()
        self._file.close()

    def release(self) -> None:
        """Close the file."""
        self._file.close()


def schema_of(table: MessageTable) -> dict[str, Any]:
    """Return the JSON schema of a message."""
    properties = {}
    for name in table.signals:
        signal = table.message.signal(name)
        properties[name] = {"type": "number"}
        if signal.unit:
            properties[name]["description"] = signal.unit
    return {"type": "object", "title": table.name, "properties": properties}


class _Texts:
    """Makes the texts of one signal: `,"name":value` for each raw value.

    Those of a short signal are made once, for every raw value that it can have.
    """

    def __init__(self, signal: Signal, before: str) -> None:
        self._signal = signal
        self._before = f"{before}{json.dumps(signal.name)}:"
        self._known: Any = None
        if not signal.is_float and signal.length <= _SHORT_BITS:
            self._lowest = -(1 << signal.length - 1) if signal.is_signed else 0
            self._known = self._made(np.arange(1 << signal.length) + self._lowest)

    def of(self, raw: NDArray[Any]) -> "pyarrow.BinaryArray":
        """Return the texts of some raw values."""
        if self._known is None:
            return self._made(raw)
        return self._known.take(raw.astype(np.int32) - self._lowest)

    def _made(self, raw: NDArray[Any]) -> "pyarrow.BinaryArray":
        """Return `,"name":value`: the shortest number that is read as the same double, all digits
        of a wide integer, or null.
        """
        import pyarrow
        from pyarrow import compute

        values = physical(raw, self._signal)
        if isinstance(values, np.ndarray):
            is_none = ~np.isfinite(values)
            numbers = pyarrow.array(values, mask=is_none if is_none.any() else None)
            texts = numbers.cast(pyarrow.string()).fill_null("null")
        else:
            texts = pyarrow.array([str(value) for value in values], pyarrow.string())
        return compute.binary_join_element_wise(self._before, texts, "").cast(pyarrow.binary())


def _alike(table: MessageTable) -> list[tuple[NDArray[np.intp], dict[str, NDArray[Any]]]]:
    """Return (rows that have the same signals, their values), for all rows of a table."""
    names = list(table.rows)
    has = np.zeros((len(table), len(names)), bool)
    for k, name in enumerate(names):
        has[table.rows[name], k] = True
    _, which = np.unique(np.packbits(has, axis=1), axis=0, return_inverse=True)
    found = []
    for k in range(int(which.max()) + 1):
        rows = np.flatnonzero(which == k)
        values = {}
        for name, column in table.signals.items():
            if name not in table.rows:
                values[name] = column[rows]
            elif has[rows[0], names.index(name)]:
                values[name] = column[np.searchsorted(table.rows[name], rows)]
        found.append((rows, values))
    return found
