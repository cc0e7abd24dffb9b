"""The ledger: every frame that a controller gave the logger is held, missing, or counted as lost.

    seen = stored + dropped exactly + lost at least          per bus, by the counters in each block
    stored = held + missing                                  missing: in blocks that are not here

Every block has cumulative counters, so the next one shows what was in lost blocks. Owns the
arithmetic and the words; reads nothing by itself. Counters that contradict the records
are not an error but a line in `Ledger.breaks` that names the block.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slog.layout import (
    BLOCK_BYTES,
    BUS_OFF,
    GAP_AT_LEAST,
    GAP_CARD,
    GAP_CONTROLLER,
    GAP_COPIED,
    GAP_RING_FULL,
    HEALTH_RADIO,
    HEALTH_WRITE_WORST,
    META_BUS,
    META_END,
    META_GAP,
    META_HEALTH,
    META_SESSION,
    N_BUSES,
)
from slog.radio import ACCESS_POINT_BIT, STATION_BIT
from stagelog.blocks import BadBlock, Session
from stagelog.blocks.records import decode_meta
from stagelog.ending import CUT, OPEN, STOPPED, End, find_end
from stagelog.timeline import Timeline

RING_FULL = "ring full"
CONTROLLER = "controller overflow"
AWAY = "controller away"
CARD = "card full or failed"
BLOCK = "block missing"
HEAD = "start missing"
BUS_IS_OFF = "bus off"
IN_SOURCE = "not in its source"
POWER_CUT = "power cut"
OPEN_END = "open end"

_INTERFACES = {STATION_BIT: "as a station", ACCESS_POINT_BIT: "own access point"}
_CAUSES = {
    GAP_RING_FULL: RING_FULL,
    GAP_CONTROLLER: CONTROLLER,
    GAP_CARD: CARD,
    GAP_COPIED: IN_SOURCE,
}


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole we know of.

    bus     None: all buses
    t_start_us, t_end_us   time since boot, None where unknown
    n       frames lost; None if that cannot be known
    exact   False: `n` is a lower bound
    cause   one of the words of this module; `detail` adds to it
    """

    bus: int | None
    t_start_us: int | None
    t_end_us: int | None
    n: int | None
    exact: bool
    cause: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BusLedger:
    """The account of one bus, in frames."""

    bus: int
    n_stored: int
    n_held: int
    n_missing: int
    n_dropped: int
    n_at_least: int

    @property
    def n_seen(self) -> int:
        """Return the frames the controller gave, or more if it lost some uncounted."""
        return self.n_stored + self.n_dropped + self.n_at_least


@dataclass(frozen=True, slots=True)
class RadioRecord:
    """What a logger with a radio recorded of it: how often the chip was asked, and which
    interfaces were active in the session, in words; none is what the rules of a rally demand.
    """

    n_records: int
    active: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return it as people read it."""
        if self.active:
            return f"THE RADIO WAS ON while this was recorded: {', '.join(self.active)}"
        times = "once" if self.n_records == 1 else f"{self.n_records:,} times"
        return f"radio off: the chip was asked {times}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The account of one session.

    n_blocks_missing  from the first block held on, as far as is known
    end               how it ended, and its witness
    tail_ms           what may be lost at a power cut besides the block being written; None if the
                      start of the session, which states it, is not here
    breaks            blocks whose counters contradict the records, in words
    radio             None: the logger has no radio, or its records of it are not here
    """

    name: str
    buses: tuple[BusLedger, ...]
    gaps: tuple[Gap, ...]
    breaks: tuple[str, ...]
    n_blocks: int
    n_blocks_missing: int
    end: End
    tail_ms: int | None
    radio: RadioRecord | None = None

    @property
    def closes(self) -> bool:
        """True if counters and records agree to the frame."""
        return not self.breaks

    @property
    def stopped(self) -> bool:
        """False: power off, still recording when it was fetched, or its end is not here."""
        return self.end.kind == STOPPED

    @property
    def complete(self) -> bool:
        """True if every frame seen is held and the end is known; a power cut is a known end."""
        whole = self.closes and self.end.is_known
        return whole and all(gap.cause == POWER_CUT for gap in self.gaps)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "session": self.name,
            "complete": self.complete,
            "closes": self.closes,
            "stopped": self.stopped,
            "end": asdict(self.end),
            "n_blocks": self.n_blocks,
            "n_blocks_missing": self.n_blocks_missing,
            "tail_ms": self.tail_ms,
            "buses": [{**asdict(bus), "n_seen": bus.n_seen} for bus in self.buses],
            "gaps": [asdict(gap) for gap in self.gaps],
            "breaks": list(self.breaks),
            "radio": self.radio and asdict(self.radio),
        }


def account(session: Session, damaged: Sequence[BadBlock] = (), end: End | None = None) -> Ledger:
    """Return the Ledger of a session.

    damaged  the bad blocks of its log
    end      ending.End; by default what the session and its medium show alone
    """
    end = end or find_end(session)
    headers, scan = session.headers, session.scan
    lost_blocks = np.diff(headers["seq"].astype(np.int64), prepend=headers["seq"][:1]) - 1
    lost_blocks[0] = 0
    has_before = np.append(not session.has_first, lost_blocks[1:] > 0)
    has_before[-1] |= session.has_last
    reported = _reported(scan.meta, headers)
    breaks, gaps, buses = [], _recorded_gaps(scan.meta), []
    for bus in range(N_BUSES):
        stored = headers[f"stored{bus}"].astype(np.int64)
        dropped = headers[f"dropped{bus}"].astype(np.int64)
        missing = np.diff(stored, prepend=0) - scan.n_frames[:, bus]
        unreported = np.diff(dropped, prepend=0) - reported[:, bus]
        breaks += _breaks(headers, bus, missing, unreported, has_before)
        gaps += _gaps_between(session, bus, missing, unreported, has_before)
        n_at_least = int(headers[f"at_least{bus}"][-1])
        gaps += _uncounted(session, bus, n_at_least)
        n_held = int(scan.n_frames[:, bus].sum())
        n_stored, n_dropped = int(stored[-1]), int(dropped[-1])
        if end.n_stored is not None:
            n_stored = max(n_stored, end.n_stored[bus])
        buses.append(BusLedger(bus, n_stored, n_held, n_stored - n_held, n_dropped, n_at_least))
    breaks += _count_of_blocks(session, gaps)
    tail_ms = _flush_ms(scan.meta)
    gaps += _at_end(session, end, damaged, tail_ms, [bus.n_stored for bus in buses])
    gaps.sort(key=lambda gap: (-1 if gap.t_start_us is None else gap.t_start_us, gap.bus or 0))
    return Ledger(
        session.identity.name,
        tuple(buses),
        tuple(gaps),
        tuple(breaks),
        session.n_blocks,
        int(lost_blocks.sum()) + (end.n_blocks or 0),
        end,
        tail_ms,
        _radio(scan.meta),
    )


def _radio(meta: NDArray[Any]) -> RadioRecord | None:
    """Return what the health records with arg HEALTH_RADIO say."""
    rows = meta[(meta["kind"] == META_HEALTH) & (meta["arg"] == HEALTH_RADIO)]
    if not len(rows):
        return None
    seen = int(np.bitwise_or.reduce(np.ascontiguousarray(rows["data"]).view("<u4"), axis=None))
    names = [name for bit, name in _INTERFACES.items() if seen & bit]
    return RadioRecord(len(rows), tuple(names or ([f"interfaces {seen}"] if seen else [])))


def _reported(meta: NDArray[Any], headers: NDArray[Any]) -> NDArray[np.int64]:
    """Return the frames that gap records count exactly, int64[n_blocks, N_BUSES]."""
    reported = np.zeros((len(headers), N_BUSES), np.int64)
    rows = meta[(meta["kind"] == META_GAP) & ~np.isin(meta["arg"], GAP_AT_LEAST)]
    block = np.searchsorted(headers["seq"], rows["seq"])
    np.add.at(reported, (block, rows["bus"]), _counts(rows))
    return reported


def _counts(rows: NDArray[Any]) -> NDArray[np.int64]:
    """Return `n` of gap records."""
    return np.ascontiguousarray(rows["data"]).view("<u4")[:, 0].astype(np.int64)


def _recorded_gaps(meta: NDArray[Any]) -> list[Gap]:
    """Return the gaps that the logger itself recorded."""
    gaps = []
    stalls = meta[(meta["kind"] == META_HEALTH) & (meta["arg"] == HEALTH_WRITE_WORST)]
    for row in meta[meta["kind"] == META_GAP]:
        record = decode_meta(row)
        start_us = record.t_us - ((record.t_us - record.values["t_first"]) & 0xFFFFFFFF)
        cause = _CAUSES.get(record.arg, f"cause {record.arg}")
        detail = ""
        if cause == RING_FULL:
            after = stalls[stalls["t_us"] >= record.t_us]
            worst_ms = decode_meta(after[0]).values["worst"] if len(after) else None
            detail = f"longest write so far {worst_ms} ms" if worst_ms else ""
        exact = record.arg not in GAP_AT_LEAST
        n = record.values["n"]
        if cause == CONTROLLER and not n:
            cause, n = AWAY, None
        elif cause == IN_SOURCE and not n:
            n, exact = None, False
        gaps.append(Gap(record.bus, start_us, record.t_us, n, exact, cause, detail))
    states = meta[meta["kind"] == META_BUS]
    for bus in range(N_BUSES):
        rows = states[states["bus"] == bus]
        for i in np.flatnonzero(rows["arg"] == BUS_OFF).tolist():
            end_us = int(rows["t_us"][i + 1]) if i + 1 < len(rows) else None
            gaps.append(Gap(bus, int(rows["t_us"][i]), end_us, None, False, BUS_IS_OFF))
    return gaps


def _breaks(
    headers: NDArray[Any],
    bus: int,
    missing: NDArray[np.int64],
    unreported: NDArray[np.int64],
    has_before: NDArray[np.bool_],
) -> list[str]:
    """Return a line for each block that contradicts its predecessor."""
    wrong = np.where(
        has_before, (missing < 0) | (unreported < 0), (missing != 0) | (unreported != 0)
    )
    lines = []
    for i in np.flatnonzero(wrong).tolist():
        seq = int(headers["seq"][i])
        if missing[i]:
            frames = "frame" if abs(missing[i]) == 1 else "frames"
            lines.append(
                f"block {seq:,}: bus {bus} counts {missing[i]:+,} {frames} more than it holds"
            )
        if unreported[i]:
            lines.append(f"block {seq:,}: bus {bus} counts {unreported[i]:+,} unreported drops")
    return lines


def _count_of_blocks(session: Session, gaps: list[Gap]) -> list[str]:
    """Return a line if the END record counts other blocks than the numbers of the session.

    Discarded blocks have numbers, too: with such a gap the two may differ.
    """
    if not (session.has_first and session.has_last) or any(gap.cause == CARD for gap in gaps):
        return []
    last, n_numbers = session.last_seq, session.last_seq - session.first_seq + 1
    counts = [record.values["n_blocks"] for record in session.decoded_meta(META_END)]
    return [
        f"block {last:,}: the END record counts {n:,} blocks, their numbers {n_numbers:,}"
        for n in counts
        if n != n_numbers
    ]


def _gaps_between(
    session: Session,
    bus: int,
    missing: NDArray[np.int64],
    unreported: NDArray[np.int64],
    has_before: NDArray[np.bool_],
) -> list[Gap]:
    """Return the gaps that counters show, in front of blocks whose predecessors are not here.

    The last block of a session that was stopped counts what was discarded since the one before it.
    """
    gaps = []
    for i in np.flatnonzero(has_before).tolist():
        start_us = int(session.scan.t_last_us[i - 1]) if i else None
        end_us = int(session.scan.t_first_us[i])
        cause, detail = _why_missing(session, i)
        if missing[i] > 0 or (bus == 0 and cause != CARD):
            gaps.append(Gap(bus, start_us, end_us, max(0, int(missing[i])), True, cause, detail))
        if unreported[i] > 0:
            detail = "known by a counter only"
            gaps.append(Gap(bus, start_us, end_us, int(unreported[i]), True, RING_FULL, detail))
    return gaps


def _why_missing(session: Session, i: int) -> tuple[str, str]:
    """Return (cause, detail) of frames that block `i` counts and that are in no block here."""
    seq = session.headers["seq"]
    if i == 0 and not session.has_first:
        return HEAD, f"the blocks before number {seq[0]:,} are not here"
    first = int(seq[i - 1]) + 1 if i else int(seq[0])
    last = int(seq[i]) - 1
    if first == last:
        return BLOCK, f"block {first:,} damaged or missing"
    if first < last:
        return BLOCK, f"blocks {first:,} to {last:,} damaged or missing"
    return CARD, "the card was full when the session was stopped"


def _uncounted(session: Session, bus: int, n_at_least: int) -> list[Gap]:
    """Return [the gap of overflows that no gap record reports]."""
    meta = session.meta
    rows = meta[(meta["kind"] == META_GAP) & np.isin(meta["arg"], GAP_AT_LEAST)]
    n = n_at_least - int(_counts(rows[rows["bus"] == bus]).sum())
    if n <= 0:
        return []
    detail = "known by a counter only"
    return [Gap(bus, session.t_first_us, session.t_last_us, n, False, CONTROLLER, detail)]


def _flush_ms(meta: NDArray[Any]) -> int | None:
    rows = meta[meta["kind"] == META_SESSION]
    return decode_meta(rows[0]).values["flush_ms"] if len(rows) else None


def _at_end(
    session: Session,
    end: End,
    damaged: Sequence[BadBlock],
    tail_ms: int | None,
    n_stored: list[int],
) -> list[Gap]:
    """Return the gaps at the end of a session."""
    t_us = session.t_last_us
    if end.kind == CUT:
        what = "block" if end.n_blocks == 1 else "blocks"
        detail = f"{end.n_blocks:,} {what} behind the last one, says {end.witness}"
        if end.n_stored is None:
            return [Gap(None, t_us, None, None, False, BLOCK, detail)]
        here = [int(session.headers[f"stored{bus}"][-1]) for bus in range(N_BUSES)]
        missing = [n - held for n, held in zip(n_stored, here, strict=True)]
        rows = ((bus, n) for bus, n in enumerate(missing) if n or not bus)
        return [Gap(bus, t_us, None, n, True, BLOCK, detail) for bus, n in rows]
    if end.kind == OPEN:
        return [Gap(None, t_us, None, None, False, OPEN_END, end.why)]
    return [] if end.kind == STOPPED else [_power_cut(session, damaged, tail_ms)]


def _power_cut(session: Session, damaged: Sequence[BadBlock], tail_ms: int | None) -> Gap:
    """Return the gap at the end of a session that was not stopped; a cut tears one block."""
    offsets = {bad.offset for bad in damaged}
    after = int(session.offsets[-1]) + BLOCK_BYTES
    n_torn = 0
    while after + n_torn * BLOCK_BYTES in offsets:
        n_torn += 1
    if n_torn > 1:
        detail = f"{n_torn} damaged places behind the last block"
        return Gap(None, session.t_last_us, None, None, False, BLOCK, detail)
    flush = "the time a block is kept open" if tail_ms is None else f"{tail_ms} ms"
    detail = f"at most {flush} and the block being written are not here"
    return Gap(None, session.t_last_us, None, None, False, POWER_CUT, detail)


def on_clock(gap: Gap, timeline: Timeline) -> Gap:
    """Return a gap with its times from the epoch."""
    start_us, end_us = (
        None if t_us is None else timeline.to_unix_us(t_us)
        for t_us in (gap.t_start_us, gap.t_end_us)
    )
    return replace(gap, t_start_us=start_us, t_end_us=end_us)


def describe(gap: Gap, timeline: Timeline | None = None) -> str:
    """Return a gap in words: when, which bus, how many, for how long, why."""
    words = [clock_of(gap, timeline)]
    if gap.cause == POWER_CUT:
        return f"{words[0]}: ended without a stop (power off): {gap.detail}"
    if gap.cause == OPEN_END:
        why = f": {gap.detail}" if gap.detail else ""
        return f"{words[0]}: nothing says that the session ended here{why}"
    words.append("all buses:" if gap.bus is None else f"bus {gap.bus}:")
    words.append(_how_many(gap))
    if gap.t_start_us is not None and gap.t_end_us is not None:
        words.append(f"in {_milliseconds(gap.t_end_us - gap.t_start_us)}")
    why = {
        RING_FULL: "dropped, counted exactly: the ring was full because the card was too slow",
        CONTROLLER: "lost in the controller, whose receive buffers overflowed",
        AWAY: "may be lost: the controller did not answer, or was reset",
        CARD: "discarded, counted exactly:",
        BLOCK: "missing:",
        HEAD: "missing at the start:",
        BUS_IS_OFF: "may be lost: the controller was bus-off",
        IN_SOURCE: "not in the log that this file was made of",
    }.get(gap.cause, f"lost: {gap.cause}")
    words.append(why)
    if gap.detail:
        words.append(gap.detail if why.endswith(":") else f"({gap.detail})")
    return " ".join(words)


def _how_many(gap: Gap) -> str:
    if gap.n is None:
        return "frames"
    frames = "frame" if gap.n == 1 else "frames"
    return f"{gap.n:,} {frames}" if gap.exact else f"{gap.n:,} or more {frames}"


def _milliseconds(duration_us: int) -> str:
    if duration_us < 1000:
        return f"{duration_us} us"
    return f"{duration_us / 1000:,.0f} ms" if duration_us < 1e7 else f"{duration_us / 1e6:,.1f} s"


def clock_of(gap: Gap, timeline: Timeline | None = None) -> str:
    """Return the moment at which a gap starts, or ends where no start is known, in words."""
    t_us = gap.t_end_us if gap.t_start_us is None else gap.t_start_us
    if t_us is None:
        return "at an unknown time"
    if timeline is None:
        return f"{t_us / 1e6:.3f} s after power-on"
    seconds, us = divmod(timeline.to_unix_us(t_us), 1_000_000)
    minutes, second = divmod(seconds % 86400, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}.{us // 1000:03d}"
