"""Which blocks of a medium count, to which session each belongs, and which places are bad.

Owns the values that describe what is wrong with a log. Reads headers, writes nothing, never fails.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slog.layout import BLOCK_BYTES, FLAG_FIRST, MAGIC
from stagelog.blocks.fd_records import VERSION_FD
from stagelog.blocks.medium import SESSION_FILE, Medium, is_good, looks_like_block

Mask: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.intp]

NO_LOGGER = "00" * 8  # device id of a session that was made of another log
_MAX_HOLE = 1 << 16  # places; a longer stretch between two blocks is not listed place by place


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """Who recorded: chip id as 16 hex digits, boot counter, random number of the session."""

    device_id: str
    boot: int
    nonce: int

    @property
    def name(self) -> str:
        """Return the name of the session's file without its extension."""
        return f"{self.device_id}-{self.boot}-{self.nonce:08x}"


@dataclass(frozen=True, slots=True)
class BadBlock:
    """A place that should hold a block and does not.

    `position` counts blocks from the start of the extent; None where the file has no positions.
    `offset` is where the place starts in the file.
    """

    position: int | None
    reason: str
    offset: int
    n_bytes: int = BLOCK_BYTES

    def __str__(self) -> str:
        place = "" if self.position is None else f"place {self.position:,}, "
        return f"{place}byte {self.offset:,}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A remark on something that costs no data. `kind` is short and countable."""

    kind: str
    place: str
    detail: str

    def __str__(self) -> str:
        return f"{self.place}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A session on a card of which headers can be read and no whole block.

    n_blocks  different numbers in these headers
    """

    identity: Identity
    n_blocks: int


@dataclass(frozen=True, slots=True)
class Found:
    """The places that were checked: indices into the medium, their headers, which are good."""

    medium: Medium
    places: Indices
    headers: NDArray[Any]
    good: Mask


def identity_of(header: Any) -> Identity:
    """Return the Identity in a header (one row of HEADER)."""
    device_id = header["device_id"].tobytes().hex()
    return Identity(device_id, int(header["boot"]), int(header["nonce"]))


def choose(found: Found) -> tuple[Mask, Mask, list[Diagnostic]]:
    """Decide which good blocks count: every number of a session once, well-placed ones first.

    Returns (kept bool[n], taken bool[n], diagnostics). A place is taken if what lies there is the
    block that belongs there, although it may be a second copy that does not count.
    """
    misplaced = _misplaced(found)
    kept, diagnostics = _drop_doubles(found, misplaced)
    taken = found.good & ~misplaced
    for i in np.flatnonzero(misplaced).tolist():
        header = found.headers[i]
        detail = f"block {header['seq']:,} was written for place {header['position']:,}"
        diagnostics.append(Diagnostic("misplaced", f"place {found.places[i]:,}", detail))
    if found.medium.kind == SESSION_FILE:
        taken |= kept
        stale = _stale(found, kept)
        kept &= ~stale
        taken &= ~stale
    return kept, taken, diagnostics


def split(found: Found, kept: Mask) -> list[tuple[Identity, Indices]]:
    """Return [(Identity, indices in rising order of seq)] of the blocks that count."""
    chosen = np.flatnonzero(kept)
    device, run = _keys(found.headers[chosen])
    order = np.lexsort((found.headers["seq"][chosen], run, device))
    chosen, device, run = chosen[order], device[order], run[order]
    edges = np.flatnonzero((np.diff(device) != 0) | (np.diff(run) != 0)) + 1
    parts = [part for part in np.split(chosen, edges) if len(part)]
    return [(identity_of(found.headers[part[0]]), part) for part in parts]


def unreadable(found: Found, kept: Mask) -> list[Unreadable]:
    """Return the sessions of which no block counts, by the headers of damaged blocks on a card.

    Such a header must name the place where it lies and be as new as what counts. The first block
    of a session alone is none: it was being written as the power went, and nothing of it was
    promised.
    """
    medium, headers = found.medium, found.headers
    if medium.extent is None:
        return []
    seq, device = headers["seq"], _keys(headers)[0]
    named = looks_like_block(headers) & (headers["position"] == found.places)
    named &= seq >= medium.released_seq
    if kept.any():
        named &= np.isin(device, device[kept]) & (seq >= seq[kept].min())
    readable = {identity for identity, _ in split(found, kept)}
    sessions = []
    for identity, chosen in split(found, named):
        n_blocks = len(np.unique(seq[chosen]))
        begun = n_blocks == 1 and headers["flags"][chosen[0]] & FLAG_FIRST
        if identity not in readable and not begun:
            sessions.append(Unreadable(identity, n_blocks))
    return sessions


def bad_blocks(found: Found, taken: Mask) -> tuple[list[BadBlock], list[Diagnostic]]:
    """Return ([BadBlock], diagnostics): the places that should hold a block and do not.

    These are all places of a session file, and on a card those between two blocks that
    follow each other, and the one where the newest write was cut short. Places between two blocks
    whose numbers follow each other were skipped by the logger: nothing is lost there.
    """
    medium = found.medium
    order = np.flatnonzero(taken)
    if medium.kind != SESSION_FILE:
        order = order[np.argsort(found.headers["seq"][order], kind="stable")]
    places, diagnostics = _holes(found, order)
    places += _outside(found, order) if medium.kind == SESSION_FILE else _torn(found, order)
    bad = []
    for place in places:
        position = place if medium.extent is not None else None
        bad.append(BadBlock(position, _reason(medium, place), int(medium.offsets[place])))
    bad += [BadBlock(None, reason, at, n_bytes) for at, n_bytes, reason in medium.bad_spans]
    return bad, diagnostics


def _keys(headers: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return (device, boot << 32 | nonce), both uint64."""
    device = np.ascontiguousarray(headers["device_id"]).view("<u8")[:, 0]
    return device, headers["boot"].astype(np.uint64) << np.uint64(32) | headers["nonce"]


def _misplaced(found: Found) -> Mask:
    """Return which good blocks do not lie where they were written for.

    Where the places have no positions, most blocks decide, and only what is out of order counts:
    a session that wrapped at the end of the ring has two runs of positions.
    """
    mask = np.zeros(len(found.places), bool)
    chosen = np.flatnonzero(found.good)
    shift = found.headers["position"][chosen].astype(np.int64) - found.places[chosen]
    if found.medium.extent is not None:
        mask[chosen] = shift != 0
        return mask
    if not len(chosen):
        return mask
    falls = np.diff(found.headers["seq"][chosen].astype(np.int64)) <= 0
    out_of_order = np.append(falls, False) | np.insert(falls, 0, False)
    values, counts = np.unique(shift, return_counts=True)
    mask[chosen] = (shift != values[counts.argmax()]) & out_of_order
    return mask


def _drop_doubles(found: Found, misplaced: Mask) -> tuple[Mask, list[Diagnostic]]:
    """Return (good blocks without second copies, diagnostics). The later of two stays."""
    kept = found.good.copy()
    chosen = np.flatnonzero(kept)
    seq = found.headers["seq"][chosen]
    device, run = _keys(found.headers[chosen])
    order = np.lexsort((chosen, ~misplaced[chosen], seq, run, device))
    same = np.diff(device[order]) == 0
    same &= np.diff(run[order]) == 0
    same &= np.diff(seq[order]) == 0
    diagnostics = []
    for double, other in zip(chosen[order[:-1][same]], chosen[order[1:][same]], strict=True):
        kept[double] = False
        where = f"place {found.places[double]:,}"
        detail = (
            f"block {found.headers['seq'][double]:,} lies at place {found.places[other]:,} too"
        )
        diagnostics.append(Diagnostic("duplicate", where, detail))
    return kept, diagnostics


def _stale(found: Found, kept: Mask) -> Mask:
    """Return the blocks of older sessions that lie between those of the one the file is of."""
    stale = np.zeros(len(kept), bool)
    groups = [chosen for _, chosen in split(found, kept)]
    if len(groups) < 2:
        return stale
    main = max(groups, key=len)
    low, high = found.places[main].min(), found.places[main].max()
    for chosen in groups:
        inside = (found.places[chosen] > low) & (found.places[chosen] < high)
        older = found.headers["seq"][chosen[-1]] < found.headers["seq"][main[0]]
        stale[chosen] = chosen is not main and inside.all() and older
    return stale


def _holes(found: Found, order: Indices) -> tuple[list[int], list[Diagnostic]]:
    """Return (places between blocks that follow each other, diagnostics); `order` as recorded."""
    medium = found.medium
    first, end = medium.ring
    placed = found.places[order]
    steps = np.diff(placed)
    if medium.extent is not None:
        steps %= end - first
    numbers = np.diff(found.headers["seq"][order].astype(np.int64))
    places, diagnostics = [], []
    for i in np.flatnonzero(steps > 1).tolist():
        n, place = int(steps[i]) - 1, int(placed[i])
        if numbers[i] == 1 or n > _MAX_HOLE:
            why = "skipped by the logger" if numbers[i] == 1 else "without a block"
            detail = f"{n:,} place{'s' * (n > 1)} behind it {why}"
            diagnostics.append(Diagnostic("skipped", f"place {place:,}", detail))
            continue
        places += [first + (place - first + 1 + k) % (end - first) for k in range(n)]
    return places, diagnostics


def _outside(found: Found, order: Indices) -> list[int]:
    """Return the places of a session file before its first and behind its last block."""
    placed = found.places[order]
    low, high = (placed[0], placed[-1]) if len(placed) else (len(found.places), -1)
    return [*range(low), *range(high + 1, len(found.places))]


def _torn(found: Found, order: Indices) -> list[int]:
    """Return [the place after the newest block] if the next one was begun there, else []."""
    medium = found.medium
    if medium.extent is None or not len(order):
        return []
    newest = found.headers[order[-1]]
    first, end = medium.ring
    place = first + (int(found.places[order[-1]]) - first + 1) % (end - first)
    header = medium.headers(np.array([place]))
    if not looks_like_block(header)[0] or header["position"][0] != place:
        return []
    same = identity_of(header[0]) == identity_of(newest)
    return [place] if same and header["seq"][0] == newest["seq"] + 1 else []


def _reason(medium: Medium, place: int) -> str:
    """Return in words what lies at a place instead of the block that belongs there."""
    headers = medium.headers(np.array([place]))
    header = headers[0]
    seq = int(header["seq"])
    if looks_like_block(headers)[0]:
        if medium.extent is not None and header["position"] != place:
            return f"block {seq:,} lies here, which was written for place {header['position']:,}"
        if seq < medium.released_seq:
            return f"an older, erased block lies here, number {seq:,}"
        if is_good(medium.view.reshape(-1).data, place * BLOCK_BYTES):
            return f"block {seq:,} of session {identity_of(header).name} lies here"
        return f"the CRC of block {seq:,} is wrong"
    if header["magic"] == MAGIC and header["version"] > VERSION_FD:
        return f"format version {header['version']}; this program reads {VERSION_FD}: update it"
    content = medium.view[place]
    if not content.any():
        return "zeros"
    return "bytes FF" if (content == 0xFF).all() else "no block"
