"""A simulated logger: in this process in virtual time, or as a MicroPython process on pipes.

Both offer a byte stream that `stagelog.link.Link` takes, so that the ordinary host code talks to
them.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

from stagelog.errors import DeviceError
from stagelog.resources import firmware_path, import_firmware
from stagelog.rig.tape import Event

HOST_PATH = Path(__file__).resolve().parents[2]
Args: TypeAlias = Mapping[str, Any]  # JSON types, by the keys of rig.sim.assemble.DEFAULTS
App: TypeAlias = Any  # logger.app.App: the firmware has no annotations


class Cable(Protocol):
    """The host's end of a board's link."""

    def host_write(self, data: bytes) -> None:
        """Send bytes to the logger."""

    def host_read(self) -> bytes:
        """Return all that the logger has sent."""


class RunningApp:
    """An application on a simulated board, in virtual time; the stream to it that Link takes.

    events    what its buses carry
    wait_ms   how long `read` waits for the logger to send
    """

    def __init__(
        self,
        app: App,
        cable: Cable,
        events: Iterable[Event] = (),
        loop_us: int = 1000,
        wait_ms: int = 50,
    ) -> None:
        from stagelog.rig.sim.world import World

        self.app = app
        self.cable = cable
        self.world = World(app, events, loop_us)
        self._wait_ms = wait_ms
        app.start()

    def clock(self) -> float:
        """Return virtual seconds, for Link."""
        return self.world.clock.now_us / 1e6

    def write(self, data: bytes) -> None:
        """Send bytes to the logger."""
        self.cable.host_write(data)

    def read(self, n: int) -> bytes:
        """Let the logger run until it sends something; return what it sent within `wait_ms`."""
        for _ in range(self._wait_ms):
            sent = self.cable.host_read()
            if sent:
                return sent
            self.world.run_for(self.world.loop_us)
        return self.cable.host_read()


class VirtualLogger(RunningApp):
    """A logger in this process, in virtual time."""

    def __init__(self, args: Args, events: Iterable[Event] = ()) -> None:
        import_firmware()
        from stagelog.rig.sim.assemble import build
        from stagelog.rig.sim.models import QueueLink

        cable = QueueLink()
        super().__init__(build(args, cable), cable, events, args.get("loop_us", 1000))

    def close(self) -> None:
        """Close the card image."""
        self.app.board.card.image.close()


def spawn(
    args: Args, runtime: str | Path | None, stdin: int, stdout: int, stderr: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start `rig.sim.device`; return the process.

    runtime   a MicroPython binary; None: this Python
    """
    paths = f"{HOST_PATH}:{firmware_path()}"
    command = [str(runtime or sys.executable), "-m", "stagelog.rig.sim.device"]
    if runtime:
        command[1:1] = ["-X", "heapsize=64m"]
    environment = dict(
        os.environ, MICROPYPATH=paths, PYTHONPATH=paths, STAGELOG_SIM=json.dumps(args)
    )
    return subprocess.Popen(
        command, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=0, env=environment
    )


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a stream of a process that was started with PIPE for it."""
    assert stream is not None
    return stream


class LoggerProcess:
    """A logger under `runtime` as `spawn` starts it; its stdin and stdout are the stream.

    Raises   DeviceError with the last line that it printed, if it ends.
    """

    def __init__(self, args: Args, runtime: str | Path | None = None) -> None:
        self._process = spawn(args, runtime, subprocess.PIPE, subprocess.PIPE)
        self._stdin, self._stdout = pipe(self._process.stdin), pipe(self._process.stdout)

    def clock(self) -> float:
        """Return seconds, for Link."""
        return time.monotonic()

    def write(self, data: bytes) -> None:
        """Send bytes to the logger."""
        try:
            self._stdin.write(data)
        except BrokenPipeError:
            raise self._dead() from None

    def read(self, n: int) -> bytes:
        """Return what it has sent within 50 ms."""
        if not select.select([self._stdout], [], [], 0.05)[0]:
            return b""
        chunk = os.read(self._stdout.fileno(), n)
        if not chunk:
            raise self._dead()
        return chunk

    def wait_until(self, t_us: int, timeout_s: float = 600) -> None:
        """Wait until the logger's own time has reached `t_us`: its tape has been played."""
        from stagelog.link import Link

        link = Link(self)
        deadline = time.monotonic() + timeout_s
        while link.status().t_us < t_us:
            if time.monotonic() > deadline:
                raise DeviceError(f"the simulated logger is not at {t_us} us after {timeout_s} s")
            time.sleep(0.02)

    def close(self) -> None:
        """Close the stream; the process ends."""
        self._stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()
        pipe(self._process.stderr).close()

    def _dead(self) -> DeviceError:
        self._process.kill()
        printed, errors = self._process.communicate()
        text = (printed + errors).decode(errors="replace").strip()
        last = text.splitlines()[-1] if text else f"exit code {self._process.poll()}"
        return DeviceError(f"the simulated logger has stopped: {last}", "see its messages above")
