"""A fresh clone on a fresh machine: an empty HOME, no cache of pip or npm. Both commands of the
README set themselves up there and the demo runs. MicroPython comes from this machine's cache.
"""

import os
import subprocess
from pathlib import Path

import pytest

from stagelog.rig.runtimes import cache_path, find_runtime

ROOT = Path(__file__).resolve().parents[2]
# Environments of this process that a newcomer does not have.
OURS = ("CI", "PYTEST", "PYTHON", "STAGELOG", "VIRTUAL_ENV", "XDG_", "npm_config_cache")


def test_both_commands_of_the_readme_set_themselves_up(tmp_path):
    clone = tmp_path / "stagelog"
    command = ["git", "clone", "-q", "--no-hardlinks", ROOT, clone]
    if subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode:
        pytest.skip("this is not a git checkout")
    if find_runtime("unix64") is None:
        pytest.skip("no unix64 MicroPython: run tools/runtimes unix64")
    own = ROOT / ".venv" / "bin"
    path = [part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != own]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    environment |= {"PATH": os.pathsep.join(path), "HOME": str(tmp_path / "home")}
    environment |= {"PIP_NO_CACHE_DIR": "1", "STAGELOG_CACHE": str(cache_path())}
    if "STAGELOG_PYTHON" in os.environ:
        environment["STAGELOG_PYTHON"] = os.environ["STAGELOG_PYTHON"]
    (tmp_path / "home").mkdir()

    def run(*words):
        done = subprocess.run(
            words,
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    printed = run("tools/demo", "--seconds", "20")
    assert "setup: making .venv" in printed and "The report: " in printed
    assert "Building wheel" not in printed
    assert "uPlot" in (clone / "out/demo/report.html").read_text()
    assert "setup:" not in run("tools/setup"), "what tools/test begins with is ready"
    collect = ("-m", "pytest", "-q", "--collect-only", "-p", "no:xdist", "--assert=plain")
    collected = run(".venv/bin/python", *collect)
    assert "error" not in collected.splitlines()[-1]
    caches = [path.name for path in (tmp_path / "home").rglob("*") if "pip" in path.parts]
    assert not caches
