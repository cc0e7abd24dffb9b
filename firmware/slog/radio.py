"""The service link over TCP: who may use it, and what protects its bytes.

    logger -> host   CHALLENGE                  its id and 16 random bytes
    host -> logger   ANSWER                     16 random bytes, and the proof that it has the key
    logger -> host   VERDICT                    the logger's own proof, or why it refuses
    from then on     n u16 | n bytes | mac      a piece of the stream of frames (SPEC 8.1)
                     0 u16 | status u8 | mac    the logger refuses what it got, and hangs up

All codes are HMAC-SHA256. The key of a link is made of the logger's key for packages; each side
has a key of its own for its pieces, made of the link's key and both sides' random bytes. A mac is
the first 16 bytes of the code of the piece's number on this side, from 0, and the piece: what was
recorded of an earlier connection, left out, repeated or put elsewhere is refused. Nothing is
encrypted.

Runs on both ends. Only boards with a radio load it.
"""

import struct

from slog.layout import const
from slog.mac import is_equal, mac_of

VERSION = const(1)
PORT = const(7011)
NONCE_BYTES = const(16)
MAX_PIECE = const(1280)  # a request has 1,200 bytes at most
_MAC_BYTES = const(16)
_HEAD_BYTES = const(2)

HOST = b"host"
LOGGER = b"logger"

OK = const(0)
WRONG_KEY = const(1)
IN_USE = const(2)
TOO_SLOW = const(3)
TOO_LONG = const(4)
ALTERED = const(5)
ENDED = const(6)
STATUS_TEXT = {
    OK: "done",
    WRONG_KEY: "the key is not the logger's",
    IN_USE: "another computer uses this logger",
    TOO_SLOW: "the answer to the challenge did not come in time",
    TOO_LONG: "a piece was longer than a logger takes",
    ALTERED: "a piece was altered on its way, repeated or left out",
    ENDED: "the logger has ended its service mode and records",
}

CHALLENGE = (
    ("magic", "8s", "", "STAGELOG"),
    ("version", "B", "", "version of this exchange, 1"),
    ("device_id", "8s", "", "unique id of the logger's chip"),
    ("nonce", "16s", "", "random bytes of the logger"),
)
ANSWER = (
    ("nonce", "16s", "", "random bytes of the host"),
    ("proof", "32s", "", "code of `host`, the id and both random values, by the link's key"),
)
VERDICT = (
    ("status", "B", "", "0, or why the connection is refused"),
    ("proof", "32s", "", "the same code of `logger`; 0 if it is refused"),
)
MAGIC = b"STAGELOG"

# The network of a logger with a radio: a message of the service link (SPEC 8.5). The password is
# never answered.
WIFI = const(0x0E)
ITEM = const(5)  # where the logger keeps it
OFF = const(0)
ACCESS_POINT = const(1)
STATION = const(2)
ASK = const(255)
STATION_BIT = const(1)
ACCESS_POINT_BIT = const(2)
WIFI_REQUEST = (
    ("mode", "B", "", "0 never, 1 own access point, 2 join a network, 255 only ask"),
    ("channel", "B", "", "of the own access point, 1 to 13"),
    ("ssid", "32s", "", "name of the network, UTF-8, zero padded"),
    ("password", "64s", "", "of WPA2, 8 to 63 bytes, zero padded"),
)
WIFI_REPLY = (
    ("status", "B", "", "0; BUSY, recording; BAD_REQUEST; REFUSED, it came over the radio"),
    ("mode", "B", "", "as kept, 0 if nothing is"),
    ("channel", "B", "", "as kept"),
    ("active", "B", "", "interfaces that are active now: 1 station, 2 access point"),
    ("has_key", "B", "", "1 if the logger has its key: without one it never opens the radio"),
    ("ssid", "32s", "", "as kept"),
)

MESSAGES = ((WIFI, "WIFI", WIFI_REQUEST, WIFI_REPLY),)


class RadioError(Exception):
    """A connection that ends; `args[0]` is one of the statuses."""


def link_key(device_key):
    """Return the key of a link, made of the logger's key for packages (CONFIG_KEY)."""
    return mac_of(device_key, b"stagelog radio 1")


def proof_of(key, side, device_id, nonces):
    """Return the proof that `side` has the key; `nonces`: the logger's, then the host's."""
    return mac_of(key, side, device_id, nonces)


class Sealer:
    """Makes pieces of the stream of one side."""

    def __init__(self, key, side, device_id, nonces):
        self._key = mac_of(key, b"pieces of ", side, device_id, nonces)
        self._n = 0

    def seal(self, data):
        """Return the wire bytes of a piece, of 1 to MAX_PIECE bytes."""
        return self._close(struct.pack("<H", len(data)) + bytes(data))

    def refuse(self, status):
        """Return the wire bytes that say why the connection ends."""
        return self._close(struct.pack("<HB", 0, status))

    def _close(self, wire):
        number = struct.pack("<I", self._n)
        self._n += 1
        return wire + mac_of(self._key, number, wire)[:_MAC_BYTES]


class Opener:
    """Takes pieces of the other side. Invariant: no byte is given that was not proven."""

    def __init__(self, key, side, device_id, nonces):
        self._sealer = Sealer(key, side, device_id, nonces)
        self._wire = bytearray()

    def feed(self, chunk):
        """Take what has arrived; return the bytes of all whole pieces. RadioError ends it."""
        self._wire.extend(chunk)
        data = b""
        while len(self._wire) > _HEAD_BYTES:
            n = struct.unpack_from("<H", self._wire)[0]
            if n > MAX_PIECE:
                raise RadioError(TOO_LONG)
            end = _HEAD_BYTES + (n or 1)
            if len(self._wire) < end + _MAC_BYTES:
                break
            content = bytes(self._wire[_HEAD_BYTES:end])
            wanted = self._sealer.seal(content) if n else self._sealer.refuse(content[0])
            if not is_equal(self._wire[: end + _MAC_BYTES], wanted):
                raise RadioError(ALTERED)
            if not n:
                raise RadioError(content[0])
            data += content
            self._wire = self._wire[end + _MAC_BYTES :]
        return data


def is_network(values):
    """Return whether values of WIFI_REQUEST name a network that may be kept."""
    if values["mode"] == OFF:
        return True
    ssid, password = values["ssid"].rstrip(b"\0"), values["password"].rstrip(b"\0")
    is_point = values["mode"] == ACCESS_POINT
    return (
        values["mode"] in (ACCESS_POINT, STATION)
        and len(ssid) > 0
        and 8 <= len(password) <= 63
        and (not is_point or 1 <= values["channel"] <= 13)
    )
