"""A simulated board whose frames the main loop fetches: an MCP2518FD behind SPI, no interrupt.

Runs on MicroPython too: `python -m stagelog.rig.sim.polled CARD TAPE LOOP_US` plays a tape into
the application, stops the session and prints stored, dropped and lost frames.
"""

import json
import sys

from drivers.fd_ring import FdRing
from drivers.mcp2518fd import Mcp2518fd
from logger.app import App
from slog.messages import CONFIG_SETTINGS, CONTROL_STOP
from stagelog.rig.sim.mcp2518fd import Mcp2518fdModel
from stagelog.rig.sim.models import (
    FileImage,
    MemoryNv,
    NoLink,
    SimBoard,
    SimCard,
    SimClock,
    read_tape,
)
from stagelog.rig.sim.world import World

TYPE_CHECKING = False  # MicroPython has no module typing
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from stagelog.rig.sim.models import LoggerLink
    from stagelog.rig.tape import Event

_RING_BLOCKS = 24


class PolledController(Mcp2518fd):  # type: ignore[misc]  # the firmware has no annotations
    """The driver, with the methods by which `rig.sim.world` puts frames into its chip.

    port   the driver's to the chip, as a board file makes it; None: the chip itself
    """

    def __init__(
        self, chip: Mcp2518fdModel, clock: "Any", bus: int = 0, port: "Any" = None
    ) -> None:
        super().__init__(port or chip, clock, chip.crystal_Hz, bus)
        self.chip = chip
        self.receive = chip.receive
        self.see_error = chip.see_error

    @property
    def wire_bps(self) -> int:
        """Bit rate of its bus."""
        return self.chip.wire_bps

    @wire_bps.setter
    def wire_bps(self, rate_bps: int) -> None:
        self.chip.wire_bps = rate_bps

    @property
    def present(self) -> bool:
        """Whether it is soldered in."""
        return self.chip.present

    @present.setter
    def present(self, on: bool) -> None:
        if on and not self.chip.present:
            self.chip.reset()
        self.chip.present = on

    def serve(self, t_us: int) -> None:
        """There is no interrupt."""

    def change_state(self, state: int, tec: int, rec: int) -> None:
        """A listener's counters stand still."""


class PolledBoard(SimBoard):
    """A SimBoard that drains its controller once a pass, like `boards.esp32_mcp2518fd`."""

    def __init__(
        self,
        clock: SimClock,
        chip: Mcp2518fdModel,
        card: SimCard,
        link: "LoggerLink",
        nv: MemoryNv,
        device_id: bytes = b"SIM00001",
        seed: int = 1,
        ring_blocks: int = _RING_BLOCKS,
    ) -> None:
        super().__init__(clock, FdRing(ring_blocks), card, [], link, nv, device_id, seed)
        capture = PolledController(chip, self.clock)
        self.captures.append(capture)
        self.ring.fetch = capture.drain

    def feed(self) -> None:
        """Feed the watchdog and fetch the frames that have arrived."""
        super().feed()
        self.captures[0].drain()


def make_world(
    card_path: str, events: "Iterable[Event]", loop_us: int, bitrate_bps: int = 500_000
) -> tuple[World, Mcp2518fdModel]:
    """Return (World, Mcp2518fdModel) of an application that has started."""
    clock = SimClock()
    chip = Mcp2518fdModel(lambda: clock.now_us, bitrate_bps)
    card = SimCard(FileImage(card_path), clock)
    settings = {"buses": [{"bitrate_bps": bitrate_bps}]}
    nv = MemoryNv({CONFIG_SETTINGS: json.dumps(settings).encode()})
    app = App(PolledBoard(clock, chip, card, NoLink(), nv))
    app.start()
    return World(app, events, loop_us), chip


def main(card_path: str, tape_path: str, loop_us: str) -> None:
    """Record a tape; print how many frames were stored, dropped and lost."""
    with open(tape_path, "rb") as stream:
        world, chip = make_world(card_path, read_tape(stream), int(loop_us))
        world.run_tape()
    world.run_for(100_000)
    world.app.control(CONTROL_STOP)
    world.run_for(1_000_000)
    status = world.app.status()
    print(status["stored0"], status["dropped0"], status["at_least0"], chip.n_lost)
    world.board.card.image.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
