"""CAN received by the RP2040 itself: a transceiver's RXD on a pin, no controller.

A state machine of a PIO block samples the bus once a bit and synchronises on each edge to dominant
that follows a recessive bit. One DMA channel puts its words into a ring in memory; after each four
a second one puts the timer beside them and starts the first again. So neither the processor nor
an interrupt has a part in it, and the bits wait for as long as the ring lasts. The main loop calls
`drain`, which turns them into records (`pio_receive`). While it does something longer, such as a
garbage collection, an interrupt does that for it (`pio_drain`).

The pin is an input and stays one: no output of the chip is ever connected to it, and the pad's own
output driver is disabled, which overrules whoever would enable it.

Where a bit is sampled, of 125 clocks: after an edge to dominant and in dominant bits at 76 (61 %),
so that an edge to recessive may come 0.39 of a bit early or 0.61 late; in recessive bits the edge
to dominant may come up to 94 (75 %).
"""

import time
from array import array

import machine
import rp2
import uctypes
from micropython import const

from drivers.can_filters import FLAG_EXT_ID
from drivers.can_source import CanSource
from drivers.pio_drain import drain, shared, tick
from drivers.pio_receive import make_state
from drivers.pio_tick import Tick
from drivers.rp2_hot import HotRing
from drivers.rp2_receive import hot
from slog.layout import BUS_ACTIVE, BUS_STOPPED, BUS_WARNING

_PIO = const(0x50200000)
_SET = const(0x2000)  # added to an address: set, clear the bits written
_CLEAR = const(0x3000)
_FDEBUG = const(0x008)  # bits 3..0: a machine found its FIFO full
_RXF = const(0x020)
_MEMORY = const(0x048)
_MACHINE = const(0x0C8)  # CLKDIV, EXECCTRL, SHIFTCTRL, ADDR, INSTR, PINCTRL of machine 0
_MACHINE_BYTES = const(24)
_AUTOPUSH = const(1 << 16)
_RESTART = const(0x110)
_DREQ_RX = const(4)
_DMA = const(0x50000000)
_DMA_ABORT = const(0x50000444)
_TIMER_LOW = const(0x40054028)
_PAD_SET = const(0x4001E004)  # of GPIO 0: bits written are set; the next pin 4 bytes on
_OUTPUT_DISABLE = const(1 << 7)
# High priority, words, the write address rises and wraps, no interrupt.
_CONTROL = const(1 << 21 | 1 << 10 | 1 << 5 | 2 << 2 | 1 << 1 | 1)
_BYTES_TURNED = const(1 << 22)
_UNPACED = const(63 << 15)

_CLOCKS = const(125)  # of the machine in a bit
_PROGRAM = (
    #            recessive:  (the last sample was)
    0xA027,  # 0   mov x, osr                60
    0x00C3,  # 1 watch: jmp pin, still
    0x0005,  # 2   jmp fall
    0x0041,  # 3 still: jmp x--, watch
    0x4141,  # 4   in y, 1         [1]       1; wraps to 0
    0xE031,  # 5 fall: set x, 17
    0x0346,  # 6 wait: jmp x--, wait [3]
    0x4001,  # 7   in pins, 1
    0x00CB,  # 8   jmp pin, rise
    0xE13D,  # 9   set x, 29       [1]
    0x0006,  # 10  jmp wait
    0x1100,  # 11 rise: jmp recessive [17]
)
_WRAP = const(4)
# Executed once: OSR = 60, ISR empty, Y = 1, begin at 0.
_SET_UP = (0xE021, 0x4025, 0xE03C, 0x4025, 0xA0E6, 0xA0C3, 0xE041, 0x0000)

# Words of `pio_receive`.
_W_POS = const(5)
_W_MASK = const(7)
_W_RAW = const(8)
_W_STAMPS = const(9)
_W_STAMP_MASK = const(10)
_W_RUN = const(11)
_W_AFTER = const(12)
_W_STATE = const(15)
_W_MEMORY = const(16)
_W_HOT = const(17)
_W_BUS = const(18)
_W_FIRST_COUNTER = const(32)
_W_LAST_COUNTER = const(39)
_W_STAMPER = const(46)  # address of the second DMA channel
_W_LAP_US = const(47)  # the shortest time in which the ring goes round
_W_T_POS = const(48)  # the stamp before POS, or the start of the frame at POS
_W_FILTERS = const(50)
_W_N_FILTERS = const(51)
_W_SPAN_US = const(52)
_T_HELD = const(0)  # words of `pio_drain.shared`
_T_FIRST = const(1)
_T_OTHER = const(2)
_T_MASK = const(3)
_EXTENDED = const(1 << 31)  # in the second word of a record
_TRIES = const(4)  # at the end, while bits are overwritten
_N_ERRORS = const(4)  # of the counters, those that are errors; no acknowledge ends as a form error

_H_STATE = const(6)
_H_MEMORY = const(7)


def find_divider(clock_Hz, bitrate_bps):
    """Return the machine's divider in 1/256; ValueError if there is none within 0.1 %."""
    divider = (256 * clock_Hz + _CLOCKS * bitrate_bps // 2) // (_CLOCKS * bitrate_bps)
    error = divider * _CLOCKS * bitrate_bps - 256 * clock_Hz
    if not 256 <= divider < 1 << 24 or abs(error) * 1000 > 256 * clock_Hz:
        raise ValueError("%d bit/s from a clock of %d Hz" % (bitrate_bps, clock_Hz))
    return divider


class PioRing(HotRing):
    """A HotRing whose frames come from `drain`s and ticks. Frames that came before a meta record
    are decoded before it is stored.
    """

    def __init__(self, n_blocks=0):
        super().__init__(n_blocks)
        self.fetch = None

    def put_meta(self, lo, hi, kind, arg, bus, data):
        """As HotRing."""
        if self.fetch is not None:
            self.fetch()
        was = shared[_T_HELD]
        shared[_T_HELD] = 1
        is_put = super().put_meta(lo, hi, kind, arg, bus, data)
        shared[_T_HELD] = was
        return is_put

    def close_block(self):
        """As HotRing."""
        was = shared[_T_HELD]
        shared[_T_HELD] = 1
        super().close_block()
        shared[_T_HELD] = was


class PioCan(CanSource):
    """One bus on one pin. Invariant: the chip drives nothing on it.

    partner   the receiver of another bus with the same ring: both are drained together, so that
              records are in the order of time
    """

    MODE_SILENT = 1
    FILTERS_MAX = 64
    _SHARES = (32, 32)

    def __init__(self, pin, clock, raw, bus=0, partner=None):
        super().__init__(None, clock, machine.freq(), bus, self.MODE_SILENT)
        self._partner = partner
        if partner is None:
            self._ticker = Tick(tick)
            shared[_T_MASK] = self._ticker.mask
        else:
            partner._partner = self
            self._ticker = partner._ticker
        self._number = pin
        self._pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        machine.mem32[_PAD_SET + 4 * pin] = _OUTPUT_DISABLE
        self._raw = raw
        self._words = words = make_state()
        self._at = uctypes.addressof(words)
        self._dma = (rp2.DMA(), rp2.DMA())
        words[_W_MASK] = 8 * raw.n_bytes - 1
        words[_W_RAW] = raw.raw
        words[_W_STAMPS] = raw.stamps
        words[_W_STAMP_MASK] = raw.n_bytes // 4 - 1
        words[_W_HOT] = uctypes.addressof(hot)
        words[_W_BUS] = bus
        self._machine = _PIO + _MACHINE + bus * _MACHINE_BYTES
        self._numbers = [dma.channel for dma in self._dma]  # type: ignore[attr-defined]
        self._channels = [_DMA + 64 * number for number in self._numbers]
        words[_W_STAMPER] = self._channels[1]
        self._listens = False
        self._n_seen = 0
        self._missed_us = 0
        self._is_late = False  # since the last gap record
        self._is_recorded_now = False
        self._finder = None

    def init(self, bitrate, mode=None):
        """Set the state machine up; it samples from `start` on. ValueError if it cannot."""
        self.answers = False
        self._state = BUS_STOPPED
        divider = find_divider(self._crystal_Hz, bitrate)
        self.bitrate_bps = bitrate
        mem = machine.mem32
        mem[_PIO + _CLEAR] = 1 << self.bus
        for i, word in enumerate(_PROGRAM):
            mem[_PIO + _MEMORY + 4 * i] = word
        at = self._machine
        mem[at] = divider << 8
        mem[at + 4] = self._number << 24 | _WRAP << 12
        mem[at + 8] = 1 << 31  # both FIFOs for receiving
        mem[at + 20] = self._number << 15
        mem[_PIO + _SET] = _RESTART << self.bus
        for word in _SET_UP:
            mem[at + 16] = word
        mem[at + 8] = 1 << 31 | _AUTOPUSH
        # The time in which the ring goes round at the fastest, 2 % early.
        self._words[_W_LAP_US] = 8 * self._raw.n_bytes * 980 // bitrate * 1000
        self._words[_W_SPAN_US] = (128_000_000 + bitrate // 2) // bitrate
        self.answers = True

    def set_filters(self, filters):
        """Store the frames that agree with one of (id, mask, flags); None: all."""
        pairs = array("I")
        for can_id, mask, flags in filters or ():
            pairs.append(can_id | (_EXTENDED if flags & FLAG_EXT_ID else 0))
            pairs.append(mask | _EXTENDED)
        self._pairs = pairs
        self._words[_W_N_FILTERS] = len(pairs) // 2
        self._words[_W_FILTERS] = uctypes.addressof(pairs) if pairs else 0
        self._state = BUS_ACTIVE

    def set_up(self, settings):
        """As CanSource."""
        super().set_up(settings)
        for i in range(_W_FIRST_COUNTER, _W_LAST_COUNTER + 1):
            self._words[i] = 0
        self._missed_us = 0
        self._is_late = False

    def counts(self):
        """As CanSource."""
        counts = [self._words[i] for i in range(_W_FIRST_COUNTER, _W_LAST_COUNTER + 1)]
        counts.append(self._missed_us)
        return counts

    def measured_rate(self):
        """As CanSource."""
        if self._finder is None:
            from drivers.pio_rate import RateFinder  # seldom needed

            self._finder = RateFinder(self._number, 2 + self.bus)
        if not self._finder.is_done:
            return None
        rate = self._finder.rate()
        self._finder.close()
        self._finder = None
        return rate

    def drain(self):
        """Bring what has come into the ring of blocks. Call it at least every 100 ms."""
        if self._listens:
            self._take(0)
        elif self._partner is not None and self._partner._listens:
            self._partner._take(0)

    def stop(self):
        """Stop receiving, after the frames that have ended by now."""
        if self._listens:
            # Bits come to the ring in pieces of 128, a frame begun is decoded when 192 are there.
            slowest_bps = self.bitrate_bps
            if self._partner is not None and self._partner._listens:
                slowest_bps = min(slowest_bps, self._partner.bitrate_bps)
            time.sleep_us(400_000_000 // slowest_bps)
            for _ in range(_TRIES):
                if not self._take(1):
                    break
            self._record_lap()
        super().stop()

    def _take(self, force):
        """Decode, with the partner if it listens; return whether bits had been overwritten."""
        other = self._partner
        shared[_T_HELD] = 1
        if other is None or not other._listens:
            late = drain(self._at, 0, force)
        else:
            late = drain(self._at, other._at, force)
        if late:
            (self if late == 1 else other)._lap()
        shared[_T_HELD] = 0
        if late:
            (self if late == 1 else other)._record_lap()
        return late

    def _record_lap(self):
        """Record that bits were overwritten. What has come since is decoded first, so this comes
        by here again if the bus is late once more: that is recorded at the next poll.
        """
        if self._is_late and not self._is_recorded_now:
            self._is_late = False
            self._is_recorded_now = True
            self._lost(0)
            self._is_recorded_now = False

    def _share(self):
        """Let the tick decode the buses that listen, if there are any."""
        listening = [can for can in (self, self._partner) if can is not None and can._listens]
        addresses = [can._at for can in listening] + [0, 0]
        was = shared[_T_FIRST]
        shared[_T_HELD] = 1
        shared[_T_FIRST], shared[_T_OTHER] = addresses[:2]
        shared[_T_HELD] = 0
        if listening and not was:
            self._ticker.start()
        elif was and not listening:
            self._ticker.stop()

    def _begin(self):
        words = self._words
        mem = machine.mem32
        words[_W_STATE] = hot[_H_STATE]
        words[_W_MEMORY] = hot[_H_MEMORY]
        words[_W_POS] = words[_W_RUN] = words[_W_AFTER] = 0
        bits = self._raw.log2_bytes
        mover, stamper = self._channels
        numbers = self._numbers
        mem[stamper] = _TIMER_LOW
        mem[stamper + 4] = self._raw.stamps
        mem[stamper + 8] = 1
        mem[stamper + 16] = _CONTROL | bits - 2 << 6 | numbers[0] << 11 | _UNPACED
        mem[mover] = _PIO + _RXF + 4 * self.bus
        mem[mover + 4] = self._raw.raw
        mem[mover + 8] = 4
        request = _DREQ_RX + self.bus << 15
        mem[mover + 12] = _CONTROL | bits << 6 | numbers[1] << 11 | request | _BYTES_TURNED
        mem[_PIO + _FDEBUG] = 1 << self.bus
        mem[_PIO + _SET] = 1 << self.bus
        now = mem[_TIMER_LOW]
        mem[self._raw.stamps + self._raw.n_bytes // 4 - 4] = now
        words[_W_T_POS] = now
        self._n_seen = self._n_bad()
        self._listens = True
        self._share()

    def _end(self):
        self._listens = False
        self._share()
        mem = machine.mem32
        mem[_PIO + _CLEAR] = 1 << self.bus
        for at in self._channels:
            mem[at + 16] = 0  # disabled, so that ending one does not start the other
        mem[_DMA_ABORT] = 1 << self._numbers[0] | 1 << self._numbers[1]
        while mem[_DMA_ABORT]:
            pass

    def _poll_chip(self):
        self.drain()
        if self._untold:
            self._lost(0)
        self._record_lap()
        if machine.mem32[_PIO + _FDEBUG] >> self.bus & 1:
            machine.mem32[_PIO + _FDEBUG] = 1 << self.bus
            self.doubts += 1  # the DMA did not keep up: bits are missing
            self._lost(0)
        n = self._n_bad()
        self.n_errors += n - self._n_seen
        self._enter(BUS_ACTIVE if n == self._n_seen else BUS_WARNING)
        self._n_seen = n
        self._t_poll = self._clock.t_us()

    def _n_bad(self):
        """Return how many errors were counted."""
        return sum(self.counts()[:_N_ERRORS])

    def _lap(self):
        """Bits were overwritten: continue with the oldest that are whole."""
        words = self._words
        mask = words[_W_MASK]
        end = (machine.mem32[self._channels[1] + 4] - self._raw.stamps) << 5 & mask
        pos = end + (mask + 1 >> 4) & mask
        words[_W_POS] = pos
        words[_W_RUN] = words[_W_AFTER] = 0
        before = (pos >> 7) - 1 & words[_W_STAMP_MASK] >> 2
        t = machine.mem32[self._raw.stamps + 4 * before]
        self._missed_us += t - words[_W_T_POS] & 0xFFFFFFFF
        words[_W_T_POS] = t
        self._is_late = True
