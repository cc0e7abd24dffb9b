"""Scan records and do ticks of the flight detector while the heap is locked: any allocation raises
MemoryError. The table and the records come as files.
"""

import sys

import micropython

from detectors.events import Events
from slog.signal_table import load


def nothing():
    pass


def emit(code, state, value, extra):
    pass


def main():
    with open(sys.argv[1], "rb") as file:
        events = Events(load(file.read()), emit)
    with open(sys.argv[2], "rb") as file:
        records = memoryview(file.read())
    n = len(records) // 16
    for at in range(0, n // 2, 64):
        events.scan(records, at * 16, 64, 0)
    events.watch._on_tick = nothing
    at = n // 2
    flight = events.flight
    micropython.heap_lock()
    while at + 64 < n:
        events.scan(records, at * 16, 64, 0)
        flight.step()
        at += 64
    micropython.heap_unlock()
    print(events.watch.tick)


main()
