"""The card of an ESP32-S3, made before the rest is loaded: it may take a second to start, and the
controller holds 8 ms of a full bus.
"""

from boards.polled_card import wake_card

card = wake_card(2, 20_000_000, sck=5, mosi=6, miso=7, cs=4)
