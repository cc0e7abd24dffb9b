"""Fill the ring, drop, tell the gap and close blocks while the heap is locked: any allocation
raises MemoryError.
"""

import micropython

from logger.clock import Clock
from logger.ring import DROPPED, BlockRing

tick = 0


def ticks_us():
    return tick


def fill(clock, ring, data):
    global tick
    n_stored = 0
    for i in range(3000):
        tick = (tick & 0x1FFFFFFF) + 0x10000000
        clock.read()
        if ring.put_frame(clock.lo, clock.hi, 0x1FFFFFFF - i, 4 | i & 1, 8, data):
            n_stored += 1
        if i == 1500 or i > 2900:
            ring.release()
            ring.put_meta(clock.lo, clock.hi, 7, 0x1FFFFF, 0, data)
            ring.close_block()
    return n_stored


def main():
    clock = Clock(ticks_us)
    ring = BlockRing(4)
    ring.start_session()
    data = bytearray(b"\xff" * 8)
    micropython.heap_lock()
    n_stored = fill(clock, ring, data)
    micropython.heap_unlock()
    print(n_stored, ring.state[DROPPED] + ring.state[DROPPED + 1])


main()
