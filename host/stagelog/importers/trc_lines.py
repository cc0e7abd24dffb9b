"""What python-can does not check in TRC lines: whether a line contradicts itself.

    1.1    1)  2.5  Rx  0251  8  40 00 ..          number, ms, type, identifier, length, data
    2.1    1   2.500 DT 1 0251 Rx - 8 40 00 ..     the columns are named in the header

Eleven bits have four digits (older python-can: also fewer than eight for 29 bits); buses count
from 1. Source: PEAK's description of the format. Raises nothing.
"""

from typing import TYPE_CHECKING

from stagelog.model import FD_LENGTHS

if TYPE_CHECKING:
    import can

_LENGTH_AT = {101: 4, 103: 6}  # index of the length, by version; 1.0: 3


def fits(message: "can.Message", line: str, reader: "can.TRCReader") -> bool:
    """Return whether a message agrees with its line."""
    if message.is_remote_frame:
        return True
    if reader.columns:
        return message.dlc < 16 and len(message.data) == FD_LENGTHS[message.dlc]
    at = _LENGTH_AT.get(reader.file_version.value, 3)
    return message.dlc <= 8 and len(line.split()) == at + 1 + message.dlc
