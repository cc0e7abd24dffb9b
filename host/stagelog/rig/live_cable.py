"""The cable of a live simulated logger: as fast as it is said to be, pulled and put back.

Owns the rate and the times at which the cable is out; the bytes go through `rig.live`'s PtyLink or
TcpLink. Each time the cable is put back, the port has another name, as after a hub that starts
again.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

Pull = tuple[int, float]  # when so many bytes that count were sent; seconds until it is back
_DEPTH_s = 0.02  # what the buffers of the wire hold


class LiveCable:
    """The logger's end of a cable.

    make_link   returns a new PtyLink or TcpLink
    rate_Bps    what the wire carries, 0 for no limit
    counts      returns whether bytes that are sent now count for the pulls
    on_change   called with the new port's name, or None when the cable is pulled
    """

    def __init__(
        self,
        make_link: Callable[[], Any],
        rate_Bps: float = 0,
        pulls: Sequence[Pull] = (),
        counts: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_change: Callable[[str | None], object] = lambda port: None
        self.holds_back = False  # True: what has arrived is not read yet
        self._make_link = make_link
        self._link = make_link()
        self._rate_Bps = rate_Bps
        self._pulls = sorted(pulls)
        self._counts = counts
        self._clock = clock
        self._last = ""  # the port's name before the cable was pulled
        self._n_sent = 0
        self._back_s = 0.0
        self._t_s = clock()
        self._room = 0.0

    @property
    def port(self) -> str:
        """Return the name of the port that is there now, or that was there last."""
        return self._last if self._link is None else str(self._link.port)

    def read(self, buf: Any) -> int:
        """Fill `buf` with what has arrived; return how many bytes."""
        return int(self._link.read(buf)) if self._is_in() and not self.holds_back else 0

    def write(self, buf: Any, at: int, n: int) -> int:
        """Send what the wire takes of `n` bytes of `buf` from `at`; return how many bytes."""
        if not self._is_in():
            return n
        most = self._take_room(n)
        sent = int(self._link.write(buf, at, most)) if most else 0
        self._room -= sent
        self._n_sent += sent * self._counts()
        if self._pulls and self._n_sent >= self._pulls[0][0]:
            self._pull(self._pulls.pop(0)[1])
        return sent

    def close(self) -> None:
        """Unplug for good."""
        if self._link is not None:
            self._link.close()

    def _take_room(self, n: int) -> int:
        """Return how many of `n` bytes the wire takes now."""
        if not self._rate_Bps:
            return n
        now = self._clock()
        self._room = min(
            self._room + (now - self._t_s) * self._rate_Bps, _DEPTH_s * self._rate_Bps
        )
        self._t_s = now
        return max(0, min(n, int(self._room)))

    def _pull(self, away_s: float) -> None:
        self._last = self.port
        self._link.close()
        self._link = None
        self._back_s = self._clock() + away_s
        self.on_change(None)

    def _is_in(self) -> bool:
        if self._link is None and self._clock() >= self._back_s:
            self._link = self._make_link()
            self.on_change(self.port)
        return self._link is not None
