"""Serial ports: find the ones a logger answers on, open one, keep two users apart.

A port that another program holds is a DeviceError; a port that answers nothing is not a logger and
is passed over.
"""

import os
from concurrent.futures import ThreadPoolExecutor

from .errors import ContractError, DeviceError
from .link import Link


class SerialStream:
    """A serial port as Link wants it. Invariant: at most one process holds the port."""

    def __init__(self, port):
        import serial

        try:
            self._serial = serial.Serial(
                port, 115200, timeout=0.02, write_timeout=2, exclusive=os.name == "posix" or None
            )
        except serial.SerialException as error:
            raise DeviceError(f"cannot open {port}: {_reason(error)}", _remedy(error)) from None
        self._error = serial.SerialException
        self._port = port

    def write(self, data):
        """Send all of `data`."""
        try:
            self._serial.write(data)
        except (self._error, OSError) as error:
            raise self._gone(error) from None

    def read(self, n):
        """Return what has come, at most `n` bytes; waits up to 20 ms for the first."""
        try:
            return self._serial.read(min(n, self._serial.in_waiting) or 1)
        except (self._error, OSError, TypeError) as error:
            raise self._gone(error) from None

    def close(self):
        """Close the port."""
        self._serial.close()

    def _gone(self, error):
        return DeviceError(
            f"{self._port} is gone: {_reason(error)}",
            "plug the cable in and repeat the command: what was received is kept",
        )


def open_link(port):
    """Open the logger on `port`, or the only one that answers when `port` is None; HELLO is
    exchanged.

    Raises   DeviceError for none, several, or a port in use; ContractError for another contract.
    """
    if port is None:
        found = find_loggers()
        if not found:
            raise DeviceError(
                "no logger answers on any port", "check cable and power, or name the port"
            )
        if len(found) > 1:
            names = ", ".join(entry["port"] for entry in found)
            raise DeviceError(f"{len(found)} loggers answer ({names})", "name the port")
        port = found[0]["port"]
    link = Link(SerialStream(port), str(port))
    try:
        link.hello()
    except BaseException:
        link.close()
        raise
    return link


def find_loggers():
    """Return the ports a logger answers on: dicts with `port`, `hello` (None if its contract is
    another), `problem`.
    """
    with ThreadPoolExecutor(8) as pool:
        return [entry for entry in pool.map(_probe, list_ports()) if entry is not None]


def list_ports():
    """Return the names of serial ports that may be a board: USB ones, and simulators started by
    `stagelog sim`.
    """
    from serial.tools import list_ports as tools

    ports = [info.device for info in tools.comports() if info.vid is not None]
    return sorted(ports) + sorted(simulator_ports())


def simulator_folder():
    """Return the folder in which running simulators leave a link to their port."""
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/stagelog-{os.getuid()}"
    return os.path.join(base, "stagelog-sim")


def simulator_ports():
    """Return the links of simulators that still run."""
    folder = simulator_folder()
    if not os.path.isdir(folder):
        return []
    return [entry.path for entry in os.scandir(folder) if os.path.exists(entry.path)]


def _probe(port):
    try:
        link = Link(SerialStream(port), port, tries=2)
    except DeviceError as error:
        return (
            {"port": port, "hello": None, "problem": str(error)}
            if "in use" in str(error)
            else None
        )
    try:
        return {"port": port, "hello": link.hello(), "problem": None}
    except ContractError as error:
        return {"port": port, "hello": None, "problem": str(error)}
    except DeviceError:
        return None
    finally:
        link.close()


def _reason(error):
    text = str(error)
    if "exclusively lock" in text or "Resource temporarily unavailable" in text or "busy" in text:
        return "it is in use by another program"
    if "No such file" in text or "could not open port" in text and "2]" in text:
        return "there is no such port"
    if "Permission" in text:
        return "no permission"
    return text


def _remedy(error):
    reason = _reason(error)
    if "in use" in reason:
        return "close the other program"
    if "permission" in reason:
        return "add your user to the group 'dialout', then log in again"
    return "'stagelog loggers' lists what is there"
