"""Reads MF4 bus logs by asammdf, in a process of its own.

Owns the guard: asammdf can run without end or use all memory on a damaged file, so it works in
a child process with limits of memory and time, which returns its frames in a file. Raises
InputError if it gets nothing out.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stagelog.errors import InputError
from stagelog.importers.diagnostics import HEADER_UTC, Diagnostics
from stagelog.importers.stream import FrameStream, collect, open_log, size_of
from stagelog.model import FrameTable
from stagelog.pipes import real_path

_CHUNK = 1 << 18
_BASE_s, _BYTES_PER_s = 120, 1_000_000  # a busy laptop takes half a minute to import asammdf
_BASE_BYTES, _FILE_FACTOR = 3 << 30, 8  # of address space; asammdf and its libraries map 2 GB


def stream_mf4(path: str | Path) -> FrameStream:
    """Return a FrameStream over the bus log of an MF4 file.

    T_us from the epoch, in order of time.
    """
    diagnostics = Diagnostics(source=str(path), kind="mf4")
    stream = FrameStream("mf4", Path(path), (), diagnostics)
    stream.chunks = _chunks(stream)
    return stream


def read_mf4(path: str | Path) -> tuple[FrameTable, Diagnostics]:
    """Read a whole MF4 bus log: (frames, Diagnostics)."""
    log = collect(stream_mf4(path))
    return log.frames, log.diagnostics


def _chunks(stream: FrameStream) -> Iterator[FrameTable]:
    with open_log(stream.path) as file:
        n_file = size_of(file)
    stream.diagnostics.n_bytes = n_file
    with tempfile.TemporaryDirectory(prefix="stagelog-") as folder:
        facts = _run_worker(stream.path, folder, n_file)
        stream.diagnostics.times = facts["times"]
        if facts["times"] == "absolute":
            stream.diagnostics.clock = HEADER_UTC
        stream.ifaces += [f"can{k}" for k in range(facts["n_buses"])]
        for place, detail in facts["damages"]:
            stream.diagnostics.add("unreadable", place, detail)
        frames = np.load(Path(folder) / "frames.npy", mmap_mode="r")
        try:
            for at in range(0, len(frames), _CHUNK):
                yield np.array(frames[at : at + _CHUNK])
                stream.diagnostics.share = at / len(frames)
        finally:
            del frames  # Windows removes no file that is mapped


def _run_worker(path: Path, folder: str, n_file: int) -> dict[str, Any]:
    """Let the child process read the file; return its facts."""
    command = [sys.executable, "-m", "stagelog.importers.mf4_worker", str(real_path(path)), folder]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    limit_s = _BASE_s + n_file / _BYTES_PER_s
    try:
        done = subprocess.run(
            [*command, str(_BASE_BYTES + _FILE_FACTOR * n_file)],
            env=environment,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: asammdf did not finish within {limit_s:.0f} s") from None
    facts = Path(folder) / "facts.json"
    if done.returncode == 0 and facts.exists():
        return dict(json.loads(facts.read_text(encoding="utf-8")))
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [
        "it ended without a word"
    ]
    hint = 'pip install "stagelog[mf4]"' if "No module named 'asammdf'" in lines[-1] else None
    raise InputError(f"{path}: asammdf cannot read it: {lines[-1][:200]}", hint)
