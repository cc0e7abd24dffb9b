"""What a bring-up needs of a board: its prompt, its link, time, and a hand on its power.

`SerialBench` is a board on a cable with a person beside it; the rig has an emulated one
(`stagelog.rig.rp2040.prompt`). Fails with DeviceError.
"""

import shlex
import subprocess
import time
from collections.abc import Callable
from typing import Protocol

from stagelog.errors import DeviceError
from stagelog.flash.remote import Board, Remote
from stagelog.link import TRIES, Link
from stagelog.ports import open_stream


class Prompt(Board, Protocol):
    """A board at MicroPython's prompt, on a port."""

    port: str

    def start(self, code: str) -> None:
        """Run code and leave it running."""


class Bench(Protocol):
    """One board.

    can_pull   the power can be taken away
    """

    prompt: Prompt
    can_pull: bool

    def open_link(self, tries: int = TRIES) -> Link:
        """Open the service link; DeviceError if there is no port."""

    def clock(self) -> float:
        """Return seconds, monotonic."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""

    def take_power(self) -> None:
        """Return when the board has no power."""

    def give_power(self) -> None:
        """Return when the board has power again."""


class SerialBench:
    """A board on a port.

    switch   called with "off" or "on", returns when its supply is so; None: it cannot be switched
    """

    def __init__(self, port: str, switch: Callable[[str], None] | None = None) -> None:
        self.prompt: Prompt = Remote(port)
        self.can_pull = switch is not None
        self._switch = switch or (lambda word: None)

    def open_link(self, tries: int = TRIES) -> Link:
        """Open the service link."""
        return Link(open_stream(self.prompt.port), self.prompt.port, tries=tries)

    def clock(self) -> float:
        """Return seconds, monotonic."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def take_power(self) -> None:
        """Switch it off."""
        self._switch("off")

    def give_power(self) -> None:
        """Switch it on."""
        self._switch("on")


def switch_by_command(command: str) -> Callable[[str], None]:
    """Return a switch that runs a command with off or on behind it."""

    def switch(word: str) -> None:
        try:
            subprocess.run([*shlex.split(command), word], check=True, capture_output=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise DeviceError(f"power {word}: {error}", "check --power") from None

    return switch
