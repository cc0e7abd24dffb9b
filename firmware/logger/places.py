"""The places of a mounted extent: which of them hold blocks in use, and which is written next.

Owns tail, next position and the stretch of bad places to leave out. Reads and writes nothing; how
the extent itself counts its places round the ring is its own matter (`extent`).
"""

from slog.layout import const

STOP_WHEN_FULL = const(0)
OVERWRITE_OLDEST = const(1)
_GROUP_BLOCKS = const(16)  # 64 KiB; a card that fails is tried again in its next erase group
_MOST_SKIPPED = const(960)  # places; recovery reads no further than 1,088 ahead


class Places:
    """Invariant: `n_used` places from `tail` on, round the ring, are in use; one of them is
    written only under OVERWRITE_OLDEST.
    """

    def __init__(self, when_full):
        self.when_full = when_full
        self.extent = None  # while a card is mounted
        self.tail = 0
        self.next_position = 0
        self.n_used = 0
        self._beyond = None  # (extent_id, position) where to go on after a stretch of bad places

    @property
    def n_free(self):
        """Places left before the card is full."""
        return 0 if self.extent is None else max(0, self.extent.n - self.n_used - self._n_kept)

    @property
    def _n_kept(self):
        """Places kept free for the last block of a session, which says what was lost before it."""
        return 1 if self.when_full == STOP_WHEN_FULL else 0

    @property
    def is_full(self):
        """True when no place is left and the settings forbid to overwrite."""
        return (
            self.extent is not None
            and self.when_full == STOP_WHEN_FULL
            and self.n_used + self._n_kept >= self.extent.n
        )

    @property
    def has_last(self):
        """True while at least the place is left that is kept for the last block."""
        return self.n_used < self.extent.n

    def begin(self, extent, head):
        """Take over what an extent holds; `head` as its `find_head` has just returned it."""
        self.tail, self.next_position, self.n_used = extent.find_tail(head)

    def write_again(self, position):
        """Write the newest block once more, at its own place."""
        self.next_position = position
        self.n_used -= 1

    def make_room(self):
        """Give the oldest block's place up if there is no other."""
        if self.n_used >= self.extent.n:
            self.tail = self.extent.after(self.tail)
            self.n_used -= 1

    def advance(self):
        """The next place is in use, or was found bad."""
        self.next_position = self.extent.after(self.next_position)
        self.n_used += 1

    def end_stretch(self):
        """No stretch of bad places is to be left out any more."""
        self._beyond = None

    def give_up_group(self):
        """Go on in the card's next erase group, when it is mounted again."""
        extent = self.extent
        n_left = -(self.next_position - extent.first) % _GROUP_BLOCKS
        self._beyond = (extent.extent_id, extent.after(self.next_position, n_left))

    def leave_out_stretch(self):
        """Leave out the stretch of bad places found before, if this extent has it; return whether
        it has. It is forgotten if it does not lie just ahead.
        """
        extent = self.extent
        if self._beyond is None or self._beyond[0] != extent.extent_id:
            return False
        n_ahead = extent.distance(self.next_position, self._beyond[1])
        n_free = extent.n - self.n_used
        if n_ahead >= _MOST_SKIPPED or (n_ahead > n_free and self.when_full == STOP_WHEN_FULL):
            self._beyond = None
            return True
        self.next_position = self._beyond[1]
        if n_ahead > n_free:
            self.tail = extent.after(self.tail, n_ahead - n_free)
        self.n_used += min(n_ahead, n_free)
        return True

    def erase_to(self, position):
        """Blocks before a position are erased: their places may be written."""
        self.tail = position
        self.n_used = self.extent.distance(position, self.next_position)
