"""The card of an ESP32, made before the rest is loaded: it may take a second to start, and the
controller holds 8 ms of a full bus. Its SPI runs at 20 MHz; the data carry no CRC.
"""

import machine

from drivers.sdcard import SdCard
from drivers.spi_ports import SdPort

_spi = machine.SPI(2, 400_000, sck=machine.Pin(18), mosi=machine.Pin(23), miso=machine.Pin(19))
card = SdCard(SdPort(_spi, machine.Pin(5, machine.Pin.OUT, value=1)), rate_Hz=20_000_000)
card.wake()
