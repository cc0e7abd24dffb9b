"""Writes decoded signals as MCAP with JSON messages, which Foxglove and PlotJuggler open.

Owns the mapping: one topic `/Message` per message with a JSON schema that names the units, log
time in nanoseconds, messages in the order of time within a chunk. A signal that is absent from a
frame is absent from its message. Written by the library mcap, message by message. Fails with
OutputError.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from stagelog.decode.tables import Decoded, MessageTable
from stagelog.export.files import SignalSink, writing
from stagelog.extras import need


class McapSink(SignalSink):
    """Writes Decoded (mode "phys") after Decoded. `compression` is "zstd", "lz4" or "none"."""

    mode = "phys"

    def __init__(
        self, path: str | Path, *, compression: str = "zstd", overwrite: bool = False
    ) -> None:
        super().__init__(overwrite)
        need("mcap", "export")
        from mcap.writer import CompressionType, Writer

        self._path = Path(path)
        self._channels: dict[str, int] = {}
        part = self.new(self._path)
        with writing(self._path):
            self._file = open(part, "wb")
        kind = getattr(CompressionType, compression.upper())
        self._writer: Any = Writer(self._file, compression=kind)
        self._writer.start(profile="", library="stagelog")

    def write(self, decoded: Decoded) -> None:
        """Add the messages of one Decoded."""
        tables = [t for t in decoded.messages.values() if len(t)]
        if not tables:
            return
        channels = [self._channel(table) for table in tables]
        texts = [json_rows(table) for table in tables]
        t_us = np.concatenate([t.t_us for t in tables])
        which = np.repeat(np.arange(len(tables)), [len(t) for t in tables])
        row = np.concatenate([np.arange(len(t)) for t in tables])
        order = np.argsort(t_us, kind="stable")
        add = self._writer.add_message
        with writing(self._path):
            for k, j, at_us in zip(
                which[order].tolist(), row[order].tolist(), t_us[order].tolist(), strict=True
            ):
                at_ns = max(at_us, 0) * 1000
                add(channels[k], at_ns, texts[k][j].encode(), at_ns)

    def _channel(self, table: MessageTable) -> int:
        name = table.name
        if name not in self._channels:
            data = json.dumps(schema_of(table)).encode()
            schema = self._writer.register_schema(name, "jsonschema", data)
            self._channels[name] = self._writer.register_channel(f"/{name}", "json", schema)
        return self._channels[name]

    def finish(self) -> None:
        """Write the index and close the file."""
        self._writer.finish()
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


def json_rows(table: MessageTable) -> list[str]:
    """Return one JSON text per row of a table."""
    names = [json.dumps(name) for name in table.signals]
    if not table.rows and all(np.isfinite(v).all() for v in table.signals.values()):
        template = "{" + ",".join(f"{n}:%r" for n in names).replace("%", "%%") + "}"
        template = template.replace("%%r", "%r")
        columns = [v.tolist() for v in table.signals.values()]
        return (
            [template % row for row in zip(*columns, strict=True)]
            if columns
            else ["{}"] * len(table)
        )
    rows: list[list[str]] = [[] for _ in range(len(table))]
    for text, (name, values) in zip(names, table.signals.items(), strict=True):
        present = table.rows.get(name)
        where = range(len(table)) if present is None else present.tolist()
        for row, value in zip(where, values.tolist(), strict=True):
            rows[row].append(f"{text}:{value!r}" if math.isfinite(value) else f"{text}:null")
    return ["{" + ",".join(parts) + "}" for parts in rows]
