"""stagelog watch: what a logger records, shown while it records, and the logger undisturbed."""

import json
import threading
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner

from stagelog.card import prepare_raw
from stagelog.cli import group, watch
from stagelog.cli.watch import _Frames, _values
from stagelog.errors import DeviceError, UsageError
from stagelog.model import EXT, FRAME
from stagelog.rig.live import LiveLogger
from stagelog.rig.tape import tape_of
from stagelog.rig.target import tape_events

DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
 SG_ Gear : 16|8@1+ (1,0) [0|0] "" ECU
VAL_ 256 Gear 0 "neutral" 1 "first" ;
"""


def frames_of(n):
    frames = np.zeros(n, FRAME)
    frames["t_us"] = 1000 * np.arange(n)
    frames["can_id"] = 256
    frames["dlc"] = frames["n_bytes"] = 8
    frames["data"][:, :2] = np.arange(n, dtype="<u2").view("u1").reshape(n, 2)
    frames["data"][:, 2] = np.arange(n) % 3
    return frames


@pytest.fixture
def port(tmp_path):
    card = tmp_path / "card.img"
    prepare_raw(card, 1024)
    logger = LiveLogger({"card": str(card)}, tape_events(tape_of(frames_of(20_000)), 200_000))
    done = threading.Event()
    thread = threading.Thread(target=logger.run, args=(done.is_set,))
    thread.start()
    (tmp_path / "car.dbc").write_text(DBC)
    yield logger.port
    done.set()
    thread.join()
    logger.close()


@pytest.fixture
def lines_as_seconds(monkeypatch):
    """Make --duration count the lines that were shown: a slow machine shows no fewer of them."""
    shown = []
    echo = click.echo
    monkeypatch.setattr(watch.click, "echo", lambda *a, **k: (shown.append(1), echo(*a, **k)))
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: float(len(shown))))


def are_in_order(numbers, done):
    """Return whether numbers follow each other, but for blocks that were skipped and named."""
    steps = np.diff(numbers)
    return (steps == 1).all() or ("came too fast" in done.stderr and (steps > 0).all())


def test_frames_are_shown_as_candump_does(port, lines_as_seconds):
    done = CliRunner().invoke(group, ["watch", port, "--duration", "300"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    counts = [int(line.split("#")[1][2:4] + line.split("#")[1][:2], 16) for line in lines]
    assert len(counts) >= 300
    assert are_in_order(counts, done)


def test_values_are_shown_with_unit_and_text(port, tmp_path, lines_as_seconds):
    words = ["watch", port, "--dbc", str(tmp_path / "car.dbc"), "--duration", "600"]
    done = CliRunner().invoke(group, words)
    assert done.exit_code == 0, done.output
    speeds = [line.split() for line in done.stdout.splitlines() if "EngSpd" in line]
    assert len(speeds) >= 300 and all(words[1] == "can0" and words[4] == "rpm" for words in speeds)
    assert are_in_order([float(words[3]) / 0.25 for words in speeds], done)
    gears = {line.split()[3] for line in done.output.splitlines() if "Gear" in line}
    assert gears == {"neutral", "first", "2"}


def test_table_holds_the_newest_of_each(tmp_path):
    (tmp_path / "car.dbc").write_text(DBC)
    frames = frames_of(10)
    frames["can_id"][3] = 0x18FEF100
    frames["flags"][3] = EXT
    view = _Frames()
    view.take(frames)
    table = view.table()
    assert table.row_count == 2
    assert list(table.columns[1].cells) == ["100", "18FEF100"]
    assert list(table.columns[2].cells) == ["9", "1"]
    values = _values((str(tmp_path / "car.dbc"),), ("EngSpd",))
    values.take(frames)
    assert list(values.table().columns[2].cells) == ["2.25"]


def test_json_has_an_object_per_line(tmp_path, port):
    done = CliRunner().invoke(group, ["watch", port, "--duration", "0.5", "--json"])
    frames = [json.loads(line) for line in done.output.splitlines()]
    assert frames[0].keys() == {"t_us", "bus", "can_id", "data"}
    assert frames[0]["can_id"] == "100" and len(frames[0]["data"]) == 16
    values = _values((str(tmp_path / "car.dbc"),), ("EngSpd",)).entries(frames_of(3))
    assert values[2] == {
        "t_us": 2000,
        "bus": 0,
        "source": None,
        "signal": "Engine.EngSpd",
        "value": 0.5,
        "text": "0.5",
        "unit": "rpm",
    }


def test_mistakes_are_told(tmp_path):
    done = CliRunner().invoke(group, ["watch", str(tmp_path / "none")])
    assert isinstance(done.exception, DeviceError)
    done = CliRunner().invoke(group, ["watch", "x", "--signal", "EngSpd"])
    assert isinstance(done.exception, UsageError)
