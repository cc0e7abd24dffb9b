"""Facts kept from an earlier report: the same page, and never those of anything else."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from stagelog.report import kept, source
from stagelog.resources import firmware_path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STAGELOG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def counted(monkeypatch):
    """Return a list that grows with each log that is read for a report."""
    calls, read = [], source.read_source

    def read_source(paths, *rest):
        calls.append(paths)
        return read(paths, *rest)

    monkeypatch.setattr(source, "read_source", read_source)
    return calls


@pytest.fixture
def log(run, tmp_path):
    path = tmp_path / "drive.log"
    run("drive", "stage", "--seed", "4", "--duration", "30", "-o", path)
    return path


def test_the_second_report_reads_no_log_and_is_the_same(run, cache, counted, log, tmp_path):
    pages = []
    for name in ("a.html", "b.html"):
        code, out, _ = run("report", log, "--json", "-o", tmp_path / name)
        pages.append((code, out, (tmp_path / name).read_bytes()))
    assert pages[0] == pages[1]
    assert len(counted) == 1
    assert len(list(cache.iterdir())) == 1


def test_what_the_facts_depend_on_makes_a_new_report(run, cache, counted, log, tmp_path):
    """Each change alone: title, a byte of the log, profile, DBC."""
    from stagelog.profile import dbc_file, load_profile

    profile = load_profile()
    mine = tmp_path / "mine.toml"
    mine.write_text(f'extends = "{profile.path}"\n[car]\nnumber = 77\n')
    dbc = tmp_path / "mine.dbc"
    dbc.write_bytes(open(dbc_file(profile), "rb").read() + b"\n")
    assert run("report", log, "--json")[0] in (0, 1)
    for more in (["--title", "X"], ["--profile", str(mine)], ["--dbc", str(dbc)]):
        before = len(counted)
        assert run("report", log, "--json", *more)[0] in (0, 1)
        assert len(counted) == before + 1, more
    text = log.read_text()
    log.write_text(text.rstrip("0\n") + "1\n")
    before = len(counted)
    run("report", log, "--json")
    assert len(counted) == before + 1


def test_the_key_follows_files_and_options(tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(b"1")
    first = kept.key_of([path], "options")
    assert kept.key_of([path], "options") == first != kept.key_of([path], "others")
    assert kept.key_of([tmp_path], "options") is None  # a folder, a device: no files
    path.write_bytes(b"2")
    assert kept.key_of([path], "options") != first


def test_the_key_follows_the_sources(tmp_path):
    """One byte more in a detector, in a copy of both packages: each process reads them anew."""
    for package in ("slog", "detectors"):
        shutil.copytree(firmware_path() / package, tmp_path / package)
    (tmp_path / "x.slog").write_bytes(b"1")

    def key():
        code = "import sys; from stagelog.report import kept; print(kept.key_of(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "x.slog"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    first = key()
    assert len(first) == 65 and key() == first
    alarms = tmp_path / "detectors" / "alarms.py"
    alarms.write_text(alarms.read_text() + "#")
    assert key() != first


def test_without_a_cache_every_report_is_made(run, cache, counted, log, monkeypatch):
    monkeypatch.setenv("STAGELOG_CACHE", "")
    for _ in range(2):
        run("report", log, "--json")
    assert len(counted) == 2 and not cache.exists()


def test_a_damaged_file_is_as_none(run, cache, counted, log):
    first = run("report", log, "--json")
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert run("report", log, "--json") == first
    assert len(counted) == 2


def test_a_cache_that_cannot_be_written_costs_nothing(run, cache, counted, log):
    cache.write_text("no folder")
    assert run("report", log, "--json")[0] in (0, 1)
    assert len(counted) == 1


def test_the_oldest_are_removed(cache, monkeypatch):
    values = {"facts": os.urandom(3000).hex()}  # about 3 kB deflated
    monkeypatch.setattr(kept, "KEPT_BYTES", 10_000)
    for k in range(4):
        kept.save(f"k{k}", values)
        os.utime(cache / f"k{k}.facts", (k, k))
    kept.save("k4", values)
    assert json.dumps(kept.load("k4")) == json.dumps(values)
    left = sorted(path.name for path in cache.iterdir())
    assert "k0.facts" not in left and "k3.facts" in left and 2 <= len(left) <= 3
