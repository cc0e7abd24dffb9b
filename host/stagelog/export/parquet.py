"""Parquet: one file per message with t_us, bus, in J1939 source (address), and its signals; with
`time` (UTC) where the tables have it.

Owns the two forms and what stands in the metadata.

    form       values                     encoding                                 for
    tool       float64, physical          t_us DELTA, values by dictionary, zstd 3 any program
    archive    smallest integers, raw     DELTA_BINARY_PACKED, zstd 3              half the size

Column metadata: unit, scale, offset, and where there are any minimum, maximum, choices, comment.
File metadata, key `stagelog`: schema, form, message, can_id, is_ext, cycle_ms, database (SHA-256),
and what the caller adds. A signal that is absent from a frame is null. Rows are collected to row
groups of 128 Ki, never more than 64 MB in memory.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Database
from stagelog.decode.tables import Decoded, MessageTable
from stagelog.errors import InputError
from stagelog.export.files import FileNames, SignalSink, writing
from stagelog.extras import need

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = "stagelog.parquet/1"
TIME = "time"  # the column of UTC, where a table has it
ROWS_PER_GROUP = 1 << 17
MAX_BUFFER_BYTES = 64 << 20


class ParquetSink(SignalSink):
    """Writes Decoded after Decoded into `folder`; a context, complete at its end.

    form       "tool" or "archive"; decode with mode=`sink.mode`
    file_name  pattern of the file names; {message} is made safe
    metadata   JSON values to keep in every file
    """

    def __init__(
        self,
        folder: str | Path,
        form: str = "tool",
        *,
        database: Database | None = None,
        metadata: Mapping[str, Any] | None = None,
        file_name: str = "{message}.parquet",
        overwrite: bool = False,
    ) -> None:
        need("pyarrow.parquet", "parquet")
        super().__init__(overwrite)
        self.form = form
        self.mode = {"tool": "phys", "archive": "raw"}[form]
        self._folder = folder
        self._file_name = file_name
        self._metadata = dict(metadata or {})
        if database is not None:
            self._metadata["database_sha256"] = database.sha256
        self._names = FileNames()
        self._writers: dict[str, _MessageWriter] = {}

    def write(self, decoded: Decoded) -> None:
        """Add the rows of one Decoded."""
        for name, table in decoded.messages.items():
            writer = self._writers.get(name)
            if writer is None:
                file_name = self._file_name.format(message=self._names.of(name))
                path = Path(self._folder) / file_name
                writer = self._writers[name] = _MessageWriter(self.new(path), path, table, self)
            writer.add(table)
        if sum(w.n_bytes for w in self._writers.values()) > MAX_BUFFER_BYTES:
            for writer in self._writers.values():
                writer.flush()

    def finish(self) -> None:
        """Write what is left."""
        for writer in self._writers.values():
            writer.close()

    def describe(self, table: MessageTable) -> dict[str, Any]:
        """Return the file metadata of a message."""
        message = table.message
        return {
            "schema": SCHEMA,
            "form": self.form,
            "message": message.name,
            "can_id": message.can_id,
            "is_ext": message.is_ext,
            "cycle_ms": message.cycle_ms,
            **self._metadata,
        }


class _MessageWriter:
    """One file, one message: written to `path`, called `final` in messages."""

    def __init__(self, path: Path, final: Path, table: MessageTable, sink: ParquetSink) -> None:
        self.path = path
        self.final = final
        self.sink = sink
        self.schema = _schema(table, sink)
        self.file: Any = None
        self.batches: list[pa.RecordBatch] = []
        self.n_rows = 0
        self.n_bytes = 0

    def add(self, table: MessageTable) -> None:
        batch = _batch(table, self.schema)
        self.batches.append(batch)
        self.n_rows += batch.num_rows
        self.n_bytes += batch.nbytes
        if self.n_rows >= ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with writing(self.final):
            if self.file is None:
                self.file = pq.ParquetWriter(self.path, self.schema, **_encodings(self.schema))
            if self.batches:
                self.file.write_table(
                    pa.Table.from_batches(self.batches, self.schema), row_group_size=ROWS_PER_GROUP
                )
        self.batches, self.n_rows, self.n_bytes = [], 0, 0

    def close(self) -> None:
        self.flush()
        with writing(self.final):
            self.file.close()


def _schema(table: MessageTable, sink: ParquetSink) -> "pa.Schema":
    """Return the Arrow schema of a message with all metadata."""
    import pyarrow as pa

    fields = [
        pa.field(
            f"frame_{TIME}" if TIME in table.signals else TIME,
            pa.timestamp("us", tz="UTC"),
            nullable=False,
        )
        if name == "t_unix_us"
        else pa.field(name, pa.from_numpy_dtype(values.dtype), nullable=False)
        for name, values in table.of_frames().items()
    ]
    fields[0] = fields[0].with_metadata({"unit": "us"})
    for name, values in table.signals.items():
        signal = table.message.signal(name)
        facts = {"unit": signal.unit, "scale": repr(signal.scale), "offset": repr(signal.offset)}
        for key in ("minimum", "maximum"):
            if getattr(signal, key) is not None:
                facts[key] = repr(getattr(signal, key))
        if signal.choices:
            facts["choices"] = json.dumps(signal.choices, ensure_ascii=False)
        if signal.comment:
            facts["comment"] = signal.comment
        fields.append(pa.field(name, pa.from_numpy_dtype(values.dtype), metadata=facts))
    metadata = {"stagelog": json.dumps(sink.describe(table), ensure_ascii=False)}
    return pa.schema(fields, metadata)


def _encodings(schema: "pa.Schema") -> dict[str, Any]:
    """Return writer options: DELTA for integers, dictionary or BYTE_STREAM_SPLIT for floats."""
    import pyarrow as pa

    floats = [f.name for f in schema if f.type == pa.float64()]
    encoding = {}
    for field in schema:
        if pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type):
            encoding[field.name] = "DELTA_BINARY_PACKED"
        elif field.type != pa.float64():
            encoding[field.name] = "BYTE_STREAM_SPLIT"
    return {
        "compression": "zstd",
        "compression_level": 3,
        "use_dictionary": floats,
        "column_encoding": encoding,
        "version": "2.6",
    }


def _batch(table: MessageTable, schema: "pa.Schema") -> "pa.RecordBatch":
    """Return one Arrow batch; columns without gaps share memory with the table."""
    import pyarrow as pa

    columns = [
        pa.array(values, schema.field(k).type)
        for k, values in enumerate(table.of_frames().values())
    ]
    for field in list(schema)[len(columns) :]:
        name = field.name
        values, rows = table.signals[name], table.rows.get(name)
        if rows is None:
            columns.append(pa.array(values))
            continue
        dense = np.zeros(len(table), values.dtype)
        is_absent = np.ones(len(table), bool)
        dense[rows], is_absent[rows] = values, False
        columns.append(pa.array(dense, mask=is_absent))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def load_parquet(
    path: str | Path, columns: Iterable[str] | None = None
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Load a file that ParquetSink wrote, of either form: (t_us int64[m], name -> float64[m],
    facts).

    Physical values; NaN where a signal is absent. `facts` is the file metadata. Raises InputError.
    """
    pq = need("pyarrow.parquet", "parquet")
    try:
        table = pq.read_table(path, columns=None if columns is None else ["t_us", *columns])
        facts = json.loads((table.schema.metadata or {}).get(b"stagelog", b"{}"))
    except (OSError, ValueError, KeyError) as error:  # Arrow's errors are ValueErrors
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    if facts.get("schema") != SCHEMA:
        raise InputError(f"{path} was not written by stagelog (no {SCHEMA} in its metadata)")
    signals = {}
    for field in table.schema:
        if "scale" not in (_text_metadata(field)):
            continue
        values = table.column(field.name).to_numpy().astype(np.float64)
        if facts["form"] == "archive":
            about = _text_metadata(field)
            values = values * float(about["scale"]) + float(about["offset"])
        signals[field.name] = values
    return table.column("t_us").to_numpy(), signals, facts


def _text_metadata(field: "pa.Field") -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
