"""The target hardware, run as anyone with a bench would run it, against a bench on a
pseudo-terminal (bench_on_pty).
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PASSED = {
    "test_silent_bus_is_noticed_and_a_frame_ends_it",
    "test_power_cut_costs_the_tail_only",
    "test_garbage_on_the_data_port_changes_nothing",
}


def run_suite(folder, *words):
    """Run the suite with --target hardware; return {test: "passed" or why it was skipped}."""
    report = folder / "report.xml"
    words = [*words, HERE / "test_faults.py", HERE / "test_recording.py", "--target", "hardware"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        + list(map(str, words)),
        env=dict(os.environ, PYTHONPATH=str(HERE), STAGELOG_BENCH=str(folder)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = {}
    for case in xml.parse(report).iter("testcase"):
        outcome = next(iter(case), None)
        found[case.get("name")] = "passed" if outcome is None else outcome.get("message")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return found


def test_without_a_rig_all_is_skipped_with_the_reason(tmp_path):
    found = run_suite(tmp_path)
    assert set(found.values()) == {
        "no rig: describe one in hil_tests/rigs/NAME.toml and pass --rig"
    }


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are not on Windows")
def test_suite_passes_on_a_bench_and_says_what_the_bench_lacks(tmp_path):
    found = run_suite(tmp_path, "-p", "bench_on_pty", "--rig", tmp_path / "rig.toml")
    passed = {name for name, outcome in found.items() if outcome == "passed"}
    assert passed == PASSED
    reasons = [outcome for name, outcome in found.items() if name not in passed]
    assert all(reason.startswith("target hardware can't: ") for reason in reasons)
