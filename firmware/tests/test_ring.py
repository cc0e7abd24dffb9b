"""The ring on MicroPython: no allocation per frame; the same device script gives the same answer
on 32 and 64 bits.
"""

import os
import subprocess
from pathlib import Path

import pytest

from stagelog.resources import firmware_path
from stagelog.rig.runtimes import find_runtime

SCRIPT = Path(__file__).parent / "device" / "ring_no_alloc.py"


@pytest.mark.parametrize("runtime", ["unix32", "unix64"])
def test_ring_allocates_nothing_per_frame(runtime):
    binary = find_runtime(runtime)
    if binary is None:
        pytest.skip(f"no {runtime} MicroPython: run tools/runtimes {runtime}")
    done = subprocess.run(
        [binary, SCRIPT],
        env=dict(os.environ, MICROPYPATH=str(firmware_path())),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    n_stored, n_dropped = map(int, done.stdout.split())
    assert n_stored + n_dropped == 3000 and n_dropped > 0
