"""What the host calls at MicroPython's prompt: one row of the bring-up, by name.

The objects are made at the first call and live until the board is reset, which is also the way
back to the logger.
"""

import json

from boards.files import Settings
from boards.pico_card import port as card_port
from boards.pico_mcp2515 import CRYSTAL_Hz, make_port
from bringup import record
from bringup.card import BenchCard
from bringup.controller import BenchController
from bringup.hot import make_times
from bringup.pins import sample_pin
from drivers.rp2_hot import HotClock, HotRing

_CARD_Hz = 12_000_000
_RING_BLOCKS = 20  # the rest of the heap is for the rows
_NO_SETTINGS = "/bringup"  # a folder that is not there: the defaults count
_kept = {}


def run(row, args, _hole=None):
    """Measure `row` and print what was seen as JSON."""
    if not _kept:
        _kept["times"] = make_times()
        _kept["card"] = BenchCard(card_port, _CARD_Hz)
        _kept["clock"] = HotClock()
        _kept["can"] = BenchController(make_port(), _kept["clock"], CRYSTAL_Hz)
        _kept["settings"] = Settings(_NO_SETTINGS)
        _kept["ring"] = HotRing(_RING_BLOCKS)
    print(json.dumps(_ROWS[row](args)))


def _record(args):
    _kept["can"].use_loopback(args["crystal_Hz"])
    _kept["record"] = record.run(args, _kept)


def _frames(args):
    can = _kept["can"]
    can.use_loopback(args["crystal_Hz"])
    return can.frames(args["n"], args["n_bytes"], args["bitrate_bps"])


def _forced(args):
    can = _kept["can"]
    can.use_loopback(args["crystal_Hz"])
    return can.forced(args["n"], _kept["ring"], _kept["times"])


_ROWS = {
    "hello": lambda args: None,
    "wires": lambda args: _kept["can"].wires(),
    "patterns": lambda args: _kept["can"].patterns(args["n"], args["rate_Hz"]),
    "releases": lambda args: _kept["can"].releases(args["n"]),
    "frames": _frames,
    "forced": _forced,
    "listen": lambda args: _kept["can"].listen(
        args["bitrate_bps"], args["crystal_Hz"], args["ms"]
    ),
    "sample_pin": sample_pin,
    "card": lambda args: _kept["card"].identity(),
    "read": lambda args: _kept["card"].read_at(args["rate_Hz"], args["first"], args["n"]),
    "record": _record,
    "recorded": lambda args: _kept["record"],
}
