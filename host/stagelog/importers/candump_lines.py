"""Reads the candump lines that the column reader leaves: rare shapes, comments, and lines without
a frame.

Owns the single-line grammar: other interface names, binary and byte-swapped tables, separators,
raw DLC suffixes, dates. A line that fits nothing is damage with its number.
"""

import datetime
import re
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stagelog.model import BRS, ERR, ESI, EXT, FD, FD_LENGTHS, RTR

if TYPE_CHECKING:
    from stagelog.importers.candump_rows import CandumpLines
    from stagelog.importers.columns import Rows
    from stagelog.importers.diagnostics import Diagnostics
    from stagelog.importers.stream import BusNames

Payload: TypeAlias = tuple[int, int, bytes]  # flags, dlc, data

_COLOURS = re.compile(rb"\x1b\[[0-9;]{0,16}m")
_LOG = re.compile(
    rb"\s*(?:\(([^()]{1,32})\)\s+)?([^\s(]\S{0,63})\s+([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#(\S{0,260})"
    rb"(?:\s+[RTrt])?\s*"
)
_TABLE = re.compile(
    rb"\s*(?:\(([^()]{1,32})\)\s+)?([^\s(]\S{0,63})\s+(?:[TR]X\s+\S\s+\S\s+)?"
    rb"([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})\s+(?:\[(\d{1,2})\]|\{([0-9A-Fa-f])\})\s*(.{0,600})"
)
_SECONDS = re.compile(rb"\d{1,12}\.\d{1,9}")
_SHORTEST = 6  # `a 123#`
_DROPS = re.compile(rb"DROPCOUNT: dropped (\d{1,12}) CAN frame")


def without_colours(block: bytes) -> bytes:
    """Return the text without terminal colour codes."""
    return _COLOURS.sub(b"", block)


def looks_like_frame(line: bytes) -> bool:
    """Return whether a line of any text is a candump line."""
    line = without_colours(line)
    return bool(_DROPS.match(line)) or _read_line(line) is not None


def read_rest(
    lines: "CandumpLines", first_line: int, buses: "BusNames", diagnostics: "Diagnostics"
) -> None:
    """Read every line not yet read: fill its row, or count its damage."""
    left = np.flatnonzero(~lines.ok)
    too_short = lines.ends[left] - lines.starts[left] < _SHORTEST
    _count_short(lines, left[too_short], first_line, diagnostics)
    for row in left[~too_short].tolist():
        text = lines.line(row)
        stripped = text.strip()
        if not stripped or stripped[:1] in b"#;" or stripped[:2] == b"//" or text[:1] == b"\t":
            diagnostics.n_other += 1
            continue
        line = first_line + int(lines.number[row])
        frame = _read_line(text) if len(text) <= 1024 else None
        if frame is None:
            _count(stripped, line, diagnostics)
            continue
        t_us, name, can_id, flags, dlc, data = frame
        bus = buses.index(name)
        if bus is None:
            diagnostics.add("too many interfaces", f"line {line}", name)
            continue
        lines.ok[row] = True
        lines.timed[row] = t_us is not None
        lines.t_us[row] = t_us or 0
        lines.can_id[row], lines.flags[row], lines.bus[row] = can_id, flags, bus
        lines.n_bytes[row], lines.dlc[row] = len(data), dlc
        lines.data[row] = int.from_bytes(data[:8], "little")
        if len(data) > 8:
            lines.data_fd[row] = np.frombuffer(data.ljust(64, b"\0"), np.uint8)


def _count_short(
    lines: "CandumpLines", rows: "Rows", first_line: int, diagnostics: "Diagnostics"
) -> None:
    """Count lines that are too short for a frame, without a step per line."""
    first = lines.text[lines.starts[rows]]
    comment = np.isin(first, (9, 32, 35, 47, 59))
    diagnostics.n_other += int(np.count_nonzero(comment))
    junk = rows[~comment]
    if len(junk):
        place = f"line {first_line + int(lines.number[junk[0]])}"
        text = lines.line(junk[0])
        detail = "" if len(junk) == 1 else f", and {len(junk) - 1} more short lines below it"
        diagnostics.add("not a frame", place, text.decode("ascii", "replace") + detail, len(junk))


def _count(text: bytes, line: int, diagnostics: "Diagnostics") -> None:
    drops = _DROPS.match(text)
    if drops:
        diagnostics.n_dropped += int(drops[1])
        diagnostics.note("the recorder reports lost frames (DROPCOUNT)")
        return
    diagnostics.add("not a frame", f"line {line}", text[:60].decode("ascii", "replace"))


def _read_line(text: bytes) -> tuple[int | None, str, int, int, int, bytes] | None:
    """Return (t_us or None, interface, can_id, flags, dlc, data), or None if the line is no
    frame.
    """
    match = _LOG.fullmatch(text)
    if match:
        payload = _log_payload(match[4])
    else:
        match = _TABLE.fullmatch(text)
        if not match:
            return None
        payload = _table_payload(match[4], match[5], match[6])
    t_us = _time_of(match[1]) if match[1] else None
    number = int(match[3], 16)
    if payload is None or (match[1] and t_us is None) or number > 0x3FFFFFFF:
        return None
    flags, dlc, data = payload
    if len(match[3]) > 3:
        flags |= ERR if number & 0x20000000 else EXT
    elif number > 0x7FF:
        return None
    return t_us, match[2].decode("ascii", "replace"), number & 0x1FFFFFFF, flags, dlc, data


def _time_of(text: bytes) -> int | None:
    """Return microseconds of `seconds.fraction` or of a date (read as UTC: candump writes local
    time without a zone).
    """
    if _SECONDS.fullmatch(text):
        whole, part = text.split(b".")
        return int(whole) * 1_000_000 + int(part[:6].ljust(6, b"0"))
    try:
        date = datetime.datetime.fromisoformat(text.decode("ascii")).replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
    return round(
        (date - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
        / datetime.timedelta(microseconds=1)
    )


def _log_payload(text: bytes) -> Payload | None:
    """Return (flags, dlc, data) of what stands behind the `#`, or None."""
    flags = 0
    limit = 8
    if text[:1] == b"#":
        digit = _hex(b"0" + text[1:2]) if len(text) > 1 else None
        if not digit:
            return None
        flags = FD | (BRS if digit[0] & 1 else 0) | (ESI if digit[0] & 2 else 0)
        text, limit = text[2:], 64
    elif text[:1] in (b"R", b"r"):
        digit = text[1:2]
        if (digit and not digit.isdigit()) or len(text) > 2 or digit == b"9":
            return None
        return RTR, int(digit or b"0"), b""
    text, _, raw_dlc = text.partition(b"_")
    data = _hex(text.replace(b".", b""))
    if data is None or len(data) > limit:
        return None
    if raw_dlc:
        digit = _hex(raw_dlc.rjust(2, b"0"))
        return (flags, digit[0], data) if digit and len(data) == 8 and 8 < digit[0] < 16 else None
    return flags, int(np.searchsorted(FD_LENGTHS, len(data))), data


def _table_payload(length: bytes | None, raw_dlc: bytes | None, text: bytes) -> Payload | None:
    """Return (flags, dlc, data) of what stands behind `[8]` or `{F}`, or None."""
    if raw_dlc:
        dlc = int(raw_dlc, 16)
        n = min(dlc, 8)
    elif length:
        n = int(length)
        dlc = int(np.searchsorted(FD_LENGTHS, n))
    else:
        return None
    flags = FD if length and len(length) == 2 else 0
    if n > (64 if flags else 8):
        return None
    if text[:14] == b"remote request":
        return flags | RTR, dlc, b""
    swapped = text[2:3] == b"`" or text[8:9] == b"`"
    text, _, _ = text.partition(b"'")  # the text of `candump -a`
    tokens = text.replace(b"`", b" ").split() if swapped else text.split()
    if len(tokens) != n:
        return None
    data: bytes | None
    if n and all(len(t) == 8 and not t.strip(b"01") for t in tokens):
        data = bytes(int(t, 2) for t in tokens)
    elif all(len(t) == 2 for t in tokens):
        data = _hex(b"".join(tokens))
    else:
        return None
    if data is None:
        return None
    return flags, dlc, data[::-1] if swapped else data


def _hex(text: bytes) -> bytes | None:
    try:
        return (
            bytes.fromhex(text.decode("ascii"))
            if not text.strip(b"0123456789abcdefABCDEF")
            else None
        )
    except ValueError:
        return None
