"""The sessions on the card, newest first, found by halving: no table is kept that a power cut
could tear.
"""

from slog.layout import const

_NEAR = const(8)
_GROUP_BLOCKS = const(16)
_HOLE_BLOCKS = const(1024 + 64)


class Sessions:
    """Finds session after session backwards from the newest block. Forgets all when the log has
    moved on.
    """

    def __init__(self, store):
        self._store = store
        self._found = []
        self._stamp = None

    def get(self, index):
        """Return (position, n_blocks, first_seq, boot, nonce) of session `index`, newest 0, or
        None past the oldest.

        The card must be idle. Reads about 20 places for a session that was not asked for before.
        """
        store = self._store
        extent = store.extent
        stamp = (extent.extent_id, extent.generation, store.n_sessions, store.blocks_written > 0)
        if stamp != self._stamp:
            self._found = []
            self._stamp = stamp
        elif self._found:
            newest = self._found[0]
            n = extent.distance(newest[0], store.next_position) or extent.n
            self._found[0] = (newest[0], n) + newest[2:]
        while len(self._found) <= index:
            done = sum([session[1] for session in self._found])
            if done >= store.n_used:
                return None
            session = self._before(done)
            if session is None:
                return None
            self._found.append(session)
        return self._found[index]

    def oldest(self):
        """Return the oldest session in the form of `get`, or None on an empty card."""
        index = 0
        while self.get(index + 1) is not None:
            index += 1
        return self.get(index)

    def seq_after_oldest(self):
        """Return the first sequence number that does not belong to the oldest session."""
        oldest = self.oldest()
        index = self._found.index(oldest)
        return self._found[index - 1][2] if index else self._store.next_seq

    def _before(self, done):
        """Return the session that ends `done` places before the next place to be written."""
        store = self._store
        extent = store.extent
        n = store.n_used - done
        last = extent.after(store.next_position, -done - 1)
        key = None
        skipped = 0
        while skipped < min(n, _HOLE_BLOCKS):
            key = extent.header(extent.after(last, -skipped))
            if key is not None:
                break
            skipped += 1
        if key is None:
            return None
        low = skipped  # distance back from `last` of a place known to be in the session
        high = n  # distance back of the first place known not to be
        while high - low > 1:
            middle = (low + high) // 2
            found = self._near(extent, last, middle, low)
            if found is not None and found[1:] == key[1:]:
                low = middle
            else:
                high = middle
        step = 0
        found = extent.header(extent.after(last, -low))
        while found is None:
            step += 1
            found = extent.header(extent.after(last, step - low))
        return (extent.after(last, -low), low + 1, found[0] - step, key[1], key[2])

    @staticmethod
    def _near(extent, last, back, known):
        """Return the header at `back` places before `last`, or the nearest newer one up to the
        `known` place.
        """
        step = 0
        while back - step > known and step < _HOLE_BLOCKS:
            found = extent.header(extent.after(last, step - back))
            if found is not None:
                return found
            step += 1 if step < _NEAR else _GROUP_BLOCKS
        return extent.header(extent.after(last, -known))
