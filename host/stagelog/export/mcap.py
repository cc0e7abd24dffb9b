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

from stagelog.decode.tables import Decoded, MessageTable
from stagelog.export.files import SignalSink, writing
from stagelog.export.mcap_file import MESSAGE, McapFile, message_heads
from stagelog.extras import need

if TYPE_CHECKING:
    import pyarrow


class McapSink(SignalSink):
    """Writes Decoded (mode "phys") after Decoded. `compression` is "zstd", "lz4" or "none"."""

    mode = "phys"

    def __init__(
        self, path: str | Path, *, compression: str = "zstd", overwrite: bool = False
    ) -> None:
        super().__init__(overwrite)
        for module in ("mcap", "pyarrow"):
            need(module, "export")
        self._path = Path(path)
        self._channels: dict[str, int] = {}
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
        records = [message_records(*each) for each in zip(tables, numbers, log_ns, strict=True)]
        times_ns = np.concatenate(log_ns)
        channels = np.repeat(np.array(numbers, np.uint16), [len(t) for t in tables])
        order = np.argsort(times_ns, kind="stable")
        messages = pyarrow.concat_arrays(records).take(pyarrow.array(order))
        with writing(self._path):
            self._mcap.add(messages, channels[order], times_ns[order])

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


def message_records(
    table: MessageTable, channel: int, log_ns: NDArray[np.int64]
) -> "pyarrow.BinaryArray":
    """Return one message with its head per row of a table, in the order of its rows."""
    import pyarrow

    if not table.rows:
        return _records(table.signals, channel, log_ns)
    parts, places = [], []
    for rows, values in _alike(table):
        parts.append(_records(values, channel, log_ns[rows]))
        places.append(rows)
    order = np.argsort(np.concatenate(places))
    return pyarrow.concat_arrays(parts).take(pyarrow.array(order))


def _alike(table: MessageTable) -> list[tuple[NDArray[np.intp], dict[str, NDArray[Any]]]]:
    """Return (rows that have the same signals, their values) of a table, until all have had it."""
    names = list(table.rows)
    has = np.zeros((len(table), len(names)), bool)
    for k, name in enumerate(names):
        has[table.rows[name], k] = True
    packed = np.packbits(has, axis=1)
    _, which = np.unique(packed, axis=0, return_inverse=True)
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


def _records(
    signals: dict[str, NDArray[Any]], channel: int, log_ns: NDArray[np.int64]
) -> "pyarrow.BinaryArray":
    """Return messages with their heads, of rows that have the same signals."""
    import pyarrow
    from pyarrow import compute

    pieces: list[Any] = []
    n_bytes = np.full(len(log_ns), 1)
    for k, (name, values) in enumerate(signals.items()):
        before = f"{',' if k else '{'}{json.dumps(name)}:".encode()
        texts = _texts(values)
        n_bytes += len(before) + compute.binary_length(texts).to_numpy()
        pieces += [before, texts]
    if not pieces:
        n_bytes += 1
        pieces = [b"{"]
    heads = message_heads(channel, log_ns, n_bytes)
    kind = pyarrow.binary(MESSAGE.itemsize)
    fixed = pyarrow.Array.from_buffers(kind, len(heads), [None, pyarrow.py_buffer(heads)])
    return compute.binary_join_element_wise(fixed.cast(pyarrow.binary()), *pieces, b"}", b"")


def _texts(values: NDArray[Any]) -> "pyarrow.BinaryArray":
    """Return numbers as JSON: the shortest text that is read as the same double, null for none."""
    import pyarrow

    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        is_none = ~np.isfinite(values)
        if is_none.any():
            texts = pyarrow.array(values, mask=is_none).cast(pyarrow.string())
            return texts.fill_null("null").cast(pyarrow.binary())
    return pyarrow.array(values).cast(pyarrow.string()).cast(pyarrow.binary())
