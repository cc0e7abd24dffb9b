"""What a wheel carries: three packages, the firmware, the DBC files and uPlot, and nothing else.
Where uPlot comes from.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from stagelog import resources
from stagelog.errors import InputError
from stagelog.events.compiled import build

pytest.importorskip("hatchling", reason="hatchling builds the wheel (extra dev)")
ROOT = Path(__file__).resolve().parents[2]
PAGE = "stagelog/report/page"
# sha256sum of dist/uPlot.iife.min.js, dist/uPlot.min.css and LICENSE of the package uplot 1.6.32
UPLOT = {
    "uplot.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uplot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}


def build_wheel(folder, **environment):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    env = {**os.environ, **environment}
    subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, stdin=subprocess.DEVNULL, env=env
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel):
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


def test_a_wheel_is_for_every_machine_unless_it_carries_compiled_detectors(wheel, tmp_path):
    try:
        build.build()
    except build.NoCompiler as why:
        pytest.skip(str(why))
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if "_detectors_" in name]
    path = build_wheel(tmp_path, STAGELOG_COMPILED="1")
    version = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert f"-{version}-{version}-" in path.name
    held = [name for name in zipfile.ZipFile(path).namelist() if "_detectors_" in name]
    assert [name.rpartition("/")[0] for name in held] == ["stagelog/events/compiled"]


def test_uplot_is_in_the_wheel_with_its_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        found = {
            name: hashlib.sha256(archive.read(f"{PAGE}/vendor/{name}")).hexdigest()
            for name in UPLOT
        }
    assert found == UPLOT


def test_uplot_is_not_in_the_repository():
    command = ["git", "ls-files", "*uplot*", "*uPlot*", "*/vendor/*", "*.min.*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is not a git checkout")
    assert done.stdout == ""


@pytest.fixture
def hook():
    """The build hook as a module."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "tools/hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_build_without_npm_says_what_to_install(hook, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(hook.UplotError, match=r"npm, which is not installed; install Node"):
        hook.put_uplot(tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()


def test_a_package_that_was_changed_is_not_taken(hook, tmp_path, monkeypatch):
    """A stand-in for npm brings a package of the right name with other contents."""
    for path in hook.FILES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("alert('not uPlot')")
    with tarfile.open(tmp_path / "changed.tar", "w:gz") as archive:
        archive.add(tmp_path / "package", "package")
    for name in ("npm", "node"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nexec cp {tmp_path}/changed.tar uplot-1.6.32.tgz\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(hook.UplotError, match="do not use it"):
        hook.put_uplot(tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()


def test_a_source_archive_builds_without_npm(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build"]
    options = {"check": True, "capture_output": True, "stdin": subprocess.DEVNULL}
    subprocess.run([*build, "-t", "sdist", "-d", tmp_path], cwd=ROOT, **options)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path)
    environment = {**os.environ, "PATH": str(tmp_path)}
    source = archive.with_name(archive.name.removesuffix(".tar.gz"))
    subprocess.run([*build, "-t", "wheel", "-d", tmp_path], cwd=source, env=environment, **options)
    (wheel,) = tmp_path.glob("*.whl")
    assert {f"{PAGE}/vendor/{name}" for name in UPLOT} <= set(zipfile.ZipFile(wheel).namelist())


def test_a_report_without_uplot_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path)
    with pytest.raises(InputError, match=r"no vendor in .*install stagelog again; .*tools/setup"):
        resources.uplot_path()
