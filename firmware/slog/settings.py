"""The settings of a logger: JSON text on the board, checked before it is taken, with defaults that
record.

{"car": "C03", "flush_ms": 250, "when_full": "stop", "buses": [{"bitrate_bps": 500000, "ids":
null}]}
"""

import json
from hashlib import sha256

from slog.layout import N_BUSES

DEFAULTS = {  # type: dict
    "car": "",
    "flush_ms": 250,
    "when_full": "stop",
    "buses": [{"bitrate_bps": 500000, "ids": None}],
}
BITRATES = (125000, 250000, 500000, 1000000)
DATA_BITRATES = (1000000, 2000000, 4000000, 5000000, 8000000)  # of CAN FD
_BUS_ENTRIES = ("bitrate_bps", "ids", "data_bitrate_bps")


class SettingsError(ValueError):
    """The settings make no sense; the text names the entry."""


def load(data, has_fd=True):
    """Return the settings in `data` (bytes of JSON, or None for the defaults); SettingsError names
    what is wrong. has_fd: False on a board that records no CAN FD and must not be asked to.
    """
    settings = dict(DEFAULTS)
    if data is None:
        return settings
    try:
        given = json.loads(data)
    except (ValueError, RuntimeError, MemoryError):  # too deep, or more than the heap
        raise SettingsError("not JSON, or too much of it")
    if not isinstance(given, dict):
        raise SettingsError("not a JSON object")
    for key in given:
        if key not in DEFAULTS:
            raise SettingsError("unknown entry '%s'" % key)
    settings.update(given)
    _check(settings, has_fd)
    return settings


def digest_of(nv, item):
    """Return the SHA-256 of an item's bytes, of none if there is none; reads piece by piece."""
    digest = sha256()
    found = nv.open(item)
    if found:
        chunk = memoryview(bytearray(256))
        with found[0] as file:
            while True:
                n = file.readinto(chunk)
                if not n:
                    break
                digest.update(chunk[:n])
    return digest.digest()


def _check(settings, has_fd):
    car = settings["car"]
    try:
        fits = len(car.encode()) <= 8
    except (AttributeError, UnicodeError):
        fits = False
    if not fits:
        raise SettingsError("car: a text of at most 8 bytes")
    flush_ms = settings["flush_ms"]
    if not _is_whole(flush_ms) or not 10 <= flush_ms <= 10000:
        raise SettingsError("flush_ms: 10 to 10000")
    if settings["when_full"] not in ("stop", "overwrite"):
        raise SettingsError("when_full: stop or overwrite")
    buses = settings["buses"]
    if not isinstance(buses, list) or not 1 <= len(buses) <= N_BUSES:
        raise SettingsError("buses: 1 or 2")
    for i, bus in enumerate(buses):
        if not isinstance(bus, dict):
            raise SettingsError("buses[%d]: an object with bitrate_bps and ids" % i)
        for key in bus:
            if key not in _BUS_ENTRIES:
                raise SettingsError("buses[%d]: unknown entry '%s'" % (i, key))
        bitrate_bps = bus.get("bitrate_bps")
        if not _is_whole(bitrate_bps) or bitrate_bps not in BITRATES:
            raise SettingsError("buses[%d].bitrate_bps: 125000, 250000, 500000 or 1000000" % i)
        data_bps = bus.get("data_bitrate_bps")
        is_data_rate = has_fd and _is_whole(data_bps) and data_bps in DATA_BITRATES
        if data_bps is not None and not is_data_rate:
            raise SettingsError("buses[%d].data_bitrate_bps: null, or 1, 2, 4, 5 or 8 million" % i)
        ids = bus.get("ids")
        if ids is not None and not (ids and isinstance(ids, list) and all(_is_id(x) for x in ids)):
            raise SettingsError("buses[%d].ids: null, or identifiers of 0 to 0x1FFFFFFF" % i)


def _is_whole(value):
    """Return whether JSON's value is written as a whole number: neither true nor 5e5."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value):
    return _is_whole(value) and 0 <= value < 1 << 29
