"""A simulated logger as a live process: real time, its service link is a pseudo-terminal, like a
board on a cable.
"""

import contextlib
import errno
import os
import subprocess
import time
import tty

from stagelog.errors import DeviceError
from stagelog.link import Link
from stagelog.ports import SerialStream, simulator_folder
from stagelog.rig.logger import VirtualLogger, spawn

PASS_S = 0.001


class PtyLink:
    """The logger's end of a pseudo-terminal. Invariant: never blocks; unread bytes wait in
    the terminal's buffer.
    """

    def __init__(self):
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)

    def read(self, buf):
        """Fill `buf` with what has come; return how much."""
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

    def write(self, buf, at, n):
        """Send what fits of `n` bytes of `buf` from `at`; return how much."""
        try:
            return os.write(self._master, memoryview(buf)[at : at + n])
        except BlockingIOError:
            return 0

    def close(self):
        """Unplug."""
        os.close(self._master)
        os.close(self._slave)


@contextlib.contextmanager
def announced(port, name):
    """Make a link to `port` where `stagelog loggers` searches, as long as the context lasts; yield
    its path.
    """
    folder = simulator_folder()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.symlink(port, path)
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


class LiveLogger(VirtualLogger):
    """A logger that follows the wall clock. `args` as in `rig.sim.device.DEFAULTS`; `events` is
    played as time goes by.
    """

    def __init__(self, args, events=()):
        super().__init__(args, events, PtyLink())

    @property
    def port(self):
        """Name of the port to open."""
        return self.cable.port

    def run(self, until=lambda: False):
        """Run until `until()` is true."""
        start = time.monotonic() - self.world.clock.now_us / 1e6
        while not until():
            self.world.run_until(int((time.monotonic() - start) * 1e6))
            time.sleep(PASS_S)

    def close(self):
        """Unplug and close the card."""
        self.cable.close()
        super().close()


class FastLogger:
    """A logger in a process of its own that plays its tape in virtual time and then waits on a
    pseudo-terminal.
    """

    def __init__(self, args, runtime=None):
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._process = spawn(args, runtime, self._master, self._master)

    def wait_until(self, t_us, timeout_s=600):
        """Wait until the tape has been played: the logger's own time has reached `t_us`."""
        link = Link(SerialStream(self.port))
        deadline = time.monotonic() + timeout_s
        try:
            while link.status()["t_us"] < t_us:
                if time.monotonic() > deadline:
                    raise DeviceError(f"the simulated logger takes over {timeout_s} s")
                time.sleep(0.05)
        except DeviceError:
            self._check()
            raise
        finally:
            link.close()

    def run(self, until=lambda: False):
        """Wait until `until()` is true; DeviceError with what it printed if the logger dies."""
        while not until():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
            self._check()

    def _check(self):
        """Raise DeviceError with what the process printed last, if it has died."""
        if self._process.poll() is not None:
            text = self._process.stderr.read().decode(errors="replace").strip()
            last = text.splitlines()[-1] if text else f"exit code {self._process.returncode}"
            raise DeviceError(f"the simulated logger has stopped: {last}", "check its arguments")

    def close(self):
        """End the process and unplug."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)
        os.close(self._slave)
