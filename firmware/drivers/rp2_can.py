"""The SPI of an MCP2518FD on the RP2040, by registers: a call of `machine.SPI` costs more than the
three bytes that give a frame's place back.
"""

import time
from array import array

import machine
import micropython
from micropython import const

_SPI = (0x4003C000, 0x40040000)  # word 2: data; 3: status, 4 received something
_SIO = const(0xD0000000)  # words 5, 6: set and clear outputs

# Words of a port.
_W_SPI = const(0)
_W_CS = const(1)


@micropython.viper
def _exchange(w: ptr32, buf: ptr8, n: int):
    """Exchange `n` bytes in place; eight are on their way at most, as many as the FIFO holds."""
    spi = ptr32(w[_W_SPI])
    sio = ptr32(_SIO)
    sio[6] = w[_W_CS]
    sent = 0
    got = 0
    while got < n:
        if sent < n and sent - got < 8:
            spi[2] = buf[sent]
            sent += 1
        if spi[3] & 4:
            buf[got] = spi[2]
            got += 1
    sio[5] = w[_W_CS]


@micropython.viper
def _repeat(w: ptr32, buf: ptr8, n_bytes: int, n: int):
    """Send `n_bytes` bytes, eight at most, `n` times."""
    spi = ptr32(w[_W_SPI])
    sio = ptr32(_SIO)
    while n > 0:
        sio[6] = w[_W_CS]
        i = 0
        while i < n_bytes:
            spi[2] = buf[i]
            i += 1
        while i > 0:
            while not spi[3] & 4:
                pass
            _ = spi[2]
            i -= 1
        sio[5] = w[_W_CS]
        n -= 1


class CanPort:
    """A controller alone on its SPI, as `mcp2518fd` wants it; the same calls as
    `spi_ports.CanPort`.
    """

    def __init__(self, spi, rate_Hz, sck, mosi, miso, cs):
        self._cs = machine.Pin(cs, machine.Pin.OUT, value=1)
        pins = [machine.Pin(pin) for pin in (sck, mosi, miso)]
        self._spi = machine.SPI(spi, rate_Hz, sck=pins[0], mosi=pins[1], miso=pins[2])
        self._words = array("I", [_SPI[spi], 1 << cs])

    @micropython.native
    def transfer(self, view):
        """Exchange the bytes of `view` in place."""
        _exchange(self._words, view, len(view))  # type: ignore[arg-type]

    @micropython.native
    def repeat(self, view, n):
        """Send the bytes of `view`, eight at most, so many times, each with a chip select."""
        _repeat(self._words, view, len(view), n)  # type: ignore[arg-type]

    def wait_us(self, us):
        """Wait; only while the controller is set up."""
        time.sleep_us(us)
