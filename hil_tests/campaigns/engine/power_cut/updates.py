"""Settings and firmware updates cut at every operation on the board's flash (L19), on real
littlefs under MicroPython.

The work is done by `guest_flash`; this is the host's side of it.
"""

import json
import subprocess
import time
from pathlib import Path

from campaigns.engine.results import Finding, Row, Tally
from stagelog.errors import InputError, UsageError
from stagelog.resources import firmware_path
from stagelog.rig.runtimes import find_runtime

GUEST = Path(__file__).with_name("guest_flash.py")


_NAMES = {
    "settings": "settings saved",
    "slot": "firmware slot replaced",
    "card": "package taken from the card",
}


def run(tally, n_cases=None, seconds=None, keep=lambda: None):
    """Cut all updates, which is one run whatever the other arguments are; none without
    MicroPython.
    """
    runtime = find_runtime("unix64")
    if runtime is None or tally.states.total():
        return
    start = time.monotonic()
    _cut(tally, runtime)
    for kind in _NAMES:
        tally.add_seconds(kind, (time.monotonic() - start) / len(_NAMES))


def _cut(tally, runtime, case=None):
    """Cut all updates, or the one of a case, on a MicroPython with littlefs; add to the Tally.

    Raises   InputError with what the guest printed, if it failed.
    """
    words = [str(runtime), "-X", "heapsize=64m", str(GUEST), str(firmware_path())]
    words += [str(tally.seed), *([] if case is None else [case])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise InputError(f"the guest failed: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    for kind in _NAMES:
        tally.states[kind] += found[kind]
    for violated, text in found["violations"]:
        tally.add(Finding("L19", violated, violated.partition(":")[0], text))


def rows(tally):
    """Return the table of a Tally: one Row for each kind of update."""
    found = []
    for kind, name in _NAMES.items():
        n = tally.states[kind]
        text = "old or new, never neither" if n else "left out, no MicroPython"
        seconds = tally.seconds_of(kind)
        found.append(Row(f"cut: {name}", n, tally.violations[kind], text, tally.seed, seconds))
    return found


def reproduce(seed, case):
    """Run one case, "kind:turn:operation:tear", again; return its findings."""
    runtime = find_runtime("unix64")
    if runtime is None:
        raise InputError("no MicroPython", "tools/runtimes unix64")
    tally = Tally(seed)
    _cut(tally, runtime, case)
    if tally.states.total() != 1:
        raise UsageError(f"no case '{case}'", "kind:turn:operation:tear, such as slot:1:7:2")
    return tally.findings
