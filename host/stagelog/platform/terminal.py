"""Output and signals of a program that a terminal, a pipe or a script runs.

A character that the console cannot show becomes "?"; a reader that goes away early ends the
program without a message; a terminal that is closed ends it as Ctrl-C does, cleaning up included.
"""

import contextlib
import errno
import os
import signal
import sys
from types import FrameType
from typing import Any

_ENDINGS = ("SIGTERM", "SIGHUP", "SIGBREAK")
_asked: list[int] = []  # the signals


def prepare_output() -> None:
    """Let stdout and stderr replace what the console lacks; a pipe or a file gets UTF-8.

    PYTHONIOENCODING, if set, is obeyed.
    """
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        with contextlib.suppress(AttributeError, ValueError, OSError):
            is_data = stream is sys.stdout and not stream.isatty()
            if is_data and "PYTHONIOENCODING" not in os.environ:
                stream.reconfigure(encoding="utf-8")
            stream.reconfigure(errors="replace")


def is_closed_pipe(error: OSError) -> bool:
    """Return whether a write failed because its reader has gone; Windows reports EINVAL."""
    return isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)


def discard_output() -> None:
    """Send what stdout still holds to nowhere: its reader has gone."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def interrupt_on_ending() -> None:
    """Raise KeyboardInterrupt, as Ctrl-C does, also when the program is asked to end and when its
    terminal is closed; `is_ending` is true from then on.
    """
    _asked.clear()
    for name in _ENDINGS:
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as by nohup
        signal.signal(signal.SIGINT, _end)


def is_ending() -> bool:
    """Return whether the program was asked to end. What is raised for it is lost where C code has
    just called Python by ctypes: a loop around such code asks.
    """
    return bool(_asked)


def _end(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    signal.default_int_handler(number, frame)
