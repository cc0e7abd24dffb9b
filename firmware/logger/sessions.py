"""The sessions on the card, newest first, found by halving: no table is kept that a power cut
could tear.
"""

from slog.layout import const

_LOOK = const(64)
_NEAR = const(8)
_GROUP_BLOCKS = const(16)
_HOLE_BLOCKS = const(1024 + 64)


class Sessions:
    """Finds session after session backwards from the newest block. Forgets all when the log has
    moved on.

    found   those found so far, newest first, in the form of `get`
    """

    def __init__(self, store):
        self.store = store
        self.found = []
        self._ends = []  # places from the start of each session to the next one to be written
        self._stamp = None
        self._floor = 0  # blocks with a lower number are left over from an earlier round

    def get(self, index):
        """Return (position, n_blocks, first_seq, boot, nonce) of session `index`, newest 0, or
        None past the oldest.

        The card must be idle. Reads about 20 places for a session that was not asked for before.
        """
        store = self.store
        extent = store.extent
        has_begun = store.counts.blocks_written > 0
        stamp = (extent.extent_id, extent.generation, store.n_sessions, has_begun)
        if stamp != self._stamp:
            self.found = []
            self._ends = []
            self._stamp = stamp
            self._floor = self._find_floor()
        elif self.found:
            self._catch_up()
        while len(self.found) <= index:
            done = self._ends[-1] if self._ends else 0
            if done >= store.places.n_used or not self._find_before(done):
                return None
        return self.found[index]

    def forget(self):
        """Find all sessions anew from the next question on."""
        self._stamp = None

    def oldest(self):
        """Return the oldest session in the form of `get`, or None on an empty card."""
        index = 0
        while self.get(index + 1) is not None:
            index += 1
        return self.get(index)

    def seq_after(self, oldest):
        """Return the first sequence number that does not belong to the oldest session, as `oldest`
        has just returned it.
        """
        index = self.found.index(oldest)
        return self.found[index - 1][2] if index else self.store.next_seq

    def _catch_up(self):
        """The newest session has grown since; the oldest ones, or its own first blocks, may have
        been overwritten for it.
        """
        store = self.store
        position, n_before, first_seq, boot, nonce = self.found[0]
        n = store.extent.distance(position, store.places.next_position) or store.extent.n
        if n < store.next_seq - first_seq:
            self.found = []
            self._ends = []
            return
        self.found[0] = (position, n, first_seq, boot, nonce)
        self._ends = [end + n - n_before for end in self._ends]
        while len(self.found) > 1 and self._ends[-1] > store.places.n_used:
            self.found.pop()
            self._ends.pop()

    def _find_floor(self):
        """Return the number of the oldest block in use, as far as one is found near the tail."""
        store = self.store
        extent = store.extent
        for step in range(min(store.places.n_used, _LOOK)):
            position = extent.after(store.places.tail, step)
            found = extent.header(position)
            if found is not None and extent.is_whole(position):
                return max(found[0], extent.released_seq)
        return extent.released_seq

    def _header(self, position, floor, newest=None):
        """Return (seq, boot, nonce) of a block in use, or None if it is numbered below `floor`; of
        one that can't belong to the session of `newest` only if it is whole, as a torn header may
        name any.
        """
        extent = self.store.extent
        found = extent.header(position)
        if found is None or found[0] < floor:
            return None
        if newest is not None and found[1:] == newest[1:] and found[0] <= newest[0]:
            return found
        return found if extent.is_whole(position) else None

    def _find_before(self, done):
        """Find the session that ends `done` places before the next place to be written; False if
        there is none.
        """
        n = self.store.places.n_used - done
        skipped = 0
        while skipped < min(n, _HOLE_BLOCKS):
            position = self._position(done + skipped)
            newest = self._header(position, self._floor)
            if newest is None:
                skipped += 1
            elif self._add(newest, done, skipped):
                return True
            else:
                self._floor = newest[0] + 1
        return False

    def _position(self, back):
        """Return the position of the place `back` places before the newest."""
        return self.store.extent.after(self.store.places.next_position, -back - 1)

    def _add(self, newest, done, skipped):
        """Add the session whose newest block lies `skipped` places before the end; False if a
        higher number lies behind it, so that it is left over from an earlier round.

        Nothing nearer than a whole block has a lower number than it.
        """
        low = done + skipped  # of a place known to be in the session
        start = low
        high = self.store.places.n_used  # the first place known not to be
        floor = self._floor
        while high - low > 1:
            middle = (low + high) // 2
            found = self._near(middle, low, floor, newest)
            if found is None or found[1:] == newest[1:]:
                low = middle
            else:
                floor = found[0]
                high = middle
            if found is not None and found[0] > newest[0]:
                return False
        oldest = newest
        for back in range(low, start, -1):
            found = self._header(self._position(back), floor, newest)
            if found is not None and found[1:] == newest[1:]:
                oldest = found
                start = back
                break
            if found is not None:
                low = back - 1
        self.found.append((self._position(start), start - done + 1) + oldest)
        self._ends.append(low + 1)
        return True

    def _near(self, back, known, floor, newest):
        """Return the header at a place, or the nearest newer one short of the `known` place, or
        None. Beyond some places only the first of each erase group is read.
        """
        extent = self.store.extent
        step = 0
        while back - step > known and step < _HOLE_BLOCKS:
            position = self._position(back - step)
            found = self._header(position, floor, newest)
            if found is not None:
                return found
            step += (
                1 if step < _NEAR else _GROUP_BLOCKS - (position - extent.first) % _GROUP_BLOCKS
            )
        return None
