"""Writes frames as candump log text, `candump -l` style, many lines at once.

    (1631416514.717133) can0 0D2#0000FFFF10000000

Owns the text. A chunk becomes a matrix of characters, one row per line and room for the longest,
and a mask of those that are used. The grammar is drawn in importers/candump.py. Fails with
OutputError.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.export.files import FrameSink, writing
from stagelog.model import BRS, ERR, ESI, EXT, FD, RTR, FrameTable

Names: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64]]  # of names_of()
Column: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.bool_]]  # characters, those in use

ROWS = 1 << 15
_DIGITS = np.array([list(f"{k:04d}".encode()) for k in range(10_000)], np.uint8)
_HEX = np.array([list(f"{k:02X}".encode()) for k in range(256)], np.uint8)
_NIBBLE = np.frombuffer(b"0123456789ABCDEF", np.uint8)


class CandumpSink(FrameSink):
    """Writes frame table after frame table into one file.

    `ifaces` names the buses, can0 and so on.
    """

    def __init__(
        self, path: str | Path, ifaces: Iterable[str] = (), *, overwrite: bool = False
    ) -> None:
        super().__init__(overwrite)
        self._path = Path(path)
        self._names = names_of(ifaces)
        part = self.new(self._path)
        with writing(self._path):
            self._file = open(part, "wb")

    def write(self, frames: FrameTable) -> None:
        """Add the frames of one table."""
        frames = self.not_before(frames, 0)
        with writing(self._path):
            for at in range(0, len(frames), ROWS):
                self._file.write(candump_text(frames[at : at + ROWS], self._names))

    def finish(self) -> None:
        """Close the file."""
        self._file.close()

    release = finish


def names_of(ifaces: Iterable[str]) -> Names:
    """Return a uint8[256, width] table of interface names and their lengths.

    No name holds a space.
    """
    names = [f"can{k}" for k in range(256)]
    for k, name in enumerate(ifaces):
        plain = "".join(c if "!" <= c <= "~" else "_" for c in name) if name else ""
        names[k] = plain[:32] or names[k]
    width = max(map(len, names))
    table = np.zeros((256, width), np.uint8)
    for k, name in enumerate(names):
        table[k, : len(name)] = list(name.encode())
    return table, np.array([len(n) for n in names])


def candump_text(frames: FrameTable, names: Names) -> bytes:
    """Return the lines of a frame table as bytes."""
    table, lengths = names
    flags = frames["flags"]
    is_fd, is_remote = (flags & FD) != 0, (flags & RTR) != 0
    is_long = (flags & (EXT | ERR)) != 0
    pieces = [*_times(frames["t_us"]), _constant(b" ", len(frames))]
    bus = frames["bus"]
    pieces.append((table[bus], np.arange(table.shape[1]) < lengths[bus][:, None]))
    pieces.append(_constant(b" ", len(frames)))
    ids = frames["can_id"] | np.where(flags & ERR, np.uint32(0x20000000), np.uint32(0))
    digits = _HEX[ids.astype(">u4").view(np.uint8).reshape(-1, 4)].reshape(-1, 8)
    pieces.append((digits, (np.arange(8) >= 5) | is_long[:, None]))
    pieces.append(_constant(b"#", len(frames)))
    if is_fd.any():
        shown = ((flags & BRS) != 0) * 1 + ((flags & ESI) != 0) * 2
        text = np.stack((np.full(len(frames), 35, np.uint8), _NIBBLE[shown]), axis=1)
        pieces.append((text, np.repeat(is_fd[:, None], 2, axis=1)))
    if is_remote.any():
        text = np.stack((np.full(len(frames), 82, np.uint8), _NIBBLE[frames["dlc"] & 15]), axis=1)
        pieces.append((text, np.repeat(is_remote[:, None], 2, axis=1)))
    width = int(frames["n_bytes"].max()) if len(frames) else 0
    data = _HEX[frames["data"][:, :width]].reshape(len(frames), 2 * width)
    n_digits = np.where(is_remote, 0, 2 * frames["n_bytes"].astype(np.int64))
    pieces.append((data, np.arange(2 * width) < n_digits[:, None]))
    pieces.append(_constant(b"\n", len(frames)))
    text = np.concatenate([p[0] for p in pieces], axis=1)
    return text[np.concatenate([p[1] for p in pieces], axis=1)].tobytes()


def _constant(text: bytes, n: int) -> Column:
    characters = np.frombuffer(text, np.uint8)
    return np.broadcast_to(characters, (n, len(characters))), np.ones((n, len(text)), bool)


def _times(t_us: NDArray[np.int64]) -> list[Column]:
    """Return the pieces of `(0000000012.345678)`: ten digits of seconds or more."""
    t_us = np.maximum(t_us, 0)
    seconds, micros = np.divmod(t_us, 1_000_000)
    n = len(t_us)
    whole = np.concatenate(
        [
            _DIGITS[seconds // 100_000_000 % 10_000],
            _DIGITS[seconds // 10_000 % 10_000],
            _DIGITS[seconds % 10_000],
        ],
        axis=1,
    )
    used = np.ones((n, 12), bool)
    used[:, 0] = seconds >= 100_000_000_000
    used[:, 1] = seconds >= 10_000_000_000
    part = np.concatenate([_DIGITS[micros // 100], _DIGITS[micros % 100][:, 2:]], axis=1)
    return [
        _constant(b"(", n),
        (whole, used),
        _constant(b".", n),
        (part, np.ones((n, 6), bool)),
        _constant(b")", n),
    ]
