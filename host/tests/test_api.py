"""stagelog.open: arrays for scripts, from any log and from the archive."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stagelog
from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.errors import InputError, UsageError
from stagelog.export import open_frame_sink
from stagelog.ledger import BLOCK
from stagelog.model import FRAME

T0_UNIX_US = 1_790_000_000_000_000
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
 SG_ Temp : 16|8@1+ (1,-40) [0|0] "degC" ECU
BO_ 257 Box: 8 ECU
 SG_ Temp : 0|8@1+ (1,0) [0|0] "degC" ECU
BO_ 258 Never: 8 ECU
 SG_ Ghost : 0|8@1+ (1,0) [0|0] "V" ECU
"""


def frames_of(n=1000):
    frames = np.zeros(n, FRAME)
    frames["t_us"] = 1000 * np.arange(n)
    frames["can_id"] = np.where(np.arange(n) % 4 == 3, 257, 256)
    frames["dlc"] = frames["n_bytes"] = 8
    frames["data"][:, :2] = np.arange(n, dtype="<u2").view("u1").reshape(n, 2)
    frames["data"][:, 2] = 60
    return frames


@pytest.fixture
def dbc(tmp_path):
    path = tmp_path / "car.dbc"
    path.write_text(DBC)
    return path


def write_session(path, frames, boot=1, has_clock=True):
    anchors = [(0, T0_UNIX_US)] if has_clock else []
    identity = Identity("ab" * 8, boot, boot)
    path.write_bytes(pack_session(frames, identity, anchors=anchors).tobytes())
    return path


@pytest.fixture
def log(tmp_path):
    return write_session(tmp_path / "drive.slog", frames_of())


def test_frames_are_those_of_the_log(log):
    drive = stagelog.open(log)
    expected = frames_of()
    assert drive.times == "absolute"
    assert np.array_equal(drive.frames["t_us"], expected["t_us"] + T0_UNIX_US)
    assert np.array_equal(drive.frames["data"], expected["data"])


def test_signal_is_numpy_in_its_unit(log, dbc):
    t_us, values, unit = stagelog.open(log, dbc=dbc).signal("EngSpd")
    expected = frames_of()
    rows = expected["can_id"] == 256
    assert unit == "rpm" and values.dtype == np.float64
    assert np.array_equal(values, np.flatnonzero(rows) % 1024 * 0.25)
    assert np.array_equal(t_us, expected["t_us"][rows] + T0_UNIX_US)


def test_signals_of_several_messages_come_at_once(log, dbc):
    found = stagelog.open(log, dbc=dbc).signals(["EngSpd", "Box.Temp", "Engine.Temp"])
    assert [len(series.values) for series in found.values()] == [750, 250, 750]
    assert (found["Engine.Temp"].values == 20).all()


def test_names_are_checked(log, dbc):
    drive = stagelog.open(log, dbc=dbc)
    with pytest.raises(UsageError, match="name one of Engine.Temp, Box.Temp"):
        drive.signal("Temp")
    with pytest.raises(UsageError, match="did you mean EngSpd"):
        drive.signal("EngSpeed")
    with pytest.raises(UsageError, match="not the name of a message"):
        drive.to_pandas("EngSpd")
    with pytest.raises(UsageError, match="need a DBC"):
        stagelog.open(log).signal("EngSpd")


def test_signal_of_a_message_that_never_came_is_empty(log, dbc):
    drive = stagelog.open(log, dbc=dbc)
    assert drive.signal("Ghost").values.shape == (0,)
    assert drive.message("Never") is None
    assert drive.to_pandas("Never").columns.tolist() == ["t_us", "Ghost"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_have_a_column_per_signal(log, dbc, library):
    pytest.importorskip(library)
    drive = stagelog.open(log, dbc=dbc)
    table = getattr(drive, f"to_{library}")("Engine")
    assert list(table.columns) == ["t_us", "bus", "EngSpd", "Temp"]
    assert len(table) == 750 and table["EngSpd"].max() == 249.5
    frames = getattr(drive, f"to_{library}")()
    assert len(frames) == 1000
    assert frames["data"][1] == bytes([1, 0, 60, 0, 0, 0, 0, 0])


def test_gaps_are_on_the_clock_of_the_frames(tmp_path, dbc):
    path = write_session(tmp_path / "hole.slog", frames_of())
    content = bytearray(path.read_bytes())
    content[4096 + 200] ^= 1
    path.write_bytes(content)
    drive = stagelog.open(path, dbc=dbc)
    assert not drive.ledger.complete
    gap = next(gap for gap in drive.gaps if gap.cause == BLOCK and gap.n)
    before = drive.frames["t_us"][drive.frames["t_us"] <= gap.t_start_us]
    after = drive.frames["t_us"][drive.frames["t_us"] >= gap.t_end_us]
    assert gap.n == 1000 - len(drive.frames) > 200
    assert len(before) == 250 and len(before) + len(after) == len(drive.frames)
    assert drive.diagnostics[0].counts == {"bad block": 1}


def test_folder_of_the_archive_is_all_its_sessions(tmp_path, dbc):
    folder = stage_folder(tmp_path / "archive", "E", "C03", "SS01")
    folder.mkdir(parents=True)
    for boot in (1, 2):
        source = write_session(tmp_path / f"{boot}.slog", frames_of(400), boot, has_clock=False)
        opened = read_log(source)
        store_session(opened, opened.session(), folder)
    drive = stagelog.open(tmp_path / "archive", dbc=dbc)
    assert len(drive.paths) == 2 and len(drive.frames) == 800
    assert drive.times == "relative"
    assert [each.session.boot for each in drive.accounts] == [1, 2]
    assert drive.gaps == [] and all(each.ledger.complete for each in drive.accounts)
    with pytest.raises(InputError, match="2 sessions"):
        _ = drive.ledger
    one = stagelog.open(tmp_path / "archive", session=f"{'ab' * 8}-2")
    assert one.ledger.complete and len(one.frames) == 400


def test_the_start_of_a_name_must_fit_one_session(tmp_path):
    """Boots 1 and 2 of one logger in one file: their names begin alike."""
    each = [write_session(tmp_path / f"{boot}.slog", frames_of(400), boot) for boot in (1, 2)]
    both = tmp_path / "both.slog"
    both.write_bytes(b"".join(path.read_bytes() for path in each))
    with pytest.raises(InputError, match="is the start of 2 sessions: .*-1-.*, .*-2-"):
        _ = stagelog.open(both, session="ab" * 8).accounts
    with pytest.raises(InputError, match="cd is the start of 0 sessions: none"):
        _ = stagelog.open(both, session="cd").accounts
    (one,) = stagelog.open(both, session=f"{'ab' * 8}-2").accounts
    assert one.session.boot == 2


def test_foreign_log_has_signals_but_no_ledger(tmp_path, dbc):
    path = tmp_path / "drive.log"
    with open_frame_sink(path, "candump", ["can0"], from_epoch=True) as sink:
        sink.write(frames_of())
    drive = stagelog.open(path, dbc=dbc)
    assert len(drive.frames) == 1000 and drive.signal("EngSpd").values.max() == 249.5
    assert drive.accounts == () and drive.gaps == []
    with pytest.raises(InputError, match="none of ours"):
        _ = drive.ledger


def test_place_without_a_log_is_told(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        stagelog.open(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no session file"):
        stagelog.open(tmp_path)


def test_import_of_the_package_loads_nothing_heavy():
    code = "import sys, stagelog; print(sorted({'numpy', 'can', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "open" in stagelog.__all__ and Path(stagelog.__file__).name == "__init__.py"
