"""What verify, info, dbc, replay and report print, word for word, and with which code.

Logs are made here; what must be printed is worked out by hand.
"""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from slog.layout import BLOCK_BYTES
from stagelog.blocks import Identity, pack_session, seal
from stagelog.card import prepare_raw
from stagelog.cli import replay
from stagelog.cli import report as report_verb
from stagelog.errors import InputError
from stagelog.model import EXT, FRAME
from stagelog.replay.player import Report

T0_UNIX_US = 1_768_658_602_120_000  # date -u -d @1768658602: 2026-01-17 14:03:22
ALICE = Identity("e66038b7130f2e29", 12, 7)


def frames_of(n, step_us=1000):
    frames = np.zeros(n, FRAME)
    frames["t_us"] = 1_000_000 + np.arange(n) * step_us
    frames["can_id"] = 0x100
    frames["dlc"] = frames["n_bytes"] = 8
    return frames


def session(n=3000, identity=ALICE, first_seq=1):
    anchors = [(1_000_000, T0_UNIX_US)]
    return pack_session(frames_of(n), identity, anchors=anchors, first_seq=first_seq)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.slog").write_bytes(session().tobytes())
    return tmp_path


# verify


def test_verify_of_several_logs_counts_the_bad_ones(run, here):
    """The second of the two has a hole: 1 of 2; the exit code is that of the worse."""
    other = session(3000, Identity("e66038b7130f2e29", 13, 8))
    (here / "hole.slog").write_bytes(np.delete(other, 4, 0).tobytes())
    code, out, _ = run("verify", here)
    assert code == 1 and out.splitlines()[-1] == "2 logs: 1 NOT COMPLETE"
    (here / "third.slog").write_bytes(np.delete(session(3000, replace(ALICE, boot=14)), 4, 0))
    assert run("verify", here)[1].splitlines()[-1] == "3 logs: 2 NOT COMPLETE"
    (here / "third.slog").unlink()
    (here / "hole.slog").write_bytes(other.tobytes())
    code, out, _ = run("verify", here)
    assert code == 0 and out.splitlines()[-1] == "2 logs: all complete, as far as can be known"
    (here / "hole.slog").unlink()
    code, out, _ = run("verify", here)
    assert code == 0 and "logs:" not in out
    account = "3,000 seen = 3,000 stored + 0 dropped + 0 lost in hardware; 3,000 held, 0 missing"
    assert out.splitlines()[1:] == [
        f"  bus 0: {account}",
        "  COMPLETE: every frame that was seen is here",
    ]


def test_verify_counts_what_is_held_and_what_is_missing(run, here):
    """A block has 252 records at most: what is not held is missing."""
    (here / "hole.slog").write_bytes(np.delete(session(), 4, 0).tobytes())
    _, out, _ = run("verify", "hole.slog")
    held = re.search(r"3,000 seen = 3,000 stored .*; ([\d,]+) held, (\d+) missing", out)
    n_missing = int(held[2])
    assert held[1] == f"{3000 - n_missing:,}" and 240 < n_missing <= 252


def test_verify_shows_fifty_gaps_unless_all_are_asked_for(run, here):
    """Of 120 blocks each even one from the second on is away, 60; and 60 damaged with --all."""
    blocks = session(252 * 120)
    assert len(blocks) > 120
    (here / "holes.slog").write_bytes(np.delete(blocks, np.arange(1, 120, 2), 0).tobytes())
    code, out, _ = run("verify", "holes.slog")
    lines = out.splitlines()
    gaps = [line for line in lines if "damaged or missing" in line]
    assert code == 1 and len(gaps) == 50 and "  and 10 more (--all)" in lines
    lines = run("verify", "holes.slog", "--all")[1].splitlines()
    assert len([line for line in lines if "damaged or missing" in line]) == 60
    assert not any("more (--all)" in line for line in lines)
    bad = blocks.copy()
    bad[1:120:2, 500] ^= 1
    (here / "bad.slog").write_bytes(bad.tobytes())
    for words, n in (((), 50), (("--all",), 60)):
        lines = run("verify", "bad.slog", *words)[1].splitlines()
        assert len([line for line in lines if line.startswith("damaged: ")]) == n


# info


def image():
    """Write a raw card of 64 blocks: a session of 3 from place 4 on, and behind it one of 3."""
    prepare_raw("card.img", 64)
    blocks = np.concatenate(
        [session(600), session(600, Identity("e66038b7130f2e29", 13, 8), 1 + len(session(600)))]
    )
    places = 4 + np.arange(len(blocks), dtype="<u4")
    blocks[:, 24:28] = places.view("u1").reshape(-1, 4)
    seal(blocks)
    with open("card.img", "r+b") as file:
        file.seek(4 * BLOCK_BYTES)
        file.write(blocks.tobytes())
    return len(blocks)


def released(path, number):
    """Move the release mark of a raw card: blocks below `number` are erased (SPEC 6.3)."""
    import zlib

    from slog.layout import RELEASE, RELEASE_MAGIC, pack
    from stagelog.blocks import read_log

    extent_id = bytes.fromhex(read_log(path).extent["extent_id"].hex())
    values = {"magic": RELEASE_MAGIC, "extent_id": extent_id, "generation": 9}
    content = pack(RELEASE, values | {"released_seq": number, "position": 4})[:-4]
    content += zlib.crc32(content).to_bytes(4, "little")
    with open(path, "r+b") as file:
        for place in (1, 2):
            file.seek(place * BLOCK_BYTES)
            file.write(content.ljust(BLOCK_BYTES, b"\0"))


def test_info_of_a_card_counts_places_and_erased_blocks(run, here):
    """64 blocks less 4 for the extent's own are a ring of 60, 245.8 kB. The first 3 are erased."""
    assert image() == 6
    head, *rest = run("info", "card.img")[1].splitlines()
    assert head.endswith("ring of 60 blocks (245.8 kB), 2 sessions")
    assert "erased" not in head
    released("card.img", 4)
    head, *rest = run("info", "card.img")[1].splitlines()
    assert head.endswith("ring of 60 blocks (245.8 kB), 1 session, 3 erased blocks")
    facts = json.loads(run("info", "card.img", "--json")[1])["logs"][0]
    assert facts["n_erased_blocks"] == 3 and [s["boot"] for s in facts["sessions"]] == [13]


def test_info_of_a_foreign_log(run, here):
    """can0: 11 bits each second from 0 to 10 s; can1: 29 bits in the middle, twice."""
    lines = [f"({1_768_658_602 + k}.120000) can0 {0x100 + k % 2:03X}#00\n" for k in range(11)]
    lines[5:5] = ["(1768658606.500000) can1 18FEF100#01\n"] * 2
    (here / "x.log").write_text("".join(lines) + "what is this\n")
    code, out, _ = run("info", "x.log", "--ids")
    head, *rest = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0 and head == "x.log: candump, 2026-01-17 14:03:22 UTC, 10.0 s, 13 frames"
    assert "wall clock from the stamps of the log itself" in rest
    assert "bus 0: 11 frames, 1.1 Hz, 2 identifiers" in rest
    assert "bus 1: 2 frames, 0.2 Hz, 1 identifier" in rest
    assert {"0 100 6 0.6", "0 101 5 0.5", "1 18FEF100 2 0.2"} <= set(rest)
    assert any(line.startswith("line 14: ") for line in rest)
    facts = json.loads(run("info", "x.log", "--ids", "--bus", "1", "--json")[1])["logs"][0]
    assert facts["ids"] == [{"bus": 1, "can_id": "18FEF100", "n_frames": 2, "rate_Hz": 0.2}]
    assert facts["buses"] == [
        {"bus": 1, "n_frames": 2, "rate_Hz": 0.2, "n_ids": 1, "protocol": None, "n_fd": 0}
    ]
    assert facts["t_first_unix_us"] == T0_UNIX_US and len(facts["damaged"]) == 1
    assert facts["t_last_us"] - facts["t_first_us"] == 10_000_000
    (here / "zero.log").write_text("(0.500000) can0 100#00\n(1.000000) can0 100#00\n")
    facts = json.loads(run("info", "zero.log", "--json")[1])["logs"][0]
    assert facts["t_first_unix_us"] == (500_000 if "stamps" in facts["clock"] else None)


def test_info_counts_over_all_pieces_of_a_log(run, here):
    """20,000 lines of 45 bytes are read in two pieces; each fourth frame is of another number."""
    lines = [
        f"({1_700_000_000 + k / 1000:.6f}) can0 {0x100 + (k % 4 == 0):03X}#0700640000000000\n"
        for k in range(20_001)
    ]
    (here / "long.log").write_text("".join(lines))
    facts = json.loads(run("info", "long.log", "--ids", "--json")[1])["logs"][0]
    assert [(row["can_id"], row["n_frames"]) for row in facts["ids"]] == [
        ("100", 15_000),
        ("101", 5_001),
    ]
    assert facts["buses"][0] == {
        "bus": 0,
        "n_frames": 20_001,
        "rate_Hz": 1000.05,
        "n_ids": 2,
        "protocol": None,
        "n_fd": 0,
    }


def test_info_keeps_identifiers_of_11_and_29_bits_apart(run, here):
    (here / "x.log").write_text("(1.0) can0 100#00\n(2.0) can0 00000100#00\n(3.0) can0 100#00\n")
    facts = json.loads(run("info", "x.log", "--ids", "--json")[1])["logs"][0]
    assert [(row["can_id"], row["n_frames"]) for row in facts["ids"]] == [
        ("100", 2),
        ("00000100", 1),
    ]


def test_info_lists_identifiers_of_a_session_by_bus(run, here):
    """0x100 on bus 0 for 3 s, 0x18FEF100 of 29 bits once in ten times on bus 1."""
    frames = frames_of(3001)
    frames["bus"][::10], frames["flags"][::10], frames["can_id"][::10] = 1, EXT, 0x18FEF100
    blocks = pack_session(frames, ALICE)
    (here / "two.slog").write_bytes(blocks.tobytes())
    facts = json.loads(run("info", "two.slog", "--ids", "--json")[1])["logs"][0]["sessions"][0]
    assert facts["ids"] == [
        {"bus": 0, "can_id": "100", "n_frames": 2700, "rate_Hz": 900.0},
        {"bus": 1, "can_id": "18FEF100", "n_frames": 301, "rate_Hz": 100.333},
    ]
    _, out, _ = run("info", "two.slog", "--bus", "1")
    assert "bus 1: 301 frames, 100.3 Hz, 1 identifier" in out and "bus 0:" not in out
    assert "wall clock not known: times are since power-on" in out


def test_info_lists_the_loggers_own_records(run, here):
    """The anchor of a clock at 1.000 s: with a clock as time of day, else since power-on."""
    (row,) = (
        line for line in run("info", "good.slog", "--events")[1].splitlines() if "anchor" in line
    )
    assert row.split()[:4] == ["14:03:22.120", "bus", "0", "anchor"]


# dbc


def test_dbc_show_has_a_line_for_each_signal(run, here):
    (here / "x.dbc").write_text(
        "BU_: E\nBO_ 256 Engine: 8 E\n"
        ' SG_ Oil : 0|8@1+ (1,-40) [0|0] "degC" E\n SG_ Spd : 8|16@1+ (0.25,10) [0|0] "rpm" E\n'
        f'BO_ {0x98FEF100} Wide: 8 E\n SG_ W : 0|8@1+ (1,0) [0|0] "" E\n'
        'BA_DEF_ BO_ "GenMsgCycleTime" INT 0 1000;\nBA_DEF_DEF_ "GenMsgCycleTime" 0;\n'
        'BA_ "GenMsgCycleTime" BO_ 256 10;\n'
    )
    lines = [line.split() for line in run("dbc", "show", "x.dbc")[1].splitlines()]
    assert lines == [
        ["id", "message", "cycle", "signal", "unit", "conversion"],
        ["100", "Engine", "10", "ms", "Oil", "degC", "x", "1", "-40"],
        ["100", "Engine", "10", "ms", "Spd", "rpm", "x", "0.25", "+10"],
        ["18FEF100", "Wide", "W", "x", "1"],
    ]
    rows = json.loads(run("dbc", "show", "x.dbc", "S*", "--json")[1])["signals"]
    assert [(row["can_id"], row["signal"], row["cycle_ms"]) for row in rows] == [
        ("100", "Spd", 10)
    ]


def test_dbc_check_tells_what_a_log_contradicts(run, here):
    """Speed 8,000 of at most 7,000 in 2 of 20; 5 frames of 9 bytes of 8; every 20 ms, not 10."""
    (here / "x.dbc").write_text(
        "BU_: E\nBO_ 256 Engine: 2 E\n"
        ' SG_ Speed : 0|16@1+ (1,0) [0|7000] "rpm" E\n'
        'BA_DEF_ BO_ "GenMsgCycleTime" INT 0 1000;\nBA_DEF_DEF_ "GenMsgCycleTime" 0;\n'
        'BA_ "GenMsgCycleTime" BO_ 256 10;\n'
    )
    rows = []
    for k in range(20):
        data = f"{8000 if k > 17 else 100 + k:04X}"
        data = data[2:] + data[:2] + ("00" if k < 5 else "")
        rows.append(f"({1_700_000_000 + k * 0.02:.6f}) can0 100#{data}\n")
    (here / "x.log").write_text("".join(rows) + "what is this\n")
    code, out, _ = run("dbc", "check", "x.dbc", "--log", "x.log")
    assert code == 1 and [line.strip() for line in out.splitlines()] == [
        "x.dbc: 1 message, 1 signal, DBC, ascii",
        "no defects",
        "x.log: 20 frames",
        "Engine, specified with 2 bytes: 5 are longer",
        "Engine, specified every 10 ms: median 20 ms, longest 20 ms, 100 % late",
        "0 of 1 cycle times are kept",
        "Engine.Speed is out of 0..7000 rpm in 2 of 20 values: 100..8000",
        "line 21: not a frame (what is this)",
    ]


# replay


def report(**more):
    given = {"n_due": 5000, "n_sent": 4990, "n_not_sent": 10, "n_late": 2, "bound_us": 1000.0}
    given |= {"early_us": 0.0, "p50_us": 1.25, "p99_us": 20.0, "worst_us": 1500.5}
    given |= {"duration_s": 12.34, "interrupted": False, "error": "bus-off"}
    return Report(**given | more)


def test_the_lines_of_a_replay():
    assert replay._report_lines(report(), "to can0") == [
        "4,990 of 5,000 frames in 12.3 s to can0",
        "late by p50 1.2 us, p99 20.0 us, worst 1,500.5 us; none early",
        "2 later than 1,000 us, 10 not sent (bus-off)",
    ]
    lines = replay._report_lines(
        report(n_due=None, early_us=3.5, error=None, interrupted=True), "to can0"
    )
    assert lines[0] == "4,990 frames in 12.3 s to can0"
    assert lines[1].endswith("; earliest 3.5 us too early")
    assert lines[2:] == ["2 later than 1,000 us, 10 not sent", "interrupted"]


def test_notes_of_a_replay():
    diagnostics = SimpleNamespace(damages=["a", "b"])
    assert replay._notes(diagnostics, SimpleNamespace(n_errors=1200)) == [
        "1,200 error frames of the log are not played",
        "the log is damaged in 2 places",
    ]
    assert replay._notes(SimpleNamespace(damages=[]), SimpleNamespace(n_errors=0)) == []


def test_a_replay_takes_the_part_that_is_asked_for(run, here, monkeypatch):
    """100 frames, one a millisecond: from 10 ms to 30 ms are 20 or 21, four times as fast 5 ms."""
    import can

    with can.Bus(interface="virtual", channel="words") as listener:
        words = ("replay", "good.slog", "--bus", "virtual:words", "--no-real-time", "--json")
        words += ("--from", "0.01", "--to", "0.03", "--speed", "4", "--bound-us", "5e6")
        code, out, _ = run(*words)
        facts = json.loads(out)
        got = 0
        while listener.recv(0) is not None:
            got += 1
    assert code == 0 and got == facts["replay"]["n_sent"] and got in (20, 21)
    assert facts["replay"]["bound_us"] == 5e6 and facts["priority"].startswith("normal priority")
    assert facts["replay"]["duration_s"] == pytest.approx(0.005, abs=0.1)


def test_every_word_reaches_the_schedule(run, here, monkeypatch):
    import stagelog.replay as player

    asked = []

    def make_schedule(frames, **given):
        asked.append(given)
        raise InputError("enough")

    monkeypatch.setattr(player, "make_schedule", make_schedule)
    words = ("--speed", "4", "--from", "0.01", "--to", "0.03", "--id", "100", "--id", "200-2FF")
    words += ("--only-bus", "0", "--max-gap", "0.5", "--loop", "3")
    run("replay", "good.slog", "--bus", "virtual:words", *words)
    run("replay", "good.slog", "--closed-loop")
    given = {"speed": 4.0, "start_s": 0.01, "stop_s": 0.03, "ids": ("100", "200-2FF")}
    usual = {"speed": 1.0, "start_s": None, "stop_s": None, "ids": ()}
    assert asked == [
        given | {"buses": (0,), "max_gap_s": 0.5, "n_loops": 3},
        usual | {"buses": (), "max_gap_s": None, "n_loops": 1},
    ]


@pytest.mark.parametrize(("n_loops", "code"), [(1, 130), (0, 0)])
def test_an_interrupted_replay_ends_with_130_unless_it_was_endless(
    run, here, monkeypatch, n_loops, code
):
    import stagelog.replay as player

    def play(schedule, *_, **__):
        return report(
            n_due=schedule.n_frames if n_loops else None,
            n_not_sent=0,
            n_late=0,
            error=None,
            interrupted=True,
        )

    monkeypatch.setattr(player, "play", play)
    words = ("replay", "good.slog", "--bus", "virtual:words", "--no-real-time")
    assert run(*words, "--loop", n_loops)[0] == code


def test_a_bit_rate_and_the_bound_reach_the_bus(run, here, monkeypatch):
    import stagelog.replay as player

    asked = {}
    opened = player.open_buses

    def open_buses(targets, numbers, ifaces, **options):
        asked.update(options)
        return opened(targets, numbers, ifaces)

    monkeypatch.setattr(player, "open_buses", open_buses)
    words = ("replay", "good.slog", "--bus", "virtual:words", "--no-real-time", "--to", "0.01")
    run(*words)
    assert asked == {}
    run(*words, "--bitrate", "250000")
    assert asked == {"bitrate": 250_000}


def test_a_gap_is_shortened_and_a_bad_log_said(run, here):
    """One second between two frames, shortened to 10 ms: the log has a hole, which is said."""
    frames = frames_of(600)
    frames["t_us"][300:] += 1_000_000
    (here / "hole.slog").write_bytes(np.delete(pack_session(frames, ALICE), 1, 0).tobytes())
    code, out, err = run("replay", "hole.slog", "--closed-loop", "--max-gap", "0.01", "--json")
    assert "INCOMPLETE" in err
    assert json.loads(out)["replay"]["duration_s"] < 0.7
    assert run("replay", "good.slog", "--closed-loop", "--to", "0.05")[2] == ""


# report


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("a/event=DAKAR26/car=C03/stage=SS01/x.slog", "C03, SS01, DAKAR26"),
        ("a/event=DAKAR26/car=C03", "C03, DAKAR26"),
        ("a/b/x.slog", "x"),
        ("a=b=c/x.slog", "x"),
    ],
)
def test_a_report_is_called_after_its_folders(path, title):
    assert report_verb._title(path) == title
