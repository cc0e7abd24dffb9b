"""An MCP2518FD and a card on one SPI, for chips that have one only.

The controller may be asked at any moment between two calls of the card, so the card's chip select
is taken back for it. SD specification 6.00, 7.2: chip select must stay low from a command to the
end of its data; while the card is busy with what it was sent it may go high, and the card works
on. So a sector is sent with its data response, and read with its CRC, in one call each, and
sectors are read one by one. While a card is set up at 400 kHz the controller is read at that rate,
too: 0.5 ms a frame.
"""

from drivers.sdcard import SdCard
from drivers.spi_ports import CanPort, SdPort
from slog.layout import SECTOR_BYTES, const

_READ_MS = const(100)


class SharedSdPort(SdPort):
    """As SdPort. Invariant: between two calls the card is not selected, or it is ready or busy,
    and in no command's data.
    """

    def __init__(self, spi, cs):
        super().__init__(spi, cs)
        self.is_selected = False
        self._ones = bytearray(b"\xff")
        self._response = 0xFF

    def select(self):
        """Pull chip select low."""
        self.is_selected = True
        self._cs(0)

    def release(self):
        """Release chip select and clock once, so that the card lets go."""
        self.is_selected = False
        self.lend()

    def lend(self):
        """Release the card for a while: it lets go of its output with the next clocks."""
        self._cs(1)
        self._spi.write(self._ones)

    def take_back(self):
        """End what `lend` began."""
        self._cs(0)

    def send_start(self, token, data, at):
        """As SdPort, up to the data response: the card is busy then."""
        super().send_start(token, data, at)
        self._response = super().send_end()

    def send_end(self):
        """Return the data response, 0xFF without one."""
        return self._response

    def receive_last(self):
        """Return True: the sector's end has come with it."""
        return True

    def _receive(self, view, n):
        token = super()._receive(view, n)
        super().receive_last()
        return token


class SharedCanPort(CanPort):
    """As CanPort, beside the card at `card_port`."""

    def __init__(self, spi, cs, card_port):
        super().__init__(spi, cs)
        self._card_port = card_port

    def transfer(self, view):
        """Exchange the bytes of `view` in place."""
        if not self._card_port.is_selected:
            CanPort.transfer(self, view)
            return
        self._card_port.lend()
        CanPort.transfer(self, view)
        self._card_port.take_back()

    def repeat(self, view, n):
        """Send the bytes of `view` so many times, each with a chip select of its own."""
        if not self._card_port.is_selected:
            CanPort.repeat(self, view, n)
            return
        self._card_port.lend()
        CanPort.repeat(self, view, n)
        self._card_port.take_back()


class SharedCard(SdCard):
    """As SdCard, on a SharedSdPort."""

    def _read(self, sector, buf):
        """Read sector by sector: several at once would be one command's data."""
        view = memoryview(buf)
        for at in range(0, len(buf), SECTOR_BYTES):
            super()._read(sector + at // SECTOR_BYTES, view[at : at + SECTOR_BYTES])

    def _start_ahead(self, sector):
        """Nothing comes before it is asked for."""

    def _wait_token(self):
        """As SdCard, without `background`."""
        return self._port.wait_while(0xFF, _READ_MS * self._ms_bytes)
