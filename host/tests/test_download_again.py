"""Download twice: the archive looks at what it vouches for; a session lives in one place."""

import json
import os
import shutil

import numpy as np
import pytest

from slog.layout import BLOCK_BYTES
from slog.messages import CONTROL_STOP, STATE_IDLE
from stagelog.archive import find_sessions, stage_folder
from stagelog.archive.manifest import put_entry
from stagelog.blocks import read_log
from stagelog.rig.play import saturated_tape
from stagelog.rig.tape import FRAME
from stagelog.rig.target import SimTarget

DBC = """VERSION ""
BS_:
BU_: ECU
BO_ {can_id} Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (1,0) [0|0] "rpm" ECU
"""


@pytest.fixture
def target(tmp_path, monkeypatch):
    """A simulated logger that recorded half a second, at the other end of every cable."""
    rig = SimTarget(tmp_path)
    rig.play(saturated_tape(500_000, 500_000))
    monkeypatch.setattr(rig.link, "close", lambda: None)
    monkeypatch.setattr("stagelog.ports.open_link", lambda port: rig.link)
    yield rig
    rig.close()


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "a"


def longest(archive):
    return max(archive.rglob("*.slog"), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("more", [(), ("--again",)])
@pytest.mark.parametrize("n_left", [0, 1, 5])
def test_a_file_that_was_cut_meanwhile_is_fetched_again(run, target, archive, more, n_left):
    words = ("download", "x", "--archive", archive, "--stop")
    assert run(*words)[0] == 0
    path = longest(archive)
    whole = path.read_bytes()
    os.truncate(path, n_left * BLOCK_BYTES + 77)
    assert run("verify", path)[0] in (1, 5)
    code, out, _ = run(*words, *more, "--json")
    found = next(s for s in json.loads(out)["sessions"] if s["path"] == str(path))
    assert code == 0 and found["outcome"] == "fetched" and found["complete"]
    assert found["n_new_blocks"] == len(whole) // BLOCK_BYTES - n_left
    assert path.read_bytes() == whole and run("verify", archive)[0] == 0


def test_the_words_of_a_download_say_whether_the_session_is_complete(run, target, archive):
    """One bit of a block on the card is wrong: its frames are not in the archive."""
    words = ("download", "x", "--archive", archive, "--stop")
    code, out, _ = run(*words)
    path = longest(archive)
    (line,) = (line for line in out.splitlines() if path.name in line)
    assert code == 0 and line.endswith(" complete")
    block = path.read_bytes()[2 * BLOCK_BYTES : 3 * BLOCK_BYTES]
    at = target.card_path.read_bytes().index(block)
    with open(target.card_path, "r+b") as card:
        card.seek(at + 500)
        card.write(bytes([block[500] ^ 1]))
    shutil.rmtree(archive)
    code, out, _ = run(*words)
    (line,) = (line for line in out.splitlines() if path.name in line)
    assert code == 1 and line.endswith("NOT COMPLETE, see 'stagelog verify'")


def test_a_file_that_was_deleted_is_fetched_again(run, target, archive):
    words = ("download", "x", "--archive", archive, "--stop")
    assert run(*words)[0] == 0
    path = longest(archive)
    whole = path.read_bytes()
    path.unlink()
    code, _, _ = run(*words)
    assert code == 0 and path.read_bytes() == whole


def test_a_changed_byte_is_found_by_the_time_of_the_file_or_when_asked(run, target, archive):
    words = ("download", "x", "--archive", archive, "--stop")
    assert run(*words)[0] == 0
    path = longest(archive)
    whole, stat = path.read_bytes(), path.stat()
    changed = bytearray(whole)
    changed[2 * BLOCK_BYTES + 100] ^= 1
    path.write_bytes(changed)
    assert run(*words)[0] == 0 and path.read_bytes() == whole
    path.write_bytes(changed)
    stat = next(e for e in find_sessions(archive) if e.path == path).values["mtime_ns"]
    os.utime(path, ns=(stat, stat))
    assert run(*words)[0] == 0 and path.read_bytes() == bytes(changed)  # looks as it was left
    assert run(*words, "--again")[0] == 0 and path.read_bytes() == whole


@pytest.fixture
def grown(run, target, archive, tmp_path):
    """Half a second downloaded into SS01 while recording, all of a second into SS02 at its end."""
    assert run("download", "x", "--archive", archive, "--stage", "SS01", "--no-stop")[0] == 0
    early = longest(archive).read_bytes()
    manifest = longest(archive).with_name("manifest.json").read_text()
    target.play(saturated_tape(500_000, 500_000))
    assert run("download", "x", "--archive", archive, "--stage", "SS02", "--stop")[0] == 0
    tape = saturated_tape(500_000, 500_000)
    sent = tape[tape["kind"] == FRAME]
    can_id = int(sent["can_id"][0])
    is_ext = int(sent["flags"][0]) & 1
    assert (sent["can_id"] == can_id).all()
    dbc = tmp_path / "car.dbc"
    dbc.write_text(DBC.format(can_id=can_id | is_ext << 31))
    return dbc, 2 * len(sent), early, json.loads(manifest)["sessions"][0]


def counted(run, archive, dbc):
    """Return what query, decode and the Python API count."""
    import stagelog

    code, out, _ = run(
        "query", "select count(*) n from Engine", "--archive", archive, "--dbc", dbc
    )
    decoded = archive.parent / f"out{len(list(archive.parent.glob('out*')))}"
    _, out_decode, _ = run("decode", archive, "--dbc", dbc, "-o", decoded, "--json")
    n_decoded = sum(s["n_decoded"] for s in json.loads(out_decode)["sessions"])
    _, views, _ = run("query", "select sum(n_frames) n from sessions", "--archive", archive)
    drive = stagelog.open(archive)
    return {int(out.split()[-1]), n_decoded, len(drive.frames), int(float(views.split()[-1]))}


def test_a_session_downloaded_while_it_runs_lives_in_one_place(run, grown, archive):
    pytest.importorskip("duckdb")
    dbc, n_frames, *_ = grown
    (path,) = [p for p in archive.rglob("*.slog") if read_log(p).session().n_frames]
    assert "stage=SS01" in str(path)
    assert counted(run, archive, dbc) == {n_frames}
    assert run("verify", archive)[0] == 0


def test_a_partial_copy_in_another_stage_is_never_counted(run, grown, archive, tmp_path):
    """As older versions left it, or two archives that were put together."""
    pytest.importorskip("duckdb")
    dbc, n_frames, early, values = grown
    folder = stage_folder(archive, "unsorted", "X", "SS09")
    folder.mkdir(parents=True)
    (folder / values["file"]).write_bytes(early)
    put_entry(folder, values)
    assert counted(run, archive, dbc) == {n_frames}
    code, out, _ = run("verify", archive)
    assert code == 0 and "superseded: every block of session" in out
    assert (folder / values["file"]).read_bytes() == early


def test_each_of_two_copies_has_a_block_that_the_other_lacks(run, grown, archive):
    """Block 2 of the whole copy is damaged: 252 frames, which the partial one still holds."""
    dbc, n_frames, early, values = grown
    whole = longest(archive)
    content = bytearray(whole.read_bytes())
    content[BLOCK_BYTES + 500] ^= 1
    whole.write_bytes(content)
    folder = stage_folder(archive, "unsorted", "X", "SS09")
    folder.mkdir(parents=True)
    (folder / values["file"]).write_bytes(early)
    put_entry(folder, values)
    import stagelog

    frames = stagelog.open(archive).frames
    assert len(frames) == n_frames and len(np.unique(frames["t_us"])) == n_frames


def test_a_query_over_half_a_session_says_so_and_exits_1(run, grown, archive):
    pytest.importorskip("duckdb")
    dbc, n_frames, *_ = grown
    os.truncate(longest(archive), 3 * BLOCK_BYTES)
    words = ("query", "select count(*) n from Engine", "--archive", archive)
    code, out, err = run(*words, "--dbc", dbc)
    assert code == 1 and int(out.split()[-1]) < 3 * 252
    assert (
        "INCOMPLETE: " in err and f"{n_frames - int(out.split()[-1]):,} frames are not here" in err
    )
    code, out, _ = run(*words, "--json")
    facts = json.loads(out)
    assert code == 1 and facts["complete"] is False and "INCOMPLETE" in facts["verdict"]["text"]
    assert run("download", "x", "--archive", archive, "--stop")[0] == 0
    code, out, _ = run(*words, "--dbc", dbc)
    assert code == 0 and int(out.split()[-1]) == n_frames


def test_a_query_names_a_session_whose_cars_dbc_is_gone(run, target, archive, tmp_path):
    pytest.importorskip("duckdb")
    dbc = tmp_path / "car.dbc"
    words = ("query", "select count(*) n from Engine", "--archive", archive)
    assert run("download", "x", "--archive", archive, "--stop")[0] == 0
    first = longest(archive)
    frame = next(read_log(first).session().iter_frames())[0]
    dbc.write_text(DBC.format(can_id=int(frame["can_id"]) | int(frame["flags"] & 1) << 31))
    assert run(*words, "--dbc", dbc)[0] == 0 and run(*words)[0] == 0
    target.play(saturated_tape(500_000, 200_000))
    assert run("download", "x", "--archive", archive, "--stop")[0] == 0
    dbc.rename(tmp_path / "gone.dbc")
    code, _, err = run(*words)
    assert code == 1 and "is not decoded and not counted: add --dbc" in err
    (tmp_path / "gone.dbc").rename(dbc)
    assert run(*words)[0] == 0, "decoded with the DBC of the car's other session"


def test_a_file_that_was_cut_is_seen_by_its_size_alone(run, target, archive):
    words = ("download", "x", "--archive", archive, "--stop")
    assert run(*words)[0] == 0
    path = longest(archive)
    whole, t_ns = path.read_bytes(), path.stat().st_mtime_ns
    os.truncate(path, 3 * BLOCK_BYTES)
    os.utime(path, ns=(t_ns, t_ns))
    assert run(*words)[0] == 0 and path.read_bytes() == whole


def test_the_longer_copy_counts_wherever_it_lies(run, grown, archive):
    """The folder of the partial copy comes first."""
    _, _, early, values = grown
    folder = stage_folder(archive, "aaa", "A", "S1")
    folder.mkdir(parents=True)
    (folder / values["file"]).write_bytes(early)
    put_entry(folder, values)
    code, out, _ = run("verify", archive)
    (line,) = (line for line in out.splitlines() if line.startswith("superseded"))
    assert code == 0 and "event=unsorted" in line


def test_a_logger_that_was_stopped_stays_stopped_after_a_download(run, target, archive):
    target.link.control(CONTROL_STOP, target.link.hello().boot)
    before = target.link.hello()
    code, out, _ = run("download", "x", "--archive", archive, "--stop", "--json")
    assert code == 0 and len(json.loads(out)["sessions"]) == 1
    after = target.link.hello()
    assert before.state == after.state == STATE_IDLE
    assert len(target.link.list_sessions()) == 1
