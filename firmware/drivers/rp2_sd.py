"""The SPI of an SD card on the RP2040: commands by registers, sectors and CRC-16 by DMA.

Word 2 of the SPI is data, 3 status (2 room, 4 received, 16 busy), 8 clears an overrun.

Knows bytes and sectors, not the card's states: those are in `sdcard`. A transfer ends whether or
not a card is there; an absent one reads as ones. Nothing allocates after the start.
"""

from array import array

import machine
import micropython
import rp2
import uctypes
from micropython import const

_SIO = const(0xD0000000)  # words 5, 6: set and clear outputs
_SPI = (0x4003C000, 0x40040000)
_DREQ_TX = (16, 18)  # of the two SPIs; receive is the next
_DMA = const(0x50000000)  # 16 words a channel: read address, write address, count, control
_DMA_BUSY = const(1 << 24)
_DMA_BYTES = const(1 << 21 | 1)  # quiet, enabled, one byte at a time
_DMA_READ_RISES = const(1 << 4)
_DMA_WRITE_RISES = const(1 << 5)
_DMA_SNIFFED = const(1 << 23)
_DMA_UNPACED = const(0x3F << 15)
_DMA_CHANNEL_BYTES = const(64)
_SNIFF = const(0x434)  # control, then data
_SNIFF_CRC16 = const(2 << 5 | 1)  # CRC-16-CCITT, on; the channel from bit 1

# Words of an SdPort's registers.
_W_SPI = const(0)
_W_TX = const(1)  # address of the DMA channel that sends
_W_RX = const(2)
_W_SEND = const(3)  # control words: send a buffer, send ones, receive
_W_ONES = const(4)
_W_RECEIVE = const(5)
_W_FF = const(6)  # address of a byte of ones
_W_SNIFF = const(7)  # address of the sniffer
_W_SNIFF_TX = const(8)  # control word of the sniffer
_W_COPY = const(9)  # control word: copy, or read and discard with _DMA_WRITE_RISES taken out
_W_SIO = const(10)
_W_CS = const(11)  # bit of the chip select in the SIO's words
_W_DISCARDED = const(12)  # where what is read and discarded goes
_W_WORDS = const(13)


@micropython.viper
def _exchange(w: ptr32, byte: int) -> int:
    spi = ptr32(w[_W_SPI])
    spi[2] = byte
    while not spi[3] & 4:
        pass
    return spi[2]


@micropython.viper
def _command(w: ptr32, index: int, high: int, low: int) -> int:
    """Send a command with its CRC-7 and return its R1, 0xFF if there is none in 9 bytes."""
    spi = ptr32(w[_W_SPI])
    spi[2] = 0xFF
    crc = 0
    i = 0
    while i < 6:
        if i == 0:
            byte = 0x40 | index
        elif i == 1:
            byte = high >> 8
        elif i == 2:
            byte = high & 0xFF
        elif i == 3:
            byte = low >> 8
        elif i == 4:
            byte = low & 0xFF
        else:
            byte = crc | 1
        spi[2] = byte
        crc ^= byte
        bit = 0
        while bit < 8:
            crc <<= 1
            if crc & 0x100:
                crc ^= 0x112
            bit += 1
        i += 1
    while spi[3] & 16:
        pass
    while spi[3] & 4:
        byte = spi[2]
    if index == 12:
        spi[2] = 0xFF
        while not spi[3] & 4:
            pass
        byte = spi[2]
    i = 0
    byte = 0xFF
    while byte & 0x80 and i < 9:
        spi[2] = 0xFF
        while not spi[3] & 4:
            pass
        byte = spi[2]
        i += 1
    return byte


@micropython.viper
def _clock(w: ptr32, value: int, same: int, n: int) -> int:
    """Clock one byte, and up to `n` while they equal `value` (or do not, with same 0)."""
    spi = ptr32(w[_W_SPI])
    while True:
        spi[2] = 0xFF
        while not spi[3] & 4:
            pass
        byte = spi[2]
        n -= 1
        if n <= 0:
            return byte
        if same:
            if byte != value:
                return byte
        elif byte == value:
            return byte


@micropython.viper
def _begin(w: ptr32, index: int, high: int, low: int, n: int) -> int:
    """Select the card, wait up to `n` bytes until it is ready, send a command; return its R1.

    0x100 if it stays busy.
    """
    ptr32(w[_W_SIO])[6] = w[_W_CS]
    if int(_clock(w, 0xFF, 0, n)) != 0xFF:
        return 0x100
    return int(_command(w, index, high, low))


@micropython.viper
def _release(w: ptr32):
    """Release the card and clock once, so that it lets go."""
    ptr32(w[_W_SIO])[5] = w[_W_CS]
    spi = ptr32(w[_W_SPI])
    spi[2] = 0xFF
    while spi[3] & 16:
        pass
    while spi[3] & 4:
        _ = spi[2]


@micropython.viper
def _send_start(w: ptr32, token: int, address: int):
    spi = ptr32(w[_W_SPI])
    spi[2] = 0xFF
    spi[2] = token
    sniff = ptr32(w[_W_SNIFF])
    sniff[0] = w[_W_SNIFF_TX]
    sniff[1] = 0
    dma = ptr32(w[_W_TX])
    dma[0] = address
    dma[1] = w[_W_SPI] + 8
    dma[2] = 512
    dma[3] = w[_W_SEND]


@micropython.viper
def _send_end(w: ptr32) -> int:
    """Send the CRC after the sector; return the data response, 0xFF if there is none."""
    spi = ptr32(w[_W_SPI])
    while ptr32(w[_W_TX])[3] & _DMA_BUSY:
        pass
    crc = ptr32(w[_W_SNIFF])[1]
    while not spi[3] & 2:
        pass
    spi[2] = (crc >> 8) & 0xFF
    while not spi[3] & 2:
        pass
    spi[2] = crc & 0xFF
    while spi[3] & 16:
        pass
    while spi[3] & 4:
        byte = spi[2]
    spi[8] = 3
    byte = 0xFF
    i = 0
    while byte == 0xFF and i < 8:
        spi[2] = 0xFF
        while not spi[3] & 4:
            pass
        byte = spi[2]
        i += 1
    return byte


@micropython.viper
def _copy_crc(w: ptr32, source: int, target: int, control: int) -> int:
    """Copy a sector by DMA; return the CRC-16 that the sniffer saw."""
    sniff = ptr32(w[_W_SNIFF])
    sniff[0] = w[_W_SNIFF_TX]
    sniff[1] = 0
    dma = ptr32(w[_W_TX])
    dma[0] = source
    dma[1] = target
    dma[2] = 512
    dma[3] = control
    while dma[3] & _DMA_BUSY:
        pass
    return sniff[1] & 0xFFFF


@micropython.viper
def _receive(w: ptr32, ends: ptr32, to: ptr32, n: int) -> int:
    """End the sector that is coming, if one is, and begin the next in `to`, unless `n` is 0.

    ends     0: none is coming; 1: end it; a buffer: end it and copy it into this
    Returns  the next one's token, waited for up to `n` bytes, plus 0x100 if the CRC of the first
             was wrong
    """
    spi = ptr32(w[_W_SPI])
    token = 0
    if int(ends):
        while ptr32(w[_W_RX])[3] & _DMA_BUSY:
            pass
        spi[2] = 0xFF
        spi[2] = 0xFF
        copy = w[_W_COPY]
        if int(ends) == 1:
            ends = ptr32(int(w) + 4 * _W_DISCARDED)
            copy ^= _DMA_WRITE_RISES
        token = int(_copy_crc(w, ptr32(w[_W_RX])[1] - 512, int(ends), copy))
        while not spi[3] & 4:
            pass
        token ^= spi[2] << 8
        while not spi[3] & 4:
            pass
        token ^= spi[2]
        if token:
            token = 0x100
    if n == 0:
        return token
    byte = 0xFF
    while byte == 0xFF and n > 0:
        spi[2] = 0xFF
        while not spi[3] & 4:
            pass
        byte = spi[2]
        n -= 1
    if byte == 0xFE:
        dma = ptr32(w[_W_RX])
        dma[0] = w[_W_SPI] + 8
        dma[1] = int(to)
        dma[2] = 512
        dma[3] = w[_W_RECEIVE]
        dma = ptr32(w[_W_TX])
        dma[0] = w[_W_FF]
        dma[1] = w[_W_SPI] + 8
        dma[2] = 512
        dma[3] = w[_W_ONES]
    return token | byte


@micropython.viper
def _is_sending(w: ptr32) -> int:
    return (ptr32(w[_W_TX])[3] >> 24) & 1


@micropython.viper
def _is_receiving(w: ptr32) -> int:
    return (ptr32(w[_W_RX])[3] >> 24) & 1


class SdPort:
    """One card alone on its SPI. The caller keeps a buffer alive while its transfer runs."""

    def __init__(self, spi, sck, mosi, miso, cs):
        machine.Pin(miso, machine.Pin.IN, machine.Pin.PULL_UP)
        self._cs = machine.Pin(cs, machine.Pin.OUT, value=1)
        self._spi = machine.SPI(
            spi, 400_000, sck=machine.Pin(sck), mosi=machine.Pin(mosi), miso=machine.Pin(miso)
        )
        self._dma = (rp2.DMA(), rp2.DMA())
        self._ones = bytearray(b"\xff")
        tx, rx = [dma.channel for dma in self._dma]  # type: ignore[attr-defined]
        request = _DREQ_TX[spi]
        words = array("I", [0] * _W_WORDS)
        words[_W_SIO] = _SIO
        words[_W_CS] = 1 << cs
        words[_W_SPI] = _SPI[spi]
        words[_W_TX] = _DMA + _DMA_CHANNEL_BYTES * tx
        words[_W_RX] = _DMA + _DMA_CHANNEL_BYTES * rx
        words[_W_ONES] = _DMA_BYTES | tx << 11 | request << 15
        words[_W_SEND] = words[_W_ONES] | _DMA_READ_RISES | _DMA_SNIFFED
        words[_W_RECEIVE] = _DMA_BYTES | _DMA_WRITE_RISES | rx << 11 | request + 1 << 15
        words[_W_COPY] = words[_W_SEND] | _DMA_WRITE_RISES | _DMA_UNPACED
        words[_W_FF] = uctypes.addressof(self._ones)
        words[_W_SNIFF] = _DMA + _SNIFF
        words[_W_SNIFF_TX] = _SNIFF_CRC16 | tx << 1
        self._words = words
        self.has_crc = self._sniffer_works()

    def set_rate(self, rate_Hz):
        """Clock at the highest rate the chip can make up to `rate_Hz`."""
        self._spi.init(baudrate=rate_Hz)

    def select(self):
        """Pull chip select low."""
        self._cs(0)

    def release(self):
        """Release chip select and clock once, so that the card lets go."""
        _release(self._words)

    def begin(self, index, high, low, n):
        """Select the card, wait up to `n` bytes until it is ready, send a command; return its R1.

        0x100 if it stays busy.
        """
        return _begin(self._words, index, high, low, n)

    def exchange(self, byte):
        """Send one byte, return the one received."""
        return _exchange(self._words, byte)

    def command(self, index, high, low):
        """Send a command with a 32-bit argument in halves; return R1, 0xFF without an answer."""
        return _command(self._words, index, high, low)

    def wait_while(self, value, n):
        """Clock up to `n` bytes while they equal `value`; return the last."""
        return _clock(self._words, value, 1, n)

    def wait_until(self, value, n):
        """Clock up to `n` bytes until one equals `value`; return the last."""
        return _clock(self._words, value, 0, n)

    def send_start(self, token, data, at):
        """Begin to send a token and the 512 bytes of `data` from `at`."""
        _send_start(self._words, token, uctypes.addressof(data) + at)

    def is_sending(self):
        """Return whether the sector is still on its way."""
        return _is_sending(self._words)

    def send_end(self):
        """Finish the sector with its CRC; return the data response, 0xFF without one."""
        return _send_end(self._words)

    def is_receiving(self):
        """Return whether the sector is still on its way."""
        return _is_receiving(self._words)

    def receive_first(self, data, n):
        """Wait up to `n` bytes for a token and begin to receive 512 bytes; return the token."""
        return _receive(self._words, 0, data, n)

    def receive_next(self, data, at, n):
        """End a sector and begin the next; return its token, plus 0x100 for a wrong CRC."""
        return _receive(self._words, 1, uctypes.addressof(data) + at, n)

    def receive_over(self, data, copy, n):
        """End the sector that comes into `data`, copy it, begin the next in its place unless `n`
        is 0; return its token, plus 0x100 for a wrong CRC. Both buffers on word boundaries.
        """
        return _receive(self._words, copy, data, n)

    def receive_last(self):
        """Wait for the sector's end; True if its CRC is right."""
        return _receive(self._words, 1, 0, 0) == 0

    def _sniffer_works(self):
        """Try the DMA's CRC on a sector of ones, an example of the standard."""
        example = bytearray(b"\xff" * 512)
        copy = bytearray(512)
        words = self._words
        source, target = uctypes.addressof(example), uctypes.addressof(copy)
        return _copy_crc(words, source, target, words[_W_COPY]) == 0x7FA1 and copy == example
