"""The bar of a transfer: for people at a terminal, never among the data on stdout."""

import io
import sys

from stagelog.cli._common import transfer_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_is_drawn_on_stderr_alone(monkeypatch):
    """7 of 10 blocks of 4,096 bytes, the first here by then: 6 + 1 of 9 + 1, 28.7 of 41.0 kB."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with transfer_progress("car 7") as show:
        show(1, 10)
        show(7, 10)
    assert out.getvalue() == ""
    assert "car 7" in err.getvalue() and "28.7/41.0 kB" in err.getvalue()


def test_nothing_is_drawn_without_a_terminal(monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with transfer_progress("car 7") as show:
        assert show is None
    assert out.getvalue() == err.getvalue() == ""
