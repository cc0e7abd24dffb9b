"""Random numbers of a simulated board. Runs on MicroPython, too."""


class Xorshift:
    """Random numbers of 32 bits: same seed, same sessions."""

    def __init__(self, seed: int) -> None:
        self._x = seed * 2654435761 & 0xFFFFFFFF or 1

    def __call__(self) -> int:
        """Return the next number."""
        x = self._x
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self._x = x
        return x
