"""The level of a bus over time, as a pin sees it: frames as edges, bent as real lines bend them.

Owns where each edge lies. Does not own who sends when (`bus`), nor the bits of a frame
(`canbits`). Levels are 0 dominant, 1 recessive; times are integer femtoseconds, as the emulated
chip counts. The same seed gives the same edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.rig.bus.canbits import wire_bits

FS_PER_S = 10**15
FS_PER_ns = 10**6
_ACK_FROM_END = 9  # the slot's place among the 10 bits that end a frame: delimiter, slot, ...


@dataclass(frozen=True, slots=True)
class Line:
    """A sender's clock and what lies between it and the pin.

    clock_ppm      how much longer the sender's bits are than the nominal ones
    asymmetry_ns   how much later (negative: earlier) edges to recessive come than the others
    jitter_ns      each edge lies anywhere up to so much before or after its place
    glitches_per_s short pulses to the other level, `glitch_ns` long, at random times
    """

    bitrate_bps: int = 500_000
    clock_ppm: float = 0.0
    asymmetry_ns: float = 0.0
    jitter_ns: float = 0.0
    glitches_per_s: float = 0.0
    glitch_ns: float = 40.0

    @property
    def bit_fs(self) -> float:
        """Femtoseconds of a bit of the sender."""
        return FS_PER_S / self.bitrate_bps * (1 + self.clock_ppm * 1e-6)


def acknowledged_bits(can_id: int, flags: int, dlc: int, data: bytes = b"") -> list[int]:
    """Return a frame from SOF to the end of EOF on a bus where somebody acknowledges it."""
    bits = wire_bits(can_id, flags, dlc, data)
    bits[-_ACK_FROM_END] = 0
    return bits


def edges_of(
    rows: Sequence[Sequence[int]],
    start_fs: NDArray[np.int64],
    line: Line,
    seed: int,
    widths: Sequence[Sequence[float] | None] = (),
) -> NDArray[np.uint64]:
    """Return the edges of rows of bits, each from its own start on, recessive in between.

    rows      bits of one frame or error frame each, the last one recessive; they must not overlap
    start_fs  int64[n], ascending
    widths    of the bits of each row, in bits of the line; None or none at all: 1 each
    Result    uint64, ascending: the time with its lowest bit as the new level
    """
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    levels = np.fromiter((bit for row in rows for bit in row), np.uint8, int(lengths.sum()))
    first = np.cumsum(lengths) - lengths
    place: NDArray[Any] = np.arange(len(levels)) - np.repeat(first, lengths)
    for start, row in zip(first, widths, strict=False):
        if row is not None:
            place = place if place.dtype == np.float64 else place.astype(np.float64)
            place[start : start + len(row)] = np.cumsum(row) - row
    changes = np.flatnonzero(np.diff(levels, prepend=np.uint8(1)))
    times = np.repeat(start_fs, lengths)[changes] + place[changes] * line.bit_fs
    to = levels[changes]
    rng = np.random.default_rng(seed)
    times = times + to.astype(np.float64) * (line.asymmetry_ns * FS_PER_ns)
    if line.jitter_ns:
        times = times + rng.uniform(-1, 1, len(times)) * (line.jitter_ns * FS_PER_ns)
    if line.glitches_per_s:
        times, to = _with_glitches(times, to, line, rng)
    return (np.maximum.accumulate(times).astype(np.uint64) & ~np.uint64(1)) | to.astype(np.uint64)


def _with_glitches(
    times: NDArray[np.float64], to: NDArray[np.uint8], line: Line, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Add pulses, each wholly between two edges."""
    if len(times) < 2:
        return times, to
    n = rng.poisson(line.glitches_per_s * (times[-1] - times[0]) / FS_PER_S)
    at = np.sort(rng.uniform(times[0], times[-1], n))
    width_fs = line.glitch_ns * FS_PER_ns
    before = np.searchsorted(times, at, "right") - 1
    fits = at + width_fs < times[before + 1]
    fits[1:] &= np.diff(at) > width_fs
    at, level = at[fits], to[before[fits]]
    all_times = np.concatenate((times, at, at + width_fs))
    all_to = np.concatenate((to, 1 - level, level))
    order = np.argsort(all_times, kind="stable")
    return all_times[order], all_to[order]
