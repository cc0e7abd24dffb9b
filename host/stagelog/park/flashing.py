"""Put the firmware onto one board of a run, blank or not, then what the fleet file says.

Owns how a board without our firmware is distinguished from other devices, and that the firmware is
built once for all boards of a kind. The installation is `flash`'s. Fails as it does.
"""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stagelog.download import is_held
from stagelog.errors import StagelogError
from stagelog.flash import flash
from stagelog.flash.build import App
from stagelog.flash.install import BoardState, app_for
from stagelog.flash.package import Package, check_package, number_of, to_install
from stagelog.flash.remote import Board, Remote
from stagelog.link import Link
from stagelog.listen import LiveLink
from stagelog.park.provision import Provision
from stagelog.park.unit import GOOD, Outcome, Unit
from stagelog.park.wanted import Wanted
from stagelog.ports import open_stream, simulator_ports

_RASPBERRY_PI = 0x2E8A  # USB vendor of a Pico at its MicroPython prompt
_ASK_ID = "import machine\nprint('id', machine.unique_id().hex())"
_BUILD = threading.Lock()
_built: dict[tuple[str, int, str | None], App] = {}


def app_once(state: BoardState, kind: str | None) -> App:
    """Build the firmware for a board's state, once for all boards of a kind."""
    key = (state.machine, state.mpy, kind)
    with _BUILD:
        if key not in _built:
            _built[key] = app_for(state, kind)
        return _built[key]


def may_be_a_board(port: str) -> bool:
    """Return whether a port may be asked at MicroPython's prompt: no other device is disturbed."""
    from serial.tools import list_ports

    if port in simulator_ports():
        return True
    return any(info.device == port and info.vid == _RASPBERRY_PI for info in list_ports.comports())


def id_of_board(port: str, make_board: Callable[[str], Board] = Remote) -> str | None:
    """Return the id, 16 hex digits, of a board that runs MicroPython without our firmware; None
    if no prompt answers.
    """
    if not may_be_a_board(port):
        return None
    try:
        board = make_board(port)
        board.stop()
        match = re.search(r"^id ([0-9a-f]{16})\s*$", board.exec(_ASK_ID), re.MULTILINE)
    except StagelogError:
        return None
    return match[1] if match else None


class Flash:
    """The work. Called again after a loss, it installs again: the board starts the old firmware or
    the new one in between.

    wanted   None without a fleet file: settings and signal table stay
    package  install this, also an `older` one; `wanted` was made of it
    """

    def __init__(
        self,
        unit: Unit,
        wanted: Wanted | None,
        archive: Path,
        kind: str | None = None,
        despite_sessions: bool = False,
        package: Package | None = None,
        older: bool = False,
    ) -> None:
        self._unit = unit
        self._package = package
        self._older = older
        self._archive = archive
        self._kind = kind
        self._despite = despite_sessions
        self._provision = (
            None
            if wanted is None
            else Provision(unit, wanted, archive, package=package, older=older)
        )
        self._installed = ""

    def __call__(self, link: Link) -> Outcome:
        """Install, unless that is done; then provision."""
        port = link.name
        if not self._installed:
            self._refuse(link)
            link.close()  # mpremote opens the port itself
            self._installed = self._install(port)
            link = LiveLink(open_stream(port), port)
        try:
            if self._provision is None:
                return Outcome(GOOD, self._installed)
            done = self._provision(link)
            return Outcome(done.verdict, f"{self._installed}; {done.text}", done.facts)
        finally:
            link.close()

    def _refuse(self, link: Link) -> None:
        """Raise PackageRefused if the package is not for this logger, before it is touched."""
        if self._package is None:
            return
        hello, car, number = self._unit.hello, "", 0
        if hello is not None:
            car, number = hello.car_name, number_of(link, hello)
        check_package(self._package, self._unit.device_id, car, number, self._older)

    def _install(self, port: str) -> str:
        given: dict[str, Any] = {"kind": self._kind, "make_app": app_once}
        if self._package is not None:
            given = to_install(self._package)
        hello = flash(
            port,
            lambda tries: Link(open_stream(port), port, tries=tries),
            Remote(port),
            is_held=lambda session: is_held(self._archive, session) is not None,
            despite_sessions=self._despite,
            say=self._unit.begin,
            **given,
        )
        return f"firmware {hello.firmware_text} runs from slot {'AB'[hello.slot & 1]}"
