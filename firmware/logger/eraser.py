"""Erases the oldest session, once the host has proved that it holds it.

The proof is the SHA-256 of the headers of its blocks, read piece by piece while the store leaves
the card free. Fails as values: the status of the answer.
"""

import hashlib

from slog import messages as m
from slog.layout import HEADER_BYTES, const

_STEPS = const(8)  # headers read in a step


class _Check:
    """The digest of one session, computed piece by piece."""

    def __init__(self, key, position):
        self.key = key
        self.position = position
        self.hash = hashlib.sha256()
        self.done = 0
        self.failed = False


class Eraser:
    """Invariant: nothing is erased without the digest of its session."""

    def __init__(self, app):
        self._app = app
        self._check = None  # of the ERASE under way

    @property
    def has_work(self):
        """There are headers to read."""
        return self._check is not None and not self._check.failed

    def answer(self, asked):
        """Return the reply, a dict, to an ERASE request; begin, report or conclude its check."""
        app = self._app
        extent = app.store.extent
        reply = {"status": m.PENDING}
        if extent is None:
            reply["status"] = m.NO_CARD
            return reply
        reply["released_seq"] = extent.released_seq
        if asked["device_id"] != app.board.device_id or app.is_running(
            asked["boot"], asked["nonce"]
        ):
            reply["status"] = m.REFUSED
        elif asked["first_seq"] < extent.released_seq:
            reply["status"] = m.OK
            reply["done_pct"] = 100
        elif app.store.release_waits:
            reply["done_pct"] = 99
        else:
            self._go_on(asked, reply)
        return reply

    def step(self):
        """Read some headers."""
        check = self._check
        extent = self._app.store.extent
        try:
            for _ in range(min(_STEPS, check.key[3] - check.done)):
                sector = extent.sector(extent.after(check.position, check.done))
                check.hash.update(sector[:HEADER_BYTES])
                check.done += 1
        except OSError:
            check.failed = True

    def _go_on(self, asked, reply):
        key = (asked["boot"], asked["nonce"], asked["first_seq"], asked["n_blocks"])
        check = self._check
        if check is None or check.key != key:
            oldest = self._app.sessions.oldest()
            if oldest is None or oldest[3:] + (oldest[2], oldest[1]) != key:
                reply["status"] = m.WRONG_SESSION
                return
            self._check = check = _Check(key, oldest[0])
        if check.failed:
            self._check = None
            reply["status"] = m.READ_ERROR
            return
        n = asked["n_blocks"]
        reply["done_pct"] = 99 * check.done // n
        if check.done < n:
            return
        self._check = None
        if check.hash.digest() != asked["digest"]:
            reply["status"] = m.WRONG_DIGEST
            return
        sessions = self._app.sessions
        oldest = sessions.oldest()
        if oldest is None or oldest[3:] != key[:2]:  # it was overwritten since its check
            reply["status"] = m.WRONG_SESSION
            return
        store = self._app.store
        store.request_release(sessions.seq_after(oldest), store.extent.after(check.position, n))
