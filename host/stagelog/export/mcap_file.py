"""An MCAP file whose chunks are made in bulk: many messages are one buffer.

Owns the messages of a chunk and their index; every other record is the library's own. Knows
nothing of signals. Raises OSError.

    message   u8 5, u64 length, u16 channel, u32 sequence, u64 log time, u64 publish time, data
    index     u8 7, u64 length, u16 channel, u32 bytes, (u64 time, u64 offset) of each message
Source: mcap.dev/spec, version 0.
"""

import struct
import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow

CHUNK_BYTES = 1 << 20
MESSAGE = np.dtype(
    [
        ("opcode", "u1"),
        ("n", "<u8"),
        ("channel", "<u2"),
        ("sequence", "<u4"),
        ("log_ns", "<u8"),
        ("publish_ns", "<u8"),
    ]
)
_N_BEFORE = 9  # bytes of opcode and length, which the length does not count
_ENTRY = np.dtype([("log_ns", "<u8"), ("offset", "<u8")])


def message_heads(channel: int, log_ns: NDArray[np.int64], n_bytes: NDArray[np.int64]) -> Any:
    """Return what stands before the data of messages, as records of MESSAGE."""
    heads = np.zeros(len(log_ns), MESSAGE)
    heads["opcode"], heads["channel"] = 5, channel
    heads["n"] = n_bytes + MESSAGE.itemsize - _N_BEFORE
    heads["log_ns"] = heads["publish_ns"] = log_ns
    return heads


class McapFile:
    """Writes chunk after chunk; the channels of a chunk stand in it or in one before.

    compression  "zstd", "lz4" or "none"
    """

    def __init__(self, file: IO[bytes], compression: str, library: str) -> None:
        from mcap import records
        from mcap.data_stream import RecordBuilder
        from mcap.writer import MCAP0_MAGIC

        self._file = file
        self._records: Any = records
        self._builder: Callable[[], Any] = RecordBuilder
        self._magic = MCAP0_MAGIC
        self._compression = "" if compression == "none" else compression
        self._compress = _compressor(compression)
        self._schemas: list[Any] = []
        self._channels: list[Any] = []
        self._indexes: list[Any] = []
        self._fresh: list[Any] = []  # schemas and channels that no chunk holds yet
        self._counts: dict[int, int] = {}
        self._span_ns: tuple[int, int] | None = None
        file.write(MCAP0_MAGIC + self._bytes(records.Header("", library)))

    def add_channel(self, name: str, schema: bytes) -> int:
        """Return the number of a new channel for messages in JSON; `schema` is a JSON schema."""
        number = len(self._channels) + 1
        self._schemas.append(
            self._records.Schema(id=number, data=schema, encoding="jsonschema", name=name)
        )
        self._channels.append(
            self._records.Channel(
                id=number,
                topic=f"/{name}",
                message_encoding="json",
                schema_id=number,
                metadata={},
            )
        )
        self._fresh += [self._schemas[-1], self._channels[-1]]
        return number

    def add(
        self,
        messages: "pyarrow.BinaryArray",
        channels: NDArray[np.integer[Any]],
        log_ns: NDArray[np.int64],
    ) -> None:
        """Write messages, whole with their heads, as chunks of about CHUNK_BYTES."""
        _, ends, data = messages.buffers()
        offsets = np.frombuffer(ends, np.int32)[: len(messages) + 1]
        n_chunks = max(1, round(int(offsets[-1]) / CHUNK_BYTES))
        wanted = np.arange(n_chunks + 1) * (int(offsets[-1]) / n_chunks)
        cuts = np.unique(np.searchsorted(offsets, wanted).clip(0, len(messages)))
        for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            part = memoryview(data)[offsets[a] : offsets[b]]
            self._add_chunk(part, offsets[a:b] - offsets[a], channels[a:b], log_ns[a:b])

    def _add_chunk(
        self,
        messages: memoryview,
        offsets: NDArray[np.int32],
        channels: NDArray[np.integer[Any]],
        log_ns: NDArray[np.int64],
    ) -> None:
        before = self._bytes(*self._fresh)
        self._fresh = []
        plain = b"".join((before, messages)) if before else messages
        packed = self._compress(plain)
        first_ns, last_ns = int(log_ns.min()), int(log_ns.max())
        chunk = self._bytes(
            self._records.Chunk(
                compression=self._compression,
                data=packed,
                message_start_time=first_ns,
                message_end_time=last_ns,
                uncompressed_crc=zlib.crc32(plain),
                uncompressed_size=len(plain),
            )
        )
        at = self._file.tell()
        index, places = self._index(channels, log_ns, offsets + len(before))
        self._file.write(chunk)
        self._file.write(index)
        self._indexes.append(
            self._records.ChunkIndex(
                message_start_time=first_ns,
                message_end_time=last_ns,
                chunk_start_offset=at,
                chunk_length=len(chunk),
                message_index_offsets={k: at + len(chunk) + n for k, n in places.items()},
                message_index_length=len(index),
                compression=self._compression,
                compressed_size=len(packed),
                uncompressed_size=len(plain),
            )
        )
        low, high = self._span_ns or (first_ns, last_ns)
        self._span_ns = min(low, first_ns), max(high, last_ns)

    def _index(
        self,
        channels: NDArray[np.integer[Any]],
        log_ns: NDArray[np.int64],
        offsets: NDArray[np.int32],
    ) -> tuple[bytes, dict[int, int]]:
        """Return (the index of each channel, where it begins among them)."""
        order = np.argsort(channels, kind="stable")
        entries = np.empty(len(order), _ENTRY)
        entries["log_ns"], entries["offset"] = log_ns[order], offsets[order]
        numbers, begins = np.unique(channels[order], return_index=True)
        pieces: list[bytes] = []
        places: dict[int, int] = {}
        n = 0
        for k, rows in zip(numbers.tolist(), np.split(entries, begins[1:]), strict=True):
            places[k] = n
            body = rows.tobytes()
            pieces += [struct.pack("<BQHI", 7, 6 + len(body), k, len(body)), body]
            n += 15 + len(body)
            self._counts[k] = self._counts.get(k, 0) + len(rows)
        return b"".join(pieces), places

    def finish(self) -> None:
        """Write the summary, which readers find the chunks by."""
        from mcap.opcode import Opcode

        records = self._records
        self._file.write(self._bytes(*self._fresh, records.DataEnd(0)))
        start = self._file.tell()
        first_ns, last_ns = self._span_ns or (0, 0)
        statistics = records.Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._indexes),
            message_count=sum(self._counts.values()),
            metadata_count=0,
            message_start_time=first_ns,
            message_end_time=last_ns,
            schema_count=len(self._schemas),
        )
        summary = b""
        offsets: list[Any] = []
        for opcode, group in (
            (Opcode.SCHEMA, self._schemas),
            (Opcode.CHANNEL, self._channels),
            (Opcode.STATISTICS, [statistics]),
            (Opcode.CHUNK_INDEX, self._indexes),
        ):
            piece = self._bytes(*group)
            offsets.append(records.SummaryOffset(opcode, start + len(summary), len(piece)))
            summary += piece
        offsets_at = start + len(summary)
        summary += self._bytes(*offsets)
        head = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offsets_at)
        crc = zlib.crc32(head, zlib.crc32(summary))
        self._file.write(summary + self._bytes(records.Footer(start, offsets_at, crc)))
        self._file.write(self._magic)

    def _bytes(self, *records: Any) -> bytes:
        builder = self._builder()
        for record in records:
            record.write(builder)
        return bytes(builder.end())


def _compressor(name: str) -> Callable[[bytes | memoryview], bytes]:
    if name == "none":
        return bytes
    from pyarrow import Codec

    codec = Codec(name)
    return lambda data: codec.compress(data, asbytes=True)
