"""Writes frames as ASC (Vector), many lines at a time.

     0.002500 1  123             Rx   d 8 01 02 03 04 05 06 07 08
     0.002600 1  18FEF100x       Rx   r 8
     0.002700 1  ErrorFrame
     0.002800 CANFD   1 Rx        123  ... 1 0 9 12 00 01 ...

What stands between the time and the data is the same for all frames of an identifier, bus, length
and kind: it is made once. Lines of one shape make a matrix of characters, which is copied to their
places. Byte for byte what can.ASCWriter makes of the same frames, but for times that a float does
not hold, and for the header: python-can's has the machine's own time zone. Times of day are UTC,
buses count from 1, both as the importer reads them; a log without a wall clock starts in 1970.
Fails with OutputError.
"""

import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stagelog.export.files import FrameSink, writing
from stagelog.model import BRS, ERR, ESI, EXT, FD, RTR, FrameTable

ROWS = 1 << 16
_U = np.uint64
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HEAD = ("can_id", "bus", "flags", "dlc", "n_bytes")
_TAIL = " " + " ".join(f"{0:>8}" for _ in range(5))  # CRC and bit timings, not known
_DIGITS = np.array([list(f"{k:04d}".encode()) for k in range(10_000)], np.uint8)
# the last n digits of 0 to 9999, by n
_LAST_DIGITS = {
    n: np.ascontiguousarray(_DIGITS[:, 4 - n :]).view(f"V{n}")[:, 0] for n in range(1, 5)
}
_POWERS = _U(10) ** np.arange(1, 14, dtype=np.uint64)  # 10, 100, ...


class AscSink(FrameSink):
    """Writes frame table after frame table into one file. Frames before the first are left out."""

    def __init__(self, path: str | Path, *, from_epoch: bool, overwrite: bool = False) -> None:
        super().__init__(overwrite)
        self._from_epoch = from_epoch
        self._path = Path(path)
        self._start_us: int | None = None
        part = self.new(self._path)
        with writing(self._path):
            self._file = open(part, "wb")

    def write(self, frames: FrameTable) -> None:
        """Add the frames of one table."""
        if not len(frames):
            return
        if self._start_us is None:
            first_us = int(frames["t_us"][0])
            whole_us = first_us // 1000 * 1000  # the header has milliseconds
            self._start_us = whole_us if self._from_epoch else min(first_us, 0)
            self._begin(self._start_us)
        start_us = self._start_us
        frames = self.not_before(frames, start_us)
        with writing(self._path):
            for at in range(0, len(frames), ROWS):
                self._file.write(asc_text(frames[at : at + ROWS], start_us))

    def _begin(self, start_us: int) -> None:
        text = date_text(start_us)
        header = (
            f"date {text}\nbase hex  timestamps absolute\ninternal events logged\n"
            f"Begin Triggerblock {text}\n 0.000000 Start of measurement\n"
        )
        with writing(self._path):
            self._file.write(header.encode())

    def finish(self) -> None:
        """Write the last line and close the file."""
        if self._start_us is None:
            self._begin(0)
        self._file.write(b"End TriggerBlock\n")
        self._file.close()

    def release(self) -> None:
        """Close the file."""
        self._file.close()


def date_text(t_us: int) -> str:
    """Return `Tue Nov 14 22:13:20.000 2023`, UTC, in English on every machine."""
    t = datetime.datetime.fromtimestamp(t_us // 1000 / 1000, datetime.UTC)
    clock = f"{t:%H:%M:%S}.{t_us // 1000 % 1000:03d}"
    return f"{_DAYS[t.weekday()]} {_MONTHS[t.month - 1]} {t.day:02d} {clock} {t.year}"


class _Around(NamedTuple):
    """What stands before the bytes of a frame, behind them, and how many bytes are shown."""

    head: bytes
    tail: bytes
    n_shown: int


class _Shape(NamedTuple):
    """Lengths of the parts of a line, in characters; `n_shown` in bytes of payload."""

    n_head: int
    n_tail: int
    n_shown: int
    n_seconds: int

    def dtype(self) -> np.dtype[Any]:
        """Return the line as a record: " ", seconds, ".", "123456", " ", head, data, tail, LF.

        A blank stands behind each byte of payload; where the tail is empty, LF replaces the last.
        """
        at = 1 + self.n_seconds
        fields: dict[str, tuple[Any, int]] = {"blank": ("u1", 0), "point": ("u1", at)}
        for k in range(1, at, 4):  # in fours from the right
            n = min(4, at - k)
            fields[f"seconds_{k}"] = (f"V{n}", at - k + 1 - n)
        fields |= {"high": ("V4", at + 1), "low": ("V2", at + 5), "blank_2": ("u1", at + 7)}
        fields["head"] = (f"V{self.n_head}", at + 8)
        at += 8 + self.n_head
        if self.n_shown:
            fields["data"] = (f"V{3 * self.n_shown}", at)
            at += 3 * self.n_shown - 1
        fields["tail"] = (f"V{self.n_tail}", at)
        names = list(fields)
        return np.dtype(
            {
                "names": names,
                "formats": [fields[n][0] for n in names],
                "offsets": [fields[n][1] for n in names],
                "itemsize": at + self.n_tail,
            }
        )


def asc_text(frames: FrameTable, start_us: int) -> bytes:
    """Return the lines of a frame table; times count from `start_us`, buses from 1."""
    if not len(frames):
        return b""
    around, which = _around_data(frames)
    t_us = (frames["t_us"] - start_us).astype(np.uint64)
    seconds = t_us // _U(1_000_000)
    micros = (t_us - seconds * _U(1_000_000)).astype(np.uint32)
    n_seconds = np.searchsorted(_POWERS, seconds, side="right") + 1
    shape_of = {a: (len(a.head), len(a.tail), a.n_shown) for a in around}
    known = sorted(set(shape_of.values()))
    number_of = np.array([known.index(shape_of[a]) for a in around], np.int64)
    shape = number_of[which] * 16 + n_seconds
    payloads = np.ascontiguousarray(frames["data"])
    order = np.argsort(shape.astype(np.uint16), kind="stable")
    counts = np.bincount(shape)
    kinds = np.flatnonzero(counts)
    dtypes = [_Shape(*known[k // 16], k % 16).dtype() for k in kinds.tolist()]
    lengths = np.zeros(len(counts), np.int64)
    lengths[kinds] = [dtype.itemsize for dtype in dtypes]
    ends = np.cumsum(lengths[shape])
    text = np.empty(int(ends[-1]), np.uint8)
    groups = np.split(order, np.cumsum(counts[kinds])[:-1])
    for dtype, rows in zip(dtypes, groups, strict=True):
        lines = _lines(dtype, seconds[rows], micros[rows], payloads[rows], around, which[rows])
        n = dtype.itemsize
        places = np.ndarray((len(text) - n + 1,), f"V{n}", text, strides=(1,))
        places[ends[rows] - n] = lines.view(f"V{n}")
    return text.tobytes()


def _lines(
    dtype: np.dtype[Any],
    seconds: NDArray[np.uint64],
    micros: NDArray[np.uint32],
    payloads: NDArray[np.uint8],
    around: list[_Around],
    which: NDArray[np.int64],
) -> NDArray[Any]:
    """Return lines of one shape as records."""
    lines = np.empty(len(which), dtype)
    lines["blank"] = lines["blank_2"] = ord(" ")
    lines["point"] = ord(".")
    for name in dtype.names or ():
        if name.startswith("seconds"):
            lines[name] = _LAST_DIGITS[dtype[name].itemsize][seconds % _U(10_000)]
            seconds = seconds // _U(10_000)
    high = micros // np.uint32(100)
    lines["high"] = _LAST_DIGITS[4][high]
    lines["low"] = _LAST_DIGITS[2][micros - high * np.uint32(100)]
    used = np.flatnonzero(np.bincount(which))  # those of this shape
    place = np.zeros(len(around), np.int64)
    place[used] = np.arange(len(used))
    if "data" in (dtype.names or ()):  # before the tail, which replaces the last blank
        n = dtype["data"].itemsize
        digits = payloads[:, : n // 3].tobytes().hex(" ").upper() + " "
        lines["data"] = np.frombuffer(digits.encode(), f"V{n}")
    for name in ("head", "tail"):
        texts = b"".join(getattr(around[k], name) for k in used.tolist())
        lines[name] = np.frombuffer(texts, dtype[name])[place[which]]
    return lines


def _around_data(frames: FrameTable) -> tuple[list[_Around], NDArray[np.int64]]:
    """Return (what stands around the data, which of them each frame has)."""
    key = np.zeros(len(frames), np.uint64)
    for name, n_bits in zip(_HEAD, (29, 8, 8, 4, 7), strict=True):
        key = key << _U(n_bits) | frames[name].astype(np.uint64) & _U((1 << n_bits) - 1)
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return [_around(*row) for row in frames[list(_HEAD)][first].tolist()], which


def _around(can_id: int, bus: int, flags: int, dlc: int, n_bytes: int) -> _Around:
    name, channel = f"{can_id:X}" + "x" * bool(flags & EXT), bus + 1
    tail = ""
    if flags & ERR:
        head = f"{channel}  ErrorFrame"
    elif flags & FD and not flags & RTR:
        brs, esi = bool(flags & BRS), bool(flags & ESI)
        head = f"CANFD {channel:>3} Rx   {name:>8}  {'':>32} {brs:d} {esi:d} {dlc:x} {n_bytes:>2} "
        tail = f" {0:>8} {0:>4} {1 << 12 | brs << 13 | esi << 14:>8X}{_TAIL}"
    else:
        head = f"{channel}  {name:<15} Rx   {'r' if flags & RTR else 'd'} {min(dlc, 8):x} "
    n_shown = 0 if flags & (RTR | ERR) else n_bytes
    return _Around(head.encode(), f"{tail}\n".encode(), n_shown)
