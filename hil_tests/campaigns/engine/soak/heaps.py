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
from stagelog.errors import InputError
from stagelog.ledger import account
from stagelog.resources import firmware_path
from stagelog.rig.logger import HOST_PATH
from stagelog.rig.play import saturated_tape
from stagelog.rig.tape import write_tape

_ENOUGH = 1_500_000  # bytes on a 64-bit MicroPython
_TAPE_US = 300_000


def run(seed, n_cases, runtime):
    """Run with `n_cases` sizes of heap; return (Rows, findings)."""
    start = time.monotonic()
    tally = Tally(seed)
    least = None
    tape = saturated_tape(500_000, _TAPE_US)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_tape(path / "drive.tape", tape)
        sizes = sorted(random.Random(seed).sample(range(60_000, _ENOUGH, 2000), n_cases))
        for size in sizes:
            n_frames = _run_one(tally, path, size, runtime)
            if n_frames == len(tape) and least is None:
                least = size
    text = f"{least:,} bytes are enough" if least else "none was enough"
    seconds = time.monotonic() - start
    return [
        Row("heap too small", n_cases, tally.n_violations, text, seed, seconds)
    ], tally.findings


def _run_one(tally, path, size, runtime):
    """Run once; return the number of frames on the card."""
    card = path / f"{size}.img"
    prepare_raw(card, 400)
    args = {"card": str(card), "tape": str(path / "drive.tape"), "ring_blocks": 8}
    paths = f"{HOST_PATH}:{firmware_path()}"
    command = [str(runtime), "-X", f"heapsize={size}", "-m", "stagelog.rig.sim.device"]
    environment = dict(os.environ, MICROPYPATH=paths, STAGELOG_SIM=json.dumps(args))
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120
    )
    case = f"heap:{size}"
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
