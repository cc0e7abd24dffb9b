"""What the host calls at MicroPython's prompt of a board without a controller: one row of the
bring-up, by name. Every pin that it samples is an input and stays one.

The objects are made at the first call and live until the board is reset, which is also the way
back to the logger.
"""

from boards.pico_raw import raw  # isort: split

import json
import time

from boards.pico_card import port as card_port
from bringup.card import BenchCard
from bringup.pins import sample_pin
from drivers.pio_can import PioCan, PioRing
from drivers.rp2_hot import HotClock
from logger.ring import STORED
from slog.layout import const
from slog.settings import BITRATES

_CARD_Hz = const(12_000_000)
_kept = {}


def run(row, args, _hole=None):
    """Measure `row` and print what was seen as JSON."""
    if not _kept:
        _kept["card"] = BenchCard(card_port, _CARD_Hz)
        _kept["clock"] = HotClock()
        _kept["ring"] = PioRing(4)
        _kept["cans"] = {}
    print(json.dumps(_ROWS[row](args)))


def _listen(args):
    """Measure the bit rate on the wire for `ms` at most, then receive at it for `ms`."""
    cans, ring, pin = _kept["cans"], _kept["ring"], args["pin"]
    if pin not in cans:
        cans[pin] = PioCan(pin, _kept["clock"], raw)
    can = cans[pin]
    rate = None
    start = time.ticks_ms()
    while rate is None and time.ticks_diff(time.ticks_ms(), start) < args["ms"]:
        rate = can.measured_rate()
    if rate not in BITRATES:
        return {"rate": rate, "frames": 0, "counts": []}
    can.set_up({"bitrate_bps": rate})
    ring.start_session()
    can.start(ring)
    start = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), start) < args["ms"]:
        can.drain()
        while ring.n_waiting():
            ring.release()
    can.stop()
    return {"rate": rate, "frames": ring.state[STORED], "counts": can.counts()}


_ROWS = {
    "hello": lambda args: None,
    "sample_pin": sample_pin,
    "listen": _listen,
    "card": lambda args: _kept["card"].identity(),
    "read": lambda args: _kept["card"].read_at(args["rate_Hz"], args["first"], args["n"]),
}
