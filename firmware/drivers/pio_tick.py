"""A hard interrupt every 8 ms, whatever the main loop does: a garbage collection takes 31 ms, more
on a slow core, and the bits of a bus wait for 65 to 131.

MicroPython 1.25 has hard interrupts for the DMA, not for timers. So one instruction of a state
machine fills its FIFO at that pace, and a DMA channel takes one word of it and interrupts. No pin
has a part in it.
"""

from array import array

import machine
import rp2
import uctypes
from micropython import const

_PIO = const(0x50300000)  # PIO 1, of which nothing else is used
_SET = const(0x2000)  # added to an address: set, clear the bits written
_CLEAR = const(0x3000)
_RXF = const(0x020)
_MEMORY = const(0x048)
_MACHINE = const(0x0C8)
_RESTART = const(0x010)
_JUMP_0 = const(0x0000)
_PUSH = const(0x9F00)  # push noblock [31]; wraps to itself
_CLOCKS = const(32)
_TICKS_Hz = const(125)
_DMA = const(0x50000000)
_DMA_ABORT = const(0x50000444)
_CONTROL = const(12 << 15 | 2 << 2 | 1)  # when the FIFO has a word; no address rises


class Tick:
    """The interrupt. `handler` gets the DMA and asks for the next by writing `mask` to
    MULTI_CHAN_TRIGGER of the DMA; it must not allocate.
    """

    def __init__(self, handler):
        self._dma = rp2.DMA()
        self._dma.irq(handler, hard=True)
        self._number = number = self._dma.channel  # type: ignore[attr-defined]
        self.mask = 1 << number
        self._word = array("I", [0])  # nobody reads it

    def start(self):
        """Interrupt from now on."""
        mem = machine.mem32
        at = _PIO + _MACHINE
        mem[_PIO + _MEMORY] = _PUSH
        mem[at] = machine.freq() // (_CLOCKS * _TICKS_Hz) << 16
        mem[at + 4] = 0
        mem[_PIO + _SET] = _RESTART
        mem[at + 16] = _JUMP_0
        channel = _DMA + 64 * self._number
        mem[channel] = _PIO + _RXF
        mem[channel + 4] = uctypes.addressof(self._word)
        mem[channel + 8] = 1
        mem[channel + 12] = _CONTROL | self._number << 11
        mem[_PIO + _SET] = 1

    def stop(self):
        """Interrupt no more, but for the one that an abort may cause (RP2040-E13)."""
        mem = machine.mem32
        mem[_PIO + _CLEAR] = 1
        mem[_DMA_ABORT] = self.mask
        while mem[_DMA_ABORT]:
            pass
