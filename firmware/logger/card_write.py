"""One write to the card: started, polled, timed, and read back where it is a sample.

It never waits. Fails as values: WRITE_BUSY, WRITE_DONE or an ERROR of slog.layout.
"""

from slog.block import CRC
from slog.layout import ERROR_REJECTED, ERROR_TIMEOUT, HEADER_BYTES, WRITE_BUSY, const

_STALL_US = const(1_000_000)
_TIMEOUT_US = const(10_000_000)
_SMALLEST_CARD = const(8192)  # sectors, 4 MiB; a fake card wraps at a power of two of them


class CardWrite:
    """view       what is being written, None at rest
    is_stalled the card has been busy with it for a second
    worst_us   the longest write of a session
    """

    def __init__(self, card, clock):
        self.view = None
        self.is_stalled = False
        self.worst_us = 0
        self._card = card
        self._clock = clock
        self._t_start = 0

    def start(self, sector, view):
        """Begin; return WRITE_BUSY, or ERROR_REJECTED if the card could not even be asked."""
        self.view = view
        self.is_stalled = False
        self._t_start = self._clock.t_us()
        try:
            self._card.write_start(sector, view)
        except OSError:
            self.view = None
            return ERROR_REJECTED
        return WRITE_BUSY

    def poll(self):
        """Carry on; return what has become of it."""
        result = self._card.write_poll()
        took = self._clock.t_us() - self._t_start
        if result == WRITE_BUSY:
            if took < _TIMEOUT_US:
                self.is_stalled = took > _STALL_US
                return WRITE_BUSY
            self._card.write_abort()
            result = ERROR_TIMEOUT
        self.worst_us = max(self.worst_us, took)
        return result


def holds_block(extent, position, block):
    """Return whether the card holds a block at its place and there alone, and still what it was
    prepared with.
    """
    return (
        extent.crc_of(position) == block[CRC:HEADER_BYTES]
        and not is_aliased(extent, position, block)
        and extent.is_signed()
    )


def is_aliased(extent, position, block):
    """Return whether a block also appears a power of two below its place: the card is smaller
    than it says.
    """
    sector = extent.sector_of(position)
    size = _SMALLEST_CARD
    while size <= sector:
        if extent.starts_like(sector - size, block):
            return True
        size *= 2
    return False
