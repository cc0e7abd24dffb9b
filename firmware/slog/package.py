"""The package: firmware, settings and signal table for one logger in one file.

    PACKAGE   mac   firmware   settings   signal table   Ed25519 signature, for the host alone

The mac is HMAC-SHA256 by the logger's own key over all before it and the contents behind it.
"""

from slog.layout import const, pack, size, unpack

MAGIC = b"STAGELOG package"
VERSION = const(1)
MAC_BYTES = const(32)
FILE = "STAGELOG.UPD"  # in the root directory of a card
PACKAGE = (
    ("magic", "16s", "", "STAGELOG package"),
    ("version", "H", "", "format version, 1"),
    ("mpy", "H", "", "sys.implementation._mpy that the firmware was compiled for"),
    ("number", "I", "s", "rises with each package; the UTC at which it was built, since 1970"),
    ("device_id", "8s", "", "the logger that is meant"),
    ("car", "8s", "", "the car that is meant, zero padded"),
    ("board", "16s", "", "name of the board, zero padded"),
    ("n_firmware", "I", "bytes", "content of a slot, begins with the SHA-256 of its rest"),
    ("n_settings", "I", "bytes", "JSON text; 0: the logger keeps its own"),
    ("n_signals", "I", "bytes", "signal table; 0: the logger keeps its own"),
)
# What the logger keeps of updates, the item CONFIG_UPDATE.
UPDATE = (
    ("number", "I", "s", "of the package that was installed last, 0 if none was"),
    ("seen", "I", "", "CRC-32 of the directory entry of the file on the card that was tried last"),
    ("digest", "8s", "", "first bytes of the SHA-256 of its firmware"),
    ("n_tries", "B", "", "how often it was tried"),
    ("reason", "B", "", "what became of it"),
    ("spare", "H", "", "0"),
)
MOST_TRIES = const(3)  # of a package that could not be installed, or does not run

# What became of a package on the card; one below 2 is tried again.
UNREADABLE = const(0)
INSTALLED = const(1)
NO_PACKAGE = const(2)
OTHER_LOGGER = const(3)
OTHER_CAR = const(4)
OTHER_BOARD = const(5)
OLDER = const(6)
NO_KEY = const(7)
ALTERED = const(8)
REASON_TEXT = {
    UNREADABLE: "it could not be read or written: put it onto the card again",
    INSTALLED: "installed",
    NO_PACKAGE: "it is no package of this version",
    OTHER_LOGGER: "it is for another logger",
    OTHER_CAR: "it is for another car",
    OTHER_BOARD: "it is for another kind of board or another MicroPython",
    OLDER: "it is older than what was installed",
    NO_KEY: "this logger has no key: 'stagelog provision'",
    ALTERED: "it was altered, or built by another team",
}


def load_update(data):
    """Return the fields of UPDATE in an item's bytes, None for a logger that has none."""
    return unpack(UPDATE, data or bytes(size(UPDATE)))


def save_update(values):
    """Return the bytes of the item CONFIG_UPDATE."""
    return pack(UPDATE, values)
