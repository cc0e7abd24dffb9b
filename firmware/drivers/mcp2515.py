"""The MCP2515 CAN controller: set-up, filters, states and counters.

Two planes. Control: names, numbers and list shapes of `machine.CAN` as MicroPython 1.28 documents
it, without `send`, `recv` and `irq`: a logger never sends, and its frames go through the capture
plane. It differs in three points: silent unless told otherwise; the sample point is fixed; in
silent mode the chip counts no errors, so WARNING also means that it saw some. Capture: what
`logger.app` asks of a capture source; the frames are taken by `port` (`rp2_hot.HotPort`).

`init` and the other names of the control plane raise OSError if the chip does not answer; the
capture plane never raises, it says so in `answers` and tries again once a second.
"""

import struct

from drivers.can_filters import FLAG_EXT_ID, FLAG_RTR, cover_ids, filter_registers
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

_WRITE = const(0x02)
_READ = const(0x03)
_BIT_MODIFY = const(0x05)
_RESET = const(0xC0)

_BFPCTRL = const(0x0C)
_CANSTAT = const(0x0E)  # CANCTRL follows
_TEC = const(0x1C)  # REC follows
_CNF3 = const(0x28)  # CNF2, CNF1 follow
_CANINTE = const(0x2B)
_CANINTF = const(0x2C)  # EFLG follows
_EFLG = const(0x2D)
_RXB0CTRL = const(0x60)
_RXB1CTRL = const(0x70)

_MODE_BITS = const(0xE0)
_MODE_CONFIG = const(0x80)
_BOTH_BUFFERS = const(0x03)
_FULL_PINS = const(0x0F)  # RX0BF and RX1BF show their buffer's interrupt
_ROLL_OVER = const(0x04)
_MESSAGE_ERROR = const(0x80)  # in CANINTF
_OVERFLOWS = const(0xC0)  # the rest in EFLG
_BUS_OFF = const(0x20)
_PASSIVE = const(0x18)
_WARNING = const(0x07)

_TRIES = const(50)  # of 100 us, for the crystal to start
_RETRY_POLLS = const(10)
_PS2 = {16: 3, 8: 2, 4: 1}  # quanta after the sample point: sampled at 81 % or 75 % of a bit


def find_timing(crystal_Hz, bitrate_bps):
    """Return (prescaler, sjw, prop, ps1, ps2) in quanta; ValueError if there is no exact one.

    Four quanta, 1 Mbit/s from 8 MHz, are below the data sheet's limits, though modules are sold
    with it.
    """
    prescaler = 1
    quanta = crystal_Hz // 2 // bitrate_bps
    while quanta > 16:
        prescaler *= 2
        quanta //= 2
    if quanta not in _PS2 or 2 * prescaler * quanta * bitrate_bps != crystal_Hz:
        raise ValueError("%d bit/s from a crystal of %d Hz" % (bitrate_bps, crystal_Hz))
    ps2 = _PS2[quanta]
    tseg1 = quanta - 1 - ps2
    prop = tseg1 // 2
    return prescaler, max(1, ps2 - 1), prop, tseg1 - prop, ps2


class Mcp2515:
    """One controller. Invariant: it sends nothing unless it was made with another mode."""

    MODE_NORMAL = 0x00
    MODE_LOOPBACK = 0x40
    MODE_SILENT = 0x60
    STATE_STOPPED = BUS_STOPPED
    STATE_ACTIVE = BUS_ACTIVE
    STATE_WARNING = BUS_WARNING
    STATE_PASSIVE = BUS_PASSIVE
    STATE_BUS_OFF = BUS_OFF
    FLAG_RTR = FLAG_RTR
    FLAG_EXT_ID = FLAG_EXT_ID
    FILTERS_MAX = 6

    def __init__(self, port, clock, crystal_Hz, bus=0, mode=MODE_SILENT):
        self.bus = bus
        self.bitrate_bps = 0
        self.answers = False
        self.counters = [0] * 8
        self.n_errors = 0  # of the bus since set_up, at least: one for each poll that saw any
        self._port = port
        self._clock = clock
        self._crystal_Hz = crystal_Hz
        self._mode = mode
        self._filters = None
        self._state = BUS_STOPPED
        self._running = False
        self._waits = 0
        self._untold = 0
        self._t_poll = 0
        self._buf = bytearray(16)
        self._view = memoryview(self._buf)
        self._data = bytearray(8)

    # Control plane

    def init(self, bitrate, mode=None):
        """Reset the chip and set it up; it receives from `set_filters` on."""
        if mode is not None:
            self._mode = mode
        self.bitrate_bps = bitrate
        self._state = BUS_STOPPED
        self.answers = False
        prescaler, sjw, prop, ps1, ps2 = find_timing(self._crystal_Hz, bitrate)
        timing = (ps2 - 1, 0x80 | (ps1 - 1) << 3 | prop - 1, sjw - 1 << 6 | prescaler - 1)
        self._buf[0] = _RESET
        self._port.transfer(self._buf, 1)
        if not self._reaches(_MODE_CONFIG):
            raise OSError("no CAN controller answers")
        self._write(_CNF3, *timing)
        self._write(_CANINTE, _BOTH_BUFFERS)
        self._write(_BFPCTRL, _FULL_PINS)
        self._write(_RXB0CTRL, _ROLL_OVER)
        self._write(_RXB1CTRL, 0)
        if bytes(self._read(_CNF3, 4)) != bytes(timing) + bytes((_BOTH_BUFFERS,)):
            raise OSError("the CAN controller does not keep its registers")
        self.answers = True

    def set_filters(self, filters):
        """Receive what passes one of the filters (id, mask, flags); None: all.

        ValueError if they do not fit, see `can_filters`. With filters, two frames that follow
        each other at once may be stored in the wrong order: buffer 1 is then filled without
        buffer 0 being full.
        """
        self._write(_CANSTAT + 1, _MODE_CONFIG)
        if not self._reaches(_MODE_CONFIG):
            raise OSError("the CAN controller stays in its mode")
        for address, value in filter_registers(filters):
            self._write(address, *value)
        self._filters = filters
        self._write(_CANSTAT + 1, self._mode)
        self._state = BUS_ACTIVE

    def state(self):
        """Return the STATE of the last poll."""
        return self._state

    def get_counters(self, result=None):
        """Return [TEC, REC, n_warning, n_passive, n_bus_off, 0, rx_pending, rx_overruns]."""
        result = [0] * 8 if result is None else result
        result[:] = self.counters
        return result

    def get_timings(self, result=None):
        """Return [bit rate, sjw, tseg1, tseg2, None, None]."""
        prescaler, sjw, prop, ps1, ps2 = find_timing(self._crystal_Hz, self.bitrate_bps)
        result = [0] * 6 if result is None else result
        result[:] = (self.bitrate_bps, sjw, prop + ps1, ps2, None, None)
        return result

    def restart(self):
        """Set the chip up again and forget the counters."""
        self.counters[:] = [0] * 8
        self.init(self.bitrate_bps)
        self.set_filters(self._filters)

    def deinit(self):
        """Stop receiving."""
        self.stop()

    # Capture plane

    @property
    def listen_only(self):
        """True if the controller sends nothing, not even an acknowledge."""
        return self._mode == self.MODE_SILENT

    def set_up(self, settings):
        """Take {"bitrate_bps", "ids"}: the identifiers to receive, None for all."""
        self.stop()
        self.bitrate_bps = settings["bitrate_bps"]
        ids = settings.get("ids")
        self._filters = cover_ids(ids) if ids else None
        self.counters[:] = [0] * 8
        self.n_errors = self._untold = 0

    def start(self, ring):
        """Receive into `ring` from now on."""
        self._running = True
        self._t_poll = self._clock.t_us()
        self._try_start()

    def stop(self):
        """Stop receiving."""
        self._port.stop()
        self._running = False
        self._state = BUS_STOPPED
        if self.answers:
            self._write(_CANSTAT + 1, _MODE_CONFIG)

    def poll(self, ring):
        """Look after the chip, ten times a second: lost frames into `ring`, states, counters."""
        if not self._running:
            return
        if not self.answers:
            self._waits -= 1
            if self._waits <= 0:
                self._revive(ring)
            return
        status, control = self._read(_CANSTAT, 2)
        if control != self._mode:
            self._revive(ring)
            return
        if self._port.is_stuck():
            self._port.wake()
        flags, errors = self._read(_CANINTF, 2)
        self.counters[6] = (flags & 1) + (flags >> 1 & 1)
        self.counters[0], self.counters[1] = self._read(_TEC, 2)
        overflows = errors & _OVERFLOWS
        if overflows:
            self._modify(_EFLG, overflows, 0)
            self._lost(ring, 2 if overflows == _OVERFLOWS else 1)
        elif self._untold:
            self._lost(ring, 0)
        if flags & _MESSAGE_ERROR:
            self._modify(_CANINTF, _MESSAGE_ERROR, 0)
            self.n_errors += 1
        self._enter(self._state_of(status, flags, errors))
        self._t_poll = self._clock.t_us()

    def _state_of(self, status, flags, errors):
        if status & _MODE_BITS != self._mode:
            return BUS_STOPPED
        if errors & _BUS_OFF:
            return BUS_OFF
        if errors & _PASSIVE:
            return BUS_PASSIVE
        if errors & _WARNING or flags & _MESSAGE_ERROR:
            return BUS_WARNING
        return BUS_ACTIVE

    def _enter(self, state):
        """Count every state on the way to a worse one, as if it had been polled there."""
        for passed in range(max(self._state + 1, BUS_WARNING), state + 1):
            self.counters[passed] += 1
        self._state = state

    def _lost(self, ring, n):
        """Count `n` frames that found both buffers full, and tell of them."""
        self.counters[7] += n
        self._untold += n
        ring.count_lost(self.bus, n)
        struct.pack_into("<II", self._data, 0, self._untold, self._t_poll & 0xFFFFFFFF)
        clock = self._clock
        clock.read()
        if ring.put_meta(clock.lo, clock.hi, META_GAP, GAP_CONTROLLER, self.bus, self._data):
            self._untold = 0

    def _revive(self, ring):
        """Set up a chip that was away or reset; tell since when it may have missed frames."""
        self._try_start()
        if self.answers:
            self._lost(ring, 0)

    def _try_start(self):
        self._port.stop()
        self._waits = _RETRY_POLLS
        try:
            self.init(self.bitrate_bps)
            self.set_filters(self._filters)
        except (OSError, ValueError):
            self.answers = False
            return
        self._port.start(self.bus)

    def _reaches(self, mode):
        for _ in range(_TRIES):
            if self._read(_CANSTAT, 1)[0] & _MODE_BITS == mode:
                return True
            self._port.wait_us(100)
        return False

    def _write(self, address, *values):
        self._buf[0] = _WRITE
        self._buf[1] = address
        for i, value in enumerate(values):
            self._buf[2 + i] = value
        self._port.transfer(self._buf, 2 + len(values))

    def _modify(self, address, mask, value):
        self._buf[0] = _BIT_MODIFY
        self._buf[1] = address
        self._buf[2] = mask
        self._buf[3] = value
        self._port.transfer(self._buf, 4)

    def _read(self, address, n):
        self._buf[0] = _READ
        self._buf[1] = address
        self._port.transfer(self._buf, 2 + n)
        return self._view[2 : 2 + n]
