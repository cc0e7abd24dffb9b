"""What python-can does not check in ASC lines: whether a line contradicts itself, and the start of
the measurement.

    0.002500 1  123  Rx   d 2 01 02 ...            t, channel, identifier, direction, DLC, data
    0.002500 CANFD 1 Rx 123 [name] 1 0 9 12 00 .. 0B <duration> <length> <flags> ...
                                    BRS, ESI, DLC, number of bytes; bit 12 of the flags: CAN FD

Raises nothing.
"""

import datetime
import re
from typing import TYPE_CHECKING

from stagelog.model import FD_LENGTHS

if TYPE_CHECKING:
    import can

_FLAG_RTR, _FLAG_FD = 0x10, 0x1000
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_GERMAN = {"m\xe4r": "mar", "mrz": "mar", "mai": "may", "okt": "oct", "dez": "dec"}
_DATE = re.compile(
    r"(?:\w{2,3}\.?\s+)?(\w{3})\.?\s+(\d{1,2})\s+(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?"
    r"(?:\s+([ap]m))?\s+(\d{4})\s*",
    re.IGNORECASE,
)
_BYTE = {"hex": re.compile(r"[0-9A-Fa-f]{1,2}"), "dec": re.compile(r"\d{1,3}")}


def date_us(text: str) -> int | None:
    """Return the microseconds from the epoch of `Sat Sep 30 15:06:13.191 2017`, None if the text
    is no date. The recorder's time zone stands nowhere: read as UTC.
    """
    found = _DATE.fullmatch(text.strip())
    if not found:
        return None
    name, day, hours, minute, second, part, half, year = found.groups()
    name = _GERMAN.get(name.lower(), name.lower())
    hour = int(hours)
    if name not in _MONTHS or (half and not 1 <= hour <= 12):
        return None
    if half:
        hour = hour % 12 + 12 * (half.lower() == "pm")
    try:
        date = datetime.datetime(
            int(year),
            _MONTHS.index(name) + 1,
            int(day),
            hour,
            int(minute),
            int(second),
            tzinfo=datetime.UTC,
        )
    except ValueError:
        return None
    return int(date.timestamp()) * 1_000_000 + int((part or "0").ljust(6, "0"))


def fits(message: "can.Message", line: str, base: str = "hex") -> bool:
    """Return whether a message agrees with its line; correct what python-can reads wrongly."""
    if message.is_error_frame:
        return True
    words = line.split()
    if message.is_fd:
        return _fits_fd(message, words, 10 if base == "dec" else 16)
    if message.is_remote_frame:
        return True
    n = min(message.dlc, 8)
    behind = words[6 + n :]
    return len(message.data) == n and not (behind and _BYTE[base].fullmatch(behind[0]))


def _fits_fd(message: "can.Message", words: list[str], number_base: int) -> bool:
    at = 5 if words[5].isdigit() else 6  # a symbolic name may stand behind the identifier
    dlc, n = int(words[at + 2], number_base), int(words[at + 3])
    behind = words[at + 4 :]
    flags: int | None
    try:
        flags = int(behind[n + 2], 16)
    except (IndexError, ValueError):
        flags = None
    if n == 0 and (dlc == 0 or (flags is not None and not flags & _FLAG_RTR)):
        message.is_remote_frame = False  # python-can reads every empty frame as one
    if message.is_remote_frame:
        return True
    if flags is not None and not flags & _FLAG_FD and n <= 8:
        message.is_fd = False  # a classic frame on a channel for CAN FD
        message.dlc = n
        return len(message.data) == n == min(dlc, 8)
    return dlc < 16 and len(message.data) == n == FD_LENGTHS[dlc]
