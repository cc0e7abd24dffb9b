"""How the card of an ESP32 is made: on the second SPI, at 20 MHz; the data carry no CRC."""

import machine

from drivers.sdcard import SdCard
from drivers.spi_ports import SdPort


def wake_card(sck, mosi, miso, cs):
    """Return the card, which has begun to start."""
    sck, mosi, miso = machine.Pin(sck), machine.Pin(mosi), machine.Pin(miso)
    spi = machine.SPI(2, 400_000, sck=sck, mosi=mosi, miso=miso)
    card = SdCard(SdPort(spi, machine.Pin(cs, machine.Pin.OUT, value=1)), rate_Hz=20_000_000)
    card.wake()
    return card
