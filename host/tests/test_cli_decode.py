"""What decode counts, lists and refuses: values counted by hand on logs of a few frames.

The DBC has one message, 0x100 on 11 bits, with the byte X (scale 0.5).
"""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from slog.layout import BLOCK_BYTES
from stagelog.archive import store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.cli.decode import _decode, _share_of_frames
from stagelog.dbc import load_database
from stagelog.decode import compile_plan
from stagelog.model import EXT, FRAME

DBC = 'VERSION ""\nBS_:\nBU_: E\nBO_ 256 A: 1 E\n SG_ X : 0|8@1+ (0.5,0) [0|0] "" E\n'
ALICE, BOB = Identity("0a" * 8, 1, 1), Identity("0a" * 8, 2, 2)


@pytest.fixture
def dbc(tmp_path):
    path = tmp_path / "car.dbc"
    path.write_text(DBC, encoding="utf-8")
    return path


def frames_of(*can_ids, flags=0):
    frames = np.zeros(len(can_ids), FRAME)
    frames["t_us"] = np.arange(len(can_ids)) * 1000
    frames["can_id"], frames["flags"] = can_ids, flags
    frames["dlc"] = frames["n_bytes"] = 1
    frames["data"][:, 0] = 9
    return frames


def test_unknown_identifiers_come_by_how_often_they_are_there(run, dbc, tmp_path):
    """Identifier k stands there k times, 1 to 25; one of 29 bits 30 times: it is the first of the
    twenty, the identifiers 25 down to 7 follow.
    """
    often = frames_of(*(k for k in range(1, 26) for _ in range(k)))
    log = np.concatenate([often, frames_of(*[0x1ABCDEF] * 30, flags=EXT), frames_of(0x100)])
    log["t_us"] = np.arange(len(log)) * 1000
    path = tmp_path / "x.slog"
    path.write_bytes(pack_session(log, ALICE).tobytes())
    code, out, _ = run("decode", path, "--dbc", dbc, "-o", tmp_path / "o", "--json")
    (report,) = json.loads(out)["sessions"]
    rows = [(row["can_id"], row["n_frames"]) for row in report["unknown"]]
    assert rows == [("01ABCDEF", 30), *((f"{k:03X}", k) for k in range(25, 6, -1))]
    assert (code, report["n_unknown"], report["n_decoded"]) == (0, 25 * 26 // 2 + 30, 1)


def test_unknown_identifiers_of_several_tables_are_added(dbc):
    """A log is read in tables: two times and three times are five."""

    class Sink:
        mode, paths = "phys", ()
        __enter__ = __exit__ = write = lambda *_: None

    plan = compile_plan(load_database(dbc), None, None)
    tables = [frames_of(5, 5, 0x100), frames_of(5, 5, 5)]
    found = _decode(iter(tables), plan, Sink(), {}, None)
    assert found["unknown"] == [{"can_id": "005", "n_frames": 5}]
    assert (found["n_frames"], found["n_decoded"], found["n_unknown"]) == (6, 1, 5)


def both(first, second, n_lost=0):
    """Return two sessions in one file; the first lacks its second block if `n_lost`."""
    blocks = pack_session(frames_of(*first), ALICE)
    later = pack_session(frames_of(*second), BOB, first_seq=len(blocks) + 1)
    return np.concatenate([blocks[:1], blocks[1 + n_lost :], later]).tobytes()


@pytest.mark.parametrize(("n_lost", "code"), [(0, 0), (1, 1)])
def test_a_hole_in_the_first_of_two_sessions_gives_1(run, dbc, tmp_path, n_lost, code):
    path = tmp_path / "x.slog"
    path.write_bytes(both([0x100] * 600, [0x100] * 3, n_lost))
    assert path.stat().st_size == (4 - n_lost) * BLOCK_BYTES
    assert run("decode", path, "--dbc", dbc, "-o", tmp_path / "o")[0] == code


@pytest.mark.parametrize(("first", "second", "code"), [(1, 256, 0), (256, 1, 0), (1, 1, 1)])
def test_one_session_that_is_decoded_is_enough(run, dbc, tmp_path, first, second, code):
    path = tmp_path / "x.slog"
    path.write_bytes(both([first], [second]))
    assert run("decode", path, "--dbc", dbc, "-o", tmp_path / "o")[0] == code


def test_a_file_that_the_archive_lacks_is_named_and_the_others_are_decoded(run, dbc, tmp_path):
    for identity in (ALICE, BOB):
        path = tmp_path / f"{identity.boot}.slog"
        path.write_bytes(pack_session(frames_of(0x100), identity).tobytes())
        entry = store_session(read_log(path), read_log(path).session(), tmp_path / "archive")
    entry.path.unlink()
    folder = tmp_path / "archive"
    code, out, _ = run("decode", folder, "--dbc", dbc, "-o", tmp_path / "o", "--json")
    facts = json.loads(out)
    assert code == 1 and [s["n_decoded"] for s in facts["sessions"]] == [1]
    (other,) = facts["others"]
    assert other["kind"] == "incomplete" and "is missing" in other["text"]


@pytest.mark.parametrize(("words", "value"), [((), 4.5), (("--raw",), 9)])
def test_raw_is_the_integer_of_the_frame(run, dbc, tmp_path, words, value):
    """9 x 0.5 is 4.5."""
    path = tmp_path / "x.slog"
    path.write_bytes(pack_session(frames_of(0x100), ALICE).tobytes())
    assert run("decode", path, "--dbc", dbc, "-o", tmp_path / "o", *words)[0] == 0
    (file,) = (tmp_path / "o").glob("*.parquet")
    (found,) = pq.read_table(file).column("X").to_pylist()
    assert found == value and type(found) is type(value)


def test_raw_values_are_not_written_as_csv(run, dbc, tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(pack_session(frames_of(0x100), ALICE).tobytes())
    code, _, err = run("decode", path, "--dbc", dbc, "-o", tmp_path / "o", "--raw", "--csv")
    assert code == 2 and "--raw with --csv" in err and not (tmp_path / "o").exists()


def test_csv_files_that_are_there_stay_without_force(run, dbc, tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(pack_session(frames_of(0x100), ALICE).tobytes())
    words = ("decode", path, "--dbc", dbc, "-o", tmp_path / "o", "--csv")
    assert run(*words)[0] == 0
    (file,) = (tmp_path / "o").glob("*.csv")
    file.write_text("notes")
    assert run(*words)[0] == 6 and file.read_text() == "notes"
    assert run(*words, "--force")[0] == 0 and "4.5" in file.read_text()


def test_a_quarter_of_the_frames_is_a_quarter():
    assert _share_of_frames(200, 50) == 0.25
