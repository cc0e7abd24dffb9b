"""The rings of raw bits of a Pico that receives two buses itself, made before the rest is loaded:
each needs a place at a multiple of its size.
"""

from drivers.raw_ring import RawRing

raws = RawRing(13), RawRing(13)  # 131 ms each at 500 kbit/s
