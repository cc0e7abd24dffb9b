"""The lake: what is decoded again, folders that appear whole, a second engine that reads them."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_archive import DBC, load_dbc, store

from stagelog.archive import find_sessions, store_session
from stagelog.archive.manifest import put_entry, sha256_of
from stagelog.blocks import read_log
from stagelog.cli import group
from stagelog.dbc import load_database
from stagelog.errors import OutputError
from stagelog.lake import build, decode_archive, stale_sessions
from stagelog.lake import tables as lake_tables
from stagelog.lake import workers as lake_workers
from stagelog.lake.build import cars_of
from stagelog.platform import processes
from stagelog.platform.files import lock_file
from stagelog.query import Archive

pytest.importorskip("pyarrow")


@pytest.fixture
def root(tmp_path):
    """An archive of two cars and three stages, 200 frames of Engine each."""
    root = tmp_path / "archive"
    for number, (car, stage) in enumerate([("03", "SS01"), ("03", "SS02"), ("07", "SS01")]):
        store(root, tmp_path, car, stage, number)
    return root


@pytest.fixture
def database(tmp_path):
    return load_dbc(tmp_path)


def stale(root, database):
    return [
        entry.folder.parent.name + entry.folder.name for entry, _ in stale_sessions(root, database)
    ]


def lake(root, *words):
    done = CliRunner().invoke(group, ["lake", "build", "--archive", str(root), *words])
    return done.exit_code, done.stdout, done.stderr


def test_what_log_dbc_and_code_made_before_is_not_made_again(
    root, database, tmp_path, monkeypatch
):
    """Of three sessions: none after a build; one whose log is another; those of the DBC that was
    changed; all where the decoder's sources are others.
    """
    assert len(stale(root, database)) == 3
    list(decode_archive(root, database))
    assert stale(root, database) == []
    entry = find_sessions(root)[1]
    content = bytearray(entry.path.read_bytes())
    content[-4096 + 70] ^= 1
    entry.path.write_bytes(content)
    put_entry(entry.folder, {**entry.values, "sha256": sha256_of(entry.path)})
    assert stale(root, database) == ["car=C03stage=SS02"]
    list(decode_archive(root, database))
    (tmp_path / "other.dbc").write_text(DBC.format(scale=0.5))
    other = load_database(tmp_path / "other.dbc")
    assert len(stale(root, other)) == 3 and stale(root, database) == []
    monkeypatch.setattr(lake_tables, "code_sha256", lambda: "of another version")
    assert len(stale(root, database)) == 3


def test_a_session_of_which_nothing_is_decoded_is_read_once(root, database, tmp_path):
    """The DBC names none of its identifiers: no table, and nothing to do the next time; with a DBC
    that names one it is decoded.
    """
    (tmp_path / "none.dbc").write_text(DBC.format(scale=1).replace("BO_ 25", "BO_ 77"))
    none = load_database(tmp_path / "none.dbc")
    assert [one.n_messages for one in decode_archive(root, none)] == [0, 0, 0]
    assert stale(root, none) == []
    assert len(stale(root, database)) == 3
    list(decode_archive(root, database))
    assert stale(root, database) == [] and len(stale(root, none)) == 3


def test_each_source_that_decodes_is_in_the_hash_of_the_code():
    """A module that decoding imports and that the hash leaves out would leave old tables."""
    room = Path(lake_tables.__file__).parents[1]
    for name in lake_tables.CODE:
        assert (room / name).exists(), name
    assert {"decode", "dbc", "blocks", "export/parquet.py"} <= set(lake_tables.CODE)


class Cut(BaseException):
    """The process is killed here."""


@pytest.mark.parametrize("n_left", range(8))
def test_a_build_that_is_killed_leaves_no_half_table(
    root, database, tmp_path, monkeypatch, n_left
):
    """The second build of a session, with another DBC, is cut off at each step that moves or
    removes a folder; a removal has then removed one file. The session's folder holds both files of
    one DBC or is not there, and the next build makes it whole and clears up.
    """
    list(decode_archive(root, database))
    (tmp_path / "other.dbc").write_text(DBC.format(scale=0.5))
    other = load_database(tmp_path / "other.dbc")
    left = [n_left]
    replace, rmtree = Path.replace, shutil.rmtree

    def is_cut():
        left[0] -= 1
        return left[0] < 0

    def cut_replace(self, target):
        if self.is_dir() and is_cut():
            raise Cut
        return replace(self, target)

    def cut_rmtree(path, ignore_errors=False, **more):
        if Path(path).is_dir() and is_cut():
            next(Path(path).iterdir()).unlink()
            raise Cut
        return rmtree(path, ignore_errors=ignore_errors, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut_replace)
        patch.setattr(shutil, "rmtree", cut_rmtree)
        try:
            list(decode_archive(root, other))
        except Cut:
            pass
    for entry in find_sessions(root):
        folder = lake_tables.folder_of(entry)
        if folder.exists():
            assert {path.name for path in folder.iterdir()} == {"Box.parquet", "Engine.parquet"}
            hashes = {lake_tables.facts_of(p)[1]["database_sha256"] for p in folder.iterdir()}
            assert len(hashes) == 1
    list(decode_archive(root, other))
    assert stale(root, other) == []
    list(build(root, stale_sessions(root, other, force=True)))
    assert [path.name for path in root.rglob(".*") if path.is_dir()] == []


def test_a_second_build_gets_one_line_and_the_first_goes_on(root, database):
    with open(root / ".lake.lock", "w") as file:
        assert lock_file(file.fileno())
        with pytest.raises(OutputError, match="another stagelog is decoding in .*archive; wait"):
            list(decode_archive(root, database))
    assert len(list(decode_archive(root, database))) == 3


def test_polars_reads_the_tables_that_duckdb_reads(root, database):
    """Raw EngSpd of session k is 1,000 k + 0, 2, .. 398, at 0.25 rpm: 200 values whose sum is
    200 * (1,000 k + 199) * 0.25. Hive values are text: car C03, not 3.
    """
    polars = pytest.importorskip("polars")
    from stagelog.query import Archive

    list(decode_archive(root, database))
    frame = polars.scan_parquet(f"{root}/**/Engine.parquet", hive_partitioning=True)
    rpm = (polars.col("EngSpd").cast(polars.Float64) * 0.25).sum().alias("rpm")
    found = frame.group_by("car", "stage").agg(polars.len(), rpm).sort("car", "stage").collect()
    expected = [
        ("C03", "SS01", 200, 200 * 199 * 0.25),
        ("C03", "SS02", 200, 200 * 1199 * 0.25),
        ("C07", "SS01", 200, 200 * 2199 * 0.25),
    ]
    assert found.rows() == expected
    with Archive(root) as archive:
        sql = "select car, stage, count(*), sum(EngSpd) from Engine group by all order by all"
        assert archive.rows(sql)[1] == expected


def test_the_command_decodes_what_is_stale_and_nothing_twice(root, database, tmp_path):
    code, out, err = lake(root, "--jobs", "1")
    assert code == 1 and err.count("NOT decoded: the DBC of its car is not known") == 3
    code, out, _ = lake(root, "--jobs", "1", "--dbc", str(database.path), "--car", "C03")
    assert code == 0 and out.count(" decoded, 2 messages") == 2
    assert "2 of 2 sessions decoded, 0 up to date, 0 not decoded" in out
    code, out, err = lake(root, "--jobs", "1", "--json")
    facts = json.loads(out)
    assert code == 1 and "C07 SS01" in err
    assert (facts["n_sessions"], facts["n_up_to_date"], facts["n_failed"]) == (3, 2, 1)
    (tmp_path / "other.dbc").write_text(DBC.format(scale=0.5))
    code, out, err = lake(root, "--jobs", "1", "--dbc", str(tmp_path / "other.dbc"))
    assert code == 0 and "car C03 stays decoded with" in err
    assert "1 of 3 sessions decoded, 2 up to date" in out


def test_a_folder_above_the_archive_is_not_taken_for_a_car(tmp_path):
    """An archive below event=x/car=old: its own cars are C03 and C07, and a session that lies in
    no folder of a car has none. 200 frames of Engine each.
    """
    above = tmp_path / "event=x" / "car=old"
    root = above / "archive"
    for number, car in enumerate(["03", "07"]):
        store(root, tmp_path, car, "SS01", number)
    loose = read_log(store(tmp_path / "made", tmp_path, "09", "SS01", 2).path)
    store_session(loose, loose.session(), root)
    assert cars_of(root) == {"", "C03", "C07"}
    dbc = ("--dbc", str(tmp_path / "car.dbc"))
    load_dbc(tmp_path)
    code, out, err = lake(root, *dbc, "--car", "C07", "--json")
    assert code == 0 and json.loads(out)["n_decoded"] == 1, out + err
    assert lake(root, *dbc)[0] == 0
    sql = "select event, car, stage, count(*) from {} group by all order by car nulls first"
    with Archive(root) as archive:
        for table, n in (("sessions", 1), ("Engine", 200)):
            assert archive.sql(sql.format(table)).fetchall() == [
                (None, None, None, n),
                ("DAKAR26", "C03", "SS01", n),
                ("DAKAR26", "C07", "SS01", n),
            ]


def test_processes_are_started_for_much_or_when_asked(root, database, monkeypatch):
    """The three sessions have a few kB: decoded here, unless the limit lies below, or --jobs."""
    used = []

    def here(jobs, n):
        used.append(n)
        return ((job, lake_workers.work(job)) for job in jobs)

    monkeypatch.setattr(lake_workers, "in_processes", here)
    monkeypatch.setattr(processes, "processors", lambda: 2)
    words = ("--dbc", str(database.path), "--force")
    assert lake(root, *words)[0] == 0 and used == []
    assert lake(root, *words, "--jobs", "3")[0] == 0 and used == [3]
    monkeypatch.setattr(lake_workers, "PROCESSES_FROM_BYTES", 1000)
    assert lake(root, *words)[0] == 0 and used == [3, 2]
