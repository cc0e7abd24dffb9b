"""Four hours of the car's bus through `stagelog report`: seconds, processor time and memory.

Owns the log and the measuring of a process with its children. The log is ten minutes of the
virtual car, repeated: 27 million frames. Memory is what is not mapped from files (RssAnon), of all
processes at the same time, looked at a hundred times a second; where there is no /proc, none.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from stagelog.car import drive
from stagelog.pack import SlogSink

REPEATS = 24
DRIVE_S = 600


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took. cpu_s is that of all its processes, peak_MB None where not known."""

    wall_s: float
    cpu_s: float
    peak_MB: float | None


def write_day(path):
    """Write the log; return how many frames are in it."""
    frames = drive("stage", seed=1, duration_s=DRIVE_S).frames
    with SlogSink(path, from_epoch=False) as sink:
        for _ in range(REPEATS):
            sink.write(frames)
            frames["t_us"] += DRIVE_S * 1_000_000
    return REPEATS * len(frames)


def cost_of(cache, *arguments):
    """Run `stagelog` with arguments; return its Cost. CalledProcessError if it fails.

    cache  folder in which it keeps facts
    """
    env = {**os.environ, "STAGELOG_CACHE": str(cache)}
    command = [sys.executable, "-c", "from stagelog.cli import main; main()", *arguments]
    before, start, peak_kB = os.times(), time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=env) as process:
        while process.poll() is None:
            peak_kB = max(peak_kB, sum(map(_anonymous_kB, _family(process.pid))))
            time.sleep(0.01)
    wall_s, after = time.monotonic() - start, os.times()
    if process.returncode > 1:  # 1: a verdict that is bad
        raise subprocess.CalledProcessError(process.returncode, command)
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    return Cost(wall_s, cpu_s, peak_kB * 1024 / 1e6 if peak_kB else None)


def _family(pid):
    """Return a process and its children."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *children]


def _anonymous_kB(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)
