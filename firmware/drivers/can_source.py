"""What the drivers of CAN controllers share: the names of `machine.CAN` that need no register, and
the account of what a controller lost.

Names, numbers and list shapes are those that MicroPython 1.28 documents; `send`, `recv` and `irq`
are left out: a logger never sends, and its frames go straight into the ring. Silent unless set
otherwise. A silent controller counts no errors, so WARNING also means that it saw some.
"""

import struct

from drivers.can_filters import FLAG_EXT_ID, FLAG_RTR, cover_ids
from slog.layout import (
    BUS_ACTIVE,
    BUS_OFF,
    BUS_PASSIVE,
    BUS_STOPPED,
    BUS_WARNING,
    GAP_CONTROLLER,
    META_GAP,
    const,
)

_RETRY_POLLS = const(10)


class CanSource:
    """A controller as `logger.app` wants it: the capture plane, which never raises.

    A driver has init and set_filters, which may raise OSError or ValueError; `_begin` and `_end`,
    around the time in which frames go into the ring; `_poll_chip` for a chip that answers;
    FILTERS_MAX and _SHARES, see `cover_ids`.
    """

    STATE_STOPPED = BUS_STOPPED
    STATE_ACTIVE = BUS_ACTIVE
    STATE_WARNING = BUS_WARNING
    STATE_PASSIVE = BUS_PASSIVE
    STATE_BUS_OFF = BUS_OFF
    FLAG_RTR = FLAG_RTR
    FLAG_EXT_ID = FLAG_EXT_ID

    def __init__(self, port, clock, crystal_Hz, bus, mode):
        self.bus = bus
        self.bitrate_bps = 0
        self.answers = False
        self.counters = [0] * 8
        self.n_errors = 0  # of the bus since set_up, at least
        self.doubts = 0  # answers of the chip since power-on that cannot be right
        self.wire_fault = 0  # of slog.faults: which of its wires is missing
        self._port = port
        self._clock = clock
        self._crystal_Hz = crystal_Hz
        self._mode = mode
        self._filters = None
        self._state = BUS_STOPPED
        self._ring = None  # where frames go, None while stopped
        self._waits = 0
        self._untold = 0
        self._t_poll = 0
        self._data = bytearray(8)

    def state(self):
        """Return the STATE of the last poll."""
        return self._state

    def get_counters(self, result=None):
        """Return [TEC, REC, n_warning, n_passive, n_bus_off, 0, rx_pending, rx_overruns]."""
        result = [0] * 8 if result is None else result
        result[:] = self.counters
        return result

    def restart(self):
        """Set the chip up again and forget the counters."""
        self.counters[:] = [0] * 8
        self._end()
        self.init(self.bitrate_bps)
        self.set_filters(self._filters)
        if self._ring is not None:
            self._begin()

    def counts(self):
        """Return the values of `slog.messages.BUS_COUNTERS`, or nothing: a controller has none."""
        return ()

    def measured_rate(self):
        """Return the bit rate that the wire shows, 0 if none fits, None while nothing was heard
        since the last answer. Only where `counts` are.
        """
        return 0

    def deinit(self):
        """Stop receiving."""
        self.stop()

    @property
    def listen_only(self):
        """True if the controller sends nothing, not even an acknowledge."""
        return self._mode == self.MODE_SILENT

    def set_up(self, settings):
        """Take {"bitrate_bps", "ids"}: the identifiers to receive, None for all."""
        self.stop()
        self.bitrate_bps = settings["bitrate_bps"]
        ids = settings.get("ids")
        self._filters = cover_ids(ids, self.FILTERS_MAX, self._SHARES) if ids else None
        self.counters[:] = [0] * 8
        self.n_errors = self._untold = 0

    def start(self, ring):
        """Receive into `ring` from now on."""
        self._ring = ring
        self._t_poll = self._clock.t_us()
        self._try_start()

    def stop(self):
        """Stop receiving."""
        self._end()
        self._ring = None
        self._state = BUS_STOPPED

    def poll(self, ring):
        """Look after the chip, ten times a second: lost frames into `ring`, states, counters. One
        that is away is tried once a second.
        """
        if self._ring is None:
            return
        if self.answers:
            self._poll_chip()
            return
        self._waits -= 1
        if self._waits <= 0:
            self._revive()

    def _enter(self, state):
        """Count every state on the way to a worse one, as if it had been polled there."""
        for passed in range(max(self._state + 1, BUS_WARNING), state + 1):
            self.counters[passed] += 1
        self._state = state

    def _lost(self, n):
        """Count `n` frames, at least, that found no room in the chip, and record them."""
        self.counters[7] += n
        self._untold += n
        self._ring.count_lost(self.bus, n)
        struct.pack_into("<II", self._data, 0, self._untold, self._t_poll & 0xFFFFFFFF)
        clock = self._clock
        clock.read()
        if self._ring.put_meta(clock.lo, clock.hi, META_GAP, GAP_CONTROLLER, self.bus, self._data):
            self._untold = 0

    def _revive(self):
        """Set up a chip that was away or reset; record since when it may have missed frames."""
        self._try_start()
        if self.answers:
            self._lost(0)

    def _try_start(self):
        self._end()
        self._waits = _RETRY_POLLS
        try:
            self.init(self.bitrate_bps)
            self.set_filters(self._filters)
        except (OSError, ValueError):
            self.answers = False
            return
        self._begin()
