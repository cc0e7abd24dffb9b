"""The board files with a polled controller on a faked `machine`: see `esp32_world`."""

import types
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rp2040py")

from esp32_world import BITRATE_BPS, C3, PICO2, USUAL, WIRINGS, Link, PASS_us, esp32_world

from slog import messages as m
from stagelog.blocks import read_log
from stagelog.flash.build import build_app
from stagelog.rig.play import same_frames, saturated_tape
from stagelog.rig.rp2040.card_timing import INSTANT, SLOWEST

# Of the card once it is set up: an ESP32 divides 80 MHz; with the C3's the controller must go
# along; a Pico 2's as a Pico's.
RATES_Hz = {USUAL: 20e6, "esp32s3_mcp2518": 20e6, C3: 16e6, PICO2: 12e6}
MICROPYTHON = {USUAL: "xtensawin", "esp32s3_mcp2518": "xtensawin", C3: "rv32imc"}


@pytest.fixture
def timing():
    """How long the card takes; a test may have another."""
    return INSTANT


@pytest.fixture
def name():
    """The board file; a test may have another."""
    return USUAL


@pytest.fixture
def world(tmp_path, monkeypatch, timing, name):
    with esp32_world(tmp_path, monkeypatch, timing, name) as made:
        yield made


@pytest.mark.parametrize("name", WIRINGS)
def test_board_records_a_busy_bus(world, tmp_path, name):
    from logger.app import App

    board = world.file.make_board(0)
    app = App(board)
    app.start()
    assert board.name == name
    assert board.device_id == b"ESP\1\2\3\0\0" and app.status()["state"] == m.STATE_RECORDING
    tape = saturated_tape(BITRATE_BPS, 300_000)
    world.play(tape)
    while world.next is not None:
        app.step()
        world.pass_us(PASS_us)
    app.control(m.CONTROL_STOP)
    for _ in range(200):
        app.step()
        world.pass_us(PASS_us)
    status = app.status()
    assert status["state"] == m.STATE_IDLE and status["at_least0"] == world.chip.n_lost == 0
    assert not world.chip.violations and not world.chip.n_dominant
    assert all("kHz" in text for text in world.card.violations), "more than the unused SPI's rate"
    assert world.rates_Hz == [400_000, RATES_Hz[name]]
    assert set(world.light) == {0, 1}
    session = read_log(tmp_path / "card.img").sessions[0]
    assert same_frames(tape, np.concatenate(list(session.iter_frames())))


@pytest.mark.parametrize("name", WIRINGS)
def test_the_card_begins_to_start_before_the_rest_is_loaded(world, name):
    """It may take a second (SD specification 6.00, 4.2.3), and is asked to by the first CMD0."""
    first = world.order.index("CMD0")
    assert ("drivers.shared_spi" if name == C3 else "drivers.sdcard") in world.order[:first]
    before = [name for name in world.order[:first] if name.startswith(("logger", "boards."))]
    own = [f"boards.{name.partition('_')[0]}_card"]
    assert before == own + ["boards.polled_card"] * (name != C3)
    assert "drivers.mcp2518fd" in world.order[first:] and "logger.app" in world.order[first:]


@pytest.mark.parametrize("timing", [replace(INSTANT, init_us=SLOWEST.init_us)])
def test_a_slow_card_costs_no_frame_while_it_starts(world):
    """0.999 s from the first ACMD41 on, of which 0.7 s are over when all is loaded. In the 0.299 s
    that are left a full bus of 239 us a frame (WIRING.md) sends 1,251, and the controller holds
    32: it is drained each millisecond, and the ring has 5 blocks of 252 for them. A tenth of the
    time is for asking the card.
    """
    from logger.app import App

    app = App(world.file.make_board(0))
    world.play(saturated_tape(BITRATE_BPS, 1_300_000))
    t0_us = world.now_us()
    app.start()
    assert 299_000 < world.now_us() - t0_us < 399_000
    assert app.status()["state"] == m.STATE_RECORDING
    while world.next is not None:
        app.step()
        world.pass_us(PASS_us)
    status = app.status()
    assert world.chip.n_lost == status["at_least0"] == status["dropped0"] == 0


@pytest.mark.parametrize("timing", [replace(INSTANT, init_us=SLOWEST.init_us)])
@pytest.mark.parametrize("name", WIRINGS)
def test_a_card_put_in_later_may_take_its_second(world):
    """0.999 s, though nobody woke it: 50 bytes at 400 kHz are a millisecond."""
    board = world.file.make_board(0)
    board.card._is_starting = False
    world.card.power_on()
    t0_us = world.now_us()
    board.card.init()
    assert 999_000 < world.now_us() - t0_us < 1_010_000


def test_board_leaves_its_loop_when_asked(world):
    board = world.file.make_board(255)
    board.control(m.CONTROL_REPL)
    board.feed()
    world.pass_us(300_000)
    with pytest.raises(world.module.Leave):
        board.feed()


def test_the_watchdog_is_fed_by_the_loop_and_waits_an_hour_at_the_prompt(world, monkeypatch):
    """8 s while it records; it can't be stopped, so 3,600 s are set before the prompt."""
    timeouts_ms, fed = [], []

    def watchdog(timeout):
        timeouts_ms.append(timeout)
        return types.SimpleNamespace(feed=lambda: fed.append(timeout))

    monkeypatch.setattr(world.module.machine, "WDT", watchdog)
    board = world.file.make_board(255)
    board.link = types.SimpleNamespace(close=lambda: None)
    for _ in range(3):
        board.feed()
    assert fed == [8000] * 3
    board.close()
    assert timeouts_ms == [8000, 3_600_000]


@pytest.mark.parametrize(("crash_us", "tries"), [(1_000_000, 2), (4_900_000, 2), (5_200_000, 0)])
def test_five_seconds_of_work_prove_the_firmware(world, monkeypatch, crash_us, tries):
    """`main.py` has counted the try; only from 5 s on is it taken back."""

    class Crashing:
        service = types.SimpleNamespace(handlers={})

        def __init__(self, board):
            self.start = lambda: setattr(self, "t0_us", world.now_us())

        def step(self):
            world.pass_us(50_000)
            if world.now_us() - self.t0_us >= crash_us:
                raise RuntimeError("a crash")

    monkeypatch.setattr(world.app_module, world.app_name, Crashing)
    memory, hole = [2], [bytearray(8)]
    with pytest.raises(RuntimeError, match="a crash"):
        world.file.run(0, memory, 0, hole)
    assert memory == [tries] and hole == []


def started(world):
    """Return a board that receives, without the application."""
    board = world.file.make_board(0)
    board.can.set_up({"bitrate_bps": BITRATE_BPS})
    board.can.start(board.ring)
    board.card.init()
    return board


@pytest.mark.parametrize("name", WIRINGS)
def test_frames_are_fetched_while_the_card_is_read(world):
    """64 sectors take 13 ms on the wire, the FIFO of 32 lasts 7 ms of a full bus."""
    board = started(world)
    world.play(saturated_tape(BITRATE_BPS, 30_000))
    t0_us = world.now_us()
    board.card.read(0, bytearray(64 * 512))
    assert world.now_us() - t0_us > 13_000
    board.can.drain()
    assert world.chip.n_lost == 0 and board.ring.state[4] > 13_000 // 222


@pytest.mark.parametrize("name", [C3])
@pytest.mark.parametrize("timing", [replace(INSTANT, sector_us=2000)])
def test_frames_are_fetched_while_a_card_on_the_same_spi_is_busy(world):
    """8 sectors of 2 ms each: 16 ms and more, while the FIFO of 32 lasts 7 ms of a full bus. The
    world asserts that one chip at a time is selected and that the card has let go of the wire.
    """
    board = started(world)
    before = board.ring.state[4]
    block = bytes(range(256)) * 16
    world.play(saturated_tape(BITRATE_BPS, 60_000))
    board.card.write_start(64, memoryview(block))
    t0_us = world.now_us()
    while board.card.write_poll() == 1:
        board.feed()
        world.pass_us(PASS_us)
    assert world.now_us() - t0_us > 14_000 and board.card.write_poll() == 0
    assert world.chip.n_lost == 0 and board.ring.state[4] - before > 14_000 // 239
    found = bytearray(4096)
    board.card.read(64, found)
    assert found == block and not world.chip.violations


@pytest.mark.parametrize("name", [PICO2])
def test_at_the_prompt_of_a_pico_2_no_watchdog_runs(world, monkeypatch):
    """RP2350 data sheet, 2.2.4 and 12.9: the watchdog's CTRL is at 0x400D8000, atomic clear 0x3000
    above, bit 30 enables it.
    """
    board = world.file.make_board(255)
    board.link = types.SimpleNamespace(close=lambda: None)
    board.close()
    assert world.words == {0x400D8000 + 0x3000: 1 << 30}


@pytest.mark.parametrize("name", [PICO2])
def test_a_pico_2_has_a_button_and_two_spis_of_its_own(world):
    board = world.file.make_board(255)
    assert board.button() == 1
    world.pins[21] = 0
    assert board.button() == 0
    assert world.spi_Hz[0] == 16_000_000 < 0.85 / 2 * 40e6


def test_a_record_of_the_logger_comes_after_the_frames_before_it(world):
    board = started(world)
    world.chip.receive(world.now_us(), 0x123, 0, 0, b"")
    world.pass_us(500)
    board.clock.read()
    board.ring.put_meta(board.clock.lo, board.clock.hi, 1, 0, 0, bytes(8))
    words = [int.from_bytes(board.ring.blocks[0][at : at + 4], "little") for at in (64, 80)]
    assert [word >> 28 for word in words] == [0, 15]
    assert 500 <= (words[1] - words[0] & 0xFFFFFFF) < 700


def test_the_pass_feeds_fetches_and_lights(world):
    """A pass fetches what waits; the light has steps of 2^17 us: while stopped all but the first
    of sixteen.
    """
    board = started(world)
    assert world.light == [1] and board.captures == [board.can]
    world.chip.receive(world.now_us(), 0x123, 0, 0, b"")
    board.feed()
    assert board.ring.state[4] == 1
    board.show(m.STATE_IDLE, 0)
    t0_us = board.clock.t_us()
    seen = []
    for step in range(32):
        world.pass_us(t0_us + (32 + step << 17) + 60_000 - board.clock.t_us() - t0_us % (1 << 21))
        board.clock.read()
        board.feed()
        seen.append(world.pins[2])
    first = seen.index(0)
    assert [seen[(first + i) % 32] for i in range(32)] == ([0] + [1] * 15) * 2


def test_the_controller_has_the_crystal_of_the_wiring(world):
    """WIRING.md: 40 MHz; at 500 kbit/s 80 quanta, 1 + 63 before the sample point."""
    assert started(world).can.get_timings()[2:4] == [63, 16]


@pytest.mark.parametrize("name", [name for name in WIRINGS if name not in (C3, PICO2)])
def test_the_controllers_spi_stays_below_its_limit(world):
    """DS20006027B, table 7-6: 0.85 / 2 of the clock of 40 MHz. An ESP32 divides 80 MHz."""
    board = started(world)
    asked_Hz = world.spi_Hz[1]
    assert max(80e6 / n for n in range(2, 100) if 80e6 / n <= asked_Hz) == 16e6 < 0.85 / 2 * 40e6
    assert world.spi_Hz[2] == 400_000, "faster than a card allows before it is set up"
    assert world.rates_Hz[-1] <= 25_000_000, "faster than a card allows"
    assert board.card.n_sectors


def test_random_numbers_have_32_bits(world):
    seen = [world.file.make_board(0).random_u32() for _ in range(40)]
    assert 1 << 31 <= max(seen) < 1 << 32 and len(set(seen)) == 40


@pytest.mark.parametrize(
    ("action", "end"),
    [
        (m.CONTROL_RESET, ["reset"]),
        (m.CONTROL_BOOTLOADER, ["boot loader"]),
        (m.CONTROL_REPL, []),
    ],
)
def test_the_loop_ends_with_what_was_asked_for(world, monkeypatch, action, end):
    """0.2 s later, when the answer is out: the controller has left the bus, the port is free."""
    log, boards = [], []
    machine = world.module.machine
    monkeypatch.setattr(machine, "reset", lambda: log.append("reset"), raising=False)
    monkeypatch.setattr(machine, "bootloader", lambda: log.append("boot loader"), raising=False)
    monkeypatch.setattr(Link, "close", lambda self: log.append("link closed"), raising=False)

    class Asked:
        service = types.SimpleNamespace(handlers={})

        def __init__(self, board):
            self.board = board
            boards.append(board)

        def start(self):
            boards[0].can.set_up({"bitrate_bps": BITRATE_BPS})
            boards[0].can.start(boards[0].ring)
            world.pass_us(1_000_000)
            boards[0].control(action)
            self.t0_us = world.now_us()

        def step(self):
            world.pass_us(10_000)
            boards[0].feed()

    monkeypatch.setattr(world.app_module, world.app_name, Asked)
    t0_us = world.now_us()
    world.file.run(1, None, None, [])
    assert log == ["link closed", *end]
    assert 1_190_000 <= world.now_us() - t0_us <= 1_260_000
    assert world.chip._mode == 4, "the controller still receives"


def test_the_ring_is_as_large_as_the_heap_allows(world, monkeypatch):
    """128 blocks do not fit, nor 64; what fits into the heap of a chip without PSRAM are 16."""
    asked = []

    def ring(n_blocks):
        asked.append(n_blocks)
        if n_blocks > 32:
            raise MemoryError
        return n_blocks

    monkeypatch.setattr(world.module, "FdRing", ring)
    assert world.module._make_ring(128) == 32 and asked == [128, 64, 32]
    assert world.module._make_ring(16) == 16


@pytest.mark.parametrize(
    ("name", "has_uart"), [(USUAL, True), ("esp32s3_mcp2518", False), (C3, False)]
)
def test_a_board_with_a_uart_changes_its_rate_and_leaves_the_prompt_the_usual(
    world, monkeypatch, name, has_uart
):
    """UART 0 is the prompt's; 921,600 is asked for, 115,200 is what a prompt has. MicroPython
    writes to UART 0 what it writes to a USB (ports/esp32/mphalport.c, issue 14257) and waits for
    both: at 115,200 baud that USB would carry 11.5 kB/s.
    """
    from slog import line_rate as lr

    rates, asked = world.uart_bps, []
    monkeypatch.setattr(Link, "close", lambda self: None, raising=False)
    radio_app = world.app_module.RadioApp
    started = radio_app.start

    def start(app):
        started(app)
        asked.append(app)
        if has_uart:
            app.service.handlers[lr.RATE]((921_600).to_bytes(4, "little"))
        else:
            assert lr.RATE not in app.service.handlers
        app.control(m.CONTROL_STOP)
        for _ in range(400):
            app.step()
            world.pass_us(PASS_us)
        app.board.control(m.CONTROL_REPL)
        world.pass_us(300_000)

    monkeypatch.setattr(radio_app, "start", start)
    world.file.run(255, None, None, [])
    assert rates == [(0, 921_600 if has_uart else 2_000_000), (0, 115_200)]


@pytest.mark.parametrize("name", WIRINGS)
def test_it_compiles_for_the_chip(name):
    app = build_app(name, MICROPYTHON.get(name, "armv7emsp"), readable=True)
    has_radio = name != PICO2
    assert ("logger/service_mode.mpy" in app.modules) == has_radio
    assert ("drivers/wifi.mpy" in app.modules) == has_radio
    assert "drivers/mcp2518fd.mpy" in app.modules and "drivers/rp2_hot.mpy" not in app.modules
    assert ("drivers/shared_spi.mpy" in app.modules) == (name == C3)
