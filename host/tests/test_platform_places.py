"""Consoles, names, folders and disks as they are: no traceback, the file named, nothing half left.

Exit codes are those of the README: 5 what cannot be read, 6 what cannot be written.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stagelog.archive import find_sessions
from stagelog.errors import InputError
from stagelog.platform.files import beside

ROOT = Path(__file__).resolve().parents[2]
STAGELOG = [sys.executable, "-c", "from stagelog.cli import main; main()"]
DBC = ROOT / "dbc/d7xr.dbc"
# Degrees, ohms and Chinese: in none of ascii and cp437 are all three, cp1252 has the first.
FOREIGN = """VERSION ""
BU_: X
BO_ 256 Eng: 8 X
 SG_ T : 0|16@1+ (0.1,0) [0|0] "\N{DEGREE SIGN}C" X
 SG_ R : 16|16@1+ (0.1,0) [0|0] "\N{OHM SIGN}" X
CM_ SG_ 256 T "\u6e29\u5ea6";
"""
TOO_LONG = "n" * 252  # with a suffix of four characters more than the 255 of a file's name


# Types the commands of stdin (JSON), one after the other; prints [[exit code, stdout, stderr]].
TYPIST = """
import contextlib, io, json, resource, sys, traceback
from stagelog.cli import main
given, results = json.load(sys.stdin), []
import matplotlib.figure, pyarrow.parquet, asammdf, can, duckdb
for words in given["commands"]:
    texts = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    code = None
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if given["limit_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given["limit_bytes"], before[1]))
    with contextlib.redirect_stdout(texts[0]), contextlib.redirect_stderr(texts[1]):
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for text in texts:
        text.flush()
    results.append([code, *(t.buffer.getvalue().decode(errors="replace") for t in texts)])
json.dump(results, sys.stdout)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a second of the virtual car, d.log and d.slog, and a DBC with odd units."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "u.dbc").write_text(FOREIGN, encoding="utf-8")
    words = ["drive light_crest --duration 1 --out d.log", "convert d.log d.slog"]
    assert [result[0] for result in type_all(folder, words)] == [0, 0]
    return folder


def type_all(folder, commands, limit_bytes=None, before=()):
    """Return [(exit code, stdout, stderr)] of commands typed in one process; None: a traceback."""
    split = [words.split() for words in commands]
    done = subprocess.run(
        [*before, sys.executable, "-c", TYPIST],
        input=json.dumps({"commands": split, "limit_bytes": limit_bytes}),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(result) for result in json.loads(done.stdout)]


def run(folder, words, **environment):
    """Run a command in a process of its own; no traceback, whatever happens."""
    done = subprocess.run(
        [*STAGELOG, *words.split()],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return done


# How many of degree (U+00B0) and ohm (U+2126) each code page lacks; click takes ASCII as not set.
@pytest.mark.parametrize(("encoding", "n_lacking"), [("ascii", 0), ("cp1252", 1), ("cp437", 1)])
def test_a_console_that_lacks_a_character_shows_a_question_mark(place, encoding, n_lacking):
    done = run(place, "dbc show u.dbc", PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    encoding = encoding.replace("ascii", "utf-8")
    assert done.stdout.decode(encoding).count("?") == n_lacking
    done = run(place, "info \u6e29.slog", PYTHONIOENCODING=encoding)
    assert done.returncode == 5 and b".slog: no such file" in done.stderr


def test_a_pipe_gets_utf_8_whatever_the_console_is(place):
    """Windows gives a pipe the code page of the console: cp1252, which has no ohm."""
    done = run(place, "dbc show u.dbc", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "\N{OHM SIGN}" in done.stdout.decode("utf-8")


@pytest.mark.parametrize("columns", ["60", "1", "none"])
def test_a_narrow_terminal_without_colour_is_enough(place, columns):
    for words in ("convert --help", "dbc show u.dbc"):
        assert run(place, words, COLUMNS=columns, NO_COLOR="1", TERM="dumb").returncode == 0


@pytest.mark.parametrize(
    ("words", "n_read"), [("convert d.slog -", 1), ("convert d.slog -", 0), ("drive --list", 0)]
)
def test_a_reader_that_goes_away_early_is_no_error(place, words, n_read):
    """Exit code 1 if anything was left to write, 0 if all was gone into the pipe before."""
    command = [*STAGELOG, *words.split()]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        p.stdout.read(n_read)
        p.stdout.close()
        said = p.stderr.read()
        assert p.wait(60) in (0, 1)
    assert b"Traceback" not in said and b"BrokenPipe" not in said and b"Exception" not in said


READS = [
    "info {}",
    "verify {}",
    "convert {} x.log",
    "decode {} --dbc u.dbc --out dd",
    "decode d.slog --dbc {} --out dd",
    "plot {} --dbc u.dbc --strip T --out x.svg",
    "dbc check {}",
    "dbc show {}",
    "report {} --out x.html",
    "report d.slog --profile {} --out x.html",
    "replay {} --closed-loop",
    "card read {}",
    "sim --log {}",
    "query --archive {} select",
    "flash PORT --yes --settings {}",
]
WRITES = [
    "convert d.log {}.slog",
    "convert d.log {}.asc",
    "convert d.log {}.mf4",
    "decode d.slog --dbc <dbc> --out {}",
    "plot d.slog --dbc <dbc> --strip EngSpd --out {}.svg",
    "report d.slog --out {}.html",
    "drive light_crest --duration 1 --out {}.log",
    "drive light_crest --duration 1 --out {}.tape",
    "card prepare {}.img --size 48MiB",
    "sim --card {}.img",
]


def named(commands, name):
    return [words.replace("<dbc>", str(DBC)).replace("{}", name) for words in commands]


def codes_of(commands, results):
    return {words[:70]: result[0] for words, result in zip(commands, results, strict=True)}


def test_a_name_that_is_too_long(place):
    """What cannot be read ends with 5, what cannot be written with 6 and a word on why."""
    reads = named(READS, f"{TOO_LONG}.slog")
    writes = [named([w], TOO_LONG + "nnnn" * w.startswith("decode"))[0] for w in WRITES]
    results = type_all(place, reads + writes)
    wanted = {w[:70]: 5 for w in reads} | {w[:70]: 6 for w in writes}
    assert codes_of(reads + writes, results) == wanted
    assert all("too long" in error for _, _, error in results[len(reads) :])


def test_the_longest_name_that_the_system_allows_is_written(place):
    """255 bytes: no name of a temporary file may be longer."""
    kinds = [w for w in WRITES if not w.startswith(("decode", "sim"))]
    suffixes = [words.split("{}")[1].split()[0] for words in kinds]
    names = ["m" * (255 - len(suffix)) for suffix in suffixes]
    commands = [named([w], n)[0] for w, n in zip(kinds, names, strict=True)]
    assert [result[0] for result in type_all(place, commands)] == [0] * len(kinds)
    for name, suffix in zip(names, suffixes, strict=True):
        (place / f"{name}{suffix}").unlink()


def test_the_file_beside_a_file_has_a_name_of_its_own():
    """Two long names that differ in their last character only; a short one is kept readable."""
    assert beside("a/x.log", ".part") == Path("a/.x.log.part")
    long = [beside("k" * 254 + end, ".part").name for end in "ab"]
    assert long[0] != long[1] and all(len(name) <= 255 for name in long)
    assert len(os.fsencode(beside("\u6e29" * 85, ".part").name)) <= 255


def unprivileged():
    """Return the words before a command that take from root what opens every folder."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may enter every folder, and there is no setpriv")
    drop = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"]


@pytest.fixture
def closed(place, tmp_path):
    """A folder that may not be entered, one that may not be changed, a log not to be read."""
    for name in ("closed", "fixed"):
        (tmp_path / name).mkdir()
        shutil.copy(place / "d.slog", tmp_path / name)
    for name in ("d.log", "d.slog", "u.dbc"):
        shutil.copy(place / name, tmp_path)
    shutil.copy(place / "d.slog", tmp_path / "secret.slog")
    modes = {"closed": 0, "fixed": 0o555, "secret.slog": 0}
    for name, mode in modes.items():
        (tmp_path / name).chmod(mode)
    yield tmp_path
    for name in modes:
        (tmp_path / name).chmod(0o755)


@pytest.mark.parametrize("name", ["secret.slog", "closed/d.slog"])
def test_a_file_that_may_not_be_read(closed, name):
    commands = [named([w], "closed" if w.startswith("query") else name)[0] for w in READS]
    results = type_all(closed, commands, before=unprivileged())
    assert codes_of(commands, results) == dict.fromkeys([w[:70] for w in commands], 5)


@pytest.mark.parametrize("folder", ["fixed", "closed"])
def test_a_folder_that_may_not_be_changed(closed, folder):
    commands = named(WRITES, f"{folder}/new")
    results = type_all(closed, commands, before=unprivileged())
    assert codes_of(commands, results) == dict.fromkeys([w[:70] for w in commands], 6)
    assert all("ermission denied" in error for _, _, error in results)
    (closed / folder).chmod(0o755)
    assert [path.name for path in (closed / folder).iterdir()] == ["d.slog"]


def test_a_part_of_an_archive_that_may_not_be_read_is_reported(tmp_path):
    """Not passed over: what is in it would be missing without a word."""
    (tmp_path / "event=E" / "car=C").mkdir(parents=True)
    (tmp_path / "event=E" / "car=C").chmod(0)
    code = f"from stagelog.archive import find_sessions; find_sessions({str(tmp_path)!r})"
    command = [*unprivileged(), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert f"{InputError.__name__}: {tmp_path}/event=E/car=C cannot be read" in done.stderr
    assert find_sessions(tmp_path / "nowhere") == []


FULL = [
    *(w for w in WRITES if not w.startswith("sim")),
    *(f"convert d.log {{}}.{kind}" for kind in ("log", "blf", "trc")),
    *(f"convert d.log {{}}.{kind} --dbc <dbc>" for kind in ("csv", "mf4", "mcap", "ld")),
    "plot d.slog --dbc <dbc> --strip EngSpd --out {}.png",
]


def test_a_full_disk_leaves_nothing_and_names_the_file(place):
    """Every file ends after 2,000 bytes (RLIMIT_FSIZE): a disk that is full then."""
    (place / "out").mkdir()
    commands = named(FULL, "out/new")
    results = type_all(place, commands, limit_bytes=2000)
    assert codes_of(commands, results) == dict.fromkeys([w[:70] for w in commands], 6)
    for _, _, error in results:
        assert "out/new" in error and "free some space" in error and error.count("\n") == 1
    assert [path for path in (place / "out").rglob("*") if path.is_file()] == []
