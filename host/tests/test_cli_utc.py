"""--utc: a time has one meaning in logs of every kind.

By hand: 1,700,000,000 s is 2023-11-14 22:13:20 UTC.
"""

import csv
import datetime

import pytest

from stagelog.blocks import Identity, pack_session
from stagelog.importers import load_frames

DBC = 'BU_: E\nBO_ 256 Engine: 8 E\n SG_ Speed : 0|16@1+ (0.25,0) [0|0] "rpm" E\n'
START_US = 1_700_000_000_000_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The same 10 frames, one a second, as candump and as a session of ours that counts from its
    power-on and knows the wall clock at its first frame; and one that does not.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.dbc").write_text(DBC)
    lines = [f"({1_700_000_000 + k}.000000) can0 100#{k:02X}00000000000000\n" for k in range(10)]
    (tmp_path / "x.log").write_text("".join(lines))
    frames = load_frames("x.log").frames.copy()
    frames["t_us"] -= START_US - 5_000_000
    ours = Identity("0a" * 8, 1, 7)
    blocks = pack_session(frames, ours, anchors=[(5_000_000, START_US)])
    (tmp_path / "x.slog").write_bytes(blocks.tobytes())
    (tmp_path / "no_clock.slog").write_bytes(pack_session(frames, ours).tobytes())
    return tmp_path


def wanted():
    start = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC)
    return [start + datetime.timedelta(seconds=k) for k in range(10)]


@pytest.mark.parametrize("log", ["x.log", "x.slog"])
@pytest.mark.parametrize("form", [(), ("--raw",)])
def test_parquet_has_a_column_of_utc(folder, run, log, form):
    pq = pytest.importorskip("pyarrow.parquet")
    code, _, err = run("decode", log, "--dbc", "x.dbc", "--out", "out", "--utc", *form)
    assert code in (0, 1), err
    table = pq.read_table("out/Engine.parquet")
    assert table["time"].to_pylist() == wanted() and str(table["time"].type.tz) == "UTC"
    assert table.column_names[:3] == ["t_us", "time", "bus"]


@pytest.mark.parametrize("log", ["x.log", "x.slog"])
def test_csv_has_it_too(folder, run, log):
    texts = [f"2023-11-14T22:13:{20 + k}.000000Z" for k in range(10)]
    run("decode", log, "--dbc", "x.dbc", "--out", "a", "--utc", "--csv")
    run("decode", log, "--dbc", "x.dbc", "--out", "b", "--utc", "--csv", "--rate-Hz", 1)
    run("convert", log, "c.csv", "--dbc", "x.dbc", "--utc", "--rate-Hz", 1)
    for path in ("a/Engine.csv", "b/signals.csv", "c.csv"):
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["time_utc"] for row in rows] == texts, path


def test_without_a_clock_it_is_refused_and_nothing_stays(folder, run):
    words = ("--dbc", "x.dbc", "--utc")
    code, _, err = run("decode", "no_clock.slog", *words, "--out", "out")
    assert code == 5 and "no wall clock" in err
    assert not list((folder / "out").rglob("*.*")) if (folder / "out").exists() else True
    assert run("convert", "no_clock.slog", "c.csv", *words)[0] == 5
    assert run("convert", "x.log", "c.mf4", *words)[0] == 2


def test_without_the_switch_nothing_changes(folder, run):
    pq = pytest.importorskip("pyarrow.parquet")
    run("decode", "x.log", "--dbc", "x.dbc", "--out", "out")
    assert pq.read_table("out/Engine.parquet").column_names == ["t_us", "bus", "Speed"]
