"""The interface of a rig to its tests, for every target: play a bus, cut the power, talk to the
logger.

    target          what it runs
    sim             the application in this process, models of everything, virtual time
    rv32            the same on MicroPython on a 32-bit RISC-V (`rig.rv32.target`)
    rp2040          the shipped firmware on an emulated chip (`rig.rp2040.target`)
    hardware        a board on a cable and a python-can interface (`rig.hardware`)

A test states what it needs in words of CAPABILITIES; a target that lacks one makes the test skip
with that reason.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from stagelog.link import Link
from stagelog.resources import import_firmware
from stagelog.rig.logger import App, VirtualLogger
from stagelog.rig.tape import Event, Tape

CAPABILITIES = {
    "power": "cut and restore the power",
    "storage": "stall, reject, remove or change the card",
    "controller": "take the CAN controller away and put it back",
    "errors": "errors and other rates on the bus",
    "light": "see the light",
    "button": "press the board's button",
    "can_fd": "record CAN FD",
    "virtual_time": "decide when time passes",
    "saturated": "a full 1 Mbit/s bus",
    "short_ring": "a ring that a full bus fills in two seconds",
    "repl": "run code at MicroPython's prompt",
    "bench": "be measured by a bring-up",
}
METHODS = {  # capability -> methods that come with it
    "power": ("power_on", "power_cut"),
    "storage": ("card_stall", "card_remove", "card_insert", "card_swap", "card_protect"),
    "controller": ("controller_remove", "controller_insert"),
    "light": ("light",),
    "button": ("button",),
    "repl": ("repl",),
    "bench": ("bench",),
}
LIGHT_STEPS = 16  # of boards.light


class Target(Protocol):
    """What every target has; one with a capability has the methods that METHODS says, too."""

    name: str
    capabilities: frozenset[str]
    link: Link

    @property
    def is_on(self) -> bool:
        """True while the logger has power."""

    @property
    def now_us(self) -> int:
        """Time since the target was made, or since power-on."""

    @property
    def drove_dominant(self) -> bool | None:
        """Whether the logger has driven its bus; None: the target cannot find out."""

    def play(self, tape: Tape) -> None:
        """Play a tape from now on, up to its last event."""

    def send(self, data: bytes) -> None:
        """Send bytes to the logger's data port as they are."""

    def run_for(self, us: int) -> None:
        """Let time pass on a silent bus."""

    def close(self) -> None:
        """Release everything."""


def fd_args(bitrate_bps: int, data_bitrate_bps: int, **args: Any) -> dict[str, Any]:
    """Return the arguments of a simulated logger on a bus of CAN FD."""
    bus = {"bitrate_bps": bitrate_bps, "data_bitrate_bps": data_bitrate_bps}
    given = {"controller": "mcp2518fd", "settings": {"buses": [bus]}, **args}
    return {"data_bitrate_bps": data_bitrate_bps, **given}


def lacking_of(board: str | None) -> frozenset[str]:
    """Return what a target lacks with a board file that polls its controller, on models. A ring of
    16 blocks is too short for 500 ms of a full 1 Mbit/s bus.
    """
    if board is None:
        return frozenset()
    has_room = board in ("esp32s3_mcp2518", "pico2_mcp2518fd")
    return frozenset(("button", "short_ring" if has_room else "saturated"))


def tape_events(tape: Tape, offset_us: int = 0, chunk: int = 65536) -> Iterator[Event]:
    """Yield the events of a tape as `rig.sim.world.World` plays them."""
    for start in range(0, len(tape), chunk):
        for row in tape[start : start + chunk].tolist():
            t_us, kind, bus, dlc, flags, can_id, tec, rec, state, _, data, _ = row
            yield (t_us + offset_us, kind, bus, flags, can_id, dlc, state, tec, rec, data)


def light_of(steps: int) -> int:
    """Return a light's pattern, sampled in LIGHT_STEPS bits, rotated to its least value: two
    samples of the same pattern are equal, whenever they began.
    """
    turned = (steps >> n | steps << LIGHT_STEPS - n for n in range(LIGHT_STEPS))
    return min(value & (1 << LIGHT_STEPS) - 1 for value in turned)


class ModelTarget(ABC):
    """What the targets in virtual time share: the state of the models of card and controllers.
    Invariant: what is pulled out while the power is off is missing at the next boot.
    """

    capabilities = frozenset(CAPABILITIES) - {"repl", "bench", "button", "can_fd"}
    drove_dominant = False  # the model of the controller has no transmitter

    def __init__(self, args: dict[str, Any]) -> None:
        self._args = args  # of rig.sim.assemble.DEFAULTS, for the next boot
        self._controllers = True
        self._n_boots = 0

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """True while the logger has power."""

    @abstractmethod
    def play(self, tape: Tape) -> None:
        """Play a tape from now on, up to its last event."""

    def card_remove(self) -> None:
        """Pull the card out."""
        self._put_card(False)

    def card_insert(self) -> None:
        """Put the card back in."""
        self._put_card(True)

    def card_protect(self) -> None:
        """Lock the card for ever, as worn ones do."""
        self._set_card("read_only", True)

    def controller_remove(self) -> None:
        """Take the controllers off their sockets."""
        self._put_controllers(False)

    def controller_insert(self) -> None:
        """Put the controllers back."""
        self._put_controllers(True)

    def light(self, tape: Tape | None = None) -> int:
        """Return what the light shows, see light_of, after the bus has carried the tape."""
        if tape is not None:
            self.play(tape)
        return light_of(self._shown_pattern())

    def _put_card(self, present: bool) -> None:
        self._args["card_present"] = present
        if self.is_on:
            self._set_card("present", present)

    def _put_controllers(self, present: bool) -> None:
        self._controllers = present
        if self.is_on:
            self._set_captures("present", present)

    def _boot_args(self) -> dict[str, Any]:
        """Return the arguments of this boot: each has a seed of its own."""
        self._n_boots += 1
        return dict(self._args, seed=self._args.get("seed", 1) + self._n_boots - 1)

    @abstractmethod
    def _set_card(self, name: str, value: bool) -> None:
        """Set an attribute of the card's model."""

    @abstractmethod
    def _set_captures(self, name: str, value: bool) -> None:
        """Set an attribute of each controller's model."""

    @abstractmethod
    def _shown_pattern(self) -> int:
        """Return the pattern of the light, as boards.light.pattern_of does."""


class SimTarget(ModelTarget):
    """A rig in virtual time. The card is an image in `folder` and outlives power cuts.

    args  of rig.sim.assemble.DEFAULTS; card_blocks; bitrate_bps of the buses that are wired to it,
          None for those of its settings at power-on; data_bitrate_bps: of CAN FD on them, with a
          controller that understands it
    """

    name = "sim"
    capabilities = ModelTarget.capabilities | {"button", "can_fd"}

    def __init__(self, folder: Path, **args: Any) -> None:
        from stagelog.card import prepare_raw

        self.bitrate_bps = args.pop("bitrate_bps", None)
        if "data_bitrate_bps" in args:
            args = fd_args(self.bitrate_bps or 500_000, **args)
        self.capabilities = self.capabilities - lacking_of(args.get("board"))
        import_firmware()
        self.card_path = folder / "card.img"
        if not self.card_path.exists():
            prepare_raw(self.card_path, args.pop("card_blocks", 4096))
        super().__init__(dict(args, card=str(self.card_path)))
        self._logger: VirtualLogger | None = None
        self.power_on()

    @property
    def logger(self) -> VirtualLogger:
        """The simulated logger: its stream, its world; for tests that only this target can run."""
        if self._logger is None:
            raise RuntimeError("the logger has no power: call power_on first")
        return self._logger

    @property
    def app(self) -> App:
        """The application, for tests that only this target can run."""
        return self.logger.app

    @property
    def is_on(self) -> bool:
        """True while the logger has power."""
        return self._logger is not None

    @property
    def now_us(self) -> int:
        """Time since power-on."""
        return int(self.logger.world.clock.now_us)

    def power_on(self) -> None:
        """Boot the logger."""
        self._logger = VirtualLogger(self._boot_args())
        for capture in self.app.board.captures:
            capture.wire_bps = self.bitrate_bps or capture.bitrate_bps
            capture.present = self._controllers
        self.link = Link(self._logger, "sim", self._logger.clock)

    def power_cut(self) -> None:
        """Cut the power: memory and the write in progress are lost, the card stays."""
        self.logger.close()
        self._logger = None

    def play(self, tape: Tape) -> None:
        """Play a tape from now on, up to its last event."""
        world = self.logger.world
        events = tape_events(tape, self.now_us)
        world.add_events(events)
        world.run_tape()

    def send(self, data: bytes) -> None:
        """Send bytes to the logger's data port as they are."""
        self.logger.write(data)

    def card_stall(self, delay_us: int, duration_us: int) -> None:
        """Let the card finish nothing for a while, `delay_us` from now."""
        start = self.now_us + delay_us
        self.app.board.card.stalls.append((start, start + duration_us))

    def card_swap(self, path: Path) -> None:
        """Put another card in, an image at `path`."""
        from stagelog.rig.sim.models import FileImage

        self.card_path = path
        self._args["card"] = str(path)
        card = self.app.board.card
        card.image.close()
        card.swap(FileImage(path))

    def button(self, is_pressed: bool) -> None:
        """Press the board's button, or let it go."""
        self.app.board.button_level = int(not is_pressed)

    def run_for(self, us: int) -> None:
        """Let time pass on a silent bus."""
        self.logger.world.run_for(us)

    def close(self) -> None:
        """Release everything."""
        if self._logger is not None:
            self._logger.close()

    def _set_card(self, name: str, value: bool) -> None:
        setattr(self.app.board.card, name, value)

    def _set_captures(self, name: str, value: bool) -> None:
        for capture in self.app.board.captures:
            setattr(capture, name, value)

    def _shown_pattern(self) -> int:
        from boards.light import pattern_of

        return int(pattern_of(*self.app.board.shown))
