"""A simulated logger as a live process: real time, its service link is a pseudo-terminal, like a
board on a cable, or a TCP port where there is no such terminal.
"""

import contextlib
import errno
import itertools
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from stagelog.errors import DeviceError
from stagelog.link import Link
from stagelog.ports import SOCKET, SerialStream, simulator_folder
from stagelog.radio import TCP
from stagelog.resources import import_firmware
from stagelog.rig.flash_folder import FlashFolder, start
from stagelog.rig.flash_prompt import Prompt
from stagelog.rig.live_cable import LiveCable, Pull
from stagelog.rig.logger import Args, pipe, spawn
from stagelog.rig.tape import Event

PASS_S = 0.001
_STEP_US = 200_000
_SERVICE_US = 2_000_000  # until a session has ended
_LATE_US = 20_000
_ROUNDS = 5  # of catching up, before the host is heard all the same
Show: TypeAlias = Callable[[int, int], object]  # is given the time that is played, and all, in us

LOCALHOST = "127.0.0.1"


class PtyLink:
    """The logger's end of a pseudo-terminal. Invariant: never blocks; unread bytes wait in
    the terminal's buffer.
    """

    def __init__(self) -> None:
        self._master, self._slave, self.port = open_pty()
        os.set_blocking(self._master, False)

    def read(self, buf: bytearray | memoryview) -> int:
        """Fill `buf` with what has arrived; return how many bytes."""
        try:
            chunk = os.read(self._master, len(buf))
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno == errno.EIO:
                return 0
            raise
        buf[: len(chunk)] = chunk
        return len(chunk)

    def write(self, buf: bytes | bytearray, at: int, n: int) -> int:
        """Send what the buffers take of `n` bytes of `buf` from `at`; return how many bytes."""
        try:
            return os.write(self._master, memoryview(buf)[at : at + n])
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Unplug."""
        os.close(self._master)
        os.close(self._slave)


class TcpLink:
    """The logger's end of a TCP port of this computer, which one host at a time may open.

    Invariant: never blocks; what is sent while nobody is connected is lost, as on a cable.
    """

    def __init__(self, port: int = 0) -> None:
        try:
            self._server = socket.create_server((LOCALHOST, port))
        except (OSError, OverflowError) as error:
            raise DeviceError(
                f"TCP port {port}: {error}", "choose another, or 0 for any"
            ) from None
        self._server.setblocking(False)
        self._host: socket.socket | None = None
        self.port = f"socket://{LOCALHOST}:{self._server.getsockname()[1]}"

    def read(self, buf: bytearray | memoryview) -> int:
        """Fill `buf` with what has arrived; return how many bytes."""
        if self._host is None:
            with contextlib.suppress(BlockingIOError):
                self._host, _ = self._server.accept()
                self._host.setblocking(False)
            return 0
        try:
            n = self._host.recv_into(buf)
        except BlockingIOError:
            return 0
        except OSError:
            n = 0
        if not n:
            self._hang_up()
        return n

    def write(self, buf: bytes | bytearray, at: int, n: int) -> int:
        """Send what the buffers take of `n` bytes of `buf` from `at`; return how many bytes."""
        if self._host is None:
            return n
        try:
            return self._host.send(memoryview(buf)[at : at + n])
        except BlockingIOError:
            return 0
        except OSError:
            self._hang_up()
            return n

    def close(self) -> None:
        """Unplug."""
        self._hang_up()
        self._server.close()

    def _hang_up(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None


def open_pty() -> tuple[int, int, str]:
    """Return (master, slave, name) of a new pseudo-terminal that changes no byte; DeviceError
    where there is none.
    """
    try:
        import tty

        master, slave = os.openpty()
    except (ImportError, AttributeError, OSError) as error:
        raise DeviceError(
            f"no pseudo-terminal on this system: {error}", "use a TCP port: 'stagelog sim --tcp 0'"
        ) from None
    tty.setraw(slave)
    return master, slave, os.ttyname(slave)


@contextlib.contextmanager
def announced(port: str, name: str) -> Iterator[str]:
    """Make `port` known where `stagelog loggers` searches, as long as the context lasts; yield the
    name under which other commands open it.
    """
    folder = simulator_folder()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    has_file = not port.startswith((SOCKET, TCP))
    if has_file:
        os.symlink(port, path)
    else:
        Path(path).write_text(port, encoding="ascii")
    try:
        yield path if has_file else port
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


class LiveLogger:
    """A logger in this process that follows the wall clock.

    events           what its buses carry, played as time passes
    tcp              number of the TCP port to serve instead of a pseudo-terminal, 0 for any
    rate_Bps, pulls  of its cable, see `rig.live_cable`
    flash            folder of what it keeps without power, see `rig.flash_folder`; None: nothing
    key              its key for packages: it has a radio then, see `enter_service`
    blank            True: a new `flash` has no firmware; the events begin when it gets one

    Without a firmware, and when a host asks for it, it is at MicroPython's prompt: `app` and
    `world` are None.
    """

    app: Any
    world: Any  # a World

    def __init__(
        self,
        args: Args,
        events: Iterable[Event] = (),
        tcp: int | None = None,
        rate_Bps: float = 0,
        pulls: Sequence[Pull] = (),
        flash: Path | None = None,
        key: bytes | None = None,
        blank: bool = False,
    ) -> None:
        import_firmware()
        self._radio_port = 0
        if key is not None:
            self._radio_port = _free_port()
            args = {**args, "wifi": {"key": key.hex(), "port": self._radio_port}}
        make_link: Callable[[], PtyLink | TcpLink] = (
            PtyLink if tcp is None else partial(TcpLink, tcp)
        )
        self.cable = LiveCable(make_link, rate_Bps, pulls, lambda: self._is_stopped)
        self._args = args
        self._events = iter(events)
        self._n_boots = 0
        self._on_since_s: float | None = None  # since when time passes as by the wall clock
        self._folder = FlashFolder(flash, args, blank) if flash is not None else None
        self._give_power(args.get("t0_us", 0))

    def _give_power(self, t_us: int) -> None:
        """Start its firmware at a time of its own, or come to the prompt without one."""
        from stagelog.rig.sim.assemble import build
        from stagelog.rig.sim.world import World

        self._prompt: Prompt | None = None
        self.app = self.world = None
        folder = self._folder
        if folder is not None and not folder.has_program:
            self._come_to_prompt(folder)
            return
        args = {**self._args, "t0_us": t_us, "seed": self._args.get("seed", 1) + self._n_boots}
        self._n_boots += 1
        if folder is None:
            self.app = build(args, self.cable)
            self.app.start()
        else:
            self.app = start(folder, args, lambda a: build(a, self.cable))
        events = itertools.dropwhile(lambda event: event[0] < t_us, self._events)
        self.world = World(self.app, events, args.get("loop_us", 1000))

    def _come_to_prompt(self, folder: FlashFolder) -> None:
        from stagelog.rig.sim.assemble import DEFAULTS

        device_id = bytes.fromhex({**DEFAULTS, **self._args}["device_id"])
        self._prompt = Prompt(self.cable, folder.path, device_id)

    @property
    def _is_stopped(self) -> bool:
        """Return whether the firmware runs and does not record."""
        from slog.messages import STATE_IDLE

        return self.app is not None and self.app.state == STATE_IDLE

    def play_until(self, t_us: int, show: Show | None = None) -> None:
        """Run in virtual time, as fast as this machine can, until `t_us`."""
        while (now_us := self.world.clock.now_us) < t_us:
            self.world.run_until(min(t_us, now_us + _STEP_US))
            if show:
                show(self.world.clock.now_us, t_us)

    def enter_service(self) -> None:
        """Close the service switch of a logger with a radio: its session ends, and `port` is that
        of its radio. DeviceError if the radio does not open.
        """
        self.app.board.switch.is_closed = True
        self.world.run_for(_SERVICE_US)
        if not self.app.is_in_service:
            raise DeviceError("the simulated radio did not open", "try again")

    @property
    def port(self) -> str:
        """Name of the port to open."""
        if self._radio_port and self.app.is_in_service:
            return f"{TCP}{LOCALHOST}:{self._radio_port}"
        return self.cable.port

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Run until `until()` is true."""
        from slog.messages import CONTROL_REPL

        while not until():
            if self._prompt is not None:
                if self._prompt.step():
                    self._give_power(self._now_us())
            else:
                self._catch_up()
                self.world.run_until(self._now_us())
                if self._folder is not None and self.app.board.asked == CONTROL_REPL:
                    self._close_card()
                    self.app = self.world = None
                    self._come_to_prompt(self._folder)
            time.sleep(PASS_S)

    def _catch_up(self) -> None:
        """Run what this machine was too slow for. Bytes that arrived meanwhile are of now: the
        logger reads none before its time is the wall clock's.
        """
        self.cable.holds_back = True
        for _ in range(_ROUNDS):
            now_us = self._now_us()
            if now_us - self.world.clock.now_us < _LATE_US:
                break
            self.world.run_until(now_us)
        self.cable.holds_back = False

    def _now_us(self) -> int:
        """Return the logger's time, which passes by the wall clock from its first start on."""
        now_s = time.monotonic()
        if self._on_since_s is None:
            self._on_since_s = now_s - (self.world.clock.now_us / 1e6 if self.world else 0)
        return int((now_s - self._on_since_s) * 1e6)

    def close(self) -> None:
        """Unplug and close the card."""
        if self._radio_port:
            self.app.board.link.close_radio()
        self.cable.close()
        self._close_card()

    def _close_card(self) -> None:
        if self.app is not None:
            self.app.board.card.image.close()


def _free_port() -> int:
    """Return the number of a TCP port that nobody uses now."""
    with socket.create_server((LOCALHOST, 0)) as found:
        return int(found.getsockname()[1])


class FastLogger:
    """A logger in a process of its own that plays its tape in virtual time and then waits on a
    pseudo-terminal.
    """

    def __init__(self, args: Args, runtime: str | Path | None = None) -> None:
        self._master, self._slave, self.port = open_pty()
        self._process = spawn(args, runtime, self._master, self._master)

    def wait_until(self, t_us: int, timeout_s: float = 600, show: Show | None = None) -> None:
        """Wait until the tape has been played: the logger's own time has reached `t_us`."""
        link = Link(SerialStream(self.port))
        deadline = time.monotonic() + timeout_s
        try:
            while (now_us := link.status().t_us) < t_us:
                if show:
                    show(now_us, t_us)
                if time.monotonic() > deadline:
                    raise DeviceError(f"the simulated logger takes over {timeout_s} s")
                time.sleep(0.05)
        except DeviceError:
            self._check()
            raise
        finally:
            link.close()

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Wait until `until()` is true; DeviceError if the process ends."""
        while not until():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
            self._check()

    def _check(self) -> None:
        """Raise DeviceError with the last line that the process printed, if it has ended."""
        if self._process.poll() is not None:
            text = pipe(self._process.stderr).read().decode(errors="replace").strip()
            last = text.splitlines()[-1] if text else f"exit code {self._process.returncode}"
            raise DeviceError(f"the simulated logger has stopped: {last}", "check its arguments")

    def close(self) -> None:
        """End the process and unplug."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)
        os.close(self._slave)
