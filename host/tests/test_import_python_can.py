"""Logs of python-can's CSVWriter and SqliteWriter, written by python-can itself."""

import contextlib
import sqlite3

import can
import numpy as np
import pytest

from stagelog.cli import main
from stagelog.errors import InputError
from stagelog.importers import load_frames, sniff
from stagelog.model import ERR, EXT, FD, RTR

WRITERS = {"csv": can.CSVWriter, "db": can.SqliteWriter}
KINDS = {"csv": "can_csv", "db": "can_sqlite"}
START_s = 1_700_000_000.25
# time, identifier, kinds, payload: the edges of each column
MESSAGES = [
    (0.0, 0x000, {}, b""),
    (0.000001, 0x7FF, {}, bytes(range(8))),
    (0.5, 0x1FFFFFFF, {"is_extended_id": True}, b"\xff" * 8),
    (1.0, 0x123, {"is_remote_frame": True, "dlc": 4}, None),
    (1.5, 0x456, {"is_fd": True}, bytes(range(64))),
    (2.0, 0x001, {"is_error_frame": True, "is_extended_id": True}, bytes(8)),
    (3.0, 0x100, {}, b"\x01"),
]


def written(folder, suffix, messages=MESSAGES):
    path = folder / f"x.{suffix}"
    writer = WRITERS[suffix](str(path))
    for time_s, can_id, kinds, data in messages:
        kinds = {"is_extended_id": False, **kinds}
        writer(can.Message(timestamp=START_s + time_s, arbitration_id=can_id, data=data, **kinds))
    writer.stop()
    return path


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_kind_of_frame_comes_back(tmp_path, suffix):
    log = load_frames(written(tmp_path, suffix))
    frames = log.frames
    assert sniff(tmp_path / f"x.{suffix}") == log.kind == KINDS[suffix]
    assert frames["can_id"].tolist() == [m[1] for m in MESSAGES]
    wanted_us = [round((START_s + m[0]) * 1e6) for m in MESSAGES]
    assert np.abs(frames["t_us"] - wanted_us).max() <= 1  # SQLite and CSV keep a double
    assert frames["flags"].tolist() == [0, 0, EXT, RTR, FD, EXT | ERR, 0]
    assert frames["dlc"].tolist() == [0, 8, 8, 4, 15, 8, 1]  # 64 bytes are DLC 15
    assert frames["n_bytes"].tolist() == [0, 8, 8, 0, 64, 8, 1]
    assert frames["data"][4].tolist() == list(range(64)) and frames["data"][1][7] == 7
    assert (log.diagnostics.times, log.diagnostics.ok, log.ifaces) == ("absolute", True, ("can0",))


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_verbs_take_it(tmp_path, suffix, capsys):
    path = written(tmp_path, suffix)
    for words in (("info", path), ("convert", path, tmp_path / "x.blf")):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
            raise SystemExit(0)
        assert not ended.value.code
    assert "2023-11-14 22:13:20 UTC" in capsys.readouterr().out  # 1,700,000,000 s


@pytest.mark.parametrize(
    "line",
    [
        "1.0,0x800,0,0,0,1,AA==",  # eleven bits
        "1.0,0x100,0,0,0,2,AA==",  # one byte where the row says two
        "1.0,0x100,0,0,0,9,AAAAAAAAAAAA",  # nine bytes are no length
        "1.0,0x100,0,0,0,1,A*==",  # no base64
        "1.0,0x100,2,0,0,1,AA==",
        "1.0,0x100,0,0,1,AA==",
        "nan,0x100,0,0,0,1,AA==",
        "1e300,0x100,0,0,0,1,AA==",
    ],
)
def test_a_row_that_contradicts_itself_is_damage_with_its_line(tmp_path, line):
    path = tmp_path / "x.csv"
    head = "timestamp,arbitration_id,extended,remote,error,dlc,data"
    good = "1.5,0x100,0,0,0,1,Kg=="
    path.write_text(f"{head}\n{good}\n{line}\n{good}\n")
    log = load_frames(path)
    assert log.frames["data"][:, 0].tolist() == [42, 42] and log.diagnostics.times == "relative"
    assert log.diagnostics.n_damages == 1 and log.diagnostics.damages[0].place == "line 3"


def test_a_row_of_the_database_that_is_no_frame_is_damage(tmp_path):
    path = written(tmp_path, "db")
    with sqlite3.connect(path) as connection:
        connection.execute("update messages set arbitration_id = 'x' where rowid = 2")
        connection.execute("update messages set dlc = 3 where rowid = 7")
    connection.close()
    log = load_frames(path)
    assert len(log.frames) == 5
    assert [damage.place for damage in log.diagnostics.damages] == ["row 2", "row 7"]


def test_another_database_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("create table notes (text)")
    connection.close()
    with pytest.raises(InputError, match="no SQLite log of python-can: no such table: messages"):
        load_frames(tmp_path / "x.db")


def test_a_database_with_other_types_in_its_columns_costs_no_memory(tmp_path):
    """Found by the parser campaign: an integer as payload was taken for a number of zero bytes.

    Of seven rows, six have one value that no frame has.
    """
    path = tmp_path / "x.db"
    good = (1.5, 0x123, 0, 0, 0, 3, b"\1\2\3")
    wrong = ((6, 1 << 40), (6, "abc"), (2, 7), (1, 1 << 40), (0, float("inf")), (5, None))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        columns = "ts, arbitration_id, extended, remote, error, dlc, data"
        connection.execute(f"create table messages ({columns})")
        for at, value in ((0, 1.5), *wrong):
            row = (*good[:at], value, *good[at + 1 :])
            connection.execute("insert into messages values (?, ?, ?, ?, ?, ?, ?)", row)
        connection.commit()
    log = load_frames(path)
    assert log.frames["can_id"].tolist() == [0x123] and log.diagnostics.n_damages == 6
