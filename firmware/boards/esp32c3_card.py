"""The card of an ESP32-C3, made before the rest is loaded: it may take a second to start, and the
controller holds 8 ms of a full bus. MicroPython has one SPI for the user on this chip, which card
and controller share: at 16 MHz, the controller's limit being 17.
"""

import machine

from drivers.shared_spi import SharedCard, SharedSdPort

spi = machine.SPI(1, 400_000, sck=machine.Pin(6), mosi=machine.Pin(7), miso=machine.Pin(5))
controller_select = machine.Pin(10, machine.Pin.OUT, value=1)  # before the card's first clock
port = SharedSdPort(spi, machine.Pin(4, machine.Pin.OUT, value=1))
card = SharedCard(port, rate_Hz=16_000_000)
card.wake()
