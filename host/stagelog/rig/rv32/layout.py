"""Where things are in the memory that the host shares with the machine; MicroPython reads this,
too.

    0x80000000   MicroPython with its heap and stack
    ROMFS        the firmware, compiled
    MAIL         words below, then text: code for the machine, its answer for the host
    TAPE         what the buses carry
    CARD         the card's sectors
"""

RAM = 0x80000000
RAM_BYTES = 64 << 20
ROMFS = RAM + (16 << 20)
MAIL = RAM + (24 << 20)
TAPE = RAM + (25 << 20)
CARD = RAM + (40 << 20)

REQUEST = MAIL  # the host counts its requests here,
DONE = MAIL + 4  # and the machine those that it has done
SENT = MAIL + 8  # bytes that the host has put into the serial port,
TAKEN = MAIL + 12  # and that the logger has read there
GIVEN = MAIL + 16  # bytes that the logger has sent
FAILED = MAIL + 20  # 1: the text is a traceback
LENGTH = MAIL + 24
TEXT = MAIL + 32
