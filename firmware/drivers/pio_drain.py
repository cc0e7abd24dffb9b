"""When the bits of one or two buses are decoded, in viper: by main code, with `drain`, or by an
interrupt, `tick`, while main code does something longer.

Owns the order of two buses and what happens while the ring of blocks is full. What a frame is, is
in `pio_receive`; the words are those of `pio_can`.
"""

from array import array

import micropython
from micropython import const

from drivers.pio_receive import decode
from drivers.rp2_receive import code

_DMA_TRIGGER = const(0x50000430)
_TIMER_LOW = const(0x40054028)
_W_POS = const(5)
_W_END = const(6)
_W_MASK = const(7)
_W_RAW = const(8)
_W_STAMPS = const(9)
_W_STAMP_MASK = const(10)
_W_STATE = const(15)
_W_BUS = const(18)
_W_OPENED = const(19)
_W_DROP = const(20)
_W_N_DROPPED = const(21)
_W_T_DROPPED = const(22)
_W_T = const(23)
_W_LIMIT = const(31)
_W_STAMPER = const(46)  # address of the second DMA channel
_W_LAP_US = const(47)  # the shortest time in which the ring goes round
_W_T_POS = const(48)  # the stamp before POS, or the start of the frame at POS
_S_DROPPED = const(6)
_S_PENDING = const(10)
_S_FIRST_LO = const(12)
_S_FIRST_HI = const(14)
_OPEN = const(1)  # of rp2_receive.code
_CLOSE = const(2)
_GUARD_BYTES = const(32)  # of RawRing

# Words of `shared`, which main code writes and the tick reads.
_T_HELD = const(0)  # main code decodes, or puts records itself: the tick must not
_T_FIRST = const(1)  # addresses as `drain` takes them; 0: nobody listens
_T_OTHER = const(2)
_T_MASK = const(3)  # of Tick
shared = array("I", [0, 0, 0, 0])


@micropython.viper
def drain(at: int, other: int, force: int) -> int:
    """Decode what has come, of two buses in the order of time; `other` is 0 for one bus alone.
    Return 0, or 1 or 2 if bits of the first or the second were overwritten before they were
    decoded.

    While the ring of blocks is full, bits wait where they are until half of their ring is
    taken, or `force`: then frames are dropped and counted. The other half is for a late main loop.
    """
    x = at
    n = 1
    while True:
        w = ptr32(x)
        raw = ptr32(w[_W_RAW])
        mask = w[_W_MASK]
        now = ptr32(_TIMER_LOW)[0]
        if w[_W_LAP_US] < now - w[_W_T_POS]:
            return n
        end = ((ptr32(w[_W_STAMPER])[1] - w[_W_STAMPS]) << 5) & mask
        w[_W_END] = end
        w[_W_LIMIT] = now
        w[_W_DROP] = 0
        if force or (end - w[_W_POS] & mask) > mask >> 1:
            force = 1
        i = 0
        while i < _GUARD_BYTES >> 2:
            raw[((mask + 1) >> 5) + i] = raw[i]
            i += 1
        if other == 0 or x == other:
            break
        x = other
        n = 2
    # Each bus is decoded up to the time before which the other has no more frames.
    x = at
    y = other
    n = 0  # turns in which nothing was decoded, nor the time changed before which there is nothing
    while n < 2:
        w = ptr32(x)
        stamps = ptr32(w[_W_STAMPS])
        pos = w[_W_POS]
        t_pos = w[_W_T_POS]
        if y:
            w[_W_LIMIT] = ptr32(y)[_W_T_POS]
        w[_W_OPENED] = 0
        result = 0
        while True:
            result = int(decode(x))
            if result == 2:
                code(_CLOSE, 0)
            elif result != 1:
                break
            elif int(code(_OPEN, w[_W_T] & 0x0FFFFFFF)) >= 0:
                w[_W_OPENED] = 1
            elif force:
                w[_W_DROP] = 1
            else:
                break
        n += 1
        if result == 3:
            w[_W_T_POS] = w[_W_T]
        else:
            w[_W_T_POS] = stamps[((w[_W_POS] >> 7) - 1) & (w[_W_STAMP_MASK] >> 2)]
        if w[_W_POS] != pos or w[_W_T_POS] != t_pos:
            n = 0
        if y == 0 or result == 1:
            break
        i = x
        x = y
        y = i
    x = at
    while True:
        w = ptr32(x)
        if w[_W_N_DROPPED]:
            st = ptr32(w[_W_STATE] + (w[_W_BUS] << 2))
            st[_S_DROPPED] += w[_W_N_DROPPED]
            if st[_S_PENDING] == 0:
                st[_S_FIRST_LO] = w[_W_T_DROPPED] & 0x0FFFFFFF
                st[_S_FIRST_HI] = w[_W_T_DROPPED] >> 28 & 15
            st[_S_PENDING] += w[_W_N_DROPPED]
            w[_W_N_DROPPED] = 0
        if other == 0 or x == other:
            break
        x = other
    return 0


@micropython.viper
def _waits(at: int) -> int:
    """Return whether a quarter of the ring of bits or more waits to be decoded."""
    w = ptr32(at)
    mask = w[_W_MASK]
    end = (ptr32(w[_W_STAMPER])[1] - w[_W_STAMPS]) << 5
    return int((end - w[_W_POS] & mask) > mask >> 2)


@micropython.viper
def tick(dma):
    """The interrupt: decode what waits, if the main loop has not done so for long."""
    t = ptr32(shared)
    at = t[_T_FIRST]
    if at == 0:
        return
    ptr32(_DMA_TRIGGER)[0] = t[_T_MASK]
    if t[_T_HELD]:
        return
    other = t[_T_OTHER]
    wait = int(_waits(at))
    if other:
        wait += int(_waits(other))
    if wait:
        drain(at, other, 0)
