"""The bit rate of a bus, from the lengths between its edges: a state machine samples the pin eight
times a microsecond from the first dominant level on, whatever another one receives there.

The pin is an input and stays one. Nothing is needed of the bus but 1 ms of traffic.
"""

from array import array

import machine
import micropython
import rp2
import uctypes
from micropython import const

_PIO = const(0x50200000)
_SET = const(0x2000)  # added to an address: set, clear the bits written
_CLEAR = const(0x3000)
_RXF = const(0x020)
_MEMORY = const(0x048)
_MACHINE = const(0x0C8)
_MACHINE_BYTES = const(24)
_RESTART = const(0x110)
_DREQ_RX = const(4)
_DMA = const(0x50000000)
_DMA_ABORT = const(0x50000444)
_AUTOPUSH = const(1 << 16)
_JOINED = const(1 << 31)  # both FIFOs for receiving
_CONTROL = const(1 << 5 | 2 << 2 | 1)  # words, the write address rises

_AT = const(12)  # behind the program of `pio_can`
_PROGRAM = (
    0x2020,  # 12 wait 0 pin 0
    0x4001,  # 13 in pins, 1; wraps to itself
)
_SAMPLES_Hz = const(8_000_000)
_WORDS = const(256)  # 1.024 ms
_MOST = const(255)  # samples of the longest length that is counted

RATES = (50_000, 83_333, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000)
# Sixteenths of a sample: 200 ns of asymmetry and jitter, 125 of sampling; 1 % is for the clocks.
_OFF_16 = const(40)
_LONGEST = const(12)  # bits; beyond it the bus was idle
_LEAST = const(3)  # single bits


@micropython.viper
def _count_lengths(words: ptr32, n: int, counts: ptr16):
    """Count the lengths between edges, the first and the last left out."""
    last = 2
    length = 0
    n_edges = 0
    i = 0
    while i < n:
        word = words[i]
        k = 31
        while k >= 0:
            level = word >> k & 1
            if level == last:
                length += 1
            else:
                if n_edges > 1 and length <= _MOST:
                    counts[length] += 1
                n_edges += 1
                length = 1
                last = level
            k -= 1
        i += 1


def rate_of(counts):
    """Return the slowest of RATES of which the lengths are whole numbers of bits, 0 if there is
    none. `counts`: how often there was each length, in samples.
    """
    found = [(length, n) for length, n in enumerate(counts) if n]
    for rate in RATES:
        bit_16 = 16 * _SAMPLES_Hz // rate
        fit = single = other = 0
        for length, n in found:
            bits = (16 * length + bit_16 // 2) // bit_16
            if bits > _LONGEST:
                continue
            if not bits or abs(16 * length - bits * bit_16) > _OFF_16 + length // 6:
                other += n
            else:
                fit += n
                single += n if bits == 1 else 0
        if single >= _LEAST and 20 * other <= fit:
            return rate
    return 0


class RateFinder:
    """One measurement on a pin. `number`: of a free state machine of PIO 0. Close it."""

    def __init__(self, pin, number):
        self._number = number
        self._words = array("I", [0] * _WORDS)
        self._dma = rp2.DMA()
        self._dma_number = self._dma.channel  # type: ignore[attr-defined]
        self._channel = _DMA + 64 * self._dma_number
        mem = machine.mem32
        for i, word in enumerate(_PROGRAM):
            mem[_PIO + _MEMORY + 4 * (_AT + i)] = word
        at = _PIO + _MACHINE + number * _MACHINE_BYTES
        mem[at] = 256 * machine.freq() // _SAMPLES_Hz << 8
        mem[at + 4] = _AT + 1 << 12 | _AT + 1 << 7
        mem[at + 8] = _JOINED
        mem[at + 20] = pin << 15
        mem[_PIO + _SET] = _RESTART << number
        mem[at + 16] = _AT  # jmp
        mem[at + 8] = _JOINED | _AUTOPUSH
        mem[self._channel] = _PIO + _RXF + 4 * number
        mem[self._channel + 4] = uctypes.addressof(self._words)
        mem[self._channel + 8] = _WORDS
        control = _CONTROL | self._dma_number << 11 | _DREQ_RX + number << 15
        mem[self._channel + 12] = control
        mem[_PIO + _SET] = 1 << number

    @property
    def is_done(self):
        """True once all samples have come."""
        return not machine.mem32[self._channel + 8]

    def rate(self):
        """Return what `rate_of` says of the samples."""
        counts = array("H", [0] * (_MOST + 1))
        _count_lengths(self._words, _WORDS, counts)
        return rate_of(counts)

    def close(self):
        """Stop it."""
        mem = machine.mem32
        mem[_PIO + _CLEAR] = 1 << self._number
        mem[_DMA_ABORT] = 1 << self._dma_number
        while mem[_DMA_ABORT]:
            pass
        self._dma.close()
