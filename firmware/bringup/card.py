"""The card on the bench: who made it, how long it takes, what its wires do at each clock."""

import time
from array import array

from drivers.sdcard import SdCard
from slog.layout import SECTOR_BYTES, WRITE_BUSY, const

_SEND_CID = const(10)
_TOKEN_READ = const(0xFE)
STEP_US = 250  # width of a count of `times`
_N_TIMES = const(2048)  # the last counts all that take longer, 0.5 s


class BenchCard(SdCard):
    """The card of the board. Its writes are timed, and `sample` is called while one goes on."""

    def __init__(self, port, rate_Hz):
        super().__init__(port, rate_Hz)
        self.times = array("I", [0] * _N_TIMES)
        self.sample = None
        self._t_write = time.ticks_us()

    def write_start(self, sector, view):
        """As SdCard."""
        self._t_write = time.ticks_us()
        super().write_start(sector, view)

    def write_poll(self):
        """As SdCard."""
        if self.sample is not None:
            self.sample()
        result = super().write_poll()
        if result != WRITE_BUSY:
            took_us = time.ticks_diff(time.ticks_us(), self._t_write)
            self.times[min(took_us // STEP_US, _N_TIMES - 1)] += 1
        return result

    def identity(self):
        """Set the card up; return {"init_ms", "sectors", "cid"}, or {"error"}."""
        start = time.ticks_ms()
        try:
            self.init()
        except OSError as error:
            return {"error": str(error)}
        init_ms = time.ticks_diff(time.ticks_ms(), start)
        port = self._port
        port.select()
        try:
            if port.command(_SEND_CID, 0, 0) or self._wait_token() != _TOKEN_READ:
                return {"error": "the card does not report who made it"}
            cid = self._take(18)[:16]
        finally:
            port.release()
        return {"init_ms": init_ms, "sectors": self.n_sectors, "cid": cid.hex()}

    def read_at(self, rate_Hz, first, n):
        """Read `n` sectors from `first` at a clock; return those that failed, those that were
        repeated, and the milliseconds.
        """
        buf = bytearray(SECTOR_BYTES)
        before = self.n_read_errors
        failed = 0
        self._set_rate(rate_Hz)
        start = time.ticks_ms()
        for sector in range(first, first + n):
            try:
                self.read(sector, buf)
            except OSError:
                failed += 1
        took_ms = time.ticks_diff(time.ticks_ms(), start)
        self._stop_ahead()
        self._set_rate(self._rate_Hz)
        return failed, self.n_read_errors - before, took_ms
