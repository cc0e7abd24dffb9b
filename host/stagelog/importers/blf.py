"""Reads BLF, Vector's binary log, many objects at once.

Owns the layouts below and the way through a damaged file: every length is checked before it is
used, a container is inflated to no more than it declares, and after damage reading continues at
the next object. Never raises for what a file holds.

    file        "LOGG", u32 header size; u32 number of objects at 32, 0 while it is written;
                u16[8] start time at 40 (SYSTEMTIME, read as UTC); objects
    object      "LOBJ", u16 header size, u16 header version, u32 size, u32 type; 0..3 bytes to fill
    container   type 10: u16 method (0 none, 2 zlib), 6 x, u32 inflated size, 4 x, data: a piece of
                a stream of objects, which may begin in one container and end in the next
    version 1   u32 flags (1: 10 us, else ns), u16, u16, u64 time; the body follows at 32
    version 2   u32 flags, u8, x, u16, u64 time, u64; the body follows at 40
    CAN         types 1, 86: u16 channel, u8 flags (0x80 remote), u8 dlc, u32 id (bit 31: 29 bits),
                8 data
    error       type 73: u16 channel, u8 dlc at 10, u32 id at 16, 8 data at 24; type 2: u16 channel
    CAN FD      type 100: u16 channel, u8 flags, u8 dlc, u32 id, u8 fd flags at 13 (1 FD, 2 BRS,
                4 ESI), u8 n at 14, data at 20
    CAN FD 64   type 101: u8 channel, u8 dlc, u8 n, u32 id at 4, u32 flags at 12 (0x10 remote,
                0x1000 FD, 0x2000 BRS, 0x4000 ESI), u8 offset of extra data at 35, data at 40

Source: python-can io/blf.py, which has it from Toby Lorenz' vector_blf. No official description is
public.
"""

import datetime
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stagelog.importers import blf_objects
from stagelog.importers.diagnostics import HEADER, Diagnostics
from stagelog.importers.stream import FrameStream, collect, open_log, size_of
from stagelog.model import FrameTable

try:
    from isal import isal_zlib as zlib  # three times as fast; extra `fast`
except ImportError:
    import zlib  # type: ignore[no-redef]

_DAMAGED: Any = zlib.error  # the stubs of isal take this class for an instance
_OBJECT = struct.Struct("<4sHHLL")
_CONTAINER = struct.Struct("<H6xL4x")
_LOG_CONTAINER = 10
_USUAL_INFLATED = 128 << 10
_MAX_INFLATED = 64 << 20  # one container
_MAX_EXPANSION = 200
_BATCH_BYTES = 1 << 20


def stream_blf(path: str | Path) -> FrameStream:
    """Return a FrameStream over a BLF file; t_us from the epoch if the header has a start time."""
    diagnostics = Diagnostics(source=str(path), kind="blf")
    stream = FrameStream("blf", Path(path), (), diagnostics)
    stream.chunks = _chunks(stream)
    return stream


def read_blf(path: str | Path) -> tuple[FrameTable, Diagnostics]:
    """Read a whole BLF file: (FRAME or FRAME_FD table, Diagnostics).

    Raises InputError if it cannot be opened.
    """
    log = collect(stream_blf(path))
    return log.frames, log.diagnostics


def _chunks(stream: FrameStream) -> Iterator[FrameTable]:
    diagnostics = stream.diagnostics
    with open_log(stream.path) as file:
        start_us, n_objects = _read_header(file, diagnostics)
        diagnostics.times = "absolute" if start_us else "relative"
        if start_us:
            diagnostics.clock = HEADER
        buffer = bytearray()
        is_last = False
        n_found = 0
        pieces = _pieces(file, diagnostics)
        while not is_last:
            piece = next(pieces, None)
            is_last = piece is None
            if piece:
                buffer += piece
            if len(buffer) < _BATCH_BYTES and not is_last:
                continue
            frames, n_done = blf_objects.read_objects(buffer, is_last, diagnostics)
            del buffer[:n_done]
            if len(frames):
                frames["t_us"] += start_us
                n_buses = int(frames["bus"].max()) + 1
                stream.ifaces += [f"can{k}" for k in range(len(stream.ifaces), n_buses)]
                n_found += len(frames)
                yield frames
        n_found += diagnostics.n_other + diagnostics.n_damages
        if n_found < n_objects:
            text = f"the header counts {n_objects:,} objects, {n_found:,} are here"
            diagnostics.add("objects missing", "end of the file", text, n_objects - n_found)


def _read_header(file: BinaryIO, diagnostics: Diagnostics) -> tuple[int, int]:
    """Skip the file header.

    Return (start time in microseconds from the epoch, 0 if there is none; number of objects).
    """
    head = file.read(72)
    diagnostics.n_bytes += len(head)
    if len(head) < 72 or head[:4] != b"LOGG":
        diagnostics.add("damaged header", "byte 0", "no start time")
        file.seek(0)
        return 0, 0
    n_header = struct.unpack_from("<L", head, 4)[0]
    if not 72 <= n_header <= 4096:
        diagnostics.add("damaged header", "byte 4", f"header size {n_header}")
        n_header = 144
    file.seek(n_header)
    n_objects = struct.unpack_from("<L", head, 32)[0]
    year, month, _, day, hour, minute, second, ms = struct.unpack_from("<8H", head, 40)
    try:
        start = datetime.datetime(year, month, day, hour, minute, second, ms * 1000, datetime.UTC)
    except ValueError:
        return 0, n_objects
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return max(0, (start - epoch) // datetime.timedelta(microseconds=1)), n_objects


def _pieces(file: BinaryIO, diagnostics: Diagnostics) -> Iterator[bytes]:
    """Yield pieces of the object stream: inflated containers, and objects that stand outside of
    one.
    """
    n_file = size_of(file)
    n_left = max(_MAX_EXPANSION * n_file, _MAX_INFLATED)
    while True:
        at = file.tell()
        diagnostics.n_bytes = at
        diagnostics.share = at / max(1, n_file)
        head = file.read(_OBJECT.size)
        if not head.strip(b"\0"):
            if len(head) < _OBJECT.size:
                return
        if len(head) < _OBJECT.size:
            diagnostics.add("truncated", f"byte {at}", f"{len(head)} bytes of an object")
            return
        mark, _, _, n_object, kind = _OBJECT.unpack(head)
        if mark != b"LOBJ" or n_object < _OBJECT.size or at + n_object > n_file:
            if not _resume(file, at, mark, n_file, diagnostics):
                return
            if mark != b"LOBJ" or n_object < _OBJECT.size:
                continue
            file.seek(at + _OBJECT.size)  # cut short: take what is there
            n_object = n_file - at
        body = file.read(n_object - _OBJECT.size)
        file.seek(n_object % 4, 1)
        if kind != _LOG_CONTAINER:
            yield head + body + bytes(n_object % 4)
            continue
        piece = _inflate(body, at, diagnostics)
        n_left -= len(piece)
        if n_left < 0:
            diagnostics.add(
                "expands too far", f"byte {at}", f"more than {_MAX_EXPANSION}:1; stopped"
            )
            return
        yield piece


def _resume(file: BinaryIO, at: int, mark: bytes, n_file: int, diagnostics: Diagnostics) -> bool:
    """Go to the next object after damage at `at`; return False if there is none."""
    if mark == b"LOBJ":
        diagnostics.add(
            "wrong size",
            f"byte {at}",
            "an object is longer than the file, or shorter than a header",
        )
    else:
        diagnostics.add("no object", f"byte {at}", "other bytes stand where one should begin")
    position = at + 1
    while position < n_file:
        file.seek(position)
        block = file.read(1 << 16)
        found = block.find(b"LOBJ")
        if found >= 0:
            file.seek(position + found)
            return True
        if len(block) < 4:
            break
        position += len(block) - 3
    file.seek(n_file)
    return mark == b"LOBJ"


def _inflate(body: bytes, at: int, diagnostics: Diagnostics) -> bytes:
    """Return what a container holds, as far as it can be inflated."""
    if len(body) < _CONTAINER.size:
        diagnostics.add("truncated", f"byte {at}", "a container without header")
        return b""
    method, n_inflated = _CONTAINER.unpack_from(body)
    data = body[_CONTAINER.size :]
    if method == 0:
        return data
    if method != 2:
        diagnostics.add("unknown compression", f"byte {at}", f"method {method}")
        return b""
    inflater = zlib.decompressobj()
    limit = min(n_inflated or _USUAL_INFLATED, _MAX_INFLATED)
    try:
        piece = inflater.decompress(data, limit)
    except _DAMAGED as error:
        piece = _inflate_what_goes(data, limit)
        diagnostics.add("damaged container", f"byte {at}", f"{error}; {len(piece)} bytes read")
        return piece
    if len(piece) < n_inflated:
        diagnostics.add(
            "truncated", f"byte {at}", f"{len(piece)} of {n_inflated} bytes in a container"
        )
    elif inflater.unconsumed_tail or not n_inflated:
        diagnostics.add("wrong size", f"byte {at}", "a container holds more than it declares; cut")
    return piece


def _inflate_what_goes(data: bytes, limit: int) -> bytes:
    """Inflate in small steps until the damage."""
    inflater = zlib.decompressobj()
    parts: list[bytes] = []
    n = 0
    for k in range(0, len(data), 256):
        try:
            part = inflater.decompress(data[k : k + 256], limit - n)
        except _DAMAGED:
            break
        parts.append(part)
        n += len(part)
        if n >= limit:
            break
    return b"".join(parts)
