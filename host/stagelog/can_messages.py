"""Between python-can's messages and frame tables, both ways.

Owns the mapping of fields; a message's `channel` is a bus number or an interface name. Slow by
nature: python-can handles single messages. Imports `can` only where messages are made.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stagelog.model import BRS, ERR, ESI, EXT, FD, FD_LENGTHS, FRAME, FRAME_FD, RTR, FrameTable

if TYPE_CHECKING:
    import can


class Buses(Protocol):
    """Bus numbers by the names of interfaces (importers.stream.BusNames)."""

    def index(self, name: str) -> int | None:
        """Return the bus number of a name, None if no number is left."""


def frames_of(messages: "Sequence[can.Message]", buses: Buses) -> FrameTable:
    """Return a frame table of a list of can.Message; `buses` (BusNames) gives the bus numbers."""
    n = len(messages)
    payloads = [bytes(m.data or b"")[:64] for m in messages]
    lengths = np.fromiter(map(len, payloads), np.uint8, n)
    width = 64 if n and lengths.max() > 8 else 8
    frames = np.zeros(n, FRAME_FD if width == 64 else FRAME)
    seconds = np.fromiter((m.timestamp or 0.0 for m in messages), np.float64, n)
    frames["t_us"] = np.rint(np.nan_to_num(seconds).clip(-1e12, 1e12) * 1e6).astype(np.int64)
    numbers = np.fromiter((m.arbitration_id for m in messages), np.int64, n)
    frames["can_id"] = numbers & 0x1FFFFFFF
    frames["flags"] = np.fromiter(map(_flags, messages), np.uint8, n)
    frames["n_bytes"] = lengths
    dlc = np.fromiter((min(max(m.dlc or 0, 0), 64) for m in messages), np.uint8, n)
    is_fd = frames["flags"] & FD != 0
    frames["dlc"] = np.where(
        is_fd | (lengths > 8), np.searchsorted(FD_LENGTHS, lengths), np.minimum(dlc, 15)
    )
    frames["bus"] = np.fromiter((_bus(m.channel, buses) for m in messages), np.uint8, n)
    data = b"".join(p.ljust(width, b"\0") for p in payloads)
    frames["data"] = np.frombuffer(data, np.uint8).reshape(n, width)
    return frames


def _flags(message: "can.Message") -> int:
    return (
        EXT * bool(message.is_extended_id)
        | RTR * bool(message.is_remote_frame)
        | FD * bool(message.is_fd)
        | BRS * bool(message.bitrate_switch)
        | ESI * bool(message.error_state_indicator)
        | ERR * bool(message.is_error_frame)
    )


def _bus(channel: object, buses: Buses) -> int:
    """Return a bus number: interface names as they come, numbers as can0, can1, ..."""
    name = channel if isinstance(channel, str) else f"can{max(int(str(channel or 0)), 0)}"
    bus = buses.index(name)
    return 255 if bus is None else bus


def messages_of(
    frames: FrameTable,
    ifaces: Sequence[str] = (),
    channel_of: Mapping[int, str | int] | Sequence[int] | None = None,
) -> "Iterator[can.Message]":
    """Yield one can.Message per frame; float seconds live only at this border.

    channel_of   bus number -> channel; by default the interface's name, else the number
    """
    import can

    if channel_of is None:
        named = dict(enumerate(ifaces))
        channel_of = {k: named.get(k, k) for k in range(256)}
    for t_us, can_id, bus, flags, dlc, n_bytes, data in frames.tolist():
        is_fd = bool(flags & FD)
        yield can.Message(
            timestamp=t_us / 1e6,
            arbitration_id=can_id,
            is_extended_id=bool(flags & EXT),
            is_remote_frame=bool(flags & RTR),
            is_error_frame=bool(flags & ERR),
            is_fd=is_fd,
            bitrate_switch=bool(flags & BRS),
            error_state_indicator=bool(flags & ESI),
            channel=channel_of[bus],
            dlc=int(FD_LENGTHS[dlc & 15]) if is_fd else min(dlc, 8),
            data=None if flags & RTR else bytes(data[:n_bytes]),
            check=False,
        )
