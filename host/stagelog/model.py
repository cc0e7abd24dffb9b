"""The nouns of the host: the frame table and what may be missing from it.

A frame table is a NumPy structured array; nothing here or above it handles single frames in
Python.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FrameTable: TypeAlias = NDArray[Any]  # a structured array of FRAME or FRAME_FD

EXT = 1  # 29-bit identifier
RTR = 2  # remote request, no payload
FD = 4  # CAN FD frame
BRS = 8  # FD with bit rate switch
ESI = 16  # FD sender was error passive
ERR = 32  # an error frame seen by the importer's source; never a data frame
SUSPECT = 64  # received right after a bus error by a controller known to mangle such frames

EARLIEST_US = 631_152_000_000_000  # 1990: a smaller time is not one of the wall clock

FD_LENGTHS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64], np.uint8)


def frame_dtype(width: int = 8) -> np.dtype[Any]:
    """Return the dtype of one frame with room for `width` payload bytes (8, or 64 for CAN FD).

    | column  | type         | meaning |
    |---------|--------------|---------|
    | t_us    | int64        | microseconds since boot (imported: since the epoch), end of frame |
    | can_id  | uint32       | 11 or 29 bits, no flag bits |
    | bus     | uint8        | the controller's index |
    | flags   | uint8        | EXT, RTR, FD, BRS, ESI, ERR, SUSPECT, added up |
    | dlc     | uint8        | the code on the wire, 0 to 15 |
    | n_bytes | uint8        | payload length |
    | data    | uint8[width] | zero beyond n_bytes |
    """
    return np.dtype(
        [
            ("t_us", "<i8"),
            ("can_id", "<u4"),
            ("bus", "u1"),
            ("flags", "u1"),
            ("dlc", "u1"),
            ("n_bytes", "u1"),
            ("data", "u1", (width,)),
        ]
    )


FRAME = frame_dtype(8)
FRAME_FD = frame_dtype(64)
