"""The documents: every command in them exists, the tutorial's file gives the values it promises,
cited invariants have a meaning, and the site builds without a dead link."""

import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

import stagelog
from stagelog.cli import group

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted((ROOT / "docs").rglob("*.md"))
COMMAND = re.compile(r"^ *stagelog ((?:[^\n\\]|\\\n)+)$", re.MULTILINE)
INVARIANTS = ROOT / "docs/explanation/invariants.md"


def commands(path):
    """Return the command lines of `stagelog` in the code blocks of a document, as word lists."""
    blocks = re.findall(r"^( *)```sh\n(.*?)^\1```", path.read_text(encoding="utf-8"), re.M | re.S)
    return [line.split() for _, block in blocks for line in COMMAND.findall(block)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_documents_exists(path):
    for words in commands(path):
        command, context = group, click.Context(group)
        while isinstance(command, click.Group) and words:
            found = command.get_command(context, words[0])
            assert found, f"{path.name}: stagelog has no verb {words[0]!r}"
            command, words = found, words[1:]
        known = {
            name for option in command.params for name in (*option.opts, *option.secondary_opts)
        }
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= known, f"{path.name}: {command.name} has no {sorted(used - known)}"


def test_the_tutorial_of_the_own_car_gives_the_values_it_says(tmp_path):
    page = (ROOT / "docs/tutorial/own_car.md").read_text(encoding="utf-8")
    dbc, log = re.findall(r"^```text\n(.*?)^```", page, re.M | re.S)
    (tmp_path / "my.dbc").write_text(dbc, encoding="utf-8")
    (tmp_path / "my.log").write_text(log, encoding="utf-8")
    program = [Path(sys.executable).with_name("stagelog")]
    for words in commands(ROOT / "docs/tutorial/own_car.md"):
        done = subprocess.run([*program, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode in (0, 1), f"stagelog {' '.join(words)}: {done.stderr}"
        assert "Traceback" not in done.stderr
    drive = stagelog.open(tmp_path / "my.slog", dbc=tmp_path / "my.dbc")
    # By hand: 0x1770, 0x1774, 0x1778 = 6000, 6004, 6008, times 0.25; 0x0A = 10, 0x14 = 20, /100.
    assert np.array_equal(drive.signal("EngineSpeed").values, [1500.0, 1501.0, 1502.0])
    assert np.allclose(drive.signal("VehSpeed").values, [0.0, 0.1, 0.2])
    assert (tmp_path / "my.png").stat().st_size > 1000


def test_every_invariant_that_is_cited_has_a_meaning():
    """Only places that speak of invariants: the reliability document, the suite, its campaigns."""
    given = set(re.findall(r"^\| ([LTCD]\d+) \|", INVARIANTS.read_text(encoding="utf-8"), re.M))
    assert {"L1", "L20", "T1", "T15", "C1", "C14", "D1", "D14"} <= given
    cited = {}
    for path in [*(ROOT / "hil_tests").rglob("*.py"), *(ROOT / "hil_tests").rglob("*.md")]:
        for word in re.findall(r"(?<![\w-])[LTCD][1-9]\d?(?![\w-])", path.read_text("utf-8")):
            cited.setdefault(word, path.name)
    assert not {word: cited[word] for word in set(cited) - given}


def test_the_site_builds_without_a_dead_link():
    pytest.importorskip("mkdocs")
    done = subprocess.run([ROOT / "tools/docs"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "out/site/reference/commands.html").read_text(encoding="utf-8")
    assert "--despite-sessions" in page  # generated from the command itself
    assert "EngSpd" in (ROOT / "out/site/reference/python.html").read_text(encoding="utf-8")


def test_the_answers_to_a_strangers_questions_name_what_exists():
    """Each path; and what the answers say of the code: 13 is 0x0D, `_STREAMS`, `clear`."""
    text = (ROOT / "docs/questions.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\*\*\d+\. ", text, re.M)) >= 10
    paths = re.findall(r"`((?:host|firmware|hil_tests|dbc|docs)/[\w./]+)`", text)
    assert len(paths) >= 8
    assert not [path for path in paths if not (ROOT / path).exists()]
    spec = (ROOT / "firmware/SPEC.md").read_text(encoding="utf-8")
    assert "event code 0x0D mean?** `table`" in text
    assert re.search(r"^\| 0x0D \| `table` \|", spec, re.M)
    assert "_STREAMS" in (ROOT / "host/stagelog/importers/__init__.py").read_text("utf-8")
    assert re.search(r"^clear = ", (ROOT / "dbc/profiles/d7xr.toml").read_text("utf-8"), re.M)


def test_every_test_that_reliability_names_exists():
    text = (ROOT / "hil_tests/RELIABILITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:hil_tests|firmware/tests|host/tests)/\w+\.py)::(\w+)`", text)
    assert len(named) > 10
    for path, name in named:
        assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{name}"
