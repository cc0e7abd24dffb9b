"""Logs through pipes: every verb gives what it gives for the file."""

import contextlib
import json
import os
import subprocess
import sys
import threading

import pytest

from stagelog.cli import main
from stagelog.importers import load_frames
from stagelog.pipes import real_path

DBC = 'BU_: E\nBO_ 291 Engine: 8 E\n SG_ Speed : 0|16@1+ (0.25,0) [0|0] "rpm" E\n'
STAGELOG = (sys.executable, "-c", "from stagelog.cli import main; main()")
N = 5000  # lines of 41 bytes: three times what a pipe holds


@pytest.fixture
def run(capfdbinary):
    def call(*args):
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capfdbinary.readouterr()
        return ended.value.code or 0, out, err.decode()

    return call


@pytest.fixture
def dbc(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(DBC)
    return path


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "drive.log"
    lines = (f"(1700000000.{k:06d}) can0 123#{k:04X}000000000000\n" for k in range(N))
    path.write_text("".join(lines))
    return path


@pytest.fixture
def through(tmp_path):
    """Return a function that makes a pipe through which a file comes, once."""
    threads = []

    def call(source):
        path = tmp_path / f"pipe{len(threads)}"
        os.mkfifo(path)
        thread = threading.Thread(target=_fill, args=(path, source.read_bytes()), daemon=True)
        threads.append(thread)
        thread.start()
        return path

    yield call
    for thread in threads:
        thread.join(10)


def _fill(path, data):
    with contextlib.suppress(BrokenPipeError):
        path.write_bytes(data)


@pytest.mark.parametrize("kind", ["log", "blf", "asc", "trc", "slog", "mf4"])
def test_every_kind_of_log_comes_through_a_pipe(run, tmp_path, log, through, kind):
    if kind == "mf4":
        pytest.importorskip("asammdf")
    source = tmp_path / f"y.{kind}"
    if kind != "log":
        assert run("convert", log, source)[0] == 0
    else:
        source = log
    loaded = load_frames(through(source))
    assert loaded.frames.tobytes() == load_frames(source).frames.tobytes()
    assert len(loaded.frames) == N and loaded.diagnostics.ok


VERBS = {
    "convert": ("convert", "{log}", "{out}.blf"),
    "convert signals": ("convert", "{log}", "{out}.csv", "--dbc", "{dbc}"),
    "decode": ("decode", "{log}", "--dbc", "{dbc}", "--out", "{out}"),
    "plot": ("plot", "{log}", "--dbc", "{dbc}", "--strip", "Speed", "-o", "{out}.svg"),
    "replay": ("replay", "{log}", "--bus", "virtual:x", "--speed", "1000", "--bound-us", "1e9"),
    "dbc check": ("dbc", "check", "{dbc}", "--log", "{log}"),
    "info": ("info", "{slog}"),
    "verify": ("verify", "{slog}"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_of_a_pipe_what_it_says_of_the_file(
    run, tmp_path, log, dbc, through, verb
):
    slog = tmp_path / "x.slog"
    assert run("convert", log, slog)[0] == 0
    names = {"log": log, "slog": slog, "dbc": dbc, "out": tmp_path / "file"}
    code, out, err = run(*(part.format(**names) for part in VERBS[verb]))
    key = "slog" if "{slog}" in VERBS[verb] else "log"
    piped = {key: through(names[key]), "dbc": dbc, "out": tmp_path / "pipe"}
    wanted = (code, _plain(out, names), _plain(err.encode(), names))
    code, out, err = run(*(part.format(**piped) for part in VERBS[verb]))
    assert (code, _plain(out, piped), _plain(err.encode(), piped)) == wanted
    for path in sorted(tmp_path.glob("file*")):
        other = tmp_path / path.name.replace("file", "pipe")
        if path.is_file() and path.suffix != ".svg":
            assert other.read_bytes() == path.read_bytes()


def _plain(text, names):
    """Return output without the names of files and without times that are measured."""
    text = text.decode()
    for key, value in names.items():
        text = text.replace(str(value), key)
        if key == "log":  # decode takes the name of the session from it
            text = text.replace(f"session {value.stem}", "session log")
    lines = (line for line in text.splitlines() if "late by" not in line and " s to " not in line)
    return [line.split("  ")[0] for line in lines]


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_and_output(log, name):
    command = [*STAGELOG, "convert", name, "-"]
    done = subprocess.run(command, input=log.read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == log.read_bytes()
    assert b"5,000 frames read" in done.stderr


def test_standard_input_that_is_a_file(log):
    with open(log) as file:
        done = subprocess.run([*STAGELOG, "convert", "-", "-"], stdin=file, capture_output=True)
    assert done.stdout == log.read_bytes()


def test_text_goes_to_standard_output_and_nothing_else_does(run, log, dbc, tmp_path):
    assert run("convert", log, tmp_path / "y.asc")[0] == 0
    code, out, err = run("convert", log, "-", "--to", "asc")
    assert (code, out) == (0, (tmp_path / "y.asc").read_bytes())
    code, out, err = run("convert", log, "-", "--dbc", dbc, "--rate-Hz", "1000")
    assert code == 0 and out.startswith(
        b"\xef\xbb\xbft_s,Speed [rpm]\r\n1700000000.000000,0.0\r\n"
    )
    for args, says in (
        (("convert", log, "-", "--to", "blf"), "'blf' is not one of"),
        (("convert", log, "-", "--json"), "--json"),
        (("convert", log, tmp_path / "z.log", "--to", "asc"), "--to"),
        (("decode", log, "--dbc", dbc, "--out", "-"), "standard output"),
        (("plot", log, "--dbc", dbc, "--strip", "Speed", "-o", "-"), "standard output"),
        (("report", log, "--out", "-"), "standard output"),
    ):
        code, out, err = run(*args)
        assert (code, out) == (2, b"") and says in err, args


def test_a_dbc_comes_through_a_pipe(run, log, dbc, through):
    code, out, _ = run("convert", log, "-", "--dbc", through(dbc))
    assert code == 0 and b"Speed [rpm]" in out


@pytest.mark.parametrize("verb", ["info", "verify", "convert"])
def test_an_empty_pipe_is_an_empty_log(run, tmp_path, through, verb):
    source = tmp_path / "empty"
    source.write_bytes(b"")
    more = [tmp_path / "y.blf"] if verb == "convert" else []
    code, _, err = run(verb, through(source), *more)
    assert code == 5 and "is empty" in err


def test_a_full_disk_names_the_pipe(monkeypatch, log, through):
    import shutil

    from stagelog.errors import OutputError

    def full(*_):
        raise OSError(28, "No space left on device")

    path = through(log)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(OutputError, match=r"pipe0.*No space left.*TMPDIR"):
            real_path(path)


def test_json_names_what_the_user_named(run, log, tmp_path, through):
    path = through(log)
    code, out, _ = run("convert", path, tmp_path / "y.blf", "--json")
    assert code == 0 and json.loads(out)["log"] == str(path)
