"""The MCP2515 CAN controller: set-up, filters, states and counters.

`port` (`rp2_hot.HotPort`) takes the frames. `init` and `set_filters` raise OSError if the chip
does not answer; the rest says so in `answers` and tries again once a second.
"""

from drivers.can_filters import filter_registers
from drivers.can_source import CanSource
from slog import faults
from slog.layout import BUS_ACTIVE, BUS_OFF, BUS_PASSIVE, BUS_STOPPED, BUS_WARNING, const

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
_FULL_OUTPUTS = const(0x0C)  # they are outputs: bit 4 for RX0BF, bit 5 for RX1BF
_TX0_SENT = const(0x04)  # in CANINTE and CANINTF: a cause of INT that is ours alone to set
_ROLL_OVER = const(0x04)
_MESSAGE_ERROR = const(0x80)  # in CANINTF
_OVERFLOWS = const(0xC0)  # the rest in EFLG
_BUS_OFF = const(0x20)
_PASSIVE = const(0x18)
_WARNING = const(0x07)

_TRIES = const(50)  # of 100 us, for the crystal to start
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


class Mcp2515(CanSource):
    """One controller. Invariant: it sends nothing unless it was made with another mode."""

    MODE_NORMAL = 0x00
    MODE_LOOPBACK = 0x40
    MODE_SILENT = 0x60
    FILTERS_MAX = 6
    _SHARES = (2, 4)

    def __init__(self, port, clock, crystal_Hz, bus=0, mode=MODE_SILENT):
        super().__init__(port, clock, crystal_Hz, bus, mode)
        self._n_doubts = 0
        self._buf = bytearray(16)
        self._view = memoryview(self._buf)

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
        self._check_wires()
        self._write(_CANINTE, _BOTH_BUFFERS)
        self._write(_BFPCTRL, _FULL_PINS)
        self._write(_RXB0CTRL, _ROLL_OVER)
        self._write(_RXB1CTRL, 0)
        if bytes(self._read(_CNF3, 4)) != bytes(timing) + bytes((_BOTH_BUFFERS,)):
            raise OSError("the CAN controller does not keep its registers")
        self.answers = True

    def _check_wires(self):
        """Let the chip drive its pins, see which arrive and work with those. Nothing is sent."""
        port = self._port
        low = self.drive_pins()
        full = port.has_full_pins and [pins >> 1 for pins in low[:4]] == [3, 2, 1, 0]
        interrupt = [pins & 1 for pins in low[4:]] == [1, 0]
        port.use(full, interrupt)
        if full:
            self.wire_fault = faults.NONE if interrupt else faults.WIRE_INTERRUPT
        elif not interrupt:
            self.wire_fault = faults.WIRES
        else:
            self.wire_fault = faults.WIRE_FULL if port.has_full_pins else faults.NONE

    def drive_pins(self):
        """Let the chip drive RX0BF and RX1BF to the levels 0 to 3, then INT low and high; return
        which pins were low each time, as `port.low_pins` does. Only in configuration mode.
        """
        port = self._port
        low = []
        for level in range(4):
            self._write(_BFPCTRL, _FULL_OUTPUTS | level << 4)
            port.wait_us(5)
            low.append(port.low_pins())
        self._write(_CANINTE, _TX0_SENT)
        for value in (_TX0_SENT, 0):
            self._modify(_CANINTF, _TX0_SENT, value)
            port.wait_us(5)
            low.append(port.low_pins())
        return low

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

    def get_timings(self, result=None):
        """Return [bit rate, sjw, tseg1, tseg2, None, None]."""
        prescaler, sjw, prop, ps1, ps2 = find_timing(self._crystal_Hz, self.bitrate_bps)
        result = [0] * 6 if result is None else result
        result[:] = (self.bitrate_bps, sjw, prop + ps1, ps2, None, None)
        return result

    def _begin(self):
        self._port.start(self.bus)

    def _end(self):
        self._port.stop()
        if self.answers:
            self._write(_CANSTAT + 1, _MODE_CONFIG)

    def _poll_chip(self):
        """This SPI has no CRC: registers that we set are read with the others, and what looks
        wrong is read again before it is believed.
        """
        n_wrong = 0
        while n_wrong < 2:
            pins, _, status, control = self._read(_BFPCTRL, 4)
            enabled, flags, errors = self._read(_CANINTE, 3)
            is_ours = (pins, control, enabled) == (_FULL_PINS, self._mode, _BOTH_BUFFERS)
            if is_ours and not self._port.is_unheard(flags & _BOTH_BUFFERS):
                break
            n_wrong += 1
        overflows = errors & _OVERFLOWS if is_ours else 0
        if overflows and overflows != self._read(_EFLG, 1)[0] & overflows:
            self._n_doubts += 1
        elif overflows:
            self._modify(_EFLG, overflows, 0)
            self._lost(2 if overflows == _OVERFLOWS else 1)
        elif self._untold:
            self._lost(0)
        if n_wrong == 2:  # the chip is away or was reset, or a wire broke since the start
            self._revive()
            return
        self._n_doubts += n_wrong
        self.doubts = self._n_doubts + self._port.n_doubts()
        if self._port.is_stuck():
            self._port.wake()
        self.counters[6] = (flags & 1) + (flags >> 1 & 1)
        self.counters[0], self.counters[1] = self._read(_TEC, 2)
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
