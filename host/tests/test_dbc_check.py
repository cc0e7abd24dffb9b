"""The DBC doctor: defects as data and in words, and a log against its database."""

import json
from pathlib import Path

import numpy as np
import pytest

from stagelog.dbc import load_database
from stagelog.decode.doctor import check_database, check_log
from stagelog.decode.protocol import as_j1939
from stagelog.export.candump import CandumpSink
from stagelog.model import EXT, FRAME

ROOT = Path(__file__).parents[2]
EVIL = Path(__file__).parent / "evil" / "dbc"
DBC = """BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ Speed : 0|16@1+ (1,0) [0|7000] "rpm" ECU
 SG_ State : 16|8@1+ (1,0) [0|0] "" ECU
 SG_ Fixed : 24|8@1+ (1,0) [0|0] "" ECU
BO_ 257 Temps: 4 ECU
 SG_ Oil : 0|8@1+ (1,-40) [0|0] "degC" ECU
BO_ 258 Gone: 8 ECU
 SG_ G : 0|8@1+ (1,0) [0|0] "" ECU
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 1000;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ 256 10;
BA_ "GenMsgCycleTime" BO_ 257 20;
VAL_ 256 State 0 "off" 1 "on" ;
"""


@pytest.fixture
def log(tmp_path):
    """Return (database, frames): Engine keeps its 10 ms, Temps comes every 50 ms and is short."""
    path = tmp_path / "x.dbc"
    path.write_text(DBC)
    frames = np.zeros(300, FRAME)
    frames["t_us"] = np.arange(300) * 10_000
    frames["can_id"] = 256
    frames["can_id"][::5] = 257
    frames["can_id"][7] = 0x7AA
    frames["n_bytes"] = np.where(frames["can_id"] == 257, 2, 8)
    frames["t_us"][frames["can_id"] == 256] = np.arange(239) * 10_000
    frames["data"][:, 0] = np.arange(300) % 250
    frames["data"][20, 1] = 0xFF
    frames["data"][:, 2] = np.arange(300) % 2
    frames["data"][30:33, 2] = 9
    frames["data"][:, 3] = 7
    return load_database(path), frames


def test_a_log_against_its_database(log):
    database, frames = log
    whole = check_log(database, [frames])
    assert whole["unknown_ids"] == [{"can_id": "7AA", "n_frames": 1}]
    assert whole["absent_messages"] == ["Gone"]
    assert whole["lengths"] == [
        {
            "message": "Temps",
            "specified_bytes": 4,
            "n_shorter": 60,
            "n_longer": 0,
            "least_bytes": 2,
        }
    ]
    engine, temps = whole["cycles"]
    assert (engine["message"], engine["kept"], engine["median_ms"]) == ("Engine", True, 10)
    assert (temps["message"], temps["kept"], temps["median_ms"]) == ("Temps", False, 50)
    assert whole["stuck"] == [{"signal": "Engine.Fixed", "value": 7, "n_values": 239}]
    (outside,) = whole["out_of_range"] or [None]
    assert outside is None or outside["signal"] == "Engine.Speed"
    assert whole["without_text"] == [{"signal": "Engine.State", "n_values": 2}]
    assert not whole["ok"]
    assert check_log(database, np.array_split(frames, 7)) == whole


def test_out_of_range_values_are_counted(log):
    database, frames = log
    frames = frames[frames["can_id"] == 256].copy()
    frames["data"][:, 2] = 0
    frames["data"][5:8, 1] = 0xF0
    found = check_log(database, [frames])["out_of_range"]
    assert found == [
        {
            "signal": "Engine.Speed",
            "n_outside": 3,
            "n_values": len(frames),
            "seen": [float(frames["data"][:, 0].min()), found[0]["seen"][1]],
            "specified": [0, 7000],
            "unit": "rpm",
        }
    ]
    assert found[0]["seen"][1] >= 0xF000


def test_a_cycle_with_holes_is_not_kept(log):
    database, frames = log
    frames = frames[frames["can_id"] == 256].copy()
    frames["data"][:, 1:3] = 0
    frames["t_us"][100:] += 25_000
    frames["t_us"][150:] += 25_000
    frames["t_us"][200:] += 25_000
    (engine,) = check_log(database, [frames])["cycles"]
    assert (engine["kept"], engine["median_ms"], engine["longest_ms"]) == (False, 10, 35)
    assert engine["late_pct"] == pytest.approx(100 * 3 / (len(frames) - 1), abs=1e-3)


def test_a_log_that_agrees(log):
    database, frames = log
    frames = frames[frames["can_id"] == 256].copy()
    frames["data"][:, 1:3] = 0
    facts = check_log(database, [frames])
    assert facts["ok"] and facts["n_frames"] == len(frames)


def test_database_facts():
    facts = check_database(load_database(EVIL / "shares_bits_and_does_not_fit.dbc"))
    assert (facts["n_messages"], facts["n_signals"], len(facts["defects"])) == (1, 5, 10)
    assert facts["not_decoded"] == [
        {"signal": "A.Wide", "why": "72 bits; at most 64 can be decoded"}
    ]
    sound = check_database(load_database(ROOT / "dbc/d7xr.dbc"))
    assert sound["defects"] == [] and sound["not_decoded"] == []


def call(capsys, *args):
    """Run the command in this process; return (exit code, stdout, stderr)."""
    from stagelog.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["dbc", *map(str, args)])
    out, err = capsys.readouterr()
    return stop.value.code or 0, out, err


def test_check_in_words(capsys, tmp_path, log):
    database, frames = log
    code, out, _ = call(capsys, "check", EVIL / "bit_rate_in_bs.dbc")
    assert code == 1
    assert "line 2: BS_ states a bit rate: BS_: 1000000 : 0,0; read without it" in out
    assert "1 defect" in out
    code, out, _ = call(capsys, "check", ROOT / "dbc/d7xr.dbc")
    assert code == 0 and "no defects" in out
    with CandumpSink(tmp_path / "x.log") as sink:
        sink.write(frames[np.argsort(frames["t_us"], kind="stable")])
    code, out, _ = call(capsys, "check", database.path, "--log", tmp_path / "x.log")
    assert code == 1
    for words in (
        "7AA is not in the database: 1 frame",
        "not in the log: Gone",
        "Temps, specified with 4 bytes: 60 frames are shorter, down to 2 bytes",
        "Temps, specified every 20 ms: median 50 ms",
        "1 of 2 cycle times are kept",
        "Engine.State has 2 values that its table does not name",
        "Engine.Fixed is 7 all the time",
    ):
        assert words in out


def test_check_as_json(capsys):
    code, out, _ = call(capsys, "check", EVIL / "said_twice.dbc", "--json")
    facts = json.loads(out)
    assert code == 1 and facts["schema"] == "stagelog.dbc.check/1"
    assert facts["defects"][0]["line"] == 13


def test_refusals_have_exit_codes(capsys, tmp_path):
    code, _, err = call(capsys, "check", EVIL / "not_a_dbc.dbc")
    assert code == 5 and "no message can be read" in err
    code, _, err = call(capsys, "check", tmp_path / "no.dbc")
    assert code == 5 and "No such file" in err
    code, _, err = call(capsys, "show", ROOT / "dbc/d7xr.dbc", "EngSpeed")
    assert code == 2 and "did you mean" in err


def test_show(capsys):
    code, out, _ = call(capsys, "show", ROOT / "dbc/d7xr.dbc", "ENG_1")
    assert code == 0 and "EngSpd" in out and "rpm" in out and "100" in out
    code, out, _ = call(capsys, "show", ROOT / "dbc/d7xr.dbc", "--json")
    assert len(json.loads(out)["signals"]) == load_database(ROOT / "dbc/d7xr.dbc").n_signals


def test_a_message_of_several_frames_is_compared_whole(tmp_path):
    """NMEA 2000: fast packets of 10 bytes are two frames, of 6 and 4 bytes.

    Raw 7 in byte 9 is the value 7 of each of five messages: in one table and in tables of one
    frame, where each message begins in another table than it ends in.
    """
    path = tmp_path / "boat.dbc"
    path.write_text(
        f'BU_: X\nBO_ {0x8DF80500} Gnss: 10 X\n SG_ Sats : 72|8@1+ (1,0) [0|20] "" X\n'
    )
    frames = np.zeros(10, FRAME)
    frames["t_us"], frames["can_id"], frames["flags"] = np.arange(10) * 500_000, 0x0DF80523, EXT
    frames["n_bytes"] = [8, 5] * 5
    counter = np.arange(10) // 2 << 5
    frames["data"][:, 0] = counter | np.arange(10) % 2
    frames["data"][::2, 1] = 10
    frames["data"][1::2, 4] = 7
    database = as_j1939(load_database(path))
    whole = check_log(database, [frames])
    assert (whole["lengths"], whole["unknown_ids"], whole["ok"]) == ([], [], True)
    assert (whole["n_frames"], whole["absent_messages"]) == (10, [])
    assert check_log(database, np.array_split(frames, 10)) == whole
    frames["data"][1::2, 4] = 21
    assert check_log(database, np.array_split(frames, 10))["out_of_range"] == [
        {
            "signal": "Gnss.Sats",
            "n_outside": 5,
            "n_values": 5,
            "seen": [21.0, 21.0],
            "specified": [0, 20],
            "unit": "",
        }
    ]
