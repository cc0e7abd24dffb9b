"""Fault codes: what is wrong with a logger, one word each, for STATUS, the LED and the crew."""

NONE = 0
CARD_ABSENT = 1
CARD_UNPREPARED = 2
CARD_READ_ONLY = 3
CARD_FULL = 4
CARD_WRITE = 5
CARD_STALL = 6
CARD_LIES = 7
BUS_SILENT = 8
BUS_ERRORS = 9
BUS_OFF = 10
CONTROLLER_ABSENT = 11
RING_OVERFLOW = 12
SETTINGS_BAD = 13
WIRE_FULL = 14
WIRE_INTERRUPT = 15
WIRES = 16
CONTROLLER_OVERRUN = 17
SPI_NOISE = 18
CARD_FOREIGN = 19
UPDATE_REFUSED = 20

TEXT = {
    NONE: "no fault",
    CARD_ABSENT: "no card, or the card does not answer: push it in, or replace it",
    CARD_UNPREPARED: "the card has no stagelog extent: run 'stagelog card prepare'",
    CARD_READ_ONLY: "the card has locked itself against writing, it is worn: replace it",
    CARD_FULL: "the card is full of sessions that were not downloaded: download and erase",
    CARD_WRITE: "the card rejects writes: replace it",
    CARD_STALL: "the card has not answered for over a second",
    CARD_LIES: "blocks read back wrong: the card is worn or fake, replace it",
    BUS_SILENT: "no frame on a bus: ignition off, wrong bit rate or broken wire",
    BUS_ERRORS: "errors on a bus: wrong bit rate, or a fault on the wire",
    BUS_OFF: "a controller is bus-off",
    CONTROLLER_ABSENT: "a CAN controller does not answer",
    RING_OVERFLOW: "frames were dropped because the card was too slow; they are counted",
    SETTINGS_BAD: "the settings could not be read; defaults are in use",
    WIRE_FULL: "RX0BF or RX1BF of a controller is not connected: the logger asks the controller "
    "instead and loses nothing; repair the wires",
    WIRE_INTERRUPT: "INT of a controller is not connected: RX0BF and RX1BF serve instead and "
    "nothing is lost; repair the wire",
    WIRES: "neither INT nor RX0BF and RX1BF of a controller are connected: it is polled, and "
    "frames are lost; repair the wires",
    CONTROLLER_OVERRUN: "a controller received frames that nobody fetched in time, they are lost",
    SPI_NOISE: "answers of a controller cannot be right, so frames may be wrong as well: shorten "
    "or shield its wires",
    CARD_FOREIGN: "the card was formatted, or its file was moved, since it was prepared: nothing "
    "is written to it; save what you need and run 'stagelog card prepare'",
    UPDATE_REFUSED: "the package on the card was not installed: 'stagelog status' says why; the "
    "logger records with what it had",
}
