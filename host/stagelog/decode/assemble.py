"""Messages over 8 bytes on classic CAN, put together from their frames: J1939 and NMEA 2000.

    fast packet (NMEA 2000)   frame 0:  counter<<5 | 0   length   6 bytes
                              frame k:  counter<<5 | k   7 bytes
    transport (J1939-21)      PGN 0xEC00: 32 (to all) or 16 (to one), length (2 bytes), frames,
                                          0xFF, PGN (3 bytes)
                              PGN 0xEB00: number from 1, 7 bytes

The message has the time of its last frame and the source of its frames, and is suspect if one of
them is. Messages of which a frame is missing, also at the log's end, are never handed out: their
frames count as incomplete. Only what the plan decodes is put together; a transport of over 255
bytes stays as it is.
"""

from collections import Counter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.decode.lookup import pgn_key
from stagelog.decode.plan import MOST_BYTES, MessagePlan
from stagelog.model import ERR, EXT, FD, RTR, SUSPECT, FrameTable, frame_dtype

_CONTROL, _DATA = 0x00EC0000, 0x00EB0000  # as pgn_key gives them
_TO_ALL, _TO_ONE, _ABORT = 32, 16, 255
_PRIORITY = 6 << 26
_Key: TypeAlias = tuple[int, int, int]  # bus, identifier without priority, counter or -1


class _Open:
    """A message of which some frames have come."""

    def __init__(self, can_id: int, n_bytes: int, data: bytes, first: int) -> None:
        self.can_id = can_id
        self.n_bytes = n_bytes
        self.data = bytearray(data)
        self.next = 1
        self.frames = [first]  # identifiers of the frames that it has
        self.is_suspect = False


class Joined(NamedTuple):
    """A frame table with messages in place of their frames; n_parts[k] frames are in row k."""

    frames: FrameTable
    n_parts: NDArray[np.int64]


class Assembler:
    """Puts the messages of one log together, table after table.

    `lost` counts the frames, by identifier, of messages that never became whole.
    """

    def __init__(self, messages: "list[MessagePlan]") -> None:
        ours = [plan.message for plan in messages if plan.message.is_j1939]
        self._known = {pgn_key(message.can_id) for message in ours}
        long = {pgn_key(message.can_id) for message in ours if message.n_bytes > 8}
        self._fast = np.array(sorted(long), np.uint32)
        self._open: dict[_Key, _Open] = {}
        self._done: list[tuple[int, int, int, _Open]] = []  # row, t_us, bus
        self.lost: Counter[int] = Counter()

    def feed(self, frames: FrameTable) -> Joined:
        """Return the frames with whole messages in place of the frames that they came in."""
        keys = pgn_key(frames["can_id"])
        is_part = np.isin(keys, self._fast)
        is_transport = (keys == _CONTROL) | (keys == _DATA)
        is_data = (frames["flags"] & (EXT | RTR | ERR | FD)) == EXT
        rows = np.flatnonzero((is_part | is_transport) & is_data)
        taken = [row for row in rows.tolist() if self._take(frames[row], row, int(keys[row]))]
        if not taken:
            return Joined(frames, np.ones(len(frames), np.int64))
        rest = np.delete(np.arange(len(frames)), taken)
        return self._join(frames, rest)

    def end(self) -> None:
        """Count the frames of what is still open as lost: the log has ended."""
        for part in self._open.values():
            self.lost.update(part.frames)
        self._open.clear()

    def _take(self, frame: Any, row: int, key: int) -> bool:
        """Take one frame; False if it is to be left as it is."""
        can_id, bus, n = int(frame["can_id"]), int(frame["bus"]), int(frame["n_bytes"])
        data = frame["data"][:n].tobytes()
        at = (bus, can_id & 0x03FFFFFF, -1)
        if key == _CONTROL:
            return self._control(at, can_id, data)
        if key == _DATA:
            if (bus, at[1] & 0xFFFF | _CONTROL, -1) not in self._open:
                return False
            at, number, piece = (
                (bus, at[1] & 0xFFFF | _CONTROL, -1),
                data[0] if data else 0,
                data[1:],
            )
        else:
            if not data:
                return False
            at, number, piece = (*at[:2], data[0] >> 5), data[0] & 31, data[1:]
            if number == 0:
                self._drop(at)
                self._open[at] = part = _Open(can_id, data[1] if n > 1 else 0, data[2:], can_id)
                return self._end_if_whole(at, part, row, frame)
        found = self._open.get(at)
        if found is None or number != found.next:
            self.lost[can_id] += 1
            self._drop(at)
            return True
        found.next += 1
        found.data += piece
        found.frames.append(can_id)
        return self._end_if_whole(at, found, row, frame)

    def _control(self, at: _Key, can_id: int, data: bytes) -> bool:
        if len(data) < 8 or data[0] not in (_TO_ALL, _TO_ONE, _ABORT):
            return False
        self._drop(at)
        n_bytes, pgn = data[1] | data[2] << 8, int.from_bytes(data[5:8], "little")
        if data[0] == _ABORT or n_bytes > MOST_BYTES or pgn_key(pgn << 8) not in self._known:
            return False
        to = 0 if pgn & 0xFF00 >= 0xF000 else can_id & 0xFF00
        whole = _PRIORITY | (pgn << 8 & 0x03FFFF00) | to | can_id & 0xFF
        self._open[at] = _Open(whole, n_bytes, b"", can_id)
        return True

    def _drop(self, at: _Key) -> None:
        part = self._open.pop(at, None)
        if part is not None:
            self.lost.update(part.frames)

    def _end_if_whole(self, at: _Key, part: _Open, row: int, frame: Any) -> bool:
        part.is_suspect |= bool(frame["flags"] & SUSPECT)
        if len(part.data) >= part.n_bytes:
            del self._open[at]
            self._done.append((row, int(frame["t_us"]), at[0], part))
        return True

    def _join(self, frames: FrameTable, rest: NDArray[np.intp]) -> Joined:
        done, self._done = self._done, []
        longest = max((part.n_bytes for *_, part in done), default=8)
        width = max(frames["data"].shape[1], (longest + 15) // 8 * 8)  # words may begin anywhere
        table = np.zeros(len(rest) + len(done), frame_dtype(width))
        for name in table.dtype.names or ():
            if name != "data":
                table[name][: len(rest)] = frames[name][rest]
        table["data"][: len(rest), : frames["data"].shape[1]] = frames["data"][rest]
        n_parts = np.ones(len(table), np.int64)
        places = np.append(rest, np.array([row for row, *_ in done], np.intp))
        for k, (_, t_us, bus, part) in enumerate(done, len(rest)):
            content = np.frombuffer(bytes(part.data[: part.n_bytes]), np.uint8)
            flags = EXT | (SUSPECT if part.is_suspect else 0)
            table[k] = (t_us, part.can_id, bus, flags, 8, part.n_bytes, 0)
            table["data"][k, : part.n_bytes] = content
            n_parts[k] = len(part.frames)
        order = np.argsort(places, kind="stable")
        return Joined(table[order], n_parts[order])
