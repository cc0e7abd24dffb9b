"""A .slog that was made of an incomplete log is as incomplete: `verify` of the copy reports it.

The losses are made by hand: 1,000 frames fill blocks of 252 records (the first of them holds the
session record and 251 frames), so the third block holds frames 503 to 754, which are 252.
"""

import json

import numpy as np

from slog.layout import BLOCK_BYTES
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.ledger import account
from stagelog.model import FRAME

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
    from stagelog.importers.diagnostics import Diagnostics
    from stagelog.pack import SlogSink, known_of_foreign

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
