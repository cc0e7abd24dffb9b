"""Controller and card over `machine.SPI`, for chips whose registers we do not drive ourselves.

Each call returns when its bytes have gone: nothing happens in the background. The caller makes
the SPI and the chip select, a function of 0 or 1. Sectors carry no CRC, as the card expects
unless it is asked to check.
"""

import time

from slog.native import micropython

_SECTOR_BYTES = 512
_ANSWER_BYTES = 9
_STOP = 12
_TOKEN_READ = 0xFE
_CALL_Hz = 1_250_000  # a call for a byte takes the time of a byte at this rate at least: 6.4 us


class CanPort:
    """A controller alone on its SPI, as `mcp2518fd` wants it."""

    def __init__(self, spi, cs):
        self._spi = spi
        self._cs = cs
        self._write = spi.write  # bound once: each time it would take heap

    @micropython.native
    def transfer(self, view):
        """Exchange the bytes of `view` in place."""
        self._cs(0)
        self._spi.write_readinto(view, view)
        self._cs(1)

    @micropython.native
    def repeat(self, view, n):
        """Send the bytes of `view` so many times, each with a chip select of its own."""
        select = self._cs
        write = self._write
        for _ in range(n):
            select(0)
            write(view)
            select(1)

    def wait_us(self, us):
        """Wait; only while the controller is set up."""
        time.sleep_us(us)


class SdPort:
    """A card alone on its SPI, as `sdcard` wants it; the same calls as `rp2_sd.SdPort`."""

    has_crc = False

    def __init__(self, spi, cs):
        self._spi = spi
        self._cs = cs
        self._byte = bytearray(1)
        self._command = bytearray(6)
        self._token = bytearray(1)
        self._crc = bytearray(b"\xff\xff")
        self._call_bytes = 1  # that go by in the time of a call for one

    def set_rate(self, rate_Hz):
        """Clock at up to `rate_Hz`."""
        self._call_bytes = max(1, rate_Hz // _CALL_Hz)
        self._spi.init(baudrate=rate_Hz)

    def select(self):
        """Pull chip select low."""
        self._cs(0)

    def release(self):
        """Release chip select and clock once, so that the card lets go."""
        self._cs(1)
        self.exchange(0xFF)

    def begin(self, index, high, low, n):
        """Select the card, wait up to `n` bytes until it is ready, send a command; return its R1.

        0x100 if it stays busy.
        """
        self.select()
        if self.wait_until(0xFF, n) != 0xFF:
            return 0x100
        return self.command(index, high, low)

    def exchange(self, byte):
        """Send one byte, return the one received."""
        self._byte[0] = byte
        self._spi.write_readinto(self._byte, self._byte)
        return self._byte[0]

    def command(self, index, high, low):
        """Send a command with a 32-bit argument in halves; return R1, 0xFF without an answer."""
        command = self._command
        command[0] = 0x40 | index
        command[1] = high >> 8
        command[2] = high & 0xFF
        command[3] = low >> 8
        command[4] = low & 0xFF
        crc = 0
        for i in range(5):
            crc ^= command[i]
            for _ in range(8):
                crc <<= 1
                if crc & 0x100:
                    crc ^= 0x112
        command[5] = crc | 1
        self.exchange(0xFF)
        self._spi.write(command)
        if index == _STOP:
            self.exchange(0xFF)
        for _ in range(_ANSWER_BYTES):
            r1 = self.exchange(0xFF)
            if not r1 & 0x80:
                break
        return r1

    def wait_while(self, value, n):
        """Wait up to the time of `n` bytes while they equal `value`; return the last."""
        for _ in range((n - 1) // self._call_bytes + 1):
            byte = self.exchange(0xFF)
            if byte != value:
                break
        return byte

    def wait_until(self, value, n):
        """Wait up to the time of `n` bytes until one equals `value`; return the last."""
        for _ in range((n - 1) // self._call_bytes + 1):
            byte = self.exchange(0xFF)
            if byte == value:
                break
        return byte

    def send_start(self, token, data, at):
        """Send a token and the 512 bytes of `data` from `at`."""
        self._token[0] = token
        self._spi.write(self._token)
        self._spi.write(memoryview(data)[at : at + _SECTOR_BYTES])

    def is_sending(self):
        """Return False: a sector has gone when `send_start` returns."""
        return False

    def send_end(self):
        """Finish the sector; return the data response, 0xFF without one."""
        self._spi.write(self._crc)
        return self.exchange(0xFF)

    def is_receiving(self):
        """Return False: a sector has come when the call that began it returns."""
        return False

    def receive_first(self, data, n):
        """Wait up to `n` bytes for a token and receive 512 bytes; return the token."""
        return self._receive(memoryview(data)[:_SECTOR_BYTES], n)

    def receive_next(self, data, at, n):
        """End a sector and receive the next; return its token."""
        self.receive_last()
        return self._receive(memoryview(data)[at : at + _SECTOR_BYTES], n)

    def receive_over(self, data, copy, n):
        """End the sector in `data`, copy it, receive the next in its place unless `n` is 0; return
        its token.
        """
        self.receive_last()
        copy[:] = data
        return self._receive(memoryview(data), n) if n else 0

    def receive_last(self):
        """End the sector; True, as its CRC is not checked."""
        self.exchange(0xFF)
        self.exchange(0xFF)
        return True

    def _receive(self, view, n):
        token = self.wait_while(0xFF, n)
        if token == _TOKEN_READ:
            self._spi.readinto(view, 0xFF)
        return token
