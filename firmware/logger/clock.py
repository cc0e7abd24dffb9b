"""The 64-bit clock: wrapping ticks in, microseconds since boot out. The tick never leaves this
module.

Fails if nobody reads it for a full wrap of the ticks (17.9 min on MicroPython): the main loop
reads it every pass.
"""

from slog.layout import TIME_BITS

_LOW = (1 << TIME_BITS) - 1


class Clock:
    """Invariant: (hi, lo) never goes back. Reading allocates nothing."""

    def __init__(self, ticks_us, wrap_us=1 << 30):
        self._ticks_us = ticks_us
        self._mask = wrap_us - 1
        self._tick = ticks_us()
        self.lo = 0
        self.hi = 0

    def read(self):
        """Bring `lo` (bits 27..0) and `hi` (above) up to date."""
        tick = self._ticks_us()
        passed = (tick - self._tick) & self._mask
        self._tick = tick
        self.hi += passed >> TIME_BITS
        lo = self.lo + (passed & _LOW)
        self.hi += lo >> TIME_BITS
        self.lo = lo & _LOW

    def t_us(self):
        """Return the time since boot. May allocate; not for interrupts."""
        self.read()
        return self.hi << TIME_BITS | self.lo
