"""The card of a Pico, made before the rest is loaded: it may take a second to start, and the ring
lasts 0.7 s on a full bus. Its SPI runs at 12 MHz; 24 is the next, too fast for loose wires.
"""

from drivers.rp2_sd import SdPort
from drivers.sdcard import SdCard

port = SdPort(1, sck=10, mosi=11, miso=12, cs=13)
card = SdCard(port, rate_Hz=12_000_000)
card.wake()
