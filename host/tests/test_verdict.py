"""COMPLETE needs a witness of the end: what each verb says of a log that was cut at a known place.

The drives are those of `cut_drives`.
"""

import json

import numpy as np
import pytest
from cut_drives import ALICE, BOB, T_UNIX_US, drive_blocks, says, write

from slog.layout import BLOCK_BYTES
from stagelog.archive import stage_folder, store_session
from stagelog.blocks import pack_session, read_log
from stagelog.download import facts_of, fetch_session, finish_running
from stagelog.ending import CUT, POWER_OFF, STOPPED, End, find_end
from stagelog.ending import OPEN as OPEN_KIND
from stagelog.importers.diagnostics import Diagnostics
from stagelog.model import FRAME
from stagelog.rig.play import saturated_tape
from stagelog.rig.target import SimTarget
from stagelog.verdict import judge_foreign


def test_half_a_file_is_an_open_end(run, tmp_path):
    """head -c 700000: 170 blocks and 3,680 bytes; 250 + 169 * 252 = 42,838 frames.

    The last of them came 42,837 * 500 us = 21.4185 s after the first, at 14:03:43.538.
    """
    content = drive_blocks().tobytes()
    path = tmp_path / "x.slog"
    path.write_bytes(content[:700_000])
    code, out, _ = run("verify", path)
    assert code == 1 and "42,838 held" in out
    assert says(out) == ["open end: cannot know what is missing after 14:03:43.538"]
    code, out, _ = run("verify", path, "--json")
    facts = json.loads(out)
    assert code == 1 and facts["complete"] is False
    assert facts["verdict"]["kind"] == "open end"
    assert facts["logs"][0]["sessions"][0]["end"]["kind"] == "open"


def test_a_file_cut_at_a_block_without_a_manifest_is_an_open_end(run, tmp_path):
    code, out, _ = run("verify", write(tmp_path / "x.slog", drive_blocks()[:100]))
    assert code == 1 and says(out)[0].startswith("open end: cannot know what is missing after 14:")
    whole = write(tmp_path / "y.slog", drive_blocks())
    code, out, _ = run("verify", whole)
    assert code == 0 and says(out) == ["COMPLETE: every frame that was seen is here"]


def test_a_file_shorter_than_its_manifest_says_how_many_frames_are_missing(run, tmp_path):
    """60,000 frames; 100 blocks hold 250 + 99 * 252 = 25,198 of them: 34,802 are missing."""
    log = read_log(write(tmp_path / "x.slog", drive_blocks()))
    n_blocks = len(drive_blocks())
    entry = store_session(log, log.session(), stage_folder(tmp_path / "a", "E", "3", "S1"))
    with open(entry.path, "r+b") as file:
        file.truncate(100 * BLOCK_BYTES)
    code, out, _ = run("verify", entry.path)
    assert code == 1 and "60,000 stored" in out and "34,802 missing" in out
    assert f"{n_blocks - 100:,} blocks behind the last one, says the manifest" in out
    assert f"INCOMPLETE: 34,802 frames are not here, {n_blocks - 100} blocks at the end" in out
    assert "SHA-256" in out
    entry.path.with_name("manifest.json").unlink()
    code, out, _ = run("verify", entry.path)
    assert code == 1 and "open end" in says(out)[0]


def test_a_missing_block_without_a_frame_is_reported_as_such(run, tmp_path):
    """The 252 frames of the blocks 1 and 2 end before the pause; block 3 holds END alone."""
    path = write(tmp_path / "x.slog", drive_blocks(250 + 252))
    log = read_log(path)
    assert log.session().n_blocks == 3 and log.session().scan.n_frames[2].sum() == 0
    entry = store_session(log, log.session(), tmp_path / "a")
    with open(entry.path, "r+b") as file:
        file.truncate(2 * BLOCK_BYTES)
    code, out, _ = run("verify", entry.path)
    assert code == 1 and "502 held, 0 missing" in out
    assert "INCOMPLETE: 1 block at the end missing" in out


def test_a_damaged_block_without_a_frame_costs_no_frame(run, tmp_path):
    """Blocks: session record and 250 frames; an anchor alone; ten frames and END."""
    frames = np.zeros(260, FRAME)
    frames["t_us"] = np.arange(260) * 500 + np.where(np.arange(260) < 250, 0, 20_000_000)
    blocks = pack_session(frames, ALICE, anchors=[(10_000_000, T_UNIX_US)])
    assert len(blocks) == 3 and blocks[1, 3] == 1
    blocks[1, 70] ^= 1
    code, out, _ = run("verify", write(tmp_path / "x.slog", blocks))
    assert code == 1 and says(out) == ["INCOMPLETE: 1 block that holds no frame missing"]


def test_a_copy_of_a_cut_file_in_the_archive_stays_an_open_end(run, tmp_path):
    log = read_log(write(tmp_path / "x.slog", drive_blocks()[:100]))
    store_session(log, log.session(), stage_folder(tmp_path / "a", "E", "3", "S1"))
    code, out, _ = run("verify", tmp_path / "a")
    assert code == 1 and says(out)[0].startswith("open end")


@pytest.fixture
def target(tmp_path):
    rig = SimTarget(tmp_path)
    rig.play(saturated_tape(500_000, 700_000))
    yield rig
    rig.close()


def fetch(target, folder):
    return [
        fetch_session(target.link, session, folder, facts_of(target.link.hello()))
        for session in reversed(target.link.list_sessions())
    ]


def test_a_missing_first_block_without_a_frame_is_named(run, tmp_path):
    """A second of a silent bus is a block of its own; how many lay before it, nobody knows."""
    target = SimTarget(tmp_path)
    target.run_for(1_000_000)
    target.play(saturated_tape(500_000, 700_000))
    finish_running(target.link, always=True)
    (one,) = fetch(target, tmp_path / "a")
    target.close()
    path = tmp_path / "x.slog"
    path.write_bytes(one.entry.path.read_bytes()[BLOCK_BYTES:])
    code, out, _ = run("verify", path)
    assert code == 1 and " held, 0 missing" in out
    assert says(out) == ["INCOMPLETE: the first blocks are missing; they held no frame"]


def test_a_session_that_ended_with_the_power_is_complete_up_to_it(run, target, tmp_path):
    target.power_cut()
    target.power_on()
    finish_running(target.link, always=True)
    first, *_ = fetch(target, stage_folder(tmp_path / "a", "E", "3", "S1"))
    assert not read_log(first.entry.path).session().has_last
    code, out, _ = run("verify", first.entry.path)
    assert code == 0 and says(out)[0].startswith("COMPLETE up to power-off at 0.")
    assert "at most 250 ms and the block being written are not here" in out
    code, out, _ = run("verify", target.card_path)
    assert code == 0 and [line[:24] for line in says(out)] == [
        "COMPLETE up to power-off",
        "COMPLETE: every frame th",
    ]


def test_a_running_session_is_not_complete(run, target, tmp_path):
    (one,) = fetch(target, stage_folder(tmp_path / "a", "E", "3", "S1"))
    code, out, _ = run("verify", one.entry.path)
    assert code == 1 and says(out)[0].startswith(
        "open end: cannot know what is missing later than 0."
    )
    assert "still being recorded" in out


def test_a_converted_log_is_foreign(run, tmp_path):
    log = tmp_path / "x.log"
    log.write_text("(1768658602.120000) can0 100#0011223344556677\n" * 2000)
    assert run("convert", log, tmp_path / "x.slog")[0] == 0
    code, out, _ = run("verify", tmp_path / "x.slog")
    assert code == 0
    assert says(out) == ["foreign log: what its logger lost cannot be known"]
    _, out, _ = run("verify", tmp_path / "x.slog", "--json")
    assert json.loads(out)["complete"] is None
    content = (tmp_path / "x.slog").read_bytes()
    (tmp_path / "x.slog").write_bytes(content[: 3 * BLOCK_BYTES])
    code, out, _ = run("verify", tmp_path / "x.slog")
    assert code == 1 and says(out)[0].startswith("open end")


@pytest.fixture
def half(tmp_path):
    """Half a drive: 100 blocks, 25,198 frames, the last at 14:03:34.718."""
    return write(tmp_path / "half.slog", drive_blocks()[:100])


OPEN = "open end: cannot know what is missing after 14:03:34.718"
DBC_TEXT = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (1,0) [0|0] "rpm" ECU
"""


@pytest.fixture
def dbc(tmp_path):
    path = tmp_path / "car.dbc"
    path.write_text(DBC_TEXT)
    return path


def test_decode_of_half_a_log_says_so_and_exits_1(run, half, dbc, tmp_path):
    code, out, _ = run("decode", half, "--dbc", dbc, "-o", tmp_path / "o")
    assert code == 1 and "25,198 of 25,198 frames decoded" in out and says(out) == [OPEN]
    code, out, _ = run("decode", half, "--dbc", dbc, "-o", tmp_path / "p", "--json")
    (report,) = json.loads(out)["sessions"]
    assert code == 1 and report["complete"] is False and report["verdict"]["text"] == OPEN


def test_decode_that_leaves_out_a_damaged_block_says_so(run, dbc, tmp_path):
    """Block 4 of the file is damaged: 252 frames."""
    blocks = drive_blocks()
    blocks[3, 500] ^= 1
    path = write(tmp_path / "hole.slog", blocks)
    code, out, _ = run("decode", path, "--dbc", dbc, "-o", tmp_path / "o")
    assert code == 1 and "59,748 of 59,748 frames decoded" in out
    assert "damaged in 1 place;" in out and says(out) == ["INCOMPLETE: 252 frames are not here"]
    code, out, _ = run("convert", path, tmp_path / "hole.log")
    assert code == 1 and says(out) == ["INCOMPLETE: 252 frames are not here"]
    assert "damaged in 1 place;" in out
    assert "1 damaged place\n" in run("info", path)[1]
    whole = write(tmp_path / "whole.slog", drive_blocks())
    assert run("decode", whole, "--dbc", dbc, "-o", tmp_path / "w")[0] == 0


def test_convert_of_half_a_log_says_so_and_exits_1(run, half, tmp_path):
    code, out, _ = run("convert", half, tmp_path / "half.log")
    assert code == 1 and "25,198 frames" in out and says(out) == [OPEN]
    code, out, _ = run("convert", half, tmp_path / "half.blf", "--json")
    facts = json.loads(out)
    assert code == 1 and facts["complete"] is False and facts["verdict"]["text"] == OPEN
    session = ("--session", ALICE.name[:8])
    assert run("convert", half, tmp_path / "one.log", *session)[0] == 1
    whole = write(tmp_path / "whole.slog", drive_blocks(2600))
    assert run("convert", whole, tmp_path / "whole.log")[0] == 0


def test_a_log_of_another_recorder_is_foreign_in_every_verb(run, dbc, tmp_path):
    log = tmp_path / "x.log"
    log.write_text("(1768658602.120000) can0 100#0011223344556677\n" * 20)
    foreign = ["foreign log: what its logger lost cannot be known"]
    code, out, _ = run("decode", log, "--dbc", dbc, "-o", tmp_path / "o")
    assert code == 0 and says(out) == foreign
    code, out, _ = run("convert", log, tmp_path / "x.asc")
    assert code == 0 and says(out) == foreign
    log.write_text("(1768658602.120000) can0 100#0011223344556677\n" * 20 + "what is this?\n")
    code, out, _ = run("decode", log, "--dbc", dbc, "-o", tmp_path / "p")
    assert code == 1 and says(out)[0].startswith("INCOMPLETE: the log is damaged in 1 place;")


def test_the_python_api_knows_the_verdict(half, tmp_path):
    import stagelog

    drive = stagelog.open(half)
    assert drive.verdict.text == OPEN and drive.verdict.complete is False
    assert drive.accounts[0].verdict == drive.verdict and not drive.ledger.complete
    whole = stagelog.open(write(tmp_path / "whole.slog", drive_blocks(2600)))
    assert whole.verdict.complete is True and whole.ledger.complete
    log = tmp_path / "x.log"
    log.write_text("(1768658602.120000) can0 100#0011223344556677\n" * 20)
    assert stagelog.open(log).verdict.kind == "foreign log"
    assert stagelog.open(log).verdict.complete is None


def test_files_put_together_witness_only_what_follows_at_once(run, tmp_path):
    """cat a.slog b.slog: with a number missing between, other sessions may have lain there."""
    alice = drive_blocks(2600)[:7]
    path = write(tmp_path / "x.slog", np.concatenate([alice, drive_blocks(500, BOB, first_seq=8)]))
    assert run("verify", path)[0] == 0
    path = write(
        tmp_path / "y.slog", np.concatenate([alice, drive_blocks(500, BOB, first_seq=40)])
    )
    code, out, _ = run("verify", path)
    assert code == 1 and says(out)[0].startswith("open end")


def test_a_hole_and_an_open_end_are_both_told(run, tmp_path):
    blocks = drive_blocks()[:100]
    blocks[3, 500] ^= 1
    code, out, _ = run("verify", write(tmp_path / "x.slog", blocks))
    assert code == 1 and says(out) == [f"INCOMPLETE: 252 frames are not here; {OPEN}"]


def test_a_recorder_that_says_what_it_lost_is_believed():
    verdict = judge_foreign(Diagnostics(n_dropped=3))
    assert verdict.text.startswith("INCOMPLETE: its recorder lost 3 frames;")
    assert verdict.exit_code == 1 and judge_foreign(Diagnostics()).exit_code == 0


def test_an_end_of_which_more_is_known_is_no_known_end():
    assert [End(kind).is_known for kind in (STOPPED, POWER_OFF, CUT, OPEN_KIND)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(("source", "word"), [("card.img", "open end"), (None, "COMPLETE up to")])
def test_an_older_manifest_is_a_witness_if_the_logger_listed_the_session(
    run, tmp_path, source, word
):
    """Before `ended`: a copy names its `source`, a download does not."""
    log = read_log(write(tmp_path / "x.slog", drive_blocks()[:100]))
    entry = store_session(log, log.session(), tmp_path / "a")
    path = entry.path.with_name("manifest.json")
    content = json.loads(path.read_text())
    del content["sessions"][0]["ended"]
    if source is None:
        del content["sessions"][0]["source"]
    path.write_text(json.dumps(content))
    code, out, _ = run("verify", entry.path)
    assert says(out)[0].startswith(word) and code == (source is not None)


def test_a_block_missing_between_sessions_in_one_file_is_an_open_end(run, tmp_path):
    """Two sessions put together: number 11 of the first is not there, and no card says why."""
    first = drive_blocks(2600)
    second = drive_blocks(1000, BOB, first_seq=len(first) + 1)
    path = write(tmp_path / "both.slog", np.concatenate([first[:-1], second]))
    code, out, _ = run("verify", path)
    assert code == 1 and says(out)[0].startswith("open end")


@pytest.mark.parametrize("wrong", ["device_id", "boot", "nonce"])
def test_the_entry_of_another_session_is_no_witness_of_the_end(tmp_path, wrong):
    """A logger starts and stops several sessions in one boot: they differ by the nonce alone."""
    session = read_log(write(tmp_path / "x.slog", drive_blocks()[:100])).session()
    listed = {"device_id": ALICE.device_id, "boot": ALICE.boot, "nonce": ALICE.nonce}
    listed |= {"last_seq": 240, "ended": True}
    assert find_end(session, [], listed) == End(CUT, "the manifest", 140)
    other = {"device_id": "00" * 8, "boot": 13, "nonce": 1}[wrong]
    assert find_end(session, [], {**listed, wrong: other}) == End(OPEN_KIND, n_blocks=None)


def test_two_copies_of_a_complete_log_are_no_finding(run, tmp_path):
    """The shorter copy counts nothing, and nothing of it is missing."""
    write(tmp_path / "a.slog", drive_blocks())
    write(tmp_path / "b.slog", drive_blocks()[:100])
    code, out, _ = run("verify", tmp_path, "--json")
    verdicts = [log["verdict"] for log in json.loads(out)["logs"]]
    assert [v["kind"] for v in verdicts] == ["complete", "superseded"]
    assert [v["complete"] for v in verdicts] == [True, True] and code == 0
