"""The child process that lets asammdf read one MF4 file; started by mf4.py, never imported.

    python -m stagelog.importers.mf4_worker FILE FOLDER MAX_BYTES

Leaves frames.npy and facts.json in FOLDER. Fails with a traceback, whose last line the parent
shows.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stagelog.importers.stream import join_frames
from stagelog.model import BRS, ERR, ESI, EXT, FD, FD_LENGTHS, FRAME, FRAME_FD, RTR, FrameTable

if TYPE_CHECKING:
    from asammdf import MDF, Signal

_RECORDS = 500_000
_KINDS = {"CAN_DataFrame": 0, "CAN_RemoteFrame": RTR, "CAN_ErrorFrame": ERR}


def main(path: str, folder: str, max_bytes: int) -> None:
    """Read the bus log of `path` into `folder`."""
    limit_memory(max_bytes)
    from asammdf import MDF

    log = MDF(path)
    start_us, times = start_of(log)
    tables: list[FrameTable] = []
    damages: list[tuple[str, str]] = []
    for name, flag in _KINDS.items():
        for group, index in log.channels_db.get(name, ()):
            try:
                tables += list(tables_of(log, name, group, index, flag, start_us, damages))
            except (
                Exception
            ) as error:  # one group that asammdf cannot read; the others may be whole
                damages.append((f"group {group}", f"{type(error).__name__}: {error}"))
    frames = join_frames(tables) if tables else np.empty(0, FRAME)
    if not tables and damages:
        raise SystemExit(f"no group can be read, first {damages[0][1]}")
    if (np.diff(frames["t_us"]) < 0).any():
        frames = frames[np.argsort(frames["t_us"], kind="stable")]
    if len(frames) and frames["bus"].min() > 0:
        frames["bus"] -= 1  # most writers count channels from 1, python-can from 0
    np.save(Path(folder) / "frames.npy", frames)
    n_buses = int(frames["bus"].max()) + 1 if len(frames) else 0
    facts = {"times": times, "n_buses": n_buses, "damages": damages}
    (Path(folder) / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def limit_memory(max_bytes: int) -> None:
    """Set the limit of address space where the system has one."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))


def start_of(log: "MDF") -> tuple[int, str]:
    """Return (microseconds from the epoch, how times are meant)."""
    try:
        start_us = round(log.header.start_time.timestamp() * 1e6)
    except (ValueError, OverflowError, OSError):
        return 0, "relative"
    return (start_us, "absolute") if start_us > 86_400_000_000 else (0, "relative")


def tables_of(
    log: "MDF",
    name: str,
    group: int,
    index: int,
    flag: int,
    start_us: int,
    damages: list[tuple[str, str]],
) -> Iterator[FrameTable]:
    """Yield frame tables of one channel of a bus log."""
    at = 0
    while True:
        signal = log.get(
            name, group=group, index=index, raw=True, record_offset=at, record_count=_RECORDS
        )
        n = len(signal.timestamps)
        if n:
            table, is_wrong = table_of(signal, name, flag, start_us)
            if is_wrong.any():
                text = f"{int(is_wrong.sum())} records with a channel, identifier or length"
                place = f"group {group}, record {at + int(np.argmax(is_wrong)) + 1}"
                damages.append((place, f"{text} that CAN does not have"))
            yield table[~is_wrong]
        if n < _RECORDS:
            return
        at += n


def table_of(
    signal: "Signal", name: str, flag: int, start_us: int
) -> tuple[FrameTable, NDArray[np.bool_]]:
    """Return (the frames in one piece of a channel, True for those that cannot be right)."""
    samples = signal.samples
    fields = {f.removeprefix(f"{name}."): f for f in samples.dtype.names or ()}

    def field(key: str) -> NDArray[Any]:
        return (
            samples[fields[key]].astype(np.int64)
            if key in fields
            else np.zeros(len(samples), np.int64)
        )

    data = samples[fields["DataBytes"]] if "DataBytes" in fields else None
    n_bytes = field("DataLength") if "DataLength" in fields else FD_LENGTHS[field("DLC") & 15]
    n_held = 0 if data is None else data.shape[1]
    is_wrong = (n_bytes < 0) | (n_bytes > 64) | ((n_bytes > n_held) & (flag == 0))
    n_bytes = np.clip(n_bytes, 0, 64)
    if data is None or flag & RTR:
        data, n_bytes = np.zeros((len(samples), 8), np.uint8), np.zeros(len(samples), np.int64)
    width = 64 if n_bytes.max() > 8 else 8
    frames = np.zeros(len(samples), FRAME_FD if width == 64 else FRAME)
    ids = field("ID")
    is_ext = (
        field("IDE") != 0 if "IDE" in fields else (ids >> 31 != 0) | (ids & 0x1FFFFFFF > 0x7FF)
    )
    flags = flag | EXT * is_ext | FD * (field("EDL") != 0)
    flags |= BRS * (field("BRS") != 0) | ESI * (field("ESI") != 0)
    frames["t_us"] = np.rint(np.nan_to_num(signal.timestamps) * 1e6).astype(np.int64) + start_us
    frames["can_id"] = ids & 0x1FFFFFFF
    frames["flags"] = flags
    bus = field("BusChannel")
    is_wrong |= (bus < 0) | (bus > 255) | ((ids & 0x60000000 != 0) & (flag != ERR))
    frames["bus"] = np.clip(bus, 0, 255)
    frames["dlc"] = field("DLC") & 15
    frames["n_bytes"] = n_bytes
    take = min(width, data.shape[1])
    frames["data"][:, :take] = np.where(np.arange(take) < n_bytes[:, None], data[:, :take], 0)
    return frames, is_wrong


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
