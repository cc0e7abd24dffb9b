"""Settings and firmware updates cut at every operation on the board's flash (L19), on real
littlefs under MicroPython.

The work is done by `guest_flash`; this is the host's side of it.
"""

import json
import subprocess
import time
from pathlib import Path

from campaigns.engine.results import Finding, Row
from stagelog.errors import InputError
from stagelog.resources import firmware_path

GUEST = Path(__file__).with_name("guest_flash.py")


def run(seed, runtime):
    """Cut all updates on `runtime` (a MicroPython with littlefs); return (Rows, findings).

    Raises   InputError with what the guest printed, if it failed.
    """
    start = time.monotonic()
    command = [str(runtime), "-X", "heapsize=64m", str(GUEST), str(firmware_path()), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise InputError(f"the guest failed: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    findings = [Finding("L19", text, "update", text) for text in found["violations"]]
    seconds = time.monotonic() - start
    rows = []
    for kind, name in (("settings", "settings saved"), ("slots", "firmware slot replaced")):
        n = sum(text.startswith(kind.rstrip("s")) for text in found["violations"])
        rows.append(
            Row(f"cut: {name}", found[kind], n, "old or new, never neither", seed, seconds)
        )
        seconds = None
    return rows, findings
