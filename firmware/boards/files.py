"""Settings in the board's file system, safe against a power cut at any moment.

Each item has two copies, `<item>a` and `<item>b`: generation, length, CRC-32 of all, data. A new
one replaces the older copy by a rename, after it was read back; the newest whole copy counts. On
RP2040 a write to flash stops the processor for up to 50 ms at a time, so nothing is saved while
recording.
"""

import binascii
import os
import struct

_HEAD = "<III"
_HEAD_BYTES = 12


class Settings:
    """`load` and `save` of numbered items in one folder. Invariant: a saved item is never lost."""

    def __init__(self, folder):
        self._folder = folder

    def load(self, item):
        """Return the newest whole copy of an item, or None."""
        newest = max(self._copies(item))
        return newest[1] if newest[0] else None

    def save(self, item, data):
        """Replace an item; OSError if it can't be written."""
        (_, _, path), (generation, _, _) = sorted(self._copies(item))
        head = struct.pack("<II", generation + 1, len(data))
        crc = binascii.crc32(data, binascii.crc32(head))
        try:
            os.mkdir(self._folder)
        except OSError:
            pass
        fresh = path + ".new"
        with open(fresh, "wb") as file:
            file.write(head)
            file.write(struct.pack("<I", crc))
            file.write(data)
        if _read(fresh) != (generation + 1, data):
            raise OSError("settings read back wrong")
        os.rename(fresh, path)

    def _copies(self, item):
        """Return [(generation, data, path)] of both copies; generation 0 if it is not whole."""
        copies = []
        for letter in "ab":
            path = "%s/%d%s" % (self._folder, item, letter)
            copies.append(_read(path) + (path,))
        return copies


def _read(path):
    """Return (generation, data) of a file, (0, b"") if it is not whole."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            data = file.read()
    except OSError:
        return 0, b""
    if len(head) < _HEAD_BYTES:
        return 0, b""
    generation, n, crc = struct.unpack(_HEAD, head)
    if n != len(data) or binascii.crc32(data, binascii.crc32(head[:8])) != crc:
        return 0, b""
    return generation, data
