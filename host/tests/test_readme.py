"""The README's commands, typed: in a folder that has dbc and host of the checkout, with a
simulated logger where the README says so. What it shows of their output is what they print.

In shown lines "..." at the end stands for anything, and a line of MEASURED has its own numbers.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="the README asks the archive with SQL (extra query)")
ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SIMULATOR = "stagelog sim --drive stage --duration 60 --fast --car C03"
MEASURED = ("late by ",)
UNSHOWN = re.compile(r"[\d,]+ later than [\d,]+ us, 0 not sent")  # a slow machine's
# What is no success: its bus is silent when the drive has ended; this machine may be slow.
VERDICTS = {"status": {1}, "replay": {0, 1}}


def section(title):
    """Return the lines of the README below a heading: of blocks without their indentation, else
    empty.
    """
    body = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)[1]
    return [line[4:] if line.startswith("    ") else "" for line in body.splitlines()]


def examples(title):
    """Return (command, shown lines) of each "$ " in a section."""
    found, is_block = [], False
    for line in section(title):
        if line.startswith("$ "):
            found.append([line[2:], []])
            is_block = True
        elif not line:
            is_block = False
        elif is_block and found[-1][0].count('"') % 2:
            found[-1][0] += "\n" + line
        elif is_block:
            found[-1][1].append(line)
    return found


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    """A function that types a command; returns its exit code and the lines it prints."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("dbc", "host"):
        (folder / name).symlink_to(ROOT / name)
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"XDG_RUNTIME_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
    options = {"cwd": folder, "env": environment, "stdin": subprocess.DEVNULL, "text": True}

    def typed(words):
        done = subprocess.run(
            words, **options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
        )
        return done.returncode, done.stdout.splitlines()

    typed.options = options
    return typed


@pytest.fixture(scope="module")
def archive(terminal):
    """What "Ten minutes at the car" leaves, typed on the README's own simulator: [(words, code,
    lines)].
    """
    command = next(line for line in section("No logger at hand") if line.startswith(SIMULATOR))
    words = shlex.split(command, comments=True)
    done = []
    with subprocess.Popen(words, **terminal.options, stdout=subprocess.PIPE) as simulator:
        try:
            assert simulator.stdout.readline(), "the simulator ended"
            for line in filter(None, section("Ten minutes at the car")):
                words = shlex.split(line.replace("[PORT]", ""), comments=True)
                yes = ["--yes"] if words[1] == "erase" else []  # nobody can be asked here
                done.append((words, *terminal([*words, *yes])))
        finally:
            simulator.send_signal(signal.SIGTERM)
    return done


def as_shown(shown, printed):
    """Tell whether a shown line stands for a printed one."""
    pattern = re.escape(shown.removesuffix("..."))
    if shown.startswith(MEASURED):
        pattern = re.sub(r"\d[\d,]*(\\\.\d+)?", r"[\\d,.]+", pattern)
    return re.fullmatch(pattern + (".*" if shown.endswith("...") else ""), printed)


def test_ten_minutes_at_the_car_work_on_a_simulator(archive):
    for words, code, lines in archive:
        assert code in VERDICTS.get(words[1], {0}), (words, lines)
    assert [words[1] for words, *_ in archive] == [
        "loggers", "status", "download", "verify", "report", "erase",
    ]  # fmt: skip


def test_examples_print_what_the_readme_shows(terminal, archive):
    found = examples("Decode, convert, query, replay")
    assert len(found) == TEXT.count("\n    $ ")
    for command, shown in found:
        words = shlex.split(command)
        code, lines = terminal(words)
        lines = [line for line in lines if not UNSHOWN.fullmatch(line)]
        assert code in VERDICTS.get(words[1], {0}), (command, lines)
        printed = lines[: len(shown)] if shown[-1:] == ["..."] else lines
        is_same = len(shown) == len(printed) and all(map(as_shown, shown, printed))
        assert is_same, f"{command}\n" + "\n".join(lines)


def test_the_program_in_the_readme_runs(terminal, archive):
    block = re.search(r"^    import stagelog\n(?:    .*\n)+", TEXT, re.M)[0]
    code = re.sub("^    ", "", block, flags=re.M) + "print(len(t_us), len(rpm), unit)\n"
    # EngSpd comes 100 times in each of the 60 s (host/examples: 2,000 in 20 s).
    assert terminal([sys.executable, "-c", code]) == (0, ["6000 6000 rpm"])


def test_every_option_in_the_readme_exists(terminal):
    lines = re.findall(r"^    (?:\$ )?(stagelog .*)$", TEXT, re.M)
    assert len(lines) > 15
    helps = {}
    for line in lines:
        words = line.partition("#")[0].split()[1:]
        verb = tuple(words[:2] if words[0] in ("card", "dbc") else words[:1])
        if verb not in helps:
            helps[verb] = terminal(["stagelog", *verb, "--help"])
        code, text = helps[verb]
        assert code == 0, line
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", "\n".join(text)), line


def test_every_tool_in_the_readme_exists():
    tools = set(re.findall(r"^    (tools/\w+)", TEXT, re.M))
    assert {"tools/demo", "tools/test"} <= tools
    assert not [name for name in tools if not os.access(ROOT / name, os.X_OK)]
