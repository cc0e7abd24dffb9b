"""The logger under MicroPython with less and less heap: it runs, or it says so at the start; what
it has stored stays whole.

Allocation can't be made to fail at the n-th call from outside, but the heap can be made so small
that it does, sooner and sooner. One run is a boot, a tape and its end, in a process of its own.
"""

import json
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

from campaigns.engine.results import Finding, Row, Tally
from stagelog.blocks import read_log
from stagelog.card import prepare_raw
from stagelog.errors import InputError, UsageError
from stagelog.ledger import account
from stagelog.resources import firmware_path
from stagelog.rig.logger import HOST_PATH
from stagelog.rig.play import saturated_tape
from stagelog.rig.runtimes import find_runtime
from stagelog.rig.tape import write_tape

_ENOUGH = 1_500_000  # bytes on a 64-bit MicroPython
_TAPE_US = 300_000


def run(tally, n_cases, seconds=None, keep=lambda: None):
    """Continue a Tally until it holds `n_cases` sizes of heap, drawn by the seed; none without
    MicroPython.
    """
    runtime = find_runtime("unix64")
    if runtime is None:
        return
    start = time.monotonic()
    sizes = sorted(random.Random(tally.seed).sample(range(60_000, _ENOUGH, 2000), n_cases))
    for size in sizes[tally.states["heap"] :]:
        if seconds is not None and time.monotonic() - start > seconds:
            break
        if _run_one(tally, size, runtime):
            tally.note_worst("spare", _ENOUGH - size)  # the smallest size that is enough
        tally.states["heap"] += 1
        keep()
    tally.add_seconds("heap", time.monotonic() - start)


def rows(tally):
    """Return the table of a Tally: one Row."""
    n = tally.states["heap"]
    spare = tally.worst.get("spare")
    text = "none was enough" if spare is None else f"{_ENOUGH - spare:,} bytes are enough"
    if not n:
        text = "left out, no MicroPython: tools/runtimes unix64"
    found = Row("heap too small", n, tally.violations["heap"], text, tally.seed)
    found.seconds = tally.seconds_of("heap")
    return [found]


def reproduce(seed, case):
    """Run with one size of heap, in bytes, again; return the findings."""
    runtime = find_runtime("unix64")
    if not case.isdecimal() or runtime is None:
        raise UsageError(f"no case '{case}'", "a size in bytes, and tools/runtimes unix64")
    tally = Tally(seed)
    _run_one(tally, int(case), runtime)
    return tally.findings


def _run_one(tally, size, runtime):
    """Run once; return whether all frames of the tape are on the card."""
    tape = saturated_tape(500_000, _TAPE_US)
    with tempfile.TemporaryDirectory() as folder:
        write_tape(Path(folder) / "drive.tape", tape)
        return _frames_with(tally, Path(folder), size, runtime) == len(tape)


def _frames_with(tally, path, size, runtime):
    """Play the tape with so much heap; return the number of frames on the card."""
    card = path / f"{size}.img"
    prepare_raw(card, 400)
    args = {"card": str(card), "tape": str(path / "drive.tape"), "ring_blocks": 8}
    paths = f"{HOST_PATH}:{firmware_path()}"
    command = [str(runtime), "-X", f"heapsize={size}", "-m", "stagelog.rig.sim.device"]
    environment = dict(os.environ, MICROPYPATH=paths, STAGELOG_SIM=json.dumps(args))
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120
    )
    case = str(size)
    text = done.stderr.decode(errors="replace").strip()
    if text and "MemoryError" not in text and "heap" not in text.lower():
        tally.add(Finding("L13", case, "heap", text.splitlines()[-1]))
    try:
        log = read_log(card)
    except InputError:
        return 0
    n_frames = 0
    for session in log.sessions:
        n_frames += session.n_frames
        ledger = account(session, log.damaged)
        if ledger.breaks:
            tally.add(Finding("L5", case, "heap", ledger.breaks[0]))
    return n_frames
