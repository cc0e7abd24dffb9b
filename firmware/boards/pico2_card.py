"""The card of a Pico 2, made before the rest is loaded: it may take a second to start, and the
controller holds 8 ms of a full bus. Its SPI runs at up to 12 MHz, as on a Pico.
"""

from boards.polled_card import wake_card

card = wake_card(1, 12_000_000, sck=10, mosi=11, miso=12, cs=13)
