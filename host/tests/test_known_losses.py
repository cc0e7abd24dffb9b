"""A .slog that was made of an incomplete log is as incomplete: `verify` of the copy reports it.

The losses are made by hand: 1,000 frames fill blocks of 252 records (the first of them holds the
session record and 251 frames), so the third block holds frames 503 to 754, which are 252.
"""

import json

import numpy as np
import pytest

from slog.layout import BLOCK_BYTES
from stagelog.accounts import judge_log
from stagelog.blocks import Identity, pack_session, read_log, seal
from stagelog.card import prepare_raw
from stagelog.importers.diagnostics import Diagnostics
from stagelog.ledger import Gap, account
from stagelog.model import ERR, FRAME
from stagelog.pack import Known, SlogSink, known_of_foreign, known_of_ours

T0_UNIX_US = 1_700_000_000_000_000


def blocks_of(n=1000, step_us=100):
    frames = np.zeros(n, FRAME)
    frames["t_us"] = np.arange(n) * step_us
    frames["can_id"], frames["dlc"], frames["n_bytes"] = 0x123, 8, 8
    data = pack_session(frames, Identity("ab" * 8, 1, 1), anchors=[(0, T0_UNIX_US)])
    return data.tobytes()


def verify(run, path):
    code, out, _ = run("verify", path, "--json")
    return code, json.loads(out)["logs"][0]["sessions"][0]


def copied(run, tmp_path, source):
    """Convert twice: the copy of a copy knows it too. Return what verify says of the last."""
    assert run("convert", source, tmp_path / "copy.slog")[0] == 1
    assert run("convert", tmp_path / "copy.slog", tmp_path / "again.slog")[0] == 1
    first, second = (verify(run, tmp_path / name) for name in ("copy.slog", "again.slog"))
    assert first[0] == second[0] == 1
    assert first[1]["closes"] and second[1]["closes"]
    assert first[1]["verdict"] == second[1]["verdict"]
    return second[1]


def test_a_missing_block_is_missing_from_the_copy(run, tmp_path):
    path, data = tmp_path / "x.slog", blocks_of()
    path.write_bytes(data[: 2 * BLOCK_BYTES] + data[3 * BLOCK_BYTES :])
    found = copied(run, tmp_path, path)
    # the anchor stands in the first block too: it holds 250 frames, the two after it 252
    assert found["verdict"]["text"] == "INCOMPLETE: 252 frames are not here"
    gap = found["gaps"][0]
    assert (gap["bus"], gap["n"], gap["exact"]) == (0, 252, True)
    # frames 502 to 753 are lost: between those of 50,100 us and 75,400 us
    assert (gap["t_start_us"], gap["t_end_us"]) == (50_100, 75_400)
    assert found["end"]["kind"] == "stopped"
    text = run("verify", tmp_path / "again.slog")[1]
    assert "bus 0: 252 frames in 25 ms not in the log that this file was made of" in text


def test_an_open_end_stays_open(run, tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(blocks_of()[: 2 * BLOCK_BYTES])
    found = copied(run, tmp_path, path)
    assert found["verdict"]["kind"] == "open end"
    assert found["end"]["kind"] == "open"


def test_a_missing_start_stays_missing(run, tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(blocks_of()[BLOCK_BYTES:])
    found = copied(run, tmp_path, path)
    assert found["verdict"]["text"] == "INCOMPLETE: 250 frames are not here"


def test_damaged_places_of_another_format_are_known(run, tmp_path):
    path = tmp_path / "x.log"
    good = "".join(f"(1700000000.{k:06d}) can0 123#1122\n" for k in range(20))
    path.write_text(good + "(1700000001.000000) can0 123#112\n" + good)
    found = copied(run, tmp_path, path)
    assert found["verdict"]["kind"] == "incomplete"
    assert "nobody counted them" in found["verdict"]["text"]


def test_frames_that_another_recorder_lost_are_counted(run, tmp_path):
    path = tmp_path / "x.log"
    path.write_text("(1700000000.0) can0 123#11\n(1700009000.0) can0 123#11\n")
    from stagelog.importers import load_frames

    with SlogSink(tmp_path / "y.slog", from_epoch=True) as sink:
        sink.write(load_frames(path).frames)
        sink.known = known_of_foreign(Diagnostics(n_dropped=70_000))
    found = verify(run, tmp_path / "y.slog")
    assert found[0] == 1
    assert found[1]["verdict"]["text"] == "INCOMPLETE: 70,000 frames are not here"
    # a record names 2**32 - 1 us before its own time (9,000 s) at most
    assert found[1]["gaps"][0]["t_start_us"] == 9_000_000_000 - (2**32 - 1)


def test_the_copy_of_a_whole_log_has_no_gap(run, tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(blocks_of())
    assert run("convert", path, tmp_path / "copy.slog")[0] == 0
    session = read_log(tmp_path / "copy.slog").sessions[0]
    ledger = account(session)
    assert (ledger.gaps, ledger.closes, ledger.end.kind) == ((), True, "stopped")
    assert verify(run, tmp_path / "copy.slog")[0] == 0


def test_info_and_replay_report_the_verdict(run, tmp_path):
    path, data = tmp_path / "x.slog", blocks_of()
    path.write_bytes(data[: 2 * BLOCK_BYTES] + data[3 * BLOCK_BYTES :])
    verdict = "INCOMPLETE: 252 frames are not here"
    code, out, _ = run("info", path)
    assert code == 0 and out.endswith(f"  {verdict}\n")
    code, out, _ = run("info", path, "--json")
    assert code == 0 and json.loads(out)["logs"][0]["verdict"]["text"] == verdict
    code, out, err = run("replay", path, "--closed-loop")
    assert code == 0 and err == f"{verdict}\n"
    path.write_bytes(data)
    assert run("info", path)[1].endswith("  COMPLETE: every frame that was seen is here\n")
    assert run("replay", path, "--closed-loop")[2] == ""


def packed(path, tables, known=None, **options):
    """Write frame tables to a session file; return (Session, the sink)."""
    with SlogSink(path, **{"from_epoch": False, **options}) as sink:
        for table in tables:
            sink.write(table)
        if known is not None:
            sink.known = known
    return read_log(path).sessions[0], sink


def frames_at(t_us):
    frames = np.zeros(len(t_us), FRAME)
    frames["t_us"], frames["can_id"] = t_us, np.arange(len(t_us))
    frames["dlc"] = frames["n_bytes"] = 8
    return frames


def test_frames_of_one_moment_keep_their_order(tmp_path):
    """500 frames, ten of each moment, the moments in a disorder: Python's sort is stable."""
    t_us = [k * 7 % 50 * 1000 for k in range(500)]
    frames = frames_at(t_us)
    session, _ = packed(tmp_path / "x.slog", [frames[:200], frames[200:]])
    wanted = sorted(range(500), key=t_us.__getitem__)
    assert session.read_frames()["can_id"].tolist() == wanted


@pytest.mark.parametrize(("first_us", "shift_us"), [(-500_000, 500_000), (0, 0), (700, 0)])
def test_times_before_a_start_are_moved_behind_it(tmp_path, first_us, shift_us):
    """A session begins at 0 at the earliest; what began later keeps its times."""
    t_us = first_us + np.arange(3) * 100
    session, _ = packed(tmp_path / "x.slog", [frames_at(t_us)])
    assert session.read_frames()["t_us"].tolist() == (t_us + shift_us).tolist()


def test_what_a_record_cannot_hold_is_left_out_and_counted(tmp_path):
    """A DLC of 9 to 15 means 8 bytes (ISO 11898-1); error frames have no data."""
    frames = frames_at([0, 10, 20, 30])
    frames["dlc"][1] = 12
    frames["flags"][2] = ERR
    session, sink = packed(tmp_path / "x.slog", [frames, frames])
    assert sink.n_left_out == 2
    assert session.read_frames()["dlc"].tolist() == [8] * 6


def test_a_gap_keeps_its_bus_its_times_and_its_count(tmp_path):
    """1,000 frames, 100 us apart; 5 frames of bus 1 were lost between 2,000 and 3,000 us, and at
    least 9 of bus 0 between 4,000 and 5,000 us.
    """
    gaps = (Gap(1, 2000, 3000, 5, True, ""), Gap(0, 4000, 5000, 9, False, ""))
    frames = frames_at(np.arange(1000) * 100)
    session, _ = packed(tmp_path / "x.slog", [frames], Known(gaps))
    found = account(session).gaps
    assert [(g.bus, g.t_start_us, g.t_end_us, g.n, g.exact) for g in found] == [
        (1, 2000, 3000, 5, True),
        (0, 4000, 5000, 9, False),
    ]


@pytest.mark.parametrize("n", [1, 2])
def test_a_single_frame_that_was_lost_counts(tmp_path, n):
    known = known_of_foreign(Diagnostics(n_dropped=n))
    session, _ = packed(tmp_path / "x.slog", [frames_at([0, 100])], known)
    assert [gap.n for gap in account(session).gaps] == [n]


@pytest.mark.parametrize(("n_places", "is_end_known"), [(64, True), (63, False)])
def test_a_power_cut_is_no_loss_and_a_cut_image_an_open_end(tmp_path, n_places, is_end_known):
    """Three blocks of a session that ended with the power, on a card whose image is whole or
    lacks its last place.
    """
    image = tmp_path / "card.img"
    prepare_raw(image, 64)
    blocks = np.frombuffer(blocks_of(), np.uint8).reshape(-1, BLOCK_BYTES)[:3].copy()
    blocks[:, 24:28] = (4 + np.arange(3, dtype="<u4")).view("u1").reshape(-1, 4)
    seal(blocks)
    with open(image, "r+b") as file:
        file.seek(4 * BLOCK_BYTES)
        file.write(blocks.tobytes())
        file.truncate(n_places * BLOCK_BYTES)
    log = judge_log(image)
    assert log.accounts[0].verdict.text.startswith("COMPLETE up to power-off")
    for times in ("absolute", "relative"):
        known = known_of_ours(log.accounts, log.problems, times)
        assert known == Known((), is_end_known)


def test_frames_that_nobody_counted_are_no_controller_that_was_away(run, tmp_path):
    """Cause 4 (copied) without a number: SPEC 3; cause 2 without one is a controller's absence."""
    lost = Known((Gap(0, 1000, 2000, None, False, ""),))
    packed(tmp_path / "x.slog", [frames_at([0, 5000])], lost)
    gap = verify(run, tmp_path / "x.slog")[1]["gaps"][0]
    assert (gap["cause"], gap["n"], gap["exact"]) == ("not in its source", None, False)
