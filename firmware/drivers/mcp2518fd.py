"""The MCP2518FD CAN controller: frames from its FIFO, stamped by the chip itself; classic ones, 32
at most, or with CAN FD, 26.

CAN FD where the settings of the bus have a `data_bitrate_bps`: then the ring must be an `FdRing`.
Without it, a frame of CAN FD that the chip understands by chance is an error and not stored.

For boards whose interrupts come late: what matters is that `drain` is called before 32 frames have
come, not when exactly. `drain` changes the ring: it may be called wherever nothing else does, and
the ring must be a `PolledRing`, which calls it before a record of another kind.

`port` has transfer(view), which exchanges bytes in place with chip select low, repeat(view, n),
which sends the same bytes so many times, and wait_us(us).
`init` and `set_filters` raise OSError if the chip does not answer; the rest says so in `answers`
and tries again once a second.

An object counts only if its stamp lies between that of the newest frame and the chip's time now:
FIFOCI, which says how many there are, may be read too large. Places are given back for those
alone; a reading with others behind them counts in `n_head_errors`: every such chip has them. The
oldest of a FIFO that is not empty is new, so a stamp of its own that is not counts in `doubts`.

A burst of objects carries the chip's CRC; one that is wrong is read again, and counts in `doubts`
when it is wrong twice. Registers are read without: what is wrong in a stamp or in the mode is
noticed and read again. `mcp2518fd_hot` does what is done for each byte.

Sources: data sheet DS20006027B; MCP25XXFD family reference manual DS20005678E, section 4; errata
DS80000789, item 6 (FIFOCI).
"""

import struct
from array import array

from drivers.can_filters import FLAG_EXT_ID
from drivers.can_source import CanSource
from drivers.fd_ring import length_of
from drivers.mcp2518fd_hot import (
    BUS,
    CLOCK,
    COMMAND,
    N_WORDS,
    NEWEST,
    NOW,
    OBJECTS,
    OFFSET,
    has_crc,
)
from slog.layout import (
    BUS_ACTIVE,
    BUS_OFF,
    BUS_PASSIVE,
    BUS_STOPPED,
    BUS_WARNING,
    TIME_BITS,
    const,
)
from slog.native import micropython, words_of

DEPTH = const(32)
OBJECT_BYTES = const(20)  # identifier, control, time stamp, 8 data bytes
FD_DEPTH = const(26)  # what 2 KiB hold
FD_OBJECT_BYTES = const(76)
_FD_MOST = const(13)  # in one burst: its length has 8 bits, in words

_RESET = const(0x0)
_WRITE = const(0x2)
_READ = const(0x3)
_READ_CRC = const(0xB)

_CON = const(0x000)
_NBTCFG = const(0x004)  # DBTCFG follows
_DBTCFG = const(0x008)
_TBC = const(0x010)
_TSCON = const(0x014)
_INT = const(0x01C)
_TREC = const(0x034)  # BDIAG0 follows
_BDIAG0 = const(0x038)
_FIFOCON1 = const(0x05C)
_FIFOSTA1 = const(0x060)  # FIFOUA1 follows
_FLTCON = const(0x1D0)
_FLTOBJ = const(0x1F0)  # MASK follows
_RAM = const(0x400)
_RAM_BYTES = const(2048)
_OSC = const(0xE00)

_CONFIG = const(4)  # REQOP and OPMOD
_ISO = const(0x0060)  # of CON, as after a reset: CRC of ISO 11898-1:2015, no protocol exceptions
_OSC_READY = const(0x04)  # in byte 1
_STAMP_AT_END = const(0x03 << 16)  # TBCEN, TSEOF
_FIFO_LOW = const(1 << 5)  # receive, time stamps
_FIFO_HIGH = const((DEPTH - 1) << 8)  # payload of 8
_FD_FIFO_HIGH = const(7 << 13 | (FD_DEPTH - 1) << 8)  # payload of 64
_FDF = const(0x80)
_UINC = const(0x01)  # in byte 1
_RXIE = const(0x02)  # in byte 2
_NOT_EMPTY = const(0x01)
_FULL = const(0x04)
_OVERFLOW = const(0x08)
_INVALID = const(0x80)  # IVMIF in byte 1

_TRIES = const(50)  # of 100 us, for the crystal to start
_LOW = (1 << TIME_BITS) - 1
_LATER = 1 << TIME_BITS - 1  # 134 s: a stamp further ahead is an earlier one
_SETTLED_US = const(1000)  # an object is in the FIFO so long after its stamp at the latest


def find_timing(crystal_Hz, bitrate_bps, least=8, most=385):
    """Return (prescaler, sjw, tseg1, tseg2) in quanta, sampled at 80 %; ValueError if there is no
    exact one of `least` to `most` quanta.
    """
    for prescaler in range(1, 257):
        quanta = crystal_Hz // prescaler // bitrate_bps
        if least <= quanta <= most and prescaler * quanta * bitrate_bps == crystal_Hz:
            tseg2 = max(1, quanta // 5)
            return prescaler, tseg2, quanta - 1 - tseg2, tseg2
    raise ValueError("%d bit/s from a crystal of %d Hz" % (bitrate_bps, crystal_Hz))


class Mcp2518fd(CanSource):
    """One controller. Invariant: frames reach the ring in the order in which they ended."""

    MODE_NORMAL = 6
    MODE_LOOPBACK = 2
    MODE_SILENT = 3
    FILTERS_MAX = 32
    _SHARES = (16, 16)

    def __init__(self, port, clock, crystal_Hz, bus=0, mode=MODE_SILENT):
        super().__init__(port, clock, crystal_Hz, bus, mode)
        self._offset = None  # from the chip's time to ours, 28 bits
        self._n_chip_errors = 0
        self._chip_now = 0
        self._newest = 0  # stamp of the newest frame, or a time after which none was older
        self._is_refused = False  # the oldest object had no stamp that can be right
        self.n_head_errors = 0  # readings of FIFOCI that were too large, since power-on
        self._data_bps = 0  # of CAN FD, 0 without
        self._payload = bytearray(8)
        self._words = array("I", [0] * N_WORDS)
        self._buf = bytearray(2 + 4 * 2)
        view = memoryview(self._buf)
        self._views = [view[: 2 + 4 * n] for n in range(3)]
        self._byte_view = view[:3]
        self._uinc = bytearray((_WRITE << 4, _FIFOCON1 + 1, _UINC))
        self._burst = bytearray(OBJECTS + _FD_MOST * FD_OBJECT_BYTES + 4)  # CRC behind
        self._burst_words = words_of(self._burst)
        self._shape(DEPTH, OBJECT_BYTES, DEPTH)

    def set_up(self, settings):
        """As CanSource; with {"data_bitrate_bps"} CAN FD."""
        super().set_up(settings)
        self._data_bps = settings.get("data_bitrate_bps") or 0
        if self._data_bps:
            self._shape(FD_DEPTH, FD_OBJECT_BYTES, _FD_MOST)
        else:
            self._shape(DEPTH, OBJECT_BYTES, DEPTH)

    def start(self, ring):
        """As CanSource."""
        if self._data_bps:
            ring.hold_fd()
        super().start(ring)

    def _shape(self, depth, n_bytes, most):
        """Read `depth` objects of `n_bytes`, up to `most` at a time."""
        self._depth = depth
        self._object_bytes = n_bytes
        view = memoryview(self._burst)
        self._bursts = [view[COMMAND : OBJECTS + n * n_bytes + 2] for n in range(most + 1)]

    def init(self, bitrate, mode=None):
        """Reset the chip and set it up; it receives from `set_filters` on."""
        if mode is not None:
            self._mode = mode
        self.bitrate_bps = bitrate
        self._state = BUS_STOPPED
        self.answers = False
        self._offset = None
        timing = _timing(*find_timing(self._crystal_Hz, bitrate))
        if self._data_bps:
            fast = _timing(*find_timing(self._crystal_Hz, self._data_bps, 5, 49))
        self._write(_CON, _ISO, _CONFIG << 8)  # a reset is allowed in this mode only
        if not self._reaches_mode(_CONFIG):
            raise OSError("the CAN controller stays in its mode")
        self._buf[0] = self._buf[1] = _RESET
        self._port.transfer(self._views[0])
        if not self._reaches(_OSC, 1, 0xFF, _OSC_READY) or not self._reaches_mode(_CONFIG):
            raise OSError("no CAN controller answers")
        self._write(_CON, _ISO, _CONFIG << 8)  # no transmit queue, no event FIFO
        self._write(_NBTCFG, *timing)
        if self._data_bps:
            self._write(_DBTCFG, *fast)
        prescaler = self._crystal_Hz // 1_000_000 - 1
        self._write(_TSCON, prescaler, _STAMP_AT_END >> 16)
        self._write(_FIFOCON1, _FIFO_LOW, _FD_FIFO_HIGH if self._data_bps else _FIFO_HIGH)
        self._write(_INT, 0, _RXIE)
        self._write(_BDIAG0, 0, 0)
        self._forget_objects()
        self._n_chip_errors = 0
        buf = self._read(_NBTCFG, 2)
        is_kept = struct.unpack_from("<HH", buf, 2) == timing
        if self._data_bps:
            is_kept = is_kept and struct.unpack_from("<HH", buf, 6) == fast
        if not is_kept:
            raise OSError("the CAN controller does not keep its registers")
        self.answers = True

    def set_filters(self, filters):
        """Receive what passes one of the filters (id, mask, flags); None: all. ValueError for more
        than FILTERS_MAX, for another flag than FLAG_EXT_ID, and for an id that is too long.
        """
        listed = ((0, 0, None),) if filters is None else filters
        if len(listed) > self.FILTERS_MAX:
            raise ValueError("more than 32 filters")
        for _, _, flags in listed:
            if flags not in (None, 0, FLAG_EXT_ID):
                raise ValueError("invalid id")
        self._write(_CON, _ISO, _CONFIG << 8)
        if not self._reaches_mode(_CONFIG):
            raise OSError("the CAN controller stays in its mode")
        for i in range(self.FILTERS_MAX):
            self._write_byte(_FLTCON + i, 0)
        for i, (can_id, mask, flags) in enumerate(listed):
            at = _FLTOBJ + 8 * i
            self._write(at, *_packed(can_id, flags, flags == FLAG_EXT_ID))
            self._write(at + 4, *_packed(mask, flags, flags is not None))
            self._write_byte(_FLTCON + i, 0x81)  # on, into FIFO 1
        self._filters = filters
        self._write(_CON, _ISO, self._mode << 8)
        self._state = BUS_ACTIVE

    def get_timings(self, result=None):
        """Return [bit rate, sjw, tseg1, tseg2, None, None]."""
        _, sjw, tseg1, tseg2 = find_timing(self._crystal_Hz, self.bitrate_bps)
        result = [0] * 6 if result is None else result
        result[:] = (self.bitrate_bps, sjw, tseg1, tseg2, None, None)
        return result

    @micropython.native
    def drain(self):
        """Bring what the chip holds into the ring; return how many frames that were."""
        if self._ring is None or not self.answers:
            return 0
        buf = self._read(_FIFOSTA1, 2)
        if buf[2] & _NOT_EMPTY == 0 or buf[2] == 0xFF:
            return 0
        depth = self._depth
        tail = (buf[6] | buf[7] << 8) // self._object_bytes
        n = depth if buf[2] & _FULL else (buf[3] - tail) % depth
        if tail >= depth:
            return 0
        self.counters[6] = n
        self._compare_clocks()
        n_taken = 0
        while n_taken < n:
            at = (tail + n_taken) % depth
            most = min(n - n_taken, depth - at, len(self._bursts) - 1)
            n_got = self._take(at, most, n_taken == 0)
            n_taken += n_got
            if n_got < most:
                break
        return n_taken

    def _forget_objects(self):
        """Clear the stamps of an earlier life: the memory keeps them, the time begins anew."""
        view = memoryview(self._burst)[: 2 + _RAM_BYTES // 4]
        for address in range(_RAM, _RAM + _RAM_BYTES, _RAM_BYTES // 4):
            for i in range(len(view)):
                view[i] = 0
            view[0] = _WRITE << 4 | address >> 8
            self._port.transfer(view)
        self._newest = 0
        self._is_refused = False

    def _begin(self):
        """Nothing to do: frames are fetched."""

    def _end(self):
        self.drain()
        if self.answers:
            self._write(_CON, _ISO, _CONFIG << 8)

    def _poll_chip(self):
        buf = self._read(_CON, 1)
        mode, wanted = buf[4] >> 5, buf[5] & 7
        if wanted != self._mode:
            if self._read(_CON, 1)[5] & 7 != self._mode:
                self._revive()
                return
            self.doubts += 1
        before = (self._chip_time() - _SETTLED_US) & _LOW
        state = self._read(_FIFOSTA1, 1)[2]
        if not state & _NOT_EMPTY and (before - self._newest) & _LOW < _LATER:
            self._newest = before
        if state & _OVERFLOW:
            self._write_byte(_FIFOSTA1, 0)
            self._lost(1)
        elif self._untold:
            self._lost(0)
        is_invalid = self._read(_INT, 1)[3] & _INVALID
        if is_invalid:
            self._write_byte(_INT + 1, 0)
        buf = self._read(_TREC, 2)
        self.counters[0], self.counters[1] = buf[3], buf[2]
        n_seen = buf[6] + buf[8]  # at the rate of the bus, at that of the data
        n_new = (n_seen - self._n_chip_errors) & 0xFF
        self._n_chip_errors = n_seen
        self.n_errors += n_new or int(is_invalid != 0)
        self._enter(self._state_of(mode, buf[4], n_new or is_invalid))
        self._t_poll = self._clock.t_us()

    def _state_of(self, mode, flags, is_noisy):
        if mode != self._mode:
            return BUS_STOPPED
        if flags & 0x20:
            return BUS_OFF
        if flags & 0x18:
            return BUS_PASSIVE
        return BUS_WARNING if flags & 0x07 or is_noisy else BUS_ACTIVE

    @micropython.native
    def _compare_clocks(self):
        """Bring the offset from the chip's time to ours nearer to what it is now, by 1 us: its
        crystal drifts slowly, but how long it takes to ask varies.
        """
        chip = self._chip_now = self._chip_time()
        self._clock.read()
        now = (self._clock.lo - chip) & _LOW
        if self._offset is None:
            self._offset = now
            return
        off = (now - self._offset) & _LOW
        if 1000 < off < _LOW - 1000:
            self._offset = now
        elif off:
            self._offset = (self._offset + (1 if off <= 1000 else -1)) & _LOW

    @micropython.native
    def _chip_time(self):
        buf = self._read(_TBC, 1)
        return buf[2] | buf[3] << 8 | buf[4] << 16 | (buf[5] & 15) << 24

    @micropython.native
    def _take(self, index, n, has_oldest):
        """Read `n` objects from `index` on in one piece, give the places of the new ones back and
        return how many these are. One that was refused as the oldest is taken the second time: the
        FIFO is not empty, so it is new whatever its stamp says.
        """
        if not (self._fetch(index, n) or self._fetch(index, n)):
            self.doubts += 1
            return 0
        words = self._words  # one by one: a tuple would take heap
        clock = self._clock
        ring = self._ring
        buf = self._burst
        words[NEWEST] = self._newest
        words[NOW] = self._chip_now
        words[OFFSET] = self._offset
        words[CLOCK] = clock.lo
        words[BUS] = self.bus
        n_taken = 0
        while n_taken < n:
            at = OBJECTS + n_taken * self._object_bytes
            n_quick = 0
            if not self._is_refused:
                n_quick = ring.take(self._burst_words, at, n - n_taken, words, clock)
            if n_quick:
                n_taken += n_quick
                continue
            stamp = buf[at + 8] | buf[at + 9] << 8 | buf[at + 10] << 16 | (buf[at + 11] & 15) << 24
            is_later = 0 < (stamp - words[NEWEST]) & _LOW < _LATER
            is_past = (self._chip_now - stamp) & _LOW < _LATER
            if not (is_later and is_past or self._is_refused):
                self._is_refused = has_oldest and n_taken == 0
                if self._is_refused:
                    self.doubts += 1
                else:
                    self.n_head_errors += 1
                break
            self._is_refused = False
            words[NEWEST] = stamp
            n_taken += 1
            self._put(buf, at, stamp)
        self._newest = words[NEWEST]
        self._port.repeat(self._uinc, n_taken)
        return n_taken

    @micropython.native
    def _fetch(self, index, n):
        """Read `n` objects from `index` on; return whether they came as they were sent."""
        n_bytes = self._object_bytes
        address = _RAM + index * n_bytes
        burst = self._burst
        high = burst[COMMAND] = _READ_CRC << 4 | address >> 8
        low = burst[COMMAND + 1] = address & 0xFF
        n_words = burst[COMMAND + 2] = n * n_bytes >> 2
        self._port.transfer(self._bursts[n])
        burst[COMMAND] = high  # the exchange has put other bytes there
        burst[COMMAND + 1] = low
        burst[COMMAND + 2] = n_words
        return has_crc(burst, OBJECTS + n * n_bytes)

    def _put(self, buf, at, stamp):
        can_id = buf[at] | (buf[at + 1] & 7) << 8
        control = buf[at + 4]
        kind = self.bus
        if control & 0x10:
            can_id = can_id << 18 | buf[at + 1] >> 3 | buf[at + 2] << 5 | (buf[at + 3] & 31) << 13
            kind |= 4
        lo = (stamp + self._offset) & _LOW
        clock = self._clock
        hi = clock.hi
        if (clock.lo - lo) & _LOW > _LOW >> 1:
            lo = clock.lo  # the offset was a little ahead
        elif lo > clock.lo:
            hi -= 1
        if control & _FDF:
            if not self._data_bps:
                self.n_errors += 1
                return
            first = control & 15 | (control & 0x40) >> 2 | (buf[at + 5] & 1) << 5
            n = length_of(control & 15)
            self._ring.put_fd(lo, hi, can_id, kind, first, buf, at + 12, n)
            return
        n = dlc = min(control & 15, 8)
        if control & 0x20:
            kind |= 2
            n = 0
        data = self._payload
        for i in range(8):
            data[i] = buf[at + 12 + i] if i < n else 0
        self._ring.put_frame(lo, hi, can_id, kind, dlc, data)

    def _reaches_mode(self, mode):
        return self._reaches(_CON, 2, 0xE0, mode << 5)

    def _reaches(self, address, at, mask, wanted):
        for _ in range(_TRIES):
            if self._read(address, 1)[2 + at] & mask & 0xFF == wanted & 0xFF:
                return True
            self._port.wait_us(100)
        return False

    @micropython.native
    def _address(self, command, address):
        self._buf[0] = command << 4 | address >> 8
        self._buf[1] = address & 0xFF

    @micropython.native
    def _read(self, address, n):
        """Return a buffer with `n` words from its third byte on."""
        self._address(_READ, address)
        self._port.transfer(self._views[n])
        return self._buf

    def _write(self, address, low, high):
        """Write a word, in two halves so that nothing allocates."""
        self._address(_WRITE, address)
        struct.pack_into("<HH", self._buf, 2, low, high)
        self._port.transfer(self._views[1])

    def _write_byte(self, address, value):
        self._address(_WRITE, address)
        self._buf[2] = value
        self._port.transfer(self._byte_view)


def _timing(prescaler, sjw, tseg1, tseg2):
    """Return NBTCFG or DBTCFG as two halves."""
    return (tseg2 - 1) << 8 | sjw - 1, (prescaler - 1) << 8 | tseg1 - 1


def _packed(value, flags, is_kind):
    """Return a filter object or mask as two halves: identifier and whether the kind counts."""
    if flags == FLAG_EXT_ID:
        if value >> 29:
            raise ValueError("invalid id")
        word = (value >> 18 & 0x7FF) | (value & 0x3FFFF) << 11
    else:
        if value >> 11:
            raise ValueError("invalid id")
        word = value
    return word & 0xFFFF, word >> 16 | (0x4000 if is_kind else 0)
