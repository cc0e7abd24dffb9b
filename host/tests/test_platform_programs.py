"""A program of the system that is missing, does not end or refuses is one error with its words."""

import subprocess
import sys

import pytest

from stagelog.errors import OutputError
from stagelog.platform.programs import run_program

HINTS = ("close it", "by hand", "as root")


def run(*command):
    run_program(list(command), "cannot do E:", *HINTS)


@pytest.mark.parametrize(
    ("script", "text", "hint"),
    [
        ("print('busy'); exit(1)", "busy", "close it"),
        ("exit('Access is denied.')", "Access is denied.", "as root"),
        ("exit(3)", f"{sys.executable} failed", "close it"),
    ],
)
def test_a_refusal_has_the_programs_words(script, text, hint):
    with pytest.raises(OutputError) as caught:
        run(sys.executable, "-c", script)
    assert str(caught.value) == f"cannot do E:: {text}; {hint}"


def test_a_program_that_is_missing_is_done_by_hand():
    with pytest.raises(OutputError, match="cannot do E:: .*nowhere.*; by hand"):
        run("/nowhere/diskutil")


def test_a_program_that_does_not_end_is_done_by_hand(monkeypatch):
    def late(command, *, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(OutputError, match=r"timed out after 120 seconds; by hand"):
        run("diskutil", "eject", "E:")
