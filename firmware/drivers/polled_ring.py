"""The ring of a board whose frames are fetched by the main loop and not by an interrupt."""

from drivers.mcp2518fd_hot import LAST, take
from logger.ring import COUNT, BlockRing
from slog.native import micropython, words_of


class PolledRing(BlockRing):
    """Invariant: no record is earlier than the one before it.

    fetch   called before a meta record is stored: brings in the frames that ended before it
    hot     `mcp2518fd_hot.take`, or what does the same for other objects
    """

    def __init__(self, n_blocks=0):
        self._words = None  # of the memory
        super().__init__(n_blocks)
        self.fetch = None
        self.hot = take
        self._lo = 0
        self._hi = 0

    def take_memory(self, n_blocks):
        """As BlockRing."""
        super().take_memory(n_blocks)
        self._words = words_of(self.memory)

    def put_frame(self, lo, hi, can_id, kind, dlc, data):
        """As BlockRing; a time before the last record's becomes that."""
        self._advance(lo, hi)
        return super().put_frame(self._lo, self._hi, can_id, kind, dlc, data)

    @micropython.native
    def take(self, buf, at, n, words, clock):
        """Store objects of an MCP2518FD as `hot` does, if a block is open."""
        if not self.state[COUNT]:
            return 0
        words[LAST] = self._lo
        state = self.state
        n_taken = self.hot(buf, at, n, words, state, self._words)  # type: ignore[arg-type]
        if n_taken:
            self._lo = lo = words[LAST]
            self._hi = clock.hi - (lo > clock.lo)
        return n_taken

    def put_meta(self, lo, hi, kind, arg, bus, data):
        """As BlockRing; a time before the last record's becomes that."""
        if self.fetch is not None:
            self.fetch()
        self._advance(lo, hi)
        return super().put_meta(self._lo, self._hi, kind, arg, bus, data)

    def _advance(self, lo, hi):
        if hi > self._hi or (hi == self._hi and lo > self._lo):
            self._lo = lo
            self._hi = hi
