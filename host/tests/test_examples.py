"""The examples run as they stand, on a drive of the virtual car, and print what they promise."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stagelog import car
from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.card import prepare_raw
from stagelog.resources import dbc_path
from stagelog.rig.live import LiveLogger
from stagelog.rig.tape import tape_of
from stagelog.rig.target import tape_events

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DBC = dbc_path() / "d7xr.dbc"
T0_UNIX_US = 1_790_000_000_000_000


@pytest.fixture(scope="module")
def frames():
    return car.drive("stage", seed=1, duration_s=20).frames


@pytest.fixture(scope="module")
def log(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "drive.slog"
    blocks = pack_session(frames, Identity("ab" * 8, 1, 1), anchors=[(0, T0_UNIX_US)])
    path.write_bytes(blocks.tobytes())
    return path


def run(name, *arguments):
    """Run an example as a user would; return what it prints."""
    command = [sys.executable, EXAMPLES / name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_signals_to_numpy(log):
    lines = run("signals_to_numpy.py", log, DBC).splitlines()
    assert lines[0].startswith("EngSpd") and " rpm, " in lines[0]
    assert lines[-1].startswith("engine above 5,000 rpm for ")


def test_message_to_pandas(log, frames):
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    printed = run("message_to_pandas.py", log, DBC, "ENG_1")
    assert "EngSpd" in printed.splitlines()[0]
    assert f"{len(frames):,} frames, " in printed


def test_what_is_missing(log, frames, tmp_path):
    printed = run("what_is_missing.py", log)
    assert ": COMPLETE" in printed and f"bus 0: {(frames['bus'] == 0).sum():,} frames" in printed
    content = bytearray(log.read_bytes())
    content[4096 * 3 + 500] ^= 1
    (tmp_path / "hole.slog").write_bytes(content)
    printed = run("what_is_missing.py", tmp_path / "hole.slog")
    assert "INCOMPLETE: " in printed and "block 4 damaged or missing" in printed


def test_ask_the_archive(log, tmp_path):
    pytest.importorskip("duckdb")
    pytest.importorskip("pandas")
    folder = stage_folder(tmp_path, "DAKAR26", "03", "SS01")
    folder.mkdir(parents=True)
    opened = read_log(log)
    store_session(opened, opened.session(), folder)
    printed = run("ask_the_archive.py", tmp_path, DBC)
    assert "messages decoded" in printed and "front_degC" in printed
    assert "C03" in printed.splitlines()[2]


def test_python_can_reader(log):
    pytest.importorskip("can")
    lines = run("python_can_reader.py", log).splitlines()
    assert len(lines) == 5 and lines[0].startswith("bus ")


def test_live_bus(frames, tmp_path):
    pytest.importorskip("can")
    prepare_raw(tmp_path / "card.img", 1024)
    events = tape_events(tape_of(frames[frames["bus"] == 0]), 200_000)
    logger = LiveLogger({"card": str(tmp_path / "card.img")}, events)
    done = threading.Event()
    thread = threading.Thread(target=logger.run, args=(done.is_set,))
    thread.start()
    try:
        lines = run("live_bus.py", logger.port).splitlines()
    finally:
        done.set()
        thread.join()
        logger.close()
    assert len(lines) == 10 and all("ID:" in line for line in lines)


def test_every_example_is_tested_and_listed():
    listed = (EXAMPLES / "README.md").read_text()
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == set(re.findall(r' run\("(\w+\.py)"', Path(__file__).read_text()))
    assert all(name in listed for name in names)
