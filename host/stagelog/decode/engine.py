"""Decodes frame tables by a plan: group by message, then all signals of a message in a few array
operations.

Owns the memory of the result, which is allocated once per message. Works through the frames in
chunks that stay in the processor's cache. Raises UsageError for a mode that does not exist,
nothing for what frames hold.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Ranges
from stagelog.decode.assemble import Assembler
from stagelog.decode.missing import Missing
from stagelog.decode.plan import Group, MessagePlan, Plan, WordKey
from stagelog.decode.tables import Decoded, MessageTable
from stagelog.errors import UsageError
from stagelog.model import FRAME, FrameTable

CHUNK_FRAMES = 1 << 17
_DTYPES: dict[str, type[np.floating[Any]] | None] = {
    "phys": np.float64,
    "f32": np.float32,
    "raw": None,
}
_U = np.uint64


def decode(
    frames: FrameTable, plan: Plan, mode: str = "phys", with_suspects: bool = False
) -> Decoded:
    """Decode a frame table, messages of several frames (J1939, NMEA 2000) included.

    Shapes   frames: FRAME or FRAME_FD, n rows; each message's m rows in the order of the frames.
    Units    phys = raw * scale + offset, in signal.unit; mode "raw" leaves the raw values.
    Missing  a frame shorter than a signal gives no value for it and counts in `n_short`; raw
             values of J1939 and NMEA 2000 that mean "not available" or "error" stand in `missing`.
    """
    if not plan.assembles:
        return _decode(frames, plan, mode, with_suspects)
    assembler = Assembler(plan.messages)
    joined = assembler.feed(frames)
    assembler.end()
    return _decode(joined.frames, plan, mode, with_suspects, joined.n_parts, assembler)


def _decode(
    frames: FrameTable,
    plan: Plan,
    mode: str,
    with_suspects: bool,
    n_parts: NDArray[np.int64] | None = None,
    assembler: Assembler | None = None,
) -> Decoded:
    """Decode a table in which row k stands for n_parts[k] frames."""
    if mode not in _DTYPES:
        raise UsageError(f'no decode mode "{mode}"', 'use "phys", "f32" or "raw"')
    result = Decoded(mode, n_frames=len(frames))
    codes, counts, short_codes = _codes(frames, plan, with_suspects)
    n_of_code = counts.sum(axis=0)
    writers = [
        _Writer(message, n, _DTYPES[mode], code in short_codes) if n else None
        for code, (message, n) in enumerate(zip(plan.messages, n_of_code.tolist(), strict=False))
    ]
    with np.errstate(over="ignore", invalid="ignore"):  # float signals hold what they hold
        for k, at in enumerate(range(0, len(frames), CHUNK_FRAMES)):
            chunk = slice(at, at + CHUNK_FRAMES)
            _decode_chunk(frames[chunk], codes[chunk], counts[k].tolist(), writers)
    for writer in writers:
        if writer:
            result.messages[writer.plan.message.name] = writer.table()
    lookup = plan.lookup
    result.n_decoded = int(n_of_code[: lookup.n].sum())
    result.n_not_data = int(n_of_code[lookup.not_data])
    result.n_other_bus = int(n_of_code[lookup.other_bus])
    result.n_suspect = int(n_of_code[lookup.suspect])
    if n_of_code[lookup.unknown]:
        result.unknown = _count_unknown(frames, codes == lookup.unknown)
    if n_parts is not None and assembler is not None:
        n_more = n_parts - 1
        result.n_decoded += int(n_more[codes < lookup.n].sum())
        result.n_other_bus += int(n_more[codes == lookup.other_bus].sum())
        result.n_suspect += int(n_more[codes == lookup.suspect].sum())
        _add_lost(result, assembler)
        result.n_frames += int(n_more.sum())
    return result


def _add_lost(result: Decoded, assembler: Assembler) -> None:
    """Count the frames of messages that never became whole."""
    for can_id, n in assembler.lost.items():
        result.incomplete[can_id] = result.incomplete.get(can_id, 0) + n
    result.n_frames += assembler.lost.total()
    assembler.lost.clear()


def iter_decode(
    chunks: Iterable[FrameTable], plan: Plan, mode: str = "phys", with_suspects: bool = False
) -> Iterator[Decoded]:
    """Decode frame tables one after the other.

    Yields one Decoded per table, memory bounded by the largest; and one more, without values, if a
    message was not whole at the end. A message counts in the table that has its last frame.
    """
    for _, decoded in iter_joined(chunks, plan, mode, with_suspects):
        yield decoded


def iter_joined(
    chunks: Iterable[FrameTable], plan: Plan, mode: str = "phys", with_suspects: bool = False
) -> Iterator[tuple[FrameTable, Decoded]]:
    """Like `iter_decode`; beside each Decoded its table, with whole messages in place of their
    frames.
    """
    if not plan.assembles:
        for frames in chunks:
            yield frames, _decode(frames, plan, mode, with_suspects)
        return
    assembler = Assembler(plan.messages)
    for frames in chunks:
        joined, n_parts = assembler.feed(frames)
        yield joined, _decode(joined, plan, mode, with_suspects, n_parts, assembler)
    assembler.end()
    if assembler.lost:
        last = Decoded(mode)
        _add_lost(last, assembler)
        yield np.empty(0, FRAME), last


def _codes(
    frames: FrameTable, plan: Plan, with_suspects: bool
) -> tuple[NDArray[Any], NDArray[np.int64], set[int]]:
    """Return (code per frame, frames per chunk and code, codes with a frame too short)."""
    lookup = plan.lookup
    n_chunks = -(-len(frames) // CHUNK_FRAMES)
    codes = np.empty(len(frames), lookup.dtype)
    counts = np.zeros((n_chunks, lookup.n + 4), np.int64)
    most = int(plan.need_of_code.max())
    short_codes: set[int] = set()
    for k in range(n_chunks):
        chunk = frames[k * CHUNK_FRAMES : (k + 1) * CHUNK_FRAMES]
        part = lookup.codes(chunk, with_suspects)
        if plan.buses is not None:
            part[~np.isin(chunk["bus"], plan.buses)] = lookup.other_bus
        if chunk["n_bytes"].min() < most:
            is_short = chunk["n_bytes"] < plan.need_of_code[part]
            short_codes.update(np.unique(part[is_short]).tolist())
        counts[k] = np.bincount(part, minlength=lookup.n + 4)
        codes[k * CHUNK_FRAMES : (k + 1) * CHUNK_FRAMES] = part
    return codes, counts, short_codes


def _decode_chunk(
    frames: FrameTable,
    codes: NDArray[Any],
    n_of_code: list[int],
    writers: "Sequence[_Writer | None]",
) -> None:
    """Sort one chunk by message and hand each message its frames."""
    order = np.argsort(codes, kind="stable")  # a radix sort for 8 and 16 bits
    n_known = sum(n_of_code[: len(writers)])
    if not n_known:
        return
    order = order[:n_known]
    payloads = _Payloads(frames["data"], order)
    t_us, bus, ids = frames["t_us"][order], frames["bus"][order], None
    n_bytes = None
    low = 0
    for writer, n in zip(writers, n_of_code, strict=False):
        if writer is None or not n:
            continue
        high = low + n
        if writer.source is not None and ids is None:
            ids = frames["can_id"][order]
        if writer.has_short and n_bytes is None:
            n_bytes = frames["n_bytes"][order]
        writer.add(payloads, low, high, t_us, bus, ids, n_bytes)
        low = high


class _Payloads:
    """Payload words of a chunk in the order of its messages, gathered when they are asked for."""

    def __init__(self, data: NDArray[np.uint8], order: NDArray[np.intp]) -> None:
        self.data = data
        self.width = data.shape[1]
        self.order = order
        self.first = self._gather(0)

    def word(self, at: int, low: int, high: int) -> NDArray[np.uint64]:
        """Return bytes at..at+7 of rows low..high as little-endian words."""
        if at == 0:
            return self.first[low:high]
        if at + 8 > self.width:
            return np.zeros(high - low, np.uint64)  # frames of this table cannot hold the signal
        return self.data[:, at : at + 8][self.order[low:high]].view(np.uint64)[:, 0]

    def byte(self, at: int, low: int, high: int) -> NDArray[np.uint64]:
        """Return byte `at` of rows low..high as words."""
        if at >= self.width:
            return np.zeros(high - low, np.uint64)
        return self.data[:, at][self.order[low:high]].astype(np.uint64)

    def _gather(self, at: int) -> NDArray[np.uint64]:
        view = self.data[:, at : at + 8]
        return view.view(np.uint64)[:, 0][self.order]


class _Writer:
    """Fills the table of one message, chunk after chunk."""

    def __init__(
        self, plan: MessagePlan, n: int, dtype: type[np.floating[Any]] | None, has_short: bool
    ) -> None:
        self.plan = plan
        self.n = n
        self.at = 0
        self.dtype = dtype
        self.put = _store if dtype is None else _scale
        self.has_short = has_short
        self.t_us = np.empty(n, np.int64)
        self.bus = np.empty(n, np.uint8)
        self.source = np.empty(n, np.uint8) if plan.message.is_j1939 else None
        self.n_bytes = np.empty(n, np.uint8) if has_short else None
        self.parts: list[tuple[list[NDArray[np.intp]], list[list[NDArray[Any]]]]] = [
            ([], [[] for _ in b.groups]) for b in plan.branches
        ]
        self.special: dict[str, list[Missing]] = {}
        if dtype is None:
            self.blocks = [np.empty((len(g.names), n), g.raw_dtype) for g in plan.groups]
        else:
            self.block = block = np.empty((plan.n_rows, n), dtype)
            self.blocks = [block[g.row : g.row + len(g.names)] for g in plan.groups]

    def add(
        self,
        payloads: _Payloads,
        low: int,
        high: int,
        t_us: NDArray[np.int64],
        bus: NDArray[np.uint8],
        ids: NDArray[np.uint32] | None,
        n_bytes: NDArray[np.uint8] | None,
    ) -> None:
        at, end = self.at, self.at + high - low
        self.t_us[at:end] = t_us[low:high]
        self.bus[at:end] = bus[low:high]
        if self.source is not None:
            assert ids is not None
            self.source[at:end] = ids[low:high] & np.uint32(0xFF)
        held = None
        if self.n_bytes is not None:
            assert n_bytes is not None
            held = self.n_bytes[at:end] = n_bytes[low:high]
        words: dict[WordKey, NDArray[np.uint64]] = {}
        for group, block in zip(self.plan.groups, self.blocks, strict=True):
            raw = _extract(group, _word(group, payloads, low, high, words))
            self.put(group, raw, block[:, at:end])
            if group.first is not None:
                self._note_special(group, raw, np.arange(at, end))
        if self.plan.branches:
            self._add_branches(payloads, low, high, words, held)
        self.at = end

    def _add_branches(
        self,
        payloads: _Payloads,
        low: int,
        high: int,
        words: dict[WordKey, NDArray[np.uint64]],
        n_bytes: NDArray[np.uint8] | None,
    ) -> None:
        selectors: dict[str, NDArray[Any]] = {}
        masks: list[NDArray[np.bool_]] = []
        for branch, (row_parts, value_parts) in zip(self.plan.branches, self.parts, strict=True):
            value = selectors.get(branch.selector)
            if value is None:
                reader = branch.reader
                value = _extract(reader, _word(reader, payloads, low, high, words))[0]
                selectors[branch.selector] = value
            mask = _within(value, branch.ranges)
            if n_bytes is not None:
                mask &= n_bytes >= branch.reader.needs[0]
            if branch.parent >= 0:
                mask &= masks[branch.parent]
            masks.append(mask)
            rows = np.flatnonzero(mask)
            if not len(rows):
                continue
            row_parts.append(rows + self.at)
            for group, parts in zip(branch.groups, value_parts, strict=True):
                raw = _extract(group, _word(group, payloads, low, high, words)[..., rows])
                dtype = group.raw_dtype if self.dtype is None else self.dtype
                values = np.empty((len(group.names), len(rows)), dtype)
                self.put(group, raw, values)
                if group.first is not None:
                    self._note_special(group, raw, rows + self.at)
                parts.append(values)

    def _note_special(self, group: Group, raw: NDArray[Any], rows: NDArray[np.intp]) -> None:
        """Note which raw values [signals, rows] say that there is no value."""
        assert group.first is not None
        is_hit = raw >= group.first
        for k in np.flatnonzero(is_hit.any(axis=1)).tolist():
            special, at = group.special[k], np.flatnonzero(is_hit[k])
            assert special is not None
            kinds = special.kinds_of(raw[k][at])
            if kinds.any():
                found = Missing(rows[at][kinds > 0], kinds[kinds > 0])
                self.special.setdefault(group.names[k], []).append(found)

    def table(self) -> MessageTable:
        """Return the finished MessageTable."""
        table = MessageTable(self.plan.message, self.t_us, self.bus, self.source)
        is_dense = not self.has_short and not self.special
        if self.plan.rows is not None and self.dtype is not None and is_dense:
            rows_of_block = list(self.block)
            chosen = map(rows_of_block.__getitem__, self.plan.rows)
            table.signals = dict(zip(self.plan.columns, chosen, strict=True))
            return table
        for group, block in zip(self.plan.groups, self.blocks, strict=True):
            if is_dense:
                table.signals.update(zip(group.names, block, strict=True))
                continue
            for row, (name, need) in enumerate(zip(group.names, group.needs, strict=True)):
                self._keep(table, name, need, None, block[row])
        for branch, (row_parts, value_parts) in zip(self.plan.branches, self.parts, strict=True):
            rows = np.concatenate(row_parts) if row_parts else np.empty(0, np.int64)
            for group, parts in zip(branch.groups, value_parts, strict=True):
                dtype = group.raw_dtype if self.dtype is None else self.dtype
                none = np.empty((len(group.names), 0), dtype)
                values = np.concatenate(parts, axis=1) if parts else none
                for row, (name, need) in enumerate(zip(group.names, group.needs, strict=True)):
                    self._keep(table, name, need, rows, values[row])
        table.signals = {name: table.signals[name] for name in self.plan.columns}
        return table

    def _keep(
        self,
        table: MessageTable,
        name: str,
        need: int,
        rows: NDArray[np.intp] | None,
        values: NDArray[Any],
    ) -> None:
        """Store a signal, without the rows whose frame was too short for it or says that there is
        no value.
        """
        if self.n_bytes is not None:
            n_bytes = self.n_bytes if rows is None else self.n_bytes[rows]
            good = n_bytes >= need
            n_short = len(good) - int(np.count_nonzero(good))
            if n_short:
                table.n_short[name] = n_short
                rows = np.flatnonzero(good) if rows is None else rows[good]
                values = values[good]
        if name in self.special:
            missing = _joined(self.special[name])
            held = np.arange(len(self.t_us)) if rows is None else rows
            is_held = np.isin(missing.rows, held)  # not those that were too short
            missing = Missing(missing.rows[is_held], missing.kinds[is_held])
            good = ~np.isin(held, missing.rows)
            rows, values = held[good], values[good]
            table.missing[name] = missing
        table.signals[name] = values
        if rows is not None:
            table.rows[name] = rows


def _joined(parts: list[Missing]) -> Missing:
    rows = np.concatenate([part.rows for part in parts])
    return Missing(rows, np.concatenate([part.kinds for part in parts]))


def _word(
    group: Group,
    payloads: _Payloads,
    low: int,
    high: int,
    words: dict[WordKey, NDArray[np.uint64]],
) -> NDArray[np.uint64]:
    """Return the words that a group reads, bytes in its order; for split groups (word, byte)."""
    word = words.get(group.key)
    if word is None:
        at, is_motorola, is_split = group.key
        word = payloads.word(at, low, high)
        if is_motorola:
            word = word.byteswap()
        if is_split:
            word = np.stack((word, payloads.byte(at + 8, low, high)))
        words[group.key] = word
    return word


def _extract(group: Group, word: NDArray[np.uint64]) -> NDArray[Any]:
    """Return raw values [signals, frames]: int64, uint64 (wide), or a float type."""
    kind = group.kind
    if not group.key[2]:
        raw = word << group.left
    elif group.key[1]:
        raw = (word[0] << group.left) | (word[1] >> (_U(8) - group.left))
    else:
        raw = (word[0] >> group.left) | (word[1] << (_U(64) - group.left))
        raw <<= group.right.view(np.uint64)
    if kind == "signed":
        raw = raw.view(np.int64)
        raw >>= group.right
        return raw
    raw >>= group.right
    if kind == "unsigned":
        return raw.view(np.int64)
    if kind == "float":
        n_bytes = group.raw_dtype.itemsize
        return raw.astype(f"<u{n_bytes}").view(group.raw_dtype)
    return raw


def _store(group: Group, raw: NDArray[Any], out: NDArray[Any]) -> None:
    """Write raw values, which fit the type of `out`."""
    np.copyto(out, raw, casting="unsafe")


def _scale(group: Group, raw: NDArray[Any], out: NDArray[Any]) -> None:
    """Write physical values, computed in float64 and rounded once if `out` is narrower."""
    if group.offset is None:
        if group.scale is None:
            np.copyto(out, raw, casting="unsafe")
        else:
            np.multiply(raw, group.scale, out=out, casting="same_kind")
    elif out.dtype == np.float64:
        np.multiply(raw, 1.0 if group.scale is None else group.scale, out=out)
        out += group.offset
    else:
        exact = raw * (1.0 if group.scale is None else group.scale)
        np.add(exact, group.offset, out=out, casting="same_kind")


def _within(values: NDArray[Any], ranges: Ranges) -> NDArray[np.bool_]:
    """Return True where a selector value lies in one of the ranges."""
    mask = np.zeros(len(values), bool)
    for low, high in ranges:
        mask |= values == low if low == high else (values >= low) & (values <= high)
    return mask


def _count_unknown(frames: FrameTable, mask: NDArray[np.bool_]) -> dict[tuple[int, bool], int]:
    """Return {(can_id, is_ext): number} of the frames under the mask."""
    ids = frames["can_id"][mask]
    is_ext = (frames["flags"][mask] & 1) != 0
    counts = np.bincount(np.minimum(ids[~is_ext], 2048))
    unknown = {(int(k), False): int(counts[k]) for k in np.flatnonzero(counts)}
    values, numbers = np.unique(ids[is_ext], return_counts=True)
    unknown.update({(k, True): n for k, n in zip(values.tolist(), numbers.tolist(), strict=True)})
    return unknown
