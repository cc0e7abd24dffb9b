"""Settings in the board's file system, safe against a power cut at any moment.

Each item has two copies, `<item>a` and `<item>b`: generation, length, CRC-32 of all, data. A new
one replaces the older copy by a rename, after it was read back; the newest whole copy counts. On
RP2040 a write to flash stops the processor for up to 50 ms at a time, so nothing is saved while
recording. A large item is kept in memory once it was loaded: a second time there may be no room.
"""

import binascii
import os
import struct

_HEAD = "<III"
_HEAD_BYTES = 12
_LARGE_BYTES = 1024


class Settings:
    """`load` and `save` of numbered items in one folder. Invariant: a saved item is never lost."""

    def __init__(self, folder):
        self._folder = folder
        self._kept = {}

    def load(self, item):
        """Return the newest whole copy of an item, or None."""
        if item in self._kept:
            return self._kept[item]
        generation, path = max(self._copies(item))
        if not generation:
            return None
        with open(path, "rb") as file:
            n = struct.unpack(_HEAD, file.read(_HEAD_BYTES))[1]
            data = file.read(n)
        if n >= _LARGE_BYTES:
            self._kept[item] = data
        return data

    def save(self, item, data):
        """Replace an item; OSError if it can't be written."""
        self._kept.pop(item, None)
        (_, path), (generation, _) = sorted(self._copies(item))
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
        if _generation(fresh) != generation + 1:
            raise OSError("settings read back wrong")
        os.rename(fresh, path)

    def _copies(self, item):
        paths = ["%s/%d%s" % (self._folder, item, letter) for letter in "ab"]
        return [(_generation(path), path) for path in paths]


def _generation(path):
    """Return the generation of a whole copy, 0 if there is none at `path`."""
    chunk = memoryview(bytearray(256))
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            if len(head) < _HEAD_BYTES:
                return 0
            generation, left, wanted = struct.unpack(_HEAD, head)
            crc = binascii.crc32(head[:8])
            while True:
                n = file.readinto(chunk)
                if not n:
                    break
                crc = binascii.crc32(chunk[:n], crc)
                left -= n
    except OSError:
        return 0
    return generation if left == 0 and crc == wanted else 0
