"""The lines of ASC as python-can's writer writes them, many at a time.

     0.002500 1  123             Rx   d 8 01 02 03 04 05 06 07 08
     0.002600 1  18FEF100x       Rx   r 8
     0.002700 1  ErrorFrame
     0.002800 CANFD   1 Rx        123  ... 1 0 9 12 00 01 ...

What stands between the time and the data is the same for all frames of an identifier, bus, length
and kind: it is made once. Byte for byte what can.ASCWriter makes of the same frames, but for times
that a float does not hold. Knows no header.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.model import BRS, ERR, ESI, EXT, FD, RTR, FrameTable

_HEAD = ("can_id", "bus", "flags", "dlc", "n_bytes")
_TAIL = " " + " ".join(f"{0:>8}" for _ in range(5))  # CRC and bit timings, not known


def asc_text(frames: FrameTable, start_us: int) -> str:
    """Return the lines of a frame table; times count from `start_us`, buses from 1."""
    heads, tails, which = _around_data(frames)
    seconds, micros = np.divmod(frames["t_us"] - start_us, 1_000_000)
    width = 3 * frames["data"].shape[1]
    digits = np.ascontiguousarray(frames["data"]).tobytes().hex(" ").upper() + " "
    n_shown = np.where(frames["flags"] & (RTR | ERR), 0, frames["n_bytes"]).astype(np.int64)
    begins = np.arange(len(frames)) * width
    ends = begins + np.maximum(3 * n_shown - 1, 0)
    rows = zip(
        *(a.tolist() for a in (seconds, micros, which, begins, ends)),
        strict=True,
    )
    if not any(tails):
        return "".join([f" {s}.{us:06d} {heads[k]}{digits[a:b]}\n" for s, us, k, a, b in rows])
    return "".join(
        [f" {s}.{us:06d} {heads[k]}{digits[a:b]}{tails[k]}\n" for s, us, k, a, b in rows]
    )


def _around_data(frames: FrameTable) -> tuple[list[str], list[str], NDArray[Any]]:
    """Return (texts before the data, texts after it, which of them each frame has)."""
    key = np.zeros(len(frames), np.uint64)
    for name, n_bits in zip(_HEAD, (29, 8, 8, 4, 7), strict=True):
        key = key << np.uint64(n_bits) | frames[name].astype(np.uint64) & np.uint64(
            (1 << n_bits) - 1
        )
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    pairs = [_texts(*row) for row in frames[list(_HEAD)][first].tolist()]
    return [head for head, _ in pairs], [tail for _, tail in pairs], which


def _texts(can_id: int, bus: int, flags: int, dlc: int, n_bytes: int) -> tuple[str, str]:
    name, channel = f"{can_id:X}" + "x" * bool(flags & EXT), bus + 1
    if flags & ERR:
        return f"{channel}  ErrorFrame", ""
    if flags & RTR:
        return f"{channel}  {name:<15} Rx   r {min(dlc, 8):x} ", ""
    if not flags & FD:
        return f"{channel}  {name:<15} Rx   d {min(dlc, 8):x} ", ""
    brs, esi = bool(flags & BRS), bool(flags & ESI)
    head = f"CANFD {channel:>3} Rx   {name:>8}  {'':>32} {brs:d} {esi:d} {dlc:x} {n_bytes:>2} "
    shown = 1 << 12 | brs << 13 | esi << 14
    return head, f" {0:>8} {0:>4} {shown:>8X}{_TAIL}"
