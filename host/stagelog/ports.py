"""Serial ports: find the ones a logger answers on, open one, keep two users apart.

A port that another program holds is a DeviceError; a port that answers nothing is not a logger and
is skipped.
"""

import contextlib
import errno
import os
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stagelog import addresses
from stagelog.errors import ContractError, DeviceError, PortBusy, PortRefused
from stagelog.link import Link
from stagelog.platform.files import user_folder
from stagelog.radio import TCP, RadioStream
from stagelog.replies import Hello

SOCKET = "socket://"
_NAME = re.compile(r"(?!COM\d)[\w-]{2,40}", re.IGNORECASE)  # of a car or an id, not of a port
_READ_S = 0.02
_WRITE_S = 2.0
_CONNECT_S = 3.0


@dataclass(frozen=True, slots=True)
class LoggerPort:
    """A port on which a logger answers, or that cannot be asked.

    hello     None if there is a `problem`: another contract, a busy port
    """

    port: str
    hello: Hello | None
    problem: str | None = None


class SocketStream:
    """A TCP port as Link wants it, named as pyserial names it: socket://HOST:PORT."""

    def __init__(self, url: str) -> None:
        host, _, number = url.removeprefix(SOCKET).strip("/").rpartition(":")
        if not host or not number.isdigit():
            raise DeviceError(f"{url} names no port", "give one as in socket://127.0.0.1:7000")
        try:
            self._socket = socket.create_connection((host, int(number)), _CONNECT_S)
        except (OSError, OverflowError, UnicodeError) as error:
            raise DeviceError(f"cannot open {url}: {error}", "is its simulator running?") from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._url = url

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        try:
            self._socket.settimeout(_WRITE_S)
            self._socket.sendall(data)
        except OSError as error:
            raise _gone(self._url, error) from None

    def read(self, n: int) -> bytes:
        """Return what has arrived, at most `n` bytes; waits up to 20 ms for the first."""
        try:
            self._socket.settimeout(_READ_S)
            data = self._socket.recv(n)
        except TimeoutError:
            return b""
        except OSError as error:
            raise _gone(self._url, error) from None
        if not data:
            raise _gone(self._url, "it was closed")
        return data

    def close(self) -> None:
        """Close the port."""
        self._socket.close()


class SerialStream:
    """A serial port as Link wants it. Invariant: at most one process holds the port."""

    def __init__(self, port: str) -> None:
        import serial

        try:
            self._serial = serial.Serial(
                port,
                115200,
                timeout=_READ_S,
                write_timeout=_WRITE_S,
                exclusive=os.name == "posix" or None,
            )
        except serial.SerialException as error:
            raise _refusal(port, error) from None
        self._error = serial.SerialException
        self._port = port

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        try:
            self._serial.write(data)
        except (self._error, OSError) as error:
            raise _gone(self._port, error) from None

    def read(self, n: int) -> bytes:
        """Return what has arrived, at most `n` bytes; waits up to 20 ms for the first."""
        try:
            return bytes(self._serial.read(min(n, self._serial.in_waiting) or 1))
        except (self._error, OSError, TypeError) as error:
            raise _gone(self._port, error) from None

    def set_rate(self, rate_bps: int) -> None:
        """Set the rate of the line when all has gone, and discard what has come."""
        try:
            self._serial.flush()
            self._serial.baudrate = rate_bps
            self._serial.reset_input_buffer()
        except (self._error, OSError, ValueError, TypeError) as error:
            raise DeviceError(f"{self._port} does not take {rate_bps:,} bit/s: {error}") from None

    def close(self) -> None:
        """Close the port, and release it at once: a program that another thread is starting now
        holds its file, too, for a moment, and with it the lock.
        """
        if os.name == "posix":
            with contextlib.suppress(self._error, OSError, TypeError):
                self._serial.exclusive = False
        self._serial.close()


def _gone(port: str, error: object) -> DeviceError:
    return DeviceError(
        f"{port} is gone: {error}",
        "plug the cable in and repeat the command: what was received is kept",
    )


def open_stream(port: str) -> SerialStream | SocketStream | RadioStream:
    """Open a serial port, the TCP port of a simulator that socket://HOST:PORT names, or that of a
    logger on the radio: tcp://HOST:PORT.
    """
    if port.startswith(TCP):
        return RadioStream(port, addresses.source().get(port))
    return SocketStream(port) if port.startswith(SOCKET) else SerialStream(port)


def open_link(port: str | None) -> Link:
    """Open the logger on `port`, or the only one that answers when `port` is None; HELLO is
    exchanged. A port may also be the car's name or the first digits of the logger's id.

    Raises   DeviceError for none, several, or a port in use; ContractError for another contract.
    """
    if port is None:
        found = _once_each(find_loggers())
        if not found:
            raise DeviceError(
                "no logger answers on any port", "check cable and power, or name the port"
            )
        if len(found) > 1:
            names = ", ".join(entry.port for entry in found)
            raise DeviceError(f"{len(found)} loggers answer ({names})", "name the port")
        port = found[0].port
    port = port_of(port)
    link = Link(open_stream(port), port)
    try:
        link.hello()
    except BaseException:
        link.close()
        raise
    return link


def port_of(name: str) -> str:
    """Return the port of the only logger of that car, or with an id that begins so.

    A port is returned as it is. Raises DeviceError for none or several.
    """
    if not _NAME.fullmatch(name) or os.path.exists(name):
        return name
    answering = [(entry.port, entry.hello) for entry in _once_each(find_loggers())]
    known = [(port, hello) for port, hello in answering if hello is not None]
    found = [port for port, hello in known if hello.car_name.lower() == name.lower()]
    found = found or [p for p, hello in known if hello.device_id.hex().startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise DeviceError(f"{len(found)} loggers are {name} ({', '.join(found)})", "name the port")
    cars = ", ".join(f"{hello.car_name or hello.device_id.hex()}" for _, hello in known)
    raise DeviceError(
        f"{name}: there is no such port, and no logger of that car or id answers",
        f"there are: {cars}" if cars else "'stagelog loggers' lists what is there",
    )


def find_loggers() -> list[LoggerPort]:
    """Return the ports a logger answers on, and those that another program holds."""
    with ThreadPoolExecutor(8) as pool:
        return [entry for entry in pool.map(_probe, list_ports()) if entry is not None]


def _once_each(found: list[LoggerPort]) -> list[LoggerPort]:
    """Leave out the radio of a logger that answers on a cable, too."""
    cabled = {e.hello.device_id for e in found if e.hello and not e.port.startswith(TCP)}
    return [
        entry
        for entry in found
        if not (entry.port.startswith(TCP) and entry.hello and entry.hello.device_id in cabled)
    ]


def list_ports() -> list[str]:
    """Return the names of ports that may be a board: USB ones, simulators started by
    `stagelog sim`, and the addresses of loggers in the network.
    """
    from serial.tools import list_ports as tools

    ports = [info.device for info in tools.comports() if info.vid is not None]
    return sorted(ports) + sorted(simulator_ports()) + sorted(addresses.source())


def simulator_folder() -> str:
    """Return the folder in which running simulators leave a link to their port."""
    return str(user_folder() / "stagelog-sim")


def simulator_ports() -> list[str]:
    """Return the ports of simulators that still run; removes what others left behind.

    A simulator that was killed leaves the name of its terminal here, and the system gives this
    terminal to somebody else.
    """
    folder = Path(simulator_folder())
    ports = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # its cable is pulled, or it ends, right now
            if not _is_running(entry):
                entry.unlink()
            elif not entry.is_symlink():
                ports.append(entry.read_text(encoding="ascii"))
            elif entry.exists():
                ports.append(str(entry))
    return ports


def _is_running(entry: Path) -> bool:
    """Return whether the process that made an entry is there: its number ends the name."""
    import psutil

    match = re.search(r"-(\d+)$", entry.name)
    if not match:
        return True
    try:
        begun_s = psutil.Process(int(match[1])).create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    return begun_s <= entry.lstat().st_mtime + 1


def _probe(port: str) -> LoggerPort | None:
    try:
        link = Link(open_stream(port), port, tries=2)
    except PortRefused as error:
        return LoggerPort(port, None, str(error))
    except DeviceError:
        return None
    try:
        return LoggerPort(port, link.hello())
    except ContractError as error:
        return LoggerPort(port, None, str(error))
    except DeviceError:
        return None
    finally:
        link.close()


def _refusal(port: str, error: OSError) -> DeviceError:
    """Return the error for a port that pyserial cannot open, a serial.SerialException.

    It has the number of the system's error; on Windows only the name of its class, in the text.
    """
    what = f"cannot open {port}"
    on_windows = error.errno is None
    if error.errno in (errno.EBUSY, errno.EAGAIN) or (
        on_windows and "PermissionError" in str(error)
    ):
        return PortBusy(f"{what}: it is in use by another program", "close the other program")
    if error.errno == errno.ENOENT or (on_windows and "FileNotFoundError" in str(error)):
        return DeviceError(
            f"{what}: there is no such port", "'stagelog loggers' lists what is there"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return DeviceError(
            f"{what}: no permission", "add your user to the group 'dialout', then log in again"
        )
    return DeviceError(f"{what}: {error}", "'stagelog loggers' lists what is there")
