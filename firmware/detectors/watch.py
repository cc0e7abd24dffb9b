"""The watch: the latest payload of every watched message, and a clock of 10 ms made of the frames.

Owns the store of payloads and when it was filled. Time is that of the records, never a clock's: a
tick is done when the first frame after it is read, so the host repeats every step from the log.
A pause of more than a second is not ticked through; `on_resume(seconds)` is called instead.
"""

from array import array

from slog import signal_table as st
from slog.layout import TIME_BITS, const
from slog.native import micropython, ptr8, ptr32

TICK_US = const(10_000)
_PAUSE_US = const(1_000_000)
_LOW = const(0x0FFFFFFF)  # the bits of a record's time, held to TIME_BITS by a test
_HALF = const(0x08000000)
# Words of the watch that `_take` needs.
_DUE = const(0)  # time of the next tick, bits 27..0
_TICK = const(1)
_KIND = const(2)  # byte 7 of the record of a data frame of 11 bits
_PLAIN = const(3)  # slots above it belong to multiplexed messages
_N_SLOTS = const(4)
_N_IDS = const(5)  # above the highest id that is watched
# Bytes of a record, held to slog.layout by a test.
_TOP = const(3)  # dlc, and bits 27 to 24 of the time
_ID = const(4)
_ID1 = const(5)
_ID2 = const(6)
_KIND_BYTE = const(7)  # bus, rtr, ext, and bits 28 to 24 of the id
_DATA = const(8)
_RECORD_BYTES = const(16)
_FD = const(0x90)  # dlc 9 in _TOP: a frame of CAN FD, which no message watches
_OTHER = const(0xA0)  # from here on no frame begins: the rest of CAN FD, or a meta record
_ID_HIGH = const(8)  # above bits 10 to 8 of an id of 11 bits
# Columns of SLOTS and SIGNALS, held to slog.signal_table by a test.
_M_CAN_ID = const(0)
_M_N_BYTES = const(1)
_M_SELECT_BYTE = const(3)
_M_SELECT_SHIFT = const(4)
_M_SELECT_MASK = const(5)
_M_SELECT_VALUE = const(6)
_M_COLUMNS = const(7)
_S_SLOT = const(0)
_S_KIND = const(1)
_S_FIRST = const(2)
_S_STEP = const(3)
_S_N = const(4)
_S_SHIFT = const(5)
_S_BITS = const(6)
_S_SIGNED = const(7)
_S_CENTI_MUL = const(14)
_S_CENTI_ADD = const(15)
_S_COLUMNS = const(18)


class Watch:
    """Invariant: `data` holds what the frames before the current tick said, whatever the pieces
    in which they were read.
    """

    def __init__(self, bus, sections, on_tick, on_resume):
        slots = sections[st.SLOTS]
        signals = sections[st.SIGNALS]
        self.n_slots = len(slots) // _M_COLUMNS
        self.n_signals = len(signals) // _S_COLUMNS
        self.slots = slots
        self.signals = signals
        self.data = bytearray(8 * self.n_slots + 8)
        self.seen = array("i", [-1] * (self.n_slots + 1))
        self.tick = 0
        self.lo = 0
        self.hi = 0
        n_ids = 0
        for at in range(_M_CAN_ID, len(slots), _M_COLUMNS):
            n_ids = max(n_ids, slots[at] + 1)
        self._lut = bytearray(n_ids)  # by id: 1 + the first slot of its message
        self._on_tick = on_tick
        self._on_resume = on_resume
        self._started = False
        plain = self.n_slots
        for i in range(self.n_slots):
            can_id = slots[i * _M_COLUMNS + _M_CAN_ID]
            if slots[i * _M_COLUMNS + _M_SELECT_MASK] and i < plain:
                plain = i
            if not self._lut[can_id]:
                self._lut[can_id] = i + 1
        self._words = array("i", [0, 0, bus << 5, plain, self.n_slots, n_ids])
        rows = range(0, len(signals), _S_COLUMNS)
        self._at = array("i", [8 * signals[i + _S_SLOT] + signals[i + _S_FIRST] for i in rows])
        self._read = bytearray([signals[i + _S_KIND] for i in rows])
        self.raws = array("i", range(self.n_signals))

    def scan(self, block, first, n, hi, most=-1):
        """Take `n` records of 16 bytes from `block[first]` on; what is no frame is passed over.
        Return how many were taken: fewer where more than `most` ticks are due; go on from there.

        hi    bits above 27 of the first record's time
        most  -1 for all
        """
        if not self._start(block, first, n, hi):
            return n
        at = first
        end = first + _RECORD_BYTES * n
        while True:
            at = _take(self._words, self._lut, self.slots, self.data, self.seen, block, at, end)
            if at >= end:
                return n
            if not most:
                return (at - first) // _RECORD_BYTES
            most -= 1
            self._pass(_time(block, at))

    @micropython.native
    def raw(self, i):
        """Return the raw value of signal `i` as the last frame of its message said it."""
        data = self.data
        at = self._at[i]
        kind = self._read[i]
        if kind == st.U16:
            return data[at] | data[at + 1] << 8
        if kind == st.U8:
            return data[at]
        if kind == st.S16:
            value = data[at] | data[at + 1] << 8
            return value - 65536 if value & 0x8000 else value
        row = self.signals
        i *= _S_COLUMNS
        step = row[i + _S_STEP]
        value = 0
        for _ in range(row[i + _S_N]):
            value = value << 8 | data[at]
            at += step
        value = (value >> row[i + _S_SHIFT]) & ((1 << row[i + _S_BITS]) - 1)
        if row[i + _S_SIGNED] and value >> (row[i + _S_BITS] - 1):
            value -= 1 << row[i + _S_BITS]
        return value

    def decode(self, first, step):
        """Bring `raws` up to date for every `step`th signal; at most 2^30 - 1."""
        _decode(
            self.raws,
            self._at,
            self._read,
            self.signals,
            self.data,
            first,
            self.n_signals,
            step,
        )

    def centi(self, i, raw):
        """Return a raw value of signal `i` in hundredths of its unit."""
        row = self.signals
        i *= _S_COLUMNS
        return (raw * row[i + _S_CENTI_MUL] >> st.SCALE_BITS) + row[i + _S_CENTI_ADD]

    def t_us(self):
        """Return bits 31 to 0 of the time of the current tick."""
        return (self.lo | self.hi << TIME_BITS) & 0xFFFFFFFF

    def _start(self, block, at, n, hi):
        """Find the first frame; report a pause before it. False if there is none."""
        end = at + _RECORD_BYTES * n
        first = _time(block, at)
        while at < end and block[at + _TOP] >= _OTHER:
            at += _RECORD_BYTES
        if at >= end:
            return False
        lo = _time(block, at)
        if (lo - first) & _LOW < _HALF and lo < first:
            hi += 1
        if not self._started:
            self._started = True
            self._restart(lo, hi)
            return True
        ahead_us = ((hi - self.hi) << TIME_BITS) + lo - self.lo - TICK_US
        if ahead_us > _PAUSE_US:
            self._resume(lo, hi, ahead_us)
        return True

    def _restart(self, lo, hi):
        self.lo = lo
        self.hi = hi
        self._words[_DUE] = (lo + TICK_US) & _LOW

    def _resume(self, lo, hi, pause_us):
        """Go on after a pause: no message counts as seen, so none is stale yet."""
        self._restart(lo, hi)
        for i in range(self.n_slots):
            self.seen[i] = -1
        self._on_resume(pause_us // 1_000_000)

    def _pass(self, lo):
        """Do the tick that is due, or pass over a pause before `lo`."""
        words = self._words
        ahead = (lo - words[_DUE]) & _LOW
        if ahead > _PAUSE_US:
            self._resume(lo, self.hi + (1 if lo < self.lo else 0), ahead)
            return
        due = words[_DUE]
        if due < self.lo:
            self.hi += 1
        self.lo = due
        words[_TICK] = self.tick = self.tick + 1
        self._on_tick()
        words[_DUE] = (due + TICK_US) & _LOW


def _time(block, at):
    return block[at] | block[at + 1] << 8 | block[at + 2] << 16 | (block[at + _TOP] & 15) << 24


@micropython.viper
def _take(
    words: ptr32,
    lut: ptr8,
    slots: ptr32,
    data: ptr8,
    seen: ptr32,
    block: ptr8,
    at: int,
    end: int,
) -> int:
    """Store payloads until `end` or until a tick is due; return where that is."""
    due = words[_DUE]
    tick = words[_TICK]
    kind = words[_KIND]
    plain = words[_PLAIN]
    n_slots = words[_N_SLOTS]
    n_ids = words[_N_IDS]
    while at < end:
        top = block[at + _TOP]
        if top < _OTHER:
            lo = block[at] | block[at + 1] << 8 | block[at + 2] << 16 | (top & 15) << 24
            if (lo - due) & _LOW < _HALF:
                return at
            slot = 0
            if (
                block[at + _KIND_BYTE] == kind
                and top < _FD
                and block[at + _ID2] == 0
                and block[at + _ID1] < _ID_HIGH
            ):
                can_id = block[at + _ID] | block[at + _ID1] << 8
                if can_id < n_ids:
                    slot = lut[can_id]
            if slot > plain:
                can_id = slots[slot * _M_COLUMNS + (_M_CAN_ID - _M_COLUMNS)]
                while (
                    slot <= n_slots
                    and slots[slot * _M_COLUMNS + (_M_CAN_ID - _M_COLUMNS)] == can_id
                ):
                    row = slot * _M_COLUMNS - _M_COLUMNS
                    value = block[at + _DATA + slots[row + _M_SELECT_BYTE]]
                    value = value >> slots[row + _M_SELECT_SHIFT] & slots[row + _M_SELECT_MASK]
                    if value == slots[row + _M_SELECT_VALUE]:
                        break
                    slot += 1
                if slot > n_slots or slots[slot * _M_COLUMNS + (_M_CAN_ID - _M_COLUMNS)] != can_id:
                    slot = 0
            if slot and top >> 4 >= slots[slot * _M_COLUMNS + (_M_N_BYTES - _M_COLUMNS)]:
                to = slot * 8 - 8
                source = at + _DATA
                while source < at + _RECORD_BYTES:
                    data[to] = block[source]
                    to += 1
                    source += 1
                seen[slot - 1] = tick
        at += _RECORD_BYTES
    return at


@micropython.viper
def _decode(
    raws: ptr32,
    places: ptr32,
    kinds: ptr8,
    rows: ptr32,
    data: ptr8,
    i: int,
    n: int,
    step: int,
):
    """Write the raw values of signals i, i + step.. below `n` as `Watch.raw` finds them."""
    while i < n:
        at = places[i]
        kind = kinds[i]
        if kind == 1:
            value = data[at]
        elif kind == 2:
            value = data[at] | data[at + 1] << 8
        elif kind == 3:
            value = data[at] | data[at + 1] << 8
            if value & 0x8000:
                value -= 0x10000
        else:
            row = i * _S_COLUMNS
            left = rows[row + _S_N]
            value = 0
            while left > 0:
                value = value << 8 | data[at]
                left -= 1
                if rows[row + _S_STEP] == 1:
                    at += 1
                else:
                    at -= 1
            bits = rows[row + _S_BITS]
            value = value >> rows[row + _S_SHIFT]
            if bits < 31:
                value = value & ((1 << bits) - 1)
                if rows[row + _S_SIGNED] and value >> (bits - 1):
                    value -= 1 << bits
            elif value < 0 or value > 0x3FFFFFFF:
                value = 0x3FFFFFFF
        raws[i] = value
        i += step
