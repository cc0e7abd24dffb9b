"""SQL over the archive: views with physical values, over files of different scales, offline."""

import json
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from made_archive import DBC, T0_UNIX_US, frames_of, load_dbc, store

from stagelog.archive import find_sessions, stage_folder, store_session
from stagelog.archive.manifest import put_entry, sha256_of
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.cli import group
from stagelog.dbc import load_database
from stagelog.errors import InputError, UsageError
from stagelog.lake import decode_archive
from stagelog.query import Archive

pytest.importorskip("duckdb")


@pytest.fixture
def archive(tmp_path):
    """Two cars, three sessions, one of them without a wall clock."""
    root = tmp_path / "archive"
    stages = [("03", "SS01", True), ("03", "SS02", True), ("07", "SS01", False)]
    for k, (car, stage, has_clock) in enumerate(stages):
        store(root, tmp_path, car, stage, k, has_clock)
    return root


@pytest.fixture
def database(tmp_path):
    return load_dbc(tmp_path)


@pytest.fixture
def decoded(archive, database):
    assert [(n, why) for _, n, why in decode_archive(archive, database)] == [(2, None)] * 3
    return archive


def test_view_gives_physical_values_by_car_and_stage(decoded):
    with Archive(decoded) as opened:
        columns, rows = opened.rows(
            "select car, stage, max(EngSpd), min(OilTemp), max(Count), max(AirTemp) from Engine"
            " group by all order by all"
        )
    assert columns[:2] == ["car", "stage"]
    assert rows == [  # byte 2 of the even frames is 0 to 126
        ("C03", "SS01", 398 * 0.25, -40.0, 0, 86),
        ("C03", "SS02", 1398 * 0.25, pytest.approx(-40.0), 0, 86),
        ("C07", "SS01", 2398 * 0.25, -40.0, 0, 86),
    ]


def test_values_equal_what_decoding_gives_to_the_bit(decoded, database):
    import stagelog

    path = next(iter(find_sessions(decoded))).path
    expected = stagelog.open(path, dbc=database).message("Engine")
    with Archive(decoded) as opened:
        found = opened.sql(
            f"select t_us, EngSpd, OilTemp from Engine where session = '{path.stem}' order by t_us"
        ).fetchnumpy()
    assert len(found["t_us"]) == 200
    assert np.array_equal(found["EngSpd"], expected.signals["EngSpd"])
    assert np.array_equal(found["OilTemp"], expected.signals["OilTemp"])


def test_signal_that_is_absent_is_null(decoded):
    with Archive(decoded) as opened:
        _, rows = opened.rows("select count(*), count(GearTemp), count(Sel) from Box")
    assert rows == [(600, 300, 600)]


def test_time_is_the_wall_clock_and_null_without_one(decoded):
    with Archive(decoded) as opened:
        _, rows = opened.rows(
            "select car, stage, epoch_us(min(time)) from Engine group by all order by all"
        )
    assert rows == [
        ("C03", "SS01", T0_UNIX_US + 500),
        ("C03", "SS02", T0_UNIX_US + 10**9 + 500),
        ("C07", "SS01", None),
    ]


@pytest.mark.parametrize("n_per_insert", [1, 2, 3, 100])
def test_sessions_come_from_the_manifests(decoded, monkeypatch, n_per_insert):
    monkeypatch.setattr("stagelog.query._ROWS_PER_INSERT", n_per_insert)
    with Archive(decoded) as opened:
        _, rows = opened.rows(
            "select car, stage, n_frames, complete, boot from sessions order by boot"
        )
    assert rows == [
        ("C03", "SS01", 400, True, 1),
        ("C03", "SS02", 400, True, 2),
        ("C07", "SS01", 400, True, 3),
    ]


def test_only_what_changed_is_decoded_again(decoded, database, tmp_path):
    assert list(decode_archive(decoded, database)) == []
    other = tmp_path / "other.dbc"
    other.write_text(DBC.format(scale=0.5))
    assert len(list(decode_archive(decoded, load_database(other)))) == 3
    assert not list(decoded.rglob("*.part"))


def test_a_session_whose_file_changed_is_decoded_again(decoded, database):
    """The last block of the file is damaged, as a disk does it: its frames leave the view."""
    entry = find_sessions(decoded)[0]
    content = bytearray(entry.path.read_bytes())
    content[-4096 + 70] ^= 1
    entry.path.write_bytes(content)
    log = read_log(entry.path)
    n_left = int((log.session().read_frames()["can_id"] == 256).sum())
    assert 0 < n_left < 200
    put_entry(entry.folder, {**entry.values, "sha256": sha256_of(entry.path)})
    assert [(one.path, n) for one, n, _ in decode_archive(decoded, database)] == [(entry.path, 2)]
    with Archive(decoded) as opened:
        _, rows = opened.rows("select count(*) from Engine where stage = 'SS01' and car = 'C03'")
    assert rows == [(n_left,)]


def test_a_copy_of_a_session_counts_nowhere(decoded, database, tmp_path):
    """C03's first stage, 400 frames in whole, lies in another folder too with its first block
    only. Copied before it was decoded or after: 200 of 600 Engine frames are C03's SS01.
    """
    entry = find_sessions(decoded)[0]
    folder = stage_folder(decoded, "DAKAR26", "03", "SS09")
    short = tmp_path / "short.slog"
    short.write_bytes(entry.path.read_bytes()[:4096])
    log = read_log(short)
    copy = store_session(log, log.session(), folder)
    assert list(decode_archive(decoded, database)) == []
    for is_decoded in (False, True):
        if is_decoded:  # an older stagelog decoded it
            source = entry.folder / f"session={entry.path.stem}"
            shutil.copytree(source, folder / f"session={copy.path.stem}")
        with Archive(decoded) as opened:
            assert opened.rows(ENGINE)[1] == [(600,)]
            assert opened.rows(SESSIONS)[1] == [(3,)] and opened.undecoded == []
            assert copy.path not in opened.verdicts


def test_a_file_of_two_sessions_under_one_name_is_not_decoded(archive, database):
    """The rows of both would stand under the name of one."""
    first, second, _ = find_sessions(archive)
    first.path.write_bytes(first.path.read_bytes() + second.path.read_bytes())
    failed = {entry.path: why for entry, _, why in decode_archive(archive, database) if why}
    assert failed == {first.path: f"{first.path} holds 2 sessions"}


def test_a_session_that_is_not_decoded_is_named_beside_one_that_is(decoded, database, tmp_path):
    """Fourth session, in the folder of the first one, whose DBC is gone: not in the view, and
    exit code 1.
    """
    database.path.unlink()
    path = tmp_path / "late.slog"
    path.write_bytes(pack_session(frames_of(10, 0), Identity("cd" * 8, 9, 9)).tobytes())
    log = read_log(path)
    entry = store_session(log, log.session(), find_sessions(decoded)[0].folder)
    code, rows, _, err = asked(decoded, ENGINE)
    assert (code, rows) == (1, [{"n": 600}])
    assert err == f"{entry.path.stem} is not decoded and not counted: add --dbc\n"
    assert asked(decoded, SESSIONS)[:2] == (0, [{"n": 4}])


def test_files_of_different_scales_are_put_together_right(archive, database, tmp_path):
    other = tmp_path / "other.dbc"
    other.write_text(DBC.format(scale=0.5).replace(" SG_ Count", " SG_ Turns"))
    list(decode_archive(archive / "event=DAKAR26" / "car=C03", database))
    list(decode_archive(archive / "event=DAKAR26" / "car=C07", load_database(other)))
    with Archive(archive) as opened:
        _, rows = opened.rows(
            "select car, max(EngSpd), count(Count), count(Turns) from Engine"
            " group by all order by all"
        )
    assert rows == [("C03", 1398 * 0.25, 400, 0), ("C07", 2398 * 0.5, 0, 200)]


def test_columns_are_those_of_the_newest_file(archive, database, tmp_path):
    """C03 was decoded with `Count`, C07, the last in the order of the folders, with `Turns`."""
    other = tmp_path / "other.dbc"
    other.write_text(DBC.format(scale=0.5).replace(" SG_ Count", " SG_ Turns"))
    list(decode_archive(archive / "event=DAKAR26" / "car=C03", database))
    list(decode_archive(archive / "event=DAKAR26" / "car=C07", load_database(other)))
    with Archive(archive) as opened:
        names = [column.name for column in opened.columns("Engine")]
    assert "Turns" in names and "Count" not in names


def test_part_of_the_archive_can_be_asked(decoded):
    with Archive(decoded / "event=DAKAR26" / "car=C07") as opened:
        _, rows = opened.rows("select distinct event, car from Engine")
    assert rows == [("DAKAR26", "C07")]


def test_folders_that_look_like_numbers_stay_text(decoded):
    folder = decoded / "event=DAKAR26" / "car=C07"
    folder = folder.rename(folder.with_name("car=7"))
    with Archive(folder) as opened:
        _, rows = opened.rows("select distinct car, typeof(car) from Engine where car = '7'")
    assert rows == [("7", "VARCHAR")]


def test_session_that_cannot_be_read_does_not_stop_the_others(archive, database):
    path = next(iter(find_sessions(archive))).path
    path.write_bytes(bytes(8192))
    found = list(decode_archive(archive, database))
    assert [n for _, n, _ in found] == [0, 2, 2]
    assert str(path) in found[0][2]


def test_mistakes_are_reported_with_what_there_is(decoded, tmp_path):
    with Archive(decoded) as opened:
        with pytest.raises(UsageError, match="EngSped.*views: Box, Engine, sessions"):
            opened.rows("select EngSped from Engine")
        with pytest.raises(UsageError, match="Conversion"):
            opened.rows("select car::int from Engine")
    with pytest.raises(InputError, match="no folder"):
        Archive(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with Archive(tmp_path / "empty") as opened, pytest.raises(UsageError, match="add --dbc"):
        opened.rows("select * from Gearbox")


def test_foreign_parquet_is_named(decoded):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = next(decoded.rglob("session=*"))
    pq.write_table(pa.table({"x": [1]}), folder / "Engine.parquet")
    with Archive(decoded) as opened, pytest.raises(InputError, match="not written by stagelog"):
        opened.rows("select * from Engine")
    (folder / "Engine.parquet").write_bytes(b"PAR1 torn")
    with Archive(decoded) as opened, pytest.raises(InputError, match="cannot read"):
        opened.rows("select * from Engine")


def test_no_extension_is_loaded_or_installed(decoded):
    with Archive(decoded) as opened:
        opened.rows("select max(EngSpd) from Engine")
        _, rows = opened.rows(
            "select extension_name from duckdb_extensions()"
            " where installed and install_mode <> 'STATICALLY_LINKED'"
        )
        _, settings = opened.rows("select current_setting('autoinstall_known_extensions')")
    assert (rows, settings) == ([], [(False,)])


def test_command_decodes_and_answers(archive, database):
    command = ["query", "--archive", str(archive), "--json"]
    done = CliRunner().invoke(
        group, [*command, "--dbc", str(database.path), "select max(EngSpd) as rpm from Engine"]
    )
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["rows"] == [{"rpm": 2398 * 0.25}]
    assert done.stderr.count("decoded, 2 messages") == 3
    listed = json.loads(CliRunner().invoke(group, command).stdout)["rows"]
    assert listed == [{"view": "Box", "files": 3}, {"view": "Engine", "files": 3}]
    shown = CliRunner().invoke(group, ["query", "--archive", str(archive), "--view", "Engine"])
    assert "EngSpd" in shown.output and "rpm" in shown.output
    table = CliRunner().invoke(
        group, ["query", "--archive", str(archive), "--csv", "select 1 as a, null as b"]
    )
    assert table.output.splitlines() == ["a,b", "1,"]


def test_a_table_shows_six_digits_and_what_is_absent(decoded):
    """The highest raw value of EngSpd is 2,398, 0.25 rpm each; 2,398 / 7 is 342.571428..."""
    sql = "select max(EngSpd) as rpm, 123456.75 as x, null as none, true as yes from Engine"
    done = CliRunner().invoke(group, ["query", "--archive", str(decoded), sql.replace("75", "7")])
    assert done.exit_code == 0
    assert done.output.splitlines()[-1].split() == ["599.5", "123456.7", "-", "True"]
    sql = "select 2398 / 7 as long, 1e9 / 3 as large, 'a' as text"
    done = CliRunner().invoke(group, ["query", "--archive", str(decoded), sql])
    assert done.output.splitlines()[-1].split() == ["342.571", "3.33333e+08", "a"]


def test_a_session_that_cannot_be_decoded_ends_with_1_whatever_is_asked(archive, database):
    first, second, _ = find_sessions(archive)
    first.path.write_bytes(first.path.read_bytes() + second.path.read_bytes())
    words = ["query", "--archive", str(archive), "--dbc", str(database.path), "select 1 as a"]
    done = CliRunner().invoke(group, words)
    assert done.exit_code == 1
    assert f"{first.path.name} NOT decoded: {first.path} holds 2 sessions" in done.stderr
    assert done.stderr.count(" decoded, 2 messages") == 2


SESSIONS = "select count(*) as n from sessions"
ENGINE = "select count(*) as n from Engine"


def asked(archive, sql, *more):
    """Return (exit code, rows, what JSON says of the log, stderr) of a query."""
    words = ["query", "--archive", str(archive), "--json", *more, sql]
    done = CliRunner().invoke(group, words)
    facts = json.loads(done.stdout)
    return done.exit_code, facts["rows"], facts.get("complete"), done.stderr


def first_file(archive):
    return find_sessions(archive)[0].path


def cut(path):
    """Keep one block of a file: 252 of its 400 frames at most."""
    path.write_bytes(path.read_bytes()[:4096])


def test_a_whole_archive_is_vouched_for(decoded):
    for sql in (SESSIONS, ENGINE):
        code, _, complete, err = asked(decoded, sql)
        assert (code, complete, err) == (0, True, "")


@pytest.mark.parametrize("sql", [SESSIONS, ENGINE])
def test_a_file_that_was_cut_or_removed_is_named(decoded, sql):
    """Its rows, decoded earlier, are still there; the file that proves them is not."""
    path = first_file(decoded)
    cut(path)
    code, _, complete, err = asked(decoded, sql)
    assert (code, complete) == (1, False)
    (line,) = err.splitlines()
    assert line.startswith(f"{path.stem}: INCOMPLETE: ")
    path.unlink()
    code, _, complete, err = asked(decoded, sql)
    assert (code, complete) == (1, False)
    assert f"{path}: the file is missing" in err


def test_a_file_of_the_same_size_is_read_where_it_was_written_since(decoded):
    path = first_file(decoded)
    content, t_ns = bytearray(path.read_bytes()), path.stat().st_mtime_ns
    content[1000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(t_ns + 1, t_ns + 1))
    code, _, _, err = asked(decoded, SESSIONS)
    assert code == 1 and err.startswith(f"{path.stem}: INCOMPLETE: ")
    content[1000] ^= 1
    path.write_bytes(content)
    assert asked(decoded, SESSIONS)[0] == 0


def test_a_file_that_was_not_written_since_is_not_read(decoded, monkeypatch):
    def never(path):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("stagelog.archive.manifest.sha256_of", never)
    monkeypatch.setattr("stagelog.accounts.read_log", never)
    assert asked(decoded, SESSIONS)[0] == asked(decoded, ENGINE)[0] == 0


def test_a_session_that_was_cut_is_not_complete_in_its_row(archive):
    cut(first_file(archive))
    sql = "select complete from sessions order by boot"
    assert [row["complete"] for row in asked(archive, sql)[1]] == [False, True, True]


def test_a_session_that_was_running_is_named_and_the_exit_code_is_1(archive):
    """What the manifest says of it: nobody knows its end."""
    entry = find_sessions(archive)[0]
    verdict = {"kind": "open end", "text": "open end: cannot know what is missing", "complete": 0}
    put_entry(entry.folder, {**entry.values, "complete": False, "verdict": verdict})
    code, rows, complete, err = asked(archive, SESSIONS)
    assert (code, rows, complete) == (1, [{"n": 3}], False)
    assert err == f"{entry.path.stem}: open end: cannot know what is missing\n"


@pytest.mark.parametrize("sql", [SESSIONS, ENGINE])
def test_a_file_without_a_manifest_is_named(decoded, sql):
    path = first_file(decoded)
    (path.parent / "manifest.json").unlink()
    code, _, complete, err = asked(decoded, sql)
    assert (code, complete) == (1, False)
    (line,) = err.splitlines()
    assert f"{path} is not in the archive's manifest" in line
    assert "COMPLETE: every frame that was seen is here" in line


def test_an_archive_of_files_without_a_manifest_is_not_empty(tmp_path, archive, database):
    folder = tmp_path / "bare"
    folder.mkdir()
    first_file(archive).rename(folder / "x.slog")
    cut(folder / "x.slog")
    (folder / "y.slog").write_bytes(b"no block")
    code, rows, complete, err = asked(folder, SESSIONS)
    assert (code, rows, complete) == (1, [{"n": 0}], False)
    assert "open end: " in err and "x.slog" in err and "y.slog" in err
    done = CliRunner().invoke(
        group, ["query", "--archive", str(folder), "--dbc", str(database.path)]
    )
    assert done.exit_code == 1 and "x.slog is not in the archive's manifest" in done.stderr


def test_rows_without_their_session_file_are_named(decoded):
    path = first_file(decoded)
    path.unlink()
    (path.parent / "manifest.json").unlink()
    code, rows, _, err = asked(decoded, ENGINE)
    assert (code, rows) == (1, [{"n": 600}])
    assert f"{path}: the file is missing" in err


def test_a_question_about_no_session_ends_with_0(decoded):
    first_file(decoded).unlink()
    assert asked(decoded, "select 1 as n") == (0, [{"n": 1}], None, "")


def test_a_folder_that_was_renamed_is_named(decoded):
    """DuckDB reads "x=1=y" as no value of a session."""
    folder = next(decoded.rglob("session=*"))
    folder.rename(folder.with_name("session=x=1"))
    with Archive(decoded) as opened, pytest.raises(InputError, match="session=x=1"):
        opened.rows(ENGINE)
