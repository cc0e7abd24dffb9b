"""Where the blocks of a file lie: session file, extent, card or image of one, or remains.

    session file   blocks verbatim, one after the other (.slog)
    extent         STAGELOG.BIN as a file, or a raw image that starts with the signature
    card image     a whole card; the signature stands at a multiple of 4 MiB
    remains        blocks at places that no signature explains

Maps files read-only; nothing is read before it is needed. Fails with InputError, which names the
likely kind of file, if there is no good block and no signature in it.
"""

import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from slog import block as codec
from slog.layout import (
    BLOCK_BYTES,
    HEADER_BYTES,
    MAGIC,
    RECORD_BYTES,
    RECORDS_PER_BLOCK,
    RELEASE,
    RELEASE_MAGIC,
    SECTOR_BYTES,
    SIGNATURE,
    SIGNATURE_MAGIC,
    VERSION,
    size,
    unpack,
)
from stagelog.blocks.fd_records import VERSION_FD
from stagelog.blocks.layouts import HEADER
from stagelog.errors import InputError
from stagelog.pipes import real_path
from stagelog.platform.files import advise

SESSION_FILE = "session file"
EXTENT = "extent"
CARD_IMAGE = "card image"
REMAINS = "remains"

ALIGN_BYTES = 4 << 20  # a signature stands at a multiple of this
N_SIGNATURE_PLACES = 16
_MARK = struct.pack("<H", MAGIC)
_START = re.compile(re.escape(_MARK) + b"[%c-%c]" % (VERSION, VERSION_FD))
_SIGNATURE_BYTES = size(SIGNATURE)
_RELEASE_BYTES = size(RELEASE)
_MAX_TRIES = 64  # places tried as a block per 4096 bytes of damage
_SESSION_FILE_STARTS = 1 << 16  # bytes; the first good block of a session file lies before
_ALL_PLACES = 1 << 16  # a ring of up to 256 MiB is checked place by place
_SAMPLE = 1024  # larger ones: one place in 1,024 first

_FOREIGN = (
    (b"LOGG", "a Vector BLF log"),
    (b"MDF ", "an MF4 measurement"),
    (b"UnFinMF", "an unfinished MF4 measurement"),
    (b"date ", "a Vector ASC log"),
    (b";$FILEVERSION", "a PEAK TRC log"),
    (b"\x89MCAP0", "an MCAP log"),
    (b"ULog\x01", "a PX4 ULog"),
    (b"PAR1", "a Parquet file"),
    (b"VERSION", "a DBC file"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: unpack it first"),
    (b"PK\x03\x04", "a zip file: unpack it first"),
    (b"UF2\n", "a UF2 firmware image"),
    (b"\x7fELF", "a program"),
    (b"\xd4\xc3\xb2\xa1", "a network capture"),
    (b"{", "a JSON text"),
    (b"(", "a candump log"),
)

View: TypeAlias = NDArray[np.uint8]  # [n, 4096], row i is place i
Signature: TypeAlias = tuple[int, dict[str, Any], list[str]]  # offset, fields, notes

_PIECE_BLOCKS = 1 << 14  # 64 MiB of a file are checked before its pages are released


@dataclass(frozen=True, slots=True)
class Medium:
    """A mapped file and the places in it that may hold a block.

    buf       the whole file
    view      uint8[n, 4096], read-only; row i is place i
    offsets   int64[n], where place i starts in the file
    good      bool[n], which places hold a good block, where that is known already
    ring      (first, end): places in use as a ring; (0, n) if there is none
    extent    fields of the signature, or None
    released_seq, tail   from the newest release mark: blocks below that number are erased
    n_cut     places of the extent that the file does not hold
    bad_spans (offset, n_bytes, reason) of stretches that are no place at all
    notes     remarks on the file as a whole
    """

    path: Path
    kind: str
    buf: memoryview
    view: View
    offsets: NDArray[Any]
    ring: tuple[int, int]
    good: NDArray[np.bool_] | None = None
    extent: dict[str, Any] | None = None
    released_seq: int = 0
    tail: int = 0
    n_cut: int = 0
    bad_spans: list[tuple[int, int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def headers(self, places: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of the headers (HEADER) at `places` (int array)."""
        return _headers(self.buf, self.view, places)

    def forget(self) -> None:
        """Release the pages of the file that were read."""
        forget_pages(self.buf)


def _mapped(buf: memoryview) -> mmap.mmap:
    return cast(mmap.mmap, buf.obj)


def forget_pages(buf: memoryview) -> None:
    """Release the pages of a mapped file; they are read again when needed."""
    if isinstance(buf.obj, mmap.mmap):
        advise(buf.obj, "MADV_DONTNEED")


def _headers(buf: memoryview, view: View, places: NDArray[Any]) -> NDArray[Any]:
    headers = np.empty(len(places), HEADER)
    for piece in _pieces(buf, len(places)):
        headers[piece] = view[places[piece], :HEADER_BYTES].view(HEADER)[:, 0]
    return headers


def _pieces(buf: memoryview, n: int) -> Iterator[slice]:
    """Yield slices of 0..n; after each the pages it touched are released, if there are many."""
    for start in range(0, n, _PIECE_BLOCKS):
        yield slice(start, start + _PIECE_BLOCKS)
        if n > _PIECE_BLOCKS:
            forget_pages(buf)


def map_file(path: str | Path, most_bytes: int | None = None) -> memoryview:
    """Return the bytes of a file or block device, or the first of them, as a read-only
    memoryview.
    """
    real = real_path(path)
    if real.is_dir():
        raise InputError(f"{path} is a folder, not a log", hint="name a .slog file in it")
    try:
        with open(real, "rb") as file:
            n_bytes = file.seek(0, os.SEEK_END)
            if not n_bytes:
                raise InputError(f"{path} is empty")
            n_bytes = min(n_bytes, most_bytes or n_bytes)
            return memoryview(mmap.mmap(file.fileno(), n_bytes, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except PermissionError:
        raise InputError(
            f"{path}: no permission to read it",
            hint="a card in a reader may need membership in the group 'disk', or root",
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def good_mask(
    buf: memoryview, view: View, places: NDArray[Any], headers: NDArray[Any]
) -> NDArray[np.bool_]:
    """Return which of `places` (rows of `view`, uint8[n, 4096]) are good blocks.

    buf  what `view` maps; headers  those of `places`
    """
    good = looks_like_block(headers)
    flat = view.reshape(-1).data
    n_records = headers["n_records"].tolist()
    want = headers["crc"].tolist()
    crc32 = zlib.crc32
    for piece in _pieces(buf, len(places)):
        for i in (np.flatnonzero(good[piece]) + piece.start).tolist():
            at = int(places[i]) * BLOCK_BYTES
            end = at + HEADER_BYTES + n_records[i] * RECORD_BYTES
            crc = crc32(flat[at + HEADER_BYTES : end], crc32(flat[at : at + codec.CRC]))
            good[i] = crc == want[i]
    return good


def is_good(buf: bytes | memoryview, offset: int) -> bool:
    """Return whether a whole block of version 1 or 2 starts at `offset`."""
    if offset + BLOCK_BYTES > len(buf) or not _START.match(buf, offset):
        return False
    n_records = buf[offset + codec.N_RECORDS]
    if n_records > RECORDS_PER_BLOCK:
        return False
    crc_at = offset + codec.CRC
    end = offset + HEADER_BYTES + n_records * RECORD_BYTES
    crc = zlib.crc32(buf[offset + HEADER_BYTES : end], zlib.crc32(buf[offset:crc_at]))
    return crc == struct.unpack_from("<I", buf, crc_at)[0]


def open_medium(path: str | Path, most_bytes: int | None = None) -> Medium:
    """Find the blocks of a file, or of its first bytes; InputError if it holds neither a good
    block nor a signature.
    """
    path = Path(path)
    buf = map_file(path, most_bytes)
    signature = find_signature(buf)
    if signature is None and not is_good(buf, 0):
        signature = find_second_signature(buf)
        forget_pages(buf)
    if signature is not None:
        return _extent(path, buf, *signature)
    offset = next(_search(buf, 0, len(buf)), None)
    if offset is None:
        raise InputError(f"{path} holds no stagelog block: {_describe(buf)}")
    if offset < _SESSION_FILE_STARTS:
        return _session_file(path, buf)
    phase = offset % BLOCK_BYTES
    first = (offset - phase) // BLOCK_BYTES
    n = (len(buf) - phase) // BLOCK_BYTES
    view = _grid(buf, phase, n)
    released = _newest_release(view, range(max(0, first - 4096), first), None)
    return Medium(
        path,
        REMAINS,
        buf,
        view,
        phase + np.arange(n) * BLOCK_BYTES,
        (0, n),
        released_seq=released[1],
        tail=first,
        notes=[f"no signature found; the first block starts at byte {offset:,}"],
    )


def find_signature(buf: memoryview) -> Signature | None:
    """Return (offset of the extent, signature fields, notes) from where it belongs, or None."""
    for place in range(N_SIGNATURE_PLACES):
        found = _signature_for(buf, place * ALIGN_BYTES)
        if found is not None:
            return found
    return None


def find_second_signature(buf: memoryview) -> Signature | None:
    """Return what find_signature returns, by a copy anywhere; searches the whole file."""
    at = _mapped(buf).find(SIGNATURE_MAGIC)
    while at >= 0:
        found = _signature_for(buf, at)
        if found is not None:
            return found
        at = _mapped(buf).find(SIGNATURE_MAGIC, at + 1)
    return None


def _signature_for(buf: memoryview, at: int) -> Signature | None:
    """Return (offset of the extent, fields, notes) if a copy of its signature starts at `at`."""
    found = signature_at(buf, at)
    if found is None:
        return None
    starts = (0, found["lba"] * SECTOR_BYTES)
    if at in starts:
        return at, found, []
    offset = at - found["copy"] * BLOCK_BYTES
    notes = ["the signature is damaged; its second copy was used"]
    return (offset, found, notes) if offset in starts else None


def signature_at(buf: memoryview, offset: int) -> dict[str, Any] | None:
    """Return the fields of a whole signature at `offset`, or None."""
    packed = bytes(buf[offset : offset + _SIGNATURE_BYTES])
    if len(packed) < _SIGNATURE_BYTES or not packed.startswith(SIGNATURE_MAGIC):
        return None
    found = unpack(SIGNATURE, packed)
    is_whole = zlib.crc32(packed[:-4]) == found["crc"]
    is_ring = 0 < found["data_first"] < found["data_end"] <= found["n_blocks"]
    return found if is_whole and is_ring else None


def _extent(
    path: Path, buf: memoryview, offset: int, found: dict[str, Any], notes: list[str]
) -> Medium:
    if found["version"] != VERSION:
        raise InputError(
            f"{path}: format version {found['version']}, this program reads {VERSION}",
            hint="install a newer stagelog",
        )
    n = min(found["n_blocks"], (len(buf) - offset) // BLOCK_BYTES)
    if n < found["n_blocks"]:
        notes.append(f"cut short: {n:,} of {found['n_blocks']:,} blocks of the extent are there")
    first, end = min(found["data_first"], n), min(found["data_end"], n)
    view = _grid(buf, offset, n)
    marks = [place for place in (found["release_a"], found["release_b"]) if place < n]
    _, released_seq, tail = _newest_release(view, marks, found["extent_id"])
    return Medium(
        path,
        EXTENT if offset == 0 else CARD_IMAGE,
        buf,
        view,
        offset + np.arange(n) * BLOCK_BYTES,
        (first, end),
        extent=found,
        released_seq=released_seq,
        tail=tail or first,
        n_cut=found["n_blocks"] - n,
        notes=notes,
    )


def _newest_release(
    view: View, places: Iterable[int], extent_id: int | None
) -> tuple[int, int, int]:
    """Return (generation, released_seq, position) of the newest valid release mark, or zeros."""
    best = (0, 0, 0)
    for place in places:
        packed = view[place, :_RELEASE_BYTES].tobytes()
        if not packed.startswith(RELEASE_MAGIC):
            continue
        found = unpack(RELEASE, packed)
        if zlib.crc32(packed[:-4]) == found["crc"] and extent_id in (None, found["extent_id"]):
            best = max(best, (found["generation"], found["released_seq"], found["position"]))
    return best


def _grid(buf: memoryview, offset: int, n: int) -> View:
    flat = np.frombuffer(buf, np.uint8, n * BLOCK_BYTES, offset)
    return flat.reshape(n, BLOCK_BYTES)


def _session_file(path: Path, buf: memoryview) -> Medium:
    """Cut a row of blocks into places; where bytes were lost or added, find the next block."""
    n = len(buf) // BLOCK_BYTES
    rest = len(buf) % BLOCK_BYTES
    view = _grid(buf, 0, n)
    places = np.arange(n)
    good: NDArray[np.bool_] | None
    good = good_mask(buf, view, places, _headers(buf, view, places))
    bad_spans: list[tuple[int, int, str]] = []
    shifted = _find_shifted(buf, good)
    offsets = np.arange(n) * BLOCK_BYTES
    if shifted:
        offsets, bad_spans = _merge(offsets, np.array(shifted), len(buf))
        view = np.stack([np.frombuffer(buf, np.uint8, BLOCK_BYTES, at) for at in offsets])
        view.flags.writeable = False
        good = None
    elif rest:
        bad_spans.append((n * BLOCK_BYTES, rest, f"cut short: {rest:,} of 4,096 bytes"))
    ring = (0, len(offsets))
    return Medium(path, SESSION_FILE, buf, view, offsets, ring, good=good, bad_spans=bad_spans)


def _find_shifted(buf: memoryview, good: NDArray[np.bool_]) -> list[int]:
    """Return the offsets of good blocks in damaged stretches that stand at no multiple of 4096."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], good, [True]]).astype(np.int8)))
    found = []
    for start, end in edges.reshape(-1, 2).tolist():
        end = len(buf) if end == len(good) else end * BLOCK_BYTES
        found += [at for at in _search(buf, start * BLOCK_BYTES, end) if at % BLOCK_BYTES]
    return found


def _search(buf: memoryview, start: int, end: int) -> Iterator[int]:
    """Yield the offsets of good blocks in buf[start:end] at any alignment, without overlap."""
    source = _mapped(buf)
    at = start
    window, n_tries = -1, 0
    while True:
        found = _START.search(source, at, end)
        if found is None or found.start() + BLOCK_BYTES > end:
            return
        at = found.start()
        if at // BLOCK_BYTES != window:
            window, n_tries = at // BLOCK_BYTES, 0
        n_tries += 1
        if n_tries <= _MAX_TRIES and is_good(buf, at):
            yield at
            at += BLOCK_BYTES
        else:
            at += 1


def _merge(
    places: NDArray[Any], shifted: NDArray[Any], n_bytes: int
) -> tuple[NDArray[Any], list[tuple[int, int, str]]]:
    """Return (offsets of all places, spans between them); shifted blocks displace places."""
    before = np.searchsorted(shifted, places, side="right") - 1
    behind = np.searchsorted(shifted, places, side="left")
    covered = (before >= 0) & (shifted[before] + BLOCK_BYTES > places)
    ahead = np.minimum(behind, len(shifted) - 1)
    covered |= (behind < len(shifted)) & (shifted[ahead] < places + BLOCK_BYTES)
    offsets = np.sort(np.concatenate([places[~covered], shifted]))
    starts = np.concatenate([[0], offsets + BLOCK_BYTES])
    ends = np.concatenate([offsets, [n_bytes]])
    spans = [
        (int(a), int(b - a), f"{b - a:,} bytes that are no block")
        for a, b in zip(starts, ends, strict=True)
        if b > a
    ]
    return offsets, spans


def places_to_look_at(medium: Medium, least_seq: int) -> NDArray[Any]:
    """Return the places that may hold a block with a number from `least_seq` on, as an int array.

    A large ring is sampled every 4 MiB; a stretch is read if a sample in or beside it is a block
    in use, or if the log is known to start there. What is in use is one stretch of the ring.
    """
    first, end = medium.ring
    if end - first <= _ALL_PLACES:
        return np.arange(first, end)
    advise(_mapped(medium.buf), "MADV_RANDOM")  # else read-ahead reads most of the card
    places = _sampled(medium, least_seq)
    advise(_mapped(medium.buf), "MADV_NORMAL")
    return places


def _sampled(medium: Medium, least_seq: int) -> NDArray[Any]:
    first, end = medium.ring
    samples = np.arange(first, end, _SAMPLE)
    headers = medium.headers(samples)
    used = looks_like_block(headers) & (headers["seq"] >= least_seq)
    wanted = used | np.roll(used, 1) | np.roll(used, -1)
    chunk = min(max(medium.tail - first, 0) // _SAMPLE, len(samples) - 1)
    for _ in range(len(samples)):
        wanted[chunk] = True
        lo = first + chunk * _SAMPLE
        headers = medium.headers(np.arange(lo, min(lo + _SAMPLE, end)))
        used = looks_like_block(headers) & (headers["seq"] >= least_seq)
        chunk = (chunk + 1) % len(samples)
        medium.forget()
        if not used.any() or wanted[chunk]:
            break
    return np.flatnonzero(np.repeat(wanted, _SAMPLE)[: end - first]) + first


def looks_like_block(headers: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask: magic, version and n_records are those of a block of version 1 or 2."""
    return (
        (headers["magic"] == MAGIC)
        & (headers["version"] >= VERSION)
        & (headers["version"] <= VERSION_FD)
        & (headers["n_records"] <= RECORDS_PER_BLOCK)
    )


def _describe(buf: memoryview) -> str:
    if buf[:2] == _MARK:
        if len(buf) < BLOCK_BYTES:
            return f"it is cut short after {len(buf):,} bytes, a block has 4,096"
        if not VERSION <= buf[2] <= VERSION_FD:
            return f"it has format version {buf[2]}, this program reads {VERSION_FD}"
        return "what is there looks like blocks, but no CRC is right"
    head = bytes(buf[:16])
    for start, name in _FOREIGN:
        if head.startswith(start):
            return f"it looks like {name}"
    if len(buf) >= 512 and bytes(buf[510:512]) == b"\x55\xaa":
        return "it looks like a card or its image that 'stagelog card prepare' has not prepared"
    if not any(buf[:BLOCK_BYTES]):
        return "it starts with zeros"
    return "its kind is not known here"
