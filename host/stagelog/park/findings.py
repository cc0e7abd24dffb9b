"""Is a logger cleared to start? Findings from what it says: green, amber or red, and what to do.

Values in, Findings out; nothing is asked of a logger here, so that every limit is tested by hand.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from slog.faults import TEXT
from slog.layout import BLOCK_BYTES, BUS_SILENT, RECORDS_PER_BLOCK
from slog.messages import STATE_RECORDING, STATE_TEXT
from stagelog.counts import count_text
from stagelog.park.unit import BAD, GOOD, WARN
from stagelog.replies import Status

MOST_CLOCK_US = 1_000_000  # between the clock of the log and this laptop
SPARE_HOURS = 1.5  # of the stage's hours, below which the card is amber
_FEW_HOURS = 10.0  # where the stage does not say its hours
_RING_SHARE = 0.5  # of the memory that a stall may have filled
ENOUGH_WRITES = 240  # of blocks, a minute at the slowest: cards stall once in some hundred
_SHOWN = 6  # names in one line
_WORST_FIRST = (BAD, WARN, GOOD)


class Finding(NamedTuple):
    """One line of a check: GOOD, WARN or BAD, what was checked, what was found, what to do."""

    level: str
    topic: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.topic}: {self.text}" + (f" -> {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, slots=True)
class Heard:
    """What the logger passed on of its buses in `listened_s`.

    n_frames  of each bus
    missing, late, unknown   messages or identifiers; late is empty if blocks were skipped
    """

    listened_s: float
    n_frames: Mapping[int, int]
    missing: Sequence[str] = ()
    late: Sequence[str] = ()
    unknown: Sequence[str] = ()
    n_skipped: int = 0

    @property
    def rate_Hz(self) -> float:
        """Return the frames per second of all buses together."""
        return sum(self.n_frames.values()) / self.listened_s if self.listened_s else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {**asdict(self), "n_frames": dict(self.n_frames)}


class Writes(NamedTuple):
    """What sessions have shown of their card: how many blocks were written, the longest in ms."""

    n_blocks: int
    worst_ms: int


def worst_level(findings: Sequence[Finding]) -> str:
    """Return the worst level of some findings."""
    return min((f.level for f in findings), key=_WORST_FIRST.index, default=GOOD)


def of_recording(status: Status) -> Iterator[Finding]:
    """Is it recording, and what does the logger itself complain of?"""
    state = STATE_TEXT.get(status.state, f"state {status.state}")
    if status.state != STATE_RECORDING:
        remedy = "see the fault below" if status.fault else "unplug it and plug it in"
        yield Finding(BAD, "recording", f"it does not record: {state}", remedy)
    else:
        yield Finding(GOOD, "recording", "it records")
    if status.fault:
        yield Finding(BAD, "fault", TEXT.get(status.fault, f"fault {status.fault}"))


def of_buses(status: Status) -> Iterator[Finding]:
    """Is each bus alive, are its error counters at zero, was nothing lost?"""
    for number, bus in enumerate(status.buses):
        topic = f"bus {number}"
        if bus.state == BUS_SILENT:
            yield Finding(BAD, topic, "silent", "switch the ignition on; else see its wires")
        elif bus.tec or bus.rec:
            text = f"error counters {bus.tec} (transmit) and {bus.rec} (receive)"
            yield Finding(WARN, topic, text, "bit rate, termination, wires")
        else:
            yield Finding(
                GOOD, topic, f"alive, {count_text(bus.stored, 'frame')} stored, no errors"
            )
        if bus.dropped or bus.at_least:
            text = f"{count_text(bus.dropped, 'frame')} dropped, "
            text += f"{bus.at_least:,} or more lost in hardware"
            yield Finding(WARN, topic, f"{text} in this session", "see how long the card stalls")
        if bus.doubts:
            text = f"{bus.doubts:,} answers of its controller that cannot be right"
            yield Finding(WARN, topic, text, "shorten or shield the controller's wires")


def of_heard(heard: Heard) -> Iterator[Finding]:
    """Do the expected identifiers come, at their rates, and no others?"""
    for number, n in sorted(heard.n_frames.items()):
        rate = n / heard.listened_s if heard.listened_s else 0.0
        level = GOOD if n else BAD
        yield Finding(level, f"bus {number}", f"{rate:,.0f} frames/s")
    if heard.missing:
        yield Finding(
            BAD, "messages", f"missing: {names(heard.missing)}", "its sender, or the DBC"
        )
    if heard.late:
        yield Finding(WARN, "messages", f"late: {names(heard.late)}", "its sender, or the DBC")
    if heard.unknown:
        text = f"not in the DBC: {names(heard.unknown)}"
        yield Finding(WARN, "messages", text, "another DBC, or a device that does not belong")
    if heard.n_skipped:
        text = f"the cable was too slow for {heard.n_skipped:,} blocks: rates are not judged"
        yield Finding(WARN, "messages", text)
    if not heard.listened_s:
        text = "not listened to: messages and their rates are not judged"
        yield Finding(WARN, "messages", text, "check again with --listen-s 3")
    elif not any(heard.n_frames.values()):
        return  # the buses' own findings say so
    elif not (heard.missing or heard.late or heard.unknown or heard.n_skipped):
        yield Finding(GOOD, "messages", "all come, at their rates")


def of_clock(off_us: int | None) -> Iterator[Finding]:
    """Is the wall clock of the log the laptop's?"""
    if off_us is None:
        yield Finding(GOOD, "clock", "set now")
    elif abs(off_us) > MOST_CLOCK_US:
        text = f"the log's clock and this laptop's are {off_us / 1e6:+,.1f} s apart"
        yield Finding(BAD, "clock", text, "see which laptop is wrong, then check again")
    else:
        yield Finding(GOOD, "clock", f"within {abs(off_us) / 1e3:,.0f} ms of this laptop")


def hours_left(status: Status, rate_Hz: float, flush_ms: int) -> float:
    """Return the hours that the card still takes at a rate: full blocks, at least one in
    `flush_ms`.
    """
    blocks_s = max(rate_Hz / RECORDS_PER_BLOCK, 1000 / flush_ms)
    return status.blocks_free / blocks_s / 3600


def of_card(
    status: Status, rate_Hz: float, flush_ms: int, hours: float | None
) -> Iterator[Finding]:
    """Does the card last for the stage, is it worn?"""
    left = hours_left(status, rate_Hz, flush_ms)
    needed = _FEW_HOURS if hours is None else hours
    text = f"{left:,.1f} h left at this rate"
    text += "" if hours is None else f", the stage needs {hours:g}"
    if left < needed:
        level = BAD if hours is not None else WARN
        yield Finding(level, "card", text, "'stagelog sync', or another card")
    elif hours is not None and left < SPARE_HOURS * hours:
        yield Finding(WARN, "card", text, "'stagelog sync' makes room")
    else:
        yield Finding(GOOD, "card", text)
    worn = (
        (status.slots_skipped, "place", "skipped"),
        (status.verify_errors, "block", "read back wrong"),
        (status.write_errors, "write", "failed"),
    )
    found = [f"{count_text(n, noun)} {how}" for n, noun, how in worn if n]
    if found:
        yield Finding(WARN, "wear", ", ".join(found), "another card before the next stage")


def of_stall(
    status: Status, rate_Hz: float, flush_ms: int, before: Writes | None = None
) -> Iterator[Finding]:
    """Does the card stall? Judged by all that was written to it since power-on, and by the
    sessions `before` if that was little.
    """
    block_ms = min(flush_ms, 1000 * RECORDS_PER_BLOCK / rate_Hz if rate_Hz else flush_ms)
    room_ms = status.ring_blocks * block_ms
    worst_ms = max(status.write_worst_ms, before.worst_ms if before else 0)
    n_blocks = status.blocks_written + (before.n_blocks if before else 0)
    text = f"longest of {n_blocks:,} writes {worst_ms:,} ms, memory lasts {room_ms:,.0f} ms"
    is_full = status.ring_worst > _RING_SHARE * status.ring_blocks
    if is_full or worst_ms > _RING_SHARE * room_ms:
        yield Finding(WARN, "stall", text, "another card before the next stage")
    elif n_blocks < ENOUGH_WRITES:
        left_s = (ENOUGH_WRITES - n_blocks) * block_ms / 1000
        text += ": too few to know the card"
        yield Finding(WARN, "stall", text, f"let it record for {left_s:.0f} s, then check again")
    else:
        yield Finding(GOOD, "stall", text)


def of_sessions(n_open: int, n_bytes: int, strangers: Sequence[str]) -> Iterator[Finding]:
    """Is everything on the card in the archive, and is the card this logger's?"""
    if strangers:
        text = f"it was written by another logger, too: {names(strangers)}"
        yield Finding(BAD, "card", text, "put that card back, or 'stagelog card read' it")
    if n_open:
        what = count_text(n_open, "session")
        are = "is" if n_open == 1 else "are"
        text = f"{what}, {n_bytes / 1e6:,.1f} MB, {are} not in the archive"
        yield Finding(WARN, "sessions", text, "'stagelog sync'")
    else:
        yield Finding(GOOD, "sessions", "all closed ones are in the archive")


def of_item(name: str, found: str, wanted: str, remedy: str = "") -> Iterator[Finding]:
    """Is an item (settings, signal table, firmware, car) the one of the fleet file?"""
    if found == wanted:
        yield Finding(GOOD, name, f"{found}, as wanted")
        return
    remedy = remedy or "'stagelog provision'"
    yield Finding(BAD, name, f"it has {found or 'none'}, wanted is {wanted}", remedy)


def of_firmware(found: bytes, wanted: str | None) -> Iterator[Finding]:
    """Is the program that runs the one of the fleet file? `found` is its SHA-256, b"" of a logger
    that does not report it; `wanted` 64 hex digits, None for any.
    """
    if wanted is None:
        return
    if not found:
        text = f"its SHA-256 is not known, wanted is {wanted[:16]}"
        yield Finding(WARN, "firmware", text, "an older firmware: 'stagelog flash'")
        return
    yield from of_item("firmware", found.hex()[:16], wanted[:16], "'stagelog flash'")


def of_car(found: str, wanted: str) -> Iterator[Finding]:
    """Is the logger the one of this car? A new one has no car yet."""
    return of_item("car", found, wanted, "the wrong car's logger: swap it" if found else "")


def names(found: Sequence[str]) -> str:
    """Return the first few names of a list, and how many more there are."""
    more = len(found) - _SHOWN
    return ", ".join(found[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def bytes_of(n_blocks: int) -> int:
    """Return the bytes of some blocks."""
    return n_blocks * BLOCK_BYTES
