"""What the heap of the emulated chip has left beside a running logger, and what the estimate of
the range costs: for the row `heap` of the device benchmark.
"""

import re
from typing import NamedTuple

from device_rig import Bench

from stagelog.errors import DeviceError
from stagelog.flash.build import build_app
from stagelog.rig.rp2040.board import PicoBoard
from stagelog.rig.rp2040.firmware import _unpack, logger_files

# 9 s after power-on, while the bus is silent: bytes of the largest free piece, and of all. Garbage
# goes first: in a full heap the variables of the search lie among it, and split what is free.
PROBING = """
import gc
import machine
import own_start

def largest():
    found, step = 0, 1 << 16
    while step >= 16:
        try:
            bytearray(found + step)
            found += step
        except MemoryError:
            pass
        step >>= 1
    return found

def probe(timer):
    gc.collect()
    found = largest()
    gc.collect()
    print("heap", found, gc.mem_free(), "end")

def run(*args):
    global timer
    timer = machine.Timer(-1)
    timer.init(mode=machine.Timer.ONE_SHOT, period=9000, callback=probe)
    own_start.run(*args)
"""
# Bytes of the module; then microseconds of one range after twenty stretches of 5 km, and bytes
# of garbage that it makes.
RANGE = """
import gc, time
import detectors.airborne
gc.collect()
before = gc.mem_alloc()
from detectors.consumption import Consumption
gc.collect()
n_bytes = gc.mem_alloc() - before
burns = Consumption(700, 20000, 5000)
for k in range(20):
    burns.add(600 + 10 * (k % 7))
gc.collect()
before = gc.mem_alloc()
start = time.ticks_us()
burns.ranges(40000, 500, 1010000, 5)
print(n_bytes, time.ticks_diff(time.ticks_us(), start), gc.mem_alloc() - before)
"""


class Heap(NamedTuple):
    """Blocks of the ring; bytes of the largest free piece, and of all that is free."""

    ring_blocks: int
    largest_bytes: int
    free_bytes: int


class RangeCost(NamedTuple):
    """Bytes of detectors.consumption; microseconds of one range, and the garbage it makes."""

    code_bytes: int
    us: int
    garbage_bytes: int


def free_heap(speed, table=None):
    """Return the Heap of a running logger, with a signal table or without."""
    with Bench(speed, files=logger_files(start=PROBING)) as bench:
        if table is not None:
            bench.give_table(table)
        n_blocks = bench.link.status().ring_blocks
        serial, said = bench.board.serial(timeout=0.5), b""
        for _ in range(40):
            said += serial.read(256)
            if found := re.search(rb"heap (\d+) (\d+) end", said):
                return Heap(n_blocks, int(found[1]), int(found[2]))
        raise DeviceError(f"no figures of the heap came from the board, only {said[-80:]}")


def range_cost(speeds):
    """Return the RangeCost on the emulated chip.

    speeds  one of SPEEDS, as the emulator takes it
    """
    places = _unpack(build_app("pico_mcp2515", "armv6m", readable=True).content)
    files = {path: data for path, data in places.items() if path.startswith(("detectors", "slog"))}
    board = PicoBoard(files=files, **speeds)
    board.run_until(lambda: board.usb.connected)
    return RangeCost(*map(int, board.repl.exec(RANGE).split()))
