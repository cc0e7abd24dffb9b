"""How the card of a board with a polled controller is made: on an SPI of its own, by
`machine.SPI`; the data carry no CRC.
"""

import machine

from drivers.sdcard import SdCard
from drivers.spi_ports import SdPort


def wake_card(number, rate_Hz, sck, mosi, miso, cs):
    """Return the card on SPI `number`, which has begun to start."""
    sck, mosi, miso = machine.Pin(sck), machine.Pin(mosi), machine.Pin(miso)
    spi = machine.SPI(number, 400_000, sck=sck, mosi=mosi, miso=miso)
    card = SdCard(SdPort(spi, machine.Pin(cs, machine.Pin.OUT, value=1)), rate_Hz=rate_Hz)
    card.wake()
    return card
