"""Read a log: blocks in, sessions with frame tables out, all that is wrong with it as values.

Every good block states who wrote it, when, and as which number; so blocks are collected
wherever they lie, put in order by session and number, and a damaged block costs that block only.
Reads; never writes or repairs. Fails with InputError if a file holds no block of ours; damage is
in `Log.damaged` and `Log.diagnostics`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slog.layout import FLAG_FIRST, FLAG_LAST, N_BUSES, RECORDS_PER_BLOCK
from stagelog.blocks import records
from stagelog.blocks.fd_records import VERSION_FD
from stagelog.blocks.medium import (
    Medium,
    good_mask,
    looks_like_block,
    open_medium,
    places_to_look_at,
)
from stagelog.blocks.placement import (
    BadBlock,
    Diagnostic,
    Found,
    Identity,
    Unreadable,
    bad_blocks,
    choose,
    split,
    unreadable,
)
from stagelog.errors import InputError
from stagelog.model import FRAME, FRAME_FD, FrameTable

CHUNK_FRAMES = 1 << 20
_FORGET_BLOCKS = 1 << 14
_SCAN_BLOCKS = 128  # about as much as a processor's cache holds


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over the records of a session's blocks found.

    n_frames   int64[n_blocks, N_BUSES]
    t_first_us, t_last_us   int64[n_blocks], of the first and the last record
    meta       META_TABLE, all meta records in order
    n_unknown  records that this version does not know
    """

    n_frames: NDArray[np.int64]
    t_first_us: NDArray[np.int64]
    t_last_us: NDArray[np.int64]
    meta: NDArray[Any]
    n_unknown: int


class Session:
    """One recording.

    Invariant: `headers` (HEADER) and `rows` (places in the medium) are good blocks in rising order
    of seq, each once.
    """

    def __init__(
        self, medium: Medium, identity: Identity, headers: NDArray[Any], rows: NDArray[Any]
    ) -> None:
        self.medium = medium
        self.identity = identity
        self.headers = headers
        self.rows = rows

    def __repr__(self) -> str:
        return f"<Session {self.identity.name}: {len(self.rows)} blocks>"

    @property
    def device_id(self) -> str:
        """Return the logger's chip id, 16 hex digits."""
        return self.identity.device_id

    @property
    def boot(self) -> int:
        """Return the boot counter."""
        return self.identity.boot

    @property
    def nonce(self) -> int:
        """Return the random number of the session."""
        return self.identity.nonce

    @property
    def n_blocks(self) -> int:
        """Return the number of good blocks held."""
        return len(self.rows)

    @property
    def first_seq(self) -> int:
        """Return the sequence number of the first good block."""
        return int(self.headers["seq"][0])

    @property
    def last_seq(self) -> int:
        """Return the sequence number of the last good block."""
        return int(self.headers["seq"][-1])

    @property
    def has_first(self) -> bool:
        """True if the first block that the logger wrote is here."""
        return bool(self.headers["flags"][0] & FLAG_FIRST)

    @property
    def has_last(self) -> bool:
        """True if the session was stopped properly and its last block is here."""
        return bool(self.headers["flags"][-1] & FLAG_LAST)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Return where each block starts in the file, int64."""
        return self.medium.offsets[self.rows]

    @cached_property
    def scan(self) -> Scan:
        """Return the Scan of all blocks; made at first use."""
        return _scan(self)

    @property
    def n_frames(self) -> int:
        """Return the number of frames held."""
        return int(self.scan.n_frames.sum())

    @property
    def t_first_us(self) -> int:
        """Return the time of the first record."""
        return int(self.scan.t_first_us[0])

    @property
    def t_last_us(self) -> int:
        """Return the time of the last record."""
        return int(self.scan.t_last_us.max())

    @property
    def meta(self) -> NDArray[Any]:
        """Return all meta records (META_TABLE) in order."""
        return self.scan.meta

    def decoded_meta(self, kind: int | None = None) -> list[records.Meta]:
        """Return the meta records, of one kind if given, as a list of records.Meta."""
        rows = self.meta if kind is None else self.meta[self.meta["kind"] == kind]
        return [records.decode_meta(row) for row in rows]

    def iter_frames(self, n_frames: int = CHUNK_FRAMES) -> Iterator[FrameTable]:
        """Yield frame tables of about `n_frames` rows in the order of the log: FRAME, or FRAME_FD
        if the session has blocks of version 2.
        """
        n_blocks = max(1, n_frames // RECORDS_PER_BLOCK)
        for start in range(0, len(self.rows), n_blocks):
            yield self._frames(start, start + n_blocks)
            self.medium.forget()

    def read_frames(self) -> FrameTable:
        """Return all frames in one table, as iter_frames has them."""
        return self._frames(0, len(self.rows))

    def _frames(self, start: int, stop: int) -> FrameTable:
        room = int(self.headers["n_records"][start:stop].sum(dtype=np.int64))
        is_mixed = bool((self.headers["version"] >= VERSION_FD).any())
        frames = np.empty(room, FRAME_FD if is_mixed else FRAME)
        put = records.put_mixed if is_mixed else records.put_frames
        n = 0
        for words, headers, span_us, _ in self._pieces(start, stop):
            n += put(frames[n:], words, headers, span_us)
        return frames[:n]

    def _pieces(
        self, start: int, stop: int
    ) -> Iterator[tuple[records.Words, records.Headers, records.Times, slice]]:
        """Yield (words, headers, span_us, slice) of blocks start..stop, a cache full at a time."""
        t0 = records.t0_us(self.headers)
        span_us = np.append(np.diff(t0), np.iinfo(np.int64).max)
        for low in range(start, min(stop, len(self.rows)), _SCAN_BLOCKS):
            piece = slice(low, min(low + _SCAN_BLOCKS, stop, len(self.rows)))
            rows = self.rows[piece]
            if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
                blocks = self.medium.view[rows[0] : rows[-1] + 1]
            else:
                blocks = self.medium.view[rows]
            yield records.words_of(blocks), self.headers[piece], span_us[piece], piece


@dataclass(slots=True)
class Log:
    """A file that was read: its sessions in the order of recording, and what is wrong with it.

    kind      "session file", "extent", "card image" or "remains"
    extent    fields of the card's signature, None where there is none
    damaged   [BadBlock], places that should hold a block; their frames are missing
    diagnostics   [Diagnostic], remarks that cost no data
    n_erased  blocks that were left out because the logger has released them
    n_cut     places of the card that are not in the file
    unreadable    [Unreadable], sessions on a card that left headers and no whole block
    """

    path: Path
    kind: str
    extent: dict[str, Any] | None
    sessions: list[Session]
    damaged: list[BadBlock] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    n_erased: int = 0
    n_cut: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)

    def session(self, name: str | None = None) -> Session:
        """Return the session whose name starts so, or the only one; else InputError."""
        found = [s for s in self.sessions if name is None or s.identity.name.startswith(name)]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(s.identity.name for s in self.sessions) or "none"
        what = f"no session {name}" if name and not found else f"{len(found)} sessions"
        raise InputError(f"{self.path}: {what}", hint=f"name one of: {listed}")


def _scan(session: Session) -> Scan:
    n = len(session.rows)
    n_frames = np.zeros((n, N_BUSES), np.int64)
    t_first_us = records.t0_us(session.headers)
    t_last_us = t_first_us.copy()
    tables, n_unknown = [], 0
    for words, headers, span_us, piece in session._pieces(0, n):
        counts, unknown = records.count_frames(words, headers)
        n_frames[piece] = counts
        n_unknown += unknown
        t_last_us[piece] = records.last_times_us(words, headers, span_us)
        tables.append(records.meta_of(words, headers, span_us))
        if piece.stop % _FORGET_BLOCKS < _SCAN_BLOCKS:
            session.medium.forget()
    meta = np.concatenate(tables) if tables else np.empty(0, records.META_TABLE)
    return Scan(n_frames, t_first_us, t_last_us, meta, n_unknown)


def read_log(path: str | Path, include_erased: bool = False, most_bytes: int | None = None) -> Log:
    """Return the Log of a session file, an extent, a card image, a card, or what is left of one.

    Blocks that the logger has released are left out unless `include_erased`; they can be read
    until they are overwritten. With `most_bytes` the file is read as if it ended there.
    """
    medium = open_medium(path, most_bytes)
    least_seq = 0 if include_erased else medium.released_seq
    places = places_to_look_at(medium, least_seq)
    headers = medium.headers(places)
    erased = looks_like_block(headers) & (headers["seq"] < least_seq)
    good = medium.good
    if good is None:
        good = np.zeros(len(places), bool)
        wanted = np.flatnonzero(~erased)
        good[wanted] = good_mask(medium.buf, medium.view, places[wanted], headers[wanted])
    found = Found(medium, places, headers, good)
    kept, taken, diagnostics = choose(found)
    sessions = [
        Session(medium, identity, headers[chosen], places[chosen])
        for identity, chosen in split(found, kept)
    ]
    sessions.sort(key=lambda session: session.first_seq)
    damaged, more = bad_blocks(found, taken)
    notes = [Diagnostic("medium", str(path), note) for note in medium.notes]
    return Log(
        Path(path),
        medium.kind,
        medium.extent,
        sessions,
        damaged,
        notes + diagnostics + more,
        int(erased.sum()),
        medium.n_cut,
        unreadable(found, kept),
    )
