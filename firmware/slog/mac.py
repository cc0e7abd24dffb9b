"""HMAC-SHA256 (RFC 2104) of what comes in pieces: stock MicroPython has no module for it."""

from hashlib import sha256

_BLOCK_BYTES = 64


class Mac:
    """One code by one key, of up to 64 bytes."""

    def __init__(self, key):
        key = bytes(key) + bytes(_BLOCK_BYTES - len(key))
        self._inner = sha256(bytes([byte ^ 0x36 for byte in key]))
        self._outer = sha256(bytes([byte ^ 0x5C for byte in key]))

    def update(self, data):
        """Add bytes."""
        self._inner.update(data)

    def digest(self):
        """Return the 32 bytes of the code; once."""
        self._outer.update(self._inner.digest())
        return self._outer.digest()


def mac_of(key, *parts):
    """Return the code of some bytes, one after the other."""
    mac = Mac(key)
    for part in parts:
        mac.update(part)
    return mac.digest()


def is_equal(given, wanted):
    """Compare two codes in a time that does not say where they differ."""
    if len(given) != len(wanted):
        return False
    differ = 0
    for a, b in zip(given, wanted):
        differ |= a ^ b
    return not differ
