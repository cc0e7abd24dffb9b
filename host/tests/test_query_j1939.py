"""J1939 in an archive: known by a session's traffic, or as somebody said it for a car."""

import json

import numpy as np
import pytest

from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.cli import main
from stagelog.dbc import load_database
from stagelog.decode.protocol import as_said
from stagelog.lake import decode_archive
from stagelog.lake.build import build, stale_sessions
from stagelog.model import EXT, FRAME
from stagelog.query import Archive

pytest.importorskip("duckdb")

TRUCK = """VERSION ""
BS_:
BU_: ECU
BO_ 2364539904 EEC1: 8 ECU
 SG_ EngSpeed : 24|16@1+ (0.125,0) [0|0] "rpm" ECU
"""


@pytest.mark.parametrize(("groups", "sources"), [((0xF004, 0xFEEE, 0xFEF1), {0, 15}), ((), {0})])
def test_j1939_is_known_by_the_traffic_of_a_session(tmp_path, groups, sources):
    """EEC1 is group F004; the DBC has it from source 0 (0x8CF00400), as a DBC of no protocol.

    Beside the other groups of a truck the retarder's (0F) is the same message; alone it may be
    anything. Raw 8000 are 1,000 rpm.
    """
    truck_archive(tmp_path, groups)
    database = load_database(tmp_path / "truck.dbc")
    assert [why for *_, why in decode_archive(tmp_path / "archive", database)] == [None]
    with Archive(tmp_path / "archive") as opened:
        rows = opened.rows("select * from EEC1")
    found = [dict(zip(rows[0], row, strict=True)) for row in rows[1]]
    assert {row["EngSpeed"] for row in found} == {1000.0}
    assert {row.get("source", 0) for row in found} == sources


def truck_archive(tmp_path, groups, car="T1", unit="ab"):
    """Store a session in which sources 00 and 0F send EEC1, beside other groups."""
    (tmp_path / "truck.dbc").write_text(TRUCK)
    ids = [0x0CF00400, 0x0CF0040F, *(0x18000000 | group << 8 for group in groups)]
    frames = np.zeros(len(ids), FRAME)
    frames["t_us"], frames["can_id"] = 1000 * np.arange(len(ids)), ids
    frames["flags"], frames["dlc"], frames["n_bytes"] = EXT, 8, 8
    frames["data"][:, 3:5] = (0x40, 0x1F)
    (tmp_path / "t.slog").write_bytes(pack_session(frames, Identity(unit * 8, 1, 1)).tobytes())
    log = read_log(tmp_path / "t.slog")
    place = stage_folder(tmp_path / "archive", "E", car, "S1")
    place.mkdir(parents=True)
    store_session(log, log.session(), place)


def n_of_eec1(capsys, tmp_path, verb, *words):
    """Run `query` or `lake build` with words; return the number of rows of EEC1 that it counts."""
    archive = ("--archive", str(tmp_path / "archive"))
    if verb == "lake":
        with pytest.raises(SystemExit) as ended:
            main(["lake", "build", *archive, *words])
        assert ended.value.code == 0
        words = ()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["query", "select count(*) as n from EEC1", *archive, *words, "--json"])
    return json.loads(capsys.readouterr().out)["rows"][0]["n"]


@pytest.mark.parametrize("verb", ["query", "lake"])
def test_j1939_of_the_archive_is_as_the_user_says_and_is_remembered(tmp_path, capsys, verb):
    """One session says nothing of its protocol: EEC1 of source 00 is one row, with --j1939 that of
    0F another. The decoder of the car stays so until somebody says otherwise.
    """
    truck_archive(tmp_path, ())
    dbc = ("--dbc", str(tmp_path / "truck.dbc"))
    assert n_of_eec1(capsys, tmp_path, verb, *dbc) == 1
    assert n_of_eec1(capsys, tmp_path, verb, *dbc, "--j1939") == 2
    assert n_of_eec1(capsys, tmp_path, verb, *dbc) == 2
    assert n_of_eec1(capsys, tmp_path, "lake", "--force", "--jobs", "2") == 2
    assert n_of_eec1(capsys, tmp_path, verb, *dbc, "--no-j1939") == 1


def test_two_cars_of_one_dbc_are_decoded_each_by_its_own_protocol(tmp_path):
    """The same DBC, said to be J1939 for one car and none for the other, in one build."""
    truck_archive(tmp_path, (), "T1")
    truck_archive(tmp_path, (), "T2", "cd")
    root, database = tmp_path / "archive", load_database(tmp_path / "truck.dbc")
    jobs = [
        job
        for car, is_j1939 in (("T1", True), ("T2", False))
        for job in stale_sessions(root, as_said(database, is_j1939), [car])
    ]
    assert [done.problem for done in build(root, jobs)] == [None, None]
    with Archive(root) as opened:
        _, rows = opened.rows("select car, count(*) from EEC1 group by car order by car")
    assert rows == [("T1", 2), ("T2", 1)]


def test_no_j1939_of_the_archive_counts_against_the_traffic(tmp_path, capsys):
    truck_archive(tmp_path, (0xF004, 0xFEEE, 0xFEF1))
    dbc = ("--dbc", str(tmp_path / "truck.dbc"))
    assert n_of_eec1(capsys, tmp_path, "query", *dbc) == 3  # of 00, of 0F, and of the third
    assert n_of_eec1(capsys, tmp_path, "query", *dbc, "--no-j1939") == 1
    with pytest.raises(SystemExit) as ended:
        main(["query", "--archive", str(tmp_path / "archive"), "--no-j1939"])
    assert ended.value.code == 2 and "without --dbc" in capsys.readouterr().err
