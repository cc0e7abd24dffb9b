"""The rate of a UART: changed when a host asks, back to the usual one when nobody is heard."""

from slog import line_rate as lr
from slog import messages as m


class LineRate:
    """Invariant: a rate that no host uses does not last: see `slog.line_rate`.

    set_rate   sets the rate of the port, when what was written has gone
    """

    def __init__(self, app, set_rate):
        self._app = app
        self._set_rate = set_rate
        self._rate_bps = lr.BASE_bps
        self._next_bps = 0
        self._is_confirmed = True
        self._t_us = 0  # of the change that is due, or of the last good request
        self._t_asked = 0
        app.service.handlers[lr.RATE] = self._answer

    def step(self):
        """Change the rate when it is time to."""
        now_us = self._app.board.clock.t_us()
        if self._next_bps:
            if now_us - self._t_us >= lr.CHANGE_US:
                self._change(self._next_bps, now_us)
            return
        if self._rate_bps == lr.BASE_bps:
            return
        if self._app.service.t_asked != self._t_asked:
            self._t_asked = self._app.service.t_asked
            self._t_us = now_us
        limit_us = lr.SILENT_US if self._is_confirmed else lr.UNCONFIRMED_US
        if now_us - self._t_us >= limit_us:
            self._change(lr.BASE_bps, now_us)

    def _change(self, rate_bps, now_us):
        self._set_rate(rate_bps)
        self._rate_bps = rate_bps
        self._next_bps = 0
        self._is_confirmed = rate_bps == lr.BASE_bps
        self._t_us = now_us
        self._t_asked = self._app.service.t_asked

    def _answer(self, payload):
        rate_bps = m.parse(lr.RATE_REQUEST, payload)[0]["rate_bps"]
        reply = {"status": m.OK, "rate_bps": rate_bps}
        if rate_bps not in lr.RATES_bps and rate_bps != lr.BASE_bps:
            reply = {"status": m.OUT_OF_RANGE, "rate_bps": self._rate_bps}
        elif rate_bps == self._rate_bps:
            self._is_confirmed = True
        else:
            self._next_bps = rate_bps
            self._t_us = self._app.board.clock.t_us()
        self._app.service.put(lr.RATE_REPLY, reply)
