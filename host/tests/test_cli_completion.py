"""The tab key: what the page tells to type gives a script that the shell takes, and words."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs/howto/completion.md"
BIN = Path(sys.executable).parent


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".config/fish/completions").mkdir(parents=True)
    return tmp_path


def environment(home, **more):
    return {**os.environ, "HOME": str(home), "PATH": f"{BIN}:{os.environ['PATH']}", **more}


def test_the_lines_of_the_page_write_a_script_for_each_shell(home):
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    for block in blocks:
        done = subprocess.run(["bash", "-ec", block], env=environment(home), capture_output=True)
        assert done.returncode == 0, done.stderr
    scripts = (
        ".local/share/bash-completion/completions/stagelog",
        ".stagelog-complete.zsh",
        ".config/fish/completions/stagelog.fish",
    )
    for script in scripts:
        assert "stagelog" in (home / script).read_text()
    for shell, script in (("bash", scripts[0]), ("zsh", scripts[1])):
        if shutil.which(shell):
            assert subprocess.run([shell, "-n", home / script]).returncode == 0


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("stagelog de", "decode"),
        ("stagelog profile ", "check"),
        ("stagelog decode --rate", "--rate-Hz"),
    ],
)
def test_words_are_completed(home, words, found):
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
             "_STAGELOG_COMPLETE": "bash_complete"}  # fmt: skip
    done = subprocess.run(
        [BIN / "stagelog"], env=environment(home, **asked), capture_output=True, text=True
    )
    assert f"plain,{found}" in done.stdout.splitlines()
