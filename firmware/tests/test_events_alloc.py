"""The per-tick path of the on-car events allocates nothing on MicroPython: records are scanned and
the flight detector runs with the heap locked.
"""

import os
import subprocess
from pathlib import Path

import pytest

from stagelog.car import drive
from stagelog.events import compile_table
from stagelog.events.recompute import records_of
from stagelog.profile import dbc_file, load_profile
from stagelog.resources import firmware_path
from stagelog.rig.runtimes import find_runtime

SCRIPT = Path(__file__).parent / "device" / "watch_no_alloc.py"


@pytest.mark.parametrize("runtime", ["unix32", "unix64"])
def test_scan_and_flight_allocate_nothing(tmp_path, runtime):
    binary = find_runtime(runtime)
    if binary is None:
        pytest.skip(f"no {runtime} MicroPython: run tools/runtimes {runtime}")
    profile = load_profile()
    table, records = tmp_path / "table", tmp_path / "records"
    table.write_bytes(compile_table(profile, dbc_file(profile)).data)
    frames = drive("corpus_hops", seed=4, duration_s=12).frames
    records.write_bytes(records_of(frames).tobytes())
    done = subprocess.run(
        [binary, SCRIPT, table, records],
        env=dict(os.environ, MICROPYPATH=str(firmware_path())),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 1150
