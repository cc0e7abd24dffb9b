"""Settings in the board's file system, safe against a power cut at any moment.

Each item has two copies, `<item>a` and `<item>b`: generation, length, CRC-32 of all, data. A new
one replaces the older copy by a rename, after it was read back; the newest whole copy counts. On
RP2040 a write to flash stops the processor for up to 50 ms at a time, so nothing is saved while
recording.
"""

import binascii
import io
import os
import struct

from slog.messages import CONFIG_FIRMWARE

_HEAD = "<III"
_HEAD_BYTES = 12
_DIGEST_BYTES = 32


class Settings:
    """Numbered items in one folder. Invariant: a saved item is never lost.

    The item CONFIG_FIRMWARE is read from the slot that runs, 0 or 1; a slot file begins with the
    SHA-256 of its rest (main.py has compared them).
    """

    def __init__(self, folder, slot=255):
        self._folder = folder
        self._slot = slot

    def open(self, item):
        """Return (file, n bytes to read) of the newest whole copy of an item, or None."""
        if item == CONFIG_FIRMWARE:
            return self._open_digest()
        generation, path = max(self._copies(item))
        if not generation:
            return None
        file = open(path, "rb")
        return file, struct.unpack(_HEAD, file.read(_HEAD_BYTES))[1]

    def load(self, item):
        """Return the newest whole copy of an item, or None."""
        found = self.open(item)
        if found is None:
            return None
        with found[0] as file:
            return file.read(found[1])

    def save(self, item, data):
        """Replace an item; OSError if it can't be written."""
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

    def _open_digest(self):
        if self._slot > 1:
            return None
        with open("/%s.app" % "ab"[self._slot], "rb") as file:
            return io.BytesIO(file.read(_DIGEST_BYTES)), _DIGEST_BYTES

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
