"""Which wire is missing, from what the controller's registers and pins say.

The controller drives RX0BF and RX1BF to their four levels and INT to both, the Pico reads them
back. SCK, SI and CS cannot be distinguished: without any of them nothing happens at all.
"""

from collections.abc import Sequence
from typing import NamedTuple

from stagelog.bringup.sheet import FAIL, NOT_MEASURED, PASS, Row


class Wire(NamedTuple):
    """A wire by its name at the device, its GPIO and the pin of the Pico."""

    name: str
    gpio: int
    pin: int


CONTROLLER = (
    Wire("SCK", 2, 4),
    Wire("SI", 3, 5),
    Wire("SO", 4, 6),
    Wire("CS", 5, 7),
    Wire("INT", 6, 9),
    Wire("RX0BF", 7, 10),
    Wire("RX1BF", 8, 11),
)
CARD = (Wire("CLK", 10, 14), Wire("DI", 11, 15), Wire("DO", 12, 16), Wire("CS", 13, 17))
POWER_GOOD = Wire("PG", 22, 29)
_ASKED = ("SCK", "SI", "CS")
_FULL0, _FULL1 = (1, 0, 1, 0), (1, 1, 0, 0)  # low or not at the driven levels 0 to 3
CONNECTED, MISSING, LOW = "connected", "missing", "low"
_NO_ANSWER = "no answer: {}, or the supply of the {}"
_REPAIR = "solder it again; measure from GPIO {} (pin {}) to {} of the {}"


def controller_rows(reads: bool, low: Sequence[int]) -> list[Row]:
    """Return a row for each wire of the controller.

    reads   two patterns came back from its registers
    low     which of INT, RX0BF, RX1BF (bits 0, 1, 2) were low, see `Mcp2515.drive_pins`
    """
    full0 = tuple(pins >> 1 & 1 for pins in low[:4])
    full1 = tuple(pins >> 2 & 1 for pins in low[:4])
    faults = {}
    if (full0, full1) == (_FULL1, _FULL0):
        faults["RX0BF"] = faults["RX1BF"] = "RX0BF and RX1BF are crossed"
    else:
        if full0 != _FULL0:
            faults["RX0BF"] = "does not follow the controller"
        if full1 != _FULL1:
            faults["RX1BF"] = "does not follow the controller"
    if tuple(pins & 1 for pins in low[4:]) != (1, 0):
        faults["INT"] = "does not follow the controller"
    unknown: dict[str, str] = {}
    if not reads and len(faults) == 3 and "crossed" not in faults["RX0BF"]:
        text = _NO_ANSWER.format("one of " + ", ".join(_ASKED), "controller")
        faults = dict.fromkeys(_ASKED, text)
        unknown = dict.fromkeys(("SO", "INT", "RX0BF", "RX1BF"), "the controller does not answer")
    elif not reads:
        faults["SO"] = "the controller obeys, but nothing comes back"
    return [_row(wire, "controller", faults, unknown) for wire in CONTROLLER]


def card_rows(error: str | None) -> list[Row]:
    """Return a row for each wire of the card. `error`: what its driver says, None if it works."""
    names = [wire.name for wire in CARD]
    text = _NO_ANSWER.format("one of " + ", ".join(names), "card, or no card in the socket")
    faults = dict.fromkeys(names, f"{text} ({error})") if error else {}
    return [_row(wire, "card", faults, {}) for wire in CARD]


def supply_row(high: int, pulled_up: int) -> Row:
    """Return the row of "power good", an open drain with a resistor to 3V3.

    high       how often it was high against a pull-down
    pulled_up  whether it is high against a pull-up
    """
    gpio, pin = POWER_GOOD.gpio, POWER_GOOD.pin
    value, verdict, note, action = CONNECTED, PASS, "", ""
    if not pulled_up:
        value, verdict, note = LOW, FAIL, "the supply says that it fails, or it is off"
        action = f"give it 12 V; measure GPIO {gpio} (pin {pin}): 3.3 V through its resistor"
    elif not high:
        value, verdict = MISSING, FAIL
        note = "open: when the supply fails, the last flush_ms are lost"
        action = f'solder "power good" to GPIO {gpio} (pin {pin}), and 10 kOhm from there to 3V3'
    place = f"GPIO {gpio}, pin {pin}"
    return Row("wires.supply.PG", 'supply "power good"', value, "", place, verdict, note, action)


def _row(wire: Wire, device: str, faults: dict[str, str], unknown: dict[str, str]) -> Row:
    key, title = f"wires.{device}.{wire.name}", f"{device} {wire.name}"
    place = f"GPIO {wire.gpio}, pin {wire.pin}"
    action = _REPAIR.format(wire.gpio, wire.pin, wire.name, device)
    if wire.name in faults:
        return Row(key, title, MISSING, "", place, FAIL, faults[wire.name], action)
    if wire.name in unknown:
        return Row(key, title, None, "", place, NOT_MEASURED, unknown[wire.name])
    return Row(key, title, CONNECTED, "", place, PASS)
