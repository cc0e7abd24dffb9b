"""What a wheel carries: three packages, the firmware and the DBC files, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling builds the wheel (extra dev)")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.parametrize(
    ("source", "packed"),
    [
        ("host/stagelog", "stagelog"),
        ("firmware/slog", "slog"),
        ("firmware/slog", "stagelog/_firmware/slog"),
        ("firmware/detectors", "detectors"),
        ("firmware/detectors", "stagelog/_firmware/detectors"),
        ("firmware/logger", "stagelog/_firmware/logger"),
        ("firmware/drivers", "stagelog/_firmware/drivers"),
        ("firmware/boards", "stagelog/_firmware/boards"),
    ],
)
def test_every_source_is_in_the_wheel(names, source, packed):
    folder = ROOT / source
    sources = {f"{packed}/{path.relative_to(folder)}" for path in folder.rglob("*.py")}
    assert sources <= names


def test_build_scripts_and_dbc_are_in_the_wheel(names):
    assert {"stagelog/rig/build/unix.sh", "stagelog/rig/build/pico.sh"} <= names
    assert "stagelog/_dbc/d7xr.dbc" in names


def test_nothing_else_is_in_the_wheel(names):
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "detectors",
        "slog",
        "stagelog",
    }
    assert not [name for name in names if "tests/" in name or name.endswith(".pyc")]
