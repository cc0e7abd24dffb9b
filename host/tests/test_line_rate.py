"""A faster UART, negotiated over a pseudo-terminal whose two ends have rates: bytes that are sent
at one rate and read at another are garbage, as on a wire. The logger is the firmware's own
application.
"""

import termios
import threading
import time

import pytest

from slog import line_rate as lr
from slog import messages as m
from stagelog.card import prepare_raw
from stagelog.errors import DeviceError
from stagelog.line_rate import fast_line, seconds_of, slow_text
from stagelog.link import Link, positions_of
from stagelog.ports import SerialStream
from stagelog.resources import import_firmware
from stagelog.rig.live import PtyLink

BOARD = "esp32_mcp2518fd"
RATES = {
    getattr(termios, f"B{rate}"): rate for rate in (115_200, 460_800, 921_600, 2_000_000)
}  # as the terminal has it


class Uart(PtyLink):
    """The logger's UART. `rate_bps` is its own rate, `most_bps` what the wire carries."""

    def __init__(self):
        super().__init__()
        self.rate_bps, self.most_bps = lr.BASE_bps, 10_000_000
        self.rates = []

    def set_rate(self, rate_bps):
        self.rate_bps = rate_bps
        self.rates.append(rate_bps)

    def is_garbled(self):
        host_bps = RATES[termios.tcgetattr(self._slave)[5]]
        return host_bps != self.rate_bps or self.rate_bps > self.most_bps

    def read(self, buf):
        n = super().read(buf)
        if n and self.is_garbled():
            buf[:n] = bytes(byte ^ 0x5A for byte in buf[:n])
        return n

    def write(self, buf, at, n):
        if self.is_garbled():
            super().write(bytes(byte ^ 0x5A for byte in memoryview(buf)[at : at + n]), 0, n)
            return n
        return super().write(buf, at, n)


class Logger:
    """The logger in a thread that follows the clock on the wall."""

    def __init__(self, folder, board):
        import_firmware()
        from logger.line_rate import LineRate
        from stagelog.rig.sim.assemble import build
        from stagelog.rig.sim.world import World

        card = folder / "card.img"
        prepare_raw(card, 256)
        self.uart = Uart()
        self.app = build({"card": str(card)}, self.uart)
        self.app.board.name = board
        self.app.start()
        self.rate = LineRate(self.app, self.uart.set_rate) if board == BOARD else None
        self._world = World(self.app, (), 1000)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        begin_s = time.monotonic()
        while not self._is_over.wait(0.001):
            self._world.run_until(int((time.monotonic() - begin_s) * 1e6))
            if self.rate is not None:
                self.rate.step()

    def close(self):
        self._is_over.set()
        self._thread.join()
        self.uart.close()
        self.app.board.card.image.close()


@pytest.fixture
def board():
    return BOARD


@pytest.fixture
def logger(tmp_path, board):
    made = Logger(tmp_path, board)
    yield made
    made.close()


@pytest.fixture
def link(logger):
    made = Link(SerialStream(logger.uart.port), "uart")
    yield made
    made.close()


def test_a_download_runs_at_the_fastest_rate_and_gives_the_line_back(logger, link):
    link.control(m.CONTROL_STOP, link.hello().boot)
    session = link.list_sessions()[0]
    positions = positions_of(session)
    slow = dict(link.read_blocks(positions))
    with fast_line(link, BOARD, 1000) as rate_bps:
        assert rate_bps == 2_000_000 == logger.uart.rate_bps
        assert dict(link.read_blocks(positions)) == slow and len(slow) == len(positions) > 0
        assert link.hello().device_id == session.device_id
    assert link.hello() and logger.uart.rate_bps == 115_200
    assert logger.uart.rates == [2_000_000, 115_200]


def test_a_wire_that_carries_less_gets_the_next_rate(logger, link):
    """2 Mbit/s is tried; nothing is confirmed there, and both ends go back within 1.2 s."""
    logger.uart.most_bps = 921_600
    with fast_line(link, BOARD, 1000) as rate_bps:
        assert rate_bps == 921_600
        assert link.hello()
    assert logger.uart.rates == [2_000_000, 115_200, 921_600, 115_200]
    assert link.hello()


def test_a_wire_that_carries_no_more_stays_as_it_is(logger, link):
    logger.uart.most_bps = 115_200
    with fast_line(link, BOARD, 1000) as rate_bps:
        assert rate_bps == 115_200 and link.hello()
    assert link.hello() and logger.uart.rate_bps == 115_200


def test_a_host_that_dies_at_a_fast_rate_leaves_a_logger_that_comes_back(logger, link):
    """10 s of silence; the next host opens the port at 115,200."""
    line = fast_line(link, BOARD, 1000)
    assert line.__enter__() == 2_000_000
    link.close()  # killed: it says nothing any more
    deadline = time.monotonic() + 15
    while logger.uart.rate_bps != 115_200 and time.monotonic() < deadline:
        time.sleep(0.1)
    again = Link(SerialStream(logger.uart.port), "again")
    assert again.hello()
    again.close()


def test_a_rate_that_does_not_exist_is_refused(logger, link):
    answer, _ = link.ask(lr.RATE, {"rate_bps": 1_000_000}, accept=range(16))
    assert (answer["status"], answer["rate_bps"]) == (m.OUT_OF_RANGE, 115_200)


def test_little_is_fetched_at_the_usual_rate(logger, link):
    with fast_line(link, BOARD, 127) as rate_bps:
        assert rate_bps == 115_200 and logger.uart.rates == []


@pytest.mark.parametrize("board", ["esp32s3_mcp2518"])
def test_a_board_with_usb_is_not_asked(logger, link):
    with fast_line(link, "esp32s3_mcp2518", 1000) as rate_bps:
        assert rate_bps == 0
    link.tries = 1
    with pytest.raises(DeviceError, match="does not answer RATE"):
        link.ask(lr.RATE, {"rate_bps": 921_600})


def test_the_hours_are_said_before_a_long_download():
    """An hour of the car's bus: 1,885 frames/s, 252 in a block of 4,096 bytes, are 26,929 blocks,
    110 MB; 10.2 bits for a byte at 115,200 bit/s: 9,766 s, 2.7 hours; at 2 Mbit/s 563 s, 0.2.
    """
    n_blocks = 1_885 * 3600 // 252 + 1
    assert n_blocks == 26_929 and round(seconds_of(n_blocks, 115_200)) == 9_766
    text = slow_text(BOARD, n_blocks)
    assert "110 MB take 2.7 hours at 115,200 bit/s, 0.2 at 2,000,000" in text
    assert "stagelog card read" in text
    assert slow_text(BOARD, 1_000) is None, "6 minutes"
    assert slow_text("esp32s3_mcp2518", n_blocks) is None
    assert slow_text("pico_mcp2515", n_blocks) is None
