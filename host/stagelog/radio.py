"""The host's end of a logger's TCP port, tcp://HOST:PORT: the challenge, then proven pieces.

Owns one connection. The bytes are `slog.radio`'s, the key is derived from the team's own key on
this computer. Fails with PortRefused where the logger or the key does not fit, with DeviceError
where nobody answers.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Any

from slog import messages as m
from slog import radio
from slog.layout import pack, size, unpack
from stagelog.errors import DeviceError, PortBusy, PortRefused, UsageError
from stagelog.link import Link, RequestError
from stagelog.proof import device_key, own_key

TCP = "tcp://"
_CONNECT_S = 3.0
_READ_S = 0.02
_WRITE_S = 2.0
_SHAKE_S = 5.0
_HINTS = {
    radio.WRONG_KEY: "give it this team's key by cable: 'stagelog provision PORT'",
    radio.IN_USE: "wait until the other computer is done, or use the cable",
    radio.ENDED: "close the service switch again; what was received is kept",
}


class RadioStream:
    """The stream of a logger on the radio, as Link wants it. Invariant: no byte is returned that
    the logger has not proven.

    device_id   the logger that is meant, 16 hex digits; None: whoever answers and has the key
    """

    def __init__(self, url: str, device_id: str | None = None) -> None:
        self._url = url
        self._data = b""
        host, number = _address_of(url)
        try:
            self._socket = socket.create_connection((host, number), _CONNECT_S)
        except (OSError, OverflowError, UnicodeError) as error:
            raise DeviceError(
                f"cannot open {url}: {error}",
                "is its service switch closed, and this computer in its network?",
            ) from None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(_SHAKE_S)
            self._shake_hands(device_id)
        except OSError as error:
            self._socket.close()
            raise DeviceError(f"{url} did not finish the greeting: {error}") from None
        except BaseException:
            self._socket.close()
            raise

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        try:
            self._socket.settimeout(_WRITE_S)
            for at in range(0, len(data), radio.MAX_PIECE):
                piece = data[at : at + radio.MAX_PIECE]
                self._socket.sendall(self._sealer.seal(piece))
        except OSError as error:
            raise self._gone(error) from None

    def read(self, n: int) -> bytes:
        """Return what has arrived, at most `n` bytes; waits up to 20 ms for the first."""
        if not self._data:
            try:
                self._socket.settimeout(_READ_S)
                chunk = self._socket.recv(65536)
            except TimeoutError:
                return b""
            except OSError as error:
                raise self._gone(error) from None
            if not chunk:
                raise self._gone("it was closed")
            try:
                self._data = self._opener.feed(chunk)
            except radio.RadioError as error:
                raise self._refused(error.args[0]) from None
        data, self._data = self._data[:n], self._data[n:]
        return data

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _shake_hands(self, wanted: str | None) -> None:
        challenge = unpack(radio.CHALLENGE, self._receive(size(radio.CHALLENGE)))
        if challenge["magic"] != radio.MAGIC or challenge["version"] != radio.VERSION:
            raise PortRefused(f"{self._url} is no logger of this release", "check the address")
        device_id = challenge["device_id"]
        if wanted is not None and device_id.hex() != wanted:
            raise PortRefused(
                f"{self._url} is logger {device_id.hex()}, not {wanted}",
                "check the address in the fleet file",
            )
        own = own_key()
        if own is None:
            raise PortRefused(
                f"{self._url} asks for the key of logger {device_id.hex()}, and this computer "
                "has no team's key",
                "copy the team's key here ('stagelog key'), or use the cable",
            )
        key = radio.link_key(device_key(own, device_id.hex()))
        nonce = os.urandom(radio.NONCE_BYTES)
        nonces = challenge["nonce"] + nonce
        proof = radio.proof_of(key, radio.HOST, device_id, nonces)
        self._socket.sendall(pack(radio.ANSWER, {"nonce": nonce, "proof": proof}))
        verdict = unpack(radio.VERDICT, self._receive(size(radio.VERDICT)))
        if verdict["status"] != radio.OK:
            raise self._refused(verdict["status"])
        wanted_proof = radio.proof_of(key, radio.LOGGER, device_id, nonces)
        if not radio.is_equal(verdict["proof"], wanted_proof):
            raise PortRefused(
                f"{self._url} says that it is logger {device_id.hex()} and cannot prove it",
                "somebody else answers on this address: use the cable",
            )
        self._sealer = radio.Sealer(key, radio.HOST, device_id, nonces)
        self._opener = radio.Opener(key, radio.LOGGER, device_id, nonces)

    def _receive(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            chunk = self._socket.recv(n - len(data))
            if not chunk:
                raise DeviceError(f"{self._url} hung up before its greeting ended", "try again")
            data += chunk
        return data

    def _refused(self, status: int) -> PortRefused:
        kind = PortBusy if status == radio.IN_USE else PortRefused
        text = radio.STATUS_TEXT.get(status, f"status {status}")
        return kind(f"{self._url}: {text}", _HINTS.get(status, "repeat the command"))

    def _gone(self, error: object) -> DeviceError:
        return DeviceError(
            f"{self._url} is gone: {error}",
            "is its service switch still closed? Repeat the command: what was received is kept",
        )


def network_of(link: Link) -> dict[str, Any]:
    """Return what a logger with a radio keeps of its network, fields of slog.radio.WIFI_REPLY;
    DeviceError for a board without a radio.
    """
    tries, link.tries = link.tries, 2
    try:
        return link.ask(radio.WIFI, {"mode": radio.ASK})[0]
    except RequestError:
        raise
    except DeviceError:
        raise DeviceError(f"{link.name} is a board without a radio", "use its cable") from None
    finally:
        link.tries = tries


def set_network(link: Link, values: Mapping[str, Any]) -> None:
    """Give a logger on a cable its key and its network, fields of slog.radio.WIFI_REQUEST, between
    two sessions; PortRefused if this computer has no team's key.
    """
    network_of(link)
    hello = link.hello()
    own = own_key()
    if own is None:
        raise PortRefused("this computer has no team's key", "make one: 'stagelog key new NAME'")
    link.control(m.CONTROL_STOP, hello.boot)
    try:
        link.set_config(m.CONFIG_KEY, device_key(own, hello.device_id.hex()))
        link.ask(radio.WIFI, values)
    finally:
        link.control(m.CONTROL_START, hello.boot)


def refuse_radio(port: str, what: str) -> None:
    """Raise UsageError if a port is a logger on the radio: `what` goes by cable."""
    if is_radio(port):
        raise UsageError(f"{what} to {port}", "firmware, keys and networks go by cable")


def is_radio(port: str) -> bool:
    """Return whether a port is a logger on the radio, which cannot be restarted over it."""
    return port.startswith(TCP)


def url_of(address: str) -> str:
    """Return the port of an address as a fleet file has it: HOST, or HOST:PORT."""
    return TCP + (address if ":" in address else f"{address}:{radio.PORT}")


def _address_of(url: str) -> tuple[str, int]:
    host, _, number = url.removeprefix(TCP).strip("/").rpartition(":")
    if not host or not number.isdigit():
        raise DeviceError(f"{url} names no port", f"give one as in tcp://192.168.4.1:{radio.PORT}")
    return host, int(number)
