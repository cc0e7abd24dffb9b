"""Which frames are played, and when each is due.

Owns the selection (window, identifiers, buses), the time scale, and loops. Columns only; nothing
is sent here. Raises UsageError for a selection that makes no sense or leaves nothing.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import UsageError
from stagelog.model import ERR, EXT, FrameTable

NEW_START_US = 1_000_000  # a step back in time by more than this is another recording
_ID = re.compile(r"(?:0x)?([0-9A-F]{1,8})", re.I)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Frames with the time at which each is due.

    frames   FRAME or FRAME_FD, n >= 1 rows in the order of sending
    due_ns   int64[n], never falling, 0 for the first
    n_loops  how often all is played, 0 for ever
    loop_ns  time from the start of one pass to the start of the next
    n_errors error frames of the log that were left out: they cannot be sent
    """

    frames: FrameTable
    due_ns: NDArray[np.int64]
    n_loops: int
    loop_ns: int
    n_errors: int

    @property
    def n_frames(self) -> int | None:
        """Return how many frames are to be sent in all; None for an endless loop."""
        return len(self.frames) * self.n_loops or None


def make_schedule(
    frames: FrameTable,
    *,
    speed: float = 1.0,
    start_s: float | None = None,
    stop_s: float | None = None,
    ids: Collection[str] = (),
    buses: Collection[int] = (),
    max_gap_s: float | None = None,
    n_loops: int = 1,
) -> Schedule:
    """Return the Schedule of a frame table.

    speed          2 plays twice as fast
    start_s, stop_s   window, in seconds of the log after its first frame
    ids            "1A0", "100-1FF"; hexadecimal, more than three digits mean 29-bit identifiers
    buses          bus numbers
    max_gap_s      a longer pause of the log lasts this long
    """
    if not 0 < speed < 1e6 or n_loops < 0 or (max_gap_s is not None and max_gap_s < 0):
        raise UsageError(
            f"speed {speed:g}, {n_loops} loops, longest gap {max_gap_s} s",
            "give a speed above 0 and no negative number",
        )
    t_us = _rising(frames["t_us"])
    chosen = _chosen(frames, t_us, start_s, stop_s, ids, buses)
    is_error = frames["flags"] & ERR != 0
    n_errors = int((chosen & is_error).sum())
    rows = np.flatnonzero(chosen & ~is_error)
    if not len(rows):
        raise UsageError("no frame is left to play", "widen the window or the identifiers")
    gaps_ns = np.diff(t_us[rows], prepend=t_us[rows[0]]) * 1000
    if max_gap_s is not None:
        gaps_ns = np.minimum(gaps_ns, round(max_gap_s * 1e9))
    due_ns = np.cumsum(gaps_ns)
    if speed != 1:
        due_ns = np.rint(due_ns / speed).astype(np.int64)
    usual_ns = int(due_ns[-1]) // max(1, len(rows) - 1)
    chosen_frames = frames if len(rows) == len(frames) else frames[rows]
    return Schedule(chosen_frames, due_ns, n_loops, int(due_ns[-1]) + usual_ns, n_errors)


def _rising(t_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the times without small steps back; a new recording follows the one before it."""
    t_us = t_us.astype(np.int64)
    steps_us = np.diff(t_us)
    t_us[1:] += np.cumsum(np.where(steps_us < -NEW_START_US, -steps_us, 0))
    return np.maximum.accumulate(t_us)


def _chosen(
    frames: FrameTable,
    t_us: NDArray[np.int64],
    start_s: float | None,
    stop_s: float | None,
    ids: Collection[str],
    buses: Collection[int],
) -> NDArray[np.bool_]:
    chosen = np.ones(len(frames), bool)
    first_us = int(t_us[0]) if len(t_us) else 0
    if start_s is not None:
        chosen &= t_us >= first_us + round(start_s * 1e6)
    if stop_s is not None:
        chosen &= t_us < first_us + round(stop_s * 1e6)
    if buses:
        chosen &= np.isin(frames["bus"], list(buses))
    if ids:
        wanted = np.zeros(len(frames), bool)
        is_ext = frames["flags"] & EXT != 0
        for text in ids:
            low, high, ext = parse_ids(text)
            wanted |= (frames["can_id"] >= low) & (frames["can_id"] <= high) & (is_ext == ext)
        chosen &= wanted
    return chosen


def parse_ids(text: str) -> tuple[int, int, bool]:
    """Return (low, high, is_ext) of "1A0", "0x1A0", "100-1FF" or "18FEF100"."""
    parts = [_ID.fullmatch(part.strip()) for part in text.split("-")]
    if len(parts) > 2 or not all(parts):
        raise UsageError(f'"{text}" is no identifier', "give it like 1A0, 100-1FF or 18FEF100")
    digits = [part[1] for part in parts if part]
    numbers = [int(part, 16) for part in digits]
    is_ext = max(map(len, digits)) > 3
    if numbers[0] > numbers[-1] or numbers[-1] > (0x1FFFFFFF if is_ext else 0x7FF):
        raise UsageError(
            f'"{text}" is no range of identifiers', "11 bits end at 7FF, 29 bits at 1FFFFFFF"
        )
    return numbers[0], numbers[-1], is_ext
