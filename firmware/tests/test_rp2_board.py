"""The RP2040 board files on this machine: `machine` and the drivers in assembler are faked, what
they are given is compared with firmware/WIRING.md and the RP2040 data sheet.
"""

import importlib
import io
import sys
import types

import pytest
from card_model import FakePort
from hand_table import Car

from logger import onboard
from logger.clock import Clock
from logger.ring import BlockRing
from slog import faults, framing
from slog import messages as m

TABLE = Car(2, alarms=[{"signal": 0, "warning": 100}]).data

MODULES = ("rp2_board", "pico_card", "pico_mcp2515")
SPI_CLOCK_Hz = 48_000_000  # WIRING.md, Clocks: divided by even numbers


class World:
    """A chip: pins that are set, words that are written, time, and a heap of `n_free` bytes in
    pieces of `largest` at most. `log` has what happened in order.
    """

    def __init__(self):
        self.t_us = 0
        self.n_free = 200_000
        self.largest = 1 << 20
        self.n_held = 0  # bytes of buffers that live beside the ring
        self.asked = []  # blocks that the ring tried to have
        self.pins = {}
        self.inputs = {}
        self.lit = []
        self.words = {}
        self.timeouts_ms = []
        self.n_fed = 0
        self.log = []
        self.ports = {}

    def spi_rate_Hz(self, asked_Hz):
        """Return the highest rate that the chip makes up to what was asked for."""
        divisor = 2
        while SPI_CLOCK_Hz / divisor > asked_Hz:
            divisor += 2
        return SPI_CLOCK_Hz / divisor

    def machine(self):
        world = self

        class Pin:
            OUT = 1
            IN = 0
            PULL_UP = 1

            def __init__(self, number, mode, pull=None, value=None):
                self.number = number
                if mode == Pin.OUT:
                    world.pins[number] = value
                else:
                    world.inputs[number] = pull

            def __call__(self, value=None):
                if value is None:
                    return world.pins.get(self.number, 1)
                world.pins[self.number] = value
                world.lit.append((world.t_us, value))

        def watchdog(timeout):
            world.timeouts_ms.append(timeout)
            return types.SimpleNamespace(feed=lambda: setattr(world, "n_fed", world.n_fed + 1))

        return types.SimpleNamespace(
            Pin=Pin,
            WDT=watchdog,
            mem32=world.words,
            unique_id=lambda: bytes.fromhex("e6614103e7452d2f"),
            reset_cause=lambda: 3,
            reset=lambda: world.log.append("reset"),
            bootloader=lambda: world.log.append("boot loader"),
        )

    def gc(self):
        return types.SimpleNamespace(
            collect=lambda: None,
            mem_free=lambda: self.n_free,
            threshold=lambda n: self.log.append(("threshold", n)),
        )

    def buffer(self):
        """Return a bytearray whose bytes count while it lives."""
        world = self

        class Held(bytearray):
            def __init__(self, n):
                super().__init__(n)
                world.n_held += n

            def __del__(self):
                world.n_held -= len(self)

        return Held

    def drivers(self):
        """Return {name: module} of the drivers that run on the chip only."""
        world = self

        class HotRing(BlockRing):
            def take_memory(self, n_blocks):
                world.asked.append(n_blocks)
                if n_blocks * 4096 > world.largest:
                    raise MemoryError
                super().take_memory(n_blocks)

        class HotClock(Clock):
            def __init__(self):
                super().__init__(lambda: world.t_us & 0x3FFFFFFF)
                self._tick = 0  # the chip's timer counts from power-on

        class HotPort:
            has_full_pins = True

            def __init__(self, spi, baudrate_Hz, **pins):
                world.ports["controller"] = (spi, world.spi_rate_Hz(baudrate_Hz), pins)

        class SdPort(FakePort):
            def __init__(self, spi, **pins):
                world.loaded_before_card = [n for n in MODULES if f"boards.{n}" in sys.modules]
                super().__init__()
                world.ports["card"] = (spi, pins)
                world.card = self

        class Link:
            def close(self):
                world.log.append("link closed")

        return {
            "drivers.rp2_hot": types.SimpleNamespace(
                HotRing=HotRing, HotClock=HotClock, HotPort=HotPort
            ),
            "drivers.rp2_sd": types.SimpleNamespace(SdPort=SdPort),
            "drivers.rp2_cobs": framing,
            "drivers.usb_link": types.SimpleNamespace(UsbLink=Link),
        }


@pytest.fixture
def world(monkeypatch):
    made = World()
    monkeypatch.setattr(onboard, "_ready", [])
    monkeypatch.setitem(sys.modules, "machine", made.machine())
    for name, module in made.drivers().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, f"boards.{name}", raising=False)
    made.pico = importlib.import_module("boards.pico_mcp2515")
    made.module = importlib.import_module("boards.rp2_board")
    monkeypatch.setattr(made.module, "gc", made.gc())
    monkeypatch.setattr(made.module, "bytearray", made.buffer(), raising=False)
    yield made
    for name in MODULES:
        del sys.modules[f"boards.{name}"]


class Capture:
    def __init__(self, log):
        self.stop = lambda: log.append("capture stopped")


def board_of(world, slot=0, n_blocks=2):
    """Return a board with two captures that note their end."""
    ports = world.drivers()["drivers.rp2_hot"]
    captures = [Capture(world.log), Capture(world.log)]
    ring = ports.HotRing(n_blocks)
    clock = ports.HotClock()
    return world.module.Rp2Board("test", slot, 25, Settings(), clock, ring, None, captures)


def test_the_pins_are_those_of_the_wiring(world):
    """WIRING.md, Pins; the controller may be clocked at 10 MHz at most and gets 8."""
    board = world.pico.make_board(1)
    pins = {"sck": 2, "mosi": 3, "miso": 4, "cs": 5, "interrupt": 6, "full0": 7, "full1": 8}
    assert world.ports["controller"] == (0, 8_000_000, pins)
    assert world.ports["card"] == (1, {"sck": 10, "mosi": 11, "miso": 12, "cs": 13})
    assert world.pins == {25: 1}, "the light is on while the board starts"
    assert world.inputs == {21: 1, 22: 1}, "pull-ups: an open button or power good reads high"
    assert (board.name, board.slot, board.reset_cause) == ("pico_mcp2515", 1, 3)
    assert board.device_id == bytes.fromhex("e6614103e7452d2f")
    assert (board.card._port, len(board.captures)) == (world.card, 1)


def test_the_controller_has_the_crystal_of_the_wiring(world):
    """WIRING.md, Crystal: with 16 MHz a bit at 500 kbit/s has 16 quanta, 81 % before the sample
    point: 1 + 12 of 16, then 3.
    """
    (capture,) = world.pico.make_board(0).captures
    capture.bitrate_bps = 500_000
    _, _, before, after, _, _ = capture.get_timings()
    assert (before, after) == (12, 3)
    assert capture.listen_only


def test_the_card_begins_to_start_before_the_rest_is_loaded(world):
    """It may take a second (specification, 4.2.4.2), and is told so by ACMD41."""
    assert world.loaded_before_card == ["pico_card"] or world.loaded_before_card == [
        "pico_card",
        "pico_mcp2515",
    ]
    assert world.card.log[-2:] == ["CMD55", "ACMD41"]
    card = world.pico.card
    card.init()
    assert card.n_sectors == 16384
    assert world.spi_rate_Hz(world.card.rate_Hz) == 12_000_000  # WIRING.md, Clocks


class Settings:
    """Settings with a signal table, or none."""

    def __init__(self, table=None):
        self.table = table
        self.file = io.BytesIO(table or b"")

    def open(self, item):
        assert item == m.CONFIG_SIGNALS
        return self.table and (self.file, len(self.table))


@pytest.mark.parametrize(
    ("n_free", "n_blocks"),
    [
        (300_000, 32),  # the most
        (88_000, 21),  # 88,000 / 4,096 = 21.5
        (34_000, 8),  # 8.3
    ],
)
def test_the_ring_is_what_the_heap_leaves(world, n_free, n_blocks):
    world.n_free = n_free
    ring = world.pico.make_board(0).ring
    assert ring.n_blocks == 0, "the application and its buffers come before it"
    world.module.fill_ring(ring)
    assert ring.n_blocks == n_blocks and len(ring.memory) == 4096 * n_blocks


@pytest.mark.parametrize("n_whole", [23, 15, 9, 8])
def test_a_ring_that_finds_no_whole_piece_is_made_smaller(world, n_whole):
    """The heap has enough bytes for 32 blocks, but no piece for more than `n_whole`."""
    world.largest = n_whole * 4096
    ring = world.pico.make_board(0).ring
    world.module.fill_ring(ring)
    assert ring.n_blocks == n_whole
    assert world.asked == [0, *range(32, n_whole - 1, -1)]


@pytest.mark.parametrize(("n_free", "largest"), [(32_000, 1 << 20), (300_000, 7 * 4096)])
def test_the_detectors_give_way_to_a_ring_of_eight_blocks(world, monkeypatch, n_free, largest):
    """32,000 / 4,096 = 7.8; or no piece for eight. The session says that there was no memory."""
    world.n_free, world.largest = n_free, largest
    modules = {"detectors.watch": 1, "slog.events": 2}
    monkeypatch.setattr(onboard, "sys", types.SimpleNamespace(modules=modules))

    def collect():
        if "detectors.watch" not in modules:
            world.n_free, world.largest = 80_000, 80_000

    monkeypatch.setattr(world.module.gc, "collect", collect)
    onboard.prepare(Settings(TABLE))
    ring = world.pico.make_board(0).ring
    world.module.fill_ring(ring)
    (why,) = onboard._ready
    assert ring.n_blocks == 8 and isinstance(why, MemoryError)
    assert modules == {"slog.events": 2}


@pytest.mark.parametrize("t0_us", [0, 3_000_000, (1 << 28) - 100_000])
def test_an_action_waits_until_the_answer_is_out(world, t0_us):
    """0.2 s, also across the wrap of the 28 bits of a time."""
    world.t_us = t0_us - 5_000_000 & 0x3FFFFFFF
    board = board_of(world)
    world.t_us = t0_us
    board.clock.read()
    board.control(m.CONTROL_REPL)
    for after_us in (0, 100_000, 199_000):
        world.t_us = t0_us + after_us
        board.clock.read()
        board.feed()
    world.t_us = t0_us + 200_000
    board.clock.read()
    with pytest.raises(world.module.Leave) as leave:
        board.feed()
    assert leave.value.args == (m.CONTROL_REPL,)


def test_an_action_of_the_first_pass_waits_as_well(world):
    """Loading took 3 s before the board was made: its clock is read at once."""
    clock = Clock(lambda: world.t_us)
    world.t_us = 3_000_000
    board = world.module.Rp2Board("test", 0, 25, None, clock, None, None, [])
    board.control(m.CONTROL_RESET)
    clock.read()
    board.feed()


def test_the_light_follows_its_pattern(world):
    """Sixteen steps of 2^17 us. Recording: the first only; stopped: all but the first. The pin is
    set when it changes and no more.
    """
    board = board_of(world)
    for state, expected in (
        (m.STATE_RECORDING, [1] + [0] * 15),
        (m.STATE_IDLE, [0] + [1] * 15),
    ):
        board.show(state, faults.NONE)
        seen = []
        del world.lit[:]
        for step in range(32):
            for part in range(4):
                world.t_us = (64 + step << 17) + (part << 15)
                board.clock.read()
                board.feed()
            seen.append(world.pins[25])
        assert seen == expected * 2
        assert len(world.lit) <= 4


def test_the_light_of_the_start_goes_off_in_the_first_pass_that_says_so(world):
    board = board_of(world)
    board.show(m.STATE_IDLE, faults.NONE)
    assert world.pins[25] == 1
    board.feed()
    assert world.pins[25] == 0


def test_the_watchdog_is_fed_in_each_pass_and_stopped_at_the_end(world):
    """RP2040 data sheet, 4.7.6: CTRL at 0x40058000, bit 30 enables it; 2.1.2: what is written
    0x3000 above a register is cleared in it.
    """
    board = board_of(world)
    for _ in range(3):
        board.feed()
    assert (world.timeouts_ms, world.n_fed) == ([8000], 3)
    board.close()
    assert world.words == {0x40058000 + 0x3000: 1 << 30}
    assert world.log == ["capture stopped", "capture stopped", "link closed"]


def test_a_random_number_has_32_bits(world):
    board = board_of(world)
    seen = [board.random_u32() for _ in range(64)]
    assert max(seen) >> 31 == 1 and max(seen) < 1 << 32 and len(set(seen)) == 64
    assert board.heap_free() == world.n_free


def run(world, monkeypatch, step, memory, t0_us=0):
    """Run the application `step` on a board until it leaves; return the hole and the start."""
    hole, started = [world.module.bytearray(1000)], []

    class App:
        def __init__(self, board):
            self.board = board
            world.log.append(f"made, {board.ring.n_blocks} blocks")

        def start(self):
            world.log.append(f"start, {self.board.ring.n_blocks} blocks, hole {world.n_held}")
            self.t0_us = world.t_us

        def step(self):
            step(self)
            self.board.clock.read()
            self.board.feed()

    def make(slot):
        started.append(board_of(world, slot, 0))
        return started[0]

    world.t_us = t0_us
    monkeypatch.setattr(world.module, "App", App)
    at = None if memory is None else len(memory) - 1
    world.module.run_board(make, 1, memory, at, hole)
    return hole, started[0]


@pytest.mark.parametrize(
    ("action", "end"),
    [
        (m.CONTROL_RESET, ["reset"]),
        (m.CONTROL_BOOTLOADER, ["boot loader"]),
        (m.CONTROL_REPL, []),
    ],
)
def test_the_loop_ends_with_what_was_asked_for(world, monkeypatch, action, end):
    def step(app):
        if world.t_us == app.t0_us:
            app.board.control(action)
        world.t_us += 50_000

    hole, board = run(world, monkeypatch, step, None)
    assert hole == [] and board.slot == 1
    stopped = ["capture stopped", "capture stopped", "link closed"]
    detectors = [("threshold", 8192), ("threshold", -1)]
    begin = [*detectors, "made, 0 blocks", "start, 32 blocks, hole 0"]
    assert world.log == [*begin, *stopped, *end]


@pytest.mark.parametrize(
    ("crash_us", "tries"), [(1_000_000, 2), (4_900_000, 2), (5_200_000, 0), (9_000_000, 0)]
)
def test_five_seconds_of_work_prove_the_firmware(world, monkeypatch, crash_us, tries):
    """`main.py` has counted the try; from 5 s on it is taken back, of this slot's word only."""

    def step(app):
        world.t_us += 50_000
        if world.t_us - app.t0_us >= crash_us:
            raise RuntimeError("a crash")

    memory = [7, 2]
    with pytest.raises(RuntimeError, match="a crash"):
        run(world, monkeypatch, step, memory, t0_us=3_000_000)
    assert memory == [7, tries]


def test_the_board_file_runs_its_own_board(world, monkeypatch):
    """`start.py` calls run(slot, memory, at, hole)."""
    asked = []
    monkeypatch.setattr(world.pico, "run_board", lambda *words: asked.append(words))
    world.pico.run(1, [2, 9], 1, ["hole"])
    assert asked == [(world.pico.make_board, 1, [2, 9], 1, ["hole"])]


def test_a_falling_supply_closes_the_open_block_once(world):
    """GPIO 22 low: what is in memory waits for the card at once. While it stays low, and when it
    rises again, blocks are closed as ever; the next fall closes another.
    """
    board = board_of(world)
    n_waiting = []
    for level in (1, 0, 0, 1, 0):
        board.ring.put_meta(0, 0, 1, 0, 0, bytes(8))
        world.pins[22] = level
        board.feed()
        n_waiting.append(board.ring.n_waiting())
    assert n_waiting == [0, 1, 1, 1, 2]


def test_a_falling_supply_closes_no_empty_block(world):
    board = board_of(world)
    world.pins[22] = 0
    board.feed()
    assert board.ring.n_waiting() == 0
