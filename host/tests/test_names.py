"""House rules that hold for every tracked file and every commit message."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_MODULE_lines = 500

# The names are put together here so that this file passes its own test.
REGISTRY_HOSTS = [
    f"{name}.{domain}"
    for name, domain in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "com"),
        ("npmjs", "org"),
        ("crates", "io"),
        ("anaconda", "org"),
        ("golang", "org"),
        ("debian", "org"),
        ("ubuntu", "com"),
    )
]
FORBIDDEN = {
    "absolute path of a machine": re.compile(r"(?<![\w.$}~])/(?:work|root|home|Users)/\w"),
    "registry host": re.compile(r"\b(?:" + "|".join(map(re.escape, REGISTRY_HOSTS)) + r")\b"),
}


def git(*arguments):
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def tracked_texts():
    """Yield (path, text) of every tracked text file."""
    for name in git("ls-files", "-z").split("\0"):
        path = ROOT / name
        content = path.read_bytes() if name and path.is_file() else b"\0"
        if b"\0" not in content:
            yield name, content.decode("utf-8", errors="replace")


def lines_with(pattern, text):
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names_a_machine(what):
    named = {name: lines_with(FORBIDDEN[what], text) for name, text in tracked_texts()}
    assert not {name: lines for name, lines in named.items() if lines}, what


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_commit_message_names_a_machine(what):
    assert not lines_with(FORBIDDEN[what], git("log", "--format=%B")), what


def test_modules_are_short():
    lengths = {name: text.count("\n") for name, text in tracked_texts() if name.endswith(".py")}
    assert not {name: n for name, n in lengths.items() if n > LONGEST_MODULE_lines}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("read " + "/ho" + "me/someone/log", "absolute path of a machine"),
        ("from https://files.python" + "hosted.org/x", "registry host"),
    ],
)
def test_rule_finds_what_it_forbids(line, what):
    assert lines_with(FORBIDDEN[what], line)
