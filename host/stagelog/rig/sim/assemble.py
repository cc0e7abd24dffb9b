"""Puts a simulated logger together, for whatever runs it: this Python, a process under
MicroPython, a bare machine (`rig.rv32`).
"""

import json

from logger.app import App
from logger.ring import BlockRing
from slog.messages import CONFIG_SETTINGS, CONFIG_SIGNALS
from stagelog.rig.sim.models import (
    FileImage,
    MemoryNv,
    SimBoard,
    SimCard,
    SimClock,
    SimController,
)
from stagelog.rig.sim.numbers import Xorshift

TYPE_CHECKING = False  # MicroPython has no module typing
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from stagelog.rig.sim.models import Image, LoggerLink

DEFAULTS: "dict[str, Any]" = {
    "card": None,
    "tape": None,
    "settings": {},
    "signals": None,
    "device_id": "53494d3030303031",
    "seed": 1,
    "t0_us": 0,
    "ring_blocks": 24,
    "write_us": 3000,
    "card_present": True,
    "stalls": [],
    "depth": 2,
    "service_us": 0,
    "loop_us": 1000,
    "linger_us": 1_000_000,
    "stop": False,
    "controller": "",  # or "mcp2518fd": its driver on the model of its registers, polled
    "data_bitrate_bps": 2_000_000,  # of CAN FD on the bus of that
    "wifi": None,
    "board": "",  # or a board file that polls its controller, `chip.POLLED_BOARDS`
}


def build(
    args: "Mapping[str, Any]",
    link: "LoggerLink",
    clock: "SimClock | None" = None,
    image: "Image | None" = None,
) -> "Any":
    """Return an App on a simulated board. `args` replace those of DEFAULTS, by their keys.

    image   of the card, instead of the file args["card"]
    """
    given = dict(DEFAULTS)
    given.update(args)
    clock = clock or SimClock(given["t0_us"])
    settings = given["settings"]
    image = image or FileImage(given["card"])
    card = SimCard(image, clock, given["write_us"], given["stalls"], given["card_present"])
    nv = MemoryNv({CONFIG_SETTINGS: json.dumps(settings).encode()})
    if given["signals"]:
        with open(given["signals"], "rb") as stream:
            nv.save(CONFIG_SIGNALS, stream.read())
    device_id = bytes([int(given["device_id"][i : i + 2], 16) for i in range(0, 16, 2)])
    if given["board"] or given["controller"] == "mcp2518fd":
        from stagelog.rig.sim.mcp2518fd import Mcp2518fdModel
        from stagelog.rig.sim.polled import PolledBoard

        rate_bps = given["data_bitrate_bps"]
        chip = Mcp2518fdModel(lambda: clock.now_us, wire_data_bps=rate_bps)
        if given["board"]:
            from stagelog.rig.sim.chip import load_app

            random_u32 = Xorshift(given["seed"])
            return load_app(given["board"], clock, chip, card, link, nv, device_id, random_u32)
        parts = (clock, chip, card, link, nv, device_id, given["seed"], given["ring_blocks"])
        return App(PolledBoard(*parts))
    n_buses = len(settings.get("buses", (0,)))
    captures = [
        SimController(clock, bus, given["depth"], given["service_us"]) for bus in range(n_buses)
    ]
    ring = BlockRing(given["ring_blocks"])
    board = SimBoard(clock, ring, card, captures, link, nv, device_id, given["seed"])
    if given["wifi"] is None:
        return App(board)
    from stagelog.rig.sim.radio import with_radio

    return with_radio(board, given["wifi"])
