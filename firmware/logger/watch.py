"""The watch: the latest payload of every watched message, and a clock of 10 ms made of the frames.

Owns the store of payloads and when it was filled. Time is that of the records, never a clock's: a
tick is done when the first frame after it is read, so the host repeats every step from the log.
A pause of more than a second is not ticked through; `on_resume(seconds)` is told instead.
"""

from array import array

from logger.native import micropython
from slog import signal_table as st
from slog.layout import TIME_BITS, const

TICK_US = const(10_000)
_PAUSE_US = const(1_000_000)
_LOW = (1 << TIME_BITS) - 1
_HALF = 1 << (TIME_BITS - 1)
_IDS = const(2048)
SLOT_COLUMNS = const(7)
SIGNAL_COLUMNS = const(18)


class Watch:
    """Invariant: `data` holds what the frames before the current tick said, whatever the pieces
    in which they were read.
    """

    def __init__(self, bus, sections, on_tick, on_resume):
        slots = sections[st.SLOTS]
        signals = sections[st.SIGNALS]
        self.n_slots = len(slots) // SLOT_COLUMNS
        self.n_signals = len(signals) // SIGNAL_COLUMNS
        self.slots = slots
        self.signals = signals
        self.data = bytearray(8 * self.n_slots + 8)
        self.seen = array("i", [-1] * (self.n_slots + 1))
        self.tick = 0
        self.lo = 0
        self.hi = 0
        self._kind = bus << 5
        self._lut = bytearray(_IDS)
        self._on_tick = on_tick
        self._on_resume = on_resume
        self._started = False
        self._due = 0
        self._plain = self.n_slots
        for i in range(self.n_slots):
            can_id = slots[i * SLOT_COLUMNS]
            if slots[i * SLOT_COLUMNS + 5] and i < self._plain:
                self._plain = i
            if not self._lut[can_id]:
                self._lut[can_id] = i + 1
        column = signals
        self._at = array(
            "i", [8 * column[i] + column[i + 2] for i in range(0, len(column), SIGNAL_COLUMNS)]
        )
        self._read = bytearray([column[i + 1] for i in range(0, len(column), SIGNAL_COLUMNS)])

    @micropython.native
    def scan(self, block, first, n, hi):
        """Take `n` records of 16 bytes from `block[first]` on; what is no frame is passed over.

        hi  bits above 27 of the first record's time
        """
        lut = self._lut
        data = self.data
        kind = self._kind
        if not self._start(block, first, n, hi):
            return
        due = self._due
        for at in range(first, first + 16 * n, 16):
            top = block[at + 3]
            if top >= 0xF0:
                continue
            lo = block[at] | block[at + 1] << 8 | block[at + 2] << 16 | (top & 15) << 24
            if (lo - due) & _LOW < _HALF:
                due = self._pass(lo)
            if block[at + 7] == kind and not block[at + 6] and block[at + 5] < 8:
                slot = lut[block[at + 4] | block[at + 5] << 8]
                if slot:
                    if slot > self._plain:
                        slot = self._select(slot, block, at)
                        if not slot:
                            continue
                    if (top >> 4) < self.slots[slot * SLOT_COLUMNS - 6]:
                        continue
                    to = slot * 8 - 8
                    data[to] = block[at + 8]
                    data[to + 1] = block[at + 9]
                    data[to + 2] = block[at + 10]
                    data[to + 3] = block[at + 11]
                    data[to + 4] = block[at + 12]
                    data[to + 5] = block[at + 13]
                    data[to + 6] = block[at + 14]
                    data[to + 7] = block[at + 15]
                    self.seen[slot - 1] = self.tick

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
        i *= SIGNAL_COLUMNS
        step = row[i + 3]
        value = 0
        for _ in range(row[i + 4]):
            value = value << 8 | data[at]
            at += step
        value = (value >> row[i + 5]) & ((1 << row[i + 6]) - 1)
        if row[i + 7] and value >> (row[i + 6] - 1):
            value -= 1 << row[i + 6]
        return value

    def is_fresh(self, i):
        """Tell whether the message of signal `i` came lately."""
        slot = self.signals[i * SIGNAL_COLUMNS]
        seen = self.seen[slot]
        return seen >= 0 and self.tick - seen <= self.slots[slot * SLOT_COLUMNS + 2]

    def centi(self, i, raw):
        """Return a raw value of signal `i` in hundredths of its unit."""
        row = self.signals
        i *= SIGNAL_COLUMNS
        return (raw * row[i + 14] >> st.SCALE_BITS) + row[i + 15]

    def t_us(self):
        """Return bits 31 to 0 of the time of the current tick."""
        return (self.lo | self.hi << TIME_BITS) & 0xFFFFFFFF

    def _start(self, block, at, n, hi):
        """Find the first frame; tell a pause before it. False if there is none."""
        end = at + 16 * n
        first = _time(block, at)
        while at < end and block[at + 3] >= 0xF0:
            at += 16
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
            self._restart(lo, hi)
            self._on_resume(ahead_us // 1_000_000)
        return True

    def _restart(self, lo, hi):
        self.lo = lo
        self.hi = hi
        self._due = (lo + TICK_US) & _LOW

    def _pass(self, lo):
        """Do the ticks up to `lo`; return when the next is due."""
        ahead = (lo - self._due) & _LOW
        if ahead > _PAUSE_US:
            self._restart(lo, self.hi + (1 if lo < self.lo else 0))
            self._on_resume(ahead // 1_000_000)
            return self._due
        while True:
            if self._due < self.lo:
                self.hi += 1
            self.lo = self._due
            self.tick += 1
            self._on_tick()
            self._due = (self._due + TICK_US) & _LOW
            if (lo - self._due) & _LOW >= _HALF:
                return self._due

    def _select(self, slot, block, at):
        """Return the slot + 1 that a multiplexed message fills, or 0."""
        slots = self.slots
        can_id = slots[slot * SLOT_COLUMNS - 7]
        while slot <= self.n_slots and slots[slot * SLOT_COLUMNS - 7] == can_id:
            row = slot * SLOT_COLUMNS
            value = block[at + 8 + slots[row - 4]] >> slots[row - 3] & slots[row - 2]
            if value == slots[row - 1]:
                return slot
            slot += 1
        return 0


def _time(block, at):
    return block[at] | block[at + 1] << 8 | block[at + 2] << 16 | (block[at + 3] & 15) << 24
