"""What an input of the Pico reads against each of its pulls: driven, or open."""

import time

import machine

from slog.layout import const

_LOOKS_MS = const(20)
_CTRL = const(0x40014004)  # of GPIO 0, the next 8 bytes on
_SIO = const(5)  # the function of a pin that `machine.Pin` has set up
_SIO_OE = const(0xD0000020)


def sample_pin(args):
    """Return how often a pin was high against a pull-down and in all, if it is high against a
    pull-up, and if nothing in the chip drives it.
    """
    number = args["pin"]
    pin = machine.Pin(number, machine.Pin.IN, machine.Pin.PULL_DOWN)
    n = n_high = 0
    start = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), start) < _LOOKS_MS:
        n += 1
        n_high += pin()
    pin = machine.Pin(number, machine.Pin.IN, machine.Pin.PULL_UP)
    time.sleep_ms(1)  # 100 pF of wire and 80 kOhm: 8 us
    mem = machine.mem32
    is_input = mem[_CTRL + 8 * number] == _SIO and not mem[_SIO_OE] >> number & 1
    return {"high": n_high, "of": n, "pulled_up": pin(), "is_input": is_input}
