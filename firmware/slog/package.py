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
    ("number", "I", "s", "of the package that runs, 0 if none came as a package"),
    ("tried", "I", "s", "of the package that was tried last"),
    ("n_tries", "B", "", "how often it was"),
    ("reason", "B", "", "what became of it"),
    ("spare", "H", "", "0"),
    ("seen", "I", "", "CRC-32 of the directory entry of the file that was looked at last"),
)


def load_update(data):
    """Return the fields of UPDATE in an item's bytes, None for a logger that has none."""
    return unpack(UPDATE, data or bytes(size(UPDATE)))


def save_update(values):
    """Return the bytes of the item CONFIG_UPDATE."""
    return pack(UPDATE, values)
