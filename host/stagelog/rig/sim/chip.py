"""A board file of a chip whose controller is polled, run among models: `boards/NAME.py` as it is
shipped, with MicroPython's `machine` and `network` replaced. The driver speaks to the controller's
register model over that `machine.SPI`; the card is the one of `models`, by whole sectors.

Such boards use no interrupt of MicroPython, so a pass of the main loop is all that there is. Runs
on MicroPython too.
"""

import sys

TYPE_CHECKING = False  # MicroPython has no module typing
if TYPE_CHECKING:
    from typing import Any

    from stagelog.rig.sim.mcp2518fd import Mcp2518fdModel
    from stagelog.rig.sim.models import LoggerLink, MemoryNv, SimCard, SimClock

POLLED_BOARDS = (
    "esp32_mcp2518fd",
    "esp32c3_mcp2518",
    "esp32s3_mcp2518",
    "pico2_mcp2518fd",
)
_REPLACED = ("machine", "network", "drivers.usb_link")
_OURS = ("boards.polled_board", "boards.esp32_board", "drivers.wifi")


class _Pin:
    """A pin: what is wired to it pulls it high."""

    IN, OUT, PULL_UP = 0, 1, 2

    def __init__(self, number: int, mode: int = 0, pull: int = 0, value: int = 1) -> None:
        self.number = number
        self.level = value

    def __call__(self, value: "int | None" = None) -> int:
        if value is not None:
            self.level = value
        return self.level


class _Watchdog:
    def __init__(self, timeout: int) -> None:
        self.timeout = timeout

    def feed(self) -> None:
        pass


class _Machine:
    """MicroPython's module `machine`, with a controller on its SPI."""

    Pin = _Pin
    WDT = _Watchdog

    def __init__(self, chip: "Mcp2518fdModel", device_id: bytes) -> None:
        self.mem32: dict[int, int] = {}
        self._chip = chip
        self._device_id = device_id

    def unique_id(self) -> bytes:
        """Return the logger's id."""
        return self._device_id

    def reset_cause(self) -> int:
        """Return 1: power-on."""
        return 1

    def UART(self, number: int, rate_bps: int) -> None:
        """Do nothing: the link of a simulated logger has no rate."""

    def SPI(self, number: int, rate_Hz: int, **pins: _Pin) -> "_Spi":
        """Return an SPI."""
        return _Spi(self._chip)


class _Spi:
    def __init__(self, chip: "Mcp2518fdModel") -> None:
        self._chip = chip

    def write_readinto(
        self, out: "bytearray | memoryview", into: "bytearray | memoryview"
    ) -> None:
        into[:] = out
        self._chip.transfer(into)

    def write(self, out: bytes) -> None:
        self._chip.transfer(bytearray(out))


class _Wlan:
    IF_STA, IF_AP = 0, 1

    def __init__(self, interface: int) -> None:
        self._is_active = True  # as a boot.py may have left it

    def active(self, value: "bool | None" = None) -> bool:
        if value is not None:
            self._is_active = value
        return self._is_active


class _Network:
    WLAN = _Wlan


class _Time:
    """MicroPython's module `time`, on virtual time."""

    def __init__(self, clock: "SimClock") -> None:
        self.ticks_us = clock.ticks_us

    def sleep_us(self, us: int) -> None:
        """No time passes."""


class _UsbLink:
    """Module `drivers.usb_link`."""

    def __init__(self, link: "LoggerLink") -> None:
        self.UsbLink = lambda: link


class _CardModule:
    """A module `boards.*_card`: the card, and on a chip with one SPI the parts that share it."""

    def __init__(self, card: "SimCard", machine: _Machine) -> None:
        from drivers.shared_spi import SharedSdPort

        self.card = card
        self.spi = machine.SPI(1, 400_000)
        self.controller_select = _Pin(10)
        self.port = SharedSdPort(self.spi, _Pin(4))


def load_app(
    name: str,
    clock: "SimClock",
    chip: "Mcp2518fdModel",
    card: "SimCard",
    link: "LoggerLink",
    nv: "MemoryNv",
    device_id: bytes,
    random_u32: "Any",
) -> "Any":
    """Return the application of the board file `name`, on models."""
    for each in ("time", "socket"):
        try:
            __import__(each)
        except ImportError:  # a bare machine has neither; the radio stays off
            sys.modules[each] = _Time(clock)  # type: ignore[assignment]
    machine = _Machine(chip, device_id)
    card_module = "boards." + name.split("_")[0] + "_card"
    fakes = (machine, _Network(), _UsbLink(link), _CardModule(card, machine))
    names = _REPLACED + (card_module,)
    kept = {each: sys.modules.pop(each, None) for each in names}
    for each, fake in zip(names, fakes):  # noqa: B905 (MicroPython's takes no `strict`)
        sys.modules[each] = fake  # type: ignore[assignment]
    own = _OURS + ("boards." + name,)
    try:
        return _load(name, clock, chip, nv, random_u32)
    finally:
        for each in own:
            sys.modules.pop(each, None)
        for each, module in kept.items():
            sys.modules.pop(each)
            if module is not None:
                sys.modules[each] = module


def _load(
    name: str, clock: "SimClock", chip: "Mcp2518fdModel", nv: "MemoryNv", random_u32: "Any"
) -> "Any":
    from stagelog.rig.sim.polled import PolledController

    __import__("boards." + name)
    shared: Any = sys.modules["boards.polled_board"]
    shared.time = sys.modules["drivers.spi_ports"].time = _Time(clock)  # type: ignore[attr-defined]
    shared.Settings = lambda folder, slot: nv
    shared.Mcp2518fd = lambda port, own_clock, crystal_Hz: PolledController(
        chip, own_clock, 0, port
    )
    module: Any = sys.modules["boards." + name]
    board = module.make_board(255)
    _join(board, clock, random_u32)
    return board.make_app()


def _join(board: "Any", clock: "SimClock", random_u32: "Any") -> None:
    """Give a board what `world` and the targets look at, and what is not the chip's here."""
    show = board.show

    def note(state: int, fault: int) -> None:
        board.shown = (state, fault)
        show(state, fault)

    def ask(action: int) -> None:
        board.asked = action

    board.show = note
    board.control = ask
    board.shown = board.asked = None
    board.sim_clock = clock
    board.heap_free = lambda: 0
    board.random_u32 = random_u32
