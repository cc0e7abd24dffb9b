"""What all ESP32 boards share beside `polled_board`: the radio for service mode, the cable, the
watchdog.

The controller's SPI must stay below 0.85 / 2 of its clock: 17 MHz, and 80 / 5 is the next.
MicroPython 1.29 or newer: `main.py` counts its tries in `machine.mem_backup`, which older ones
lack on these chips.
"""

import machine

from boards.polled_board import LEAST_BLOCKS, PolledBoard
from drivers.spi_ports import CanPort
from drivers.wifi import Wifi
from logger.line_rate import LineRate
from logger.service_mode import RadioApp
from logger.tcp_link import SharedLink
from slog.line_rate import BASE_bps

SPI_Hz = 16_000_000
_PROMPT_MS = 3_600_000  # the watchdog can't be stopped: an hour at the prompt, then a reset
_MIRROR_bps = 2_000_000


class Esp32Board(PolledBoard):
    """As PolledBoard, with a radio.

    switch  pin of the service switch, which connects it to ground; not wired: never closed
    uart    the cable is UART 0: a host may ask for a faster rate. Else it is the chip's own USB;
            what MicroPython writes there it writes to UART 0, too, and waits for both: that gets a
            rate at which it is no brake.
    """

    def __init__(self, name, slot, card, port, light, switch, blocks=LEAST_BLOCKS, uart=False):
        super().__init__(name, slot, card, port, light, blocks)
        self.wifi = Wifi()
        self.switch = machine.Pin(switch, machine.Pin.IN, machine.Pin.PULL_UP)
        self.link = SharedLink(self.link)  # type: ignore[assignment]
        self._rate = None  # a LineRate
        self._has_uart = uart
        if not uart:
            _set_uart(_MIRROR_bps)

    def make_app(self):
        """As PolledBoard."""
        app = RadioApp(self)
        if self._has_uart:
            self._rate = LineRate(app, _set_uart)
        return app

    def feed(self):
        """As PolledBoard."""
        if self._rate is not None:
            self._rate.step()
        super().feed()

    def close(self):
        """As PolledBoard; the radio is off."""
        super().close()
        self.wifi.stop()
        _set_uart(BASE_bps)
        machine.WDT(timeout=_PROMPT_MS)


def can_port(sck, sdi, sdo, cs):
    """Return the port of a controller alone on SPI 1."""
    sck, sdi, sdo = machine.Pin(sck), machine.Pin(sdi), machine.Pin(sdo)
    spi = machine.SPI(1, SPI_Hz, sck=sck, mosi=sdi, miso=sdo)
    return CanPort(spi, machine.Pin(cs, machine.Pin.OUT, value=1))


def _set_uart(rate_bps):
    """Set the rate of the prompt's UART; MicroPython waits until all has gone."""
    machine.UART(0, rate_bps)
