"""What others do with the same data, by their ordinary interfaces, and the files they read."""

import json
import logging
from collections import deque

import numpy as np

from stagelog.blocks import Identity, pack_session
from stagelog.can_messages import messages_of
from stagelog.export.mf4 import Mf4FrameSink
from stagelog.model import EXT

IDENTITY = Identity("e66038b7130f2e29", 12, 0x9F3C2A11)


def consume(iterable):
    """Run through an iterable and keep nothing."""
    deque(iterable, maxlen=0)


def write_slog(path, frames):
    """Write frames as a session file of our own format."""
    path.write_bytes(pack_session(frames, IDENTITY).tobytes())


def write_large_slog(path, n_GB):
    """Write a session file of many GB: the same two million frames again and again, in time."""
    from dataset import load

    _, frames = load(5_000_000)
    part = frames[:2_000_000].copy()
    span_us = int(part["t_us"][-1] - part["t_us"][0]) + 250
    seq = 1
    with open(path, "wb") as file:
        while file.tell() < n_GB * 1_000_000_000:
            blocks = pack_session(part, IDENTITY, first_seq=seq, position=seq - 1)
            file.write(blocks.tobytes())
            seq += len(blocks)
            part["t_us"] += span_us


def write_mf4(path, frames):
    """Write frames as an uncompressed MF4 bus log."""
    with Mf4FrameSink(path, from_epoch=True, compression=0, overwrite=True) as sink:
        for at in range(0, len(frames), 500_000):
            sink.write(frames[at : at + 500_000])


_open_mf4 = {}


def asammdf_decode(path, dbc, fresh=False):
    """Decode a bus log by asammdf and fetch every signal as an array."""
    from asammdf import MDF

    logging.getLogger("asammdf").setLevel(logging.ERROR)
    log = MDF(path) if fresh else _open_mf4.setdefault(path, MDF(path))
    decoded = log.extract_bus_logging({"CAN": [(str(dbc), 0)]})
    n = 0
    for index, group in enumerate(decoded.groups):
        for channel in range(1, len(group.channels)):
            n += len(decoded.get(group=index, index=channel).samples)
    decoded.close()
    if fresh:
        log.close()
    return n


def asammdf_columns(path, dbc, wanted):
    """Return {signal: raw values} that asammdf decodes, of the wanted (message, signal) pairs."""
    from asammdf import MDF

    with MDF(path) as log:
        decoded = log.extract_bus_logging({"CAN": [(str(dbc), 0)]})
        columns = {}
        for _, name in wanted:
            if name in decoded:
                columns[name] = decoded.get(name, raw=True).samples
        return columns


def cantools_decode(frames, database):
    """Decode frame by frame."""
    for can_id, payload in zip(frames["can_id"].tolist(), map(bytes, frames["data"]), strict=True):
        database.decode_message(can_id, payload, decode_choices=False)


def cantools_columns(frames, database):
    """Return {(message, signal): raw values} by cantools."""
    columns = {}
    ids = frames["can_id"] | np.where(frames["flags"] & EXT, 1 << 31, 0).astype(np.uint32)
    by_id = {m.frame_id | m.is_extended_frame << 31: m for m in database.messages}
    for number, payload in zip(ids.tolist(), map(bytes, frames["data"]), strict=True):
        message = by_id[number]
        for name, value in message.decode(payload, False, scaling=False).items():
            columns.setdefault((message.name, name), []).append(value)
    return {key: np.array(values) for key, values in columns.items()}


def polars_decode(frames, database):
    """Decode by polars: partition by identifier, one expression per signal."""
    import polars as pl

    word = np.ascontiguousarray(frames["data"]).view(np.uint64)[:, 0]
    table = pl.DataFrame(
        {
            "t_us": np.ascontiguousarray(frames["t_us"]),
            "can_id": np.ascontiguousarray(frames["can_id"]),
            "intel": word,
            "motorola": word.byteswap(),
        }
    )
    by_id = {m.can_id: m for m in database.messages}
    for (can_id,), part in table.partition_by("can_id", as_dict=True).items():
        message = by_id[can_id]
        plain = [polars_expression(pl, s) for s in message.signals if not s.selector]
        part.lazy().select("t_us", *plain).collect()
        muxed = [s for s in message.signals if s.selector]
        for value in sorted({s.selector_ranges[0][0] for s in muxed}):
            chosen = [polars_expression(pl, s) for s in muxed if s.selector_ranges[0][0] == value]
            rows = part.lazy().filter((pl.col("intel") & 255) == value)
            rows.select("t_us", *chosen).collect()


def polars_expression(pl, signal):
    """Return the expression of one signal of at most 8 bytes."""
    if signal.is_motorola:
        first = (signal.start // 8) * 8 + 7 - signal.start % 8
        word, left = pl.col("motorola"), first
    else:
        word, left = pl.col("intel"), 64 - signal.start - signal.length
    # no shifts on columns: integer multiplication and division by powers of two
    low = 64 - left - signal.length
    raw = (word // (1 << low)) if low else word
    if signal.length < 64:
        raw = raw & ((1 << signal.length) - 1)
    raw = raw.cast(pl.Int64)
    if signal.is_signed:
        sign = 1 << (signal.length - 1)
        raw = (raw ^ sign) - sign
    return (raw * float(signal.scale) + float(signal.offset)).alias(signal.name)


def python_can_read(path):
    """Read a log by python-can's reader of its kind."""
    import can

    readers = {".candump": can.CanutilsLogReader, ".blf": can.BLFReader, ".asc": can.ASCReader}
    reader = readers[path.suffix]
    consume(reader(str(path)))


def python_can_messages(frames):
    """Return the messages that python_can_write takes, made beforehand to its advantage."""
    return list(messages_of(frames))


def python_can_write(kind, path, messages):
    """Write messages by python-can's writer of a kind."""
    import can

    kinds = {"candump": can.CanutilsLogWriter, "blf": can.BLFWriter, "asc": can.ASCWriter}
    writer = kinds[kind]
    file = writer(str(path))
    for message in messages:
        file.on_message_received(message)
    file.stop()


def mcap_write(path, decoded):
    """Write decoded signals by mcap's own writer, message by message."""
    from mcap.writer import Writer

    with open(path, "wb") as file:
        writer = Writer(file)
        writer.start()
        for table in decoded.messages.values():
            schema = writer.register_schema(table.name, "jsonschema", b"{}")
            channel = writer.register_channel(f"/{table.name}", "json", schema)
            columns = {name: table.dense(name).tolist() for name in table.signals}
            for k, t_us in enumerate(table.t_us.tolist()):
                values = {name: column[k] for name, column in columns.items()}
                writer.add_message(channel, t_us * 1000, json.dumps(values).encode(), t_us * 1000)
        writer.finish()
