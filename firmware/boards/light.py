"""What the light says: sixteen steps of 0.13 s, bit 0 first, distinguished across a service bay.

recording         one short flash every two seconds
bus fault         two flashes: a bus is silent, has errors or is off; the card is written
no controller     three flashes
frames dropped    four flashes: the card is too slow, or the board
wires             five flashes: a wire of a controller is missing, or its answers are doubtful
package           six flashes: the package on the card was not installed; all is recorded
card fault        quick flicker: nothing is stored
full              slow blinking, half a second on, half a second off
stopped           on, with a short gap every two seconds
starting          on
"""

from slog import faults
from slog import messages as m

_BY_STATE = {
    m.STATE_BOOT: 0xFFFF,
    m.STATE_IDLE: 0xFFFE,
    m.STATE_FULL: 0x0F0F,
    m.STATE_CARD_FAULT: 0x5555,
    m.STATE_NO_CARD: 0x5555,
}
_BY_FAULT = {
    faults.CARD_ABSENT: 0x5555,
    faults.CARD_UNPREPARED: 0x5555,
    faults.CARD_READ_ONLY: 0x5555,
    faults.CARD_FULL: 0x0F0F,
    faults.CARD_WRITE: 0x5555,
    faults.CARD_STALL: 0x5555,
    faults.CARD_LIES: 0x5555,
    faults.BUS_SILENT: 0x0005,
    faults.BUS_ERRORS: 0x0005,
    faults.BUS_OFF: 0x0005,
    faults.CONTROLLER_ABSENT: 0x0015,
    faults.RING_OVERFLOW: 0x0055,
    faults.CONTROLLER_OVERRUN: 0x0055,
    faults.WIRE_FULL: 0x0155,
    faults.WIRE_INTERRUPT: 0x0155,
    faults.WIRES: 0x0155,
    faults.SPI_NOISE: 0x0155,
    faults.CARD_FOREIGN: 0x5555,
    faults.UPDATE_REFUSED: 0x0555,
}
_RECORDING = 0x0001


def pattern_of(state, fault):
    """Return the sixteen steps for a state of `messages` and a fault of `faults`."""
    if state in _BY_STATE:
        return _BY_STATE[state]
    return _BY_FAULT.get(fault, _RECORDING)
