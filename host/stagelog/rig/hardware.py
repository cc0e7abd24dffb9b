"""The target hardware: a real logger on a cable, a CAN adapter, perhaps a switch for its power.

Described by a TOML file (hil_tests/rigs/example.toml). Time is the wall clock; a bench lacks the
capabilities that it has no device for. Fails with InputError (the file) or DeviceError. It has not
been tried on a real board yet; `hil_tests/test_hardware_rig.py` runs it against a simulated logger
behind a pseudo-terminal and python-can's virtual bus.
"""

import contextlib
import shlex
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slog.messages import CONTROL_START, CONTROL_STOP
from stagelog.bringup import Bench, SerialBench
from stagelog.errors import DeviceError, InputError
from stagelog.link import Link
from stagelog.ports import SerialStream
from stagelog.rig.tape import Tape

_PORT_S = 10.0  # how long a port may take to come after the power
_NEEDED = {"logger": ("port",), "bus": ("interface", "channel", "bitrate_bps")}


def load_rig(path: str | Path) -> dict[str, Any]:
    """Return the tables of a rig file; InputError names what is missing."""
    try:
        with open(path, "rb") as file:
            rig = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: {error}", "see hil_tests/rigs/example.toml") from None
    for table, names in _NEEDED.items():
        for name in names:
            if name not in rig.get(table, {}):
                raise InputError(
                    f"{path}: no {name} in [{table}]", "see hil_tests/rigs/example.toml"
                )
    return rig


class HardwareTarget:
    """A bench. Invariant: a new session is recorded on a silent bus when the target is handed out.

    args  ignored: they set up a model, and the tests that give them need a capability that a
          bench lacks
    """

    name = "hardware"
    is_on = True
    drove_dominant = None  # a bench cannot find out who drives a bus

    def __init__(self, path: str | Path, **args: object) -> None:
        import can

        self._rig = load_rig(path)
        self._power: dict[str, Any] = self._rig.get("power", {})
        self.capabilities = frozenset(("bench", "power") if self._power else ("bench",))
        bus = self._rig["bus"]
        self._bus: can.BusABC = can.Bus(
            interface=bus["interface"], channel=bus["channel"], bitrate=bus["bitrate_bps"]
        )
        self._start = time.monotonic()
        self._open()
        boot = self.link.hello().boot
        self.link.control(CONTROL_STOP, boot)
        self.link.control(CONTROL_START, boot)

    @property
    def now_us(self) -> int:
        """Time since the target was made."""
        return int((time.monotonic() - self._start) * 1e6)

    def power_on(self) -> None:
        """Switch the logger on and wait until it answers."""
        self._switch("on")
        time.sleep(self._power.get("boot_s", 3.0))
        self._open()

    def power_cut(self) -> None:
        """Switch the logger off."""
        with contextlib.suppress(DeviceError):
            self.link.close()
        self._switch("off")

    def play(self, tape: Tape) -> None:
        """Send a tape's frames at their times, as well as Python and the adapter can."""
        import can

        start = time.monotonic()
        for row in tape[tape["kind"] == 0].tolist():
            t_us, _, _, dlc, flags, can_id, *_, data, _ = row
            wait = start + t_us / 1e6 - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            remote = bool(flags & 2)
            self._bus.send(
                can.Message(
                    arbitration_id=can_id,
                    is_extended_id=bool(flags & 1),
                    is_remote_frame=remote,
                    dlc=dlc,
                    data=None if remote else bytes(data[: min(dlc, 8)]),
                )
            )

    def send(self, data: bytes) -> None:
        """Send bytes to the logger's data port as they are."""
        self._stream.write(data)

    @contextlib.contextmanager
    def bench(self) -> Iterator[Bench]:
        """Yield the board as a bring-up wants it, which has the port meanwhile."""
        self.link.close()
        try:
            yield SerialBench(self._rig["logger"]["port"], self._switch if self._power else None)
        finally:
            self._open()

    def run_for(self, us: int) -> None:
        """Wait for `us` microseconds."""
        time.sleep(us / 1e6)

    def close(self) -> None:
        """Release everything."""
        self.link.close()
        self._bus.shutdown()

    def _open(self) -> None:
        """Open the port, which may not be there yet."""
        port = self._rig["logger"]["port"]
        deadline = time.monotonic() + _PORT_S
        while True:
            try:
                self._stream = SerialStream(port)
                break
            except DeviceError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.link = Link(self._stream, port)

    def _switch(self, word: str) -> None:
        try:
            subprocess.run(shlex.split(self._power[word]), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise DeviceError(f"power {word}: {error}", "check [power] in the rig file") from None
