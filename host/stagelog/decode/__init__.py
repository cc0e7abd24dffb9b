"""Frames in, signals out, whole columns at a time.

    plan = compile_plan(database, signals=None, buses=None)     once per database and selection
    decoded = decode(frames, plan, mode="phys")                 a whole frame table
    for decoded in iter_decode(chunks, plan, mode="phys"): ...  any log size, memory of one chunk

Modes: "phys" float64 (raw * scale + offset), "f32" the same rounded once to float32, "raw" the
smallest integer (or float) type that holds the raw values; scale, offset and unit stand in
`table.message.signal(name)`.

Decoded.messages    message name -> MessageTable, only messages that occur, in the database's order
Decoded counters    n_frames, n_decoded, n_not_data (remote, error), n_suspect, n_other_bus,
                    unknown {(can_id, is_ext): n}, n_unknown, n_incomplete, n_short, n_values
MessageTable        name, message, t_us int64[m], bus uint8[m],
                    source uint8[m] (J1939 source address) or None,
                    signals: name -> values,
                    rows: name -> rows of t_us that they belong to (no entry: all rows),
                    n_short: name -> frames too short for the signal,
                    missing: name -> Missing (rows, kinds) where a frame of J1939 or NMEA 2000
                    says "not available", "error" or "reserved": no value in any mode,
                    series(name) -> (t_us, values), dense(name) -> float64[m] with NaN,
                    of_frames() -> {column: values} of t_us, bus and source
J1939, NMEA 2000    messages of several frames are put together first, see decode.assemble
find_protocol       what the traffic speaks; as_j1939(database) takes its 29-bit messages as such
Origins, split      one message from several buses or source addresses, kept apart

Values equal cantools' to the bit, except (the written list): integers beyond 2**53 are rounded to
float64 where cantools keeps Python integers; a frame shorter than its message still gives the
signals that it holds; a selector value that no signal is defined for gives no value instead of an
error; a raw value of J1939 or NMEA 2000 that means "not available" or "error" gives none.
"""

from stagelog.decode.engine import decode, iter_decode
from stagelog.decode.origins import Origins, find_origins, split, split_plan
from stagelog.decode.plan import Plan, compile_plan
from stagelog.decode.protocol import as_j1939, find_protocol
from stagelog.decode.tables import Decoded, MessageTable

__all__ = [
    "Decoded",
    "MessageTable",
    "Origins",
    "Plan",
    "as_j1939",
    "compile_plan",
    "decode",
    "find_origins",
    "find_protocol",
    "iter_decode",
    "split",
    "split_plan",
]
