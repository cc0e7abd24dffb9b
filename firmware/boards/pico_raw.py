"""The ring of raw bits of a Pico that receives CAN itself, made before the rest is loaded: it
needs a place at a multiple of its size.
"""

from drivers.raw_ring import RawRing

raw = RawRing(14)  # 131 ms at 1 Mbit/s
