"""The objects in a BLF stream as columns: finds their chain, gathers those of each type at once.

Layouts are drawn in blf.py. An object counts if it begins where the one before it ends. Where the
chain breaks, the bytes up to the next sound object are damage.
"""

from bisect import bisect_left
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.importers.columns import Bytes, Mask, Rows
from stagelog.importers.diagnostics import Diagnostics
from stagelog.model import BRS, ERR, ESI, EXT, FD, FRAME, FRAME_FD, RTR, FrameTable

Chosen: TypeAlias = Rows | slice  # rows of a table

_CAN, _CAN_ERROR, _CAN_ERROR_EXT, _CAN2, _CAN_FD, _CAN_FD_64 = 1, 2, 73, 86, 100, 101
# per type, types above 127 as 127: least size of the body (0: no frame), room for more behind it
_LEAST = np.zeros(128, np.int64)
_LEAST[[_CAN, _CAN_ERROR, _CAN_ERROR_EXT, _CAN2, _CAN_FD, _CAN_FD_64]] = (16, 4, 32, 16, 84, 40)
_ROOM = np.full(128, 64)
_ROOM[_CAN_FD_64] = 64 + 96  # payload and extra data
_RUN = 64  # invalid headers that are checked one by one before a sound one
_MOST = 1 << 20  # an object of a type that we do not read
_PAD = 256
_HEAD = np.dtype(
    [("mark", "<u4"), ("n_head", "<u2"), ("version", "<u2"), ("n", "<u4"), ("type", "<u4")]
)
_LOBJ = int.from_bytes(b"LOBJ", "little")


def read_objects(
    buffer: bytes | bytearray, is_last: bool, diagnostics: Diagnostics
) -> tuple[FrameTable, int]:
    """Return (frames, bytes done) of the objects in a buffer.

    An object cut off at its end waits for more.
    """
    n = len(buffer)
    text = np.frombuffer(bytes(buffer) + bytes(_PAD), np.uint8)
    at = _find_marks(text, n)
    if not len(at):
        if is_last:
            n_lost = len(bytes(buffer).strip(b"\0"))
            if n_lost:
                diagnostics.add("truncated", "end of the stream", f"{n_lost} bytes of an object")
        return np.empty(0, FRAME), n if is_last else max(0, n - 3) if n > _MOST else 0
    heads = _gather(text, at, _HEAD)
    sizes, sound, known = _sizes(heads)
    has_room = np.isin(heads["type"], (_CAN_FD, _CAN_FD_64))
    kept, n_done = _chain(at, sizes, sound, known, has_room, n, is_last, diagnostics)
    at, heads = at[kept], heads[kept]
    frames = _frames(text, at, heads, diagnostics)
    return frames, n_done


def _find_marks(text: Bytes, n: int) -> Rows:
    """Return every position of "LOBJ" whose header lies in the first n bytes."""
    at = np.flatnonzero(text[: max(0, n - 15)] == 76)
    words = np.ndarray((len(text) - 3,), "V4", text, strides=(1,))[at].view(np.uint32)
    return at[words == _LOBJ]


def _gather(text: Bytes, at: Rows, dtype: np.dtype[Any]) -> NDArray[Any]:
    view = np.ndarray((len(text) - dtype.itemsize + 1,), f"V{dtype.itemsize}", text, strides=(1,))
    return view[at].view(dtype)


def _sizes(heads: NDArray[Any]) -> tuple[NDArray[np.int64], Mask, Mask]:
    """Return (size to use, True where the header is sound, True where it is a frame's).

    A known type has a known size, give or take what writers put behind it.
    """
    sizes = heads["n"].astype(np.int64)
    kinds = np.minimum(heads["type"], 127)
    least = _LEAST[kinds]
    version = heads["version"]
    known = least > 0
    smallest = np.where(known, least + np.where(version == 2, 40, 32), 16)
    most = np.where(known, smallest + _ROOM[kinds], _MOST)
    sound = (sizes >= smallest) & (sizes <= most)
    sound &= (version == 1) | (version == 2) | ~known
    return np.where(sound, sizes, smallest), sound, known


def _chain(
    at: Rows,
    sizes: NDArray[np.int64],
    sound: Mask,
    known: Mask,
    has_room: Mask,
    n: int,
    is_last: bool,
    diagnostics: Diagnostics,
) -> tuple[Chosen, int]:
    """Return (indices of the objects in the chain, bytes done)."""
    ends = at + sizes
    gaps = at[1:] - ends[:-1]
    follows = (gaps >= 0) & (gaps <= 4)
    if at[0] <= 4 and follows.all() and sound.all():
        if ends[-1] <= n:
            return slice(None), int(ends[-1])
        return slice(0, len(at) - 1), _wait(int(at[-1]), n, is_last, diagnostics)
    # where a frame may begin that is none of this object's payload: 8 bytes cannot hold a header
    free = np.where(has_room & sound, ends, at + 1)
    whole = np.where(known & ~has_room, at + 48, ends)
    return _walk(at, ends, sound, sound & known, follows, free, whole, n, is_last, diagnostics)


def _walk(
    at: Rows,
    ends: NDArray[np.int64],
    sound: Mask,
    is_frame: Mask,
    follows: Mask,
    free: NDArray[np.int64],
    whole: NDArray[np.int64],
    n: int,
    is_last: bool,
    diagnostics: Diagnostics,
) -> tuple[Rows, int]:
    """Follow a broken chain: from break to break, not from object to object."""
    starts, stops, is_sound = at.tolist(), ends.tolist(), sound.tolist()
    frees, wholes = free.tolist(), whole.tolist()
    breaks = np.flatnonzero(np.append(~follows, True) | ~sound).tolist()
    sound_at = np.flatnonzero(sound).tolist()
    frames_at = np.flatnonzero(is_frame).tolist()
    starts_of_frames = at[frames_at].tolist()
    kept = []
    k, done = 0, 0
    if starts[0] > 4:
        diagnostics.add("no object", "start of the stream", f"{starts[0]} bytes skipped")
    while k < len(starts):
        stop = breaks[bisect_left(breaks, k)]
        inner = bisect_left(starts_of_frames, frees[stop])
        is_covered = inner < len(frames_at) and starts_of_frames[inner] < stops[stop]
        if stops[stop] > n and is_sound[stop] and not is_covered:
            kept.append(np.arange(k, stop))
            return np.concatenate(kept), _wait(starts[stop], n, is_last, diagnostics)
        is_kept = is_sound[stop] and not (is_covered and starts_of_frames[inner] < wholes[stop])
        kept.append(np.arange(k, stop + is_kept))
        done = stops[stop]
        if not is_sound[stop]:
            after = bisect_left(sound_at, stop)
            end = sound_at[after] if after < len(sound_at) else len(starts)
            n_passed = max(1, end - stop - _RUN)  # a long run of them is skipped at once
            text = "its header is invalid"
            diagnostics.add("damaged object", _place(starts[stop]), text, n_passed)
            if n_passed > 1:
                k = stop + n_passed
                continue
        elif is_covered:
            diagnostics.add("wrong size", _place(starts[stop]), "a frame begins inside of it")
            k, done = frames_at[inner], starts_of_frames[inner]
            continue
        k = max(stop + 1, bisect_left(starts, done))
        if k < len(starts) and starts[k] - done > 4 and is_sound[stop]:
            diagnostics.add("no object", _place(done), f"{starts[k] - done} bytes skipped")
    return np.concatenate(kept), min(done, n)


def _wait(start: int, n: int, is_last: bool, diagnostics: Diagnostics) -> int:
    """Return where to continue at an object that is not whole yet; at the end, skip it."""
    if is_last:
        diagnostics.add("truncated", "end of the stream", f"{n - start} bytes of an object")
        return n
    return start


def _place(position: int) -> str:
    return f"byte {position} of the inflated batch"


def _frames(text: Bytes, at: Rows, heads: NDArray[Any], diagnostics: Diagnostics) -> FrameTable:
    """Return the frames of objects in a sound chain, in their order."""
    kinds = heads["type"]
    is_frame = _LEAST[np.minimum(kinds, 127)] > 0
    diagnostics.n_other += int(len(at) - np.count_nonzero(is_frame))
    if not is_frame.all():
        at, heads, kinds = at[is_frame], heads[is_frame], kinds[is_frame]
    version2 = heads["version"] == 2
    has_fd = ((kinds == _CAN_FD) | (kinds == _CAN_FD_64)).any()
    frames = np.zeros(len(at), FRAME_FD if has_fd else FRAME)
    frames["t_us"] = _times(text, at)
    body = at + np.where(version2, 40, 32)
    is_refused = _refused(text, body, kinds, frames["t_us"], diagnostics)
    readers = {
        _CAN: _put_can,
        _CAN2: _put_can,
        _CAN_ERROR: _put_error,
        _CAN_ERROR_EXT: _put_error_ext,
        _CAN_FD: _put_fd,
        _CAN_FD_64: _put_fd_64,
    }
    first = int(kinds[0]) if len(kinds) else 0
    for kind, put in readers.items():
        if kind == first and (kinds == first).all():
            put(frames, text, body, heads, slice(None))
            break
        rows = np.flatnonzero(kinds == kind)
        if len(rows):
            put(frames, text, body[rows], heads[rows], rows)
    if is_refused.any():
        frames = frames[~is_refused]
    return frames if not has_fd or (frames["n_bytes"] > 8).any() else _narrow(frames)


def _narrow(frames: FrameTable) -> FrameTable:
    narrow = np.zeros(len(frames), FRAME)
    for name in FRAME.names or ():
        narrow[name] = frames[name][:, :8] if name == "data" else frames[name]
    return narrow


_LONGEST_us = 10 * 365 * 86_400 * 1_000_000  # ten years from the start of a measurement
_FARTHEST = 1 << 59
_CHANNEL_AND_ID = np.dtype(
    {"names": ["channel", "id"], "formats": ["<u2", "<u4"], "offsets": [0, 4], "itemsize": 8}
)
_TIME = np.dtype(
    {"names": ["flags", "t"], "formats": ["<u4", "<u8"], "offsets": [16, 24], "itemsize": 32}
)


def _times(text: Bytes, at: Rows) -> NDArray[np.int64]:
    """Return microseconds from the start of the log: 10 us ticks or nanoseconds, rounded.

    The field has no sign in Vector's headers; an object stamped before the start of the
    measurement stands there as the 64 bits of a negative number.
    """
    head = _gather(text, at, _TIME)
    t = np.clip(head["t"].view(np.int64), -_FARTHEST, _FARTHEST)
    return np.where(head["flags"] == 1, t * 10, (t + 500) // 1000)


def _refused(
    text: Bytes, body: Rows, kinds: NDArray[Any], t_us: NDArray[np.int64], diagnostics: Diagnostics
) -> Mask:
    """Return True per object that no recorder can have seen so; count them as damage."""
    head = _gather(text, body, _CHANNEL_AND_ID)
    channel = np.where(kinds == _CAN_FD_64, head["channel"] & 255, head["channel"])
    has_id = (kinds != _CAN_ERROR) & (kinds != _CAN_ERROR_EXT)
    found = np.zeros(len(body), bool)
    for is_wrong, what in (
        ((channel == 0) | (channel > 256), "channel out of range"),
        (has_id & ((head["id"] & np.uint32(0x60000000)) != 0), "identifier out of range"),
        (np.abs(t_us) > _LONGEST_us, "time out of range"),
    ):
        n = int(np.count_nonzero(is_wrong))
        if n:
            diagnostics.add(what, _place(int(body[np.argmax(is_wrong)])), n=n)
            found |= is_wrong
    return found


def _put_id(
    frames: FrameTable, rows: Chosen, ids: NDArray[np.uint32], flags: NDArray[np.uint8] | np.uint8
) -> None:
    frames["can_id"][rows] = ids & np.uint32(0x1FFFFFFF)
    frames["flags"][rows] = np.where(ids >> np.uint32(31), EXT, 0).astype(np.uint8) | flags


def _bus(channel: NDArray[Any]) -> NDArray[np.int32]:
    return np.clip(channel.astype(np.int32) - 1, 0, 255)


def _put_data(frames: FrameTable, rows: Chosen, data: Bytes, n_bytes: NDArray[Any]) -> None:
    """Store payloads, zero beyond their length."""
    width = min(data.shape[1], frames["data"].shape[1])
    data = data[:, :width]
    if len(n_bytes) and n_bytes.min() < width:
        data = np.where(np.arange(width) < n_bytes[:, None], data, 0)
    frames["data"][rows, :width] = data
    frames["n_bytes"][rows] = n_bytes


_CAN_BODY = np.dtype(
    [("channel", "<u2"), ("flags", "u1"), ("dlc", "u1"), ("id", "<u4"), ("data", "u1", 8)]
)


def _put_can(
    frames: FrameTable, text: Bytes, body: Rows, heads: NDArray[Any], rows: Chosen
) -> None:
    can = _gather(text, body, _CAN_BODY)
    remote = (can["flags"] & 0x80) != 0
    frames["bus"][rows] = _bus(can["channel"])
    _put_id(frames, rows, can["id"], np.where(remote, RTR, 0).astype(np.uint8))
    frames["dlc"][rows] = can["dlc"] & 15
    _put_data(frames, rows, can["data"], np.where(remote, 0, np.minimum(can["dlc"], 8)))


_ERROR_BODY = np.dtype([("channel", "<u2"), ("n", "<u2")])


def _put_error(
    frames: FrameTable, text: Bytes, body: Rows, heads: NDArray[Any], rows: Chosen
) -> None:
    frames["bus"][rows] = _bus(_gather(text, body, _ERROR_BODY)["channel"])
    frames["flags"][rows] = ERR


_ERROR_EXT_BODY = np.dtype(
    {
        "names": ["channel", "dlc", "id", "data"],
        "formats": ["<u2", "u1", "<u4", ("u1", 8)],
        "offsets": [0, 10, 16, 24],
        "itemsize": 32,
    }
)


def _put_error_ext(
    frames: FrameTable, text: Bytes, body: Rows, heads: NDArray[Any], rows: Chosen
) -> None:
    error = _gather(text, body, _ERROR_EXT_BODY)
    frames["bus"][rows] = _bus(error["channel"])
    _put_id(frames, rows, error["id"], np.uint8(ERR))
    frames["dlc"][rows] = error["dlc"] & 15
    _put_data(frames, rows, error["data"], np.minimum(error["dlc"], 8))


_FD_BODY = np.dtype(
    {
        "names": ["channel", "flags", "dlc", "id", "fd", "n", "data"],
        "formats": ["<u2", "u1", "u1", "<u4", "u1", "u1", ("u1", 64)],
        "offsets": [0, 2, 3, 4, 13, 14, 20],
        "itemsize": 84,
    }
)


def _put_fd(
    frames: FrameTable, text: Bytes, body: Rows, heads: NDArray[Any], rows: Chosen
) -> None:
    fd = _gather(text, body, _FD_BODY)
    flags = FD * ((fd["fd"] & 1) != 0) + BRS * ((fd["fd"] & 2) != 0) + ESI * ((fd["fd"] & 4) != 0)
    remote = (fd["flags"] & 0x80) != 0
    frames["bus"][rows] = _bus(fd["channel"])
    _put_id(frames, rows, fd["id"], (flags + RTR * remote).astype(np.uint8))
    frames["dlc"][rows] = fd["dlc"] & 15
    _put_data(frames, rows, fd["data"], np.where(remote, 0, np.minimum(fd["n"], 64)))


_FD_64_BODY = np.dtype(
    {
        "names": ["channel", "dlc", "n", "id", "flags", "extra", "data"],
        "formats": ["u1", "u1", "u1", "<u4", "<u4", "u1", ("u1", 64)],
        "offsets": [0, 1, 2, 4, 12, 35, 40],
        "itemsize": 104,
    }
)


def _put_fd_64(
    frames: FrameTable, text: Bytes, body: Rows, heads: NDArray[Any], rows: Chosen
) -> None:
    fd = _gather(text, body, _FD_64_BODY)
    seen = fd["flags"]
    remote = (seen & 0x10) != 0
    flags = (
        FD * ((seen & 0x1000) != 0) + BRS * ((seen & 0x2000) != 0) + ESI * ((seen & 0x4000) != 0)
    )
    frames["bus"][rows] = _bus(fd["channel"])
    _put_id(frames, rows, fd["id"], (flags + RTR * remote).astype(np.uint8))
    frames["dlc"][rows] = fd["dlc"] & 15
    n_bytes = np.minimum(fd["n"], 64).astype(np.int64)
    # bytes that the object does not hold read as zero, as in Vector's own library
    n_before = np.where(heads["version"] == 2, 40, 32) + 40
    end = np.where(fd["extra"] > 0, fd["extra"].astype(np.int64), heads["n"])
    n_held = np.clip(end - n_before, 0, n_bytes)
    data = np.where(np.arange(64) < n_held[:, None], fd["data"], 0).astype(np.uint8)
    _put_data(frames, rows, data, np.where(remote, 0, n_bytes))
